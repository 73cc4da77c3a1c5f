"""`pestle qualify`: run the protocols that a scope needs, conclude a verdict, write the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pestle.foundations.interface import TARGET_HEAD
from pestle.foundations.safe_files import CARD
from pestle.jobs.potentials import Contenders, contenders, file_name, named_by_file, require_model
from pestle.jobs.probe_inputs import elements_for
from pestle.jobs.qualify_inputs import OfRun, read_given, read_run
from pestle.jobs.qualify_plan import (
    extents,
    left_out,
    observables_of,
    protocols_to_run,
    scope_of,
    settings_for,
)
from pestle.jobs.qualify_request import REQUEST, Request
from pestle.jobs.qualify_tests import Tested, add_ending, add_gate, finding_of_ending, run_test
from pestle.jobs.qualify_verdict import verdict_of, write_to_card
from pestle.locks import locked_folder
from pestle.progress import recording, stage
from pestle.protocols import declarations, inputs, protocol
from pestle.protocols.base import Inputs
from pestle.protocols.declaration import HELD_OUT, Declaration
from pestle.protocols.thresholds import read_thresholds
from pestle.protocols.verdict import needed_by
from pestle.records.folder import RunFolder, now, require_folder
from pestle.records.timings import Timings
from pestle.records.verdict import NotTested, Verdict
from pestle.reports import write_report
from pestle.views import Shown, Table


@dataclass(frozen=True, repr=False)
class Qualification(Shown):
    """The answer whether a model is fit for its use.

    Attributes:
        verdict: the verdict with its findings.
        out: folder of the results.
        report: file of the report.
    """

    verdict: Verdict
    out: Path
    report: Path

    def __repr__(self) -> str:
        return f"<Qualification of {self.verdict.candidate}: {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """Return the verdict, what the model may be used for, and the file of the report."""
        found = self.verdict
        headline = f"{found.verdict.upper()} ({found.scope} scope): {found.sentence}"
        use = found.use.lines.items() if found.use is not None else ()
        told = [f"{about}: {line}" for about, line in use]
        return [headline, *told, f"report: {self.report}"]

    def tables(self) -> list[Table]:
        """Return tables of the findings, the worst first, and of what was not tested."""
        found = self.verdict
        findings = [[f.level.upper(), f.protocol, f.sentence, f.limit] for f in found.findings]
        shown = [Table("findings", ["level", "protocol", "finding", "threshold"], findings)]
        missing = [
            [n.protocol, "yes" if n.needed else "no", n.why, n.how] for n in found.not_tested
        ]
        if missing:
            shown.append(Table("not tested", ["protocol", "needed", "why", "how"], missing))
        return shown

    def to_json(self) -> dict[str, Any]:
        """Return the content of verdict.json, with `report` and `out`."""
        return self.verdict.in_file() | {"report": str(self.report), "out": str(self.out)}


def qualify(model: str, **options: Any) -> Qualification:
    """Test whether a model is fit for its use.

    >>> found = pestle.qualify("runs/mine", scope="narrow")
    >>> found.verdict.verdict  # pass, concern, fail or incomplete

    Args:
        model: the candidate: run folder, model folder, file, catalogue name, or
            `calculator:MODULE:NAME`.
        options: fields of `pestle.jobs.qualify_request.Request`, and the files that protocols read,
            each `FILES` or `NAME=FILES`, or a list of these:
            {inputs}

    Returns:
        The verdict, the folder of the results and the file of the report.

    Raises:
        PestleError: there is a mistake in names, settings, models or data, or another command
            writes to the folder.
    """
    return qualified(Request.of(model, options))


qualify.__signature__ = REQUEST  # type: ignore[attr-defined]
if qualify.__doc__:  # python -OO removes docstrings
    qualify.__doc__ = qualify.__doc__.format(
        inputs="\n            ".join(f"{taken.name}: {taken.help}" for taken in inputs())
    )


def qualified(asked: Request) -> Qualification:
    """Test whether a model is fit for its use, as a request describes it.

    Args:
        asked: the request.

    Raises:
        PestleError: there is a mistake in names, settings, models or data, or another command
            writes to the folder.
    """
    limits = read_thresholds(Path(asked.thresholds) if asked.thresholds is not None else None)
    run = read_run(asked.model, with_data=HELD_OUT.name not in asked.files)
    if run is None:
        require_model(asked.model)
    scope = scope_of(asked.scope, run)
    folder = Path(asked.out) if asked.out is not None else _default_folder(asked.model, run)
    require_folder(folder)
    with recording() as log, locked_folder(folder):
        given = read_given(run, asked.files)
        settings = settings_for(asked.settings or {}, full=asked.full)
        needed = needed_by(scope, observables_of(given, settings))
        wanted = protocols_to_run(needed, given, settings, asked.run_too, asked.leave_out)
        loaded = _contenders(asked, run)
        home = str(run.folder) if run is not None else asked.model
        of_all = Inputs(
            elements_for(asked.elements, given.sets.get(HELD_OUT.name, {}), home, loaded),
            seed=settings.seed,
            candidate=loaded.candidate.name,
            baseline=loaded.baseline.name if loaded.baseline else None,
            known=loaded.known,
        )

        def inputs_of(declared: Declaration) -> Inputs:
            return replace(of_all, sets=given.of(declared))

        tests = [declared for declared in declarations() if not declared.of_run]
        for declared in tests:
            if declared.name in wanted and declared.takes and declared.takes.name in given.typed:
                # A mistake in typed files must be reported now, not after an hour of other tests.
                test, own = protocol(declared.name), settings.of(declared.name)
                test.structures(inputs_of(declared), own)
                test.check(inputs_of(declared), own, loaded.all())

        # All mistakes are reported before this line, so that a refused call leaves no folder.
        log.write_to(RunFolder(folder).open_log())
        tested = Tested()
        of_training = finding_of_ending(run, asked.head)
        add_gate(tested, run, limits["zero_step"], "zero_step" in needed)
        for declared in tests:
            name, needs = declared.name, declared.name in needed
            if name not in wanted:
                on_purpose = name in asked.leave_out
                tested.not_tested.append(left_out(declared, needed=needs, on_purpose=on_purpose))
                continue
            test, own = protocol(name), settings.of(name)
            lacking = None if test.given_by(own) else given.lacking(declared)
            if lacking is not None:
                tested.not_tested.append(NotTested(name, needs, *lacking))
                continue
            home_of = folder / "protocols" / name
            part = run_test(
                tested,
                test,
                loaded,
                inputs_of(declared),
                settings,
                limits,
                home_of,
                needs,
                asked.dtype,
                run.making if run is not None else None,
                of_training,
            )
            if part:
                of_it = inputs_of(declared)
                extent = extents(test, of_it, own, asked.settings or {}, full=asked.full)
                tested.protocols[name] = part.model_copy(update=extent)
        add_ending(tested, run, asked.head)
        verdict = verdict_of(tested, scope, loaded, needed, asked, run)
        verdict.write(RunFolder(folder).verdict, sealed=True)
        if run is not None and run.folder == folder and asked.head in (None, TARGET_HEAD):
            write_to_card(verdict, RunFolder(folder).model / CARD)
        Timings(when=now(), seconds=tested.seconds).write(RunFolder(folder).timings, sealed=True)
        with stage("writing the report"):
            report = write_report(folder)
        return Qualification(verdict, folder, report)


def _contenders(asked: Request, run: OfRun | None) -> Contenders:
    """Load the candidate, its foundation, which a run names, and further models."""
    against = asked.against
    if against is None and run is not None and run.settings.foundation:
        file = RunFolder(run.folder).settings
        against = named_by_file(run.settings.foundation, file, "--against")
    return contenders(
        asked.model,
        against=against,
        also=asked.also,
        head=asked.head,
        against_head=run.settings.head if run is not None else None,
        trust=asked.trust,
        dtype=asked.dtype,
        device=asked.device,
    )


def _default_folder(model: str, run: OfRun | None) -> Path:
    """Return the run folder, or `qualify-NAME` beside the model."""
    if run is not None:
        return run.folder
    if Path(model).exists():
        where = Path(model).resolve()
        return where.parent / f"qualify-{file_name(where.stem)}"
    return Path(f"qualify-{file_name(model)}")
