"""Pestle's kernels of MACE networks against mace's own modules, and their derivatives by finite
differences."""

from __future__ import annotations

import importlib.util
import re

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

import nequip_factory
from foundation_factory import ELEMENTS, VARIANTS, frames, fresh
from pestle.adaptation.low_rank import LowRankModel
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.mace.copies import clone
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.kernels import PestleKernels
from pestle.foundations.mace.kernels.activation import scaled_silu
from pestle.foundations.mace.kernels.by_element import elements, products_by_element
from pestle.foundations.mace.kernels.polynomial import polynomial as polynomials
from pestle.foundations.mace.kernels.symmetry import Table
from pestle.foundations.mace.runtime import o3
from pestle.foundations.messages import Path, Paths, message_sums
from pestle.foundations.messages.neighbourhoods import neighbourhoods
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs

EXACT = 1e-10
SINGLE = 2e-6


def mixed() -> list[Frame]:
    """Twenty structures of one to sixteen atoms, disturbed."""
    generator = np.random.default_rng(8)
    kinds = [
        bulk("NaCl", "rocksalt", a=5.4),
        bulk("NaCl", "rocksalt", a=5.6, cubic=True),
        molecule("CH3CH2OH"),
        Atoms("C"),
        bulk("C", "diamond", a=3.6).repeat((2, 2, 2)),
    ]
    found = []
    for k in range(20):
        atoms = kinds[k % len(kinds)].copy()
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
        found.append(Frame(atoms))
    return found


BATCHES = {
    "a crystal, a molecule, an atom": lambda: frames(),
    "one atom": lambda: [Frame(Atoms("O"))],
    "no edges": lambda: [Frame(Atoms("O")), Frame(Atoms("CH", positions=[[0, 0, 0], [9, 0, 0]]))],
    "one element": lambda: mixed()[4:5],
    "20 graphs": mixed,
}


def batch_of(model: Foundation, name: str) -> GraphBatch:
    """A batch for a model; the second head predicts every other graph where there are two."""
    graphs = collate(make_graphs(BATCHES[name](), model.cutoff, dtype=model.dtype))
    graphs.head = torch.arange(graphs.n_graphs) % len(model.heads)
    return graphs


def everything(
    model: Foundation, graphs: GraphBatch, kernels: str
) -> dict[str, torch.Tensor | None]:
    """All that a network gives, and every weight gradient of a loss with forces and stress."""
    model.use_kernels(kernels)
    plain = model.merged() if isinstance(model, LowRankModel) else model
    said = model.predict(graphs, training=True, stress=True)
    assert said.stress is not None
    generator = torch.Generator().manual_seed(0)
    loss = said.interaction_energy.pow(2).sum()
    for quantity in (said.forces, said.stress):
        factors = torch.randn(quantity.shape, generator=generator, dtype=torch.float64)
        loss = loss + (quantity * factors.to(quantity)).pow(2).sum()
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    found = {
        "energy": said.interaction_energy,
        "node energies": said.node_energies,
        "forces": said.forces,
        "stress": said.stress,
        "descriptors": plain.descriptors(graphs),
    }
    found |= {f"gradient of {n}": g for (n, _), g in zip(named, gradients, strict=True)}
    return {name: None if x is None else x.detach().double() for name, x in found.items()}


def difference(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    """Largest difference, relative to the largest number."""
    if a is None or b is None:
        return float(sum(x.abs().max() for x in (a, b) if x is not None))
    return float((a - b).abs().max() / (1e-12 + b.abs().max()))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_in_double_precision_they_are_mace(name: str, batch: str) -> None:
    model = fresh(name)
    graphs = batch_of(model, batch)
    ours, theirs = (everything(model, graphs, kernels) for kernels in ("pestle", "mace"))
    assert "Pestle's kernels" in PestleKernels(model.network).description
    assert not PestleKernels(model.network).not_covered
    worst = {key: difference(ours[key], theirs[key]) for key in theirs}
    assert max(worst.values()) < EXACT, max(worst.items(), key=lambda x: x[1])


@pytest.mark.parametrize("name", VARIANTS)
def test_in_single_precision_they_round_no_worse_than_mace(name: str) -> None:
    """Against mace in double precision: to 2e-6, or to twice what mace's own rounding costs where
    large parts cancel, as in a small stress."""
    exact = fresh(name)
    single = exact.with_dtype(torch.float32)
    batch = "a crystal, a molecule, an atom"
    reference = everything(exact, batch_of(exact, batch), "mace")
    graphs = batch_of(single, batch)
    ours, theirs = (everything(single, graphs, kernels) for kernels in ("pestle", "mace"))
    for key, wanted in reference.items():
        allowed = max(SINGLE, 2 * difference(theirs[key], wanted))
        assert difference(ours[key], wanted) < allowed, key


def test_a_network_cast_to_double_precision_keeps_its_rounded_constants() -> None:
    """As mace runs it: its Clebsch–Gordan coefficients stay those of single precision."""
    model = fresh("cubic", dtype=torch.float32).with_dtype(torch.float64)
    graphs = batch_of(model, "20 graphs")
    ours, theirs = (everything(model, graphs, kernels) for kernels in ("pestle", "mace"))
    assert max(difference(ours[key], theirs[key]) for key in theirs) < EXACT


def test_low_rank_updates_get_the_same_gradients() -> None:
    graphs = batch_of(fresh("density"), "20 graphs")
    found = []
    for kernels in ("pestle", "mace"):
        model = LowRankModel(fresh("density"), 2, init_std=0.1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".B." in name:
                    parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
        found.append(everything(model, graphs, kernels))
    assert max(difference(found[0][key], found[1][key]) for key in found[1]) < EXACT
    assert any(".A." in key and x is not None and x.any() for key, x in found[0].items())


def test_only_the_gradients_that_are_asked_for_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces need no gradient of a weight, and a loss on them none of a position."""
    from pestle.foundations.mace.kernels import polynomial

    asked = []
    real = polynomial.wanted
    monkeypatch.setattr(polynomial, "wanted", lambda ctx: asked.append(real(ctx)) or asked[-1])
    model = fresh("residual")
    said = model.predict(batch_of(model, "20 graphs"), training=True)
    assert asked == [(True, False)] * 2  # features, coefficients
    asked.clear()
    readout = [p for n, p in model.named_parameters() if "readouts.1" in n]
    said.forces.pow(2).sum().backward(inputs=readout)
    assert not any(t for parts in asked for t in parts[-1:])  # never the coefficients


def test_a_network_is_as_it_was_after_it_ran_and_after_it_failed() -> None:
    model = fresh("residual")
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    graphs = batch_of(model, "one element")
    model.predict(graphs)
    with pytest.raises(IndexError):
        model.predict(GraphBatch(**{**vars(graphs), "head": graphs.head + 7}))
    blocks = [*model.network.interactions, *model.network.products]
    assert not any("forward" in vars(block) for block in blocks)
    after = model.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_layers_that_are_not_covered_run_mace_and_the_description_says_so() -> None:
    network = clone(fresh("residual").network)
    network.products[1].symmetric_contractions.contractions[0].correlation = 4  # as far as we know
    kernels = PestleKernels(network)
    assert re.search("Pestle's kernels; mace's .*layer 2 .*order 4", kernels.description)
    model = fresh("residual")
    graphs = batch_of(model, "20 graphs")
    wanted = model.predict(graphs).forces
    model._kernels.layers.pop()  # the second layer by mace's modules
    assert torch.allclose(model.predict(graphs).forces, wanted, atol=1e-12)


# -- the functions by themselves ------------------------------------------------------------------
def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    return values.requires_grad_(True)


def test_derivatives_of_message_sums_are_those_of_finite_differences() -> None:
    """Two blocks of features, one of them without a path, three receivers, one without edges."""
    degrees = [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 1, 2)]
    paths = Paths(
        [
            Path(l1, l2 * l2, l3, o3.wigner_3j(l1, l2, l3, dtype=torch.float64).permute(2, 1, 0))
            for l1, l2, l3 in degrees
        ],
        channels=[2, 3, 2],
        components=[1, 3, 1],
        n_harmonics=4,
    )
    sender, receiver = torch.tensor([[1, 2, 0, 1, 0], [0, 0, 2, 2, 2]])
    around = neighbourhoods(sender, receiver, 4, bytes_per_edge=10**7)  # a group for each
    assert len(around.groups) == 2

    def sums(harmonics, *tensors):
        return message_sums(paths, around, paths.coupled(harmonics), tensors[:3], tensors[3:])

    inputs = (
        random(5, 4),
        random(5, 4, seed=1),
        random(5, 6, seed=5),
        random(5, 0),
        random(3, 1, 2, seed=2),
        random(3, 3, 3, seed=3),
        random(3, 1, 2, seed=4),
    )
    assert torch.autograd.gradcheck(sums, inputs)
    assert torch.autograd.gradgradcheck(sums, inputs)
    # and by the formula, path by path
    found = sums(*inputs)
    parts = [*inputs[1].split(2, dim=1), *inputs[2].split(3, dim=1)]
    weights = dict(zip(paths.order, parts, strict=True))
    for k, (l1, l2, l3) in enumerate(degrees):
        coupling = o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
        y = inputs[0][:, l2 * l2 : (l2 + 1) ** 2]
        message = torch.einsum(
            "nmk,em,enu,eu->eku", coupling, y, inputs[4 + l1][sender], weights[k]
        )
        total = torch.zeros(4, *message.shape[1:], dtype=torch.float64)
        total = total.index_add(0, receiver, message)
        start = {0: 0, 1: 0, 2: 2, 3: 0}[k]
        assert torch.allclose(found[l3][:, :, start : start + total.shape[2]], total)


def test_derivatives_of_the_activation_are_those_of_finite_differences() -> None:
    x = random(4, 3)
    found = scaled_silu(x, 1.7)
    assert torch.allclose(found, 1.7 * torch.nn.functional.silu(x))
    assert torch.autograd.gradcheck(lambda y: scaled_silu(y, 1.7), (x,))
    assert torch.autograd.gradgradcheck(lambda y: scaled_silu(y, 1.7), (x,))


@pytest.mark.parametrize(
    ("columns", "groups"),
    [([7, 2, 7, 4, 7, 2], [(3, 3)]), ([5] * 129 + [1, 3], [(1, 129), (2, 1)])],
    ids=["padded together", "a frequent element apart"],
)
def test_derivatives_of_products_by_element_are_those_of_finite_differences(
    columns: list[int], groups: list[tuple[int, int]]
) -> None:
    which = elements(torch.tensor(columns))
    assert list(which.groups) == groups

    def products(x, w):
        return products_by_element(which, x, w)

    x, w = random(len(columns), 1, 2), random(len(which.counts), 2, 1, seed=1)
    present = which.present.tolist()
    wanted = torch.stack([a @ w[present.index(c)] for a, c in zip(x, columns, strict=True)])
    assert torch.allclose(products(x, w), wanted)
    assert torch.autograd.gradcheck(products, (x, w))
    assert torch.autograd.gradgradcheck(products, (x, w))


def test_derivatives_of_the_polynomial_are_those_of_finite_differences() -> None:
    """Coefficients that are symmetric in the components, as mace's are made to be."""
    n, weights, channels, counts = 3, 2, 2, (2, 1)
    generator = np.random.default_rng(0)
    first, second = np.triu_indices(n + 1)
    couplings = np.zeros((weights, 2, n, len(first)))
    for w in range(weights):
        for o in range(2):
            cubic = generator.normal(size=(n, n, n))
            cubic = sum(cubic.transpose(p) for p in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0),
                                                     (2, 0, 1), (2, 1, 0)))  # fmt: skip
            square = generator.normal(size=(n, n))
            square = square + square.T
            for r, (i, j) in enumerate(zip(first, second, strict=True)):
                if j < n:
                    couplings[w, o, :, r] = cubic[:, i, j] * (1 if i == j else 2)
                elif i < n:
                    couplings[w, o, :, r] = square[:, i]
                else:
                    couplings[w, o, :, r] = generator.normal(size=n)
    table = Table(couplings, n, 2)

    def polynomial(x, weight):
        return polynomials(table, counts, x, table.coefficients(weight))

    inputs = random(channels, n, 3), random(len(counts), channels, weights, seed=1)
    assert torch.autograd.gradcheck(polynomial, inputs)
    assert torch.autograd.gradgradcheck(polynomial, inputs)


def test_couplings_fall_into_eight_classes() -> None:
    """Spherical harmonics are even or odd under the reflections of x, y and z."""
    contraction = PestleKernels(fresh("cubic").network).layers[0][2].contraction
    n_classes, n_columns, n_rows = contraction.table.shape
    assert n_classes == 8
    dense = contraction.n_outputs * contraction.n_components * (17 * 18 // 2)
    assert n_classes * n_columns * n_rows < dense / 4


# -- the setting ----------------------------------------------------------------------------------
def test_models_made_from_one_run_with_its_kernels() -> None:
    model = fresh("residual")
    model.use_kernels("mace")
    made = [model.copy(), model.with_elements(ELEMENTS[:3]), model.with_dtype(torch.float32)]
    assert {m.arithmetic for m in made} == {"mace's own modules"}


def test_an_architecture_without_such_kernels_is_named() -> None:
    with pytest.raises(PestleError, match=r"'nequip'.*'mace'"):
        nequip_factory.foundation().use_kernels("mace")


@pytest.mark.skipif(
    importlib.util.find_spec("cuequivariance_torch") is not None, reason="it is installed"
)
def test_without_cuequivariance_the_package_is_named() -> None:
    with pytest.raises(PestleError, match="cuequivariance_torch is not installed"):
        fresh("residual").use_kernels("cuequivariance")


@pytest.mark.parametrize("name", ["density", "nonlinear", "two heads"])
def test_cuequivariance_is_mace(name: str) -> None:
    """What a CPU allows: mace's conversion, its weights and their gradients."""
    pytest.importorskip("cuequivariance_torch")
    model = fresh(name)
    assert isinstance(model, MaceFoundation)
    graphs = batch_of(model, "20 graphs")
    ours, theirs = (everything(model, graphs, k) for k in ("cuequivariance", "mace"))
    assert max(difference(ours[key], theirs[key]) for key in theirs) < 1e-9


def test_cuequivariance_refuses_weights_that_mace_would_leave_behind() -> None:
    pytest.importorskip("cuequivariance_torch")
    model = fresh("trained radial")
    model.use_kernels("cuequivariance")
    with pytest.raises(PestleError, match="bessel_weights has no place"):
        model.predict(batch_of(model, "one element"))
