"""Results of members with different seeds: errors as mean and standard deviation, and loading."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pestle.foundations import load
from pestle.foundations.committee import Committee
from pestle.records.ending import Ending
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.views import Shown, Table
from pestle.wording import counted, figure, listed


@dataclass(frozen=True)
class Spread:
    """A figure of several members.

    Attributes:
        values: the value of each member.
        unit: unit of the values.
    """

    values: tuple[float, ...]
    unit: str

    @property
    def mean(self) -> float:
        """Mean over the members."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation of the sample (n − 1); `None` for one member."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def words(self) -> str:
        """Mean and standard deviation with the unit: `22.3 ± 0.9 meV/Å`."""
        spread = "" if self.std is None else f" ± {figure(self.std)}"
        return f"{figure(self.mean)}{spread} {self.unit}"


@dataclass(frozen=True)
class Members(Shown):
    """The members that `pestle.finetune_seeds` made.

    Attributes:
        folders: run folders of the finished members, by their seeds.
        failed: run folder → why the member did not finish.
        errors: set → energies, forces or stress → RMSE of the members (meV/atom, meV/Å, meV/Å³);
            energies without isolated atoms.
        endings: run folder → how a finished member ended.
    """

    folders: tuple[Path, ...]
    failed: Mapping[Path, str] = field(default_factory=dict)
    errors: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    endings: Mapping[Path, Ending] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Members: {self.lines()[0]}>"

    def load(self) -> Committee:
        """Load the members as a committee.

        Raises:
            PestleError: fewer than two members finished.
        """
        return load([str(folder) for folder in self.folders])

    @property
    def load_line(self) -> str:
        """Line of Python that loads the committee."""
        return f"pestle.load({json.dumps([str(f) for f in self.folders], ensure_ascii=False)})"

    def lines(self) -> list[str]:
        """Return errors as mean and standard deviation, failures, what is wrong with members, how
        to load the committee, and what to do next.
        """
        n = len(self.folders)
        found = [f"{counted(n, 'member')}; RMSE as mean ± standard deviation"]
        for name, by_quantity in self.errors.items():
            said = ", ".join(f"{q} {spread.words}" for q, spread in by_quantity.items())
            found.append(f"{name}: {said}")
        found += [f"{folder.name} failed: {why}" for folder, why in self.failed.items()]
        found += [f"{f.name}: {ending.warning}" for f, ending in self._bad.items()]
        if n > 1:
            found.append(f"committee: {self.load_line}")
        if self.endings:
            found.append(f"next: {self.next}")
        return found

    @property
    def _bad(self) -> dict[Path, Ending]:
        """The members of little use."""
        return {f: ending for f, ending in self.endings.items() if ending.trouble is not None}

    @property
    def next(self) -> str:
        """What to do next; empty without a finished member."""
        if not self.endings:
            return ""
        if not self._bad:
            first = next(iter(self.endings))
            return f"{self.endings[first].next(first)}, for each member"
        first, ending = next(iter(self._bad.items()))
        trouble = ending.trouble
        assert trouble is not None
        if trouble.goes_on:
            also = [f.name for f in self._bad if f != first]
            return ending.next(first) + (f", and so for {listed(also)}" if also else "")
        if not trouble.settings:
            return trouble.advice
        # run.yaml of the first member holds the first seed.
        again = ["pestle", "finetune", str(self.folders[0] / "run.yaml")]
        for text in trouble.settings:
            again += ["--set", text]
        again += ["--seeds", str(len(self.folders)), "-o", f"{first.parent}-next"]
        return f"{shlex.join(again)}   ({trouble.advice})"

    def tables(self) -> list[Table]:
        """Return a table of the RMSE of every member, with a row for each set and quantity."""
        rows = [
            [name, f"{quantity} ({spread.unit})", *map(figure, spread.values), spread.words]
            for name, by_quantity in self.errors.items()
            for quantity, spread in by_quantity.items()
        ]
        headings = ["set", "RMSE", *(folder.name for folder in self.folders), "mean ± std"]
        return [Table("members", headings, rows, figures=len(self.folders) + 1)]

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as plain data."""
        return {
            "members": [str(folder) for folder in self.folders],
            "failed": {str(folder): why for folder, why in self.failed.items()},
            "errors": {
                name: {
                    quantity: {
                        "mean": spread.mean,
                        "std": spread.std,
                        "values": list(spread.values),
                        "unit": spread.unit,
                    }
                    for quantity, spread in by_quantity.items()
                }
                for name, by_quantity in self.errors.items()
            },
        }


def summary_of(folders: Sequence[Path], failed: Mapping[Path, str]) -> Members:
    """Read the errors of finished members.

    Args:
        folders: run folders of the finished members.
        failed: run folder → why the member did not finish.
    """
    found: dict[str, dict[str, list[float]]] = {}
    endings: dict[Path, Ending] = {}
    for folder in folders:
        manifest = Manifest.of_run(RunFolder(folder).manifest)
        if manifest.ending is not None:
            endings[folder] = manifest.ending
        for one in manifest.ending.sets if manifest.ending is not None else ():
            of_set = (manifest.errors or {}).get(one.name, {}).get("fine-tuned", {}).get("all")
            stress = None if of_set is None else of_set.stress_rmse
            values = {"forces": one.forces, "energies": one.energy, "stress": stress}
            for quantity, value in values.items():
                if value is not None:
                    found.setdefault(one.name, {}).setdefault(quantity, []).append(value)
    units = {"forces": "meV/Å", "energies": "meV/atom", "stress": "meV/Å³"}
    errors = {
        name: {q: Spread(tuple(values), units[q]) for q, values in by_quantity.items()}
        for name, by_quantity in found.items()
    }
    return Members(tuple(folders), dict(failed), errors, endings)
