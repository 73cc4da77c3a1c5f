"""What the errors on held-out sets say of a candidate, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import LEVELS, Finding
from pestle.records.wording import counted, figure, percent
from pestle.structures.frame import ISOLATED_ATOM

#: meV/atom of energy error that no model makes: the E0s are those of another level of theory.
OTHER_LEVEL = 5e3


@dataclass(frozen=True)
class _Quantity:
    """What is compared with the foundation."""

    key: str
    word: str
    unit: str
    limit: str
    advice: str


_FORCES = _Quantity(
    "forces_rmse",
    "force",
    "meV/Å",
    "against_foundation",
    "train on structures like these, replay what the foundation knows (method pseudolabel), or "
    "choose a lower train.lr.",
)
_ENERGY = _Quantity(
    "energy_rmse",
    "energy",
    "meV/atom",
    "energy_against_foundation",
    "train on more structures like these, or with a larger loss.energy.",
)


@dataclass(frozen=True)
class _OnSet:
    """What is known of one set: group → error, of the candidate and of the foundation (empty
    without one). Groups are `all` and every config_type; of energies `all` is without isolated
    atoms."""

    name: str
    own: Mapping[str, Mapping[str, Any]]
    base: Mapping[str, Mapping[str, Any]]
    forces_rms: Mapping[str, float | None]

    @property
    def labels_are_the_foundations(self) -> bool:
        return bool(self.base) and labels_are_its_own(self.base["all"], self.forces_rms["all"])


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Up to four findings for every held-out set: forces and energies against the foundation's,
    forces against their size, energies as they are; each where there are labels.

    The worst level comes first, and within it the largest figure.
    """
    found: list[Finding] = []
    for name in metrics["held_out"]:
        lost = metrics["not_finite"].get(name, {}).get(metrics["candidate"])
        data = _on_set(name, metrics)
        if lost:
            found.append(_not_finite(data, lost, thresholds["relative_forces"]))
        else:
            found += _of_set(data, thresholds)
    return sorted(
        found, key=lambda f: (-LEVELS.index(f.level), -(inf if f.value is None else f.value))
    )


def _on_set(name: str, metrics: Mapping[str, Any]) -> _OnSet:
    def errors_of(potential: str | None) -> Mapping[str, Mapping[str, Any]]:
        groups = metrics["sets"][name].get(potential)
        if groups is None:
            return {}
        energy = metrics["energy_rmse"][name][potential]
        return {**groups, "all": {**groups["all"], "energy_rmse": energy}}

    own, base = errors_of(metrics["candidate"]), errors_of(metrics["baseline"])
    return _OnSet(name, own, base, metrics["forces_rms"][name])


def _of_set(data: _OnSet, thresholds: Mapping[str, Threshold]) -> list[Finding]:
    found = []
    if data.base and not data.labels_are_the_foundations:
        for quantity in (_FORCES, _ENERGY):
            found += _against_foundation(data, quantity, thresholds[quantity.limit])
    if data.own["all"]["forces_rmse"] is not None and data.forces_rms["all"]:
        found.append(_relative(data, thresholds["relative_forces"]))
    if data.own["all"]["energy_rmse"] is not None:
        found.append(_energy(data, thresholds["energy_mev_per_atom"]))
    return found


def _not_finite(data: _OnSet, lost: Mapping[str, Any], limit: Threshold) -> Finding:
    frames = data.own["all"]["n_frames"]
    text = (
        f"On {data.name} the model is not finite on {counted(lost['count'], 'frame')} of {frames}, "
        f"the first is {lost['first']}: it cannot be used for such structures. Look for "
        "overlapping atoms there with pestle check; if there are none, train again with a lower "
        "train.lr."
    )
    quantity = f"error on {data.name}"
    return Finding("errors", "fail", quantity, None, limit.unit, limit.words, text)


def _against_foundation(data: _OnSet, quantity: _Quantity, limit: Threshold) -> list[Finding]:
    """The finding, if there is a label that both can be compared on."""
    own, base, key = data.own, data.base, quantity.key
    mine, before = own["all"][key], base["all"][key]
    if mine is None or not before or _of_another_level(quantity, before):
        return []
    ratio = mine / before
    level = limit.level(ratio)
    text = (
        f"On {data.name} the {quantity.word} RMSE is {figure(mine)} {quantity.unit}, the "
        f"foundation's {figure(before)}: {figure(ratio)} times as much."
    )
    text += _worst_group(own, lambda g: _over(own[g][key], base.get(g, {}).get(key)), figure)
    if level != "pass":
        gained = "made it worse there" if mine > 1.005 * before else "gained nothing there"
        text += f" Fine-tuning {gained}: {quantity.advice}"
    name = f"{quantity.word} error on {data.name}, against the foundation"
    return [Finding("errors", level, name, ratio, limit.unit, limit.words, text)]


def _of_another_level(quantity: _Quantity, error: float) -> bool:
    return quantity is _ENERGY and error >= OTHER_LEVEL


def _relative(data: _OnSet, limit: Threshold) -> Finding:
    own, rms = data.own, data.forces_rms
    mine, size = own["all"]["forces_rmse"], rms["all"]
    assert size is not None
    share = mine / size
    level = limit.level(share)
    text = f"On {data.name} the forces are off by {percent(share)} of their size, "
    text += f"{figure(mine)} of {figure(size)} meV/Å (RMS)."
    text += _worst_group(own, lambda g: _over(own[g]["forces_rmse"], rms.get(g)), percent)
    if data.labels_are_the_foundations:
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
    quantity = f"force error on {data.name}, against the forces"
    return Finding("errors", level, quantity, share, limit.unit, limit.words, text)


def _energy(data: _OnSet, limit: Threshold) -> Finding:
    """The candidate is for these labels: unlike those of others its E0s have to be theirs."""
    error = data.own["all"]["energy_rmse"]
    level = limit.level(error)
    if error >= OTHER_LEVEL:
        text = (
            f"On {data.name} energies are off by {figure(error / 1e3)} eV/atom (RMS): the model's "
            "E0s do not fit these labels. Label the isolated atoms of the training data with the "
            "method that these labels are from, or choose e0s reestimate, and train again."
        )
    else:
        text = f"On {data.name} energies are off by {figure(error)} meV/atom (RMS)."
        text += _worst_group(
            data.own, lambda g: data.own[g]["energy_rmse"], lambda e: f"{figure(e)} meV/atom"
        )
        if level != "pass":
            text += (
                " Energies of structures of different composition cannot be compared to better "
                "than that: check the E0s, add training frames of this kind, or train with a "
                "larger loss.energy."
            )
    if data.base and _of_another_level(_ENERGY, data.base["all"]["energy_rmse"]):
        text += " They are not compared with the foundation's, because "
        text += "the foundation's E0s are not those of these labels."
    name = f"energy error on {data.name}"
    return Finding("errors", level, name, error, limit.unit, limit.words, text)


def _over(value: float | None, size: float | None) -> float | None:
    return value / size if value is not None and size else None


def _worst_group(
    own: Mapping[str, Any], measure: Callable[[str], float | None], words: Callable[[float], str]
) -> str:
    """A sentence on the group with the largest figure; empty where there is one group only."""
    named = {g: measure(g) for g in own if g not in ("all", ISOLATED_ATOM)}
    known = {g: value for g, value in named.items() if value is not None}
    if len(known) < 2:
        return ""
    worst = max(known, key=lambda g: known[g])
    return f" The worst of {len(known)} groups is {worst} ({words(known[worst])})."
