"""Findings on the errors on held-out sets, with advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from pestle.metrics import ALL, FrameErrors
from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.predictions import NotFinite
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding
from pestle.structures.frame import ISOLATED_ATOM
from pestle.wording import counted, figure, percent

#: An energy error above this (meV/atom) means that the E0s come from another level of theory.
OTHER_LEVEL = 5e3


@dataclass(frozen=True)
class _Quantity:
    """A quantity that is compared with the foundation: its error, names, threshold and advice."""

    error: Callable[[FrameErrors], float | None]
    word: str
    unit: str
    limit: str
    advice: str


_FORCES = _Quantity(
    lambda errors: errors.forces_rmse,
    "force",
    "meV/Å",
    "against_foundation",
    "train on structures like these, replay what the foundation knows (method pseudolabel), or "
    "choose a lower train.lr.",
)
_ENERGY = _Quantity(
    lambda errors: errors.energy_rmse,
    "energy",
    "meV/atom",
    "energy_against_foundation",
    "train on more structures like these, or with a larger loss.energy.",
)


@dataclass(frozen=True)
class _OnSet:
    """Errors on one set by group, of the candidate and of the foundation (empty without one).

    Groups are `all` and every config_type. Energies of `all` are without isolated atoms.
    """

    name: str
    own: Mapping[str, FrameErrors]
    base: Mapping[str, FrameErrors]
    forces_rms: Mapping[str, float | None]

    @property
    def labels_are_the_foundations(self) -> bool:
        return bool(self.base) and labels_are_its_own(self.base[ALL], self.forces_rms[ALL])


def assess(measured: Measured[ErrorsNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Judge every held-out set with up to four findings, each only if there are labels for it.

    They are: forces against the foundation, energies against the foundation, forces against the
    size of the labels, and the absolute energy error.

    Args:
        measured: the numbers of all potentials.
        thresholds: the limits of the findings, by name.

    Returns:
        Findings with the worst level first; within a level the largest figure is first.
    """
    found: list[Finding] = []
    for name in measured.numbers.held_out:
        lost = measured.numbers.not_finite.get(name, {}).get(measured.about.candidate)
        data = _on_set(name, measured)
        if lost is not None:
            found.append(_not_finite(data, lost, thresholds["relative_forces"]))
        else:
            found += _of_set(data, thresholds)
    return sorted(
        found, key=lambda f: (-LEVELS.index(f.level), -(inf if f.value is None else f.value))
    )


def _on_set(name: str, measured: Measured[ErrorsNumbers]) -> _OnSet:
    about, numbers = measured.about, measured.numbers

    def errors_of(potential: str | None) -> Mapping[str, FrameErrors]:
        if potential is None or potential not in numbers.sets[name]:
            return {}
        groups = numbers.sets[name][potential]
        energy = numbers.energy_rmse[name][potential]
        return {**groups, ALL: groups[ALL].model_copy(update={"energy_rmse": energy})}

    own, base = errors_of(about.candidate), errors_of(about.baseline)
    return _OnSet(name, own, base, numbers.forces_rms[name])


def _of_set(data: _OnSet, thresholds: Mapping[str, Threshold]) -> list[Finding]:
    found = []
    if data.base and not data.labels_are_the_foundations:
        for quantity in (_FORCES, _ENERGY):
            found += _against_foundation(data, quantity, thresholds[quantity.limit])
    own, size = data.own[ALL], data.forces_rms[ALL]
    if own.forces_rmse is not None and size:
        found.append(_relative(data, own.forces_rmse, size, thresholds["relative_forces"]))
    if own.energy_rmse is not None:
        found.append(_energy(data, own.energy_rmse, thresholds["energy_mev_per_atom"]))
    return found


def _not_finite(data: _OnSet, lost: NotFinite, limit: Threshold) -> Finding:
    frames = data.own[ALL].n_frames
    text = (
        f"On {data.name} the model is not finite on {counted(lost.count, 'frame')} of {frames}, "
        f"the first is {lost.first}: it cannot be used for such structures. Look for "
        "overlapping atoms there with pestle check; if there are none, train again with a lower "
        "train.lr."
    )
    quantity = f"error on {data.name}"
    return Finding("errors", "fail", quantity, None, limit.unit, limit.words, text)


def _against_foundation(data: _OnSet, quantity: _Quantity, limit: Threshold) -> list[Finding]:
    """Compare with the foundation, if both have errors on the same labels."""
    own, base, error = data.own, data.base, quantity.error
    mine, before = error(own[ALL]), error(base[ALL])
    if mine is None or not before or _of_another_level(quantity, before):
        return []
    ratio = mine / before
    level = limit.level(ratio)
    text = (
        f"On {data.name} the {quantity.word} RMSE is {figure(mine)} {quantity.unit}, the "
        f"foundation's {figure(before)}: {figure(ratio)} times as much."
    )
    text += _worst_group(
        own, lambda g: _over(error(own[g]), error(base[g]) if g in base else None), figure
    )
    if level != "pass":
        gained = "made it worse there" if mine > 1.005 * before else "gained nothing there"
        text += f" Fine-tuning {gained}: {quantity.advice}"
    name = f"{quantity.word} error on {data.name}, against the foundation"
    return [Finding("errors", level, name, ratio, limit.unit, limit.words, text)]


def _of_another_level(quantity: _Quantity, error: float) -> bool:
    return quantity is _ENERGY and error >= OTHER_LEVEL


def _relative(data: _OnSet, mine: float, size: float, limit: Threshold) -> Finding:
    own, rms = data.own, data.forces_rms
    share = mine / size
    level = limit.level(share)
    text = f"On {data.name} the forces are off by {percent(share)} of their size, "
    text += f"{figure(mine)} of {figure(size)} meV/Å (RMS)."
    text += _worst_group(own, lambda g: _over(own[g].forces_rmse, rms.get(g)), percent)
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


def _energy(data: _OnSet, error: float, limit: Threshold) -> Finding:
    """Judge the absolute energy error: the candidate is made for these labels, so its E0s must
    fit them.
    """
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
            data.own, lambda g: data.own[g].energy_rmse, lambda e: f"{figure(e)} meV/atom"
        )
        if level != "pass":
            text += (
                " Energies of structures of different composition cannot be compared to better "
                "than that: check the E0s, add training frames of this kind, or train with a "
                "larger loss.energy."
            )
    before = data.base[ALL].energy_rmse if data.base else None
    if before is not None and _of_another_level(_ENERGY, before):
        text += " They are not compared with the foundation's, because "
        text += "the foundation's E0s are not those of these labels."
    name = f"energy error on {data.name}"
    return Finding("errors", level, name, error, limit.unit, limit.words, text)


def _over(value: float | None, size: float | None) -> float | None:
    return value / size if value is not None and size else None


def _worst_group(
    own: Mapping[str, FrameErrors],
    measure: Callable[[str], float | None],
    words: Callable[[float], str],
) -> str:
    """Return a sentence on the group with the largest figure; empty if there is only one group."""
    named = {g: measure(g) for g in own if g not in (ALL, ISOLATED_ATOM)}
    known = {g: value for g, value in named.items() if value is not None}
    if len(known) < 2:
        return ""
    worst = max(known, key=lambda g: known[g])
    return f" The worst of {len(known)} groups is {worst} ({words(known[worst])})."
