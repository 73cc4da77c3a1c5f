"""What the protocol `md` makes of its numbers: runs that did not hold, drift of the energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import LEVELS, Finding
from pestle.records.wording import counted, listed

#: Runs that a sentence describes.
NAMED = 2
#: Length of the steady part in Table 1 of the paper, ps.
PAPER = 250.0
#: A shorter steady part, ps, is no more than a first look.
FIRST_LOOK = 10.0


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """The share of unstable runs, and the drift of the energy in stable ones."""
    found = metrics["potentials"][metrics["candidate"]]
    base = metrics["potentials"].get(metrics["baseline"])
    settings = metrics["settings"]
    drift = _drift(found, settings, thresholds["drift_mev_per_atom_per_ps"])
    findings = [_stability(found, base, settings, thresholds["unstable_share"])]
    return sorted(findings + drift, key=lambda f: -LEVELS.index(f.level))


def _stability(
    found: Mapping[str, Any],
    base: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    limit: Threshold,
) -> Finding:
    bad = [run for run in found["runs"] if not run["stable"]]
    if bad:
        text = _lost(bad, found["n_runs"], base)
    else:
        beside = ""
        if base:
            lost = base["n_unstable"] or "none"
            beside = f" (of {base['n_runs']} with the foundation {lost} did not)"
        runs = f"All {found['n_runs']} runs" if found["n_runs"] > 1 else "The one run"
        text = f"{runs} stayed stable{beside}: {_simulated(found, settings)}"
    share = found["unstable_share"]
    return Finding("md", limit.level(share), "unstable runs", share, limit.unit, limit.words, text)


def _simulated(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """How much it was that nothing happened in, and what that does not exclude."""
    time, ramp = settings["time"], settings["ramp_time"]
    stretches = []
    if time:
        stretches.append(f"{time:g} ps at {settings['temperature']:g} K")
    if settings["nve_time"]:
        stretches.append(f"{settings['nve_time']:g} ps without thermostat")
    if ramp:
        stretches.append(f"{ramp:g} ps from {settings['ramp_from']:g} to {settings['ramp_to']:g} K")
    many = counted(len({run["structure"] for run in found["runs"]}), "structure")
    text = f"{many} over {listed(stretches)}. "
    if not time:
        return text + f"Nothing was run at a steady temperature; the paper ran {PAPER:g} ps."
    if time < PAPER:
        look = "a first look; " if time < FIRST_LOOK else ""
        return text + (
            f"{time:g} ps: {look}the paper ran {PAPER:g} ps, and what takes longer to break is not "
            "excluded."
        )
    return text + "What takes longer to break is not excluded."


def _lost(bad: Sequence[Mapping[str, Any]], runs: int, base: Mapping[str, Any] | None) -> str:
    """What became of unstable runs, and what to do.

    A bond that broke is not called an instability: a start near a transition state may react, and
    no limit on bond lengths tells that from a fault of the model.
    """
    broken = [run for run in bad if run["kind"] == "bond"]
    worse = [run for run in bad if run["kind"] != "bond"]
    what = "became unstable" if worse else "lost a bond of a molecule"
    if worse and broken:
        what += f", {len(broken)} of them by a bond that broke"
    told = "; ".join(story(run) for run in [*worse, *broken][:NAMED])
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    text = f"{len(bad)} of {runs} runs {what}{_beside(base, bool(worse))}: {told}{more}."
    if worse:
        text += (
            " Not for dynamics under these conditions: check the reference energies first (pestle "
            "e0; averaged ones broke every fine-tuned run of Table 1), then train on structures "
            "near the failure or with replay."
        )
    if broken:
        part, number = broken[0]["part"], broken[0]["structure"]
        text += (
            f" {'The bond: d' if worse else 'D'}issociation or reaction: look at trajectory-{part}-"
            f"{number}.xyz. If it should have held, train on structures near the break or with "
            "replay."
        )
    return text


def _beside(base: Mapping[str, Any] | None, worse: bool) -> str:
    """The foundation's count; beside bonds alone, how many of its own were bonds."""
    if base is None:
        return ""
    bonds = sum(run["kind"] == "bond" for run in base["runs"])
    of_them = f", {bonds} of them by a bond" if not worse and bonds < base["n_unstable"] else ""
    return f" (the foundation: {base['n_unstable']} of {base['n_runs']}{of_them})"


def story(run: Mapping[str, Any]) -> str:
    """What happened to an unstable run, in one clause."""
    parts = {"steady": "the steady part", "nve": "the tail at constant energy", "ramp": "the ramp"}
    kelvin = "" if run["leg"] == "nve" else f" at {run['thermostat']:.0f} K"
    what = run["reason"].removeprefix("it ")
    if run["kind"] == "volume" and run["stress"] is not None:
        what += f" (stress at the start {run['stress']:.2g} GPa)"
    return (
        f"structure {run['structure']} ({run['where']}): {what} at {run['time']:.4g} ps "
        f"(step {run['step']}) in {parts[run['leg']]}{kelvin}"
    )


def _drift(
    found: Mapping[str, Any], settings: Mapping[str, Any], limit: Threshold
) -> list[Finding]:
    """The surest drift; none where no run came through its tail.

    What may be the scatter of a short tail is no drift: judged is what is left of a slope less the
    half-width of its interval. A tail whose interval is wider than the limit tells nothing.
    """
    runs = [run for run in found["runs"] if run["stable"] and run["part"] == "steady"]
    if not runs or not settings["nve_time"]:
        return []
    least = limit.concern if limit.concern is not None else limit.fail
    clear = [run for run in runs if run["drift"] is not None and _tells(run, least)]
    tail = f"{settings['nve_time']:g} ps"
    if not clear:
        widths = [run["drift_error"] for run in runs if run["drift"] is not None]
        known = f"known to ± {min(widths):.2g} at best" if widths else "of fewer than 5 frames"
        text = (
            f"A tail of {tail} without thermostat is too short to tell a drift of {least:g} "
            f"{limit.unit} from fluctuations ({known}); nothing was found. Lengthen md.nve_time to "
            "judge it."
        )
        return [Finding("md", "pass", "energy drift", None, limit.unit, limit.words, text)]
    worst = max(clear, key=lambda run: (run["drift_judged"], abs(run["drift"])))
    level = limit.level(worst["drift_judged"])
    text = (
        f"Without thermostat the total energy of structure {worst['structure']} drifts by "
        f"{worst['drift']:.3g} ± {worst['drift_error']:.2g} {limit.unit} (95 %)"
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
    value = worst["drift_judged"]
    return [Finding("md", level, "energy drift", value, limit.unit, limit.words, text)]


def _tells(run: Mapping[str, Any], least: float | None) -> bool:
    """Whether a drift beyond the limit would have shown, or has."""
    return least is None or run["drift_error"] < least or run["drift_judged"] >= least
