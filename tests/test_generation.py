"""Generated structures: what they hold, how near their atoms are, that a seed repeats them."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.collections import g2
from ase.data import atomic_numbers, covalent_radii
from ase.spacegroup import Spacegroup
from matscipy.neighbours import neighbour_list

from pestle.errors import PestleError
from pestle.structures.frame import Frame
from pestle.structures.generation import SHARES, generate, random_crystals
from pestle.structures.generation.compositions import Coverage
from pestle.structures.generation.distortions import distorted, rattled, strained
from pestle.structures.generation.molecules import dimer
from pestle.structures.generation.prototypes import PROTOTYPES, at_rest, shape

pytestmark = pytest.mark.filterwarnings("ignore:.*OLD_ERROR_HANDLING.*:DeprecationWarning")

SALT_WATER = (1, 8, 11, 17)
PERIODIC = {"prototype", "random crystal", "compressed"}


def pairs_within(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First atom, second atom and distance of the directed pairs, by libraries alone."""
    if atoms.pbc.any():
        return neighbour_list("ijd", atoms, float(cutoff))
    distance = atoms.get_all_distances()
    first, second = np.nonzero((distance > 0) & (distance < cutoff))
    return first, second, distance[first, second]


def closest(atoms: Atoms) -> float:
    """Closest distance over the sum of the covalent radii; infinite beyond 7 Å."""
    first, second, distance = pairs_within(atoms, 7.0)
    sums = covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]]
    return float(np.min(distance / sums, initial=np.inf))


def shortest(atoms: Atoms) -> float:
    """Shortest distance in Å."""
    return float(pairs_within(atoms, 7.0)[2].min())


def filled(name: str, *symbols: str) -> Atoms:
    """A prototype at rest with elements in the order of its roles."""
    cell, positions, roles = shape(name)
    numbers = np.array([atomic_numbers[s] for s in symbols])[roles]
    return at_rest(Atoms(numbers=numbers, scaled_positions=positions, cell=cell, pbc=True))


@pytest.fixture(scope="module")
def salt_water() -> list[Frame]:
    return generate(SALT_WATER, 200, seed=3)


def test_exact_count_of_frames_in_the_shares_of_the_kinds(salt_water):
    kinds = Counter(frame.config_type for frame in salt_water)
    assert len(salt_water) == 200
    assert kinds == {kind: round(200 * share) for kind, share in SHARES.items()}
    # Mixed: the first quarter already holds every kind.
    assert {frame.config_type for frame in salt_water[:50]} == set(SHARES)


def test_frames_are_clean_and_named(salt_water):
    for k, frame in enumerate(salt_water):
        assert (frame.source, frame.index) == ("generated", k)
        assert frame.energy is None and frame.forces is None and frame.stress is None
        assert frame.atoms.info == {} and frame.atoms.calc is None
        assert set(frame.atoms.arrays) == {"numbers", "positions"}
        assert 2 <= len(frame) <= 32
        assert set(frame.numbers.tolist()) <= set(SALT_WATER)
        assert bool(frame.atoms.pbc.all()) == (frame.config_type in PERIODIC)
        assert frame.atoms.pbc.any() == frame.atoms.pbc.all()


@pytest.mark.parametrize("count", [1, 3, 7])
def test_small_counts_are_exact(count):
    assert len(generate(SALT_WATER, count, seed=0)) == count


def test_one_of_each_kind_where_there_is_just_room():
    assert {f.config_type for f in generate(SALT_WATER, len(SHARES), seed=0)} == set(SHARES)


def test_a_seed_repeats_exactly_whatever_the_order_of_elements():
    first = generate([17, 1, 11, 8, 8], 40, seed=5)
    again = generate(SALT_WATER, 40, seed=5)
    for a, b in zip(first, again, strict=True):
        assert a.config_type == b.config_type
        np.testing.assert_array_equal(a.numbers, b.numbers)
        np.testing.assert_array_equal(a.atoms.positions, b.atoms.positions)
        np.testing.assert_array_equal(a.atoms.cell.array, b.atoms.cell.array)


def test_generating_neither_needs_nor_moves_the_global_random_state():
    np.random.seed(1)  # noqa: NPY002 - the legacy state is what is tested
    first = generate(SALT_WATER, 30, seed=5)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002
    again = generate(SALT_WATER, 30, seed=5)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.atoms.positions, b.atoms.positions)


def test_other_seeds_give_other_structures(salt_water):
    # Whatever the kind, no two structures have the same closest distance.
    frames = [*salt_water, *generate(SALT_WATER, 100, seed=4)]
    distances = [shortest(frame.atoms) for frame in frames]
    assert len(set(np.round(distances, 9))) == len(distances)


def test_elements_and_pairs_are_covered_evenly():
    elements = [3, 8, 9, 14, 26, 57]
    alone, together = Counter(), Counter()
    for frame in generate(elements, 120, seed=0):
        species = sorted(set(frame.numbers.tolist()))
        together.update(itertools.combinations(species, 2))
        if len(species) == 1:
            alone[species[0]] += 1
    pairs = [together[pair] for pair in itertools.combinations(elements, 2)]
    assert min(pairs) >= 4 and max(pairs) <= 3 * min(pairs)
    assert min(alone[z] for z in elements) >= 3


def test_every_kind_of_structure_in_bulk_covers_every_pair(salt_water):
    for kind in ("prototype", "random crystal", "compressed", "dimer"):
        seen = set()
        for frame in salt_water:
            if frame.config_type == kind:
                seen |= set(itertools.combinations(sorted(set(frame.numbers.tolist())), 2))
        assert seen == set(itertools.combinations(SALT_WATER, 2)), kind


def test_coverage_takes_each_pair_once_before_any_twice():
    coverage = Coverage([1, 6, 8, 26])
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(10):
        drawn.append(coverage.pair(rng))
        coverage.add(np.array(drawn[-1]))
    assert sorted(drawn) == list(itertools.combinations_with_replacement([1, 6, 8, 26], 2))


def test_many_elements_are_all_there():
    elements = [z for z in range(1, 84) if z != 61]
    frames = generate(elements, 100, seed=0)
    assert {int(z) for frame in frames for z in frame.numbers} == set(elements)


def test_no_overlap_and_no_exploding_neighbour_list(salt_water):
    for frame in [*salt_water, *generate([1], 24, seed=0), *generate([1, 6], 60, seed=0)]:
        assert closest(frame.atoms) >= 0.45
        assert len(pairs_within(frame.atoms, 6.0)[0]) <= 6000
        assert np.isfinite(frame.atoms.positions).all()
        if frame.is_periodic:
            assert np.linalg.det(frame.atoms.cell.array) > 0


def test_compressed_cells_are_on_the_wall_and_ordinary_ones_are_not(salt_water):
    distances = {kind: [] for kind in SHARES}
    for frame in salt_water:
        distances[frame.config_type].append(closest(frame.atoms))
    assert all(0.5 <= d <= 0.8 for d in distances["compressed"])
    assert min(distances["compressed"]) < 0.6 and max(distances["compressed"]) > 0.75
    assert min(distances["prototype"] + distances["random crystal"]) >= 0.8 - 1e-9


def test_compressed_cells_keep_some_volume(salt_water):
    # A solid of these elements has 5 to 40 Å³ an atom; hydrogen at 500 GPa about 1.2.
    per_atom = [f.atoms.get_volume() / len(f) for f in salt_water if f.config_type == "compressed"]
    assert min(per_atom) > 1.2


@pytest.mark.parametrize("element", [1, 2, 18, 26, 54, 61, 86, 87, 92, 94, 96])
def test_a_single_element_works(element):
    frames = generate([element], 18, seed=1)
    assert len(frames) == 18
    assert {int(z) for f in frames for z in f.numbers} == {element}
    assert {f.config_type for f in frames} >= PERIODIC | {"dimer", "cluster"}
    for frame in frames:
        assert closest(frame.atoms) >= 0.45
        assert len(pairs_within(frame.atoms, 6.0)[0]) <= 6000


def test_uranium_keeps_the_distance_of_the_metal():
    # 2.75 to 3.1 Å in the metal, against a covalent sum of 3.92 Å.
    assert shortest(filled("fcc", "U")) == pytest.approx(3.1, abs=0.2)


def test_without_a_fitting_molecule_clusters_take_their_share():
    kinds = Counter(f.config_type for f in generate([26, 29], 50, seed=0))
    assert "molecule" not in kinds
    assert kinds["cluster"] == round(50 * (SHARES["cluster"] + SHARES["molecule"]))


def test_molecules_are_those_of_g2(salt_water):
    known = {g2[name].get_chemical_formula() for name in g2.names if len(g2[name]) > 1}
    found = {f.atoms.get_chemical_formula() for f in salt_water if f.config_type == "molecule"}
    assert found <= known
    assert {"H2", "H2O", "Cl2", "ClNa", "HCl", "ClO", "HClO", "Na2"} <= found


def test_dimers_reach_from_the_wall_to_a_broken_bond():
    rng = np.random.default_rng(0)
    covalent = 0.31 + 1.02  # H, Cl
    for place, expected in ((0.0, 0.6 * covalent), (0.5, 1.55 * covalent)):
        assert shortest(dimer((1, 17), place, rng)) == pytest.approx(expected)
    assert shortest(dimer((17, 17), 1.0, rng)) == pytest.approx(2.5 * 2.04)
    # Two caesium atoms at 2.5 covalent sums would be beyond every cutoff.
    assert shortest(dimer((55, 55), 1.0, rng)) == pytest.approx(6.0)


def test_dimers_of_a_pair_spread_over_the_range():
    distances = [
        shortest(f.atoms) / (2 * covalent_radii[17])
        for f in generate([17], 100, seed=0)
        if f.config_type == "dimer"
    ]
    assert len(distances) == 10
    gaps = np.diff([0.6, *sorted(distances), 2.5])
    # Golden-ratio steps leave no gap wider than about two and a half tenths of the range.
    assert gaps.max() < 0.28 * 1.9


@pytest.mark.parametrize(
    ("name", "symbols", "volume"),
    [
        # Experimental volumes per atom in Å³.
        ("fcc", ["Cu"], 11.8),
        ("fcc", ["Al"], 16.6),
        ("bcc", ["Na"], 37.7),
        ("hcp", ["Mg"], 23.2),
        ("bcc", ["W"], 15.8),
        ("fcc", ["Pb"], 30.3),
        ("diamond", ["C"], 5.7),
        ("diamond", ["Si"], 20.0),
        ("fcc", ["Ar"], 36.4),
        ("rocksalt", ["Na", "Cl"], 22.4),
        ("rocksalt", ["Mg", "O"], 9.4),
        ("rocksalt", ["Li", "F"], 8.2),
        ("CsCl", ["Cs", "Cl"], 35.0),
        ("wurtzite", ["Ga", "N"], 11.4),
        ("zincblende", ["B", "N"], 5.9),
        ("fluorite", ["Ca", "F"], 13.6),
        ("fluorite", ["U", "O"], 13.6),
        ("rutile", ["Ti", "O"], 10.4),
        ("corundum", ["Al", "O"], 8.5),
        ("perovskite", ["Sr", "Ti", "O"], 11.9),
        ("Cu3Au", ["Au", "Cu"], 13.1),
    ],
)
def test_volume_at_rest_is_near_experiment(name, symbols, volume):
    atoms = filled(name, *symbols)
    assert 0.8 < atoms.get_volume() / len(atoms) / volume < 1.25


@pytest.mark.parametrize("name", list(PROTOTYPES))
def test_prototypes_have_the_symmetry_of_their_type(name):
    cell, positions, roles = shape(name)
    found = spglib.get_symmetry_dataset((5 * cell, positions, roles + 1), symprec=1e-4)
    assert found.number == PROTOTYPES[name].spacegroup


@pytest.mark.parametrize(
    ("name", "formula", "bonds"),
    [
        # Neighbours of the other kind around the first and the second role, by textbook.
        ("rocksalt", (1, 1), (6, 6)),
        ("CsCl", (1, 1), (8, 8)),
        ("zincblende", (1, 1), (4, 4)),
        ("wurtzite", (1, 1), (4, 4)),
        ("NiAs", (1, 1), (6, 6)),
        ("fluorite", (1, 2), (8, 4)),
        ("rutile", (1, 2), (6, 3)),
        ("CdI2", (1, 2), (6, 3)),
        ("MoS2", (1, 2), (6, 3)),
        ("cuprite", (1, 2), (4, 2)),
        ("cristobalite", (1, 2), (4, 2)),
        ("Cu3Au", (1, 3), (12, 4)),
        ("ReO3", (1, 3), (6, 2)),
        ("corundum", (2, 3), (6, 4)),
    ],
)
def test_binary_prototypes_have_their_coordination(name, formula, bonds):
    cell, positions, roles = shape(name)
    atoms = Atoms(numbers=roles + 1, scaled_positions=positions, cell=5 * cell, pbc=True)
    counts = np.bincount(roles)
    assert counts[0] * formula[1] == counts[1] * formula[0]
    first, second, distance = pairs_within(atoms, 5.0)
    unlike = roles[first] != roles[second]
    near = unlike & (distance < 1.2 * distance[unlike].min())
    around = np.bincount(first[near], minlength=len(atoms))
    assert set(around[roles == 0]) == {bonds[0]} and set(around[roles == 1]) == {bonds[1]}


@pytest.mark.parametrize("number", [1, 2, 5, 14, 43, 62, 88, 146, 166, 186, 194, 216, 225, 230])
def test_random_crystals_have_the_symmetry_of_their_group(number, monkeypatch):
    drawn = random_crystals._group(number)
    monkeypatch.setattr(random_crystals, "_group", lambda _: drawn)
    atoms = random_crystals.random_crystal([11, 17], np.random.default_rng(0))
    assert set(atoms.numbers) == {11, 17} and len(atoms) <= 24
    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-4
    )
    # Chance may add operations, but none of the group's may be missing.
    group = Spacegroup(number)
    assert len(found.rotations) >= len(group.get_symop()) // len(group.subtrans)


def test_strain_shears_and_keeps_the_volume():
    crystal = filled("rocksalt", "Na", "Cl").repeat(2)
    moved = strained(crystal, np.random.default_rng(0))
    assert moved.get_volume() == pytest.approx(crystal.get_volume())
    deformation = np.linalg.solve(crystal.cell.array, moved.cell.array)
    strain = (deformation + deformation.T) / 2 - np.eye(3)
    assert np.abs(strain[np.triu_indices(3, 1)]).max() > 0.01  # shear
    assert 0.02 < np.abs(np.linalg.eigvalsh(strain)).max() < 0.2
    apart = moved.get_scaled_positions() - crystal.get_scaled_positions()
    # A coordinate at the boundary may round to either side of it.
    np.testing.assert_allclose(apart - np.round(apart), 0.0, atol=1e-12)


def test_rattling_has_its_amplitude():
    crystal = filled("rocksalt", "Na", "Cl").repeat(8)
    moved = rattled(crystal, 0.1, np.random.default_rng(0))
    assert (moved.positions - crystal.positions).std() == pytest.approx(0.1, rel=0.05)


def test_ordinary_crystals_have_a_range_of_volumes():
    crystal = filled("rocksalt", "Na", "Cl").repeat(2)
    rng = np.random.default_rng(0)
    ratios = [distorted(crystal, rng).get_volume() / crystal.get_volume() for _ in range(60)]
    assert 0.85 <= min(ratios) < 0.92 and 1.22 < max(ratios) <= 1.3


def test_progress_is_told_after_each():
    told: list[int] = []
    generate(SALT_WATER, 7, seed=0, on_progress=told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("elements", "count", "seed", "says"),
    [
        ([], 5, 0, "no elements"),
        ([8, 0], 5, 0, "atomic number 0"),
        ([8, 97, 104], 5, 0, "atomic numbers 97, 104"),
        ([8], 0, 0, "count 0"),
        ([8], 5, -1, "seed -1"),
    ],
)
def test_what_makes_no_sense_is_refused(elements, count, seed, says):
    with pytest.raises(PestleError, match=says):
        generate(elements, count, seed)


def test_the_embedded_foundation_labels_nearly_all_of_them(seed0):
    """Finite energies, and few forces beyond 50 eV/Å, where callers drop a frame."""
    from pestle.foundations.prediction import predict_frames

    frames = generate([11, 17], 60, seed=0)
    predictions = predict_frames(seed0, frames)
    assert all(np.isfinite(p.energy) and np.isfinite(p.forces).all() for p in predictions)
    largest = [np.linalg.norm(p.forces, axis=1).max() for p in predictions]
    assert sum(force > 50 for force in largest) <= 6
    # Yet the wall is there: something pushes harder than 10 eV/Å.
    assert sum(force > 10 for force in largest) >= 3
