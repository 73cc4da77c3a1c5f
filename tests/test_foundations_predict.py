"""What a MACE foundation predicts: derivatives, symmetries, batches, single atoms, descriptors."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from foundation_factory import foundation, frames, fresh
from pestle.errors import PestleError
from pestle.foundations import interface
from pestle.foundations.prediction import KnownPredictions, predict_frames
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graph, make_graphs

MODELS = ("density", "nonlinear", "charged", "plain")


def batch(model, structures=None) -> GraphBatch:
    """The test structures as one batch for the model's last head."""
    graphs = make_graphs(structures or frames(), model.cutoff, dtype=model.dtype)
    return collate(graphs).with_head(len(model.heads) - 1)


def moved(frame: Frame, change) -> Frame:
    atoms = frame.atoms.copy()
    change(atoms)
    return Frame(atoms, index=frame.index)


@pytest.mark.parametrize("name", MODELS)
def test_forces_are_the_derivative_of_the_energy(name):
    model = foundation(name)
    structures = frames()
    forces = model.predict(batch(model, structures)).forces
    for atom, axis in ((0, 0), (1, 2)):
        energies = []
        for step in (1e-4, -1e-4):

            def shift(atoms, step=step, atom=atom, axis=axis):
                atoms.positions[atom, axis] += step

            energies.append(model.predict(batch(model, [moved(structures[0], shift)])).energy)
        numeric = -(energies[0] - energies[1]) / 2e-4
        assert forces[atom, axis].item() == pytest.approx(numeric.item(), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_stress_is_the_derivative_with_respect_to_strain(name):
    model = foundation(name)
    crystal = frames()[0]
    stress = model.predict(batch(model, [crystal]), stress=True).stress[0]
    assert torch.allclose(stress, stress.T)
    for a, b in ((0, 0), (1, 2)):
        energies = []
        for step in (1e-4, -1e-4):
            strain = np.zeros((3, 3))
            strain[a, b] += step / 2
            strain[b, a] += step / 2

            def deform(atoms, strain=strain):
                atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)

            energies.append(model.predict(batch(model, [moved(crystal, deform)])).energy)
        numeric = (energies[0] - energies[1]) / 2e-4 / crystal.atoms.get_volume()
        assert stress[a, b].item() == pytest.approx(numeric.item(), abs=1e-7)


@pytest.mark.parametrize("name", [*MODELS, "rotations only"])
def test_energies_are_invariant_and_forces_rotate(name):
    model = foundation(name)
    rotation = Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix()

    def rotate(atoms):
        atoms.positions = atoms.positions @ rotation.T + (np.zeros(3) if atoms.pbc.any() else 1.3)
        atoms.set_cell(atoms.cell.array @ rotation.T)

    before = model.predict(batch(model), stress=True)
    turned = batch(model, [moved(f, rotate) for f in frames()])
    after = model.predict(turned, stress=True)
    matrix = torch.tensor(rotation)
    assert torch.allclose(before.energy, after.energy, atol=1e-9)
    assert torch.allclose(before.forces @ matrix.T, after.forces, atol=1e-9)
    assert torch.allclose(matrix @ before.stress @ matrix.T, after.stress, atol=1e-9)
    assert torch.allclose(model.descriptors(batch(model)), model.descriptors(turned), atol=1e-9)
    assert before.forces.abs().max() > 1e-4
    assert not torch.allclose(before.forces, after.forces, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_gives_what_its_structures_give_alone(name):
    model = foundation(name)
    together = model.predict(batch(model), stress=True)
    alone = [model.predict(batch(model, [f]), stress=True) for f in frames()]
    for item in fields(together):
        joined = torch.cat([getattr(p, item.name) for p in alone])
        assert torch.allclose(getattr(together, item.name), joined, atol=1e-12), item.name


def test_one_pass_serves_several_heads():
    model = foundation("nonlinear")
    crystal = frames()[0]
    graphs = make_graphs([crystal, crystal, crystal], model.cutoff)
    mixed = collate([g.with_head(k) for k, g in enumerate(graphs)])
    energies = model.predict(mixed).energy
    for head, energy in enumerate(energies):
        assert torch.allclose(energy, model.predict(graphs[0].with_head(head)).energy[0])
    assert len(set(energies.tolist())) == 3


@pytest.mark.parametrize("name", [*MODELS, "one"])
def test_node_energies_sum_to_the_interaction_energy(name):
    model = foundation(name)
    graphs = batch(model)
    prediction = model.predict(graphs)
    sums = torch.zeros(graphs.n_graphs, dtype=torch.float64)
    sums.index_add_(0, graphs.batch, prediction.node_energies)
    assert torch.allclose(sums, prediction.interaction_energy, atol=1e-10)


def test_the_batch_is_left_as_it_was():
    model = foundation("density")
    graphs = batch(model)
    before = copy.deepcopy(graphs)
    model.predict(graphs, stress=True, training=True)
    model.descriptors(graphs)
    for item in fields(graphs):
        now, then = getattr(graphs, item.name), getattr(before, item.name)
        assert torch.equal(now, then) and not now.requires_grad, item.name


@pytest.mark.parametrize("name", ["density", "nonlinear", "plain", "residual", "charged"])
def test_atoms_without_neighbours_can_be_trained_on(name):
    model = fresh(name)
    graphs = batch(model, [Frame(Atoms("O")), Frame(Atoms("H"))])
    assert graphs.n_edges == 0
    prediction = model.predict(graphs, training=True, stress=True)
    assert torch.equal(prediction.forces, torch.zeros(2, 3, dtype=torch.float64))
    assert torch.equal(prediction.stress, torch.zeros(2, 3, 3, dtype=torch.float64))
    loss = prediction.forces.square().sum() + prediction.stress.square().sum()
    (loss + prediction.interaction_energy.square().sum()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)


def test_structures_without_volume_have_no_stress_nor_nan_gradients():
    model = fresh("density")
    structures = [f for f in frames() if not f.is_periodic]
    slab = molecule("H2O", cell=[5, 5, 0], pbc=[True, True, False])
    prediction = model.predict(batch(model, [*structures, Frame(slab)]), training=True, stress=True)
    assert torch.count_nonzero(prediction.stress) == 0
    (prediction.stress.square().sum() + prediction.forces.square().sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("elements", [None, (8, 11, 17)])
@pytest.mark.parametrize("name", ["density", "charged"])
def test_training_mode_differentiates_again(name, elements):
    model = fresh(name) if elements is None else foundation(name).with_elements(elements)
    graphs = batch(model, frames(model.elements))
    weight = model.network.node_embedding.linear.weight

    def loss(training):
        p = model.predict(graphs, training=training, stress=True)
        return p.energy.sum() + p.forces.square().sum() + 10 * p.stress.square().sum()

    loss(True).backward()
    step = 1e-5
    with torch.no_grad():
        weight[0] += step
        above = loss(False)
        weight[0] -= 2 * step
        below = loss(False)
        weight[0] += step
    assert weight.grad[0].item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-5)


def test_predictions_outside_training_carry_no_graph():
    model = foundation("density")
    with torch.no_grad():
        prediction = model.predict(batch(model), stress=True)
    assert not any(getattr(prediction, f.name).requires_grad for f in fields(prediction))


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_the_default_dtype_of_torch_does_not_matter(default):
    model = foundation("nonlinear", dtype=torch.float32)
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        prediction = model.predict(batch(model))
    finally:
        torch.set_default_dtype(before)
    assert prediction.forces.dtype == torch.float32
    assert prediction.energy.dtype == torch.float64


def test_unknown_elements_are_named():
    model = foundation("density")
    structures = [*frames(), Frame(molecule("PH3"), index=7)]
    graphs = collate(make_graphs(structures, model.cutoff))
    with pytest.raises(PestleError, match=r"frame 3: density .*\bP\b"):
        model.predict(graphs)


def test_charge_and_spin_reach_models_that_read_them():
    model = foundation("charged")
    ion = frames()[1]
    neutral = model.predict(batch(model, [ion])).energy
    ion.charge, ion.spin = 1.0, 2.0
    assert abs(model.predict(batch(model, [ion])).energy - neutral) > 1e-3


def test_all_electron_reference_energies_keep_their_digits():
    model = fresh("density", dtype=torch.float32)
    model = model.with_reference_energies("Default", {17: -70_000.123456789})
    model = model.to(torch.float32)
    crystal = Frame(frames()[0].atoms.repeat(2))
    expected = 8 * sum(model.reference_energies["Default"][z] for z in (11, 17))
    prediction = model.predict(batch(model, [crystal]))
    assert model.e0s.dtype == torch.float64
    assert prediction.reference_energy[0].item() == pytest.approx(expected, abs=1e-8)
    double = model.with_dtype(torch.float64)
    assert double.predict(batch(double, [crystal])).reference_energy[0] == expected


@pytest.mark.parametrize("name", ["nonlinear", "density", "residual"])
def test_isolated_atoms_are_what_a_single_atom_gives(name):
    model = foundation(name)
    for head in model.heads:
        energies = model.isolated_atom_energies(head)
        atom = Frame(Atoms("Cl", positions=[[3.0, 1.0, 2.0]]))
        graph = batch(model, [atom]).with_head(model.heads.index(head))
        assert model.predict(graph).energy.item() == pytest.approx(energies[17], abs=1e-10)
        shift = energies[17] - model.reference_energies[head][17]
        constant = float(model.network.scale_shift.shift[model.heads.index(head)])
        # Density blocks pass nothing on without neighbours; the others have self-terms.
        assert (abs(shift - constant) < 1e-9) == (name == "density")


def test_several_heads_have_to_be_named():
    """Unless one is called Default, which then is meant, as for MACECalculator."""
    model = foundation("nonlinear")
    assert model.heads[model.head_index(None)] == "Default"
    others = [head for head in model.heads if head != "Default"]
    unnamed = model.with_heads({head: head for head in others})
    with pytest.raises(PestleError, match="2 heads"):
        unnamed.isolated_atom_energies()
    with pytest.raises(PestleError, match="Did you mean 'r2scan'"):
        model.calculator(head="r2scam")


def test_descriptors_agree_with_maces_own():
    from mace.calculators import MACECalculator

    model, frame = fresh("density"), frames()[1]
    mine = model.descriptors(batch(model, [frame])).numpy()
    theirs = MACECalculator(models=[model.network]).get_descriptors(frame.atoms)
    np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_descriptors_hold_the_scalars_of_every_layer():
    model = foundation("three")
    assert model.descriptors(batch(model)).shape == (int(batch(model).ptr[-1]), 3 * 4)


def test_a_cpu_predicts_in_small_batches_unless_told_otherwise(monkeypatch):
    model, structures = foundation("residual"), frames()
    edges = [make_graph(f, model.cutoff).n_edges for f in structures]
    together = predict_frames(model, structures, max_edges=sum(edges))
    sizes = []
    original = type(model).predict

    def watched(self, graphs, **options):
        sizes.append(graphs.n_edges)
        return original(self, graphs, **options)

    monkeypatch.setattr(type(model), "predict", watched)
    monkeypatch.setattr(interface, "CPU_BATCH_EDGES", max(edges))
    apart = predict_frames(model, structures)
    assert len(sizes) > 1 and max(sizes) == max(edges)
    for a, b in zip(apart, together, strict=True):
        assert a.energy == pytest.approx(b.energy, rel=1e-12)
        assert np.allclose(a.forces, b.forces, atol=1e-12)


def test_a_known_frame_is_not_predicted_again(monkeypatch):
    model, structures = foundation("residual"), frames()
    fresh_predictions = predict_frames(model, structures, max_edges=1)
    asked = []
    original = type(model).predict

    def watched(self, graphs, **options):
        asked.append(graphs.n_graphs)
        return original(self, graphs, **options)

    monkeypatch.setattr(type(model), "predict", watched)
    known, told = KnownPredictions(), []
    predict_frames(model, structures[1:3], max_edges=1, known=known)
    assert sum(asked) == 2
    found = predict_frames(model, structures, max_edges=1, known=known, on_progress=told.append)
    assert sum(asked) == len(structures)
    assert told[0] == 2 and told[-1] == len(structures)
    for a, b in zip(found, fresh_predictions, strict=True):
        assert a.energy == b.energy and np.array_equal(a.forces, b.forces)
    # A frame of the same content is another one: its labels or atoms may be changed.
    predict_frames(model, [replace(structures[0])], known=known)
    assert sum(asked) == len(structures) + 1
