"""Every backend of Pestle (`backends.SAMPLES`) keeps the contract (`pestle.testing`), its files are
safe, and the methods do with it what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule

import foundation_factory
from backends import SAMPLES, Sample
from foundation_factory import ELEMENTS
from pestle.adaptation import METHODS, Adaptation, Case
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.backends import BACKENDS, backend_of_file
from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation, Prediction
from pestle.settings.run_file import from_names
from pestle.settings.training import TrainSettings
from pestle.structures.frame import Frame
from pestle.structures.graphs import GraphBatch, collate, make_graphs
from pestle.testing import CHECKS, checks_of, prepared
from pestle.training.gate import Stage, zero_step_gate

SUBSET = (8, 11, 17)
#: To rounding in float64.
EXACT = {"rtol": 1e-10, "atol": 1e-11}
FROM_THE_FOUNDATION = [name for name, m in METHODS.items() if m.keeps_foundation]
RANDOM = {"mean_neighbours": 12.0, "scale": 0.8}


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Sample:
    return SAMPLES[request.param]


@pytest.fixture
def model(sample: Sample) -> Foundation:
    """Shared between tests, so not to be changed."""
    return sample.make()


@cache
def two_headed(model: Foundation) -> Foundation:
    """With a copy of its head before it; shared between tests."""
    return model.with_heads({"a": TARGET_HEAD, TARGET_HEAD: TARGET_HEAD})


@cache
def cut_down(model: Foundation) -> Foundation:
    """With a subset of its elements; shared between tests."""
    return model.with_elements([17, 8, 11, 17])


def structures(elements: Sequence[int] = ELEMENTS) -> list[Frame]:
    """A crystal, a molecule, a single atom, and a slab that is periodic in two directions."""
    slab = fcc111("Al", (1, 1, 2), a=4.3, vacuum=4.0)
    slab.numbers = [11, 8]
    assert slab.pbc.tolist() == [True, True, False]
    slab.positions[1] += (0.2, 0.1, -0.1)
    slab.numbers = [z if z in elements else elements[0] for z in slab.numbers]
    return [*foundation_factory.frames(elements), Frame(slab, index=3)]


def batch(model: Foundation, frames: Sequence[Frame] | None = None) -> GraphBatch:
    """Structures as one batch for the model's last head."""
    frames = structures() if frames is None else frames
    graphs = make_graphs(frames, model.cutoff, dtype=model.dtype)
    return collate(graphs).with_head(len(model.heads) - 1)


def predicted(model: Foundation, frames: Sequence[Frame] | None = None) -> Prediction:
    return model.predict(batch(model, frames), stress=True)


def moved(frame: Frame, change: Callable[[Atoms], None]) -> Frame:
    atoms = frame.atoms.copy()
    change(atoms)
    return Frame(atoms, index=frame.index)


def assert_same(one: Prediction, other: Prediction, **tolerance: float) -> None:
    for item in fields(one):
        a, b = getattr(one, item.name), getattr(other, item.name)
        limits = {**EXACT, **tolerance}
        assert torch.allclose(a, b, **limits), f"{item.name}: {(a - b).abs().max()}"


def assert_equal(one: Prediction, other: Prediction) -> None:
    """Bit for bit."""
    assert_same(one, other, rtol=0.0, atol=0.0)


# -- the contract ---------------------------------------------------------------------------------
@pytest.mark.parametrize("check", CHECKS)
def test_the_contract_is_kept(model: Foundation, check: str) -> None:
    """With several heads, too, whose E0s differ."""
    for made in (model, two_headed(model).with_reference_energies("a", {8: -70.5, 17: -100.25})):
        if check in checks_of(made):
            CHECKS[check].run(prepared(made, structures()))


def test_single_atoms_of_the_samples_are_not_their_reference_energies(model: Foundation) -> None:
    """So that taking one for the other is found."""
    alone, e0s = model.isolated_atom_energies(), model.reference_energies[TARGET_HEAD]
    assert all(abs(alone[z] - e0s[z]) > 0.05 for z in model.elements)


# -- elements -------------------------------------------------------------------------------------
def test_fewer_elements_predict_the_same(model: Foundation) -> None:
    small = cut_down(model)
    assert small.elements == SUBSET and model.elements == ELEMENTS
    counts = [sum(p.numel() for p in m.parameters()) for m in (small, model)]
    assert counts[0] < counts[1]
    frames = structures(SUBSET)
    assert_same(predicted(model, frames), predicted(small, frames))
    one, other = (m.descriptors(batch(m, frames)) for m in (model, small))
    assert torch.allclose(one, other, **EXACT)
    kept = {z: e for z, e in model.reference_energies[TARGET_HEAD].items() if z in SUBSET}
    assert small.reference_energies == {TARGET_HEAD: kept}
    whole = model.isolated_atom_energies()
    assert small.isolated_atom_energies() == pytest.approx({z: whole[z] for z in SUBSET}, abs=1e-10)


def test_unknown_elements_are_named(model: Foundation) -> None:
    frames = [*structures(), Frame(molecule("PH3"))]
    name = re.escape(model.provenance.name)
    with pytest.raises(PestleError, match=rf"frame 4: {name} .*\bP\b"):
        predicted(model, frames)
    with pytest.raises(PestleError, match=r"frame 4: .*\bP\b"):
        model.descriptors(batch(model, frames))
    with pytest.raises(PestleError, match="does not know Fe"):
        model.with_elements([8, 26])
    with pytest.raises(PestleError, match="elements: no element"):
        model.with_elements([])
    with pytest.raises(PestleError, match="does not know Fe"):
        model.with_reference_energies(TARGET_HEAD, {26: -1.0})
    with pytest.raises(PestleError, match="does not know C"):
        predicted(cut_down(model))


# -- heads ----------------------------------------------------------------------------------------
def test_heads_are_copies_that_one_pass_serves_together(model: Foundation) -> None:
    """Three copies, each with E0s of its own, in the order asked for; one pass, mixed heads."""
    several = model.with_heads({"b": TARGET_HEAD, "a": TARGET_HEAD, TARGET_HEAD: TARGET_HEAD})
    assert several.heads == ("b", "a", TARGET_HEAD) and model.heads == (TARGET_HEAD,)
    crystal = structures()[0]
    expected = predicted(model, [crystal])
    for head in range(3):
        graphs = batch(model, [crystal]).with_head(head)
        assert_same(expected, several.predict(graphs, stress=True))
    several = several.with_reference_energies("a", {11: -50.0, 17: -60.0})
    table = several.reference_energies
    assert table["b"] == table[TARGET_HEAD] == model.reference_energies[TARGET_HEAD]
    assert (table["a"][11], table["a"][17]) == (-50.0, -60.0)
    assert table["a"][8] == table["b"][8]
    graphs = make_graphs([crystal, crystal, crystal], several.cutoff)
    mixed = several.predict(collate([g.with_head(k) for k, g in enumerate(graphs)]))
    assert torch.allclose(mixed.interaction_energy, expected.interaction_energy.repeat(3), **EXACT)
    assert mixed.reference_energy[1].item() == -110.0
    assert mixed.energy[0].item() == pytest.approx(expected.energy.item(), abs=1e-10)
    assert several.head_index(None) == 2
    back = several.with_heads({"only": "b"})
    assert back.heads == ("only",)
    assert_same(expected, predicted(back, [crystal]))


def test_heads_have_to_exist_and_to_be_named(model: Foundation) -> None:
    two = model.with_heads({"first": TARGET_HEAD, "second": TARGET_HEAD})
    with pytest.raises(PestleError, match="2 heads"):
        two.isolated_atom_energies()
    with pytest.raises(PestleError, match="Did you mean 'second'"):
        two.calculator(head="secnd")
    with pytest.raises(PestleError, match="heads: no head"):
        two.with_heads({})
    with pytest.raises(PestleError, match="has no head 'third'"):
        two.with_heads({TARGET_HEAD: "third"})
    with pytest.raises(PestleError, match="has no head 'third'"):
        two.with_reference_energies("third", {8: -1.0})


# -- reference energies ---------------------------------------------------------------------------
def test_all_electron_reference_energies_keep_their_digits(model: Foundation) -> None:
    """Totals are exact in float64 also where the network is float32; casting does not touch E0s."""
    assert not model.needs_double
    e0s = {11: -4_412.123456789012, 17: -12_510.987654321098}
    single = model.with_dtype(torch.float32).with_reference_energies(TARGET_HEAD, e0s)
    assert single.needs_double
    crystal = Frame(structures()[0].atoms.repeat(2))
    for made in (single, single.to(torch.float32), single.float().with_dtype(torch.float64)):
        assert {z: made.reference_energies[TARGET_HEAD][z] for z in e0s} == e0s
        prediction = predicted(made, [crystal])
        assert prediction.reference_energy.dtype == prediction.energy.dtype == torch.float64
        assert prediction.reference_energy.item() == pytest.approx(8 * sum(e0s.values()), abs=1e-9)
        rest = prediction.energy.item() - prediction.reference_energy.item()
        assert rest == pytest.approx(prediction.interaction_energy.item(), abs=1e-9)


# -- precision ------------------------------------------------------------------------------------
def test_constants_lose_no_digits_on_the_way_through_single_precision(
    model: Foundation, tmp_path: Path
) -> None:
    """Weights are rounded, once. What is built anew from them later (cut down, from a
    file) agrees to double precision: nothing else was rounded."""
    single = model.with_dtype(torch.float32)
    double = single.with_dtype(torch.float64)
    frames = structures(SUBSET)
    expected = predicted(double, frames)
    single.save(tmp_path)
    for made in (
        double.with_elements(SUBSET),
        load_foundation(tmp_path, dtype=torch.float64),
        single.double(),
        single.copy().with_dtype(torch.float64),
    ):
        assert_same(expected, predicted(made, frames))


# -- files ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_folder_gives_back_every_bit(
    model: Foundation, tmp_path: Path, dtype: torch.dtype
) -> None:
    """Fewer elements or two heads, E0s with all their digits."""
    made = (cut_down(model) if dtype == torch.float64 else two_headed(model)).with_dtype(dtype)
    made = made.with_reference_energies(made.heads[0], {17: -70_000.1234567890123})
    state = torch.random.get_rng_state()
    made.save(tmp_path / "model")
    found = load_foundation(tmp_path / "model")
    assert torch.equal(state, torch.random.get_rng_state())
    assert type(found) is type(made) and found.dtype == dtype
    a, b = made.state_dict(), found.state_dict()
    assert a.keys() == b.keys()
    assert all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)
    assert (found.elements, found.heads) == (made.elements, made.heads)
    assert found.cutoff == made.cutoff
    assert found.provenance == made.provenance == model.provenance
    assert found.reference_energies == made.reference_energies
    assert found.fingerprint() == made.fingerprint()
    assert found.linear_layers() == made.linear_layers()
    assert_equal(predicted(made, structures(SUBSET)), predicted(found, structures(SUBSET)))
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "architecture.json",
        "weights.safetensors",
    ]


def test_damaged_folders_are_refused(model: Foundation, tmp_path: Path) -> None:
    model.save(tmp_path)
    weights, path = tmp_path / "weights.safetensors", tmp_path / "architecture.json"
    content, document = weights.read_bytes(), json.loads(path.read_text())
    weights.write_bytes(content[:-5])
    with pytest.raises(PestleError, match="damaged or cut short"):
        load_foundation(tmp_path)
    weights.write_bytes(content)
    del document["sha256"]  # without one, nothing says that what follows was changed
    plain = document["architecture"]
    missing = {k: v for k, v in plain.items() if k != next(iter(plain))}
    wrong = [
        {**document, "architecture": missing},
        {**document, "elements": document["elements"][:-1]},
        {**document, "heads": []},
        {**document, "backend": "other"},
        {**document, "backend": next(b.name for b in BACKENDS if b.name != model.backend)},
    ]
    for changed in wrong:
        path.write_text(json.dumps(changed))
        with pytest.raises(PestleError):
            load_foundation(tmp_path)
    path.write_text(json.dumps(document))
    assert load_foundation(tmp_path).fingerprint() == model.fingerprint()


def test_the_file_of_its_own_programs_gives_the_model_back(
    model: Foundation, tmp_path: Path
) -> None:
    """Read back by Pestle, which is what can be checked without those programs."""
    single = model.with_dtype(torch.float32)
    path = tmp_path / "deep" / f"mine{model.own_format}"
    assert single.export_obstacle() == ""
    single.export(path)
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.name}.sha256"}
    assert backend_of_file(path).name == model.backend
    found = load_foundation(path, trust=True)
    assert found.dtype == torch.float32 and found.provenance.name == "mine"
    assert (found.elements, found.heads) == (model.elements, (TARGET_HEAD,))
    assert found.reference_energies == single.reference_energies
    assert_equal(predicted(single), predicted(found))


def test_what_cannot_be_written_for_its_own_programs_is_said_before(
    sample: Sample, model: Foundation, tmp_path: Path
) -> None:
    """An obstacle and a refusal always go together, and a refusal leaves no file."""
    cases = {
        "cut": (cut_down(model), None, sample.one_file_per_model),
        "heads": (two_headed(model), None, sample.one_file_per_model),
        "head": (two_headed(model), "a", False),
        "E0s": (
            model.with_reference_energies(TARGET_HEAD, {17: -12_510.1}),
            None,
            sample.one_file_per_model,
        ),
        "unchanged": (model, None, False),
    }
    for name, (made, head, refused) in cases.items():
        obstacle = made.export_obstacle(head=head)
        path = tmp_path / f"{name}{model.own_format}"
        assert bool(obstacle) == refused, name
        if refused:
            with pytest.raises(PestleError, match=re.escape(obstacle)) as caught:
                made.export(path, head=head)
            assert str(path) in caught.value.line
            assert not path.exists()
        else:
            made.export(path, head=head)
    with pytest.raises(PestleError, match="has no head 'other'"):
        model.export(tmp_path / "a", head="other")


# -- derived models -------------------------------------------------------------------------------
def test_random_weights_follow_the_seed_and_the_data(model: Foundation) -> None:
    one, other = (model.with_random_weights(seed, **RANDOM) for seed in (7, 8))
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (model, one)]
    assert shapes[0] == shapes[1]
    assert (one.elements, one.heads, one.cutoff) == (model.elements, model.heads, model.cutoff)
    assert one.reference_energies == model.reference_energies
    first = predicted(one)
    assert not torch.allclose(first.forces, predicted(other).forces, atol=1e-4)
    assert not torch.allclose(first.forces, predicted(model).forces, atol=1e-4)
    double = predicted(model.with_random_weights(7, mean_neighbours=12.0, scale=1.6))
    assert torch.allclose(2.0 * first.interaction_energy, double.interaction_energy, **EXACT)
    assert torch.allclose(2.0 * first.forces, double.forces, **EXACT)
    sparse = predicted(model.with_random_weights(7, mean_neighbours=3.0, scale=0.8))
    assert not torch.allclose(first.forces, sparse.forces, atol=1e-4)


# -- parts ----------------------------------------------------------------------------------------
def test_parameter_groups_are_a_partition_in_the_order_of_the_network(model: Foundation) -> None:
    groups = model.parameter_groups()
    listed = [name for names in groups.values() for name in names]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())
    layers = sum(group.startswith("interaction ") for group in groups)
    readouts = sum(group.startswith("readout ") for group in groups)
    body = [f"{kind} {k + 1}" for k in range(layers) for kind in ("interaction", "product")]
    outputs = [f"readout {k + 1}" for k in range(readouts)]
    assert list(groups) == ["embedding", *body, *outputs]
    assert layers >= 2 and readouts >= 1 and all(groups.values())


def test_linear_layers_cover_weights_block_by_block(model: Foundation) -> None:
    layers, named = model.linear_layers(), dict(model.named_parameters())
    assert len({layer.parameter for layer in layers}) == len(layers)
    for layer in layers:
        start = 0
        for block in layer.blocks:
            assert block.offset == start and block.path_weight > 0
            start += block.n_in * block.n_out
        assert start == named[layer.parameter].numel(), layer
    grouped = {n: group for group, names in model.parameter_groups().items() for n in names}
    adapted = {grouped[layer.parameter].split()[0] for layer in layers}
    assert adapted == {"embedding", "interaction", "product", "readout"}
    kinds = {layer.kind for layer in layers}
    assert kinds == {"scalar", "equivariant"}


# -- descriptors ----------------------------------------------------------------------------------
def test_descriptors_see_the_neighbourhood(sample: Sample, model: Foundation) -> None:
    """A row per atom; equal environments are equal, other elements and distances are not."""
    graphs = batch(model)
    found = model.descriptors(graphs)
    assert found.shape[0] == int(graphs.ptr[-1]) and found.shape[1] > sample.first_scalars
    crystal = Frame(bulk("NaCl", "rocksalt", a=5.4).repeat(2))
    rows = model.descriptors(batch(model, [crystal]))
    for z in (11, 17):
        same = rows[torch.from_numpy(crystal.numbers == z)]
        assert torch.allclose(same, same[:1].expand_as(same), atol=1e-10)
    assert (rows[0] - rows[1]).abs().max() > 1e-3
    wider = model.descriptors(batch(model, [Frame(bulk("NaCl", "rocksalt", a=5.6))]))
    assert (wider[0] - rows[0]).abs().max() > 1e-4


# -- methods --------------------------------------------------------------------------------------
E0S = {1: -13.6, 6: -1027.6, 8: -2043.2, 11: -4412.0, 17: -12510.4}


def adapted(method: str, model: Foundation, frames: list[Frame]) -> Adaptation:
    """The method on the model with the E0s of the data."""
    start = model.with_reference_energies(TARGET_HEAD, E0S)
    settings = from_names({"method": method, "lora.rank": 2})
    case = Case(start, TARGET_HEAD, frames, settings, model.reference_energies[TARGET_HEAD])
    return METHODS[method].adapt(case)


def labelled() -> list[Frame]:
    """The structures with made-up labels."""
    generator = np.random.default_rng(5)
    frames = structures()
    for frame in frames:
        frame.energy = float(sum(E0S[int(z)] for z in frame.numbers) + generator.normal())
        frame.forces = generator.normal(size=(len(frame), 3))
    return frames


def one_step(adaptation: Adaptation, frames: Sequence[Frame]) -> None:
    """An AdamW step on energies and forces of all heads together."""
    model = adaptation.model
    graphs = make_graphs(frames, model.cutoff, dtype=model.dtype)
    heads = range(len(model.heads))
    joined = collate([graph.with_head(k) for k in heads for graph in graphs])
    named = dict(model.named_parameters())
    parameters = [named[name] for name in adaptation.trainable]
    for name, parameter in named.items():
        parameter.requires_grad_(name in adaptation.trainable)
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)
    prediction = model(joined, training=True)
    loss = (prediction.energy - joined.energy).square().mean()
    (loss + (prediction.forces - joined.forces).square().mean()).backward()
    optimizer.step()


@pytest.mark.parametrize("method", FROM_THE_FOUNDATION)
def test_methods_start_at_the_foundation_and_train_what_they_say(
    model: Foundation, method: str
) -> None:
    """The zero-step gate passes; a step moves the trainable parameters, all of them, and leaves
    every other bit."""
    frames = labelled()
    adaptation = adapted(method, model, frames)
    made = adaptation.model
    stages = [Stage("the foundation", model, TARGET_HEAD), Stage(method, made, TARGET_HEAD)]
    result = zero_step_gate(frames, stages, TrainSettings(dtype="float64"))
    assert result.forces < 1e-9 and result.energy < 1e-9
    replay = METHODS[method].replay_labels is not None
    assert made.heads == ((REPLAY_HEAD, TARGET_HEAD) if replay else (TARGET_HEAD,))
    if replay:
        start = [Stage("the foundation", model, TARGET_HEAD), Stage(method, made, REPLAY_HEAD)]
        zero_step_gate(frames, start, TrainSettings(dtype="float64"))
        assert made.reference_energies[REPLAY_HEAD] == model.reference_energies[TARGET_HEAD]
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    untouched = model.fingerprint()
    one_step(adaptation, frames)
    changed = {n for n, p in made.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(adaptation.trainable) and changed
    assert model.fingerprint() == untouched


def test_freezing_by_depth_means_the_same_everywhere(sample: Sample, model: Foundation) -> None:
    """With the first layer fixed, what it says of an atom stays; with the backbone fixed,
    everything that the readouts read."""
    frames, width = labelled(), sample.first_scalars
    graphs = batch(model, frames)
    before = model.descriptors(graphs)
    after = {}
    for method in ("naive", "freeze-first", "freeze-backbone"):
        adaptation = adapted(method, model, frames)
        one_step(adaptation, frames)
        after[method] = adaptation.model.descriptors(graphs)
        assert not torch.equal(
            adaptation.model.predict(graphs).interaction_energy,
            model.predict(graphs).interaction_energy,
        )
    assert not torch.equal(after["naive"][:, :width], before[:, :width])
    assert torch.equal(after["freeze-first"][:, :width], before[:, :width])
    assert not torch.equal(after["freeze-first"][:, width:], before[:, width:])
    assert torch.equal(after["freeze-backbone"], before)


def test_scratch_has_the_shape_of_the_foundation(model: Foundation) -> None:
    frames = labelled()
    one, two = (adapted("scratch", model, frames) for _ in range(2))
    assert set(one.trainable) == {name for name, _ in model.named_parameters()}
    assert_equal(predicted(one.model), predicted(two.model))
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (model, one.model)]
    assert shapes[0] == shapes[1]
    assert {z: one.model.reference_energies[TARGET_HEAD][z] for z in E0S} == E0S
    before = (predicted(one.model).forces - batch(model, frames).forces).square().mean()
    for _ in range(5):
        one_step(one, frames)
    after = (predicted(one.model).forces - batch(model, frames).forces).square().mean()
    assert torch.isfinite(after) and after != before


def test_the_registry_has_a_sample_of_every_backend() -> None:
    assert {sample.backend for sample in SAMPLES.values()} == {b.name for b in BACKENDS}
    assert all(s.make().backend == s.backend for s in SAMPLES.values())
