"""Commands beside finetune: killed at any write, on a full disk, two at once; and the same results
when they are repeated."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from injection import MOMENTS, Faults, full, killed, write_data, writes_of

import pestle
from pestle.errors import PestleError
from pestle.files import DiskFull
from pestle.foundations import load_foundation
from pestle.jobs.export import export
from pestle.jobs.label import label
from pestle.jobs.probe import probe
from pestle.jobs.replay import replay
from pestle.locks import FOLDER_LOCK, locked_folder
from pestle.structures.frame import Frame

MODEL = "pestle-seed0"


@pytest.fixture(scope="module", autouse=True)
def _load_once() -> Iterator[None]:
    load = cache(load_foundation)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("jobs.label", "jobs.models"):
            patch.setattr(f"pestle.{place}.load_foundation", load)
        patch.setattr("pestle.protocols.predictions.PIECE_ATOMS", 12)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, demo_train: list[Frame]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_data(folder, demo_train)
    return folder


def _label(data: Path, out: Path) -> None:
    label([str(data / "more.xyz")], out / "labels.xyz", model=MODEL, max_edges=60)


def _probe(data: Path, out: Path) -> None:
    probe("errors", MODEL, data=[str(data / "more.xyz")], out=out / "probe")


def _dynamics(data: Path, out: Path) -> None:
    lengths = {"time": 0.02, "ramp_time": 0.0, "nve_time": 0.0, "segment": 0.005, "every": 0.005}
    settings = {f"md.{name}": value for name, value in lengths.items()} | {"md.structures": 2}
    probe("md", MODEL, data=[str(data / "valid.xyz")], settings=settings, out=out / "md")


def _replay(data: Path, out: Path) -> None:
    replay([str(data / "more.xyz")], [str(data / "train.xyz")], out=out / "replay.xyz")


def _export(data: Path, out: Path) -> None:
    export(MODEL, to="ase", out=out / "export")


ACTIONS: dict[str, Callable[[Path, Path], Any]] = {
    "label": _label,
    "probe": _probe,
    "dynamics": _dynamics,
    "replay": _replay,
    "export": _export,
}
#: Those that write often or take long, in the long part of the suite only.
QUICK = ("label", "probe", "replay")


def named(names: Any) -> list[Any]:
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in names]


def contents(folder: Path) -> dict[str, bytes]:
    """What a command left, but for its times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.json"
    }


@pytest.mark.parametrize("name", named(ACTIONS))
def test_a_command_killed_at_any_write_goes_on(data: Path, tmp_path: Path, name: str) -> None:
    """The folder is then as if nothing had happened, byte for byte: nothing half-written is left,
    and no lock."""
    action = ACTIONS[name]
    count = len(writes_of(lambda: action(data, tmp_path / "whole")))
    whole = contents(tmp_path / "whole")
    assert whole and not [n for n in whole if n.endswith((".part", ".lock"))]
    for at in range(1, count + 1):
        out = tmp_path / str(at)
        if name == "export" and at == count and MOMENTS[at % 3] == "named":
            continue  # there is nothing left to do, and the file is not written over
        assert killed(lambda out=out: action(data, out), at, MOMENTS[at % 3])
        action(data, out)
        assert contents(out) == whole, at
    assert not killed(lambda: action(data, tmp_path / "last"), count + 1, "half")


@pytest.mark.parametrize("name", named(ACTIONS))
def test_a_full_disk_is_one_line_and_the_command_goes_on(
    data: Path, tmp_path: Path, name: str
) -> None:
    action = ACTIONS[name]
    count = len(writes_of(lambda: action(data, tmp_path / "whole")))
    for at in range(1, count + 1, 1 if name not in QUICK else max(1, count // 3)):
        out = tmp_path / str(at)
        with Faults(at, full).planted() as found, pytest.raises(DiskFull) as caught:
            action(data, out)
        assert caught.value.line.startswith(f"{found.paths[at - 1]}: ")
        assert not list(out.rglob("*.part")) and not list(out.rglob("*.lock"))
        action(data, out)
        assert contents(out) == contents(tmp_path / "whole"), at


@pytest.mark.parametrize("name", named(ACTIONS))
def test_a_second_command_at_the_same_place_is_refused(
    data: Path, tmp_path: Path, name: str
) -> None:
    action, out, refused = ACTIONS[name], tmp_path / "out", []

    def second(now: str, path: Path) -> None:
        if name == "export" and now == "named":
            return  # then it is refused for the file
        with pytest.raises(PestleError, match="another command") as caught:
            action(data, out)
        refused.append(caught.value.line)

    with Faults(1, second).planted():
        action(data, out)
    assert len(refused) >= 2 and all(f"process {os.getpid()} on " in line for line in refused)


def test_the_lock_of_another_process_holds_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with locked_folder(out):
            (out / ".key.json.1.part").write_text("half")
            (out / "protocols").mkdir()
            (out / "protocols" / f".metrics.json.{os.getpid()}.part").write_text("half")
            os.write(writing, b"!")
            signal.pause()
    os.read(reading, 1)
    try:
        with (
            pytest.raises(PestleError, match=rf"{child}\b.*, since 20"),
            locked_folder(out),
        ):
            pass
        assert len(list(out.rglob("*.part"))) == 2
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (out / FOLDER_LOCK).exists()
    with locked_folder(out):
        assert not list(out.rglob("*.part"))
    assert not (out / FOLDER_LOCK).exists()


def test_a_lock_leaves_nothing_where_nothing_was_written(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "a" / "b"):
        pass
    assert not list(tmp_path.iterdir())
    foreign = tmp_path / "notes"
    foreign.mkdir()
    (foreign / ".draft.1.part").write_text("not in a folder that Pestle makes")
    with locked_folder(tmp_path):
        pass
    assert len(list(foreign.iterdir())) == 1


def test_results_are_the_same_when_they_are_made_again(data: Path, tmp_path: Path) -> None:
    """Times are in a file of their own."""
    for name in ("a", "b"):
        _dynamics(data, tmp_path / name)
    whole = contents(tmp_path / "a")
    assert whole == contents(tmp_path / "b") and any(name.endswith("00003.npz") for name in whole)
    assert (tmp_path / "a" / "md" / "timings.json").is_file()


@pytest.mark.slow
def test_where_a_segment_is_damaged_all_are_made_again(data: Path, tmp_path: Path) -> None:
    _dynamics(data, tmp_path / "a")
    whole = contents(tmp_path / "a")
    (segment,) = (tmp_path / "a").rglob("*-00001.npz")
    segment.write_bytes(whole[str(segment.relative_to(tmp_path / "a"))][:-100])
    _dynamics(data, tmp_path / "a")
    assert contents(tmp_path / "a") == whole


@pytest.mark.slow
def test_a_verdict_is_the_same_when_it_is_made_again(data: Path, tmp_path: Path) -> None:
    for _ in range(2):
        out = tmp_path / "out"
        pestle.qualify(
            MODEL,
            data=[str(data / "more.xyz")],
            scope="narrow",
            leave_out=["md", "rss", "forgetting", "neb", "torsion", "rdf"],
            settings={"dimers.points": 20},
            out=out,
        )
        out.rename(tmp_path / f"kept{len(list(tmp_path.iterdir()))}")
    (first, second) = sorted(tmp_path.iterdir())
    without = [
        {k: v for k, v in contents(f).items() if k != "report.html"} for f in (first, second)
    ]
    assert without[0] == without[1] and "verdict.json" in without[0]
    shutil.rmtree(first)
