"""Relaxation of reactant and product, and a check that they keep their bonds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.optimize import BFGS
from scipy.sparse.csgraph import minimum_spanning_tree

from pestle.protocols.neb.image_calculator import BatchCalculator
from pestle.protocols.neb.numbers import Change
from pestle.protocols.neb.path import displacement, turned
from pestle.protocols.neb.raw_results import RelaxedEnd
from pestle.protocols.potential import Potential

#: In sums of covalent radii: two atoms are bonded below the first value and not bonded above the
#: second. Values in between count as neither, so that a slightly shorter long bond is not a change.
BONDED, APART = 1.2, 1.5
#: A structure has fallen apart if its widest gap grew by this factor and by this length (Å).
GAP_FACTOR, GAP_GROWTH = 1.5, 1.0
#: Two relaxed ends are the same minimum if no atom differs by more than this distance (Å).
MERGED = 0.1


def relax(potential: Potential, given: Atoms, fmax: float, max_steps: int) -> RelaxedEnd:
    """Relax one structure with BFGS at constant cell.

    Args:
        potential: the potential to relax on.
        given: the structure, with charge and spin in its info; fixed atoms stay fixed.
        fmax: the relaxation ends when the largest force is below this value, eV/Å.
        max_steps: largest number of steps.

    Raises:
        BandError: the potential gave NaN.
    """
    atoms = given.copy()
    BatchCalculator.attach(potential, [atoms])
    optimiser = BFGS(atoms, logfile=None)
    converged = optimiser.run(fmax=fmax, steps=max_steps)
    return RelaxedEnd(
        positions=atoms.positions.copy(),
        forces=atoms.get_forces(),
        energy=atoms.get_potential_energy(),
        steps=optimiser.nsteps,
        converged=bool(converged),
    )


def changes(given: Atoms, relaxed: Atoms) -> Change:
    """Compare a structure before and after relaxation: displacement, bonds, fragments.

    Args:
        given: the structure before the relaxation.
        relaxed: the structure after it, with the same atoms in the same order.
    """
    step = displacement(given, turned(given, relaxed))
    before, after = gap(given), gap(relaxed)
    apart = after > GAP_FACTOR * before and after > before + GAP_GROWTH
    old, new = _scaled_distances(given), _scaled_distances(relaxed)
    symbols = given.get_chemical_symbols()

    def named(pairs: np.ndarray) -> list[str]:
        return [f"{symbols[i]}{i}-{symbols[j]}{j}" for i, j in np.argwhere(np.triu(pairs, 1))]

    return Change(
        rmsd=float(np.sqrt((step**2).sum(axis=1).mean())),
        apart=after if apart else None,
        formed=named((new < BONDED) & (old > APART)),
        broken=named((old < BONDED) & (new > APART)),
    )


def lost(change: Change, which: str) -> str | None:
    """Explain why a relaxed end is a different minimum than the given structure.

    Args:
        change: how the relaxation changed the structure.
        which: `reactant` or `product`.

    Returns:
        The reason in words; `None` if it is the same minimum.
    """
    if change.apart is not None:
        return f"the {which} falls apart, down to a gap of {change.apart:.1f} Å"
    bonds = [f"{bond} formed" for bond in change.formed]
    bonds += [f"{bond} broken" for bond in change.broken]
    if bonds:
        more = f" and {len(bonds) - 3} more changes" if len(bonds) > 3 else ""
        return f"the {which} relaxes to another structure ({', '.join(bonds[:3])}{more})"
    return None


def merged(reactant: Atoms, product: Atoms) -> bool:
    """Whether relaxed reactant and product are the same minimum."""
    step = displacement(reactant, turned(reactant, product))
    return bool(np.linalg.norm(step, axis=1).max() < MERGED)


def gap(atoms: Atoms) -> float:
    """Return the longest edge, Å, of the minimum spanning tree of all atoms; 0 for one atom."""
    tree = minimum_spanning_tree(atoms.get_all_distances(mic=bool(atoms.pbc.any())))
    return float(tree.data.max()) if tree.nnz else 0.0


def _scaled_distances(atoms: Atoms) -> np.ndarray:
    """Return distances [n, n] divided by the sum of the covalent radii."""
    radii = covalent_radii[atoms.numbers]
    return atoms.get_all_distances(mic=bool(atoms.pbc.any())) / (radii[:, None] + radii)
