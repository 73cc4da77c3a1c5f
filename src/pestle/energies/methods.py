"""The methods that find atomic reference energies (E0s) for the data's level of theory.

There are four (paper, section 2.6). `isolated` takes them from calculations of single atoms.
`average` fits the total energies by composition only (Eq. 5). `reestimate` fits the difference
between labels and the foundation's predictions by composition (Eq. 6): the shift ΔE0 fits
E_ft − E_pre, and E0_new = E0_pre + ΔE0. `foundation` keeps the foundation's E0s.

Fits are minimum-norm least squares by SVD, in float64. If the energies do not determine a
reestimated E0, it stays as near as possible to the isolated atom in the data or, without one, to
the foundation's E0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols

from pestle.energies.problem import EnergyProblem, lowest_atoms
from pestle.energies.reference_energies import ReferenceEnergies, diagnose
from pestle.errors import PestleError
from pestle.structures.frame import elements_of

METHODS = ("isolated", "reestimate", "average", "foundation")

#: Singular values below this fraction of the largest count as zero: atom counts are integers, so
#: that nonzero ones are far above rounding errors.
RANK_TOLERANCE = 1e-10
#: Two energies of the same isolated atom count as different if they differ by more (eV).
SAME_ATOM = 1e-3


def estimate(
    problem: EnergyProblem, method: str, table: Mapping[int, float] | None = None
) -> ReferenceEnergies:
    """Determine E0s with one method.

    Args:
        problem: energies and compositions.
        method: one of `METHODS`.
        table: atomic number → E0 in eV, given by the user for `isolated`; takes precedence over
            IsolatedAtom frames.

    Returns:
        The E0s with diagnostics.

    Raises:
        PestleError: the method is unknown, or the data do not permit it.
    """
    if method == "isolated":
        result = _isolated(problem, table or {})
    elif method == "average":
        result = _average(problem)
    elif method == "reestimate":
        result = _reestimate(problem)
    elif method == "foundation":
        if not problem.foundation_e0s:
            _need_foundation(problem, method)
        result = ReferenceEnergies("foundation", dict(problem.foundation_e0s))
        result.kept = tuple(sorted(problem.foundation_e0s))
    else:
        raise PestleError(
            f"unknown method '{method}'", where="e0s", fix=f"Choose one of {', '.join(METHODS)}."
        )
    return diagnose(result, problem)


def compare(problem: EnergyProblem) -> dict[str, ReferenceEnergies]:
    """Determine E0s with every method that the data permit.

    Args:
        problem: energies and compositions.

    Returns:
        Method → E0s with diagnostics.
    """
    results = {}
    for method in METHODS:
        try:
            results[method] = estimate(problem, method)
        except PestleError:
            continue
    return results


def _need_foundation(problem: EnergyProblem, method: str) -> None:
    if problem.interaction is None:
        raise PestleError(
            f"'{method}' needs a foundation model to predict the energies",
            where="e0s",
            fix="Give --foundation, or choose isolated or average.",
        )


def _need_energies(problem: EnergyProblem, method: str) -> None:
    if not problem.frames:
        raise PestleError(
            f"no frame besides isolated atoms has an energy: '{method}' has nothing to fit",
            where="e0s",
        )


def minimum_norm(counts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Solve a least-squares problem with minimum norm by SVD: the limit λ → 0⁺ of Eq. 5 and 6.

    Args:
        counts: [n_frames, n_elements] number of atoms of each element.
        target: [n_frames] energies, eV.

    Returns:
        [n_elements] eV.
    """
    return np.linalg.lstsq(counts, target, rcond=RANK_TOLERANCE)[0]


def _isolated(problem: EnergyProblem, table: Mapping[int, float]) -> ReferenceEnergies:
    e0s: dict[int, float] = {}
    warnings = []
    for frame in problem.atoms:
        z = int(frame.numbers[0])
        energy = float(frame.energy or 0.0)
        if z in e0s and abs(e0s[z] - energy) > SAME_ATOM:
            warnings.append(
                f"two isolated {chemical_symbols[z]} atoms differ by "
                f"{abs(e0s[z] - energy):.4f} eV; the lower one is taken ({frame.where})"
            )
        e0s[z] = min(energy, e0s.get(z, energy))
    e0s.update(table)
    missing = [z for z in elements_of(problem.frames) if z not in e0s]
    if missing:
        names = ", ".join(chemical_symbols[z] for z in missing)
        if table:
            raise PestleError(
                f"the table holds no E0 of {names}, and the data no isolated atom",
                where="e0s",
                fix="Add them to the table.",
            )
        raise PestleError(
            f"no isolated atom for {names}",
            where="e0s",
            fix="Add IsolatedAtom frames, give a table (e0s: {H: -13.6, …}), or use reestimate.",
        )
    return ReferenceEnergies("isolated", e0s, warnings=warnings)


def _average(problem: EnergyProblem) -> ReferenceEnergies:
    _need_energies(problem, "average")
    used = np.flatnonzero(problem.counts.any(axis=0))
    values = minimum_norm(problem.counts[:, used], problem.energy)
    e0s = {problem.elements[k]: float(v) for k, v in zip(used, values, strict=True)}
    e0s |= _atoms_alone(problem, e0s)
    warning = (
        "averaged E0s put the binding energy of the training structures into the atoms: errors two "
        "to three times larger and unstable MD are what the paper finds (Fig. 4, Table 1); prefer "
        "isolated or reestimate"
    )
    return ReferenceEnergies("average", e0s, warnings=[warning])


def _reestimate(problem: EnergyProblem) -> ReferenceEnergies:
    _need_foundation(problem, "reestimate")
    _need_energies(problem, "reestimate")
    assert problem.interaction is not None
    used = np.flatnonzero(problem.counts.any(axis=0))
    start = _start(problem)
    before = problem.counts @ np.array([start[z] for z in problem.elements])
    shift = minimum_norm(problem.counts[:, used], problem.energy - (problem.interaction + before))
    e0s = {}
    for k, delta in zip(used, shift, strict=True):
        z = problem.elements[k]
        e0s[z] = start[z] + float(delta)
    return ReferenceEnergies("reestimate", e0s | _atoms_alone(problem, e0s))


def _start(problem: EnergyProblem) -> dict[int, float]:
    """Return the E0s from which reestimation starts; it shifts them as little as possible.

    If the compositions determine all E0s, the start has no influence. If not, isolated atoms of the
    data are a better start than the foundation's E0s. They are used either unchanged or minus the
    energy that the network adds to a single atom, whichever agrees better with the other frames,
    because E0s of foundations have different meanings (paper, 3.2.2).
    """
    own = problem.foundation_e0s
    atoms = lowest_atoms(problem)
    as_they_are = own | atoms
    less_self = own | {z: e - problem.self_energies.get(z, 0.0) for z, e in atoms.items()}
    return min(
        (as_they_are, less_self),
        key=lambda e0s: float(np.mean(problem.error_per_atom(e0s) ** 2)),
    )


def _atoms_alone(problem: EnergyProblem, found: Mapping[int, float]) -> dict[int, float]:
    """Return labels of isolated atoms whose element is in no other frame to fit."""
    return {z: e for z, e in lowest_atoms(problem).items() if z not in found}
