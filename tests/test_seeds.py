"""`finetune --seeds`: members side by side, the same as runs of their own; killed, it goes on."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import pestle
from conftest import DATA
from pestle.errors import PestleError
from pestle.foundations.committee import Committee
from pestle.jobs.finetune import member_processes, seeds
from pestle.records.manifest import Manifest

#: Warnings of the command that made the members.
SAID: list[str] = []


def asked(**more: Any) -> dict[str, Any]:
    return {
        "foundation": "pestle-seed0",
        "data.train": [str(DATA / "valid.xyz")],
        "data.valid_fraction": 0.2,
        "data.test": [str(DATA / "neb_mp2.xyz")],
        "train.updates": 4,
        "elements": "data",
        "e0s": "reestimate",
        **more,
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, seeds.Members]:
    out = tmp_path_factory.mktemp("runs") / "committee"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "_at_once", lambda settings: 2)
        patch.setattr(member_processes, "warn", lambda text: SAID.append(text))
        return out, pestle.finetune_seeds(asked(**{"train.seed": 3}), out, seeds=2)


def weights(run: Path) -> dict[str, Any]:
    return load_file(run / "model" / "weights.safetensors")


def test_a_member_is_the_run_of_its_seed(made: tuple[Path, seeds.Members], tmp_path: Path) -> None:
    """Bit for bit, and the two differ."""
    out, members = made
    assert members.folders == (out / "seed-3", out / "seed-4") and not members.failed
    alone = tmp_path / "alone"
    pestle.finetune(asked(**{"train.seed": 4, "train.threads": 1}), alone)
    own, other, found = weights(alone), weights(out / "seed-3"), weights(out / "seed-4")
    assert all((found[name] == own[name]).all() for name in own)
    assert any((found[name] != other[name]).any() for name in own)


def test_mean_and_spread_by_hand(made: tuple[Path, seeds.Members]) -> None:
    _, members = made
    for name in ("test", "valid", "train"):
        values = []
        for folder in members.folders:
            errors = Manifest.of_run(folder / "manifest.json").errors
            assert errors is not None
            values.append(errors[name]["fine-tuned"]["all"].forces_rmse)
        found = members.errors[name]["forces"]
        assert found.mean == pytest.approx(np.mean(values))
        assert found.std == pytest.approx(np.std(values, ddof=1)) and found.std > 0
    (line,) = [text for text in members.lines() if text.startswith("committee")]
    call = ast.literal_eval(line.partition("pestle.load(")[2].removesuffix(")"))
    assert isinstance(pestle.load(call), Committee)


def test_what_is_wrong_with_members_is_said_with_what_to_do(
    made: tuple[Path, seeds.Members],
) -> None:
    """Four updates are too few, for each member alike."""
    out, members = made
    text = "\n".join(members.lines())
    for folder in members.folders:
        ending = Manifest.of_run(folder / "manifest.json").ending
        assert ending is not None and ending.trouble is not None
        assert f"{folder.name}: {ending.headline}" in text
    assert text.splitlines()[-1].startswith("next: ") and f"{out}" in members.next
    warnings = Manifest.of_run(members.folders[0] / "manifest.json").warnings
    assert warnings and sorted(SAID) == sorted(warnings)


def test_typed_again_nothing_is_trained(
    made: tuple[Path, seeds.Members], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, members = made
    monkeypatch.setattr(
        member_processes, "_start", lambda *_: pytest.fail("a member was trained again")
    )
    again = pestle.finetune_seeds(asked(**{"train.seed": 3}), out, seeds=2)
    assert again == members


def test_members_of_other_settings_are_refused(made: tuple[Path, seeds.Members]) -> None:
    out, _ = made
    with pytest.raises(PestleError, match=r"seed-3.*train\.updates=4.*now it is 5"):
        pestle.finetune_seeds(asked(**{"train.seed": 3, "train.updates": 5}), out, seeds=2)


def test_a_mistake_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="no such file"):
        pestle.finetune_seeds(asked(**{"data.test": ["nowhere.xyz"]}), tmp_path / "x", seeds=2)
    with pytest.raises(PestleError, match="no head 'pbe'"):
        pestle.finetune_seeds(asked(head="pbe"), tmp_path / "x", seeds=2)
    assert not (tmp_path / "x" / "seed-0").exists()


def wait_for(what: Any, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.1)


def test_killed_and_typed_again_it_goes_on(tmp_path: Path) -> None:
    """SIGKILL reaches the command alone; its member notices, writes its checkpoint and ends. What
    comes out is what an undisturbed run gives."""
    out, names = tmp_path / "out", asked(**{"train.updates": 150})
    code = f"import pestle; pestle.finetune_seeds({names!r}, {str(out)!r}, seeds=1)"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    metrics = out / "seed-0" / "metrics.jsonl"
    wait_for(lambda: metrics.is_file() and metrics.read_text().count("\n") >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    manifest = out / "seed-0" / "manifest.json"
    wait_for(lambda: Manifest.of_run(manifest).status == "interrupted")
    assert (out / "seed-0" / "checkpoints" / "last.pt").is_file()
    members = pestle.finetune_seeds(names, out, seeds=1)
    assert members.folders == (out / "seed-0",)
    assert Manifest.of_run(manifest).status == "finished"
    pestle.finetune(names | {"train.threads": 1}, tmp_path / "alone")
    one, other = weights(out / "seed-0"), weights(tmp_path / "alone")
    assert all((one[name] == other[name]).all() for name in one)
