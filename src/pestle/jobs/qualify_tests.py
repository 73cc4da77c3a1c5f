"""The tests of a qualification: running each, and collecting findings and what was not tested."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pestle.adaptation import method_of
from pestle.errors import PestleError
from pestle.files import CannotWrite, sha256
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.potentials import Contenders
from pestle.jobs.protocol_run import run_protocol
from pestle.jobs.qualify_inputs import OfRun
from pestle.locks import InUse, Vanished, locked_folder
from pestle.progress import detail, duration, say, stage
from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.errors.findings import against_name
from pestle.protocols.thresholds import Threshold
from pestle.protocols.zero_step.gate import assess_gate
from pestle.records.ending import Ending
from pestle.records.results import Making
from pestle.records.set_errors import UNITS
from pestle.records.verdict import LEVELS, Finding, NotTested, TestedProtocol, worst
from pestle.settings.probe import ProbeSettings
from pestle.wording import figure


@dataclass
class Tested:
    """Results of the protocols so far.

    Attributes:
        findings: findings on the candidate.
        protocols: name of the protocol → its level, and how much was calculated.
        not_tested: protocols that did not run, with the reason.
        seconds: name of the protocol → time that it took, s.
    """

    findings: list[Finding] = field(default_factory=list)
    protocols: dict[str, TestedProtocol] = field(default_factory=dict)
    not_tested: list[NotTested] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def run_test(
    tested: Tested,
    test: Protocol,
    loaded: Contenders,
    inputs: Inputs,
    settings: ProbeSettings,
    limits: Mapping[str, Mapping[str, Threshold]],
    folder: Path,
    needed: bool,
    dtype: str,
    making: Making | None,
    known: Finding | None = None,
) -> TestedProtocol | None:
    """Run one protocol and add its findings.

    Args:
        tested: results so far; the findings, the time, and a protocol that cannot run are added.
        test: the protocol.
        loaded: the potentials.
        inputs: structures and elements.
        settings: settings of all protocols.
        limits: protocol → quantity → threshold.
        folder: folder of the results.
        needed: whether the scope needs the protocol.
        dtype: precision of the networks.
        making: how a run made the candidate; `None` if no run made it.
        known: finding on the training, which `add_ending` adds; the line of its protocol has the
            worst level of the findings that stand under its name.

    Returns:
        The level of the protocol; `None` if it cannot run with these potentials or structures.

    Raises:
        PestleError: the folder cannot be written, or another command writes to it.
    """
    started = time.monotonic()
    try:
        own = settings.of(test.name)
        with locked_folder(folder), stage(f"{test.name}: {test.question}"):
            metrics = run_protocol(test, loaded, inputs, own, folder, dtype)
    except (CannotWrite, InUse, Vanished):
        raise  # a problem of the folder, not of the model
    except PestleError as error:
        why = f"{error.where}: {error.what}" if error.where else error.what
        tested.not_tested.append(NotTested(test.name, needed, why, error.fix or ""))
        say(f"{test.name}: not tested, {error.line}")
        return None
    tested.seconds[test.name] = round(time.monotonic() - started, 1)
    found = test.assess(replace(metrics, making=making), limits[test.name])
    if not found and needed:
        why = "nothing could be judged: there is no label or reference to judge it by"
        tested.not_tested.append(NotTested(test.name, True, why, ""))
    tested.findings += found
    for finding in found:
        if finding.value is not None:
            value = f"{figure(finding.value)} {finding.unit}"
        else:  # a finding without a value that passed; its sentence says why there is none
            value = "not finite" if finding.level == "fail" else "cannot be told"
        detail(f"{finding.level.upper()}: {finding.quantity}, {value}")
    levels = [finding.level for finding in found]
    levels += [known.level] if known is not None and known.protocol == test.name else []
    level = worst(levels).upper() if levels else "nothing to judge"
    aside = "" if needed else "  (does not count for this scope)"
    say(f"{test.name}: {level}, {duration(tested.seconds[test.name])}{aside}")
    return TestedProtocol(
        level=worst([f.level for f in found]) if found else None,
        needed=needed,
        metrics=sha256(folder / "metrics.json"),
    )


def add_gate(
    tested: Tested, run: OfRun | None, limits: Mapping[str, Threshold], needed: bool
) -> None:
    """Add the zero-step gate of the run, or the reason why there is none.

    Args:
        tested: results so far.
        run: the run that made the model; `None` if no run made it.
        limits: quantity → threshold of the gate.
        needed: whether the scope needs the gate.
    """
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
        why = "the manifest of the run contains no gate"
        entry = NotTested("zero_step", needed, why, "")
    tested.not_tested.append(entry)


def _is_of_ending(found: Finding, ending: Ending, run: OfRun) -> bool:
    """Whether a finding of the protocol `errors` says what the ending of the run says, too.

    That is so for the comparison with the foundation on the run's own sets: where the kept model
    is the foundation itself, and in the quantities in which it is worse.
    """
    assert ending.trouble is not None
    if found.protocol != "errors" or found.level == "pass":
        return False
    for one in ending.sets:
        if one.name not in run.held_out:
            continue
        kept_start = ending.trouble.kind == "start"
        told = UNITS if kept_start else one.worse if ending.trouble.kind != "unfinished" else ()
        if found.quantity in {against_name(quantity, one.name) for quantity in told}:
            return True
    return False


def finding_of_ending(run: OfRun | None, head: str | None) -> Finding | None:
    """Return the finding on a bad end of the run; `None` if nothing is wrong or known.

    Args:
        run: the run that made the model; `None` if no run made it.
        head: head of the candidate; the end of a run is about the target head only.
    """
    if run is None or head not in (None, TARGET_HEAD) or run.manifest.ending is None:
        return None
    return run.manifest.ending.finding


def add_ending(tested: Tested, run: OfRun | None, head: str | None) -> None:
    """Put a bad end of the run before all other findings, in the place of those that say the same.

    Args:
        tested: results so far.
        run: the run that made the model; `None` if no run made it.
        head: head of the candidate; the end of a run is about the target head only.
    """
    finding = finding_of_ending(run, head)
    if finding is None:
        return
    assert run is not None and run.manifest.ending is not None
    ending = run.manifest.ending
    same = [found for found in tested.findings if _is_of_ending(found, ending, run)]
    worst_of_them = max(same, key=lambda found: LEVELS.index(found.level), default=finding)
    if LEVELS.index(worst_of_them.level) > LEVELS.index(finding.level):
        # The ending says it with the likely reason; the stricter judgement and its figure stay.
        finding = replace(worst_of_them, sentence=finding.sentence)
    tested.findings = [finding, *(found for found in tested.findings if found not in same)]
    part = tested.protocols.get(finding.protocol)
    if part is not None:
        level = worst([finding.level, *([part.level] if part.level else [])])
        tested.protocols[finding.protocol] = part.model_copy(update={"level": level})
