"""Networks built from descriptions: as mace builds them, independent, and the same in files."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from ase.build import molecule
from torch.fx import GraphModule

from foundation_factory import frames, module
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.mace import architecture
from pestle.foundations.mace.copies import clone
from pestle.foundations.mace.runtime import Network, activation_scales, default_dtype, o3
from pestle.structures.graphs import collate, make_graphs


def code_of(part: torch.nn.Module) -> str | None:
    """The program of generated code, without the numbers by which TorchScript tells names apart."""
    if isinstance(part, torch.jit.ScriptModule):
        return re.sub(r"graph_module\.+(___torch_mangle_\d+\.)?", "", part.code)
    return part.code if isinstance(part, GraphModule) else None


def plain(value):
    """What can be compared of an attribute."""
    if isinstance(value, torch.nn.Module | GraphModule):
        return None
    if isinstance(value, torch.Tensor):
        return value.dtype, value.tolist()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def contents(network: Network) -> dict:
    """Every part of a network: class, program, attributes, and state to the bit."""
    found: dict = {k: plain(v) for k, v in network.state_dict().items()}
    for name, part in network.named_modules():
        code = code_of(part)
        own = {k: plain(v) for k, v in vars(part).items()} if code is None else {}
        # Where e3nn's list of generated code is kept differs between a module built and one read.
        own.pop("_modules", None)
        found["part " + name] = (type(part).__name__, list(dict(part.named_children())), code, own)
    return found


def read(path) -> Network:
    return torch.load(path, weights_only=False)


def built(network: Network, **changes) -> Network:
    return architecture.build(architecture.describe(network) | changes)


@pytest.mark.parametrize("name", ["residual", "nonlinear", "density", "trained radial"])
def test_an_exported_file_holds_what_mace_builds_and_pickles(tmp_path, name):
    """The file of mace's own network, and the one that Pestle writes after reading it."""
    own = module(name)
    torch.save(own, tmp_path / "mace.model")
    loaded = load_foundation(str(tmp_path / "mace.model"), trust=True)
    loaded.copy().export(tmp_path / "pestle.model")
    wanted, found = (contents(read(tmp_path / f"{n}.model")) for n in ("mace", "pestle"))
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key] == value, key
    assert any(
        isinstance(m, torch.jit.ScriptModule) for m in read(tmp_path / "pestle.model").modules()
    )


def test_the_calculator_of_an_exported_file_gives_the_numbers_of_mace_own(tmp_path):
    from mace.calculators import MACECalculator

    torch.save(module("residual"), tmp_path / "mace.model")
    loaded = load_foundation(str(tmp_path / "mace.model"), trust=True)
    loaded.export(tmp_path / "pestle.model")
    results = []
    for name in ("mace", "pestle"):
        atoms = molecule("CH3CH2OH")
        atoms.calc = MACECalculator(model_paths=str(tmp_path / f"{name}.model"), device="cpu")
        results.append((atoms.get_potential_energy(), atoms.get_forces()))
    assert results[0][0] == results[1][0]
    assert np.array_equal(results[0][1], results[1][1])


def test_exporting_changes_nothing_in_the_model(tmp_path):
    torch.save(module("two heads"), tmp_path / "mace.model")
    loaded = load_foundation(str(tmp_path / "mace.model"), trust=True)
    graphs = collate(make_graphs(frames(), loaded.cutoff))
    before = loaded.predict(graphs)
    loaded.export(tmp_path / "pestle.model", head="pt_head")
    after = loaded.predict(graphs)
    assert torch.equal(before.energy, after.energy)
    assert torch.equal(before.forces, after.forces)


@pytest.mark.parametrize("name", ["residual", "charged", "rotations only"])
def test_fresh_weights_are_those_that_mace_draws(name):
    """Built with the same random numbers, by mace's class alone and by `build`, twice."""
    own = module(name, seed=1)  # mace's own constructor inside local_seed(1)
    description = architecture.describe(own)
    for _ in range(2):
        made = architecture.build(description, seed=1)
        for key, value in own.named_parameters():
            assert torch.equal(value, made.get_parameter(key)), key
    other = architecture.build(description, seed=2)
    assert not torch.equal(other.node_embedding.linear.weight, made.node_embedding.linear.weight)


def test_two_networks_of_one_description_share_no_memory():
    network = module("density", dtype=torch.float32)
    first, second = built(network), built(network)
    copied = clone(second)
    for one, other in ((first, second), (second, copied)):
        pointers = [
            t.data_ptr() for n in (one, other) for t in n.state_dict().values() if t.numel()
        ]
        # Nor do two tensors of one network: a file would hold them once.
        assert len(set(pointers)) == len(pointers) > 100
        layers = [
            {id(m) for m in n.modules() if not isinstance(m, GraphModule)} for n in (one, other)
        ]
        assert not layers[0] & layers[1]
    untouched = {k: v.clone() for k, v in second.state_dict().items()}
    with torch.no_grad():
        for tensor in (*first.parameters(), *first.buffers()):
            if tensor.is_floating_point():
                tensor.fill_(7.0)
    first.heads.append("another")
    first.double()
    for later in (second, built(network)):
        assert later.heads == ["Default"]
        for key, value in untouched.items():
            found = later.state_dict()[key]
            assert found.dtype == value.dtype and torch.equal(found, value), key


def test_a_network_of_other_precision_takes_no_constants_of_the_first():
    network = module("residual")
    single, double = built(network, dtype="float32"), built(network, dtype="float64")
    for key, value in double.state_dict().items():
        if "U_matrix" in key:
            assert value.dtype == torch.float64
            assert torch.equal(value, network.state_dict()[key]), key
            assert single.state_dict()[key].dtype == torch.float32


def test_building_leaves_mace_and_e3nn_as_they_were():
    description = architecture.describe(module("one"))
    before = activation_scales.moment
    architecture.build(description, seed=11)
    with pytest.raises(PestleError, match="names or misses"):
        architecture.build({k: v for k, v in description.items() if k != "r_max"})
    with pytest.raises(ValueError):  # raised inside mace's constructor
        architecture.build(description | {"max_ell": -1})
    assert activation_scales.moment is before
    with default_dtype(torch.float64):
        layer = o3.Linear("2x0e", "2x0e")
    assert isinstance(layer._compiled_main, torch.jit.ScriptModule)
