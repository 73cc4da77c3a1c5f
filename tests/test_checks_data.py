"""Preflight checks without a foundation: each planted fault is found, clean data stay quiet."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.data import chemical_symbols

from conftest import DATA
from pestle.checks import check_frames
from pestle.checks.unit_tables import ENERGIES, Unit
from pestle.checks.units.energies import ALL_ELECTRON_EV, energy_evidence
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames

HA, BOHR_FORCE = 1 / 27.211386, 1 / 51.422067


def _label(atoms: Atoms, stress: bool) -> Frame:
    atoms = atoms.copy()
    atoms.calc = EMT()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    tensor = atoms.get_stress(voigt=False) if stress else None
    atoms.calc = None
    return Frame(atoms, energy=energy, forces=forces, stress=tensor)


def _fresh(frames) -> list[Frame]:
    """Copies that a test may spoil."""
    return [
        replace(
            f,
            atoms=f.atoms.copy(),
            forces=f.forces.copy(),
            stress=None if f.stress is None else f.stress.copy(),
        )
        for f in frames
    ]


def crystals(*args, **options) -> list[Frame]:
    return _fresh(_crystals(*args, **options))


def molecules(*args, **options) -> list[Frame]:
    return _fresh(_molecules(*args, **options))


@cache
def _crystals(n: int = 30, *, seed: int = 0, rattle: float = 0.06, strain: float = 0.02):
    """Rattled, strained Cu–Au cells with EMT labels, from file `cu.xyz`."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (2, 2, 1)
        # Two orderings of two compositions, so that the composition fit has something to fit.
        atoms.numbers[: 4 * (1 + k % 2)] = 79
        atoms.set_cell(
            atoms.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True
        )
        atoms.positions += rattle * rng.normal(size=(len(atoms), 3))
        frames.append(replace(_label(atoms, True), source="cu.xyz", index=k))
    return frames


@cache
def _molecules(n: int = 30, *, seed: int = 0, rattle: float = 0.03, all_electron: bool = True):
    """Rattled ethanol with EMT forces, energies on an all-electron scale, from file `mol.xyz`."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = molecule("CH3CH2OH")
        atoms.positions += rattle * rng.normal(size=(len(atoms), 3))
        frame = _label(atoms, False)
        core = sum(ALL_ELECTRON_EV[z] for z in atoms.numbers) if all_electron else 0.0
        frames.append(replace(frame, energy=frame.energy - 40.0 + core, source="mol.xyz", index=k))
    return frames


def isolated(elements=(1, 6, 8)) -> list[Frame]:
    return [
        Frame(
            Atoms(chemical_symbols[z]),
            energy=ALL_ELECTRON_EV[z],
            config_type="IsolatedAtom",
            source="mol.xyz",
            index=1000 + k,
        )
        for k, z in enumerate(elements)
    ]


def found(frames, code: str, **options):
    """The one finding of this kind (a split or a dictionary of splits)."""
    splits = frames if isinstance(frames, dict) else {"train": frames}
    hits = [f for f in check_frames(splits, **options).findings if f.code == code]
    assert len(hits) == 1, (code, check_frames(splits, **options).findings)
    return hits[0]


def codes(frames) -> set[str]:
    splits = frames if isinstance(frames, dict) else {"train": frames}
    report = check_frames(splits)
    # What is said of the reference energies is true of these sets, and tested for itself.
    about_e0s = {"composition-rank", "no-isolated-atoms"}
    return {f.code for f in report.findings if f.severity != "note"} - about_e0s


def scaled(frames, energy=1.0, forces=1.0, stress=1.0):
    return [
        replace(
            f,
            energy=None if f.energy is None else f.energy * energy,
            forces=None if f.forces is None else f.forces * forces,
            stress=None if f.stress is None else f.stress * stress,
        )
        for f in frames
    ]


def test_clean_data_raise_nothing():
    assert codes(crystals()) == set()
    assert codes(molecules() + isolated()) == set()
    assert codes({"train": crystals(seed=1), "valid": crystals(seed=2)}) == set()


def test_summary_counts_what_is_there():
    report = check_frames(
        {"train": molecules(12) + isolated()}, keys={"energy": {"REF_energy": 15}}
    )
    train = report.summary["splits"]["train"]
    assert (train["n_frames"], train["n_isolated_atoms"]) == (15, 3)
    assert train["elements"] == {"H": 73, "C": 25, "O": 13}
    assert train["labels"] == {"energy": 15, "forces": 12, "stress": 0}
    assert train["periodicity"] == {"0D": 15}
    assert train["isolated_atoms"]["H"] == pytest.approx(-13.6057, abs=1e-3)
    assert 0.8 < train["ranges"]["nearest_distance_A"] < 1.1
    assert report.summary["keys"] == {"energy": {"REF_energy": 15}}
    assert report.to_json()["summary"] == report.summary


# -- structures ----------------------------------------------------------------------------------
def test_overlap_through_the_periodic_boundary():
    frames = crystals()
    atoms = frames[7].atoms
    atoms.positions[0] = 0.0
    atoms.positions[5] = 0.999 * atoms.cell.array[2]
    hit = found(frames, "overlapping-atoms")
    assert (hit.severity, hit.frames, hit.n_frames) == ("error", ["cu.xyz frame 7"], 1)
    assert "atoms 0 and 5" in hit.message


def test_overlap_in_a_molecule_and_short_distance():
    frames = molecules()
    frames[3].atoms.positions[1] = frames[3].atoms.positions[0]
    assert found(frames, "overlapping-atoms").frames == ["mol.xyz frame 3"]
    frames = molecules()
    atoms = frames[4].atoms
    bond = atoms.positions[1] - atoms.positions[0]
    atoms.positions[1] = atoms.positions[0] + 0.65 * bond / np.linalg.norm(bond)
    assert found(frames, "short-distance").frames == ["mol.xyz frame 4"]


def test_coordinates_in_bohr():
    frames = molecules()
    for frame in frames:
        frame.atoms.positions *= 1.8897
    assert found(frames, "no-bonds").n_frames == 30


@pytest.mark.parametrize("label", ["positions", "cell", "energy", "forces", "stress"])
def test_numbers_that_are_not_finite(label):
    frames = crystals(20)
    frame = frames[5]
    if label == "positions":
        frame.atoms.positions[2, 1] = np.nan
    elif label == "cell":
        frame.atoms.cell.array[0, 0] = np.inf
    elif label == "energy":
        frame.energy = float("nan")
    else:
        getattr(frame, label)[0, 0] = np.inf
    hit = found(frames, "non-finite")
    assert hit.severity == "error" and hit.frames == ["cu.xyz frame 5"] and label in hit.message


def test_elements_unknown_and_unsupported():
    frames = molecules()
    frames[2].atoms.numbers[0] = 0
    assert found(frames, "unknown-element").frames == ["mol.xyz frame 2"]
    hit = found(crystals(20), "unsupported-element", supported_elements=[1, 29])
    assert hit.n_frames == 20 and "Au" in hit.message


def test_flat_cell():
    frames = crystals(20)
    frames[4].atoms.set_cell(np.diag([7.4, 7.4, 0.0]))
    assert found(frames, "flat-cell").frames == ["cu.xyz frame 4"]


# -- duplicates ----------------------------------------------------------------------------------
def _disguise(frame: Frame, seed: int = 3) -> Frame:
    """The same structure: reordered, translated, wrapped (crystal) or rotated (molecule)."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    atoms = frame.atoms[order]
    atoms.translate([0.7, -3.1, 2.2])
    if atoms.pbc.any():
        atoms.wrap()
    else:
        atoms.rotate(40, (1, 2, 3))
    return replace(frame, atoms=atoms, forces=frame.forces[order], source="copy.xyz", index=0)


@pytest.mark.parametrize("make", [crystals, molecules])
def test_leak_between_splits(make):
    train, valid = make(seed=1), make(12, seed=2)
    hit = found({"train": train, "valid": [*valid, _disguise(train[11])]}, "leak-between-splits")
    assert (hit.severity, hit.frames) == ("error", ["copy.xyz frame 0"])
    assert train[11].where in hit.message


def test_duplicates_and_contradictions_within_a_split():
    frames = molecules()
    copy = _disguise(frames[8])
    assert found([*frames, copy], "duplicates").frames == ["copy.xyz frame 0"]
    other = replace(copy, energy=copy.energy + 0.5)
    assert "mol.xyz frame 8" in found([*frames, other], "contradicting-energies").frames


def test_copies_that_were_rounded_are_duplicates():
    frames = molecules()
    rounded = replace(frames[5], atoms=frames[5].atoms.copy(), source="rounded.xyz", index=0)
    rounded.atoms.positions = np.round(rounded.atoms.positions, 3)
    assert found([*frames, rounded], "duplicates").frames == ["rounded.xyz frame 0"]


def test_the_next_frame_of_a_trajectory_is_no_duplicate():
    frames = molecules()
    near = replace(frames[0], atoms=frames[0].atoms.copy(), index=99)
    near.atoms.positions[0] += 0.01
    assert "duplicates" not in codes([*frames, near])
    charged = replace(frames[0], charge=1.0, index=98)
    assert "duplicates" not in codes([*frames, charged])


# -- labels --------------------------------------------------------------------------------------
def test_missing_labels():
    bare = [replace(f, energy=None, forces=None, stress=None) for f in crystals(20)]
    assert found(bare, "no-labels").severity == "error"
    frames = crystals()
    frames[1] = replace(frames[1], forces=None)
    frames[2] = replace(frames[2], energy=None)
    frames[3] = bare[3]
    assert found(frames, "energy-only").frames == ["cu.xyz frame 1"]
    assert found(frames, "forces-only").frames == ["cu.xyz frame 2"]
    assert found(frames, "frames-without-labels").frames == ["cu.xyz frame 3"]


def test_stress_of_a_molecule_is_ignored_aloud():
    frames = molecules()
    frames[6] = replace(frames[6], stress=np.eye(3) * 0.01)
    assert found(frames, "stress-not-periodic").frames == ["mol.xyz frame 6"]


def test_placeholder_forces_and_net_force():
    frames = molecules()
    frames[9] = replace(frames[9], forces=np.zeros((9, 3)))
    assert found(frames, "zero-forces").frames == ["mol.xyz frame 9"]
    frames = molecules()
    frames[10] = replace(frames[10], forces=frames[10].forces + np.array([0.3, 0, 0]))
    hit = found(frames, "net-force")
    assert hit.frames == ["mol.xyz frame 10"] and "2.7 eV/Å" in hit.message
    frames = crystals()
    frames[10] = replace(frames[10], forces=frames[10].forces + np.array([0.3, 0, 0]))
    assert found(frames, "net-force").frames == ["cu.xyz frame 10"]


# -- units and signs -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("energy", "forces", "energy_unit", "force_unit"),
    [
        (HA, BOHR_FORCE, "Ha,", "Ha/Bohr,"),
        (HA, 1.0, "Ha,", None),
        (1.0, BOHR_FORCE, None, "Ha/Bohr,"),
        (23.0605, 23.0605, "kcal/mol,", "kcal/mol/Å,"),
        (96.4853, 96.4853, "kJ/mol,", "kJ/mol/Å,"),
    ],
)
@pytest.mark.parametrize("atoms", [True, False])
def test_units_of_molecules(energy, forces, energy_unit, force_unit, atoms):
    frames = scaled(molecules() + (isolated() if atoms else []), energy, forces)
    for code, unit in (("energy-units", energy_unit), ("force-units", force_unit)):
        if unit is None:
            assert code not in codes(frames)
        else:
            assert f"like {unit}" in found(frames, code).message
    assert not {"mixed-levels", "energy-outliers", "net-force"} & codes(frames)


def test_energies_on_an_arbitrary_scale_need_the_forces():
    frames = molecules(rattle=0.01, all_electron=False)
    assert codes(frames) == set()
    # On no scale, only the size of the forces tells Ha from Ry: both are said.
    both = found(scaled(frames, HA, BOHR_FORCE), "energy-units").message
    assert "Ha" in both and "Ry" in both and "probably" in both
    assert "like Ha," in found(scaled(frames, HA, 1.0), "energy-units").message


def test_atomisation_energy_tells_kcal():
    frames = molecules(all_electron=False)
    atoms = [replace(f, energy=0.5) for f in isolated()]
    assert codes(frames + atoms) == set()
    energies_only = [replace(f, forces=None) for f in frames]
    hit = found(scaled(energies_only + atoms, 23.0605), "energy-units")
    assert "kcal/mol" in hit.message
    shifted = [replace(f, energy=-4.0) for f in atoms]
    assert "isolated atoms" in found(frames + shifted, "atomisation-energy").message


def test_gradients_instead_of_forces():
    assert found(scaled(molecules(), forces=-1.0), "force-sign").n_frames == 30
    assert "force-sign" in codes(scaled(crystals(), forces=-1.0))


def test_turned_molecules_and_wrapped_crystals_are_compared():
    rng = np.random.default_rng(0)
    turned = molecules(rattle=0.01, all_electron=False)
    for frame in turned:
        angle, axis = 360 * rng.random(), rng.normal(size=3)
        frame.atoms.rotate(angle, axis)
        arrow = frame.atoms.copy()
        arrow.positions = frame.forces
        arrow.rotate(angle, axis)
        frame.forces = arrow.positions
    assert codes(turned) == set()
    told = found(scaled(turned, HA, BOHR_FORCE), "energy-units").message
    assert "1.89 times" in told and "correlation 1.00" in told  # Ha or Ry
    wrapped = crystals()
    for frame in wrapped:
        frame.atoms.wrap()
    assert (np.ptp([f.atoms.positions[0, 0] for f in wrapped])) > 5  # atoms did change sides
    assert codes(wrapped) == set()
    assert codes(scaled(wrapped, forces=-1.0)) == {"force-sign"}


def test_thresholds_hold_in_the_units_that_were_found():
    frames = crystals()
    drift = np.array([0.019, 0.0, 0.0])
    frames = [replace(f, forces=f.forces + drift) for f in frames]
    assert "net-force" not in codes(frames)
    assert codes(scaled(frames, 96.4853, 96.4853)) == {"energy-units", "force-units"}
    # Two basins, 0.25 eV/atom apart, known by their energies only.
    basins = [
        replace(f, energy=-4218.0 + 2.25 * (k % 2) + 0.01 * (k % 5), forces=None)
        for k, f in enumerate(molecules())
    ]
    assert codes(basins) == {"energy-only"}
    assert codes(scaled(basins, 23.0605)) == {"energy-only", "energy-units"}
    strange = scaled(crystals(), stress=1602.18)
    assert codes(strange) == {"stress-units"}


def test_free_atoms_alone_tell_the_unit():
    def fitting(frames) -> set[str]:
        told = energy_evidence(frames)
        return {u.name for u in ENERGIES if told and all(e.loss(u) < 1 for e in told)}

    assert fitting(scaled(isolated(), HA)) == {"Ha"}
    assert fitting(isolated()) == {"eV"}
    assert not fitting([replace(f, energy=-1.1) for f in isolated()])


def test_sums_of_ionisation_energies_tell_hartree():
    """Goedecker pseudopotentials: a water molecule has −17.2 Ha, where VASP has −14.2 eV."""
    frames = [
        Frame(molecule("H2O"), energy=-17.2 + 0.001 * k, source="w.xyz", index=k) for k in range(20)
    ]
    assert "like Ha," in found(frames, "energy-units").message
    assert "energy-units" not in codes([replace(f, energy=-14.2) for f in frames])


def test_energies_per_atom():
    frames = [replace(f, energy=f.energy / 9) for f in molecules(rattle=0.01, all_electron=False)]
    hit = found(frames, "energy-units")
    assert "eV per atom" in hit.message
    assert "Multiply" in hit.fix and "number of atoms" in hit.fix


@pytest.mark.parametrize(("factor", "unit"), [(1602.18, "kbar"), (160.218, "GPa")])
def test_units_and_sign_of_stress(factor, unit):
    assert f"like {unit}," in found(scaled(crystals(), stress=factor), "stress-units").message
    flipped = found(scaled(crystals(), stress=-factor), "stress-units")
    assert unit in flipped.message and "opposite sign" in flipped.message
    assert f"by −{1 / factor:.4f}"[:9] in flipped.fix
    assert codes(scaled(crystals(), stress=-factor)) == {"stress-units"}
    assert codes(scaled(crystals(), stress=-1.0)) == {"stress-sign"}


def clusters(n: int = 12) -> list[Frame]:
    """Ethanol across the corner of a cell of 12 Å: the stress is −Σ r⊗F / V."""
    frames = []
    for f in molecules(n, all_electron=False):
        positions = f.atoms.positions - f.atoms.positions.mean(axis=0)
        moment = -positions.T @ f.forces / 12.0**3
        atoms = f.atoms.copy()
        atoms.set_cell([12.0] * 3)
        atoms.pbc = True
        atoms.positions = positions
        atoms.wrap()
        frames.append(replace(f, atoms=atoms, stress=0.5 * (moment + moment.T)))
    return frames


def test_stress_of_free_clusters_tells_its_unit_and_sign():
    assert codes(clusters()) == set()
    hit = found(scaled(clusters(), stress=-1602.18), "stress-units")
    assert "kbar with the opposite sign" in hit.message and "−0.000624150" in hit.fix
    # One frame convicts nothing.
    alone = check_frames({"train": scaled(clusters(1), stress=-1602.18)})
    assert not [f for f in alone.warnings if "stress" in f.code]


def test_one_bond_convicts_nothing():
    """A dimer curve, with its forces flipped or in any unit."""
    frames = []
    for k in range(12):
        r = 0.65 + 0.02 * k
        pull = 40 * (r - 0.74)
        forces = np.array([[0, 0, pull], [0, 0, -pull]])
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, r]])
        energy = 20 * (r - 0.74) ** 2 - 31.7
        frames.append(Frame(atoms, energy=energy, forces=forces, source="h2.xyz", index=k))
    for factors in ((1, 1), (1, -1), (HA, BOHR_FORCE), (23.06, 23.06)):
        assert not {c for c in codes(scaled(frames, *factors)) if "unit" in c or "sign" in c}


GRID = [
    (energy, forces, per_atom)
    for energy, forces in (
        ("Ha", "Ha/Bohr"),
        ("kcal/mol", "kcal/mol/Å"),
        ("kJ/mol", "kJ/mol/Å"),
        ("kJ/mol", "kJ/mol/nm"),
        ("Ha", "eV/Å"),
        ("eV", "Ha/Bohr"),
        ("eV", "eV/Å"),
    )
    for per_atom in (False, True)
]


@pytest.mark.parametrize("make", [molecules, lambda: molecules() + isolated()])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("energy", "forces", "per_atom"), GRID)
def test_every_unit_is_named_once_with_its_factor(make, sign, energy, forces, per_atom):
    """Factors from CODATA: Ha = 27.211386 eV, Bohr = 0.529177 Å, mole, calorie."""
    eV = {"eV": 1.0, "Ha": 27.211386, "kcal/mol": 0.0433641, "kJ/mol": 0.01036427}[energy]
    per_length = {"Bohr": 0.5291772, "nm": 10.0, "Å": 1.0}[forces.rsplit("/", 1)[1]]
    unit = forces.rsplit("/", 1)[0]
    force = {"eV": 1.0, "Ha": 27.211386, "kcal/mol": 0.0433641, "kJ/mol": 0.01036427}[unit]
    force *= sign / per_length
    frames = [
        replace(
            f,
            energy=f.energy / eV / (len(f) if per_atom else 1),
            forces=None if f.forces is None else f.forces / force,
        )
        for f in make()
    ]
    report = check_frames({"train": frames})
    told = [f for f in report.findings if f.code.endswith(("units", "sign", "unsure", "mismatch"))]
    wanted = []
    if eV != 1.0 or per_atom:
        wanted.append(Unit(energy, eV, "per atom" if per_atom else "total"))
    if force != 1.0:
        wanted.append(Unit(forces, force))
    assert len(told) == len(wanted), told
    for hit, unit_wanted in zip(told, wanted, strict=True):
        assert hit.code.startswith("energy" if unit_wanted.name == energy else "force")
        if abs(unit_wanted.factor) != 1.0:
            number = hit.fix.split(" by ", 1)[1].split()[0].replace("−", "-")
            assert float(number) == pytest.approx(unit_wanted.factor, rel=1e-5)
        assert ("number of atoms" in hit.fix) == (unit_wanted.shape == "per atom")
    assert (report.units.energy.name, report.units.forces.name) == (energy, forces)


# -- levels of theory and outliers ---------------------------------------------------------------
def test_mixed_levels_are_named():
    frames = molecules(40)
    odd = [k for k in range(40) if k % 4 == 1]
    for k in odd:
        frames[k] = replace(frames[k], energy=frames[k].energy + 0.3 * 9, config_type="b3lyp")
    hit = found(frames, "mixed-levels")
    assert hit.frames == [f"mol.xyz frame {k}" for k in odd]
    offset = float(hit.message.split("[b3lyp (10)] ")[1].split(" eV/atom")[0])
    assert offset == pytest.approx(0.3, abs=0.01)


def test_mixed_levels_of_crystals_under_strain():
    frames = crystals(60)
    for k in range(0, 60, 4):  # the offset is smaller than the thermal spread
        frames[k] = replace(frames[k], energy=frames[k].energy + 0.08 * len(frames[k]))
    hit = found(frames, "mixed-levels")
    assert hit.n_frames == 15 and hit.frames[1] == "cu.xyz frame 4"


def test_mixed_levels_of_different_compositions():
    frames = crystals(60)
    odd = list(range(0, 60, 3))
    for k in odd:
        frames[k] = replace(frames[k], energy=frames[k].energy - 1.5 * len(frames[k]))
    assert found(frames, "mixed-levels").n_frames == len(odd)
    # Without forces only the composition fit is left.
    without = [replace(f, forces=None) for f in frames]
    assert found(without, "mixed-levels").n_frames == len(odd)


@pytest.mark.parametrize(
    ("unit", "energy", "forces"),
    [
        ("kcal/mol", 23.0605, 23.0605),
        ("kJ/mol", 96.485, 96.485),
        ("Ha", 1 / 27.2114, 1 / 51.4221),
        ("Ha", 1 / 27.2114, 1.0),
    ],
)
@pytest.mark.parametrize("all_electron", [True, False])
def test_frames_in_another_unit_are_named_with_it(unit, energy, forces, all_electron):
    frames = molecules(30, all_electron=all_electron)
    odd = list(range(0, 30, 3))
    for k in odd:
        frames[k] = scaled([frames[k]], energy, forces)[0]
    hit = found(frames, "mixed-units")
    assert hit.severity == "error" and f"like {unit} " in hit.message
    assert hit.n_frames == 10 and hit.frames[1] == "mol.xyz frame 3"
    assert ("forces fit" in hit.message) == (forces != 1.0)
    # Said once, and nothing is said of levels of theory.
    assert codes(frames) == {"mixed-units"}


def test_differences_that_no_chemistry_makes_are_not_called_well():
    frames = molecules(40)
    for k in range(0, 40, 4):
        frames[k] = replace(frames[k], energy=frames[k].energy - 200.0 * 9)
    assert "all is well" not in found(frames, "mixed-levels").fix


def test_missing_labels_of_one_file_are_said_once():
    bare = [replace(f, energy=None, forces=None) for f in molecules(20)]
    splits = {"train": bare[2:], "valid": bare[:2]}
    hit = found(splits, "no-labels", held_out=True)
    assert hit.severity == "error" and "20 frames" in hit.message
    no_forces = [replace(f, forces=None) for f in molecules(20)]
    splits = {"train": no_forces[2:], "valid": no_forces[:2]}
    assert found(splits, "energy-only", held_out=True).n_frames == 20


def test_few_frames_say_how_many_are_held_out():
    splits = {"train": molecules(18), "valid": molecules(20)[18:]}
    assert "18 frames to train on (2 more" in found(splits, "few-frames", held_out=True).message
    assert found(splits, "few-validation-frames").severity == "warning"


def test_isomers_are_no_levels_of_theory():
    """Two honest basins, far apart in energy and structure, one label for both."""
    frames = molecules(40)
    for k in range(0, 40, 2):
        atoms = frames[k].atoms
        atoms.positions[2] += np.array([1.5, -1.0, 0.8])  # the hydroxyl H goes elsewhere
        frames[k] = replace(frames[k], energy=frames[k].energy + 0.25 * 9)
    assert "mixed-levels" not in codes(frames)
    assert "mixed-levels" not in codes(scaled(frames, 23.0605, 23.0605))


@pytest.mark.parametrize("name", ["train", "valid", "test"])
def test_two_sides_of_a_reaction_are_one_level_of_theory(name):
    """Two basins with a barrier between them, all MP2; and a quarter of each at another level."""
    frames = [f for f in read_frames([str(DATA / f"{name}.xyz")]).frames if len(f) > 1]
    assert "mixed-levels" not in codes(frames)
    odd = range(0, len(frames), 4)
    for k in odd:
        frames[k] = replace(frames[k], energy=frames[k].energy + 0.3 * 6)
    assert "mixed-levels" in codes(frames)


def test_outliers_of_energy_and_force():
    frames = molecules()
    frames[13] = replace(frames[13], energy=frames[13].energy + 60.0)
    assert found(frames, "energy-outliers").frames == ["mol.xyz frame 13"]
    frames = molecules()
    kick = np.zeros((9, 3))
    kick[0, 0], kick[1, 0] = 500.0, -500.0
    frames[14] = replace(frames[14], forces=frames[14].forces + kick)
    assert found(frames, "force-outliers").frames == ["mol.xyz frame 14"]


# -- reference energies --------------------------------------------------------------------------
def test_reference_energies_are_announced():
    report = check_frames({"train": molecules()})
    notes = {f.code: f for f in report.findings}
    # One warning tells that there are no atoms, and what the compositions leave open.
    [said] = report.warnings
    assert said is notes["composition-rank"]
    assert "H:C:O = 6:2:1" in said.message and "no isolated atom" in said.message
    assert "H, O" in found(molecules() + isolated((6,)), "composition-rank").message
    with_atoms = check_frames({"train": molecules() + isolated()})
    assert not with_atoms.warnings and "settle" in with_atoms.notes[0].message


def test_few_and_no_frames():
    assert found(molecules(5), "few-frames").severity == "note"
    assert [f.code for f in check_frames({"train": []}).errors] == ["no-frames"]
