"""The model of `examples/density_model.py` through whole commands: one file is a backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule

import pestle
from backends import density
from pestle.errors import PestleError
from pestle.foundations import backends
from pestle.foundations.prediction import predict_frames
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames

ELEMENTS = (1, 6, 8)
E0S = {"H": -13.6, "C": -1027.6, "O": -2043.2}


@pytest.fixture(autouse=True, scope="module")
def _known() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "_further", {})
        backends.register(density.BACKEND)
        yield


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An untrained model in a folder, and rattled molecules labelled by another one."""
    folder = tmp_path_factory.mktemp("task")
    density.untrained(ELEMENTS).save(folder / "foundation")
    teacher = density.untrained(ELEMENTS, seed=5)
    teacher = teacher.with_reference_energies("Default", {1: -13.6, 6: -1027.6, 8: -2043.2})
    frames = []
    for k in range(16):
        atoms = molecule(("CH3OH", "CH3CHO", "H2O", "C2H6")[k % 4])
        atoms.rattle(0.1, seed=k)
        frames.append(Frame(atoms, source="made", index=k))
    for frame, said in zip(frames, predict_frames(teacher, frames), strict=True):
        frame.energy, frame.forces = said.energy, said.forces
    for name, part in (("train", frames[:8]), ("valid", frames[8:12]), ("test", frames[12:])):
        write_frames(folder / f"{name}.xyz", part)
    return {
        "foundation": str(folder / "foundation"),
        **{f"data.{name}": str(folder / f"{name}.xyz") for name in ("train", "valid", "test")},
        "e0s": E0S,
        "train.epochs": 4,
        "train.threads": 1,
        "train.lr": 1e-2,
    }


def test_it_is_fine_tuned_naively_and_qualified(
    task: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    manifest = pestle.finetune(task | {"method": "naive"}, run).to_json()
    assert manifest["status"] == "finished"
    assert "no file for other programs" in capsys.readouterr().err
    frames = read_frames([task["data.valid"]]).frames
    errors = []
    for model in (pestle.load(task["foundation"]), pestle.load(run)):
        pairs = zip(predict_frames(model, frames), frames, strict=True)
        errors.append(sum(abs(said.forces - frame.forces).sum() for said, frame in pairs))
    assert errors[1] < errors[0]
    settings = {
        "md.structures": 1, "md.time": 0.02, "md.ramp_time": 0.02, "md.nve_time": 0.02,
        "md.every": 0.01, "md.segment": 0.02,
    }  # fmt: skip
    result = pestle.qualify(
        str(run), scope="narrow", settings=settings, out=tmp_path / "out"
    ).to_json()
    tested = {finding["protocol"] for finding in result["findings"]}
    assert {"errors", "md"} <= tested
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"method": "lora"}, "low-rank updates"),
        ({"method": "pseudolabel"}, "second head"),
        ({"method": "freeze-first"}, "parts are not known"),
        ({"method": "scratch"}, "from scratch"),
        ({"elements": "data"}, "fewer elements"),
        ({"train.kernels": "mace"}, "its own modules only"),
    ],
)
def test_what_it_cannot_is_refused_in_one_line(
    task: dict[str, Any], tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(PestleError) as caught:
        pestle.finetune(task | {"method": "naive"} | changed, tmp_path / "run")
    line = caught.value.line
    assert "density is a 'density' model" in line and says in line and "\n" not in line
    assert next(iter(changed)) in line
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("to", ["ase", "lammps"])
def test_it_has_no_file_for_other_programs(task: dict[str, Any], tmp_path: Path, to: str) -> None:
    with pytest.raises(PestleError, match=r"calculator\(\) runs it in ASE"):
        pestle.export(task["foundation"], to=to, out=tmp_path)


def test_a_process_that_does_not_know_it_says_so(
    task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_further", {})
    with pytest.raises(PestleError, match="'density'"):
        pestle.load(task["foundation"])
