"""Model folders, pickles, exported files, calculators and the catalogue."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from foundation_factory import foundation, frames, fresh, module
from pestle.errors import PestleError
from pestle.foundations import catalogue, download, load_foundation, safe_files
from pestle.foundations.mace.runtime import default_dtype
from web import serve


def assert_identical(one, other):
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype and torch.equal(a[key], b[key]), key
    assert (one.elements, one.heads, one.provenance) == (
        other.elements,
        other.heads,
        other.provenance,
    )
    assert one.cutoff == other.cutoff


@pytest.mark.parametrize(
    ("name", "dtype"), [("nonlinear", torch.float32), ("trained radial", torch.float64)]
)
def test_a_folder_gives_back_every_bit(tmp_path, name, dtype):
    model = fresh(name, dtype=dtype)
    model = model.with_reference_energies(model.heads[0], {17: -70_000.1234567890123})
    model.save(tmp_path / "model")
    found = load_foundation(tmp_path / "model")
    assert_identical(model, found)
    assert found.dtype == dtype
    assert found.reference_energies[model.heads[0]][17] == -70_000.1234567890123
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "architecture.json",
        "weights.safetensors",
    ]


def test_a_run_folder_names_its_model_in_the_precision_asked_for(tmp_path):
    model = foundation("one", dtype=torch.float32)
    model.save(tmp_path / "model")
    found = load_foundation(str(tmp_path), dtype=torch.float64)
    assert found.dtype == torch.float64
    assert_identical(found, model.with_dtype(torch.float64))


def test_damaged_folders_are_refused(tmp_path):
    model = foundation("density")
    model.save(tmp_path)
    weights = tmp_path / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-5])
    with pytest.raises(PestleError, match="damaged or cut short"):
        load_foundation(tmp_path)
    weights.unlink()
    with pytest.raises(PestleError, match="cannot be read"):
        load_foundation(tmp_path)
    weights.write_bytes(content)
    path = tmp_path / "architecture.json"
    whole = path.read_text()
    path.write_text(whole.replace('"r_max": 4.0', '"r_max": 4.5'))
    with pytest.raises(PestleError, match=r"architecture\.json: .*hash"):
        load_foundation(tmp_path)
    document = json.loads(whole)
    del document["sha256"]  # without one, nothing says that what follows was changed
    path.write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(PestleError, match="Update Pestle"):
        load_foundation(tmp_path)
    path.write_text(json.dumps({**document, "backend": "other"}))
    with pytest.raises(PestleError, match="'other' model"):
        load_foundation(tmp_path)
    elements = document["elements"]
    for wrong in (
        {"architecture": []},
        {"elements": [*elements[:-1], 500]},
        {"elements": [*elements[:-1], elements[0]]},
    ):
        path.write_text(json.dumps(document | wrong))
        with pytest.raises(PestleError, match="entry"):
            load_foundation(tmp_path)
    # The E0s would land on the wrong elements.
    path.write_text(json.dumps(document | {"elements": elements[::-1]}))
    with pytest.raises(PestleError, match=r"architecture\.json of .*elements"):
        load_foundation(tmp_path)
    del document["heads"]
    path.write_text(json.dumps(document))
    with pytest.raises(PestleError, match="an entry is missing"):
        load_foundation(tmp_path)
    path.write_text("{")
    with pytest.raises(PestleError, match="not JSON"):
        load_foundation(tmp_path)
    path.unlink()
    with pytest.raises(PestleError, match="it holds no model"):
        load_foundation(tmp_path)


def test_the_fingerprint_tells_models_apart():
    model = fresh("density")
    same, before = fresh("density"), model.fingerprint()
    assert before == same.fingerprint() and len(before) == 16
    other = model.with_reference_energies("Default", {1: -1.0})
    assert other.fingerprint() != before
    with torch.no_grad():
        next(model.parameters())[0] += 1e-12
    assert model.fingerprint() != before


def test_pickles_need_trust_and_are_read_faithfully(tmp_path):
    network, path = module("two heads", dtype=torch.float32), tmp_path / "mine.model"
    torch.save(network, path)
    with pytest.raises(PestleError, match="loading one runs code") as refusal:
        load_foundation(path)
    assert "--trust" in refusal.value.line
    found = load_foundation(str(path), trust=True)
    expected = foundation("two heads", dtype=torch.float32)
    assert found.reference_energies == expected.reference_energies
    for key, value in expected.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[key], value), key
    assert found.provenance.name == "mine"


def test_files_that_are_not_models_are_named(tmp_path):
    path = tmp_path / "some.model"
    torch.save({"model": foundation("density").network.state_dict()}, path)
    with pytest.raises(PestleError, match="holds weights only"):
        load_foundation(path, trust=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(PestleError, match="damaged or cut short"):
        load_foundation(path, trust=True)
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    with pytest.raises(PestleError, match="TorchScript"):
        load_foundation(path, trust=True)
    torch.save(torch.nn.Linear(1, 1), path)
    with pytest.raises(PestleError, match="holds a Linear"):
        load_foundation(path, trust=True)
    torch.save(torch.zeros(2), path)
    with pytest.raises(PestleError, match="holds a Tensor"):
        load_foundation(path, trust=True)


def test_a_network_that_would_be_rebuilt_wrongly_is_refused(tmp_path):
    network, path = module("density"), tmp_path / "odd.model"
    torch.save(network, path)
    load_foundation(path, trust=True)
    network.readouts[-1].non_linearity.acts[0].cst = 1.0  # not in the state, nor described
    torch.save(network, path)
    with pytest.raises(PestleError, match="description"):
        load_foundation(path, trust=True)


def results(calculator, atoms):
    atoms = atoms.copy()
    atoms.calc = calculator
    found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    found["energies"] = calculator.results["energies"]
    if atoms.pbc.all():
        found["stress"] = atoms.get_stress()
    return found


def mace_results(calculator, atoms):
    """mace computes its pair repulsion in torch's default dtype, whatever the model's."""
    with default_dtype(torch.float64):
        return results(calculator, atoms)


def mace_calculator(path, **options):
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=str(path), device="cpu", **options)


@pytest.mark.parametrize("name", ["density", "nonlinear", "plain"])
def test_maces_calculator_on_an_exported_file_agrees(tmp_path, name):
    model, path = foundation(name), tmp_path / "deep" / "exported.model"
    model.export(path)
    theirs, mine = mace_calculator(path), model.calculator(head=model.heads[-1])
    for frame in frames():
        one, other = mace_results(theirs, frame.atoms), results(mine, frame.atoms)
        for key in one:
            np.testing.assert_allclose(one[key], other[key], rtol=1e-9, atol=1e-9, err_msg=key)
    assert {p.name for p in path.parent.iterdir()} == {"exported.model", "exported.model.sha256"}


def test_exported_heads_are_called_default(tmp_path):
    model, path = foundation("two heads"), tmp_path / "a.model"
    atoms = frames()[0].atoms
    model.export(path)
    calculator = mace_calculator(path)
    assert calculator.models[0].heads == ["pt_head", "Default"]
    wanted = results(model.calculator(head="Default"), atoms)["energy"]
    assert mace_results(calculator, atoms)["energy"] == pytest.approx(wanted, abs=1e-9)
    other = mace_results(mace_calculator(path, head="pt_head"), atoms)["energy"]
    wanted = results(model.calculator(head="pt_head"), atoms)["energy"]
    assert other == pytest.approx(wanted, abs=1e-9)
    model.export(path, head="pt_head")
    calculator = mace_calculator(path)
    assert calculator.models[0].heads == ["Default"]
    assert mace_results(calculator, atoms)["energy"] == pytest.approx(wanted, abs=1e-9)
    nameless = model.with_heads({"a": "Default", "b": "pt_head"})
    with pytest.raises(PestleError, match=r"a, b .*Default"):
        nameless.export(path)


@pytest.mark.parametrize(("energy", "dtype"), [(-100.0, "float32"), (-70_000.123456, "float64")])
def test_large_reference_energies_are_exported_in_double(tmp_path, energy, dtype):
    model = fresh("density", dtype=torch.float32)
    model = model.with_reference_energies("Default", {17: energy, 11: energy})
    model.export(tmp_path / "a.model")
    calculator = mace_calculator(tmp_path / "a.model")
    assert calculator.default_dtype == dtype
    table = calculator.models[0].atomic_energies_fn.atomic_energies
    assert table.dtype == torch.float64 and table.min().item() == energy
    atoms = frames()[0].atoms.repeat(2)
    wanted = results(model.calculator(), atoms)["energy"]
    assert mace_results(calculator, atoms)["energy"] == pytest.approx(wanted, abs=1e-5 * len(atoms))


def test_the_calculator_follows_charge_and_refuses_stress_where_there_is_none():
    from ase.calculators.calculator import PropertyNotImplementedError

    calculator = foundation("charged").calculator(head="omol")
    atoms = frames()[1].atoms
    atoms.calc = calculator
    neutral = atoms.get_potential_energy()
    atoms.info["charge"] = 1
    assert abs(atoms.get_potential_energy() - neutral) > 1e-3
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_the_embedded_foundation_loads():
    model = load_foundation("pestle-seed0")
    assert len(model.elements) == 82 and model.heads == ("Default",)
    assert model.provenance.licence == "MIT" and "OMat24" in model.level_of_theory
    assert sum(p.numel() for p in model.parameters()) == 517_248
    small = model.with_dtype(torch.float64).with_elements([11, 17])
    results(small.calculator(), frames()[0].atoms)


def test_listing_imports_neither_torch_nor_mace():
    code = (
        "import sys, pestle.foundations.catalogue as c; c.rows();"
        "print([m for m in ('torch', 'mace', 'e3nn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_backend_leaves_torch_load_safe():
    code = "import os, pestle.foundations.mace.runtime; print(sorted(os.environ))"
    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    clean = {k: v for k, v in os.environ.items() if k != variable}
    run = {"args": [sys.executable, "-W", "ignore", "-c", code], "capture_output": True}
    assert variable not in subprocess.run(**run, env=clean, text=True, check=True).stdout


def test_addresses_and_cache_files_are_those_of_mace(monkeypatch, tmp_path):
    from mace.calculators import foundations_models as official

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables = {
        "mp": official.mace_mp_urls,
        "off": official.mace_off_urls,
        "polar": official.polar_model_urls,
    }
    for family, table in tables.items():
        ours = {e.key: e.url for e in catalogue.ENTRIES if e.family == family}
        assert ours == table
    omol = Path(official.__file__).read_text()
    assert catalogue.entry("mace_omol").url in omol
    monkeypatch.setattr(official, "_urlretrieve_with_timeout", _write)
    small = catalogue.entry("small")
    assert not small.cached
    assert official.download_mace_mp_checkpoint("small") == str(small.cache_file) and small.cached
    polar = catalogue.entry("polar-1-s")
    assert official.download_mace_polar_checkpoint("polar-1-s") == str(polar.cache_file)


def _write(url, path, timeout=None):
    Path(path).write_bytes(b"")
    return path, ""


@pytest.mark.parametrize("name", ["small", "medium_off", "mace_omol", "polar-1-m"])
def test_without_network_the_file_and_its_place_are_named(monkeypatch, capsys, name):
    serve(monkeypatch)
    entry = catalogue.entry(name)
    with pytest.raises(PestleError, match="could not be downloaded") as error:
        load_foundation(name)
    assert entry.url in error.value.line and str(entry.cache_file) in error.value.line
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "reason", [socket.gaierror(-2, "Name or service not known"), OSError(101, "unreachable")]
)
def test_no_connection_is_said_in_words(monkeypatch, tmp_path, reason):
    class NoNetwork:
        def open(self, *_, **__):
            raise URLError(reason)

    monkeypatch.setattr(download, "build_opener", lambda *_: NoNetwork())
    url = "https://example.org/model"
    with pytest.raises(PestleError) as error:
        download.download(url, tmp_path / "m", name="m", where="foundation", check=lambda *_: None)
    assert "no connection to example.org" in error.value.line and url in error.value.line
    assert "urlopen" not in error.value.line


def test_names_licences_and_notices():
    assert catalogue.entry("medium").commercial_use
    assert not catalogue.entry("medium-omat-0").commercial_use
    assert catalogue.find("nothing") is None
    with pytest.raises(PestleError, match="Did you mean 'medium-omat-0'"):
        catalogue.entry("medium-omat0")
    with pytest.raises(PestleError, match=r"Did you mean 'pestle-seed[01]'"):
        load_foundation("pestle-seed")
    assert set(catalogue.names()) == {row["name"] for row in catalogue.rows()}


def test_safe_files_do_not_need_the_backend(tmp_path):
    foundation("density").save(tmp_path)
    model = safe_files.read(tmp_path)
    assert model.backend == "mace" and model.heads == ("Default",)
    assert safe_files.fingerprint(model) == foundation("density").fingerprint()


def test_the_models_command_prints_a_table_and_json(capsys):
    from pestle.cli.models import command

    command()
    assert "pestle-seed0" in capsys.readouterr().out
    command(as_json=True)
    assert json.loads(capsys.readouterr().out) == catalogue.rows()
