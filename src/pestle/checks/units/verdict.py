"""One verdict for each property: all evidence is added up, and one unit or none is named.

Energies and forces are judged together, because their ratio is the most precise observation. The
stress follows, with converted energies and forces. The score of a candidate unit is its loss over
all evidence (`Evidence.loss`) plus a loss if it is rare (`tables`). Differences of scores are
natural logarithms of odds. Pestle's own unit is called wrong if its share of the odds is below one
in twenty. The most probable unit is then named if it has most of the remaining odds, with the
others beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pestle.checks import unit_tables as tables
from pestle.checks.unit_tables import (
    ENERGIES,
    STRESSES,
    Unit,
    surprise_of_pair,
    surprise_of_stress,
)
from pestle.checks.units.evidence import (
    ENERGY,
    FORCES,
    RATIO,
    SCATTER,
    STRESS,
    Basis,
    Evidence,
)

# Shares of the odds: Pestle's own unit is given up below the first; another unit is named from the
# second on; units above the third are mentioned beside it.
_GIVEN_UP, _NAMED, _MENTIONED = 0.05, 0.6, 0.02
# Confidence in words, by the share of the unit named.
_WORDS = ((0.99, "almost certainly"), (0.95, "very likely"), (0.0, "probably"))
#: No claim rests on fewer frames or fewer independent distances (one bond is not a structure).
MIN_FRAMES, MIN_DISTANCES = 5, 3


@dataclass(frozen=True)
class Verdict:
    """What a property is written in.

    Attributes:
        unit: the likeliest; Pestle's own where it is not given up.
        wrong: whether Pestle's own unit is given up.
        named: whether `unit` is likely enough to say what to multiply by.
        others: names of other units that remain possible, likeliest first.
        confidence: in words.
        why: the evidence that speaks for `unit` against Pestle's own.
        doubt: the likeliest other unit where the evidence points to it without being enough.
    """

    unit: Unit
    wrong: bool = False
    named: bool = False
    others: tuple[str, ...] = ()
    confidence: str = ""
    why: tuple[str, ...] = ()
    doubt: Unit | None = None


def judge_energies_and_forces(
    evidence: Sequence[Evidence], energies: Basis, forces: Basis
) -> tuple[Verdict, Verdict]:
    """(verdict on the energies, verdict on the forces).

    Args:
        evidence: about energies, forces and their ratio.
        energies, forces: what these labels rest on; without frames only Pestle's unit is
            considered.
    """
    first = ENERGIES if energies.n_frames else ENERGIES[:1]
    second = tables.FORCES if forces.n_frames else tables.FORCES[:1]
    loss = np.array([[surprise_of_pair(e, f) for f in tables.FORCES] for e in ENERGIES])
    # Where one of the two is not labelled it may be in any unit.
    if not energies.n_frames:
        loss = loss.min(axis=0, keepdims=True)
    if not forces.n_frames:
        loss = loss.min(axis=1, keepdims=True)
    for item in evidence:
        if item.about == ENERGY:
            loss += np.array([item.loss(e) for e in first])[:, None]
        elif item.about == FORCES:
            loss += np.array([item.loss(f) for f in second])[None, :]
        elif item.about in (RATIO, SCATTER):
            loss += np.array([[item.loss(e, f) for f in second] for e in first])
    odds = np.exp(-(loss - loss.min()))
    odds /= odds.sum()
    i, j = np.unravel_index(int(odds.argmax()), odds.shape)
    e, f = first[int(i)], second[int(j)]
    on_energies = [item for item in evidence if item.about in (ENERGY, RATIO, SCATTER)]
    on_forces = [item for item in evidence if item.about in (FORCES, RATIO, SCATTER)]

    def for_energy(item: Evidence) -> float:
        if item.about == ENERGY:
            return item.loss(ENERGIES[0]) - item.loss(e)
        return item.loss(ENERGIES[0], f) - item.loss(e, f)

    def for_forces(item: Evidence) -> float:
        if item.about == FORCES:
            return item.loss(tables.FORCES[0]) - item.loss(f)
        return item.loss(e, tables.FORCES[0]) - item.loss(e, f)

    return (
        _verdict(first, odds.sum(axis=1), e, energies, _words(on_energies, for_energy)),
        _verdict(second, odds.sum(axis=0), f, forces, _words(on_forces, for_forces)),
    )


def judge_stress(evidence: Sequence[Evidence], stress: Basis) -> Verdict:
    """Return the verdict on the stress.

    Args:
        evidence: observations on the stress.
        stress: the number of frames that support it.
    """
    if not stress.n_frames:
        return Verdict(STRESSES[0])
    used = [item for item in evidence if item.about == STRESS]
    loss = np.array([surprise_of_stress(u) + sum(item.loss(u) for item in used) for u in STRESSES])
    odds = np.exp(-(loss - loss.min()))
    odds /= odds.sum()
    best = STRESSES[int(odds.argmax())]
    words = _words(used, lambda item: item.loss(STRESSES[0]) - item.loss(best))
    return _verdict(STRESSES, odds, best, stress, words)


def _words(evidence: Sequence[Evidence], gain) -> tuple[str, ...]:
    """The observations that speak for the best candidate, strongest first."""
    told = sorted(((gain(item), item.why) for item in evidence), key=lambda pair: -pair[0])
    return tuple(dict.fromkeys(why for value, why in told if value > 0.7))


def _verdict(
    units: Sequence[Unit], odds: np.ndarray, best: Unit, basis: Basis, why: tuple[str, ...]
) -> Verdict:
    ours, share = units[0], dict(zip(units, odds.tolist(), strict=True))
    if best == ours:
        return Verdict(ours)
    # A few frames are too little evidence, even for a doubt.
    if basis.n_frames < MIN_FRAMES or basis.n_distances < MIN_DISTANCES:
        return Verdict(ours)
    if share[ours] > _GIVEN_UP:
        return Verdict(ours, why=why, doubt=best)
    rest = sorted(units, key=lambda u: -share[u])
    others = [called(u) for u in rest if u != best and share[u] > _MENTIONED]
    return Verdict(
        best,
        wrong=True,
        named=share[best] / (1 - share[ours]) >= _NAMED,
        others=tuple(others),
        confidence=next(word for least, word in _WORDS if share[best] >= least),
        why=why,
    )


def called(unit: Unit) -> str:
    """Return the name of a unit as a chemist would write it."""
    if unit.shape == "virial":
        return f"{unit.name} (sign {'+' if unit.factor > 0 else '−'})"
    sign = " with the opposite sign" if unit.factor < 0 else ""
    return unit.name + (" per atom" if unit.shape == "per atom" else "") + sign
