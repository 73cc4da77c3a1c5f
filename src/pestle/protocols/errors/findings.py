"""What the errors on held-out sets say of a candidate, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from pestle.protocols.results import LEVELS, Finding
from pestle.protocols.thresholds import Threshold
from pestle.protocols.wording import counted, figure, percent
from pestle.structures.frame import ISOLATED_ATOM

#: Below this share of the RMS force the foundation's error is rounding: the labels are its own.
OWN_LABELS = 1e-3

#: meV/atom of energy error that no model makes: the E0s are those of another level of theory.
OTHER_LEVEL = 5e3

#: Group → error, or None.
_Errors = Mapping[str, Mapping[str, Any]]


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Two findings for every held-out set: against the foundation, and against the forces' size.

    The worst level comes first, and within it the largest figure.
    """
    found: list[Finding] = []
    for name in metrics["held_out"]:
        found += _of_set(name, metrics, thresholds)
    return sorted(
        found, key=lambda f: (-LEVELS.index(f.level), -(inf if f.value is None else f.value))
    )


def _of_set(
    name: str, metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]
) -> list[Finding]:
    own: _Errors = metrics["sets"][name][metrics["candidate"]]
    base: _Errors = metrics["sets"][name].get(metrics["baseline"], {})
    rms: Mapping[str, float | None] = metrics["forces_rms"][name]
    lost = metrics["not_finite"].get(name, {}).get(metrics["candidate"])
    if lost:
        return [_not_finite(name, lost, own["all"]["n_frames"], thresholds["relative_forces"])]
    found = []
    if base and not _is_own(base, rms):
        found += _against_foundation(name, own, base, thresholds["against_foundation"])
    if own["all"]["forces_rmse"] is not None and rms["all"]:
        found.append(_relative(name, own, base, rms, thresholds["relative_forces"]))
    return found


def _is_own(base: _Errors, rms: Mapping[str, float | None]) -> bool:
    """Whether the labels are the foundation's own predictions, which no model can improve on."""
    error, size = base["all"]["forces_rmse"], rms["all"]
    return error is not None and size is not None and error < OWN_LABELS * size


def _not_finite(name: str, lost: Mapping[str, Any], frames: int, limit: Threshold) -> Finding:
    text = (
        f"On {name} the model is not finite on {counted(lost['count'], 'frame')} of {frames}, the "
        f"first is {lost['first']}: it cannot be used for such structures. Look for overlapping "
        "atoms there with pestle check; if there are none, train again with a lower train.lr."
    )
    return Finding("errors", "fail", f"force error on {name}", None, limit.unit, limit.words, text)


def _against_foundation(name: str, own: _Errors, base: _Errors, limit: Threshold) -> list[Finding]:
    """The finding, if there is a label that both can be compared on."""
    key = "forces_rmse" if own["all"]["forces_rmse"] is not None else "energy_rmse"
    mine, before = own["all"][key], base["all"][key]
    if mine is None or not before:
        return []
    ratio = mine / before
    level = limit.level(ratio)
    text = f"On {name} the {_sizes(own)}, the foundation's {_sizes(base)}: {figure(ratio)} of its "
    text += "force error." if key == "forces_rmse" else "energy error."
    text += _worst_group(own, lambda g: _over(own[g][key], base.get(g, {}).get(key)), figure)
    text += _other_level(own)
    if level != "pass":
        gained = "made it worse there" if mine > 1.005 * before else "gained nothing there"
        text += (
            f" Fine-tuning {gained}: train on structures like these, replay what the foundation "
            "knows (method pseudolabel), or choose a lower train.lr."
        )
    what = "force" if key == "forces_rmse" else "energy"
    quantity = f"{what} error on {name}, against the foundation"
    return [Finding("errors", level, quantity, ratio, limit.unit, limit.words, text)]


def _relative(
    name: str, own: _Errors, base: _Errors, rms: Mapping[str, float | None], limit: Threshold
) -> Finding:
    mine, size = own["all"]["forces_rmse"], rms["all"]
    assert size is not None
    share = mine / size
    level = limit.level(share)
    text = f"On {name} the forces are off by {percent(share)} of their size, "
    text += f"{figure(size)} meV/Å (RMS)."
    if not base:
        text += f" The {_sizes(own)}."
    text += _worst_group(own, lambda g: _over(own[g]["forces_rmse"], rms.get(g)), percent)
    text += _other_level(own)
    if base and _is_own(base, rms):
        text += " The labels are the foundation's own predictions: this is what it has moved."
    if level == "concern":
        text += (
            " Before relying on it, check the observable that you need (pestle probe md, rdf, "
            "neb), or add training frames of this kind."
        )
    elif level == "fail":
        text += (
            " Forces there are mostly noise: add frames of this kind to the training data before "
            "simulating such structures."
        )
    quantity = f"force error on {name}, against the forces"
    return Finding("errors", level, quantity, share, limit.unit, limit.words, text)


def _sizes(errors: _Errors) -> str:
    """`force RMSE is 32.1 meV/Å and the energy RMSE 1.2 meV/atom`, or what there is of it."""
    parts = []
    forces, energy = errors["all"]["forces_rmse"], errors["all"]["energy_rmse"]
    if forces is not None:
        parts.append(f"force RMSE is {figure(forces)} meV/Å")
    if energy is not None and (energy < OTHER_LEVEL or forces is None):
        with_atoms = ", isolated atoms included" if ISOLATED_ATOM in errors else ""
        parts.append(f"energy RMSE is {figure(energy)} meV/atom{with_atoms}")
    return " and the ".join(parts)


def _other_level(errors: _Errors) -> str:
    energy = errors["all"]["energy_rmse"]
    if energy is None or energy < OTHER_LEVEL:
        return ""
    return " Its E0s are not those of these labels, so energies say nothing here."


def _over(value: float | None, size: float | None) -> float | None:
    return value / size if value is not None and size else None


def _worst_group(
    own: _Errors, measure: Callable[[str], float | None], words: Callable[[float], str]
) -> str:
    """A sentence on the group with the largest figure; empty where there is one group only."""
    named = {g: measure(g) for g in own if g not in ("all", ISOLATED_ATOM)}
    known = {g: value for g, value in named.items() if value is not None}
    if len(known) < 2:
        return ""
    worst = max(known, key=lambda g: known[g])
    return f" The worst of {len(known)} groups is {worst} ({words(known[worst])})."
