"""Units and signs that are not eV, eV/Å and eV/Å³: one verdict and one line for each property.

`tables` lists what labels may be written in, `energies`, `data` and `predictions` collect
evidence, `verdict` adds it up, and this file words the outcome.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pestle.checks.consistency import neighbours_of
from pestle.checks.report import CheckFinding, finding
from pestle.checks.unit_tables import ENERGIES, FORCES, STRESSES, Unit, Units
from pestle.checks.units.data import (
    force_evidence,
    pair_evidence,
    scatter_evidence,
    stress_evidence,
)
from pestle.checks.units.energies import (
    BINDING_RANGE,
    atom_energies,
    binding_per_atom,
    energy_evidence,
)
from pestle.checks.units.evidence import FORCES as FORCE_LABELS
from pestle.checks.units.evidence import RATIO, Basis, Evidence, Opinion
from pestle.checks.units.verdict import (
    Verdict,
    called,
    judge_energies_and_forces,
    judge_stress,
)
from pestle.structures.frame import Frame
from pestle.wording import figure, number

# Isolated atoms and frames cannot belong together if the frames are bound by less or by more than
# this (eV/atom) in the median.
_UNBOUND, _OVERBOUND = -0.4, -12.0
# Nats that the ratio of energies to forces must lose in Pestle's units before they are said not to
# belong together although no other units explain it.
_MISMATCH = 4.5


def unit_findings(
    frames: Sequence[Frame], opinion: Opinion | None = None, *, seed: int = 0
) -> tuple[list[CheckFinding], Units]:
    """Labels in other units or with the wrong sign, and the units they are in.

    Args:
        frames: sound frames (finite, known elements), isolated atoms among them.
        opinion: what a foundation's predictions say; `None` without one.
        seed: seed of the sample of pairs.
    """
    opinion = opinion or Opinion()
    body = [f for f in frames if len(f) > 1]
    pairs = neighbours_of(body, seed=seed)
    evidence = [
        *energy_evidence(frames),
        *pair_evidence(pairs),
        *force_evidence(body),
        *scatter_evidence(body),
        *opinion.evidence,
    ]
    with_energy = [f for f in frames if f.energy is not None]
    with_forces = [f for f in body if f.forces is not None]
    energy, forces = judge_energies_and_forces(evidence, _basis(with_energy), _basis(with_forces))
    findings = _findings("energy", "energies", ENERGIES[0], energy, with_energy)
    findings += _findings("force", "forces", FORCES[0], forces, with_forces)
    if not findings and energy.doubt is None and forces.doubt is None:
        findings += _mismatch(evidence, with_forces)
    sure_of_sign = any(item.signed and item.about in (RATIO, FORCE_LABELS) for item in evidence)
    doubtful = any(v.doubt is not None or (v.wrong and not v.named) for v in (energy, forces))
    stress = judge_stress((), Basis())
    converted = [
        Units(energy.unit, forces.unit).in_eV(f)
        for f in body
        if f.stress is not None and f.is_periodic
    ]
    if converted:
        # Energies and forces in doubtful units do not testify.
        near = None if doubtful else neighbours_of(converted, seed=seed)
        own = stress_evidence(converted, near, sure_of_sign=sure_of_sign)
        stress = judge_stress([*own, *opinion.evidence], _basis(converted))
    with_stress = [f for f in body if f.stress is not None and f.is_periodic]
    findings += _findings("stress", "stress", STRESSES[0], stress, with_stress)
    binding = binding_per_atom([f for f in body if f.energy is not None], atom_energies(frames))
    if binding is not None and energy.unit.is_ours:
        findings += _binding_findings(binding, [f for f in frames if f.is_isolated_atom])
    return findings, Units(energy.unit, forces.unit, stress.unit)


def _basis(frames: Sequence[Frame]) -> Basis:
    counts: dict[bytes, int] = {}
    distances: dict[bytes, int] = {}
    for frame in frames:
        key = np.sort(frame.numbers).tobytes()
        counts[key] = counts.get(key, 0) + 1
        distances[key] = max(1, 3 * len(frame) - 6)
    return Basis(len(frames), sum(min(counts[k], distances[k]) for k in counts))


def _findings(
    code: str, what: str, ours: Unit, verdict: Verdict, frames: Sequence[Frame]
) -> list[CheckFinding]:
    """The one line about a property, none where it is right."""
    looks = "looks" if what == "stress" else "look"
    why = "; ".join(verdict.why)
    if verdict.doubt is not None:
        return [
            finding(
                "note",
                f"{code}-units-unsure",
                f"cannot tell whether the {what} {'is' if what == 'stress' else 'are'} in "
                f"{ours.name}: {called(verdict.doubt)} is possible"
                + (f" ({why})" if why else "")
                + ", but the evidence is too weak",
                frames,
                fix="Compare with a foundation (-f), give more frames, or look into the program's "
                "manual.",
            )
        ]
    if not verdict.wrong:
        return []
    unit = verdict.unit
    if not verdict.named:
        names = [called(unit), *(o for o in verdict.others if o != ours.name)]
        return [
            finding(
                "warning",
                f"{code}-units",
                f"the {what} cannot be in {ours.name}, and the data do not say in which of "
                f"{', '.join(names)}: {why}",
                frames,
                fix="Look up the unit in the program's manual and convert to "
                f"{ours.name}, or compare with a foundation (-f).",
            )
        ]
    also = f"; less likely {', '.join(verdict.others)}" if verdict.others else ""
    only_sign = unit.name == ours.name and unit.factor < 0 and unit.shape == "total"
    is_sign = only_sign and code != "energy"
    text = (
        f"the {what} {'has' if what == 'stress' else 'have'} the wrong sign"
        + (" (gradients?)" if code == "force" else " (positive under compression)")
        if is_sign
        else f"the {what} {looks} like {called(unit)}, not {ours.name}"
    )
    return [
        finding(
            "warning",
            f"{code}-sign" if is_sign else f"{code}-units",
            f"{text} ({verdict.confidence}{also}): {why}",
            frames,
            fix=_conversion(what, unit, ours),
        )
    ]


def _conversion(what: str, unit: Unit, ours: Unit) -> str:
    """What to multiply by, as a factor and in words."""
    number = f"{abs(unit.factor):.7g}"
    signed = ("−" if unit.factor < 0 else "") + number
    if unit.shape == "virial":
        sign = "−1 and divide it" if unit.factor < 0 else "1 and divide it"
        return (
            f"Multiply the stress by {sign} by the volume of the cell, or name its key with "
            "--virials-key."
        )
    if unit.shape == "per atom":
        by = "the number of atoms of each frame"
        if abs(unit.factor) != 1.0:
            by = f"{signed} and by {by} (1 {unit.name} = {number} {ours.name})"
        return f"Multiply the {what} by {by}."
    words = f"1 {unit.name} = {number} {ours.name}" if abs(unit.factor) != 1.0 else ""
    if unit.factor < 0:
        rule = "forces are −dE/dr" if what == "forces" else "ASE's is negative under compression"
        words = f"{words}; {rule}" if words else rule
    return f"Multiply the {what} by {signed} ({words})."


def _mismatch(evidence: Sequence[Evidence], frames: Sequence[Frame]) -> list[CheckFinding]:
    """Energies and forces of different calculations, where no unit explains them."""
    for item in evidence:
        if item.about == RATIO and item.loss(ENERGIES[0], FORCES[0]) > _MISMATCH:
            return [
                finding(
                    "warning",
                    "energy-force-mismatch",
                    f"energies and forces do not belong together: {item.why}",
                    frames,
                    fix="Give total energies in eV and forces in eV/Å of the same calculation.",
                )
            ]
    return []


def _binding_findings(binding: float, atoms: Sequence[Frame]) -> list[CheckFinding]:
    if _OVERBOUND <= binding <= _UNBOUND:
        return []
    return [
        finding(
            "warning",
            "atomisation-energy",
            f"the frames lie {number(binding, sign=True)} eV/atom from their isolated "
            "atoms, where bound matter "
            f"has {figure(BINDING_RANGE[1])} to {figure(BINDING_RANGE[0])}: isolated atoms "
            "and frames are of "
            "different levels of theory or units",
            atoms,
            fix="Recalculate the isolated atoms with the method of the frames, or leave them out.",
        )
    ]
