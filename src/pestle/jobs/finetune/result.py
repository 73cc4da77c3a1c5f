"""Results of `pestle.finetune`: a run, or the plan of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.members import members_of
from pestle.metrics import FrameErrors, error_table
from pestle.progress import duration
from pestle.records.ending import Ending
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.records.verdict import Verdict
from pestle.reports.curves import learning_curves
from pestle.reports.reading import read_results
from pestle.typed import under
from pestle.views import Shown, Table
from pestle.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from ase.calculators.calculator import Calculator

    from pestle.foundations.interface import Foundation
    from pestle.jobs.qualify import Qualification
    from pestle.reports.figures import Figure

#: Names of learning curves; the first one that exists is shown.
CURVES = ("curve-forces-rmse", "curve-energy-rmse", "curve-loss")


class Plan(Shown):
    """The plan of a run: the result of `pestle.finetune(..., dry_run=True)`.

    Attributes:
        manifest: every decision before the first update, with its reason.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"<Plan: {self.lines()[0]}>"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings of the checks, one line each."""
        return self.manifest.warnings

    def lines(self) -> list[str]:
        """Return the headline, the number of trained parameters, and the warnings."""
        plan, method = self.manifest.plan, self.manifest.method
        assert plan is not None
        headline = (
            f"{method.name} on {self.manifest.foundation.name}: "
            f"{counted(plan.steps, 'update')} at most"
        )
        if plan.estimated_seconds is not None:
            headline += f", {duration(plan.estimated_seconds)} at most"
        trained = f"trains {method.n_trainable:,} of {method.n_parameters:,} parameters"
        return [headline, trained, *(f"warning: {text}" for text in self.warnings)]

    def tables(self) -> list[Table]:
        """Return a table of the settings that are not defaults, with their reasons."""
        rows = [
            [name, f"{entry.value} {entry.unit}".rstrip(), entry.reason]
            for name, entry in self.manifest.settings.items()
            if not entry.reason.startswith("default")
        ]
        return [Table("settings", ["name", "value", "reason"], rows)]

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain data."""
        return self.manifest.to_json()


class RunErrors(dict[str, dict[str, dict[str, FrameErrors]]], Shown):
    """Set → model → group → errors of a run (meV/atom, meV/Å, meV/Å³)."""

    def __repr__(self) -> str:
        return "\n".join(table.text() for table in self.tables()) or "<no errors yet>"

    def lines(self) -> list[str]:
        """Return of which sets there are errors."""
        return [f"errors on {', '.join(self)}" if self else "no errors yet"]

    def tables(self) -> list[Table]:
        """Return a table for each set."""
        return [error_table(f"errors on {name}", models) for name, models in self.items()]


class Run(Shown):
    """A run folder: the settings, the results, and the model.

    >>> run = pestle.Run("runs/mine")
    >>> run.errors["test"]  # model → group → errors
    >>> atoms.calc = run.calculator()

    Attributes:
        folder: the run folder.
        manifest: data, settings and results of the run.
        verdict: verdict of `pestle qualify`; `None` if the present model was not qualified.
    """

    def __init__(self, folder: str | Path) -> None:
        """
        Args:
            folder: the run folder.

        Raises:
            PestleError: the folder contains no run, or its records cannot be read.
        """
        self._paths = RunFolder(Path(folder))
        _require_run(self._paths)
        self.folder = self._paths.path
        self.manifest = Manifest.of_run(self._paths.manifest)
        there = self._paths.verdict.is_file()
        verdict = Verdict.read(self._paths.verdict) if there else None
        # A run that went on has another model than the one that was judged.
        current = verdict is not None and verdict.is_of(self._paths.weights_digest)
        self.verdict = verdict if current else None

    def __repr__(self) -> str:
        return f"<Run {self.folder}: {self.lines()[0]}>"

    @property
    def report(self) -> Path:
        """File of the report."""
        return self._paths.report

    @property
    def ending(self) -> Ending | None:
        """The record of the end of the run; `None` before its end."""
        return self.manifest.ending

    @property
    def errors(self) -> RunErrors:
        """Set (test, valid, train, replay) → model → group → errors (meV/atom, meV/Å, meV/Å³);
        empty before the end of the run.
        """
        return RunErrors(self.manifest.errors or {})

    def model(self) -> Foundation:
        """Load the fine-tuned model.

        Raises:
            PestleError: the run has no model yet.
        """
        return load_foundation(self.folder)

    def calculator(self, *, dispersion: str | None = None) -> Calculator:
        """Make an ASE calculator of the fine-tuned model.

        Args:
            dispersion: functional whose D3 correction is added (`pbe`), or `removed`: the
                correction that was taken from the labels. By default none is added.

        Raises:
            PestleError: the run has no model yet, or the functional is unknown.
        """
        return self.model().calculator(dispersion=dispersion)

    def qualify(self, **options: Any) -> Qualification:
        """Test whether the model is fit for its use.

        Args:
            options: options of `pestle.qualify`, e.g. `scope="narrow"`.

        Returns:
            The verdict, the folder of the results and the file of the report.
        """
        from pestle.jobs.qualify import qualify

        found = qualify(str(self.folder), **options)
        if found.out.resolve() == self.folder.resolve():
            self.verdict = found.verdict
        return found

    def plot(self) -> go.Figure:
        """Plot the learning curve: errors on validation frames over the epochs.

        Raises:
            ValueError: there was no evaluation yet.
        """
        curve = self._curve()
        if curve is None:
            raise ValueError(f"{self.folder}: there is no evaluation to draw yet")
        return curve.plot

    def picture(self) -> str:
        """Return the learning curve as SVG; empty before the first evaluation."""
        from pestle.reports.pictures.write import picture_of

        curve = self._curve()
        return picture_of(curve, "svg").decode() if curve is not None else ""

    def _curve(self) -> Figure | None:
        drawn = {found.name: found for found in learning_curves(read_results(self.folder))}
        return next((drawn[name] for name in CURVES if name in drawn), None)

    def lines(self) -> list[str]:
        """Return the headline, the lines of the end, and the verdict."""
        manifest = self.manifest
        headline = f"{manifest.method.name} on {manifest.foundation.name}, {manifest.status}"
        if self.ending is None:
            return [headline]
        if self.ending.trouble is not None:
            headline += f", {self.ending.title}"
        told = [under(about, text, 0) for about, text in self.ending.lines(self.folder).items()]
        if self.verdict is not None:
            told.append(f"verdict: {self.verdict.verdict.upper()}: {self.verdict.sentence}")
        return [headline, *told]

    def tables(self) -> list[Table]:
        """Return one table of errors for each set."""
        return self.errors.tables()

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain data."""
        return self.manifest.to_json()


def _require_run(paths: RunFolder) -> None:
    """Check that there is a run to look at.

    Raises:
        PestleError: there is no such folder, or it holds members of several seeds or no run.
    """
    if paths.settings.exists():
        return
    where = str(paths.path)
    if not paths.path.is_dir():
        raise PestleError("there is no such folder", where=where)
    members = [member.name for member in members_of(paths.path)]
    if members:
        raise PestleError(
            f"holds {counted(len(members), 'run')} that differ by their seed: {', '.join(members)}",
            where=where,
            fix=f'Open one, pestle.Run("{paths.path / members[0]}"); or load all as a committee, '
            f'pestle.load("{where}").',
        )
    raise PestleError("holds no run", where=where, fix="Name a folder that finetune wrote.")
