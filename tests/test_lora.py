"""LoRA: the updates are those of the paper and of mace, the symmetries hold, files give it back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from conftest import DATA
from foundation_factory import foundation, frames
from pestle.adaptation.adapter_file import load_adapter, read_header, save_adapter
from pestle.adaptation.base import Adaptation, Case
from pestle.adaptation.low_rank import LowRankModel
from pestle.adaptation.methods import lora
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation, Prediction
from pestle.foundations.mace.runtime import o3
from pestle.settings.adaptation import LoraSettings
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.wording import percent
from test_foundations_predict import batch, moved
from test_foundations_surgery import _acting
from test_freeze import labelled, train

#: Joint embedding and readout of it; biases and torch's linear layers; plain e3nn layers.
MODELS = ("density", "nonlinear", "charged")
QUANTITIES = ("energy", "interaction_energy", "node_energies", "forces", "stress")


def settings_with(seed: int = 0, **lora_settings) -> RunSettings:
    settings = RunSettings(lora=LoraSettings(**lora_settings))
    settings.train.seed = seed
    return settings


def adapt(model: Foundation, **lora_settings) -> Adaptation:
    return lora.adapt(Case(model, model.heads[-1], [], settings_with(**lora_settings)))


def disturbed(model: Foundation, rank: int = 3, std: float = 0.1, **options) -> LowRankModel:
    """Updates that do something: A and B random, of a size that matters."""
    adapted = LowRankModel(model.copy(), rank, init_std=std, seed=5, **options)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in adapted.adapters.named_parameters():
            if ".B." in name:
                draw = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(std * draw)
    return adapted


@cache
def source() -> Foundation:
    """The embedded foundation as its file holds it; not to be changed."""
    return load_foundation("pestle-seed0")


@cache
def trained() -> tuple[Foundation, LowRankModel]:
    """A starting model as a run makes it, and one after LoRA updates; not to be changed."""
    frames = read_frames([str(DATA / "train.xyz")]).frames
    atoms = {int(f.numbers[0]): float(f.energy or 0) for f in frames if f.is_isolated_atom}
    base = source().with_dtype(torch.float64).with_elements(list(atoms))
    base = base.with_reference_energies("Default", atoms)
    adaptation = adapt(base)
    train(adaptation, labelled(frames, base), steps=5, lr=1e-2)
    assert isinstance(adaptation.model, LowRankModel)
    return base, adaptation.model


def assert_close(one: Prediction, other: Prediction, relative: float) -> None:
    for name in QUANTITIES:
        a, b = getattr(one, name), getattr(other, name)
        if a is not None:
            a, b = a.detach(), b.detach()
            assert float((a - b).abs().max()) <= relative * float(1 + a.abs().max()), name


# -- what an update is ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_before_the_first_update_it_is_the_foundation_exactly(name: str) -> None:
    model = foundation(name)
    adaptation = adapt(model)
    graphs = batch(model)
    one = model.predict(graphs, stress=True)
    other = adaptation.model.predict(graphs, stress=True)
    for quantity in QUANTITIES:
        assert torch.equal(getattr(one, quantity), getattr(other, quantity)), quantity
    assert torch.equal(model.descriptors(graphs), adaptation.model.merged().descriptors(graphs))


@pytest.mark.parametrize(
    ("name", "alpha", "scale"), [("density", None, 1.0), ("nonlinear", 6.0, 2.0)]
)
def test_layers_act_as_equations_1_and_2_say(name: str, alpha: float | None, scale: float) -> None:
    """Unit vectors through the merged layers: W + s·BA of every block in true weights, with the
    scale of the rank asked for (3) also where a block is smaller."""
    model = foundation(name)
    adapted = disturbed(model, alpha=alpha)
    merged = adapted.merged()
    seen = set()
    for layer in model.linear_layers():
        path = layer.parameter.removesuffix(".weight")
        update = adapted.updates()[layer.parameter]
        for block, a, b in zip(layer.blocks, update.A, update.B, strict=True):
            before = _acting(model.get_submodule(path), layer, block)
            after = _acting(merged.get_submodule(path), layer, block)
            true_a, true_b = a.detach() * block.path_weight, b.detach()
            expected = scale * (true_b @ true_a).T
            assert float(expected.abs().max()) > 1e-4
            assert torch.allclose(after - before, expected, atol=1e-12), (path, block)
            seen.add((layer.kind, block.irrep, a.shape[0]))
    assert {(kind, irrep) for kind, irrep, _ in seen} >= {
        ("scalar", "0e"), ("equivariant", "0e"), ("equivariant", "1o")
    }  # fmt: skip
    assert {rank for *_, rank in seen} >= {1, 3}


def test_every_layer_is_adapted_and_nothing_else_moves(demo_train: list[Frame]) -> None:
    base, model = trained()
    before = dict(base.named_parameters())
    layers = {layer.parameter for layer in base.linear_layers()}
    assert {n.split(".")[1] for n in layers} == {
        "node_embedding", "interactions", "products", "readouts"
    }  # fmt: skip
    assert model.updates().keys() == layers
    for name, parameter in model.base.named_parameters():
        assert torch.equal(parameter, before[name]), name
    assert all(p.any() for p in model.adapters.parameters())
    changed = {
        name for name, p in model.merged().named_parameters() if not torch.equal(p, before[name])
    }
    assert changed == layers
    one, other = base.predict(labelled(demo_train, base)), model.predict(labelled(demo_train, base))
    assert float((one.forces - other.forces).abs().max()) > 1e-2


def test_a_starts_at_the_true_width_and_b_at_zero() -> None:
    base, _ = trained()
    adapted = LowRankModel(base.copy(), 16, init_std=1e-3)
    true = []
    for update in adapted.updates().values():
        for block, a, b in zip(update.layer.blocks, update.A, update.B, strict=True):
            true.append((a.detach() * block.path_weight).flatten())
            assert not b.any()
    values = torch.cat(true)
    assert float(values.std()) == pytest.approx(1e-3, rel=0.03)
    assert abs(float(values.mean())) < 5e-5


def test_the_seed_alone_decides_the_start() -> None:
    model = foundation("density")

    def start(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        adapted = LowRankModel(model.with_dtype(dtype), 2, seed=seed)
        return torch.cat([p.detach().flatten() for p in adapted.adapters.parameters()])

    assert torch.equal(start(3), start(3))
    assert not torch.equal(start(3), start(4))
    assert torch.equal(start(3, torch.float32), start(3).float())


def test_ranks_are_clipped_and_said() -> None:
    model = foundation("density")
    adaptation = adapt(model, rank=4)
    clipped = [note for note in adaptation.notes if note.startswith("rank clipped")]
    assert isinstance(adaptation.model, LowRankModel)
    ranks = {
        a.shape[0] == min(4, block.n_in, block.n_out)
        for update in adaptation.model.updates().values()
        for block, a in zip(update.layer.blocks, update.A, strict=True)
    }
    assert ranks == {True}
    smaller = sum(
        min(block.n_in, block.n_out) < 4
        for layer in model.linear_layers()
        for block in layer.blocks
    )
    assert smaller and re.match(rf"rank clipped .*\b{smaller} .*: network\.", clipped[0])
    assert "(1)" in clipped[0]
    assert not any("clipped" in note for note in adapt(model, rank=1).notes)


def test_shares_on_the_published_medium_shape() -> None:
    """About 3.5, 12.5 and 36 % of base plus adapters for r = 4, 16, 64 with four elements."""
    # Shapes of medium-omat-0 (9,063,204 parameters with 89 elements): 128x0e+128x1o, max_ell 3.
    # Per layer: the blocks' (n_in, n_out). Checked against the built network in test_medium_shares.
    total = 848_804
    for rank, expected in ((4, 0.035), (16, 0.125), (64, 0.36)):
        adapters = sum(min(rank, i, o) * (i + o) for i, o in MEDIUM_BLOCKS)
        assert adapters / (adapters + total) == pytest.approx(expected, rel=0.07)


_RADIAL = [(10, 64), (64, 64), (64, 64)]
MEDIUM_BLOCKS = [
    (4, 128),  # element embedding
    (128, 128), *_RADIAL, (64, 512), *[(128, 128)] * 4, (10, 1),  # interaction 1
    *[(128, 128)] * 2, *_RADIAL, (64, 1280), (256, 128), *[(384, 128)] * 2, (256, 128), (10, 1),
    *[(128, 128)] * 2, (128, 128),  # products 1 and 2
    (128, 1), (128, 16), (16, 1),  # readouts
]  # fmt: skip


@pytest.mark.slow
def test_medium_shares() -> None:
    from test_medium import medium

    model = medium()
    assert sum(p.numel() for p in model.parameters()) == 9_063_204
    model = model.with_elements([1, 6, 9, 17])
    blocks = [(b.n_in, b.n_out) for layer in model.linear_layers() for b in layer.blocks]
    assert sorted(blocks) == sorted(MEDIUM_BLOCKS)
    for rank, expected in ((4, 0.033037), (16, 0.117510), (64, 0.340714)):
        adapted, names, notes = lora.adapters_on(model, settings_with(rank=rank), body_only=False)
        sizes = {name: p.numel() for name, p in adapted.named_parameters()}
        share = sum(sizes[n] for n in names) / sum(sizes.values())
        assert share == pytest.approx(expected, abs=1e-6)
        assert f"{percent(share)} of base plus adapters" in notes[0]


# -- against mace ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["seed0", "nonlinear"])
def test_mace_lora_gives_the_same_for_equal_a_and_b(name: str) -> None:
    """mace's own layers with our A and B: same energies, forces, and gradient of a force loss."""
    from mace.modules.lora import inject_LoRAs

    base = trained()[0] if name == "seed0" else foundation(name)
    rank, alpha = 3, 2.0
    ours = disturbed(base, rank=rank, alpha=alpha)
    theirs = base.copy()
    theirs.use_kernels("mace")  # other kernels would not see the layers put in
    inject_LoRAs(theirs.network, rank=rank, alpha=alpha)
    with torch.no_grad():
        for block, a, b, mace in _pairs(ours, theirs, lambda p: p.data):
            for tensor, value in ((mace.a, a * block.path_weight / mace.weight_a),
                                  (mace.b, b / mace.weight_b)):  # fmt: skip
                tensor.zero_()  # mace clips no rank: what lies beyond ours is zero there
                tensor[: value.shape[0], : value.shape[1]] = value
    graphs = batch(base, frames(base.elements))
    one, other = (model.predict(graphs, training=True) for model in (ours, theirs))
    assert_close(one, other, 1e-12)
    assert_close(ours.merged().predict(graphs), other, 1e-12)
    change = one.forces - base.predict(graphs).forces
    assert float(change.detach().abs().max()) > 1e-3

    (one.forces**2).sum().backward(inputs=list(ours.adapters.parameters()))
    wanted = [p for p in theirs.parameters() if p.requires_grad]
    (other.forces**2).sum().backward(inputs=wanted)
    for block, a, b, mace in _pairs(ours, theirs, lambda p: p.grad):
        for found, expected in (
            (a.grad, mace.a[: a.shape[0]] * block.path_weight / mace.weight_a),
            (b.grad, mace.b[:, : b.shape[1]] / mace.weight_b),
        ):
            size = float(expected.abs().max())
            assert float((found - expected).abs().max()) <= 1e-9 * (1 + size)


@dataclass
class MaceFactors:
    """A [r, n_in] and B [n_out, r] of one block as views into mace's tensors, and by what each is
    multiplied to act."""

    a: torch.Tensor
    weight_a: float
    b: torch.Tensor
    weight_b: float


def _pairs(ours: LowRankModel, theirs: Foundation, pick: Callable) -> Iterator[tuple]:
    """(block, our A, our B, mace's) of every block; `pick` chooses mace's weights or gradients."""
    for parameter, update in ours.updates().items():
        layer = theirs.get_submodule(parameter.removesuffix(".weight"))
        for block, a, b in zip(update.layer.blocks, update.A, update.B, strict=True):
            if isinstance(layer.base, torch.nn.Linear):
                found = MaceFactors(pick(layer.lora_A.weight), 1.0, pick(layer.lora_B.weight), 1.0)
            elif isinstance(layer.base, o3.Linear):
                found = MaceFactors(
                    *_paths(layer.lora_A, block.irrep, pick),
                    *_paths(layer.lora_B, block.irrep, pick),
                )
            else:
                found = MaceFactors(
                    pick(layer.lora_A).T, block.path_weight, pick(layer.lora_B).T, 1.0
                )
            yield block, a, b, found


def _paths(linear: o3.Linear, irrep: str, pick: Callable) -> tuple[torch.Tensor, float]:
    """The weight of one irrep, [n_out, n_in], inside the flat weight of one of mace's layers, and
    its path weight. Inputs of the same irrep follow one another and lead to one output."""
    start, rows, offset = None, 0, 0
    for path in linear.instructions:
        if str(linear.irreps_in[path.i_in].ir) == irrep:
            start = offset if start is None else start
            rows, columns = rows + path.path_shape[0], path.path_shape[1]
            weight = path.path_weight
        offset += math.prod(path.path_shape)
    flat = pick(linear.weight)[start : start + rows * columns]
    return flat.view(rows, columns).T, weight


# -- symmetries -----------------------------------------------------------------------------------
def test_symmetries_hold_after_training(demo_train: list[Frame]) -> None:
    """Rotation, inversion and permutation to 1e-6 relative."""
    _, model = trained()
    merged = model.merged()
    generator = np.random.default_rng(11)
    rotation = Rotation.random(random_state=3).as_matrix()
    frame = demo_train[-1]
    order = generator.permutation(len(frame))
    before = model.predict(batch(model, [frame]))
    size = float(before.forces.abs().max())
    for matrix in (rotation, -rotation, -np.eye(3)):

        def turn(atoms, matrix=matrix):
            atoms.positions[:] = atoms.positions @ matrix.T + [1.0, -2.0, 0.5]

        graphs = batch(model, [moved(frame, turn)])
        after = model.predict(graphs)
        back = after.forces @ torch.from_numpy(matrix)
        assert float((back - before.forces).abs().max()) < 1e-6 * size
        assert after.interaction_energy.item() == pytest.approx(
            before.interaction_energy.item(), rel=1e-6
        )
        assert torch.allclose(
            merged.descriptors(graphs), merged.descriptors(batch(model, [frame])), rtol=1e-6
        )
    permuted = model.predict(batch(model, [Frame(frame.atoms[order])]))
    assert float((permuted.forces - before.forces[order]).abs().max()) < 1e-6 * size
    assert permuted.energy.item() == pytest.approx(before.energy.item(), abs=1e-9)


# -- the model as a foundation --------------------------------------------------------------------
def test_merged_and_unmerged_agree_to_rounding(demo_train: list[Frame]) -> None:
    base, model = trained()
    merged = model.merged()
    assert type(merged) is type(base)
    assert dict(merged.named_parameters()).keys() == dict(base.named_parameters()).keys()
    graphs = labelled(demo_train, base, 8)
    assert_close(model.predict(graphs), merged.predict(graphs), 1e-12)
    assert all(p.requires_grad for p in merged.parameters())


def test_single_atoms_are_those_of_the_adapted_weights() -> None:
    model = disturbed(foundation("nonlinear"))
    found, merged = model.isolated_atom_energies("pbe"), model.merged()
    assert found == pytest.approx(merged.isolated_atom_energies("pbe"), abs=1e-10)
    base = model.base.isolated_atom_energies("pbe")
    assert max(abs(found[z] - base[z]) for z in found) > 1e-3


def test_files_hold_the_merged_model(tmp_path: Path, demo_train: list[Frame]) -> None:
    from mace.calculators import MACECalculator

    _, model = trained()
    model.save(tmp_path / "model")
    loaded = load_foundation(tmp_path / "model")
    assert loaded.fingerprint() == model.fingerprint() == model.merged().fingerprint()
    assert model.fingerprint() != model.base.fingerprint()
    atoms = demo_train[-1].atoms.copy()
    wanted = model.predict(batch(model, [Frame(atoms)]))
    model.merged().export(tmp_path / "pestle.model")
    mace = MACECalculator(
        model_paths=str(tmp_path / "pestle.model"), device="cpu", default_dtype="float64"
    )
    for calculator in (mace, model.calculator()):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(wanted.energy.item(), abs=1e-8)
        assert atoms.get_forces() == pytest.approx(wanted.forces.numpy(), abs=1e-9)


def test_the_parts_hold_every_parameter_once() -> None:
    base, model = trained()
    groups = model.parameter_groups()
    listed = [name for names in groups.values() for name in names]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())
    assert list(groups) == list(base.parameter_groups())
    for group, names in groups.items():
        adapters = {n for n in names if n.startswith("adapters.")}
        owners = {n for n in base.parameter_groups()[group] if n in model.updates()}
        assert adapters == {x for n in owners for x in model.adapter_parameters()[n]}


def test_derived_models(demo_train: list[Frame]) -> None:
    """E0s, precision and copies keep the updates; other heads merge them."""
    _, model = trained()
    graphs = labelled(demo_train, model)
    before = model.predict(graphs)
    shifted = model.with_reference_energies("Default", {1: -1.0})
    assert isinstance(shifted, LowRankModel)
    assert shifted.reference_energies["Default"][1] == -1.0
    assert model.reference_energies["Default"][1] != -1.0
    for other in (shifted, model.copy()):
        found = other.predict(graphs)
        assert torch.allclose(found.interaction_energy, before.interaction_energy, rtol=1e-12)
        assert torch.allclose(found.forces, before.forces, atol=1e-11)
    single = model.with_dtype(torch.float32)
    assert isinstance(single, LowRankModel) and single.dtype == torch.float32
    rounded = single.predict(graphs.to("cpu", torch.float32))
    assert torch.allclose(rounded.forces.double(), before.forces, atol=1e-4)
    renamed = model.merged().with_heads({"a": "Default", "b": "Default"})
    assert renamed.heads == ("a", "b")
    assert torch.allclose(renamed.predict(graphs.with_head(1)).forces, before.forces, atol=1e-11)

    copied = model.copy()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(model.predict(graphs).forces, before.forces)


def test_a_checkpoint_gives_the_model_back(tmp_path: Path, demo_train: list[Frame]) -> None:
    base, model = trained()
    torch.save(model.state_dict(), tmp_path / "last.pt")
    other = adapt(base, init_std=0.5).model
    other.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True))
    graphs = labelled(demo_train, base)
    assert torch.equal(other.predict(graphs).forces, model.predict(graphs).forces)


def test_what_cannot_be_adapted_is_refused() -> None:
    model = foundation("density")
    layers = [layer.parameter for layer in model.linear_layers()]
    with pytest.raises(PestleError, match=r"'network\.nothing'"):
        LowRankModel(model.copy(), 2, exclude=["network.nothing"])
    with pytest.raises(PestleError, match="no linear layer"):
        LowRankModel(model.copy(), 2, exclude=layers)


# -- replay with LoRA -----------------------------------------------------------------------------
def two_heads(foundation: Foundation, head: str) -> Foundation:
    return foundation.with_heads({"pt_head": head, "Default": head})


def test_on_the_body_only_readouts_are_trained_in_full(demo_train: list[Frame]) -> None:
    base = two_heads(trained()[0], "Default")
    model, names, notes = lora.adapters_on(base, settings_with(), body_only=True)
    assert re.search("readouts.* in full", notes[0])
    readouts = {f"base.{n}" for n, _ in base.named_parameters() if "readouts" in n}
    assert {n for n in names if n.startswith("base.")} == readouts != set()
    assert set(names) - readouts == {n for n, _ in model.named_parameters() if "adapters" in n}
    assert not any("readouts" in n for n in model.updates())
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(Adaptation(model, names), labelled(demo_train, base).with_head(1), lr=1e-2)
    moved_names = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved_names == set(names)
    merged = model.merged()
    graphs = labelled(demo_train, base).with_head(1)
    assert_close(model.predict(graphs), merged.predict(graphs), 1e-12)


# -- adapter.safetensors --------------------------------------------------------------------------
def saved(tmp_path: Path, parent: Foundation, model: LowRankModel, head: str) -> Path:
    path = tmp_path / "adapter.safetensors"
    heads = dict.fromkeys(model.heads, head)
    save_adapter(path, model, foundation_fingerprint=parent.fingerprint(), heads=heads)
    return path


def assert_same_model(one: LowRankModel, other: LowRankModel) -> None:
    """Every number of both is the same, and so is what they predict."""
    state, found = one.state_dict(), other.state_dict()
    assert state.keys() == found.keys()
    assert all(torch.equal(state[k], found[k]) and state[k].dtype == found[k].dtype for k in state)
    assert one.reference_energies == other.reference_energies
    assert one.provenance == other.provenance
    assert one.fingerprint() == other.fingerprint()


def test_the_adapter_and_its_foundation_give_the_model_back(
    tmp_path: Path, demo_train: list[Frame]
) -> None:
    """Precision changed, elements cut down, E0s set."""
    base, model = trained()
    path = saved(tmp_path, source(), model, "Default")
    assert path.stat().st_size < 150_000
    assert read_header(path).foundation == "pestle-seed0"
    loaded = load_adapter(path, source())
    assert_same_model(model, loaded)
    graphs = labelled(demo_train, base)
    assert torch.equal(loaded.predict(graphs).forces, model.predict(graphs).forces)


def test_an_adapter_in_single_precision_with_all_elements(
    tmp_path: Path, demo_train: list[Frame]
) -> None:
    start = source().with_dtype(torch.float32)
    start = start.with_reference_energies("Default", {1: -13.1 / 3, 17: -12505.10376603529})
    adaptation = adapt(start, rank=2, alpha=3.0)
    assert isinstance(adaptation.model, LowRankModel)
    train(adaptation, labelled(demo_train, start), steps=2, lr=1e-2)
    path = saved(tmp_path, source(), adaptation.model, "Default")
    loaded = load_adapter(path, source())
    assert_same_model(adaptation.model, loaded)
    assert loaded.reference_energies["Default"][1] == -13.1 / 3


def test_trained_readouts_of_several_heads_are_in_the_file(tmp_path: Path) -> None:
    """One head of three taken, then two copies of it, as replay with LoRA does."""
    parent = foundation("nonlinear")
    start = parent.with_heads({"Default": "r2scan"})
    start = start.with_reference_energies("Default", {8: -432.1 / 7})
    base = two_heads(start, "Default").with_reference_energies("pt_head", {11: -0.1})
    model, names, _ = lora.adapters_on(base, settings_with(), body_only=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in names:
                parameter.add_(0.01)
    path = saved(tmp_path, parent, model, "r2scan")
    assert_same_model(model, load_adapter(path, parent))


def test_another_foundation_is_refused(tmp_path: Path) -> None:
    parent = foundation("density")
    path = saved(tmp_path, parent, disturbed(parent), "Default")
    other = parent.with_reference_energies("Default", {1: -13.0})
    with pytest.raises(PestleError) as error:
        load_adapter(path, other)
    assert parent.fingerprint() in error.value.line and other.fingerprint() in error.value.line
    with pytest.raises(PestleError, match=r"density .*nonlinear"):
        load_adapter(path, foundation("nonlinear"))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    parent = foundation("density")
    path = saved(tmp_path, parent, disturbed(parent), "Default")
    content = path.read_bytes()

    def refused(changed: bytes, match: str) -> None:
        path.write_bytes(changed)
        with pytest.raises(PestleError, match=match):
            load_adapter(path, parent)

    refused(content[: len(content) // 2], "cannot be read")
    refused(b"not a file of tensors", "cannot be read")
    flipped = bytearray(content)
    flipped[-3] ^= 1
    refused(bytes(flipped), "does not match its hash")
    refused(content.replace(b'"rank\\": 3', b'"rank\\": 2'), "does not match its hash")
    path.unlink()
    with pytest.raises(PestleError, match="cannot be read"):
        load_adapter(path, parent)
    parent.save(tmp_path / "model")
    with pytest.raises(PestleError, match="not an adapter"):
        load_adapter(tmp_path / "model" / "weights.safetensors", parent)
