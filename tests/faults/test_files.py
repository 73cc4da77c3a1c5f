"""Files and places that are not what they seem: links, sizes, names, numbers, locales."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import pytest
import torch
from ase.build import bulk
from safetensors.torch import load_file, save_file

import pestle
from conftest import DATA
from foundation_factory import VARIANTS, foundation, fresh
from pestle import cli, files
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.mace.sizes import require_sizes
from pestle.foundations.prediction import predict_frames
from pestle.jobs.replay import replay
from pestle.locks import locked_folder
from pestle.records.folder import require_folder
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames


def line_of(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """The one line that a command which must fail prints."""
    monkeypatch.setattr(sys, "argv", ["pestle", *words])
    assert cli._run() in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


# -- what is written ------------------------------------------------------------------------------
def test_every_flipped_bit_and_every_cut_of_a_sealed_file_is_noticed(tmp_path: Path) -> None:
    path, content = tmp_path / "a.pt", bytes(range(64))
    files.write_sealed(path, content)
    whole = path.read_bytes()
    assert files.read_sealed(path) == content
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(files.Damaged):
            files.read_sealed(path)
        path.write_bytes(whole[:place])
        with pytest.raises(files.Damaged):
            files.read_sealed(path)


def test_a_sealed_object_with_another_number_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 0.1, "y": [1, None]}, sealed=True)
    assert files.read_json(path) == {"x": 0.1, "y": [1, None]}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(files.Damaged, match=r"a\.json: .*hash"):
        files.read_json(path)


def test_names_that_are_no_utf8_can_be_written_and_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"d\xe4ta.xyz")
    files.write_json(tmp_path / "a.json", {"file": name}, sealed=True)
    assert files.read_json(tmp_path / "a.json") == {"file": name}


def test_an_error_of_the_network_is_not_one_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), files.replacing(tmp_path / "a"):
        raise ConnectionResetError(errno.ECONNRESET, "reset by peer")


# -- where it is written --------------------------------------------------------------------------
def test_loose_links_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    train = str(DATA / "train.xyz")
    for name in ("a", "a/run", "c"):
        with pytest.raises(PestleError, match="is a link") as caught:
            require_folder(tmp_path / name)
        assert str(tmp_path / name.partition("/")[0]) in caught.value.line
    (tmp_path / "r.xyz").symlink_to(tmp_path / "r.xyz")
    (tmp_path / "i.yaml").symlink_to(tmp_path / "i.yaml")
    for words in (
        ["finetune", "-f", "pestle-seed0", "-d", train, "-o", str(tmp_path / "a")],
        ["replay", "-p", train, "-o", str(tmp_path / "r.xyz")],
        ["init", "-o", str(tmp_path / "i.yaml")],
    ):
        assert "is a link" in line_of(capsys, monkeypatch, *words)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_place_that_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A read-only file system tells only when it is written to."""

    def refuse(temporary: Path, path: Path) -> None:
        raise OSError(number, os.strerror(number), str(temporary))

    monkeypatch.setattr(files, "_commit", refuse)
    with pytest.raises(files.CannotWrite, match=os.strerror(number)) as caught:
        replay([str(DATA / "train.xyz")], out=tmp_path / "r.xyz", filter="none")
    assert caught.value.where == str(tmp_path / "r.xyz") and not list(tmp_path.iterdir())


def test_a_folder_that_another_one_replaced_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(PestleError, match="was removed or replaced"), locked_folder(out):
        out.rename(tmp_path / "moved")
        out.mkdir()
        files.write_text(out / "a", "")


# -- what is read ---------------------------------------------------------------------------------
def test_a_name_with_an_at_sign_is_that_file(tmp_path: Path) -> None:
    head = "1\nProperties=species:S:1:pos:R:3 REF_energy={}\nH 0 0 0\n"
    (tmp_path / "run").write_text(head.format(-1))
    (tmp_path / "run@300.xyz").write_text(head.format(-2))
    (tmp_path / "a@0:2.xyz").write_text(3 * head.format(-3))
    (frame,) = read_frames([str(tmp_path / "run@300.xyz")]).frames
    assert frame.energy == -2
    assert len(read_frames([str(tmp_path / "a@0:2.xyz")]).frames) == 3


@pytest.mark.parametrize("text", ["&GLOBAL\n", "&SUBSYS\n&CELL\nA 1 0 0\n", "\x07garbage"])
def test_a_restart_file_without_its_sections_is_no_endless_loop(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.restart"
    path.write_text(text)
    with pytest.raises(PestleError, match="cannot be read as cp2k-restart") as caught:
        read_frames([str(path)])
    assert str(path) in caught.value.line


def test_a_reader_that_finds_nothing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.cif"
    path.write_text("data_a\n")
    monkeypatch.setattr("ase.io.iread", lambda *_, **__: iter([None]))
    with pytest.raises(PestleError, match="no structure") as caught:
        read_frames([str(path)])
    assert str(path) in caught.value.line


@pytest.mark.parametrize("name", ["postgres.cif", "mysql-run.cif", "mariadb.db", "postgresql.xyz"])
def test_a_name_like_that_of_a_database_server_is_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ase.io.write(tmp_path / name, bulk("Cu"))
    monkeypatch.chdir(tmp_path)
    (frame,) = read_frames([name]).frames
    assert frame.atoms.get_chemical_symbols() == ["Cu"]


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    path.write_text("1\nProperties=species:S:1:pos:R:3 config_weight=nan\nH 0 0 0\n")
    with pytest.raises(PestleError, match=r"a\.xyz frame 0.*config_weight"):
        read_frames([str(path)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("99999999999999\n\nH 0 0 0\n", "99,999,999,999,999 atoms of 4 columns"),
        (
            "1\nProperties=species:S:1:pos:R:3:REF_forces:R:999999999\nH 0 0 0\n",
            "1 atoms of 1,000,000,003 columns",
        ),
        ("-5\n\nH 0 0 0\n", "-5 atoms"),
        ("1\n\nH 0 0 0\n9999999\n\nH 0 0 0\n", "frame 1"),
    ],
)
def test_counts_that_the_file_cannot_hold_are_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "a.xyz"
    path.write_text(text)
    with pytest.raises(PestleError, match=expected):
        read_frames([str(path)])


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "residual" else [pytest.mark.slow]) for n in VARIANTS],
)
def test_sizes_of_real_networks_are_believed(name: str) -> None:
    state = foundation(name).state()
    require_sizes(state.architecture, state.tensors)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"num_interactions": 10**9}, "num_interactions is 1000000000"),
        ({"hidden_irreps": "100000000x0e"}, "hidden_irreps is 100000000"),
        ({"hidden_irreps": "8000x0e+8000x1o"}, r"128,\d{3},\d{3} numbers"),
        ({"radial_MLP": [8000, 8000]}, r"128,\d{3},\d{3} numbers"),
        ({"max_ell": 8, "correlation": [6, 6]}, r"[\d,]+ numbers, .*weights are \d"),
        ({"num_bessel": "many"}, "num_bessel is 'many'"),
        ({"correlation": 3}, "not iterable"),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    foundation("residual").save(tmp_path)
    path = tmp_path / "architecture.json"
    document = json.loads(path.read_text())
    del document["sha256"]
    document["architecture"] |= changed
    path.write_text(json.dumps(document))
    with pytest.raises(PestleError, match=expected):
        load_foundation(tmp_path)


def test_a_weight_that_is_no_number_is_named(tmp_path: Path) -> None:
    foundation("residual").save(tmp_path)
    path, document = tmp_path / "weights.safetensors", tmp_path / "architecture.json"
    tensors = load_file(path)
    tensors["readouts.0.linear.weight"][1] = torch.inf
    save_file(tensors, path)
    plain = json.loads(document.read_text())
    del plain["sha256"]
    plain["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    document.write_text(json.dumps(plain))
    with pytest.raises(PestleError, match=r"readouts\.0\.linear\.weight holds a number"):
        load_foundation(tmp_path)


def test_a_prediction_that_is_no_number_names_its_frame(demo_train: list[Frame]) -> None:
    model = fresh("residual")
    with torch.no_grad():
        model.e0s[0, model.elements.index(17)] = torch.nan
    frames = [f for f in demo_train if set(f.numbers.tolist()) <= set(model.elements)][:2]
    assert len(predict_frames(model, frames)) == len(frames)
    chlorine = next(f for f in demo_train if set(f.numbers.tolist()) == {17})
    with pytest.raises(PestleError, match="no finite number") as caught:
        predict_frames(model, [*frames, chlorine], finite=True)
    assert chlorine.where in str(caught.value.where)


@pytest.mark.parametrize("value", [pytest.param("nan", marks=pytest.mark.slow), "inf"])
def test_a_validation_frame_with_an_infinite_weight_is_named(tmp_path: Path, value: str) -> None:
    text = (DATA / "valid.xyz").read_text().split("\n")
    text[1] += f" config_weight={value}"
    (tmp_path / "valid.xyz").write_text("\n".join(text))
    asked = {
        "foundation": "pestle-seed0",
        "data.train": str(DATA / "train.xyz"),
        "data.valid": str(tmp_path / "valid.xyz"),
    }
    with pytest.raises(PestleError, match=r"valid\.xyz frame 0") as caught:
        pestle.finetune(asked, tmp_path / "run")
    assert "weight" in caught.value.line and not (tmp_path / "run").exists()


def test_ascii_locales_print_and_write(tmp_path: Path) -> None:
    """With UTF-8 off, a table with Å comes out, of a file whose name is no ASCII."""
    path = tmp_path / "wäter.xyz"
    path.write_bytes((DATA / "valid.xyz").read_bytes())
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = [sys.executable, "-m", "pestle", "evaluate", "pestle-seed0", str(path)]
    done = subprocess.run(words, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "meV/Å" in done.stdout.decode() and "wäter" in (done.stdout + done.stderr).decode()
