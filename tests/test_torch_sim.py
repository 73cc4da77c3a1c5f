"""The torch-sim model against `predict_frames`, ASE's calculator, optimizer and dynamics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_sim as ts
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms
from ase.filters import FrechetCellFilter
from ase.geometry import find_mic
from ase.md.verlet import VelocityVerlet
from ase.optimize import FIRE
from torch_sim.models.interface import validate_model_outputs

import foundation_factory
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation, Provenance
from pestle.foundations.nequip.foundation import NequipFoundation
from pestle.foundations.nequip.network import Network
from pestle.foundations.nequip.shape import Shape
from pestle.foundations.prediction import predict_frames
from pestle.foundations.torch_sim import FoundationModel, torch_sim_model
from pestle.structures.frame import Frame

ELEMENTS = (1, 6, 8, 11, 14, 17, 26)
#: eV; of the velocities that dynamics start with.
KT = 300 * units.kB


def small_nequip() -> NequipFoundation:
    """A small NequIP-type network with random weights, in float64."""
    shape = Shape(
        species=len(ELEMENTS),
        species_channels=len(ELEMENTS),
        channels=(8, 4),
        lmax=1,
        layers=2,
        basis_size=4,
        radial_width=8,
        radial_depth=1,
        cutoff=4.0,
        cutoff_power=6.0,
        mean_neighbours=12.0,
        layer_norm=True,
        init_scale=4.0,
        heads=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = Network(shape, [0.5], [-0.1]).double()
    return NequipFoundation(
        network,
        elements=ELEMENTS,
        heads=("Default",),
        e0s=-torch.arange(1.0, len(ELEMENTS) + 1)[None].double(),
        provenance=Provenance(name="small nequip"),
    )


@pytest.fixture(scope="module", params=["mace", "nequip"])
def foundation(request: pytest.FixtureRequest, seed0: Foundation) -> Foundation:
    """A model of each backend in float64, with the same elements."""
    return seed0.with_elements(ELEMENTS) if request.param == "mace" else small_nequip()


@pytest.fixture(scope="module")
def two_heads(foundation: Foundation) -> Foundation:
    """The same with the heads `a` and `b`, whose E0s are 10 and 300 eV an atom apart."""
    made = foundation.with_heads({"a": "Default", "b": "Default"})
    e0s = made.reference_energies["a"]
    return made.with_reference_energies(
        "b", {z: e - (10 if z == 11 else 300) for z, e in e0s.items()}
    )


def shaken(atoms: Atoms, seed: int = 0) -> Atoms:
    atoms.positions += np.random.default_rng(seed).normal(scale=0.08, size=atoms.positions.shape)
    return atoms


def boxed(name: str) -> Atoms:
    """A molecule in a periodic cell, too far from its images to see them."""
    atoms = shaken(molecule(name))
    atoms.center(vacuum=6.0)
    atoms.pbc = True
    return atoms


def crystals() -> list[Atoms]:
    """Cells smaller and larger than the cutoff, skewed, with a molecule, with atoms outside."""
    outside = shaken(bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat((2, 1, 1)))
    steps = np.random.default_rng(1).integers(-2, 3, size=(len(outside), 3))
    outside.positions += steps @ outside.cell.array
    skewed = Atoms(
        "SiC",
        scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.6]],
        cell=[[3, 0, 0], [2.5, 2.9, 0], [-1.3, 2.0, 3.1]],
        pbc=True,
    )
    return [shaken(bulk("NaCl", "rocksalt", a=5.5)), boxed("CH3CH2OH"), outside, skewed]


def per_structure(foundation: Foundation, structures: list[Atoms], head: str | None = None):
    """Energy, forces and stress of every structure, predicted alone."""
    return [predict_frames(foundation, [Frame(atoms)], head=head)[0] for atoms in structures]


def split(values: torch.Tensor, state: ts.SimState) -> list[np.ndarray]:
    return [values[state.system_idx == k].numpy() for k in range(state.n_systems)]


# -- one call -------------------------------------------------------------------------------------
def test_batch_of_crystals_equals_single_predictions(foundation):
    structures = crystals()
    model = torch_sim_model(foundation)
    state = model.state(structures)
    found = model(state)
    for k, alone in enumerate(per_structure(foundation, structures)):
        assert float(found["energy"][k]) == pytest.approx(alone.energy, abs=1e-9)
        np.testing.assert_allclose(split(found["forces"], state)[k], alone.forces, atol=1e-9)
        np.testing.assert_allclose(found["stress"][k].numpy(), alone.stress, atol=1e-11)
    assert np.abs(found["stress"].numpy()).max() > 1e-3
    # The box is only there because all systems of a state are periodic: it is no crystal.
    free = molecule("CH3CH2OH")
    free.positions = structures[1].positions
    alone = per_structure(foundation, [free])[0]
    assert float(found["energy"][1]) == pytest.approx(alone.energy, abs=1e-9)


def test_batch_of_molecules_equals_single_predictions(foundation):
    structures = [shaken(molecule("CH3CH2OH")), Atoms("O"), shaken(molecule("H2O"), seed=2)]
    model = torch_sim_model(foundation)
    state = model.state(structures)
    found = model(state)
    for k, alone in enumerate(per_structure(foundation, structures)):
        assert float(found["energy"][k]) == pytest.approx(alone.energy, abs=1e-9)
        np.testing.assert_allclose(split(found["forces"], state)[k], alone.forces, atol=1e-9)
    assert found["stress"].shape == (3, 3, 3)
    assert not found["stress"].any()


def test_atoms_without_neighbours_have_no_forces(foundation):
    model = torch_sim_model(foundation)
    found = model(model.state([Atoms("O"), Atoms("Na")]))
    alone = foundation.isolated_atom_energies()
    assert found["energy"].tolist() == pytest.approx([alone[8], alone[11]], abs=1e-10)
    assert not found["forces"].any()


def test_equals_the_ase_calculator(two_heads):
    model = torch_sim_model(two_heads, head="b")
    structures = crystals()
    state = model.state(structures)
    found = model(state)
    for k, atoms in enumerate(structures):
        atoms.calc = two_heads.calculator(head="b")
        assert float(found["energy"][k]) == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(split(found["forces"], state)[k], atoms.get_forces(), atol=1e-9)
        np.testing.assert_allclose(
            found["stress"][k].numpy(), atoms.get_stress(voigt=False), atol=1e-11
        )


def test_stress_is_the_derivative_by_strain(foundation):
    model = torch_sim_model(foundation)
    atoms, h = crystals()[3], 1e-4
    strained = []
    for sign in (1, -1):
        moved = atoms.copy()
        strain = np.eye(3) + sign * h * np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 0]])
        moved.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        strained.append(moved)
    found = model(model.state([atoms, *strained]))
    plus, minus = found["energy"][1:].tolist()
    slope = (plus - minus) / (2 * h) / atoms.get_volume()
    assert float(found["stress"][0, 0, 0]) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_torch_sims_own_check_of_the_contract(foundation):
    validate_model_outputs(torch_sim_model(foundation), torch.device("cpu"), torch.float64)


def test_the_head_decides(two_heads):
    structures = crystals()
    energies = {}
    for head in ("a", "b"):
        model = torch_sim_model(two_heads, head=head)
        assert model.head == head
        energies[head] = model(model.state(structures))["energy"].numpy()
        alone = [p.energy for p in per_structure(two_heads, structures, head)]
        np.testing.assert_allclose(energies[head], alone, atol=1e-9)
    shift = [sum(10 if z == 11 else 300 for z in atoms.numbers) for atoms in structures]
    np.testing.assert_allclose(energies["a"] - energies["b"], shift, atol=1e-8)
    with pytest.raises(PestleError, match="none was named"):
        torch_sim_model(two_heads)
    with pytest.raises(PestleError, match="no head 'c'"):
        torch_sim_model(two_heads, head="c")


@pytest.mark.filterwarnings("ignore:Optimize has reached max steps")
def test_all_electron_energies_lose_nothing_in_single_precision(foundation):
    e0s = {z: -1e5 - z / 7 for z in ELEMENTS}
    single = foundation.with_reference_energies("Default", e0s).with_dtype(torch.float32)
    structures = crystals()
    model = torch_sim_model(single)
    state = model.state(structures)
    found = model(state)
    assert state.positions.dtype == found["forces"].dtype == found["stress"].dtype == torch.float32
    assert found["energy"].dtype == torch.float64
    interaction = [p.interaction_energy for p in per_structure(foundation, structures)]
    sums = np.array([sum(e0s[int(z)] for z in atoms.numbers) for atoms in structures])
    assert np.abs(sums).max() > 1e6  # float32 would round to 0.125 eV there
    np.testing.assert_allclose(found["energy"].numpy() - sums, interaction, atol=2e-4)
    # … and torch-sim's optimizers keep them so.
    relaxed = ts.optimize(
        state, model, optimizer=ts.unit_cell_fire, max_steps=5, convergence_fn=never
    )
    assert relaxed.energy.dtype == torch.float64
    alone = per_structure(single, relaxed.to_atoms())
    np.testing.assert_allclose(relaxed.energy.numpy(), [p.energy for p in alone], atol=2e-4)


def never(state: ts.SimState, last_energy: object = None) -> torch.Tensor:
    return torch.zeros(state.n_systems, dtype=torch.bool)


def test_no_gradient_is_kept_and_the_foundation_stays_as_it_was(foundation):
    model = torch_sim_model(foundation)
    state = model.state(crystals()[:1])
    before = {name: value.clone() for name, value in vars(state).items() if torch.is_tensor(value)}
    found = model(state)
    assert not any(value.requires_grad for value in found.values())
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in foundation.parameters())
    assert all(torch.equal(value, getattr(state, name)) for name, value in before.items())
    model.compute_stress = model.compute_forces = False
    assert list(model(state)) == ["energy"]


def test_a_state_as_a_dictionary(foundation):
    model = torch_sim_model(foundation)
    state = model.state(crystals())
    names = ("positions", "cell", "pbc", "atomic_numbers", "system_idx")
    found = model({name: getattr(state, name) for name in names})
    assert torch.equal(found["energy"], model(state)["energy"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu(foundation):
    model, expected = torch_sim_model(foundation.copy().cuda()), torch_sim_model(foundation)
    found = model(model.state(crystals()))
    for name, value in expected(expected.state(crystals())).items():
        assert found[name].is_cuda
        torch.testing.assert_close(found[name].cpu(), value, atol=1e-8, rtol=0)


# -- simulations ----------------------------------------------------------------------------------
def test_relaxation_ends_where_ase_ends(foundation):
    # The random network has many shallow minima: without the symmetry it is chance which is found.
    structures = (
        [shaken(bulk("NaCl", "rocksalt", a=5.4), seed=s) for s in (1, 2)]
        if foundation.backend == "mace"
        else [bulk("NaCl", "rocksalt", a=a) for a in (5.2, 5.6)]
    )
    model = torch_sim_model(foundation)
    before = model(model.state(structures))["energy"]
    relaxed = ts.optimize(
        model.state(structures),
        model,
        optimizer=ts.frechet_cell_fire,
        convergence_fn=ts.generate_force_convergence_fn(0.002),
        max_steps=200,
    )
    assert bool((relaxed.energy < before - 5e-3).all())
    for k, atoms in enumerate(structures):
        atoms.calc = foundation.calculator()
        assert FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.002, steps=200)
        assert float(relaxed.energy[k]) == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        assert relaxed.to_atoms()[k].get_volume() == pytest.approx(atoms.get_volume(), rel=3e-3)


def test_dynamics_follow_ases_and_conserve_the_energy(foundation):
    structures = [shaken(bulk("NaCl", "rocksalt", a=5.6, cubic=True)), boxed("CH3CH2OH")]
    model = torch_sim_model(foundation)
    start, step = ts.nve(model, dt=torch.tensor(0.5 * units.fs, dtype=torch.float64), kT=KT)
    state = start(model.state(structures), seed=5)
    for k, atoms in enumerate(structures):
        atoms.calc = foundation.calculator()
        atoms.set_momenta(split(state.momenta, state)[k])
    kinetic, total = [], []
    for _ in range(30):
        state = step(state)
        kinetic.append(kinetic_energies(state))
        total.append(state.energy + kinetic[-1])
    exchanged = torch.stack(kinetic).amax(0) - torch.stack(kinetic).amin(0)
    drift = (torch.stack(total) - total[0]).abs().amax(0)
    assert bool((exchanged > 0.005).all())
    assert bool((drift < 0.02 * exchanged).all())
    for k, atoms in enumerate(structures):
        VelocityVerlet(atoms, timestep=0.5 * units.fs).run(30)
        apart = split(state.positions, state)[k] - atoms.positions  # torch-sim wraps, ASE does not
        np.testing.assert_allclose(find_mic(apart, atoms.cell)[0], 0.0, atol=1e-8)


def kinetic_energies(state: ts.SimState) -> torch.Tensor:
    """[n_systems] eV."""
    energies = state.momenta.pow(2).sum(1) / (2 * state.masses)
    return energies.new_zeros(state.n_systems).index_add_(0, state.system_idx, energies)


def test_a_collapsed_crystal_stops_alone(foundation):
    good, tiny = bulk("NaCl", "rocksalt", a=5.2), bulk("NaCl", "rocksalt", a=0.6)
    model = torch_sim_model(foundation)
    state = model.state([tiny, good])
    found = model(state)
    alone = per_structure(foundation, [good])[0]
    assert found["energy"].isnan().tolist() == [True, False]
    assert float(found["energy"][1]) == pytest.approx(alone.energy, abs=1e-9)
    assert not found["stress"][0].any()
    assert not split(found["forces"], state)[0].any()
    np.testing.assert_allclose(found["stress"][1].numpy(), alone.stress, atol=1e-11)

    relaxed = ts.optimize(
        state,
        model,
        optimizer=ts.frechet_cell_fire,
        convergence_fn=ts.generate_force_convergence_fn(0.002),
        max_steps=100,
    )
    assert relaxed.energy.isnan().tolist() == [True, False]
    assert float(relaxed.energy[1]) < alone.energy - 1e-3

    broken = state.clone()
    broken.positions[2] = torch.nan
    assert model(broken)["energy"].isnan().tolist() == [True, True]
    lies = FoundationModel(foundation)
    honest = lies.foundation.predict

    def infinite(graphs, **options):
        prediction = honest(graphs, **options)
        prediction.forces[0, 0] = torch.inf
        return prediction

    lies.foundation.predict = infinite
    found = lies(lies.state([good, bulk("NaCl", "rocksalt", a=5.4)]))
    assert found["energy"].isnan().tolist() == [True, False]
    assert found["forces"].isfinite().all()
    assert not found["stress"][0].any()
    assert found["stress"][1].any()
    # A cell that is only small is no collapse, and the limit can be moved.
    dense = bulk("NaCl", "rocksalt", a=2.0)
    assert model(model.state([dense]))["energy"].isfinite().all()
    strict = FoundationModel(foundation, max_neighbours=20)
    assert strict(strict.state([dense]))["energy"].isnan().all()


# -- what a state can be made of ------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Optimize has reached max steps")
def test_left_handed_cells_relax_as_right_handed_ones(foundation):
    atoms = bulk("NaCl", "rocksalt", a=5.2)
    atoms.set_cell(-atoms.cell.array)
    if np.linalg.det(atoms.cell.array) > 0:
        atoms.set_cell(-atoms.cell.array)
    model = torch_sim_model(foundation)
    state = model.state([atoms])
    alone = per_structure(foundation, [atoms])[0]
    found = model(state)
    assert float(found["energy"]) == pytest.approx(alone.energy, abs=1e-9)
    np.testing.assert_allclose(found["stress"][0].numpy(), alone.stress, atol=1e-11)
    relaxed = ts.optimize(
        state, model, optimizer=ts.unit_cell_fire, convergence_fn=never, max_steps=15
    )
    assert float(relaxed.energy) < alone.energy - 1e-3
    assert model(relaxed)["stress"].abs().max() < 0.5 * np.abs(alone.stress).max()


def test_unknown_elements_are_named(foundation):
    model = torch_sim_model(foundation)
    frames = [Frame(Atoms("O")), Frame(molecule("NH3"), source="mine.xyz", index=7)]
    with pytest.raises(PestleError, match=r"mine\.xyz frame 7: .*\bN\b"):
        model.state(frames)
    state = ts.io.atoms_to_state([frame.atoms for frame in frames], model.device, model.dtype)
    with pytest.raises(PestleError, match=r"system 1: .*\bN\b"):
        model(state)


def test_what_torch_sim_cannot_hold_is_refused(seed0):
    model = torch_sim_model(seed0)
    crystal, slab = bulk("Cu"), fcc111("Cu", (1, 1, 3), vacuum=5)
    fixed = bulk("Cu")
    fixed.set_constraint(FixAtoms([0]))
    for structures, words in (
        ([crystal, slab], "structures frame 1: it is periodic in some directions only"),
        ([crystal, molecule("H2O")], "structures frame 1: either it or structures frame 0"),
        ([fixed], "structures frame 0: it has constraints"),
        ([Atoms("Cu", pbc=True)], "structures frame 0: .* no volume"),
        ([crystal, Atoms(pbc=True)], "structures frame 1: it has no atoms"),
        ([], "there is no structure"),
    ):
        with pytest.raises(PestleError, match=words):
            model.state(structures)


def test_charge_and_spin(seed0):
    charged = foundation_factory.foundation("charged")
    ion = Frame(shaken(molecule("H2O")), charge=1.0, spin=2.0, source="ions.xyz")
    expected = predict_frames(charged, [ion], head="omol")[0].energy
    neutral = predict_frames(charged, [Frame(ion.atoms)], head="omol")[0].energy
    assert abs(expected - neutral) > 1e-4
    model = FoundationModel(charged, "omol", charge=1.0, spin=2.0)
    assert float(model(model.state([ion]))["energy"]) == pytest.approx(expected, abs=1e-9)

    model = FoundationModel(charged, "omol")
    with pytest.raises(PestleError, match=r"ions\.xyz frame 0: .*charge 1 .*spin"):
        model.state([ion])
    ion.atoms.info |= {"total_charge": 1, "total_spin": 2}
    with pytest.raises(PestleError, match=r"structures frame 0: .*charge 1 .*spin"):
        model.state([ion.atoms])
    state = model.state([Frame(ion.atoms)])
    state.charge, state.spin = torch.tensor([1.0]), torch.tensor([2.0])
    assert float(model(state)["energy"]) == pytest.approx(expected, abs=1e-9)
    # A model that reads neither takes them all.
    model = torch_sim_model(seed0)
    assert model.state([ion, Frame(ion.atoms)]).n_systems == 2
