"""Atomic reference energies (E0s), and what the data say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from pestle.energies.problem import EnergyProblem
from pestle.errors import PestleError
from pestle.structures.composition import null_space_of

#: A single-atom energy counts as equal to its E0 if they differ by less (eV).
SINGLE_ATOM_TOLERANCE = 1e-4
#: Isolated atoms are doubtful as E0s if the foundation's starting error with them is at least this
#: large (meV/atom), and larger than with reestimated E0s by this factor.
SUSPECT_ERROR, SUSPECT_RATIO = 100.0, 5.0


@dataclass
class ReferenceEnergies:
    """E0s from one method, with diagnostics. Energies are in eV unless stated otherwise.

    Attributes:
        method: how they were found: one of `methods.METHODS`, or `given` by the user.
        e0s: atomic number → E0.
        kept: elements (of the data or of the foundation) that keep the foundation's E0.
        shift: element of the data → E0 minus the foundation's E0.
        rank, n_elements: rank and number of columns of the composition matrix.
        condition_number: condition number of the composition matrix on its row space.
        null_space: combinations of E0s (symbol → coefficient) that the energies do not determine.
        null_space_text: the same in words; empty at full rank.
        spread_before, spread_after: standard deviation over frames of the foundation's energy error
            per atom, with its own E0s and with these (meV/atom).
        zero_step_error: RMSE of the foundation's energies with these E0s (meV/atom), with which
            training starts; `None` without a foundation.
        single_atoms: element of the data → energy of a single atom of the model with these E0s
            (eV). It differs from the E0 if the network adds to it (paper, 3.2.2).
        reason: why this method was chosen.
        warnings: warnings for the user.
    """

    method: str
    e0s: dict[int, float]
    kept: tuple[int, ...] = ()
    shift: dict[int, float] = field(default_factory=dict)
    rank: int = 0
    n_elements: int = 0
    condition_number: float = float("nan")
    null_space: list[dict[str, float]] = field(default_factory=list)
    null_space_text: str = ""
    spread_before: float | None = None
    spread_after: float | None = None
    zero_step_error: float | None = None
    single_atoms: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain data, with element symbols as keys."""

        def named(table: Mapping[int, float]) -> dict[str, float]:
            return {chemical_symbols[z]: float(e) for z, e in sorted(table.items())}

        return {
            "method": self.method,
            "reason": self.reason,
            "e0s": named(self.e0s),
            "shift": named(self.shift),
            "kept_from_foundation": [chemical_symbols[z] for z in self.kept],
            "elements": [chemical_symbols[z] for z in sorted(self.e0s)],
            "rank": self.rank,
            "n_elements": self.n_elements,
            "condition_number": self.condition_number,
            "null_space": self.null_space,
            "null_space_text": self.null_space_text,
            "spread_before_mev_per_atom": self.spread_before,
            "spread_after_mev_per_atom": self.spread_after,
            "zero_step_error_mev_per_atom": self.zero_step_error,
            "single_atoms": named(self.single_atoms),
            "warnings": self.warnings,
        }

    @property
    def single_atom_offset(self) -> float:
        """Largest |single atom − E0| over the elements of the data, eV; 0 without a foundation."""
        return max((abs(e - self.e0s[z]) for z, e in self.single_atoms.items()), default=0.0)


def diagnose(result: ReferenceEnergies, problem: EnergyProblem) -> ReferenceEnergies:
    """Add rank, null space, shifts, spreads and the zero-step error to a result."""
    used = np.flatnonzero(problem.counts.any(axis=0))
    counts = problem.counts[:, used]
    elements = [problem.elements[k] for k in used]
    if len(elements):
        space = null_space_of(counts, elements)
        result.rank, result.n_elements = space.rank, len(elements)
        result.null_space = space.vectors
        result.null_space_text = space.sentence() if space.vectors else ""
        singular = np.linalg.svd(counts, compute_uv=False)[: space.rank]
        result.condition_number = float(singular[0] / singular[-1])
        if space.vectors and result.method in ("average", "reestimate"):
            near = "zero"
            if result.method == "reestimate":
                near = "isolated atoms" if problem.atoms else "the foundation's E0s"
            result.warnings.append(
                f"the compositions do not determine every E0: {result.null_space_text}. The "
                f"solution nearest to {near} is taken; energies of the data's compositions are "
                "right, those of other compositions may not be"
            )
    missing = [z for z in problem.elements if z not in result.e0s]
    if problem.foundation_e0s:
        kept = [z for z in problem.foundation_e0s if z not in result.e0s]
        for z in kept:
            result.e0s[z] = problem.foundation_e0s[z]
        result.kept = tuple(sorted({*result.kept, *kept}))
        result.shift = {
            z: result.e0s[z] - problem.foundation_e0s[z]
            for z in problem.elements
            if z in problem.foundation_e0s
        }
    elif missing:
        names = ", ".join(chemical_symbols[z] for z in missing)
        raise PestleError(f"no E0 can be given for {names}", where="e0s")
    if problem.interaction is not None:
        result.single_atoms = {
            z: result.e0s[z] + problem.self_energies[z]
            for z in problem.elements
            if z in problem.self_energies and z in result.e0s
        }
    if problem.interaction is not None and len(problem.frames):
        before = 1e3 * problem.error_per_atom(problem.foundation_e0s)
        after = 1e3 * problem.error_per_atom(result.e0s)
        result.spread_before, result.spread_after = float(before.std()), float(after.std())
        result.zero_step_error = float(np.sqrt(np.mean(after**2)))
    return result
