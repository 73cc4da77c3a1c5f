"""What a user sees: short by default, everything in the log, nothing of other packages."""

import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import pytest
import typer
from rich.console import Console

from pestle import cli, progress
from pestle.demo.run import DATA
from pestle.foreign import off_screen
from pestle.progress import briefly, conclude, detail, recording, say, stage, warn

#: What the log of a run holds, and the screen shows with --verbose only.
DETAILS = ("loss.huber_delta", "interaction 1", "*best", "checking the data")


@pytest.fixture
def few(tmp_path: Path) -> list[str]:
    """The words of a run of a few updates."""
    for name, count in (("train", 6), ("valid", 3)):
        frames = ase.io.read(DATA / f"{name}.xyz", ":")
        atoms = [a for a in frames if len(a) == 1]
        ase.io.write(tmp_path / f"{name}.xyz", [*frames[:count], *atoms], format="extxyz")
    words = ["finetune", "-f", "pestle-seed0", "-d", str(tmp_path / "train.xyz")]
    words += ["--valid", str(tmp_path / "valid.xyz"), "--epochs", "2", "--set", "elements=data"]
    return [*words, "--set", "train.threads=1", "-o", str(tmp_path / "run")]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(*words: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["pestle", *words])
        capsys.readouterr()
        assert cli._run() == 0
        return capsys.readouterr()

    return run


def said_by(err: str) -> list[str]:
    """Lines besides those of stages, which depend on how long they last."""
    return [line for line in err.splitlines() if not line.endswith("…")]


def test_a_run_is_short_and_its_log_holds_everything(
    few: list[str], typed: Callable[..., Any], tmp_path: Path
) -> None:
    out, err = typed(*few)
    lines = said_by(err)
    assert lines[0].startswith("read train: 2 frames of 6 atoms and 4 isolated atoms; ")
    assert lines[0].endswith("labels: energy 2, forces 2; isolated atoms: energy 4")
    assert len(lines) + out.count("\n") < 35
    assert out.count("frames") == 1, "one table of errors for all sets"
    assert [line.partition(":")[0] for line in lines[-3:]] == ["learned", "breadth", "next"]
    log = (tmp_path / "run" / "log.txt").read_text()
    assert not any(text in err for text in DETAILS) and all(text in log for text in DETAILS)
    assert log.index("loading the model pestle-seed0") < log.index("learned:")


def test_quiet_shows_the_end_and_verbose_everything(
    few: list[str], typed: Callable[..., Any], tmp_path: Path
) -> None:
    out, err = typed(*few, "--quiet")
    assert out == ""
    kinds = {line.partition(":")[0] for line in err.splitlines() if line[:1].strip()}
    assert {"learned", "breadth", "next"} <= kinds
    others = kinds - {"learned", "breadth", "next", "warning"}
    wrong = [kind.partition(" in ")[0] for kind in others]
    assert all(map(str.isupper, wrong)), "what is wrong with the model may stand there"
    log = (tmp_path / "run" / "log.txt").read_text()
    assert all(text in log for text in DETAILS), "what was not shown is in the log all the same"
    _, err = typed(*few[:-1], str(tmp_path / "second"), "--verbose")
    assert all(text in err for text in DETAILS)
    assert progress.logger.level == logging.INFO, "a command leaves the level as it was"


def commands_below(group: Any, name: str) -> dict[str, set[str]]:
    """Every command with its options."""
    found: dict[str, set[str]] = {}
    for word, command in group.commands.items():
        whole = f"{name} {word}"
        if hasattr(command, "commands"):
            found |= commands_below(command, whole)
        else:
            found[whole] = {option for known in command.params for option in known.opts}
    return found


def test_every_command_takes_quiet_and_verbose() -> None:
    found = commands_below(typer.main.get_command(cli.app), "pestle")
    assert {"pestle report", "pestle trust", "pestle study run", "pestle models"} <= set(found)
    assert not [name for name, has in found.items() if not {"--quiet", "--verbose"} <= has]


def test_python_callers_choose_by_the_level_of_the_logger(capsys: pytest.CaptureFixture) -> None:
    shown = {}
    before = progress.logger.level
    try:
        for level in ("DEBUG", "INFO", "WARNING", "CRITICAL"):
            logging.getLogger("pestle").setLevel(level)
            detail("detail")
            say("line")
            warn("careful")
            conclude("end")
            shown[level] = capsys.readouterr().err.split("\n")[:-1]
    finally:
        progress.logger.setLevel(before)
    assert shown["DEBUG"] == ["detail", "line", "warning: careful", "end"]
    assert shown["INFO"] == ["line", "warning: careful", "end"]
    assert shown["WARNING"] == ["warning: careful", "end"] and shown["CRITICAL"] == []


def test_other_packages_reach_the_log_and_not_the_screen(capfd: pytest.CaptureFixture) -> None:
    """Also a package that gives its logger a handler for standard error, as torch does."""
    kept: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record.getMessage())

    with off_screen(), recording() as log:
        noisy = logging.getLogger("a.noisy.package")
        noisy.addHandler(logging.StreamHandler())
        noisy.propagate = False
        noisy.warning("no %s here", "accelerator")
        noisy.debug("chatter")
        logging.getLogger().warning("of the root logger")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old\ninterface", DeprecationWarning, stacklevel=1)
        log.write_to(Kept())
    assert capfd.readouterr() == ("", "")
    assert kept[:2] == ["a.noisy.package: no accelerator here", "root: of the root logger"]
    assert "old interface" in kept[2] and len(kept) == 3
    noisy.warning("afterwards")
    assert "afterwards" in capfd.readouterr().err, "Python callers decide for themselves"


def test_work_without_a_terminal_takes_few_lines(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage("quick"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LINES_APART", 0.0)
    with progress.progress("long", 1000, lines=10) as bar:
        for k in range(1, 1001):
            bar.to(k)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "long …" and len(lines) <= 11 and "900 of 1,000" in lines[-1]


def test_what_lasts_says_its_name_before_it_ends(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WORTH_A_LINE", 0.05)
    with stage("slow"):
        time.sleep(0.5)
        assert capsys.readouterr().err == "slow …\n"


@pytest.mark.parametrize(
    "words",
    [["check", "x.xyz", "-f", "pestle-seed1"], ["report", "x"], ["trust", "x.model"],
     ["models", "x"], ["study", "gather", "x"], ["evaluate", "pestle-seed0", "y.xyz"],
     ["export", "x", "--to", "ase"]],
    ids=" ".join,
)  # fmt: skip
def test_what_is_waited_for_is_said_before_pytorch_is_imported(words: list[str]) -> None:
    """While it is imported nothing can be said, not even by another thread."""
    code = (
        "import sys\n"
        "class Torch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            print('TORCH', file=sys.stderr, flush=True)\n"
        "            raise SystemExit(9)\n"
        "sys.meta_path.insert(0, Torch())\n"
        f"sys.argv = ['pestle', *{words}]\n"
        "from pestle.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert done.stderr.splitlines() == ["loading PyTorch …", "TORCH"]


def test_a_terminal_shows_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(progress, "console", console)
    with stage("outer"):
        assert "outer" in screen.getvalue()
        with progress.progress("inner", 10) as bar:
            bar.to(5, "half of it")
            assert progress._line._bar is not None
            progress._line._bar.refresh()
            last = screen.getvalue().rpartition("\x1b[2K")[2]
            assert "inner" in last and "5/10" in last and "half of it" in last
            assert "outer" not in last, "one line, of what is going on"
            say("a line above")
    assert "a line above" in screen.getvalue()
    left = screen.getvalue().rpartition("\x1b[2K")[2]
    assert "outer" not in left and "inner" not in left


def test_what_another_speaks_for_is_not_shown(capsys: pytest.CaptureFixture) -> None:
    with briefly():
        say("its own line")
        conclude("its own end")
        warn("still")
    assert capsys.readouterr().err == "warning: still\n"
