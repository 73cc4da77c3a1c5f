"""Findings of the protocol `md`: unstable runs, and drift of the energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pestle.protocols.md.numbers import MdNumbers, PotentialNumbers, RunNumbers
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding, Level, limited
from pestle.settings.probe import MdSettings
from pestle.wording import counted, figure, listed

#: Largest number of runs that a sentence describes.
NAMED = 2
#: Length of the steady part in Table 1 of the paper, ps.
PAPER = 250.0
#: A steady part shorter than this, ps, is only a first look.
FIRST_LOOK = 10.0


def assess(measured: Measured[MdNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Judge the share of unstable runs, and the drift of the energy in stable runs.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    potentials = measured.numbers.potentials
    found = potentials[measured.about.candidate]
    base = potentials.get(measured.about.baseline or "")
    settings = MdSettings.model_validate(measured.about.settings)
    drift = _drift(found, settings, thresholds["drift_mev_per_atom_per_ps"])
    findings = [_stability(measured, found, base, settings, thresholds["unstable_share"])]
    return sorted(findings + drift, key=lambda f: -LEVELS.index(f.level))


def _stability(
    measured: Measured[MdNumbers],
    found: PotentialNumbers,
    base: PotentialNumbers | None,
    settings: MdSettings,
    limit: Threshold,
) -> Finding:
    share = found.unstable_share
    level = limit.level(share)
    bad = [run for run in found.runs if not run.stable]
    if bad:
        text = _lost(measured, bad, found.n_runs, base, level)
    else:
        beside = ""
        if base:
            lost = base.n_unstable or "none"
            beside = f" (with the foundation {lost} of {base.n_runs} became unstable)"
        runs = f"All {found.n_runs} runs" if found.n_runs > 1 else "The one run"
        text = f"{runs} stayed stable{beside}: {_simulated(found, settings)}"
    text += _moved(found)
    return Finding("md", level, "unstable runs", share, limit.unit, limit.words, text)


def _simulated(found: PotentialNumbers, settings: MdSettings) -> str:
    """State how long stable runs were, and that a longer run may still fail."""
    time, ramp = settings.time, settings.ramp_time
    stretches = []
    if time:
        stretches.append(f"{time:g} ps at {settings.temperature:g} K")
    if settings.nve_time:
        stretches.append(f"{settings.nve_time:g} ps without thermostat")
    if ramp:
        stretches.append(f"{ramp:g} ps from {settings.ramp_from:g} to {settings.ramp_to:g} K")
    many = counted(len({run.structure for run in found.runs}), "structure")
    text = f"{many} over {listed(stretches)}. "
    if not time:
        return text + f"Nothing was run at a steady temperature; the paper ran {PAPER:g} ps."
    if time < PAPER:
        look = "a first look; " if time < FIRST_LOOK else ""
        return text + (
            f"{time:g} ps: {look}the paper ran {PAPER:g} ps, and faults that need longer to appear "
            "are not excluded."
        )
    return text + "Faults that need longer to appear are not excluded."


def _lost(
    measured: Measured[MdNumbers],
    bad: Sequence[RunNumbers],
    runs: int,
    base: PotentialNumbers | None,
    level: Level,
) -> str:
    """Describe unstable runs, and what to do.

    A broken bond is not called an instability: a structure near a transition state may react, and
    no limit of bond lengths can distinguish a reaction from a fault of the model.
    """
    broken = [run for run in bad if run.kind == "bond"]
    worse = [run for run in bad if run.kind != "bond"]
    what = "became unstable" if worse else "lost a bond of a molecule"
    if worse and broken:
        what += f", {len(broken)} of them by a bond that broke"
    told = "; ".join(story(run) for run in [*worse, *broken][:NAMED])
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    text = f"{len(bad)} of {counted(runs, 'run')} {what}{_beside(base, bool(worse))}: {told}{more}."
    if worse:
        use = limited(level, "dynamics under these conditions")
        text += (
            f" {use[:1].upper()}{use[1:]}: check the reference energies first (pestle "
            "e0; averaged ones broke every fine-tuned run of Table 1), then train on structures "
            "near the failure or with replay."
        )
    if broken:
        name = f"trajectory-{broken[0].part}-{broken[0].structure}.xyz"
        path = measured.typed(measured.about.candidate, name)
        text += (
            f" {'The bond: d' if worse else 'D'}issociation or reaction: look at {path}. If it "
            "should have held, train on structures near the break or with replay."
        )
    return text


def _beside(base: PotentialNumbers | None, worse: bool) -> str:
    """State how many runs of the foundation were unstable.

    Args:
        base: numbers of the foundation; `None` if there is none.
        worse: whether the candidate had other faults than broken bonds. If it had none, the
            foundation's broken bonds are counted separately.
    """
    if base is None:
        return ""
    bonds = sum(run.kind == "bond" for run in base.runs)
    of_them = f", {bonds} of them by a bond" if not worse and bonds < base.n_unstable else ""
    return f" (the foundation: {base.n_unstable} of {base.n_runs}{of_them})"


def story(run: RunNumbers) -> str:
    """Describe in one clause what happened to an unstable run."""
    parts: dict[str | None, str]
    parts = {"steady": "the steady part", "nve": "the tail at constant energy", "ramp": "the ramp"}
    kelvin = "" if run.leg == "nve" else f" at {run.thermostat:.0f} K"
    what = (run.reason or "").removeprefix("it ")
    if run.kind == "volume" and run.stress is not None:
        what += f" (stress at the start {figure(run.stress, 2)} GPa)"
    return (
        f"structure {run.structure} ({run.where}): {what} at {figure(run.time, 4)} ps "
        f"(step {run.step}) in {parts[run.leg]}{kelvin}"
    )


def listed_moves(run: RunNumbers) -> str:
    """Name the first protons that moved in a run, and say how many moves follow."""
    more = len(run.transfers) - NAMED
    return ", ".join(run.transfers[:NAMED]) + (f" and {counted(more, 'more move')}" * (more > 0))


def _moved(found: PotentialNumbers) -> str:
    """Describe proton transfers, which are no concern; empty if there was none."""
    moved = [run for run in found.runs if run.transfers]
    if not moved:
        return ""
    told = "; ".join(f"structure {run.structure}: {listed_moves(run)}" for run in moved[:NAMED])
    more = f"; and in {len(moved) - NAMED} more" if len(moved) > NAMED else ""
    many = f"{len(moved)} of {counted(found.n_runs, 'run')}"
    return f" Protons moved to a new partner in {many}, which is no lost bond: {told}{more}."


class _Tail(NamedTuple):
    """Drift of one stable run, meV/atom/ps; see `RunNumbers`."""

    structure: int
    drift: float
    error: float
    judged: float


def _drift(found: PotentialNumbers, settings: MdSettings, limit: Threshold) -> list[Finding]:
    """Judge the worst drift that is certain; no finding if no run reached the end of its tail.

    The energy of a short tail fluctuates, which may look like a drift. The judged value is
    therefore the slope minus half the width of its interval. A tail is not judged if the half-width
    of its interval is larger than the limit.
    """
    runs = [run for run in found.runs if run.stable and run.part == "steady"]
    if not runs or not settings.nve_time:
        return []
    tails = [
        _Tail(run.structure, run.drift, run.drift_error, run.drift_judged)
        for run in runs
        if run.drift is not None and run.drift_error is not None and run.drift_judged is not None
    ]
    least = limit.concern if limit.concern is not None else limit.fail
    clear = [t for t in tails if least is None or t.error < least or t.judged >= least]
    length = f"{settings.nve_time:g} ps"
    if not clear:
        widths = [tail.error for tail in tails]
        known = (
            f"known to ± {figure(min(widths), 2)} at best" if widths else "of fewer than 5 frames"
        )
        text = (
            f"A tail of {length} without thermostat is too short to tell a drift of {least:g} "
            f"{limit.unit} from fluctuations ({known}); nothing was found. Lengthen md.nve_time to "
            "judge it."
        )
        return [Finding("md", "pass", "energy drift", None, limit.unit, limit.words, text)]
    worst = max(clear, key=lambda tail: (tail.judged, abs(tail.drift)))
    level = limit.level(worst.judged)
    text = (
        f"Without thermostat the total energy of structure {worst.structure} drifts by "
        f"{figure(worst.drift)} ± {figure(worst.error, 2)} {limit.unit} (95 %)"
    )
    text += f", the worst of {len(clear)} tails." if len(clear) > 1 else "."
    if len(clear) < len(runs):
        short = len(runs) - len(clear)
        text += f" {short} of {len(runs)} tails {'is' if short == 1 else 'are'} too short to tell."
    if level != "pass":
        text += (
            " Use a shorter time step (md.timestep) or float64; if it stays, the forces are not "
            "the gradient of a smooth energy."
        )
    unit, words = limit.unit, limit.words
    return [Finding("md", level, "energy drift", worst.judged, unit, words, text)]
