"""`pestle qualify`: the protocols that a scope needs, the verdict, the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.files import CannotWrite, Damaged, sha256
from pestle.foundations.interface import TARGET_HEAD
from pestle.foundations.safe_files import CARD
from pestle.jobs.potentials import Contenders, contenders, file_name, named_by_file, require_model
from pestle.jobs.probe import elements_for, run_protocol
from pestle.jobs.qualify_inputs import OfRun, read_given, read_run
from pestle.jobs.qualify_next import next_step
from pestle.jobs.qualify_plan import (
    extents,
    left_out,
    observables_of,
    protocols_to_run,
    scope_of,
    settings_for,
)
from pestle.jobs.qualify_request import REQUEST, Request
from pestle.locks import InUse, Vanished, locked_folder
from pestle.progress import detail, duration, recording, say, stage, warn
from pestle.protocols import declarations, inputs, protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.declaration import HELD_OUT, Declaration
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.protocols.verdict import conclude, in_order, needed_by, use_of
from pestle.protocols.zero_step.gate import assess_gate
from pestle.records.card import Card, VerdictInWords
from pestle.records.folder import RunFolder, now, require_folder, versions
from pestle.records.timings import Timings
from pestle.records.verdict import (
    CountedFinding,
    Finding,
    NotTested,
    TestedProtocol,
    Verdict,
    worst,
)
from pestle.reports import write_report
from pestle.settings.probe import ProbeSettings
from pestle.settings.scope import Scope
from pestle.views import Shown, Table
from pestle.wording import counted


@dataclass
class Tested:
    """What came of the protocols so far."""

    findings: list[Finding] = field(default_factory=list)
    protocols: dict[str, TestedProtocol] = field(default_factory=dict)
    not_tested: list[NotTested] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Qualification(Shown):
    """Whether a model is fit for its use.

    Attributes:
        verdict: findings, and what they come to.
        out: folder of the results.
        report: the page.
    """

    verdict: Verdict
    out: Path
    report: Path

    def __repr__(self) -> str:
        return f"<Qualification of {self.verdict.candidate}: {self.lines()[0]}>"

    def lines(self) -> list[str]:
        """The verdict, what the model may be used for, and where the page is."""
        found = self.verdict
        headline = f"{found.verdict.upper()} ({found.scope} scope): {found.sentence}"
        use = found.use.lines.items() if found.use is not None else ()
        told = [f"{about}: {line}" for about, line in use]
        return [headline, *told, f"report: {self.report}"]

    def tables(self) -> list[Table]:
        """The findings, the worst first, and what was not tested."""
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
        """What verdict.json holds, with `report` and `out`."""
        return self.verdict.in_file() | {"report": str(self.report), "out": str(self.out)}


def qualify(model: str, **options: Any) -> Qualification:
    """Test a model for what it will be used for, and say whether it is fit.

    >>> found = pestle.qualify("runs/mine", scope="narrow")
    >>> found.verdict.verdict  # pass, concern, fail or incomplete

    Args:
        model: the candidate: run folder, model folder, file, catalogue name, or
            `calculator:MODULE:NAME`.
        options: fields of `pestle.jobs.qualify_request.Request`, and the files that protocols take,
            each a list of `FILES` or `NAME=FILES`:
            {inputs}

    Returns:
        The verdict, and where results and page lie.

    Raises:
        PestleError: a mistake in names, settings, models or data, or another command writes to
            the folder.
    """
    return qualified(Request.of(model, options))


qualify.__signature__ = REQUEST  # type: ignore[attr-defined]
if qualify.__doc__:  # python -OO leaves it out
    qualify.__doc__ = qualify.__doc__.format(
        inputs="\n            ".join(f"{taken.name}: {taken.help}" for taken in inputs())
    )


def qualified(asked: Request) -> Qualification:
    """The same of a request."""
    limits = read_thresholds(Path(asked.thresholds) if asked.thresholds is not None else None)
    run = read_run(asked.model, with_data=HELD_OUT.name not in asked.files)
    if run is None:
        require_model(asked.model)
    scope = scope_of(asked.scope, run)
    folder = Path(asked.out) if asked.out is not None else _folder(asked.model, run)
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
                # A mistake in what the user typed must not show after an hour of other tests.
                test, own = protocol(declared.name), settings.of(declared.name)
                test.structures(inputs_of(declared), own)
                test.check(inputs_of(declared), own, loaded.all())

        # Mistakes were found by now: a refused call leaves no folder behind.
        log.write_to(RunFolder(folder).open_log())
        tested = Tested()
        _zero_step(tested, run, limits["zero_step"], "zero_step" in needed)
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
            part = _test(
                tested,
                test,
                loaded,
                inputs_of(declared),
                settings,
                limits,
                home_of,
                needs,
                asked.dtype,
            )
            if part:
                of_it = inputs_of(declared)
                extent = extents(test, of_it, own, asked.settings or {}, full=asked.full)
                tested.protocols[name] = part.model_copy(update=extent)
        _ending(tested, run, asked.head)
        verdict = _verdict(tested, scope, loaded, needed, asked, run)
        verdict.write(RunFolder(folder).verdict, sealed=True)
        if run is not None and run.folder == folder and asked.head in (None, TARGET_HEAD):
            _to_card(verdict, RunFolder(folder).model / CARD)
        Timings(when=now(), seconds=tested.seconds).write(RunFolder(folder).timings, sealed=True)
        with stage("writing the report"):
            report = write_report(folder)
        return Qualification(verdict, folder, report)


def _contenders(asked: Request, run: OfRun | None) -> Contenders:
    """The candidate, its foundation, which a run names, and what else is compared."""
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


def _test(
    tested: Tested,
    test: Protocol,
    loaded: Contenders,
    inputs: Inputs,
    settings: ProbeSettings,
    limits: Mapping[str, Mapping[str, Threshold]],
    folder: Path,
    needed: bool,
    dtype: str,
) -> TestedProtocol | None:
    """Run one protocol and add its findings; `None`, and an entry of what was not tested, where it
    cannot be run on what was given."""
    started = time.monotonic()
    try:
        own = settings.of(test.name)
        with locked_folder(folder), stage(f"{test.name}: {test.question}"):
            metrics = run_protocol(test, loaded, inputs, own, folder, dtype)
    except (CannotWrite, InUse, Vanished):
        raise  # says nothing of the model
    except PestleError as error:
        why = f"{error.where}: {error.what}" if error.where else error.what
        tested.not_tested.append(NotTested(test.name, needed, why, error.fix or ""))
        say(f"{test.name}: not tested, {error.line}")
        return None
    tested.seconds[test.name] = round(time.monotonic() - started, 1)
    found = test.assess(metrics, limits[test.name])
    if not found and needed:
        why = "nothing could be judged: there is no label or reference to judge it by"
        tested.not_tested.append(NotTested(test.name, True, why, ""))
    tested.findings += found
    for finding in found:
        if finding.value is not None:
            value = f"{finding.value:.3g} {finding.unit}"
        else:  # what passed without a figure could not be told, and its sentence says why
            value = "not finite" if finding.level == "fail" else "cannot be told"
        detail(f"{finding.level.upper()}: {finding.quantity}, {value}")
    level = worst([finding.level for finding in found]).upper() if found else "nothing to judge"
    aside = "" if needed else "  (does not count for this scope)"
    say(f"{test.name}: {level}, {duration(tested.seconds[test.name])}{aside}")
    return TestedProtocol(
        level=worst([f.level for f in found]) if found else None,
        needed=needed,
        metrics=sha256(folder / "metrics.json"),
    )


def _zero_step(
    tested: Tested, run: OfRun | None, limits: Mapping[str, Threshold], needed: bool
) -> None:
    """The gate of the run; a model that no run made has none, nor one from random weights."""
    gate = run.manifest.gate if run is not None else None
    if gate:
        tested.findings.append(assess_gate(gate, limits))
        tested.protocols["zero_step"] = TestedProtocol(
            level=tested.findings[-1].level,
            needed=needed,
            extent=counted(gate.n_frames, "training frame"),
        )
        return
    if run is None:
        why, how = "the model is not given as the result of a run", "pestle qualify RUN_DIR"
        entry = NotTested("zero_step", False, why, how)
    elif not method_of(run.settings).keeps_foundation:
        why = "the method does not start from the foundation's weights"
        entry = NotTested("zero_step", False, why, "")
    else:
        why = "the manifest of the run holds no gate"
        entry = NotTested("zero_step", needed, why, "")
    tested.not_tested.append(entry)


def _ending(tested: Tested, run: OfRun | None, head: str | None) -> None:
    """What is wrong with the run as a whole comes first; it is about the target head."""
    if run is None or head not in (None, TARGET_HEAD):
        return
    ending = run.manifest.ending
    finding = ending.finding if ending is not None else None
    if finding is None:
        return
    tested.findings.insert(0, finding)
    part = tested.protocols.get(finding.protocol)
    if part is not None:
        level = worst([finding.level, *([part.level] if part.level else [])])
        tested.protocols[finding.protocol] = part.model_copy(update={"level": level})


def _verdict(
    tested: Tested,
    scope: Scope,
    loaded: Contenders,
    needed: Sequence[str],
    asked: Request,
    run: OfRun | None,
) -> Verdict:
    """What verdict.json holds."""
    findings, quick = in_order(tested.findings, needed), not asked.full
    concluded = conclude(
        scope, loaded.candidate.name, findings, needed, tested.not_tested, quick=quick
    )
    found = Verdict(
        verdict=concluded.verdict,
        sentence=concluded.sentence,
        scope=scope,
        candidate=loaded.candidate.name,
        baseline=loaded.baseline.name if loaded.baseline else None,
        others=tuple(potential.name for potential in loaded.others),
        labels=loaded.labels,
        quick=quick,
        thresholds=str(asked.thresholds) if asked.thresholds is not None else "shipped",
        command=asked.command,
        findings=tuple(
            CountedFinding(**asdict(finding), counts=counts)
            for finding, counts in zip(findings, concluded.counted, strict=True)
        ),
        protocols=tested.protocols,
        not_tested=tuple(sorted(tested.not_tested, key=lambda entry: not entry.needed)),
        versions=versions(),
    )
    use = use_of(findings, tested.not_tested, quick=quick)
    step = next_step(found, asked, run)
    return found.model_copy(update={"use": use.model_copy(update={"next": step})})


def _to_card(verdict: Verdict, path: Path) -> None:
    """Write the verdict on a run's target head into the card of its model, which goes where the run
    folder does not."""
    if not path.is_file():
        return
    try:
        card = Card.read(path)
    except Damaged as error:
        warn(f"{error.where}: {error.what}; the verdict is not written there")
        return
    assert verdict.use is not None
    said = VerdictInWords(
        verdict=verdict.verdict,
        scope=verdict.scope,
        use_for=verdict.use.use_for,
        not_for=verdict.use.not_for,
    )
    card.model_copy(update={"verdict": said}).write(path, sealed=True)


def _folder(model: str, run: OfRun | None) -> Path:
    if run is not None:
        return run.folder
    if Path(model).exists():
        where = Path(model).resolve()
        return where.parent / f"qualify-{file_name(where.stem)}"
    return Path(f"qualify-{file_name(model)}")
