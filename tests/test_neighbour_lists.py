"""Neighbours of a fresh search, kept with a skin, against sums over lattice translations."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.md.verlet import VelocityVerlet

from pestle.foundations.calculator import FoundationCalculator
from pestle.foundations.interface import Foundation
from pestle.foundations.torch_sim import FoundationModel
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.runs import run_dynamics
from pestle.protocols.dynamics.trajectory import Trajectory
from pestle.protocols.potential import ModelPotential
from pestle.protocols.raw import RawFolder
from pestle.structures import neighbour_lists, neighbours
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph
from pestle.structures.neighbour_lists import NeighbourLists
from pestle.structures.neighbours import Pairs

CUTOFF = 5.0
Row = tuple[int, int, int, int, int]


def brute_force(atoms: Atoms, cutoff: float, reach: int) -> list[Row]:
    """(sender, receiver, translation) of all pairs, sorted."""
    ranges = [range(-reach, reach + 1) if periodic else (0,) for periodic in atoms.pbc]
    apart = atoms.positions[None] - atoms.positions[:, None]
    found = []
    for shift in product(*ranges):
        near = np.linalg.norm(apart + np.array(shift) @ atoms.cell.array, axis=2) < cutoff
        if shift == (0, 0, 0):
            near &= ~np.eye(len(atoms), dtype=bool)
        found += [(i, j, *shift) for i, j in np.argwhere(near).tolist()]
    return sorted(found)


def rows(pairs: Pairs) -> list[Row]:
    return [
        (i, j, *shift)
        for (i, j), shift in zip(
            pairs.edge_index.T.tolist(), pairs.shifts.astype(int).tolist(), strict=True
        )
    ]


def of(lists: NeighbourLists, *structures: Atoms) -> Pairs:
    return lists.pairs(
        np.concatenate([atoms.positions for atoms in structures]),
        np.stack([atoms.cell.array for atoms in structures]),
        np.stack([atoms.pbc for atoms in structures]),
        np.array([len(atoms) for atoms in structures]),
    )


def fresh(*structures: Atoms) -> list[Row]:
    """Of every structure alone, searched anew."""
    found, before = [], 0
    for atoms in structures:
        pairs = neighbours.neighbours(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF)
        found += [(i + before, j + before, *shift) for i, j, *shift in rows(pairs)]
        before += len(atoms)
    return found


def triclinic() -> Atoms:
    """Three atoms in a cell much smaller than the cutoff."""
    cell = [[2.9, 0.0, 0.0], [1.3, 2.6, 0.0], [-0.9, 0.8, 3.1]]
    return Atoms("NaClO", scaled_positions=[[0, 0, 0], [0.4, 0.6, 0.5], [0.9, 0.2, 0.7]],
                 cell=cell, pbc=True)  # fmt: skip


def structures() -> dict[str, Atoms]:
    wire = Atoms(
        "HOHO", positions=np.arange(12).reshape(4, 3) * 0.7, cell=[0, 0, 4.0], pbc=[0, 0, 1]
    )
    large = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(2)
    boxed = molecule("CH3CH2OH") + Atoms("HOH", positions=[[5, 0, 0.5], [5, 0, 1.3], [5, 0.8, 2]])
    free = boxed.copy()
    boxed.cell = [8.0, 9.0, 10.0]  # not periodic all the same
    return {
        "triclinic": triclinic(),
        "crystal": large,
        "molecules": free,
        "boxed": boxed,
        "slab": fcc111("Cu", (2, 2, 3), vacuum=4.0),
        "wire": wire,
    }


@pytest.fixture
def searches(monkeypatch) -> list[int]:
    """Grows by the number of atoms with every search for candidates."""
    made, honest = [], neighbour_lists.search

    def counted(positions, *args):
        made.append(len(positions))
        return honest(positions, *args)

    monkeypatch.setattr(neighbour_lists, "search", counted)
    return made


# -- a search -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", structures())
def test_pairs_are_those_of_a_sum_over_translations(name: str) -> None:
    atoms = structures()[name]
    expected = brute_force(atoms, CUTOFF, 4)
    assert fresh(atoms) == expected and len(expected) > 10
    atoms.positions += [40.0, -30.0, 7.0]  # far outside of the cell
    assert fresh(atoms) == expected
    graph = make_graph(Frame(atoms), CUTOFF)
    assert graph.edge_index.T.tolist() == [[i, j] for i, j, *_ in expected]
    assert graph.unit_shifts.int().tolist() == [list(shift) for _, _, *shift in expected]


def test_a_pair_as_far_apart_as_the_cutoff_is_none() -> None:
    chain = Atoms("H2", positions=[[0, 0, 0], [CUTOFF, 0, 0]])
    assert fresh(chain) == []
    chain.positions[1, 0] = np.nextafter(CUTOFF, 0)
    assert fresh(chain) == [(0, 1, 0, 0, 0), (1, 0, 0, 0, 0)]


# -- kept -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", structures())
def test_random_walks_with_strain_and_wrapping(name: str, searches) -> None:
    rng, atoms, lists = np.random.default_rng(3), structures()[name], NeighbourLists(CUTOFF)
    changed, before = 0, []
    for step in range(120):
        now = rows(of(lists, atoms))
        assert now == fresh(atoms)
        changed += now != before
        before = now
        atoms.positions += rng.normal(scale=0.04, size=atoms.positions.shape)
        if step % 3 == 0:
            strain = np.eye(3) + rng.normal(scale=0.003, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=step % 2 == 0)
        if step % 7 == 0:
            atoms.wrap()
        elif step % 7 == 4:  # by any lattice vectors
            periodic = np.where(atoms.pbc, rng.integers(-2, 3, atoms.positions.shape), 0)
            atoms.positions += periodic @ atoms.cell.array
    assert changed > 10 and 2 <= len(searches) < 60


def test_an_atom_that_comes_from_beyond_the_skin() -> None:
    """From far away towards an atom at rest, in steps; and both towards each other."""
    for both in (False, True):
        atoms, lists = Atoms("H2", positions=[[0, 0, 0], [9.0, 0, 0]]), NeighbourLists(CUTOFF)
        seen = []
        for _ in range(80):
            atoms.positions[1, 0] -= 0.1
            atoms.positions[0, 0] += 0.1 * both
            seen.append(len(of(lists, atoms)))
            apart = np.abs(atoms.positions[1, 0] - atoms.positions[0, 0])
            assert (seen[-1] == 2) == (apart < CUTOFF)
        assert {0, 2} == set(seen)


def test_a_search_comes_when_an_atom_has_moved_by_half_the_skin(searches) -> None:
    atoms, lists = structures()["crystal"], NeighbourLists(CUTOFF, skin=0.8)
    start = atoms.positions.copy()
    for moved, count in ((0.0, 1), (0.399, 1), (-0.399, 1), (0.401, 2), (0.401, 2), (0.01, 2)):
        atoms.positions = start
        atoms.positions[5, 1] += moved
        of(lists, atoms)
        assert len(searches) == count
    atoms.positions += [0.0, 0.3, 0.0]  # less than half the skin beside the second search
    of(lists, atoms)
    assert len(searches) == 2


def test_a_cell_that_shrinks_brings_pairs_of_fixed_places_within_reach(searches) -> None:
    atoms, lists = bulk("NaCl", "rocksalt", a=5.6), NeighbourLists(CUTOFF)
    cell, kept = atoms.cell.array.copy(), 0
    for factor in np.linspace(1.0, 0.7, 60):
        atoms.set_cell(factor * cell, scale_atoms=True)
        kept += len(searches)
        assert rows(of(lists, atoms)) == fresh(atoms)
    assert 3 <= len(searches) <= 10


def test_other_atoms_periodicity_or_number(searches) -> None:
    lists, slab = NeighbourLists(CUTOFF), structures()["slab"]
    assert rows(of(lists, slab)) == fresh(slab)
    slab.pbc = [True, False, False]
    assert rows(of(lists, slab)) == fresh(slab)
    del slab[2]
    assert rows(of(lists, slab)) == fresh(slab)
    assert len(searches) == 3
    for other in structures().values():
        assert rows(of(lists, other)) == fresh(other)


def test_systems_that_leave_a_batch_take_only_their_own_list(searches) -> None:
    rng, lists = np.random.default_rng(0), NeighbourLists(CUTOFF)
    batch = [structures()[name] for name in ("triclinic", "crystal", "slab", "boxed", "molecules")]
    batch.insert(1, batch[0].copy())
    batch[1].positions[1] += 0.9
    for leaving in (None, 4, None, 0, 1, None):
        if leaving is not None:
            del batch[leaving]
        for atoms in batch:
            atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)
        assert rows(of(lists, *batch)) == fresh(*batch)
    assert len(searches) == 6
    batch.append(triclinic())
    batch.reverse()
    assert rows(of(lists, *batch)) == fresh(*batch)
    searches.clear()
    for _ in range(30):  # now one, now another is searched anew
        for atoms in batch:
            atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
            atoms.wrap()
        assert rows(of(lists, *batch)) == fresh(*batch)
    assert len(batch) < len(searches) < 10 * len(batch)


# -- in the models --------------------------------------------------------------------------------
def shaken() -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.4, cubic=True)
    atoms.positions += np.random.default_rng(1).normal(scale=0.1, size=atoms.positions.shape)
    return atoms


def walk(atoms: Atoms, calculator: FoundationCalculator) -> list[np.ndarray]:
    """Positions and stresses of hot dynamics."""
    atoms = atoms.copy()
    atoms.calc = calculator
    rng = np.random.default_rng(2)
    atoms.set_momenta(rng.normal(scale=4.0, size=(len(atoms), 3)))
    found = []
    for _ in range(25):
        VelocityVerlet(atoms, timestep=2.0 * units.fs).run(1)
        found += [atoms.positions.copy(), atoms.get_stress()]
    return found


def test_the_calculator_gives_the_same_bits_as_without_a_skin(seed0: Foundation, searches) -> None:
    model = seed0.with_elements([11, 17]).with_dtype(torch.float32)
    kept = walk(shaken(), FoundationCalculator(model))
    assert 2 <= len(searches) <= 10
    searched = FoundationCalculator(model)
    searched._neighbours = NeighbourLists(model.cutoff, skin=0.0)
    searches.clear()
    expected = walk(shaken(), searched)
    assert all(np.array_equal(one, two) for one, two in zip(kept, expected, strict=True))
    assert len(searches) == 26


def test_a_run_that_went_on_from_a_file_has_the_same_bits(seed0, tmp_path: Path, searches) -> None:
    """One segment of 16 steps, and 8 of 2, each with lists of its own."""
    model = seed0.with_elements([11, 17])
    for engine in ("ase", "torch-sim"):
        paths = []
        for segment in (16, 2):
            raw = RawFolder(tmp_path / f"{engine}{segment}", {})
            clock = Clockwork(2.0, every=0.002, segment=2e-3 * segment, engine=engine)
            # Momenta and noise of a segment are its own: constant energy has none.
            run_dynamics(
                ModelPotential("seed0", model),
                [Frame(shaken())],
                [Leg("nve", 0.032, "nve", 900.0)],
                clock,
                raw,
                name="steady",
                seed=0,
                title="steady",
            )
            paths.append(Trajectory(raw, "steady").run(0))
        assert np.array_equal(paths[0].positions, paths[1].positions)
        assert len(paths[0].positions) == 17


def test_a_batch_gives_the_same_bits_as_without_a_skin(seed0: Foundation, searches) -> None:
    """While crystals of one composition leave it."""
    model = FoundationModel(seed0.with_elements([11, 17]))
    crystals = [shaken() for _ in range(4)]
    for k, atoms in enumerate(crystals):
        atoms.set_cell(atoms.cell.array * (1 + 0.02 * k), scale_atoms=True)
    state = model.state(crystals)
    rng = torch.Generator().manual_seed(0)
    for step in range(12):
        if step in (4, 9):
            state = state[[k for k in range(state.n_systems) if k != step // 4 - 1]]
        state.positions = state.positions + 0.05 * torch.randn(
            state.positions.shape, generator=rng, dtype=torch.float64
        )
        state.cell = state.cell * (1 + 0.002 * step)
        searches_before = len(searches)
        found = model(state)
        assert len(searches) - searches_before < 4 or step == 0
        model._neighbours, kept = NeighbourLists(model.foundation.cutoff, 0.0), model._neighbours
        expected = model(state)
        model._neighbours = kept
        del searches[searches_before + 4 :]
        for name in ("energy", "forces", "stress"):
            assert torch.equal(found[name], expected[name])


def test_the_calculator_sees_every_change(seed0: Foundation) -> None:
    atoms = shaken()
    atoms.calc = FoundationCalculator(seed0)
    states = [atoms.get_potential_energy()]
    atoms.positions[0, 0] += 1e-9
    states.append(atoms.get_potential_energy())
    atoms.numbers[0] = 19
    states.append(atoms.get_potential_energy())
    atoms.pbc = [True, True, False]
    states.append(atoms.get_potential_energy())
    atoms.cell[0, 0] += 0.1
    states.append(atoms.get_potential_energy())
    assert len(set(states)) == 5
    again = atoms.copy()
    again.calc = FoundationCalculator(seed0)
    assert again.get_potential_energy() == states[-1]
