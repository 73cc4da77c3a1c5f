"""Checks that compare labels with a foundation, here a pair potential that imitates one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from ase.build import bulk

from pestle.checks.against_foundation import check_with_foundation
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation, Prediction, Provenance
from pestle.structures.frame import Frame
from pestle.structures.graphs import make_graph


class PairPotential(Foundation):
    """Morse-like pairs between Cu and Au; `softness` and `skew` make it a poor foundation."""

    def __init__(self, softness: float = 1.0, skew: float = 0.0, pressure: float = 0.0) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(softness, dtype=torch.float64))
        self.skew, self.pressure = skew, pressure
        self.provenance = Provenance("pair potential")
        self.batches: list[int] = []

    elements = (29, 79)
    heads = ("Default",)
    cutoff = 4.5
    dtype = torch.float64

    def predict(self, graphs, *, training=False, stress=False):
        self.batches.append(graphs.n_graphs)
        positions = graphs.positions.clone().requires_grad_(True)
        strain = torch.zeros(graphs.n_graphs, 3, 3, dtype=torch.float64, requires_grad=True)
        i, j = graphs.edge_index
        of_edge = graphs.batch[i]
        shift = torch.einsum("ea,eab->eb", graphs.unit_shifts, graphs.cell[of_edge])
        vector = positions[j] - positions[i] + shift
        vector = vector + torch.einsum("ea,eab->eb", vector, strain[of_edge])
        r = vector.norm(dim=1)
        heavy = (graphs.numbers[i] == 79).double() + (graphs.numbers[j] == 79).double()
        x = torch.exp(-1.4 * (r - 2.65 - 0.05 * heavy))
        window = (1 - r / self.cutoff) ** 2
        pair = 0.5 * (0.6 + self.skew * heavy) * (x**2 - 2 * x) * window * self.scale
        node = torch.zeros(len(positions), dtype=torch.float64).index_add(0, i, pair)
        energy = torch.zeros(graphs.n_graphs, dtype=torch.float64).index_add(0, graphs.batch, node)
        force, virial = torch.autograd.grad(energy.sum(), [positions, strain])
        volume = torch.linalg.det(graphs.cell).abs()
        virial = 0.5 * (virial + virial.transpose(1, 2)) / volume[:, None, None]
        virial = virial - self.pressure * torch.eye(3, dtype=torch.float64)
        reference = torch.zeros_like(energy)
        return Prediction(energy, reference, node, -force, virial if stress else None)


PairPotential.__abstractmethods__ = frozenset()


@cache
def _labelled(n: int, seed: int) -> tuple[Frame, ...]:
    rng = np.random.default_rng(seed)
    truth = PairPotential()
    frames = []
    for k in range(n):
        atoms = bulk("Cu", "fcc", a=3.75, cubic=True) * (2, 2, 1 + k % 2)
        atoms.numbers[: 1 + k % 5] = 79
        atoms.set_cell(
            atoms.cell.array @ (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), scale_atoms=True
        )
        atoms.positions += 0.2 * rng.normal(size=(len(atoms), 3))
        bare = Frame(atoms)
        said = truth.predict(make_graph(bare, truth.cutoff), stress=True)
        frames.append(
            Frame(
                atoms,
                energy=said.energy.item() - 50_000.0 * int((atoms.numbers == 79).sum()),
                forces=said.forces.detach().numpy(),
                stress=said.stress[0].detach().numpy(),
                source="alloy.xyz",
                index=k,
            )
        )
    return tuple(frames)


def labelled(n: int = 60, seed: int = 0) -> list[Frame]:
    return [replace(f) for f in _labelled(n, seed)]


def scaled(frames, energy=1.0, forces=1.0, stress=1.0):
    return [
        replace(f, energy=f.energy * energy, forces=f.forces * forces, stress=f.stress * stress)
        for f in frames
    ]


def check(frames, model=None, **options):
    model = model or PairPotential(softness=0.75, skew=0.03)
    report = check_with_foundation({"train": frames}, model, head=None, **options)
    # What is said of the reference energies is true of these sets, and tested elsewhere.
    about_e0s = {"composition-rank", "no-isolated-atoms", "few-frames"}
    return [f for f in report.findings if f.code not in about_e0s]


def by_code(frames, **options):
    return {f.code: f for f in check(frames, **options)}


def test_clean_labels_agree_with_a_soft_foundation():
    assert check(labelled()) == []


@pytest.mark.parametrize(
    ("energy", "forces", "named"),
    [
        (1 / 27.2114, 1 / 51.4221, ("Ha", "Ha/Bohr")),
        (23.0605, 23.0605, ("kcal/mol", "kcal/mol/Å")),
        (96.4853, 96.4853, ("kJ/mol", "kJ/mol/Å")),
    ],
)
def test_units_are_named(energy, forces, named):
    found = by_code(scaled(labelled(), energy, forces))
    assert f"look like {named[0]}, not eV" in found["energy-units"].message
    assert f"look like {named[1]}, not eV/Å" in found["force-units"].message


@pytest.mark.parametrize(("factor", "unit"), [(1602.18, "kbar"), (160.218, "GPa")])
def test_stress_units_and_sign(factor, unit):
    found = by_code(scaled(labelled(), stress=-factor))
    message = found["stress-units"].message
    assert unit in message and "opposite sign" in message
    assert "stress-sign" not in found
    # An offset of the pressure, as between settings, is no unit and no sign.
    spread = np.std([np.trace(f.stress) / 3 for f in labelled()])
    shifted = [replace(f, stress=f.stress - 3 * spread * np.eye(3)) for f in labelled()]
    other_way = PairPotential(pressure=-3 * spread)
    assert check(shifted, other_way) == []


def test_gradients_instead_of_forces():
    assert set(by_code(scaled(labelled(), forces=-1.0))) == {"force-sign"}


@pytest.mark.parametrize("factor", [1.0, -1.0, 1 / 51.4221, -23.0605])
def test_forces_alone_are_judged_by_the_foundation(factor):
    frames = [replace(f, energy=None, stress=None, forces=f.forces * factor) for f in labelled()]
    told = [f for f in check(frames) if f.code.startswith("force-")]
    if factor == 1.0:
        assert told == []
        return
    number = told[0].fix.split(" by ", 1)[1].split()[0].replace("−", "-")
    assert len(told) == 1 and float(number) == pytest.approx(1 / factor, rel=1e-4)


def test_mixed_levels_below_the_thermal_spread():
    frames = labelled()
    per_atom = np.array([(f.energy % 50_000.0 - 50_000.0) / len(f) for f in frames])
    assert np.ptp(per_atom) > 0.2
    odd = [k for k in range(60) if k % 3 == 0]
    for k in odd:
        frames[k] = replace(frames[k], energy=frames[k].energy + 0.12 * len(frames[k]))
    near = PairPotential(softness=0.95, skew=0.005)
    hit = {f.code: f for f in check(frames, near)}["mixed-levels"]
    assert hit.n_frames == len(odd)
    assert hit.frames == [f"alloy.xyz frame {k}" for k in odd[:10]]
    assert "pair potential" in hit.message


def test_outliers():
    frames = labelled()
    frames[17] = replace(frames[17], energy=frames[17].energy + 30.0)
    kick = np.zeros((len(frames[18]), 3))
    kick[:2, 0] = 100.0, -100.0
    frames[18] = replace(frames[18], forces=frames[18].forces + kick)
    found = by_code(frames)
    assert found["energy-outliers"].frames == ["alloy.xyz frame 17"]
    assert found["force-outliers"].frames == ["alloy.xyz frame 18"]


def test_sampling_batching_and_when_nothing_is_asked():
    frames = labelled()
    model = PairPotential()
    check(frames, model, max_frames=40)
    assert sum(model.batches) == 40 and max(model.batches) > 1
    model = PairPotential()
    check(frames, model, max_frames=500)
    assert sum(model.batches) == 60
    # Broken structures are an error, and a model has nothing to say of them.
    model = PairPotential()
    alien = replace(frames[4], atoms=frames[4].atoms.copy())
    alien.atoms.numbers[0] = 1
    for broken in (replace(frames[3], energy=float("nan")), alien):
        assert any(f.severity == "error" for f in check([*frames, broken], model))
    assert model.batches == []
    with pytest.raises(PestleError, match="no head 'pbe'"):
        check_with_foundation({"train": frames}, model, head="pbe")
    assert [f.code for f in check([])] == ["no-frames"]
