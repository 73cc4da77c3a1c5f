"""What runs code from a file: only what was typed. Hostile files are planted at every door."""

from __future__ import annotations

import ast
import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.io import ulm
from ase.io.formats import ioformats

import hostile
import pestle
from conftest import DATA
from foundation_factory import foundation, frames, module
from pestle.adaptation.adapter_file import save_adapter
from pestle.adaptation.low_rank import LowRankModel
from pestle.cli import _run
from pestle.errors import PestleError
from pestle.foundations import Untrusted, load_foundation, trusted
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.jobs.finetune.job import finetune
from pestle.jobs.finetune.resuming import resume_settings
from pestle.jobs.models import load_model
from pestle.jobs.qualify import qualify
from pestle.structures.reading import read_frames
from test_foundations_files import assert_identical

pytestmark = pytest.mark.usefixtures("nothing_ran")

TRAIN = str(DATA / "train.xyz")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> Callable[..., Any]:
    """Run a command line in an empty folder; (exit code, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["pestle", *words])
        code = _run()
        return code, " ".join(capsys.readouterr().err.split())

    return call


def a_model(path: Path, name: str = "two heads") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(module(name, dtype=torch.float32), path)
    return path


def received(folder: Path, settings: str) -> Path:
    """A run folder as somebody else may send it."""
    folder.mkdir()
    (folder / "run.yaml").write_text(f"{settings}\ndata: {{train: [{TRAIN}]}}\n")
    shutil.copytree(DATA.parent / "seed0", folder / "model")
    shutil.copy(Path(__file__).parent / "old_runs" / "naive" / "manifest.json", folder)
    return folder


# -- planted pickles ------------------------------------------------------------------------------
def test_a_trap_springs_where_it_is_trusted(tmp_path: Path) -> None:
    """Otherwise nothing below would be shown."""
    elsewhere = tmp_path / "elsewhere"
    path = hostile.write_model(tmp_path / "x.model", elsewhere)
    with pytest.raises(PestleError, match="holds weights only"):
        load_foundation(path, trust=True)
    assert elsewhere.exists() and not list(trusted.store().glob("*"))


@pytest.mark.parametrize("ending", [".model", ".pt", ".pth", ".MODEL"])
def test_a_model_file_is_not_opened_without_trust(
    command: Callable[..., Any], tmp_path: Path, marker: Path, ending: str
) -> None:
    hostile.write_model(tmp_path / f"x{ending}", marker)
    for words in (
        ("evaluate", f"x{ending}", TRAIN),
        ("finetune", "-f", f"x{ending}", "-d", TRAIN, "-o", "run"),
        ("probe", "dimers", "pestle-seed0", "--against", f"x{ending}", "--elements", "H"),
        ("qualify", "pestle-seed0", "--also", f"x{ending}", "--scope", "narrow", "--data", TRAIN),
        ("export", f"x{ending}", "--to", "ase"),
        ("label", TRAIN, "--model", f"x{ending}", "-o", "out.xyz"),
        ("check", TRAIN, "-f", f"x{ending}"),
        ("e0", "-d", TRAIN, "-f", f"x{ending}"),
    ):
        code, err = command(*words)
        assert code == 2 and "say --trust" in err and "SHA-256" in err, words


def test_a_run_file_grants_no_trust(
    command: Callable[..., Any], tmp_path: Path, marker: Path
) -> None:
    hostile.write_model(tmp_path / "x.model", marker)
    (tmp_path / "mine.yaml").write_text(
        f"foundation: x.model\ntrust: true\ndata: {{train: [{TRAIN}]}}\n"
    )
    for more in ((), ("--dry-run",)):
        code, err = command("finetune", "mine.yaml", "-o", "run", *more)
        assert code == 2 and "x.model: " in err and "pickle" in err and "say --trust" in err
    assert not (tmp_path / "run").exists()


def test_a_received_run_grants_no_trust(
    command: Callable[..., Any], tmp_path: Path, marker: Path
) -> None:
    path = hostile.write_model(tmp_path / "x.model", marker)
    received(tmp_path / "run", f"foundation: {path}\ntrust: true")
    for words in (
        ("finetune", "--resume", "-o", "run"),
        ("finetune", "run/run.yaml", "-o", "again"),
        ("qualify", "run", "--scope", "narrow"),
    ):
        code, err = command(*words)
        assert code == 2 and "x.model: " in err and "pickle" in err, words
    code, _ = command("evaluate", "run", TRAIN)  # its own model is safe files
    assert code == 0


def test_checkpoints_are_read_without_unpickling(
    command: Callable[..., Any], tmp_path: Path, marker: Path
) -> None:
    received(tmp_path / "run", "foundation: pestle-seed0")
    for name in ("last.pt", "child.pt"):
        hostile.write_model(tmp_path / "run" / "checkpoints" / name, marker)
    code, err = command("finetune", "--resume", "-o", "run")
    assert code == 2 and "last.pt" in err


def adapter(path: Path, name: str) -> LowRankModel:
    """An adapter on the first test model, which says that it was made on another of this name."""
    base = foundation("density")
    model = LowRankModel(base.copy(), 2, init_std=0.1, seed=1)
    model.base.provenance = type(base.provenance)(name=name)
    heads = {head: head for head in base.heads}
    save_adapter(path, model, foundation_fingerprint=base.fingerprint(), heads=heads)
    return model


def test_an_adapter_grants_no_trust_to_the_file_that_it_names(
    command: Callable[..., Any], tmp_path: Path, marker: Path
) -> None:
    path = hostile.write_model(tmp_path / "x.model", marker)
    adapter(tmp_path / "a.safetensors", str(path))
    for more in ((), ("--trust",)):
        code, err = command("evaluate", "a.safetensors", TRAIN, *more)
        assert code == 2 and "never trusted on this machine" in err and "a.safetensors" in err
        assert f"pestle trust {path}" in err


def test_an_adapter_finds_a_foundation_that_was_trusted(tmp_path: Path) -> None:
    path = tmp_path / "x.model"
    torch.save(module("density"), path)
    model = adapter(tmp_path / "a.safetensors", str(path))
    load_foundation(path, trust=True)
    found = load_model(str(tmp_path / "a.safetensors"))
    assert found.fingerprint() == model.merged().fingerprint()


def test_a_precision_that_an_adapter_names_is_one_of_two(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    from pestle.adaptation.adapter_file import _digest

    path = tmp_path / "a.safetensors"
    adapter(path, "pestle-seed0")
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    text = metadata["header"].replace('"dtype": "float64"', '"dtype": "hub"')
    metadata |= {"header": text, "sha256": _digest(text, tensors)}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(PestleError, match="precision 'hub'"):
        load_model(str(path))


# -- planted modules ------------------------------------------------------------------------------
def test_a_module_is_imported_only_where_it_is_typed(
    command: Callable[..., Any], tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "calculator:evil:Calculator"
    received(tmp_path / "run", f"foundation: {name}\ntrust: true")
    adapter(tmp_path / "a.safetensors", name)
    code, err = command("qualify", "run", "--scope", "narrow")
    assert code == 2 and f"type --against {name}" in err and "run.yaml" in err
    for words in (
        ("qualify", "run/model", "--scope", "narrow", "--trust"),
        ("finetune", "--resume", "-o", "run", "--trust"),
        ("finetune", "run/run.yaml", "-o", "again", "--trust"),
        ("evaluate", "a.safetensors", TRAIN, "--trust"),
    ):
        assert command(*words)[0] == 2, words


def test_a_calculator_that_is_typed_takes_the_place_of_the_one_in_the_file(tmp_path: Path) -> None:
    received(tmp_path / "run", "foundation: calculator:evil:Calculator\nscope: narrow")
    asked = {"data": [TRAIN], "elements": ["Qq"]}
    with pytest.raises(PestleError, match="calculator:evil:Calculator"):
        qualify(str(tmp_path / "run"), **asked)
    # The models are loaded before the elements are looked at.
    with pytest.raises(PestleError, match="'Qq' is no element"):
        qualify(str(tmp_path / "run"), against="calculator:ase.calculators.emt:EMT", **asked)


# -- planted data ---------------------------------------------------------------------------------
def _endings() -> list[str]:
    known = {ending for kind in ioformats.values() for ending in kind.extensions}
    return sorted(known | {"traj", "db", "json", "bundle", "pckl", "pkl", "npz", "npy", "py"})


def test_no_data_file_is_unpickled_or_run_whatever_its_name(tmp_path: Path, marker: Path) -> None:
    contents = [
        hostile.pickled(marker),
        b"PickleTrajectory" + hostile.pickled(marker),  # .traj files of old versions
        hostile.write_model(tmp_path / "x.model", marker).read_bytes(),
    ]
    program = f"open({str(marker)!r}, 'w').close()\n".encode()
    for ending in _endings():
        for k, content in enumerate([program] if ending == "py" else contents):
            path = tmp_path / f"data{k}.{ending}"
            path.write_bytes(content)
            # Some readers find structures in anything; what is said of such files is tested with
            # the readers.
            with contextlib.suppress(Exception):
                read_frames([str(path)])
            assert not marker.exists(), path


@pytest.mark.filterwarnings("ignore")
def test_no_reader_of_ase_unpickles(tmp_path: Path, marker: Path) -> None:
    """A file's content, too, can choose the reader; fails where a new ASE brings one that does."""
    for name, kind in ioformats.items():
        if name in ("mysql", "postgresql") or not _readable(kind):
            continue  # databases elsewhere; formats that are only written or need a library
        path = tmp_path / f"data-{name}"
        for content in (hostile.pickled(marker), b"PickleTrajectory" + hostile.pickled(marker)):
            path.write_bytes(content)
            with pytest.raises(BaseException):  # noqa: B017
                list(ase.io.iread(str(path), format=name))
                raise EOFError  # some find nothing in it
            assert not marker.exists(), name


def _readable(kind: Any) -> bool:
    try:
        return bool(kind.can_read)
    except Exception:
        return False


def test_objects_in_a_trajectory_are_not_unpickled(tmp_path: Path, marker: Path) -> None:
    """The arrays of ASE's binary files name their type; numpy's is called object."""
    ase.io.write(tmp_path / "a.traj", [Atoms("H", [[0.0, 0.0, 0.1]])])
    content = (tmp_path / "a.traj").read_bytes()
    assert b'"float64"' in content
    (tmp_path / "a.traj").write_bytes(content.replace(b'"float64"', b'"object"' + b" "))
    with pytest.raises(PestleError):
        read_frames([str(tmp_path / "a.traj")])
    with pytest.raises(Exception):  # noqa: B017
        ulm.open(str(tmp_path / "a.traj")).asdict()


# -- trusted once ---------------------------------------------------------------------------------
def equal_predictions(one: Foundation, other: Foundation) -> bool:
    head = one.heads[-1]
    said = [predict_frames(model, frames(), head=head) for model in (one, other)]
    pairs = zip(*said, strict=True)
    return all(a.energy == b.energy and np.array_equal(a.forces, b.forces) for a, b in pairs)


@pytest.mark.parametrize("name", ["two heads", "density", "nonlinear", "trained radial", "charged"])
def test_a_file_that_was_trusted_is_loaded_from_its_safe_form(
    tmp_path: Path, sealed: Callable[[], None], name: str
) -> None:
    path = a_model(tmp_path / "mine.model", name)
    first = load_foundation(path, trust=True)
    sealed()
    again = load_foundation(path)
    assert_identical(again, first)
    assert again.fingerprint() == first.fingerprint() and equal_predictions(again, first)
    elsewhere = shutil.copy(path, tmp_path / "other.model")
    assert load_foundation(elsewhere).provenance.name == "other"


def test_a_file_that_pestle_wrote_needs_no_trust_and_one_changed_byte_does(tmp_path: Path) -> None:
    made = tmp_path / "made.model"
    foundation("two heads").export(made, head="pt_head")
    # A copy without its sum, as one moves it.
    moved = tmp_path / "elsewhere" / "moved.model"
    moved.parent.mkdir()
    shutil.copy(made, moved)
    assert load_foundation(moved).heads == ("Default",)
    for folder in ("written", "trusted"):
        shutil.rmtree(trusted.store().parent / folder)
    with pytest.raises(Untrusted):  # another machine, or another user
        load_foundation(moved)
    foundation("two heads").export(tmp_path / "again.model", head="pt_head")
    content = bytearray(made.read_bytes())
    content[len(content) // 2] ^= 1
    moved.write_bytes(bytes(content))
    with pytest.raises(Untrusted):
        load_foundation(moved)


def test_trust_is_typed_once_and_holds_for_all_that_follows(
    command: Callable[..., Any], tmp_path: Path, sealed: Callable[[], None], seed0: Foundation
) -> None:
    """Checks, predictions and runs from it need no flag; one byte more or less needs it again."""
    path = tmp_path / "my model.model"
    seed0.export(path)
    (tmp_path / "my model.model.sha256").unlink()  # as a file from elsewhere
    shutil.rmtree(trusted.store().parent / "written")
    dry = ("finetune", "-f", path.name, "-d", TRAIN, "--set", "elements=data", "-o", "run")
    code, err = command(*dry, "--dry-run")
    assert code == 2 and "pestle trust 'my model.model'" in err
    assert command("trust", path.name)[0] == 0
    sealed()
    assert command("trust", path.name)[0] == 0, "it is known, and not unpickled again"
    for words in (
        ("check", TRAIN, "-f", path.name),
        ("evaluate", path.name, TRAIN),
        (*dry, "--dry-run"),
    ):
        assert command(*words)[0] == 0, words
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for words in (("evaluate", path.name, TRAIN), (*dry, "--dry-run")):
        code, err = command(*words)
        assert code == 2 and "pestle trust" in err, words


def test_init_trusts_where_it_is_told_to(command: Callable[..., Any], tmp_path: Path) -> None:
    path = a_model(tmp_path / "mine.model")
    assert command("init", "-f", path.name, "--trust")[0] == 0
    load_foundation(path)
    assert "trust" not in yaml.safe_load((tmp_path / "run.yaml").read_text())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.model", "no such file"),
        ("pestle-seed0", "pestle-seed0: it is no pickle"),
        ("folder", "folder: it is no pickle"),
        ("text.xyz", "text.xyz: it is no file"),
    ],
)
def test_trust_of_what_needs_none_is_one_line(
    command: Callable[..., Any], tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.xyz").write_text("1\n\nH 0 0 0\n")
    code, err = command("trust", name)
    assert code == 2 and said in err and "Traceback" not in err


def test_a_file_that_holds_no_model_is_not_remembered(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    hostile.write_model(tmp_path / "x.model", tmp_path / "elsewhere")
    code, err = command("trust", "x.model")
    assert code == 2 and "holds weights only" in err and not list(trusted.store().glob("*"))


def test_what_is_remembered_says_what_and_since_when(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    import hashlib

    path = a_model(tmp_path / "mine.model")
    load_foundation(path, trust=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    said = " ".join(capsys.readouterr().err.split())
    assert str(path) in said and digest in said and "trusted by its user" in said
    record = json.loads((trusted.store() / digest / "record.json").read_text())
    assert record["format"] == 1 and record["sha256"] == digest and record["when"] > "2020"
    load_foundation(path, trust=True)
    assert capsys.readouterr().err == ""


def test_trust_is_for_one_file_on_one_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = a_model(tmp_path / "mine.model")
    load_foundation(path, trust=True)
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    with pytest.raises(Untrusted):
        load_foundation(path)
    path.write_bytes(content)
    load_foundation(path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    with pytest.raises(Untrusted, match="say --trust"):
        load_foundation(path)


@pytest.mark.parametrize("name", ["architecture.json", "weights.safetensors", "record.json"])
def test_a_damaged_safe_form_is_named(tmp_path: Path, name: str) -> None:
    path = a_model(tmp_path / "mine.model")
    load_foundation(path, trust=True)
    (kept,) = trusted.store().glob(f"*/{name}")
    content = bytearray(kept.read_bytes())
    place = len(content) // 2
    content[place] ^= 1
    kept.write_bytes(content)
    with pytest.raises(PestleError, match=f"Delete {kept.parent}"):
        load_foundation(path)
    shutil.rmtree(kept.parent)
    with pytest.raises(Untrusted):
        load_foundation(path)


def test_a_cache_that_cannot_be_written_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file, no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load_foundation(a_model(tmp_path / "mine.model"), trust=True)
    assert "cannot be kept" in capsys.readouterr().err


def test_a_run_goes_on_without_the_flag_where_its_foundation_was_trusted(
    seed0: Foundation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.model"
    seed0.export(path)
    shutil.rmtree(trusted.store().parent / "written")  # as a file from elsewhere
    asked = {
        "foundation": str(path), "data.train": [TRAIN], "data.valid": [str(DATA / "valid.xyz")],
        "train.epochs": 1, "train.threads": 1, "elements": "data",
    }  # fmt: skip
    with pytest.raises(Untrusted):
        finetune(asked, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    finetune(asked, tmp_path / "run", trust=True)
    assert "trust" not in yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    settings = resume_settings(tmp_path / "run", {"train.epochs": 2})
    manifest = finetune(settings, tmp_path / "run", resume=True).to_json()
    assert manifest["training"]["epochs"] == 2
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    with pytest.raises(Untrusted, match="say --trust"):
        finetune(settings, tmp_path / "run", resume=True)


# -- the source -----------------------------------------------------------------------------------
#: Calls that can run code from a file or by a name, and the files that may hold them (SECURITY.md).
GUARDED = {
    ("load", "foundations/mace/pickles.py"),  # behind foundations/trusted.py
    ("load", "foundations/mace/lammps_check.py"),  # of files written a moment before
    ("import_module", "labels/calculators.py"),  # of what was typed
    ("import_module", "foundations/backends.py"),  # a table in the source; entry points
    ("import_module", "protocols/__init__.py"),
    ("import_module", "adaptation/methods/__init__.py"),  # its own modules
    ("import_module", "__init__.py"),
}


def _can_run_code(call: ast.Call) -> str:
    """Name of the function that is called, if it can run code and is not told not to."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    owner = getattr(getattr(function, "value", None), "id", "")
    options = {option.arg: ast.unparse(option.value) for option in call.keywords}
    if name in ("import_module", "__import__", "eval", "exec") and (not owner or name[0] == "i"):
        return name
    if name in ("load", "loads", "Unpickler") and owner in ("pickle", "joblib", "dill", "marshal"):
        return name
    if name == "load" and ast.unparse(function) in ("torch.load", "torch.jit.load"):
        return "" if options.get("weights_only") == "True" else name
    if name in ("load", "read_array") and ast.unparse(function).startswith("np."):
        return "" if options.get("allow_pickle") == "False" else name
    return name if name in ("load", "unsafe_load", "full_load") and owner == "yaml" else ""


def test_code_runs_only_where_security_md_says_so() -> None:
    root = Path(pestle.__file__).parent
    found = {
        (name, path.relative_to(root).as_posix())
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and (name := _can_run_code(node))
    }
    assert found == GUARDED
