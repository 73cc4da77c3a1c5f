"""Findings on the errors on held-out sets, with advice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

from pestle.metrics import ALL, FrameErrors
from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.predictions import NotFinite
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Making, Measured
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
    plural: str
    unit: str
    limit: str
    advice: Callable[[Making | None], str]


def _advice_on_forces(making: Making | None) -> str:
    """Return what helps against worse forces, and what the run did not do already."""
    if making is not None and making.from_scratch:
        return "train on more structures like these, or fine-tune the foundation (method naive)"
    replay = "what the foundation knows (method pseudolabel)"
    if making is not None and making.replays:
        replay = "more of what the foundation knows (replay.count, replay.ratio)"
    return f"train on structures like these, replay {replay}, or choose a lower train.lr"


_FORCES = _Quantity(
    lambda errors: errors.forces_rmse,
    "force",
    "forces",
    "meV/Å",
    "against_foundation",
    _advice_on_forces,
)
_ENERGY = _Quantity(
    lambda errors: errors.energy_rmse,
    "energy",
    "energies",
    "meV/atom",
    "energy_against_foundation",
    lambda _: "train on more structures like these, or with a larger loss.energy",
)


@dataclass(frozen=True)
class _Judged:
    """A finding, and what helps against it in further sentences, if anything has to be done."""

    finding: Finding
    advice: str = ""


@dataclass(frozen=True)
class _OnSet:
    """Errors on one set by group, of the candidate and of the foundation (empty without one).

    Groups are `all` and every config_type. Energies of `all` are without isolated atoms.
    """

    name: str
    own: Mapping[str, FrameErrors]
    base: Mapping[str, FrameErrors]
    forces_rms: Mapping[str, float | None]
    making: Making | None

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
    found: list[_Judged] = []
    for name in measured.numbers.held_out:
        lost = measured.numbers.not_finite.get(name, {}).get(measured.about.candidate)
        data = _on_set(name, measured)
        if lost is not None:
            found.append(_not_finite(data, lost, thresholds["relative_forces"]))
        else:
            found += _of_set(data, thresholds)
    found.sort(
        key=lambda f: (
            -LEVELS.index(f.finding.level),
            -(inf if f.finding.value is None else f.finding.value),
        )
    )
    findings, given = [], set()
    for one in found:
        # What helps on one set helps on the others: it is said once, with the worst of them.
        more = "" if one.advice in given else one.advice
        given.add(one.advice)
        findings.append(replace(one.finding, sentence=one.finding.sentence + more))
    return findings


def _on_set(name: str, measured: Measured[ErrorsNumbers]) -> _OnSet:
    about, numbers = measured.about, measured.numbers

    def errors_of(potential: str | None) -> Mapping[str, FrameErrors]:
        if potential is None or potential not in numbers.sets[name]:
            return {}
        groups = numbers.sets[name][potential]
        energy = numbers.energy_rmse[name][potential]
        return {**groups, ALL: groups[ALL].model_copy(update={"energy_rmse": energy})}

    own, base = errors_of(about.candidate), errors_of(about.baseline)
    return _OnSet(name, own, base, numbers.forces_rms[name], measured.making)


def _of_set(data: _OnSet, thresholds: Mapping[str, Threshold]) -> list[_Judged]:
    found: list[_Judged] = []
    if data.base and not data.labels_are_the_foundations:
        for quantity in (_FORCES, _ENERGY):
            found += _against_foundation(data, quantity, thresholds[quantity.limit])
    own, size = data.own[ALL], data.forces_rms[ALL]
    if own.forces_rmse is not None and size:
        found.append(_relative(data, own.forces_rmse, size, thresholds["relative_forces"]))
    if own.energy_rmse is not None:
        found.append(_energy(data, own.energy_rmse, thresholds["energy_mev_per_atom"]))
    return found


def _not_finite(data: _OnSet, lost: NotFinite, limit: Threshold) -> _Judged:
    frames = data.own[ALL].n_frames
    text = (
        f"On {data.name} the model is not finite on {counted(lost.count, 'frame')} of {frames}, "
        f"the first is {lost.first}: it cannot be used for such structures."
    )
    advice = (
        " Look for overlapping atoms there with pestle check; if there are none, train again with "
        "a lower train.lr."
    )
    quantity = f"error on {data.name}"
    finding = Finding("errors", "fail", quantity, None, limit.unit, limit.words, text)
    return _Judged(finding, advice)


def _against_foundation(data: _OnSet, quantity: _Quantity, limit: Threshold) -> list[_Judged]:
    """Compare with the foundation, if both have errors on the same labels."""
    own, base, error = data.own, data.base, quantity.error
    mine, before = error(own[ALL]), error(base[ALL])
    if mine is None or not before or _of_another_level(quantity, before):
        return []
    ratio = mine / before
    level = limit.level(ratio)
    text = (
        f"On {data.name} the {quantity.word} RMSE is {figure(mine)} {quantity.unit}, the "
        f"foundation's {figure(before)}: {_times(ratio)}."
    )
    text += _worst_group(
        own, lambda g: _over(error(own[g]), error(base[g]) if g in base else None), figure
    )
    advice = ""
    if level != "pass":
        scratch = data.making is not None and data.making.from_scratch
        made = "Training from scratch" if scratch else "Fine-tuning"
        gained = "made it worse there" if mine > 1.005 * before else "gained nothing there"
        gained = "knows less than it" if scratch else gained
        text += f" {made} {gained}."
        helps = quantity.advice(data.making)
        advice = f" {helps[:1].upper()}{helps[1:]}."
    name = against_name(quantity.plural, data.name)
    finding = Finding("errors", level, name, ratio, limit.unit, limit.words, text)
    return [_Judged(finding, advice)]


def against_name(quantity: str, name: str) -> str:
    """Return the quantity of a finding that compares with the foundation.

    Args:
        quantity: energies, forces or stress.
        name: name of the set.
    """
    word = {"forces": "force", "energies": "energy"}.get(quantity, quantity)
    return f"{word} error on {name}, against the foundation"


def _times(ratio: float) -> str:
    return "the same" if figure(ratio) == "1" else f"{figure(ratio)} times as much"


def _of_another_level(quantity: _Quantity, error: float) -> bool:
    return quantity is _ENERGY and error >= OTHER_LEVEL


def _relative(data: _OnSet, mine: float, size: float, limit: Threshold) -> _Judged:
    own, rms = data.own, data.forces_rms
    share = mine / size
    level = limit.level(share)
    text = f"On {data.name} the forces are off by {percent(share)} of their size, "
    text += f"{figure(mine)} of {figure(size)} meV/Å (RMS)."
    text += _worst_group(own, lambda g: _over(own[g].forces_rmse, rms.get(g)), percent)
    if data.labels_are_the_foundations:
        text += " The labels are the foundation's own predictions: this is what it has moved."
    advice = ""
    if level == "concern":
        advice = (
            " Before relying on it, check the observable that you need (pestle probe md, rdf, "
            "neb), or add training frames of this kind."
        )
    elif level == "fail":
        text += " Forces there are mostly noise."
        advice = " Add frames of this kind to the training data before simulating such structures."
    quantity = f"force error on {data.name}, against the forces"
    finding = Finding("errors", level, quantity, share, limit.unit, limit.words, text)
    return _Judged(finding, advice)


def _energy(data: _OnSet, error: float, limit: Threshold) -> _Judged:
    """Judge the absolute energy error: the candidate is made for these labels, so its E0s must
    fit them.
    """
    level, advice = limit.level(error), ""
    if error >= OTHER_LEVEL:
        text = (
            f"On {data.name} energies are off by {figure(error / 1e3)} eV/atom (RMS): the model's "
            "E0s do not fit these labels."
        )
        isolated = data.making is None or data.making.e0s_are_isolated
        advice = (
            " Label the isolated atoms of the training data with the method that these labels are "
            f"from{', or choose e0s reestimate' if isolated else ''}, and train again."
        )
    else:
        text = f"On {data.name} energies are off by {figure(error)} meV/atom (RMS)."
        text += _worst_group(
            data.own, lambda g: data.own[g].energy_rmse, lambda e: f"{figure(e)} meV/atom"
        )
        if level != "pass":
            advice = (
                " Energies of structures of different composition cannot be compared to better "
                "than that: check the E0s, add training frames of this kind, or train with a "
                "larger loss.energy."
            )
    before = data.base[ALL].energy_rmse if data.base else None
    if before is not None and _of_another_level(_ENERGY, before):
        text += " They are not compared with the foundation's, because "
        text += "the foundation's E0s are not those of these labels."
    name = f"energy error on {data.name}"
    finding = Finding("errors", level, name, error, limit.unit, limit.words, text)
    return _Judged(finding, advice)


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
