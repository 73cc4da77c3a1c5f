"""The three losses against mace-torch's own code and against formulas written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

from pestle.foundations.interface import Prediction
from pestle.settings.training import LossSettings
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graph
from pestle.training.losses import loss_weights, make_loss

LAMBDAS = {"energy": 10.0, "forces": 7.0, "stress": 3.0}


def random_case(seed: int = 0) -> tuple[GraphBatch, Prediction]:
    """Four frames of 2 to 5 atoms, forces in all of mace's bands, a wrong prediction of each."""
    rng = np.random.default_rng(seed)
    frames = []
    for n_atoms, size in ((2, 1.0), (3, 90.0), (4, 180.0), (5, 400.0)):
        atoms = Atoms("H" * n_atoms, positions=3 * rng.random((n_atoms, 3)), cell=[9] * 3, pbc=True)
        frames.append(
            Frame(
                atoms,
                energy=float(rng.normal(scale=5)),
                forces=rng.normal(scale=size, size=(n_atoms, 3)),
                stress=rng.normal(scale=0.05, size=(3, 3)),
            )
        )
    batch = collate([make_graph(f, 2.0, index=k) for k, f in enumerate(frames)])
    n_atoms = int(batch.ptr[-1])
    reference = torch.tensor(rng.normal(scale=100, size=4))
    prediction = Prediction(
        interaction_energy=batch.energy - reference + torch.tensor(rng.normal(scale=0.05, size=4)),
        reference_energy=reference,
        node_energies=torch.zeros(n_atoms),
        forces=batch.forces + torch.tensor(rng.normal(scale=0.02, size=(n_atoms, 3))),
        stress=batch.stress + torch.tensor(rng.normal(scale=0.02, size=(4, 3, 3))),
    )
    return batch, prediction


def mace_loss(name: str, batch: GraphBatch, prediction: Prediction) -> torch.Tensor:
    """The same with mace-torch's loss classes."""
    import mace  # noqa: F401  (before e3nn)
    from mace.modules import loss as mace_losses

    class Reference(dict):
        __getattr__ = dict.__getitem__

    ones = torch.ones(batch.n_graphs, dtype=torch.float64)
    reference = Reference(
        energy=batch.energy, forces=batch.forces, stress=batch.stress, ptr=batch.ptr, weight=ones,
        energy_weight=ones, forces_weight=ones, stress_weight=ones,
    )  # fmt: skip
    predicted = {
        "energy": prediction.energy,
        "forces": prediction.forces,
        "stress": prediction.stress,
    }
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        loss = getattr(mace_losses, name)(*LAMBDAS.values())
        return loss(reference, predicted)
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("universal", "UniversalLoss"), ("mse", "WeightedEnergyForcesStressLoss")],
)
def test_equals_mace(kind: str, name: str) -> None:
    batch, prediction = random_case()
    ours = make_loss(LossSettings(kind=kind)).terms(prediction, batch).loss(LAMBDAS)
    assert float(ours) == pytest.approx(float(mace_loss(name, batch, prediction)), rel=1e-12)


def test_huber_is_equations_7_to_11() -> None:
    batch, prediction = random_case(1)
    delta = 0.01

    def huber(x: float) -> float:  # Eq. 8
        return x * x / 2 if abs(x) <= delta else delta * (abs(x) - delta / 2)

    energy = forces = stress = 0.0
    assert prediction.stress is not None
    for i in range(4):
        rows = slice(int(batch.ptr[i]), int(batch.ptr[i + 1]))
        energy += huber(float(prediction.energy[i] - batch.energy[i])) / 4  # Eq. 9
        difference = (prediction.forces - batch.forces)[rows].numpy()
        norms = [float(np.sqrt((row**2).sum())) for row in difference]
        forces += sum(huber(n) for n in norms) / len(norms) / 4  # Eq. 10
        residual = (prediction.stress - batch.stress)[i].numpy()
        stress += huber(float(np.sqrt((residual**2).sum()))) / 4  # Eq. 11
    expected = 10 * energy + 7 * forces + 3 * stress  # Eq. 7
    ours = make_loss(LossSettings(kind="huber")).terms(prediction, batch).loss(LAMBDAS)
    assert float(ours) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["universal", "huber", "mse"])
def test_weights_are_linear(kind: str) -> None:
    """Twice the weight is twice the loss of that frame, also deep in the linear part of Huber."""
    batch, prediction = random_case(2)
    loss = make_loss(LossSettings(kind=kind))
    single = []
    for k in range(4):
        only = batch.energy_weight * 0
        only[k] = 1.0
        batch.energy_weight = batch.forces_weight = batch.stress_weight = only
        single.append(float(loss.terms(prediction, batch).loss(LAMBDAS)))
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    batch.energy_weight = batch.forces_weight = batch.stress_weight = weights
    total = float(loss.terms(prediction, batch).loss(LAMBDAS))
    assert total == pytest.approx(float(np.dot(weights.numpy(), single)), rel=1e-12)


@pytest.mark.parametrize("kind", ["universal", "huber", "mse"])
def test_missing_labels_have_no_gradient(kind: str) -> None:
    """A frame without labels moves nothing, whatever is predicted for it."""
    frames = [
        Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]]), energy=-3.0, forces=np.ones((2, 3))),
        Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.9]])),
    ]
    batch = collate([make_graph(f, 2.0, index=k) for k, f in enumerate(frames)])
    energy = torch.tensor([1.0, 1e9], dtype=torch.float64, requires_grad=True)
    forces = torch.full((4, 3), 5.0, dtype=torch.float64, requires_grad=True)
    prediction = Prediction(energy, torch.zeros(2, dtype=torch.float64), torch.zeros(4), forces)
    make_loss(LossSettings(kind=kind)).terms(prediction, batch).loss(LAMBDAS).backward()
    assert energy.grad is not None and forces.grad is not None
    assert energy.grad[0] != 0 and energy.grad[1] == 0
    assert (forces.grad[:2] != 0).all() and (forces.grad[2:] == 0).all()


def test_terms_add_over_batches() -> None:
    """The validation loss does not depend on how the frames are cut into batches."""
    batch, prediction = random_case(3)
    loss = make_loss(LossSettings())
    whole = loss.terms(prediction, batch)
    assert prediction.stress is not None
    sums, counts = dict.fromkeys(whole.sums, 0.0), dict.fromkeys(whole.sums, 0)
    for k in range(4):
        rows = slice(int(batch.ptr[k]), int(batch.ptr[k + 1]))
        part = GraphBatch(
            **{
                **vars(batch),
                "ptr": torch.tensor([0, int(batch.n_atoms[k])]),
                "batch": torch.zeros(int(batch.n_atoms[k]), dtype=torch.int64),
                **{n: getattr(batch, n)[rows] for n in ("forces", "positions", "numbers")},
                **{
                    n: getattr(batch, n)[k : k + 1]
                    for n in ("energy", "stress", "energy_weight", "forces_weight", "stress_weight")
                },
            }
        )
        predicted = Prediction(
            prediction.interaction_energy[k : k + 1], prediction.reference_energy[k : k + 1],
            prediction.node_energies[rows], prediction.forces[rows], prediction.stress[k : k + 1],
        )  # fmt: skip
        terms = loss.terms(predicted, part)
        for name in sums:
            sums[name] += float(terms.sums[name])
            counts[name] += terms.counts[name]
    for name in sums:
        assert sums[name] / counts[name] == pytest.approx(
            float(whole.sums[name]) / whole.counts[name], rel=1e-12
        )


def test_large_totals_keep_their_digits() -> None:
    """A millielectronvolt on top of −70,000 eV survives a float32 network."""
    frame = Frame(Atoms("Br"), energy=-70_045.284 - 0.001)
    batch = make_graph(frame, 3.0, dtype=torch.float32)
    prediction = Prediction(
        torch.zeros(1), torch.tensor([-70_045.284], dtype=torch.float64), torch.zeros(1),
        torch.zeros(1, 3),
    )  # fmt: skip
    terms = make_loss(LossSettings(kind="mse")).terms(prediction, batch)
    assert float(terms.sums["energy"]) == pytest.approx(1e-6, rel=1e-3)


def test_second_stage_is_off_unless_asked_for() -> None:
    assert loss_weights(LossSettings()) == {"energy": 10.0, "forces": 10.0, "stress": 1.0}
    staged = LossSettings(stage_two_epoch=5)
    assert loss_weights(staged)["energy"] == 10.0
    assert loss_weights(staged, second_stage=True)["energy"] == 100.0
