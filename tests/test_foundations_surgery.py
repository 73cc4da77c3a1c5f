"""Descriptions, element subsets, heads, dtypes and random weights of MACE foundations."""

from __future__ import annotations

import json

import pytest
import torch

from foundation_factory import ELEMENTS, VARIANTS, foundation, frames, fresh
from pestle.errors import PestleError
from pestle.foundations.mace import architecture
from pestle.foundations.mace.runtime import blocks, mace_modules
from test_foundations_predict import batch

SUBSET = (8, 11, 17)
TOLERANCE = {"rtol": 1e-10, "atol": 1e-11}
#: Variants between which every rule for the element and for the head axis is used.
BY_ELEMENT = ("residual", "density", "attention", "nonlinear", "nonlinear products")
BY_HEAD = ("plain", "nonlinear", "nonlinear products", "two heads", "charged", "one")


def assert_same(one, other):
    for name in ("energy", "interaction_energy", "node_energies", "forces", "stress"):
        a, b = getattr(one, name), getattr(other, name)
        assert torch.allclose(a, b, **TOLERANCE), f"{name}: {(a - b).abs().max()}"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_network_rebuilt_from_json_is_the_same(name):
    model = foundation(name)
    state = torch.random.get_rng_state()
    text = json.dumps(architecture.describe(model.network), allow_nan=False)
    network = architecture.build(json.loads(text))
    assert torch.equal(state, torch.random.get_rng_state())
    architecture.load_tensors(network, model.network.state_dict())
    assert architecture.describe(network) == architecture.describe(model.network)
    assert dict(network.named_parameters()).keys() == dict(model.network.named_parameters()).keys()
    rebuilt = model._with(network)
    for head in range(len(model.heads)):
        graphs = batch(model).with_head(head)
        assert_same(model.predict(graphs, stress=True), rebuilt.predict(graphs, stress=True))


def test_the_variants_cover_every_class():
    described = [architecture.describe(foundation(name).network) for name in VARIANTS]
    used = {d[k] for d in described for k in ("interaction_cls", "interaction_cls_first")}
    assert used == set(mace_modules.interaction_classes)
    assert {d["readout_cls"] for d in described} == set(architecture.READOUTS)
    assert {d["distance_transform"] for d in described} == {"None", "Agnesi", "Soft"}
    assert {d["radial_type"] for d in described} == {"bessel", "gaussian", "chebyshev"}


def test_what_cannot_be_described_is_refused():
    network = fresh("density").network
    network.readouts[-1].non_linearity.acts[0].f = torch.nn.functional.mish
    with pytest.raises(PestleError, match="'mish' is unknown"):
        architecture.describe(network)

    class Custom(blocks.RealAgnosticDensityInteractionBlock):
        pass

    network = fresh("density").network
    network.interactions[0].__class__ = Custom
    with pytest.raises(PestleError, match="'Custom' is unknown"):
        architecture.describe(network)


def test_an_unfaithful_description_is_noticed():
    network = foundation("density").network
    description = architecture.describe(network) | {"radial_MLP": [8, 9]}
    with pytest.raises(PestleError, match="description"):
        architecture.load_tensors(architecture.build(description), network.state_dict())
    description = architecture.describe(network) | {"interaction_cls": "os.system"}
    with pytest.raises(PestleError, match=r"names or misses 'os\.system'"):
        architecture.build(description)


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_fewer_elements_predict_the_same(name):
    model = foundation(name)
    small = model.with_elements([*SUBSET, 11])
    assert small.elements == SUBSET and model.elements == ELEMENTS
    n_before = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in small.parameters()) < n_before
    for row, head in enumerate(model.heads):
        graphs = batch(model, frames(SUBSET)).with_head(row)
        assert_same(model.predict(graphs, stress=True), small.predict(graphs, stress=True))
        kept = {z: model.reference_energies[head][z] for z in SUBSET}
        assert small.reference_energies[head] == kept


def test_unknown_elements_cannot_be_selected():
    with pytest.raises(PestleError, match="does not know Fe"):
        foundation("density").with_elements([8, 26])
    with pytest.raises(PestleError, match="elements: no element"):
        foundation("density").with_elements([])


@pytest.mark.parametrize("name", BY_HEAD)
def test_new_heads_equal_the_old_ones(name):
    model = foundation(name)
    old = model.heads
    wanted = {"Default": old[-1], "pt_head": old[0], "copy": old[-1], "fourth": old[len(old) // 2]}
    several = model.with_heads(wanted)
    assert several.heads == tuple(wanted)
    graphs = batch(model)
    for row, source in enumerate(wanted.values()):
        before = model.predict(graphs.with_head(old.index(source)), stress=True)
        assert_same(before, several.predict(graphs.with_head(row), stress=True))
    back = several.with_heads({"only": "pt_head"})
    assert_same(
        model.predict(graphs.with_head(0), stress=True),
        back.predict(graphs.with_head(0), stress=True),
    )


@pytest.mark.parametrize("name", ["residual", "nonlinear products"])
def test_heads_are_independent_of_each_other(name):
    model = foundation(name).with_heads({"a": "Default", "b": "Default"})
    graphs = batch(model)
    before = model.predict(graphs.with_head(1)).energy
    last = model.network.readouts[-1]
    width = last.linear_1.irreps_out.num_irreps // 2
    with torch.no_grad():
        last.linear_1.weight.view(-1, 2 * width)[:, :width] += 1.0
    assert torch.equal(before, model.predict(graphs.with_head(1)).energy)
    assert not torch.allclose(before, model.predict(graphs.with_head(0)).energy)


def test_a_wrong_normalisation_would_be_seen():
    model = foundation("density")
    small = model.with_elements(SUBSET)
    with torch.no_grad():
        small.network.interactions[1].skip_tp.weight *= (3 / 5) ** 0.5
    graphs = batch(model, frames(SUBSET))
    with pytest.raises(AssertionError):
        assert_same(model.predict(graphs, stress=True), small.predict(graphs, stress=True))


def test_derived_models_share_nothing_with_their_source():
    model = foundation("nonlinear")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    made = [
        model.with_elements(ELEMENTS),
        model.with_heads({h: h for h in model.heads}),
        model.with_dtype(torch.float64),
        model.with_reference_energies("pbe", {1: -3.0}),
        model.with_random_weights(0, mean_neighbours=4.0, scale=1.0),
    ]
    for other in made:
        with torch.no_grad():
            for tensor in other.state_dict().values():
                tensor.zero_()
        assert other.provenance == model.provenance
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_reference_energies_change_for_one_head_only():
    model = foundation("nonlinear")
    changed = model.with_reference_energies("r2scan", {8: -5.0, 1: -1.0})
    assert changed.reference_energies["r2scan"] == {
        **model.reference_energies["r2scan"],
        8: -5.0,
        1: -1.0,
    }
    assert changed.reference_energies["pbe"] == model.reference_energies["pbe"]
    graphs = batch(model).with_head(1)
    one, other = model.predict(graphs), changed.predict(graphs)
    assert torch.equal(one.forces, other.forces)
    assert torch.equal(one.interaction_energy, other.interaction_energy)
    with pytest.raises(PestleError, match="does not know Fe"):
        model.with_reference_energies("pbe", {26: -1.0})


def test_random_weights_are_reproducible_and_leave_the_global_state():
    model = foundation("plain")
    state = torch.random.get_rng_state()
    one = model.with_random_weights(7, mean_neighbours=12.5, scale=0.8)
    two = model.with_random_weights(7, mean_neighbours=12.5, scale=0.8)
    three = model.with_random_weights(8, mean_neighbours=12.5, scale=0.8)
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [dict(m.named_parameters()) for m in (one, two, three, model)]
    key = "network.interactions.1.linear_up.weight"
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert not torch.equal(weights[0][key], weights[2][key])
    assert not torch.equal(weights[0][key], weights[3][key])
    assert one.reference_energies == model.reference_energies
    assert torch.isfinite(one.predict(batch(one), stress=True).stress).all()


def test_random_weights_follow_the_data_given():
    model = foundation("density")
    made = model.with_random_weights(7, mean_neighbours=12.5, scale=0.8)
    description = architecture.describe(made.network)
    assert description["distance_transform"] == "None"
    assert description["avg_num_neighbors"] == [12.5, 12.5]
    assert description["scale"] == [0.8] * len(model.heads)
    assert description["shift"] == [0.0] * len(model.heads)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_groups_are_a_partition(name):
    model = foundation(name)
    groups = model.parameter_groups()
    listed = [p for names in groups.values() for p in names]
    assert sorted(listed) == sorted(dict(model.named_parameters()))
    n = len(model.network.interactions)
    layers = [f"{kind} {k + 1}" for k in range(n) for kind in ("interaction", "product")]
    assert [g for g in groups if not g.startswith("readout")] == ["embedding", *layers]
    readouts = [f"readout {k + 1}" for k in range(len(model.network.readouts))]
    assert [g for g in groups if g.startswith("readout")] == (
        ["readout 0"] if name == "charged" else []
    ) + readouts


@pytest.mark.parametrize("name", ["density", "nonlinear", "charged"])
def test_linear_layers_are_the_matrices_that_act(name):
    model = foundation(name)
    layers = model.linear_layers()
    parameters = dict(model.named_parameters())
    assert len({layer.parameter for layer in layers}) == len(layers)
    kinds = set()
    for layer in layers:
        weight = parameters[layer.parameter]
        module = model.get_submodule(layer.parameter.removesuffix(".weight"))
        assert sum(b.n_in * b.n_out for b in layer.blocks) == weight.numel()
        kinds.add(type(module).__name__)
        for block in layer.blocks:
            flat = weight.reshape(-1)[block.offset : block.offset + block.n_in * block.n_out]
            shape = (block.n_out, block.n_in) if block.transposed else (block.n_in, block.n_out)
            matrix = block.path_weight * flat.view(shape)
            matrix = matrix.T if block.transposed else matrix
            assert torch.allclose(_acting(module, layer, block), matrix, atol=1e-12), layer
    linear = {"density": "_Layer", "nonlinear": "Linear", "charged": "_Layer"}[name]
    assert {"Linear", linear} <= kinds


def _acting(module, layer, block) -> torch.Tensor:
    """[n_in, n_out] by feeding unit vectors through the layer itself."""
    if layer.kind == "scalar":
        if hasattr(module, "act"):
            kept, module.act = module.act, (None if module.act is None else torch.nn.Identity())
            out = module(torch.eye(block.n_in, dtype=torch.float64))
            module.act = kept
            return out
        zero = torch.zeros(1, block.n_in, dtype=torch.float64)
        return module(torch.eye(block.n_in, dtype=torch.float64)) - module(zero)
    rows = []
    start, stop = _place(module.irreps_in, block.irrep, block.n_in)
    outputs = slice(*_place(module.irreps_out, block.irrep, block.n_out))
    dim = (stop - start) // block.n_in
    zero = torch.zeros(1, module.irreps_in.dim, dtype=torch.float64)
    for channel in range(block.n_in):
        x = zero.clone()
        x[0, start + channel * dim] = 1.0
        rows.append((module(x) - module(zero))[0, outputs][::dim])
    return torch.stack(rows)


def _place(irreps, irrep, channels) -> tuple[int, int]:
    """Where an irrep lies; the networks here have each irrep in one stretch."""
    merged = irreps.simplify()
    for (mul, found), part in zip(merged, merged.slices(), strict=True):
        if str(found) == irrep and mul == channels:
            return part.start, part.stop
    raise AssertionError(f"no {channels}x{irrep} in {irreps}")
