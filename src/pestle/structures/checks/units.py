"""Units and signs that are not eV, eV/Å and eV/Å³, found from the data alone.

Three kinds of evidence, strongest first: energies that fit only one unit (`energy_scale`), the work
of the forces between neighbouring frames (`consistency`), and bare magnitudes, which convict only
when they are far outside of anything a structure can show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pestle.structures.checks.consistency import STRONG_CORRELATION, Consistency, consistency_of
from pestle.structures.checks.energy_scale import (
    BINDING_RANGE,
    atom_energies,
    binding_per_atom,
    energy_evidence,
)
from pestle.structures.checks.report import Finding, finding
from pestle.structures.checks.unit_tables import (
    ENERGY_UNITS,
    FORCE_UNITS,
    PARTNER,
    STRESS_UNITS,
    Units,
)
from pestle.structures.frame import Frame

# Isolated atoms and frames cannot belong together if the frames are bound by less or by more than
# this (eV/atom) in the median.
_UNBOUND, _OVERBOUND = -0.4, -12.0

# Median over frames of rms |F|. Thermal structures show 0.3–3 eV/Å, hot or rattled ones up to 8.
_TYPICAL_FORCE, _LARGE_FORCE = 0.9, 8.0
# Below this, forces beside energies that are known to be in another unit are in that unit too.
_SMALL_FORCE = 0.15
# Slopes match a ratio of units within this factor: tight where the correlation is strong.
_TIGHT, _LOOSE = 1.2, 1.6
# 1 eV/Å³ is 160 GPa, the pressure of the Earth's outer core. Medians from the second number on are
# kbar rather than GPa: a median of 5 GPa is a lot for thermal or strained structures.
_LARGE_STRESS, _KBAR_MEDIAN = 1.0, 5.0


def _match(ratio: float, slope: float, factor: float) -> bool:
    return slope != 0 and abs(math.log(abs(slope) / ratio)) < math.log(factor)


def _force_oddness(rms: float, unit: str) -> float:
    """How far (natural logarithm) forces in this unit are from those of thermal structures."""
    rare = 1.0 if unit in ("Ry/Bohr", "Ha/Å") else 0.0
    return abs(math.log(max(rms, 1e-12) / FORCE_UNITS[unit] / _TYPICAL_FORCE)) + rare


def unit_findings(frames: Sequence[Frame], *, seed: int = 0) -> tuple[list[Finding], Units]:
    """Labels in other units or with the wrong sign, and the units they are in.

    Args:
        frames: sound frames (finite, known elements), isolated atoms among them.
        seed: seed of the sample of pairs.
    """
    evidence = energy_evidence(frames)
    body = [f for f in frames if len(f) > 1]
    relation = consistency_of(body, seed=seed)
    rms = [_rms(f) for f in body if f.forces is not None]
    force_scale = float(np.median(rms)) if rms else 0.0
    allowed = set(evidence.units)
    if not evidence.certain and not _corroborated(allowed, relation, force_scale):
        allowed = set()
    energy_unit, force_unit = _decide(allowed, relation, force_scale)
    findings: list[Finding] = []
    if energy_unit not in ("", "eV"):
        why = (evidence.why if allowed else "") or (
            f"energy differences are {relation.force_slope:.3g} times the work of the forces, "
            f"and forces of {force_scale:.3g} look like {force_unit}"
        )
        others = sorted(allowed - {energy_unit})
        findings.append(
            finding(
                "warning",
                "energy-units",
                f"the energies look like {energy_unit}"
                + (f" (or {', '.join(others)})" if others else "")
                + f", not eV: {why}",
                [f for f in frames if f.energy is not None],
                fix=f"Multiply them by {1 / ENERGY_UNITS[energy_unit]:.7g} to get eV.",
            )
        )
    findings += _force_findings(body, relation, force_scale, energy_unit, force_unit)
    stress_findings, stress_unit = _stress_findings(body, relation, energy_unit or "eV")
    findings += stress_findings
    binding = binding_per_atom([f for f in body if f.energy is not None], atom_energies(frames))
    if binding is not None and energy_unit in ("", "eV"):
        findings += _binding_findings(binding, [f for f in frames if f.is_isolated_atom])
    found = {f.code for f in findings}
    signs = [-1.0 if code in found else 1.0 for code in ("force-sign", "stress-sign")]
    # Where only the forces tell, the energies will be in the unit that goes with them.
    assumed = next((e for e, f in PARTNER.items() if f == force_unit), "")
    return findings, Units(energy_unit or assumed, force_unit, stress_unit, *signs)


def _rms(frame: Frame) -> float:
    return float(np.sqrt((np.asarray(frame.forces) ** 2).sum(axis=1).mean()))


def _corroborated(units: set[str], relation: Consistency, force_scale: float) -> bool:
    """Whether the forces, where there are any, agree with what the atomisation energy says."""
    if force_scale == 0:
        return True
    if units == {"eV"}:
        return force_scale < _LARGE_FORCE
    if units != {"Ha"}:
        return True
    slope = relation.force_slope
    if slope is None:
        return force_scale < _SMALL_FORCE
    beside = ("eV/Å", "Ha/Bohr") if force_scale < _SMALL_FORCE else ("eV/Å",)
    return any(_match(ENERGY_UNITS["Ha"] / FORCE_UNITS[f], slope, _LOOSE) for f in beside)


def _decide(allowed: set[str], relation: Consistency, force_scale: float) -> tuple[str, str]:
    """(energy unit, force unit); '' where the data do not say."""
    energies = sorted(allowed) or list(ENERGY_UNITS)
    slope = relation.force_slope
    if slope is not None and force_scale > 0:
        strong = abs(relation.correlation) >= STRONG_CORRELATION
        candidates = [
            (e, f)
            for e in energies
            for f in FORCE_UNITS
            if _match(ENERGY_UNITS[e] / FORCE_UNITS[f], slope, _TIGHT if strong else _LOOSE)
        ]
        # Weak correlations cannot tell 1.89 from 1.
        if not strong and _match(1.0, slope, 2.0) and not allowed:
            candidates = [c for c in candidates if c[1] not in ("Ha/Bohr", "Ry/Bohr")]
        if ("eV", "eV/Å") in candidates and (force_scale < _LARGE_FORCE or allowed == {"eV"}):
            return "eV", "eV/Å"
        if candidates:
            return min(
                candidates,
                # Likely sizes, units that go together, and a close fit of the slope.
                key=lambda c: (
                    _force_oddness(force_scale, c[1])
                    + (PARTNER[c[0]] != c[1])
                    + 3 * abs(math.log(abs(slope) * FORCE_UNITS[c[1]] / ENERGY_UNITS[c[0]]))
                ),
            )
    energy = ""
    if len(allowed) == 1:
        energy = next(iter(allowed))
    elif allowed:
        energy = min(allowed, key=lambda e: _force_oddness(force_scale, PARTNER[e]))
    force = ""
    if force_scale > _LARGE_FORCE:
        large = ("kcal/mol/Å", "kJ/mol/Å")
        partner = PARTNER.get(energy, "")
        likely = min(large, key=lambda f: _force_oddness(force_scale, f))
        force = partner if partner in large else likely
    elif energy not in ("", "eV") and 0 < force_scale < _SMALL_FORCE:
        force = PARTNER[energy]
    return energy, force


def _far_from_one(correlation: float) -> float:
    """Factor from 1 beyond which a slope that fits no unit is called a mismatch."""
    return 2.0 if abs(correlation) >= STRONG_CORRELATION else 6.0


def _force_findings(
    frames: Sequence[Frame], relation: Consistency, scale: float, energy: str, force: str
) -> list[Finding]:
    labelled = [f for f in frames if f.forces is not None]
    slope = relation.force_slope
    findings: list[Finding] = []
    compared = (
        f"energy differences between {relation.n_pairs} pairs of neighbouring frames are "
        f"{slope or 0.0:.3g} times the work of the forces (correlation {relation.correlation:.2f})"
    )
    if force not in ("", "eV/Å"):
        why = f"median rms |F| is {scale:.3g}, where thermal structures show 0.3–3 eV/Å"
        if slope is not None and energy:
            expected = ENERGY_UNITS[energy] / FORCE_UNITS[force]
            why = f"{compared}, {energy} with {force} gives {expected:.3g}; {why}"
        findings.append(
            finding(
                "warning",
                "force-units",
                f"the forces look like {force}, not eV/Å: {why}",
                labelled,
                fix=f"Multiply them by {1 / FORCE_UNITS[force]:.7g} to get eV/Å.",
            )
        )
    if slope is not None and slope < 0:
        findings.append(
            finding(
                "warning",
                "force-sign",
                f"the forces have the wrong sign (gradients?): {compared}",
                labelled,
                fix="Multiply the forces by −1.",
            )
        )
    elif (
        slope is not None
        and not force
        and not _match(1.0, slope, _far_from_one(relation.correlation))
    ):
        per_atom = _match(1.0, slope * relation.n_atoms, _TIGHT)
        findings.append(
            finding(
                "warning",
                "energy-force-mismatch",
                f"energies and forces do not belong together: {compared}"
                + (
                    f"; 1/{slope:.2g} is the number of atoms: are these energies per atom?"
                    if per_atom
                    else ""
                ),
                labelled,
                fix="Give total energies in eV and forces in eV/Å of the same calculation.",
            )
        )
    return findings


def _stress_findings(
    frames: Sequence[Frame], relation: Consistency, energy: str
) -> tuple[list[Finding], str]:
    """(findings, the unit: '' where the data do not say)."""
    labelled = [f for f in frames if f.stress is not None and f.is_periodic]
    if not labelled:
        return [], ""
    sizes = np.array([np.abs(np.asarray(f.stress)).max() for f in labelled])
    slope = relation.stress_slope
    unit, sign, why = "", 1.0, ""
    if slope is not None:
        sign = math.copysign(1.0, slope)
        for name, scale in STRESS_UNITS.items():
            if _match(ENERGY_UNITS[energy] / scale, slope, _LOOSE):
                unit = name
        why = f"energy differences are {slope:.3g} times the work of the stress"
    # Single frames may be implosions; a wrong unit lifts a tenth of them at least.
    if not unit and np.percentile(sizes, 90) > _LARGE_STRESS:
        unit = "kbar" if np.median(sizes) > _KBAR_MEDIAN else "GPa"
        other = "GPa" if unit == "kbar" else "kbar"
        why = (
            f"largest components have a median of {np.median(sizes):.3g} and reach "
            f"{sizes.max():.3g}, and 1 eV/Å³ is 160 GPa ({other} cannot be excluded)"
        )
    findings: list[Finding] = []
    if unit not in ("", "eV/Å³"):
        findings.append(
            finding(
                "warning",
                "stress-units",
                f"the stress looks like {unit}, not eV/Å³: {why}",
                labelled,
                fix=f"Divide it by {STRESS_UNITS[unit]:.7g} to get eV/Å³.",
            )
        )
    if sign < 0 and slope is not None and unit:
        findings.append(
            finding(
                "warning",
                "stress-sign",
                f"the stress has the opposite sign of ASE's (as in VASP's output): {why}",
                labelled,
                fix="Multiply it by −1: ASE's stress is negative under compression.",
            )
        )
    return findings, unit


def _binding_findings(binding: float, atoms: Sequence[Frame]) -> list[Finding]:
    if _OVERBOUND <= binding <= _UNBOUND:
        return []
    return [
        finding(
            "warning",
            "atomisation-energy",
            f"the frames lie {binding:+.3g} eV/atom from their isolated atoms, where bound matter "
            f"has {BINDING_RANGE[1]:g} to {BINDING_RANGE[0]:g}: isolated atoms and frames are of "
            "different levels of theory or units",
            atoms,
            fix="Recalculate the isolated atoms with the method of the frames, or leave them out.",
        )
    ]
