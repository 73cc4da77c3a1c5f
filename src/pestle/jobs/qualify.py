"""`pestle qualify`: the protocols that a scope needs, the verdict, the report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from pestle.errors import PestleError
from pestle.files import finite, write_json
from pestle.jobs.potentials import Contenders, contenders, file_name
from pestle.jobs.probe import elements_for, run_protocol
from pestle.jobs.qualify_inputs import Given, OfRun, read_given, read_run
from pestle.probe_settings import ProbeSettings
from pestle.progress import say
from pestle.protocols import NAMES, protocol
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.results import Finding, worst
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.protocols.verdict import (
    OBSERVABLES,
    NotTested,
    Scope,
    by_level,
    conclude,
    needed_by,
)
from pestle.protocols.zero_step import assess_gate
from pestle.report import write_report
from pestle.run_file import build
from pestle.run_folder import now, versions

#: Run wherever its references are there, although no scope needs it: it costs nothing.
WHERE_POSSIBLE = ("atoms",)


@dataclass
class Tested:
    """What came of the protocols so far."""

    findings: list[Finding] = field(default_factory=list)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    not_tested: list[NotTested] = field(default_factory=list)


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
        PestleError: a mistake in names, settings, models or data.
    """
    limits = read_thresholds(Path(thresholds) if thresholds is not None else None)
    run = read_run(model)
    wanted = _scope(scope, run)
    given = read_given(
        run, data=data, structures=structures, path=path, torsions=torsions, broad=broad
    )
    chosen = settings_for(settings or {}, full=full)
    observables = _observables(given, chosen)
    needed = needed_by(wanted, observables)
    names = _to_run(needed, run_too, leave_out)
    if against is None and run is not None and run.settings.foundation:
        against = run.settings.foundation
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
    symbols = elements_for(elements, given.held_out, model, loaded)
    folder = Path(out) if out is not None else _folder(model, run)

    tested = Tested()
    _zero_step(tested, run, limits["zero_step"], "zero_step" in needed)
    for name in NAMES:
        if name not in names:
            _left_out(tested, name, name in needed, name in leave_out)
            continue
        inputs = Inputs(
            symbols,
            given.of(name),
            chosen.seed,
            loaded.candidate.name,
            loaded.baseline.name if loaded.baseline else None,
        )
        from_file = name == "rdf" and bool(chosen.rdf.trajectory)
        lacking = None if from_file else given.lacking(name)
        if lacking is not None:
            tested.not_tested.append(NotTested(name, name in needed, *lacking))
            continue
        test = protocol(name)
        say(f"\n=== {name}: {test.question} ===")
        started = time.monotonic()
        try:
            own = getattr(chosen, name)
            metrics = run_protocol(test, loaded, inputs, own, folder / "protocols" / name, dtype)
        except PestleError as error:
            tested.not_tested.append(NotTested(name, name in needed, error.what, error.fix or ""))
            say(f"not tested: {error.line}")
            continue
        found = test.assess(metrics, limits[name])
        tested.findings += found
        for finding in found:
            say(f"{finding.level.upper()}: {finding.sentence}")
        tested.protocols[name] = {
            "level": worst([f.level for f in found]) if found else None,
            "needed": name in needed,
            **_extent(test, own, settings or {}, full=full),
            "seconds": round(time.monotonic() - started, 1),
        }
    content = _verdict(
        tested, wanted, loaded, needed, full=full, thresholds=thresholds, command=command
    )
    write_json(folder / "verdict.json", content)
    report = write_report(folder)
    return content | {"report": str(report), "out": str(folder)}


def settings_for(asked: Mapping[str, Any], *, full: bool) -> ProbeSettings:
    """The settings of all protocols: full ones, or those of a first look; what was asked for goes
    before both.

    Raises:
        PestleError: an unknown setting or a wrong value.
    """
    quick: dict[str, Any] = {}
    if not full:
        for name in NAMES:
            quick |= {f"{name}.{leaf}": value for leaf, value in protocol(name).quick.items()}
    built = build({}, quick | dict(asked), root=ProbeSettings)
    assert isinstance(built, ProbeSettings)
    return built


def _scope(asked: str | None, run: OfRun | None) -> Scope:
    scope = asked or (run.settings.scope if run is not None else None)
    if scope not in get_args(Scope):
        raise PestleError(
            f"unknown scope '{scope}'" if scope else "it is not known what the model is for",
            where="scope",
            fix="Give --scope narrow (configurations like those of the data) or --scope broad.",
        )
    return cast(Scope, scope)


def _observables(given: Given, settings: ProbeSettings) -> list[str]:
    """Observables that the user gave a reference for."""
    there = {
        "rdf": bool(settings.rdf.reference or settings.rdf.trajectory),
        "neb": bool(given.paths),
        "torsion": bool(given.torsions),
    }
    return [name for name in OBSERVABLES if there[name]]


def _to_run(needed: Sequence[str], run_too: Sequence[str], leave_out: Sequence[str]) -> set[str]:
    """Names of the protocols to run."""
    for name in (*run_too, *leave_out):
        protocol(name)  # an unknown one is an error
    return {*needed, *WHERE_POSSIBLE, *run_too} - set(leave_out)


def _zero_step(
    tested: Tested, run: OfRun | None, limits: Mapping[str, Threshold], needed: bool
) -> None:
    """The gate of the run; a model that no run made has none, and needs none."""
    gate = run.manifest.get("gate") if run is not None else None
    if gate:
        tested.findings.append(assess_gate(gate, limits))
        tested.protocols["zero_step"] = {
            "level": tested.findings[-1].level,
            "needed": needed,
            "extent": f"{gate['n_frames']} training frames",
            "full_extent": None,
            "seconds": 0.0,
        }
        return
    if run is not None:
        why, how = "the method does not start from the foundation's weights", ""
    else:
        why, how = "the model is not given as the folder of its run", "pestle qualify RUN_DIR"
    tested.not_tested.append(NotTested("zero_step", False, why, how))


def _left_out(tested: Tested, name: str, needed: bool, on_purpose: bool) -> None:
    if on_purpose:
        entry = NotTested(name, needed, "it was left out", f"without --without {name}")
    elif name in OBSERVABLES:
        how = {
            "rdf": "--set rdf.reference=FILE",
            "neb": "--path FILE",
            "torsion": "--torsions FILES",
        }[name]
        entry = NotTested(name, needed, "no reference for it was given", how)
    else:
        entry = NotTested(name, needed, "the scope does not need it", f"--with {name}")
    tested.not_tested.append(entry)


def _extent(
    test: Protocol, own: Any, asked: Mapping[str, Any], *, full: bool
) -> dict[str, str | None]:
    """How much was calculated, and how much the full settings would."""
    extent = test.extent(own)
    whole = None if full else test.extent(getattr(settings_for(asked, full=True), test.name))
    return {"extent": extent, "full_extent": None if whole == extent else whole}


def _verdict(
    tested: Tested,
    scope: Scope,
    loaded: Contenders,
    needed: Sequence[str],
    *,
    full: bool,
    thresholds: str | Path | None,
    command: str,
) -> dict[str, Any]:
    """What verdict.json holds."""
    rank = {name: k for k, name in enumerate(("zero_step", *NAMES))}
    findings = by_level(tested.findings, rank)
    verdict = conclude(scope, loaded.candidate.name, findings, needed, tested.not_tested)
    return finite(
        {
            "verdict": verdict.verdict,
            "sentence": verdict.sentence,
            "scope": scope,
            "candidate": loaded.candidate.name,
            "baseline": loaded.baseline.name if loaded.baseline else None,
            "others": [potential.name for potential in loaded.others],
            "labels": loaded.labels,
            "quick": not full,
            "thresholds": str(thresholds) if thresholds is not None else "shipped",
            "command": command,
            "when": now(),
            "findings": [
                asdict(finding) | {"counts": counts}
                for finding, counts in zip(findings, verdict.counted, strict=True)
            ],
            "protocols": tested.protocols,
            "not_tested": [
                asdict(entry) for entry in sorted(tested.not_tested, key=lambda e: not e.needed)
            ],
            "versions": versions(),
        }
    )


def _folder(model: str, run: OfRun | None) -> Path:
    if run is not None:
        return Path(model)
    if Path(model).exists():
        where = Path(model).resolve()
        return where.parent / f"qualify-{file_name(where.stem)}"
    return Path(f"qualify-{file_name(model)}")
