"""`pestle qualify`: the protocols that a scope needs, the verdict, the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.files import CannotWrite, sha256
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.potentials import Contenders, contenders, file_name, named_by_file
from pestle.jobs.probe import elements_for, run_protocol
from pestle.jobs.qualify_inputs import OfRun, read_given, read_run
from pestle.jobs.qualify_plan import (
    extents,
    left_out,
    observables_of,
    protocols_to_run,
    scope_of,
    settings_for,
)
from pestle.locks import InUse, Vanished, locked_folder
from pestle.progress import say
from pestle.protocols import NAMES, protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.protocols.verdict import by_level, conclude, needed_by
from pestle.protocols.zero_step import assess_gate
from pestle.records.folder import RunFolder, now, require_folder, versions
from pestle.records.timings import Timings
from pestle.records.verdict import (
    CountedFinding,
    Finding,
    NotTested,
    Scope,
    TestedProtocol,
    Verdict,
    worst,
)
from pestle.report import write_report
from pestle.settings.probe import ProbeSettings


@dataclass
class Tested:
    """What came of the protocols so far."""

    findings: list[Finding] = field(default_factory=list)
    protocols: dict[str, TestedProtocol] = field(default_factory=dict)
    not_tested: list[NotTested] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def qualify(
    model: str,
    *,
    against: str | None = None,
    scope: str | None = None,
    also: Sequence[str] = (),
    data: Sequence[str] = (),
    structures: Sequence[str] = (),
    path: Sequence[str] = (),
    torsions: Sequence[str] = (),
    broad: Sequence[str] = (),
    elements: Sequence[str] = (),
    run_too: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    full: bool = False,
    head: str | None = None,
    trust: bool = False,
    dtype: str = "float64",
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    thresholds: str | Path | None = None,
    out: str | Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Test a model for what it will be used for, and say whether it is fit.

    Args:
        model: the candidate: run folder, model folder, file, catalogue name, or
            `calculator:MODULE:NAME`.
        against: its foundation; by default that of the run.
        scope: narrow or broad; by default that of the run.
        also: further models to compare.
        data: held-out labelled frames, `FILES` or `NAME=FILES`; by default those of the run.
        structures: what molecular dynamics starts from; by default the held-out frames.
        path: reaction paths: reactant first, product last, labelled images between.
        torsions: labelled scans.
        broad: labelled frames of the pretraining distribution, for forgetting; by default
            structures that the foundation labels.
        elements: chemical symbols instead of those of the data.
        run_too, leave_out: protocols to add to those of the scope, or to leave out.
        full: the full settings instead of those of a first look.
        head: head of the candidate.
        trust: allow `.model` files.
        dtype: precision of the networks.
        device: where they predict.
        settings: table of dotted names of `ProbeSettings`.
        thresholds: file that changes thresholds.
        out: folder to write; by default the run folder, or `qualify-NAME` beside the model.
        command: command line, for the report.

    Returns:
        What verdict.json holds, with `report` and `out`.

    Raises:
        PestleError: a mistake in names, settings, models or data, or another command writes to
            the folder.
    """
    limits = read_thresholds(Path(thresholds) if thresholds is not None else None)
    run = read_run(model, with_data=not data)
    wanted = scope_of(scope, run)
    folder = Path(out) if out is not None else _folder(model, run)
    require_folder(folder)
    with locked_folder(folder):
        given = read_given(
            run, data=data, structures=structures, path=path, torsions=torsions, broad=broad
        )
        chosen = settings_for(settings or {}, full=full)
        observables = observables_of(given, chosen)
        needed = needed_by(wanted, observables)
        names = protocols_to_run(needed, given, chosen, run_too, leave_out)
        if against is None and run is not None and run.settings.foundation:
            file = RunFolder(run.folder).settings
            against = named_by_file(run.settings.foundation, file, "--against")
        loaded = contenders(
            model,
            against=against,
            also=also,
            head=head,
            against_head=run.settings.head if run is not None else None,
            trust=trust,
            dtype=dtype,
            device=device,
        )
        home = str(run.folder) if run is not None else model
        symbols = elements_for(elements, given.held_out, home, loaded)

        def inputs_of(name: str) -> Inputs:
            baseline = loaded.baseline.name if loaded.baseline else None
            candidate = loaded.candidate.name
            return Inputs(
                symbols, given.of(name), chosen.seed, candidate, baseline, known=loaded.known
            )

        asked_for = {
            "errors": data, "md": structures, "neb": path, "torsion": torsions, "forgetting": broad,
        }  # fmt: skip
        for name in names & {name for name, files in asked_for.items() if files}:
            # A mistake in what the user typed must not show after an hour of other tests.
            test, own = protocol(name), getattr(chosen, name)
            test.structures(inputs_of(name), own)
            test.check(inputs_of(name), own, loaded.all())

        tested = Tested()
        _zero_step(tested, run, limits["zero_step"], "zero_step" in needed)
        for name in NAMES:
            needs = name in needed
            from_file = name == "rdf" and bool(chosen.rdf.trajectory)
            lacking = None if from_file else given.lacking(name)
            if name not in names:
                entry = left_out(name, needed=needs, on_purpose=name in leave_out)
                tested.not_tested.append(entry)
            elif lacking is not None:
                tested.not_tested.append(NotTested(name, needs, *lacking))
            else:
                home_of = folder / "protocols" / name
                part = _test(
                    tested,
                    protocol(name),
                    loaded,
                    inputs_of(name),
                    chosen,
                    limits,
                    home_of,
                    needs,
                    dtype,
                )
                if part:
                    extent = extents(
                        protocol(name), getattr(chosen, name), settings or {}, full=full
                    )
                    tested.protocols[name] = part.model_copy(update=extent)
        _ending(tested, run, head)
        verdict = _verdict(
            tested, wanted, loaded, needed, full=full, thresholds=thresholds, command=command
        )
        verdict.write(RunFolder(folder).verdict, sealed=True)
        Timings(when=now(), seconds=tested.seconds).write(RunFolder(folder).timings, sealed=True)
        report = write_report(folder)
        return verdict.in_file() | {"report": str(report), "out": str(folder)}


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
    say(f"\n=== {test.name}: {test.question} ===")
    started = time.monotonic()
    try:
        own = getattr(settings, test.name)
        with locked_folder(folder):
            metrics = run_protocol(test, loaded, inputs, own, folder, dtype)
    except (CannotWrite, InUse, Vanished):
        raise  # says nothing of the model
    except PestleError as error:
        why = f"{error.where}: {error.what}" if error.where else error.what
        tested.not_tested.append(NotTested(test.name, needed, why, error.fix or ""))
        say(f"not tested: {error.line}")
        return None
    tested.seconds[test.name] = round(time.monotonic() - started, 1)
    found = test.assess(metrics, limits[test.name])
    if not found and needed:
        why = "nothing could be judged: there is no label or reference to judge it by"
        tested.not_tested.append(NotTested(test.name, True, why, ""))
    tested.findings += found
    for finding in found:
        value = "not finite" if finding.value is None else f"{finding.value:.3g} {finding.unit}"
        say(f"{finding.level.upper()}: {finding.quantity}, {value}")
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
            extent=f"{gate.n_frames} training frames",
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
    finding = ending.finding(run.folder) if ending is not None else None
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
    *,
    full: bool,
    thresholds: str | Path | None,
    command: str,
) -> Verdict:
    """What verdict.json holds."""
    rank = {name: k for k, name in enumerate(("zero_step", *NAMES))}
    findings = by_level(tested.findings, rank)
    concluded = conclude(
        scope, loaded.candidate.name, findings, needed, tested.not_tested, quick=not full
    )
    return Verdict(
        verdict=concluded.verdict,
        sentence=concluded.sentence,
        scope=scope,
        candidate=loaded.candidate.name,
        baseline=loaded.baseline.name if loaded.baseline else None,
        others=tuple(potential.name for potential in loaded.others),
        labels=loaded.labels,
        quick=not full,
        thresholds=str(thresholds) if thresholds is not None else "shipped",
        command=command,
        findings=tuple(
            CountedFinding(**asdict(finding), counts=counts)
            for finding, counts in zip(findings, concluded.counted, strict=True)
        ),
        protocols=tested.protocols,
        not_tested=tuple(sorted(tested.not_tested, key=lambda entry: not entry.needed)),
        versions=versions(),
    )


def _folder(model: str, run: OfRun | None) -> Path:
    if run is not None:
        return run.folder
    if Path(model).exists():
        where = Path(model).resolve()
        return where.parent / f"qualify-{file_name(where.stem)}"
    return Path(f"qualify-{file_name(model)}")
