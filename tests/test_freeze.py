"""Layer freezing: which weights move, and that the others do not by a single bit."""

from __future__ import annotations

import argparse

import pytest
import torch

from foundation_factory import foundation
from pestle.adaptation.base import Adaptation, Case
from pestle.adaptation.methods import freeze
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.mace.copies import clone
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.graphs import GraphBatch, collate, make_graphs
from pestle.training.losses import loss_weights, make_loss
from test_foundations_predict import batch

METHODS = {
    "freeze-first": freeze.adapt_first,
    "freeze-backbone": freeze.adapt_backbone,
    "mace-5": freeze.adapt_mace_5,
    "mace-6": freeze.adapt_mace_6,
}
#: Prefixes of the names that each method fixes in a network with two interactions.
FIXED = {
    "freeze-first": ("node_embedding.", "interactions.0.", "products.0."),
    "freeze-backbone": ("node_embedding.", "interactions.", "products."),
    "mace-5": ("node_embedding.", "interactions."),
    "mace-6": ("node_embedding.", "interactions.", "products."),
}


def case_of(model: Foundation) -> Case:
    return Case(model, model.heads[-1], [], RunSettings())


def train(adaptation: Adaptation, graphs: GraphBatch, steps: int = 3, lr: float = 1e-3) -> None:
    """AdamW steps on energies and forces as the training loop makes them."""
    named = dict(adaptation.model.named_parameters())
    for name, parameter in named.items():
        parameter.requires_grad_(name in adaptation.trainable)
    parameters = [named[name] for name in adaptation.trainable]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1, amsgrad=True)
    settings = RunSettings().loss
    loss, weights = make_loss(settings), loss_weights(settings)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        prediction = adaptation.model(graphs, training=True)
        loss.terms(prediction, graphs).loss(weights).backward(inputs=parameters)
        optimizer.step()


def labelled(frames: list[Frame], model: Foundation, count: int = 4) -> GraphBatch:
    """The first few molecules of a list as one batch."""
    body, _ = split_isolated_atoms(frames)
    return collate(make_graphs(body[:count], model.cutoff, dtype=model.dtype))


@pytest.mark.parametrize("method", METHODS)
def test_frozen_weights_are_bit_identical_after_training(
    seed0: Foundation, demo_train: list[Frame], method: str
) -> None:
    before = {name: p.detach().clone() for name, p in seed0.named_parameters()}
    adaptation = METHODS[method](case_of(seed0))
    train(adaptation, labelled(demo_train, seed0))
    moved = {
        name for name, p in adaptation.model.named_parameters() if not torch.equal(p, before[name])
    }
    expected = {n for n in before if not n.removeprefix("network.").startswith(FIXED[method])}
    # Weights of elements that the frames lack have no gradient, but weight decay moves all.
    assert moved == expected == set(adaptation.trainable)
    # The starting model is the baseline of the run: it must not move with the copy.
    assert all(torch.equal(p, before[name]) for name, p in seed0.named_parameters())


@pytest.mark.parametrize("method", METHODS)
def test_nothing_changes_before_the_first_update(method: str) -> None:
    model = foundation("density")
    adapted = METHODS[method](case_of(model)).model
    graphs = batch(model)
    one, other = model.predict(graphs, stress=True), adapted.predict(graphs, stress=True)
    assert torch.equal(one.energy, other.energy)
    assert torch.equal(one.forces, other.forces)


def mace_trains(model: Foundation, number: int) -> set[str]:
    """Names of the parameters that `mace_run_train --freeze=N` trains, by its own functions."""
    from mace.tools.scripts_utils import get_params_options

    network = clone(model.network)
    arguments = argparse.Namespace(
        freeze=number, lr=1e-3, lr_params_factors="{}", weight_decay=0.0, amsgrad=True, beta=0.9
    )
    groups = get_params_options(arguments, network)["params"]
    names = {id(p): name for name, p in network.named_parameters()}
    return {
        f"network.{names[id(p)]}"
        for group in groups
        for p in group["params"]
        if p.requires_grad and group.get("lr", arguments.lr) > 0
    }


@pytest.mark.parametrize("name", ["seed0", "density", "trained radial"])
@pytest.mark.parametrize("number", [5, 6])
def test_the_numbers_train_what_mace_trains(seed0: Foundation, name: str, number: int) -> None:
    model = seed0 if name == "seed0" else foundation(name)
    found = METHODS[f"mace-{number}"](case_of(model)).trainable
    assert set(found) == mace_trains(model, number)
    assert 0 < len(found) < len(list(model.parameters()))


def test_an_embedding_of_the_charge_belongs_to_the_backbone() -> None:
    """mace goes on training it under any number, which freezing the embedding does not mean."""
    model = foundation("charged")
    found = set(freeze.adapt_mace_6(case_of(model)).trainable)
    assert any("embedding_readout" in name for name in found)
    more = mace_trains(model, 6) - found
    assert more == {n for n, _ in model.named_parameters() if "joint_embedding" in n} != set()


def test_deeper_networks() -> None:
    """Three interactions: the first alone is "first", all three are backbone."""
    model = foundation("three")
    first = {n.removeprefix("network.") for n in freeze.adapt_first(case_of(model)).trainable}
    parts = {".".join(n.split(".")[:2]) for n in first}
    assert parts == {
        "interactions.1", "interactions.2", "products.1", "products.2",
        "readouts.0", "readouts.1", "readouts.2",
    }  # fmt: skip
    assert set(freeze.adapt_mace_5(case_of(model)).trainable) == mace_trains(model, 5)


def test_patterns_name_parts_and_parameters() -> None:
    model = foundation("density")
    names = freeze.matching(model, ["interaction 2", "*.linear_up.weight"])
    assert set(names) == {
        n
        for n, _ in model.named_parameters()
        if "interactions.1." in n or n.endswith("interactions.0.linear_up.weight")
    }
    adaptation = freeze.train_all_but(case_of(model), "embedding", "*.linear_up.weight")
    assert adaptation.notes == (
        "fixed: embedding, part of interaction 1, part of interaction 2",
    )  # fmt: skip


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    model = foundation("density")
    with pytest.raises(PestleError, match=r"'interaction 3' .*Did you mean 'inter"):
        freeze.train_all_but(case_of(model), "embedding", "interaction 3")
    with pytest.raises(PestleError, match="every weight"):
        freeze.train_all_but(case_of(model), "*")
