"""Exported files, loaded and run as ASE and LAMMPS do, against the model they were made from."""

from __future__ import annotations

import hashlib
import json
import pickletools
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.stress import voigt_6_to_full_3x3_stress

import nequip_factory
from foundation_factory import ELEMENTS, foundation, fresh
from pestle import cli
from pestle import export as export_job  # the function, not a module
from pestle.errors import PestleError
from pestle.foundations import Untrusted, catalogue, load_foundation
from pestle.foundations.interface import Provenance
from pestle.foundations.mace import lammps, lammps_check
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.foundations.mace.runtime import default_dtype

TOLERANCE = {"float64": 2e-9, "float32": 2e-5}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def structures() -> dict[str, Atoms]:
    """A skewed box that is smaller than the cutoff's sphere, and a molecule with a lone atom."""
    generator = np.random.default_rng(5)
    box = bulk("NaCl", "rocksalt", a=5.2) * (1, 1, 2)
    box.set_cell(box.cell @ np.array([[1, 0, 0], [0.1, 1.02, 0], [-0.05, 0.1, 0.97]]), True)
    cluster = molecule("CH3CH2OH") + Atoms("Cl", positions=[[0, 0, 30]])
    for atoms in (box, cluster):
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
    return {"box": box, "cluster": cluster}


def by_calculator(calculator, atoms, dtype=torch.float64):
    atoms = atoms.copy()
    atoms.calc = calculator
    with default_dtype(dtype):  # mace computes its pair repulsion in torch's default dtype
        stress = voigt_6_to_full_3x3_stress(atoms.get_stress()) if atoms.pbc.all() else None
        return atoms.get_potential_energy(), atoms.get_forces(), stress


def mace_calculator(path, **options):
    from mace.calculators import MACECalculator

    return MACECalculator(model_paths=str(path), device="cpu", **options)


def assert_equal_results(found, wanted, tolerance):
    for name, one, other in zip(("energy", "forces", "stress"), found, wanted, strict=True):
        if other is not None:
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=name)


def saved(tmp_path, model, name="model"):
    folder = tmp_path / name
    model.save(folder)
    return str(folder)


def quick_two_heads(*names: str) -> MaceFoundation:
    """Heads that differ in their E0s; built in half the time of "two heads"."""
    model = foundation("one").with_heads(dict.fromkeys(names, "Default"))
    return model.with_reference_energies(names[0], {11: -1.5, 17: -2.5})


# -- ASE ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["density", "two heads"])
def test_the_ase_file_loads_without_arguments_and_agrees(tmp_path, name, dtype):
    model = foundation(name)
    result = export_job(saved(tmp_path, model), to="ase", dtype=dtype)
    assert result.files == {"ase": str(tmp_path / "export" / "model.model")}
    assert result.heads == ("Default",) and result.dtype == dtype
    theirs = mace_calculator(result.files["ase"])
    assert theirs.models[0].heads == ["Default"] and theirs.default_dtype == dtype
    single = model.with_heads({"Default": "Default"}).with_dtype(getattr(torch, dtype))
    for atoms in structures().values():
        found = by_calculator(theirs, atoms, getattr(torch, dtype))
        wanted = by_calculator(single.calculator(), atoms)
        assert_equal_results(found, wanted, TOLERANCE[dtype])


def test_all_heads_are_kept_with_default_last(tmp_path):
    model = foundation("two heads")
    assert model.heads == ("Default", "pt_head")
    path = export_job(saved(tmp_path, model), to="ase", all_heads=True).files["ase"]
    assert Path(path).name == "model-heads.model"
    assert mace_calculator(path).models[0].heads == ["pt_head", "Default"]
    box = structures()["box"]
    energies = {h: by_calculator(model.calculator(head=h), box) for h in model.heads}
    assert abs(energies["Default"][0] - energies["pt_head"][0]) > 0.5  # E0s differ by head
    assert_equal_results(by_calculator(mace_calculator(path), box), energies["Default"], 2e-9)
    other = mace_calculator(path, head="pt_head")
    assert_equal_results(by_calculator(other, box), energies["pt_head"], 2e-9)


def test_a_chosen_head_is_called_default(tmp_path):
    model, box = foundation("two heads"), structures()["box"]
    result = export_job(saved(tmp_path, model), to="ase", head="pt_head")
    assert (result.head, result.heads) == ("pt_head", ("Default",))
    assert Path(result.files["ase"]).name == "model-pt_head.model"
    found = by_calculator(mace_calculator(result.files["ase"]), box)
    assert_equal_results(found, by_calculator(model.calculator(head="pt_head"), box), 2e-9)
    single = foundation("one").with_heads({"omat": "Default"})
    result = export_job(saved(tmp_path, single, "one"), to="ase")
    assert (result.head, result.heads) == ("omat", ("Default",))
    assert mace_calculator(result.files["ase"]).models[0].heads == ["Default"]


def test_several_heads_without_default_need_a_choice(tmp_path):
    model = quick_two_heads("a", "b")
    folder = saved(tmp_path, model)
    with pytest.raises(PestleError, match=r"a, b.*Default.*--head a"):
        export_job(folder, to="ase")
    result = export_job(folder, to="ase", head="a", all_heads=True)
    assert result.heads == ("b", "Default")
    box = structures()["box"]
    found = by_calculator(mace_calculator(result.files["ase"]), box)
    assert_equal_results(found, by_calculator(model.calculator(head="a"), box), 2e-9)


def all_electron() -> MaceFoundation:
    model = fresh("one", dtype=torch.float32)
    return model.with_reference_energies("Default", {17: -12_500.25, 11: -4_400.125})


def test_all_electron_energies_are_never_written_in_float32(tmp_path):
    model = all_electron()
    folder = saved(tmp_path, model)
    for to in ("ase", "lammps"):
        with pytest.raises(PestleError, match=r"12,500 eV.*0\.8 meV"):
            export_job(folder, to=to, dtype="float32")
    result = export_job(folder, to="ase")
    assert result.dtype == "float64" and "written in float64" in result.notes[0]
    box = structures()["box"].repeat(3)
    found = by_calculator(mace_calculator(result.files["ase"]), box)[0]
    wanted = by_calculator(model.with_dtype(torch.float64).calculator(), box)[0]
    assert found == pytest.approx(wanted, abs=1e-6)
    small = fresh("one", dtype=torch.float32)
    assert export_job(saved(tmp_path, small, "s"), to="ase", dtype="float32").notes == ()


# -- LAMMPS ---------------------------------------------------------------------------------------
def ghosts(atoms: Atoms, depth: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the atoms and of every image within `depth` of one; whose image each is."""
    n, positions, owner = len(atoms), [atoms.positions], [np.arange(len(atoms))]
    reach = (
        np.ceil(depth / (atoms.cell.lengths() * 0.7)).astype(int) if atoms.pbc.all() else [0] * 3
    )
    for shift in np.ndindex(*(2 * r + 1 for r in reach)):
        shift = np.array(shift) - reach
        if shift.any():
            image = atoms.positions + shift @ atoms.cell.array
            gaps = np.linalg.norm(image[:, None] - atoms.positions[None], axis=2).min(axis=1)
            positions.append(image[gaps < depth])
            owner.append(np.arange(n)[gaps < depth])
    return np.concatenate(positions), np.concatenate(owner)


def pairs(positions: np.ndarray, centres: int, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Every i < centres with each other atom within the cutoff: LAMMPS's full neighbour list."""
    gaps = np.linalg.norm(positions[:centres, None] - positions[None], axis=2)
    gaps[np.arange(centres), np.arange(centres)] = np.inf
    return np.nonzero(gaps < cutoff)


def run_pair_mace(path, atoms):
    """pair_style mace: images are atoms of their own, as deep as the layers see."""
    module = torch.jit.load(path)
    dtype = dict(module.named_parameters())["model.node_embedding.linear.weight"].dtype
    cutoff, known = float(module.r_max), module.atomic_numbers.tolist()
    positions, owner = ghosts(atoms, int(module.num_interactions) * cutoff)
    sender, receiver = pairs(positions, len(positions), cutoff)
    n, n_edges, columns = len(positions), len(sender), [known.index(z) for z in atoms.numbers]
    inputs = {
        "batch": torch.zeros(n, dtype=torch.int64),
        "cell": torch.tensor(atoms.cell.array, dtype=dtype),
        "edge_index": torch.tensor(np.stack([sender, receiver])),
        "energy": torch.empty(1, dtype=dtype),
        "forces": torch.empty(n, 3, dtype=dtype),
        "node_attrs": torch.eye(len(known), dtype=dtype)[np.array(columns)[owner]],
        "positions": torch.tensor(positions, dtype=dtype),
        "ptr": torch.tensor([0, n]),
        "shifts": torch.zeros(n_edges, 3, dtype=dtype),
        "unit_shifts": torch.zeros(n_edges, 3, dtype=dtype),
        "weight": torch.ones(1, dtype=dtype),
    }
    out = module(inputs, torch.arange(n) < len(atoms), atoms.pbc.all())
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, owner, out["forces"].detach().double().numpy())
    stress = None
    if atoms.pbc.all():
        stress = -out["virials"][0].double().numpy() / atoms.get_volume()
    return out["total_energy_local"].item(), forces, stress


class Data:
    """LAMMPS's side of pair_style mliap unified (KOKKOS), written from its sources."""

    def __init__(self, atoms, cutoff, elements):
        self.positions, self.owner = ghosts(atoms, cutoff)
        self.nlocal = self.nlistatoms = len(atoms)
        self.ntotal = len(self.positions)
        self.pair_i, self.pair_j = pairs(self.positions, self.nlocal, cutoff)
        self.npairs = len(self.pair_i)
        self.rij = self.positions[self.pair_j] - self.positions[self.pair_i]
        symbols = np.array(atoms.get_chemical_symbols())[self.owner]
        self.elems = np.array([elements.index(s) for s in symbols], dtype=np.int32)
        self.eatoms, self.energy = np.full(self.nlocal, np.nan), np.nan

    def forward_exchange(self, copy_from, copy_to, vec_len):
        assert copy_from.shape == copy_to.shape == (self.ntotal, vec_len)
        copy_to[:] = copy_from[self.owner]

    def reverse_exchange(self, copy_from, copy_to, vec_len):
        copy_to[:] = copy_from
        for ghost in range(self.nlocal, self.ntotal):
            copy_to[self.owner[ghost]] += copy_from[ghost]

    def update_pair_forces_gpu(self, fij):
        assert fij.dtype == torch.float64  # LAMMPS reads doubles behind the pointer
        self.fij = fij.detach().numpy()


def run_pair_mliap(path, atoms):
    unified = torch.load(path, weights_only=False)
    data = Data(atoms, 2 * unified.rcutfac, unified.element_types)
    unified.compute_forces(data)
    assert data.eatoms.sum() == pytest.approx(data.energy)
    forces = np.zeros((data.ntotal, 3))
    np.add.at(forces, data.pair_i, data.fij)
    np.add.at(forces, data.pair_j, -data.fij)
    folded = np.zeros((data.nlocal, 3))
    np.add.at(folded, data.owner, forces)
    virial = -np.einsum("pa,pb->ab", data.rij, data.fij)
    return data.energy, folded, -virial / atoms.get_volume() if atoms.pbc.all() else None


@pytest.fixture(scope="module", params=["two heads, float64", "seed0, float32"])
def for_lammps(request, tmp_path_factory):
    """(single-head foundation, what `pestle export --to lammps` wrote of it)."""
    name, dtype = request.param.split(", ")
    folder = tmp_path_factory.mktemp("lammps")
    if name == "seed0":
        model = request.getfixturevalue("seed0").with_elements(ELEMENTS)
    else:
        model = foundation(name)
    model.save(folder / "mine")
    head = model.heads[-1]
    result = export_job(str(folder / "mine"), to="lammps", head=head, dtype=dtype)
    single = model.with_heads({"Default": head}).with_dtype(getattr(torch, dtype))
    return single, result


@pytest.mark.parametrize("kind", ["box", "cluster"])
@pytest.mark.parametrize("style", ["torchscript", "mliap"])
def test_the_lammps_files_agree_with_the_model(for_lammps, style, kind):
    single, result = for_lammps
    atoms = structures()[kind]
    run = {"torchscript": run_pair_mace, "mliap": run_pair_mliap}[style]
    with default_dtype(torch.float32):  # LAMMPS's own
        found = run(result.files[style], atoms)
    wanted = by_calculator(single.calculator(), atoms)
    assert np.abs(wanted[1]).max() > 1e-3
    assert_equal_results(found, wanted, TOLERANCE[result.dtype])


def test_lammps_files_are_named_as_mace_names_them(for_lammps):
    _, result = for_lammps
    names = sorted(Path(path).name for path in result.files.values())
    tail = "-pt_head" if result.head == "pt_head" else ""
    assert names == [f"mine{tail}-lammps.pt", f"mine{tail}-mliap_lammps.pt"]
    beside = [f"{name}.sha256" for name in names]
    there = {p.name for p in Path(result.files["mliap"]).parent.iterdir()}
    assert there == {*names, *beside}


def test_the_hash_of_an_export_is_one_that_sha256sum_checks(tmp_path, capsys, monkeypatch):
    model = foundation("one")
    result = export_job(saved(tmp_path, model), to="ase", out=tmp_path / "a b\\c.model")
    path = Path(result.files["ase"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert result.sha256 == {"ase": digest}
    check = ["sha256sum", "-c", f"{path.name}.sha256"]
    subprocess.run(check, cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.setattr(
        sys, "argv", ["pestle", "export", str(tmp_path / "model"), "--to", "ase", "-o", "b.model"]
    )
    assert cli._run() == 0
    assert hashlib.sha256(Path("b.model").read_bytes()).hexdigest() in capsys.readouterr().out


def test_an_exported_model_that_was_damaged_is_refused(tmp_path):
    path = Path(export_job(saved(tmp_path, foundation("one")), to="ase").files["ase"])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    beside = path.with_name("model.model.sha256")
    with pytest.raises(PestleError, match=r"hash in model\.model\.sha256") as error:
        load_foundation(path, trust=True)
    assert str(path) in error.value.line and f"delete {beside}" in error.value.line
    beside.write_text("no hash")
    with pytest.raises(PestleError, match="SHA-256") as error:
        load_foundation(path, trust=True)
    assert str(beside) in error.value.line
    beside.unlink()
    with pytest.raises(Untrusted):
        load_foundation(path)


def globals_of(path) -> list[str]:
    """Every class and function that a torch pickle names."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        operations = pickletools.genops(archive.read(name))
        return [argument for code, argument, _ in operations if code.name == "GLOBAL"]


def test_nothing_in_the_mliap_file_is_pestles_own(for_lammps):
    named = globals_of(for_lammps[1].files["mliap"])
    assert "mace.calculators.lammps_mliap_mace LAMMPS_MLIAP_MACE" in named
    assert not [n for n in named if n.startswith(("pestle", "lammps", "cuequivariance"))]


def test_nothing_in_the_ase_file_is_pestles_own(tmp_path):
    foundation("density").export(tmp_path / "a.model")
    named = globals_of(tmp_path / "a.model")
    assert "mace.modules.models ScaleShiftMACE" in named
    assert not [n for n in named if n.startswith("pestle")]


def test_the_mliap_file_may_run_on_a_cpu(for_lammps):
    """mace refuses a CPU unless this was set when the file was made."""
    unified = torch.load(for_lammps[1].files["mliap"], weights_only=False)
    assert unified.config.allow_cpu and not unified.initialized and unified.device == "cpu"


@pytest.mark.parametrize("style", ["mliap", "torchscript"])
def test_a_file_that_says_something_else_is_not_kept(tmp_path, monkeypatch, style):
    model = foundation("one")
    correct = lammps.module_for_export
    faults = {
        "energies": lambda n: n.atomic_energies_fn.atomic_energies.zero_(),
        "forces": lambda n: n.scale_shift.scale.mul_(1.001),
        "does not run": lambda n: setattr(n, "interactions", torch.nn.ModuleList()),
    }
    for words, spoil in faults.items():

        def spoilt(single, spoil=spoil):
            network = correct(single)
            with torch.no_grad():
                spoil(network)
            return network

        monkeypatch.setattr(lammps, "module_for_export", spoilt)
        with pytest.raises(PestleError) as error:
            model.export_lammps({style: tmp_path / "a.pt"})
        assert lammps_check.READERS[style] in error.value.line
        assert words in error.value.line or "energy" in error.value.line
        assert list(tmp_path.iterdir()) == []


def test_one_file_that_cannot_be_made_leaves_none(tmp_path):
    folder = saved(tmp_path, foundation("attention"))
    with pytest.raises(PestleError, match=r"cannot compile this architecture.*lammps-mliap"):
        export_job(folder, to="lammps", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = export_job(folder, to="lammps-mliap", out=tmp_path / "out")
    box = structures()["box"]
    found = run_pair_mliap(result.files["mliap"], box)
    assert_equal_results(found, by_calculator(foundation("attention").calculator(), box), 2e-9)


def test_models_that_lammps_cannot_feed_are_refused(tmp_path):
    with pytest.raises(PestleError, match=r"total charge and spin.*--to ase"):
        export_job(saved(tmp_path, foundation("charged")), to="lammps-mliap", head="omol")
    assert not (tmp_path / "export").exists()


def test_a_backend_without_lammps_files_says_so(tmp_path):
    nequip_factory.foundation().save(tmp_path / "mine")
    with pytest.raises(PestleError, match=r"'nequip'.*LAMMPS"):
        export_job(str(tmp_path / "mine"), to="lammps")


# -- where files go, and mistakes -----------------------------------------------------------------
def test_files_lie_beside_the_model(tmp_path):
    model = foundation("one")
    run = tmp_path / "runs" / "mine"
    model.save(run / "model")
    (run / "run.yaml").write_text("")
    for name in (run, run / "model"):
        result = export_job(str(name), to="ase")
        assert result.files == {"ase": str(run / "export" / "mine.model")}
        Path(result.files["ase"]).unlink()
    model.export(tmp_path / "files" / "some.model")
    shutil.rmtree(catalogue.cache_home() / "pestle" / "written")  # as on another machine
    with pytest.raises(PestleError, match="loading one runs code"):
        export_job("files/some.model", to="ase")
    result = export_job("files/some.model", to="ase", trust=True)
    assert result.files == {"ase": "files/export/some.model"}
    assert export_job(str(run), to="ase", out="x").files == {"ase": "x/mine.model"}
    assert export_job(str(run), to="ase", out="y/z.model").files == {"ase": "y/z.model"}


def pestle(monkeypatch, capsys, *words):
    """(exit code, standard output, standard error) of `pestle export`."""
    monkeypatch.setattr(sys, "argv", ["pestle", "export", *words])
    capsys.readouterr()
    code = cli._run()
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "foo"], "--to: unknown target 'foo'"),
        (["--to", "lamps"], "Did you mean 'lammps'?"),
        (["--to", "lammps-kokkos"], "lammps-mliap, lammps-torchscript"),
        (["--to", "ase", "--head", "pt_haed"], "Did you mean 'pt_head'?"),
        (["--to", "ase", "--dtype", "half"], "unknown dtype 'half'"),
        (["--to", "ase", "-o", "there.model"], "there.model: exists already"),
        (["--to", "lammps", "-o", "there"], "there/mine-lammps.pt: exists already"),
        (["--to", "ase", "-o", "there.model/sub"], "there.model: is a file"),
        (["--to", "ase", "-o", "a.pt"], "a.pt: is the name"),
        (["--to", "lammps", "-o", "a.model"], "a.model: is the name"),
        (["--to", "lammps", "--all-heads"], "--all-heads: a file for LAMMPS"),
        (["--to", "ase", "--all-heads", "--head", "pt_head"], "head Default beside pt_head"),
    ],
)
def test_mistakes_are_said_in_one_line(tmp_path, monkeypatch, capsys, words, message):
    saved(tmp_path, quick_two_heads("Default", "pt_head"), "mine")
    (tmp_path / "there.model").write_text("kept")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine-lammps.pt").write_text("kept")
    before = sorted(p for p in tmp_path.rglob("*"))
    code, out, err = pestle(monkeypatch, capsys, "mine", *words)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert message in err
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert (tmp_path / "there.model").read_text() == "kept"


def test_the_command_prints_files_licence_and_json(tmp_path, monkeypatch, capsys):
    model = fresh("one")
    model.provenance = Provenance(name="mine", licence=catalogue.ASL)
    saved(tmp_path, model, "mine")
    code, out, _ = pestle(monkeypatch, capsys, "mine", "--to", "ase")
    assert code == 0
    assert re.search("export/mine.model.*float64.*5 elements.*head Default\n", out)
    assert catalogue.ASL in out and "no commercial use" in out
    code, out, err = pestle(monkeypatch, capsys, "mine", "--to", "ase", "-o", "x", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["files"] == {"ase": "x/mine.model"} and found["licence"] == catalogue.ASL
    assert found["elements"] == ["H", "C", "O", "Na", "Cl"] and len(found["notes"]) == 1
    model.provenance = Provenance(name="free", licence="MIT")
    saved(tmp_path, model, "free")
    assert "note" not in pestle(monkeypatch, capsys, "free", "--to", "ase")[1]
