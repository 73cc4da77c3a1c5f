"""The command line: what it prints, how it fails, and that it fails before anything is written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms

from conftest import DATA
from pestle import cli
from pestle.cli.words import one_each
from pestle.errors import PestleError
from pestle.foundations import catalogue


def run(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    """(exit code, standard output, standard error) of a command."""
    monkeypatch.setattr(sys, "argv", ["pestle", *map(str, words)])
    capsys.readouterr()
    code = cli._run()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def pestle(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a command inside an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: run(capsys, monkeypatch, *words)


def demo_frames(count: int = 8) -> list[Atoms]:
    frames = ase.io.read(DATA / "train.xyz", index=":")
    body = [f for f in frames if len(f) > 1]
    return [f for f in frames if len(f) == 1] + body[:count]


def spoil(name: str, path: Path) -> list[str]:
    """Write a training file with one fault; the options that go with it."""
    frames = demo_frames()
    last = frames[-1]
    if name == "no labels":
        for atoms in frames:
            atoms.info.pop("REF_energy", None)
            atoms.arrays.pop("REF_forces", None)
    elif name == "nan force":
        last.arrays["REF_forces"][2, 0] = np.nan
    elif name == "infinite energy":
        last.info["REF_energy"] = np.inf
    elif name == "nan position":
        last.positions[1, 1] = np.nan
    elif name == "unsupported element":
        last.numbers[1] = 84
    elif name == "unknown element":
        last.numbers[1] = 0
    elif name == "overlap":
        last.positions[2] = last.positions[1] + 0.01
    elif name == "shared with test":
        ase.io.write(path.with_name("test.xyz"), [frames[-2]], format="extxyz")
    ase.io.write(path, frames, format="extxyz")
    return ["--test", "test.xyz"] if name == "shared with test" else []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no labels", "label"),
        ("nan force", "frame 11"),
        ("infinite energy", "frame 11"),
        ("nan position", "frame 11"),
        ("unsupported element", "Po"),
        ("unknown element", "frame 11"),
        ("overlap", "frame 11"),
        ("shared with test", "test.xyz frame 0"),
    ],
)
def test_bad_data_never_starts_a_run(pestle: Any, tmp_path: Path, fault: str, words: str) -> None:
    more = spoil(fault, tmp_path / "train.xyz")
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = pestle(
        "finetune", "-f", "pestle-seed0", "--data", "train.xyz", "-o", "run", *more
    )
    assert code == 2 and out == ""
    assert errors_in(err) == [err.splitlines()[-1]] and words in err
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    code, _, _ = pestle("check", "train.xyz", *more, "-f", "pestle-seed0")
    assert code == 2


def errors_in(err: str) -> list[str]:
    """Lines of standard error besides those that say what was read and what is going on."""
    return [line for line in err.splitlines() if not re.search(r"^read |…$", line)]


TRAIN = str(DATA / "train.xyz")
START = ["finetune", "-f", "pestle-seed0", "--data", TRAIN, "-o", "run"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["finetune", "--data", TRAIN, "-o", "run"], "no foundation"),
        (["finetune", "-f", "pestle-seed0", "-o", "run"], "no training data"),
        (["finetune", "-f", "medium-omat", "--data", TRAIN, "-o", "run"], "medium-omat-0"),
        (["finetune", "-f", "pestle-seed0", "--data", "nope.xyz", "-o", "run"], "no such file"),
        (["finetune", "-f", "pestle-seed0", "--data", "*.xyz", "-o", "run"], "matches no file"),
        (["finetune", "nope.yaml", "-o", "run"], "nope.yaml: cannot be read"),
        (["finetune", "--set", "lr=1", "-o", "run"], "train.lr"),
        (["finetune", "--set", "train.lr", "-o", "run"], "NAME=VALUE"),
        (["finetune", "--set", "train.lr=fast", "-o", "run"], "train.lr"),
        (["finetune", "-m", "magic", "-o", "run"], "method"),
        (["finetune", "--resume", "-o", "run"], "no run to resume"),
        (["finetune", "--resume"], "-o RUN_DIR"),
        (["finetune", "--nonsense"], "nonsense"),
        (
            [*START, "--head", "dft"],
            "no head 'dft'",
        ),
        (
            [*START, "--set", "data.energy_key=REF_energi"],
            "REF_energy",
        ),
        (
            [*START, "--set", "train.device=cuda:9"],
            "cuda:9",
        ),
        (
            [*START, "--set", "e0s={Hx: 1}"],
            "'Hx' is no element",
        ),
        (["evaluate", "pestle-seed0", "nope.xyz"], "no such file"),
        (["evaluate", "nothing-here", TRAIN], "nothing-here"),
        (["e0", "--data", TRAIN, "--method", "reestimate"], "foundation"),
        (["e0", "--data", TRAIN, "--method", "guess"], "'guess'"),
        (["check", "nope.xyz"], "no such file"),
        (["init", "nope.xyz"], "no such file"),
    ],
)
def test_mistakes_are_one_line(
    pestle: Any, tmp_path: Path, words: list[str], expected: str
) -> None:
    code, out, err = pestle(*words)
    assert code == 2, err
    assert out == "" and errors_in(err) == [err.splitlines()[-1]] and expected in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["finetune", "-f", "pestle-seed1", "-m", "lorra"], "'lora'"),
        (["finetune", "-f", "medium-mpa-o"], "'medium-mpa-0'"),
        (["finetune", "-f", "pestle-seed1", "-m", "auto"], "--scope narrow"),
        (["finetune", "-f", "pestle-seed1", "-o", "old"], "holds a run already"),
        (["check", TRAIN, "-f", "medium-mpa-o"], "'medium-mpa-0'"),
        (["evaluate", "medium-mpa-o", TRAIN], "'medium-mpa-0'"),
    ],
)
def test_slips_of_typing_cost_no_second(tmp_path: Path, words: list[str], expected: str) -> None:
    """They are found before PyTorch is loaded."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "run.yaml").write_text("{}")
    script = (
        "import sys\nfrom pestle.cli import app\nfrom pestle.errors import PestleError\n"
        "try:\n    app(sys.argv[1:], standalone_mode=False)\n"
        "except PestleError as error:\n    print(error.line, 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert expected in said.stdout and said.stdout.split()[-1] == "False", said


def test_an_untrusted_pickle_is_not_opened(pestle: Any, tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "model.model").write_bytes(pickle.dumps(Trap()))
    code, _, err = pestle("evaluate", "model.model", TRAIN)
    assert code == 2 and "--trust" in err and "pickle" in err
    assert not (tmp_path / "sprung").exists()


def test_check_prints_what_is_there(pestle: Any) -> None:
    code, out, _ = pestle("check", TRAIN)
    assert code == 0
    assert "60" in out and "REF_energy" in out and "reactant_complex" in out
    code, out, _ = pestle("check", TRAIN, "--json")
    report = json.loads(out)
    assert report["summary"]["splits"]["train"]["labels"]["forces"] == 60
    assert not [f for f in report["findings"] if f["severity"] == "error"]


def test_e0_json_has_what_it_promises(pestle: Any, tmp_path: Path) -> None:
    code, out, _ = pestle(
        "e0", "-f", "pestle-seed0", "--data", TRAIN, "--method", "reestimate", "--json"
    )
    assert code == 0
    result = json.loads(out)
    promised = {"method", "e0s", "rank", "elements", "null_space", "zero_step_error_mev_per_atom"}
    assert promised <= set(result)
    assert result["rank"] == 1 and len(result["null_space"]) == 3
    assert set(result["compared"]) == {"isolated", "reestimate", "average", "foundation"}
    (tmp_path / "e0s.json").write_text(out)
    code, again, _ = pestle("e0", "--data", TRAIN, "--method", "e0s.json", "--json")
    assert code == 0 and json.loads(again)["e0s"]["F"] == result["e0s"]["F"]
    code, table, _ = pestle("e0", TRAIN, "-f", "pestle-seed0")
    assert code == 0 and "isolated" in table and "not determined" in table


def test_evaluate_says_that_labels_are_on_another_scale(
    pestle: Any, tmp_path: Path, demo_files: dict[str, str]
) -> None:
    frames = ase.io.read(demo_files["valid"], ":")
    for atoms in frames:
        atoms.info["config_type"] = "mine"
        atoms.info["REF_energy"] += 300.0 * len(atoms)
    ase.io.write(tmp_path / "far.xyz", frames)
    code, out, err = pestle("evaluate", "pestle-seed0", "far.xyz")
    assert code == 0 and "energies are far off" in err
    rows = [line.split("│") for line in out.splitlines() if "mine" in line]
    far, less = (float(row[4].replace(",", "")) for row in rows)
    assert "less a" in out and far > 1e5 and less < 1e3


def test_evaluate_json(pestle: Any, demo_files: dict[str, str]) -> None:
    code, out, _ = pestle("evaluate", "pestle-seed0", demo_files["valid"], "--json")
    assert code == 0
    errors = json.loads(out)
    assert set(errors) == {"all", "reactant_complex", "product_complex"}
    assert errors["all"]["n_frames"] == 30 and errors["all"]["stress_rmse"] is None
    assert errors["all"]["forces_rmse"] > 100


def test_dry_run_prints_the_plan_and_writes_nothing(pestle: Any, tmp_path: Path) -> None:
    words = ["finetune", "-f", "pestle-seed0", "--data", TRAIN, "-o", "run", "--dry-run"]
    code, out, err = pestle(*words)
    assert code == 0 and not list(tmp_path.iterdir())
    assert out.count("\n") <= 15 and "read train: 54 frames of 6 atoms and 4 isolated atoms" in err
    for expected in ("Table 7", "updates at most", "memory", "isolated", "--verbose"):
        assert expected in out
    code, out, _ = pestle(*words, "--verbose")
    for expected in ("train.lr", "Table 7", "interaction 1", "Length", "memory", "isolated"):
        assert expected in out
    code, out, _ = pestle(*words, "--json")
    assert json.loads(out)["plan"]["steps"] == 20_000


def test_init_writes_a_run_file_that_runs(pestle: Any, tmp_path: Path) -> None:
    code, _, _ = pestle("init", TRAIN, "-f", "pestle-seed0", "-o", "mine.yaml")
    assert code == 0
    assert yaml.safe_load((tmp_path / "mine.yaml").read_text())["data"]["train"] == [TRAIN]
    code, out, _ = pestle("finetune", "mine.yaml", "--dry-run", "--set", "train.epochs=7")
    assert code == 0 and "(7 epochs of " in out
    code, _, err = pestle("init", TRAIN, "-o", "mine.yaml")
    assert code == 2 and "exists already" in err


def test_models_lists_licences_and_cache(pestle: Any) -> None:
    code, out, _ = pestle("models", "--json")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)}
    assert {"medium-mpa-0", "medium-omat-0", "mh-1", "mace_omol", "pestle-seed0"} <= set(rows)
    assert rows["pestle-seed0"]["cached"] and "MIT" in rows["medium-mpa-0"]["licence"]


def test_models_fit_a_narrow_terminal(pestle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = pestle("models")
    assert code == 0
    first, *rest = out.splitlines()
    table = [line for line in rest if line.startswith("│")]
    assert "pestle-seed1" in first and "medium-mpa-0" in first
    names = [cell for line in table if (cell := line.split("│")[1].strip())]
    assert names == list(catalogue.names())
    assert "…" not in out and max(map(len, table)) <= 80 and len(rest) < 60


@pytest.mark.parametrize("command", [["check"], ["evaluate", "pestle-seed0"]])
def test_data_are_named_with_and_without_the_option(pestle: Any, command: list[str]) -> None:
    code, _, err = pestle(*command)
    assert code == 2 and "--data" in err
    said = [pestle(*command, *named, "absent.xyz") for named in ([], ["--data"], ["-d"])]
    assert {code for code, _, _ in said} == {2}
    assert all("absent.xyz: no such file" in err for _, _, err in said)


def test_a_hint_after_a_question_has_no_stray_dot() -> None:
    assert PestleError("no key 'a'. Did you mean 'b'?", fix="Keys: b.").line == (
        "no key 'a'. Did you mean 'b'? Keys: b."
    )
    assert PestleError("no file", fix="Name it.").line == "no file. Name it."


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['pestle', '--help']\n"
        "from pestle.cli import _run\n_run()\n"
        "heavy = {'torch', 'mace', 'e3nn', 'ase', 'numpy', 'pydantic', 'scipy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "finetune" in done.stdout and done.stdout.strip().endswith("HEAVY []")


@pytest.mark.parametrize(("name", "goes_on"), [("probe", True), ("evaluate", False)])
def test_ctrl_c_says_what_becomes_of_it(
    pestle: Any, monkeypatch: pytest.MonkeyPatch, name: str, goes_on: bool
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"pestle.jobs.{name}.{name}", stopped)
    words = {"probe": ("probe", "dimers", "x"), "evaluate": ("evaluate", "pestle-seed0", "y")}[name]
    code, out, err = pestle(*words)
    assert (code, out) == (130, "")
    assert "interrupted" in err and ("the same command goes on" in err) == goes_on


def test_a_report_is_written_over_nothing_else(pestle: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "verdict.json").write_text("{}")
    (tmp_path / "data.xyz").write_text("1\n\nH 0 0 0\n")
    code, _, err = pestle("report", "run", "-o", "data.xyz")
    assert code == 2 and "data.xyz" in err and "not a report" in err
    assert (tmp_path / "data.xyz").read_text() == "1\n\nH 0 0 0\n"
    for _ in range(2):  # a page may be written anew
        assert pestle("report", "run", "-o", "page.html")[0] == 0
    code, _, err = pestle("report", "run", "-o", "data.xyz/page.html")
    assert code == 2 and "data.xyz" in err and "not a folder" in err


def test_results_need_a_folder_that_can_be_made(pestle: Any, tmp_path: Path) -> None:
    (tmp_path / "data.xyz").write_text("1\n\nH 0 0 0\n")
    emt = "calculator:ase.calculators.emt:EMT"
    for words in (("probe", "dimers", emt), ("qualify", emt, "--scope", "narrow")):
        code, _, err = pestle(*words, "--elements", "Cu", "-o", "data.xyz")
        assert code == 2 and "data.xyz" in err and "not a folder" in err


def test_short_forms_are_settings(pestle: Any) -> None:
    """What people change in every run; `--set` goes before them, and a wrong value is one line."""
    words = ["finetune", "-f", "pestle-seed0", "-d", TRAIN, "--dry-run", "-v", "--epochs", "3"]
    words += ["--lr", "2e-4", "--seed", "4", "--device", "cpu", "--set", "train.seed=5"]
    code, out, _ = pestle(*words)
    assert code == 0
    lines = [line.split() for line in out.splitlines() if line.startswith("  train.")]
    chosen = {line[0]: line[1] for line in lines}
    expected = {"train.epochs": "3", "train.lr": "0.0002", "train.seed": "5", "train.device": "cpu"}
    assert {name: chosen[name] for name in expected} == expected
    code, _, err = pestle("finetune", "-f", "pestle-seed0", "-d", TRAIN, "--epochs", "0")
    assert code == 2 and "train.epochs" in err and err.count("\n") == 1


def test_help_and_version_have_short_names(pestle: Any) -> None:
    assert pestle("-V") == pestle("--version")
    code, out, _ = pestle("finetune", "-h")
    assert code == 0 and "--resume" in out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("x --set a=1 b.c=2 -o o", "x --set a=1 --set b.c=2 -o o"),
        ("--set a=1 --set b=2", "--set a=1 --set b=2"),
        ("--set=a=1 b=2 run", "--set=a=1 --set b=2 run"),
        ("--set a b=2", "--set a --set b=2"),
        ("-d a=b.xyz --set c=1", "-d a=b.xyz --set c=1"),
        ("--set c=1 -- b=2", "--set c=1 -- b=2"),
        ("s --only a=1 a=2 --set c=1 d=2", "s --only a=1 --only a=2 --set c=1 --set d=2"),
        ("--set", "--set"),
        ("--set --json b=2", "--set --json --set b=2"),  # the parser says what is wrong
    ],
)
def test_several_settings_after_one_option(typed: str, meant: str) -> None:
    assert one_each(typed.split()) == meant.split()


def test_settings_after_one_option_reach_the_run(pestle: Any) -> None:
    words = ["finetune", "-f", "pestle-seed0", "-d", TRAIN, "--dry-run", "--json"]
    code, out, _ = pestle(*words, "--set", "train.epochs=3", "loss.energy=2", "--seed", "4")
    assert code == 0
    chosen = {name: entry["value"] for name, entry in json.loads(out)["settings"].items()}
    assert (chosen["train.epochs"], chosen["loss.energy"], chosen["train.seed"]) == (3, 2.0, 4)
    code, _, err = pestle("probe", "dimers", "pestle-seed0", "--set", "dimers.points=9", "md.tim=1")
    assert code == 2 and "md.tim: no such setting" in err


def completed(text: str) -> list[str]:
    """What bash's completion of `pestle` offers for the last word."""
    env = os.environ | {"COMP_WORDS": text, "_PESTLE_COMPLETE": "complete_bash"}
    env["COMP_CWORD"] = str(len(text.split()) - 1)
    code = "import sys; sys.argv = ['pestle']\nfrom pestle.cli import app; app(prog_name='pestle')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("pestle che", "check"),
        ("pestle finetune -f pestle-s", "pestle-seed0"),
        ("pestle finetune -m free", "freeze-backbone"),
        ("pestle finetune --set train.l", "train.lr="),
        ("pestle qualify x --set md.tim", "md.timestep="),
    ],
)
def test_tab_completes_commands_names_and_settings(text: str, offered: str) -> None:
    found = completed(text)
    assert offered in found and all(word.startswith(text.split()[-1]) for word in found)


def test_the_shell_is_told_how_to_complete(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test may run below no shell at all.
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    monkeypatch.setattr(sys, "argv", ["pestle", "--show-completion", "bash"])
    # `python -m pytest` would give the program another name.
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0 and "_PESTLE_COMPLETE=complete_bash" in capsys.readouterr().out


def test_paths_in_a_run_file_are_relative_to_it(pestle: Any, tmp_path: Path) -> None:
    for name in ("configs", "data"):
        (tmp_path / name).mkdir()
    shutil.copy(TRAIN, tmp_path / "data" / "train.xyz")
    dry = ["finetune", "configs/mine.yaml", "--dry-run", "--json"]
    assert pestle("init", "data/train.xyz", "-f", "pestle-seed0", "-o", "configs/mine.yaml")[0] == 0
    tree = yaml.safe_load((tmp_path / "configs" / "mine.yaml").read_text())
    assert tree["data"]["train"] == ["../data/train.xyz"] and tree["foundation"] == "pestle-seed0"
    code, out, _ = pestle(*dry)
    assert code == 0
    (file,) = json.loads(out)["data"]["files"]["train"]
    assert (tmp_path / file["path"]).samefile(tmp_path / "data" / "train.xyz")
    # What is typed is relative to where it is typed.
    assert pestle(*dry, "-d", "data/train.xyz")[0] == 0
    # A file of the time when the working folder counted: the error says what to write.
    tree["data"]["train"] = ["data/train.xyz"]
    (tmp_path / "configs" / "mine.yaml").write_text(yaml.safe_dump(tree))
    code, _, err = pestle(*dry)
    assert code == 2 and "relative to the file. Write ../data/train.xyz" in err
    tree["data"]["train"] = [TRAIN]
    (tmp_path / "configs" / "mine.yaml").write_text(yaml.safe_dump(tree))
    assert pestle(*dry)[0] == 0
