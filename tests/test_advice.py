"""Every command that a line `next` advises is accepted by a shell and by pestle, as it stands."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from pestle import cli
from pestle.jobs.finetune.parent import first_foundation
from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_next import next_step
from pestle.jobs.qualify_request import Request
from pestle.protocols import declarations, inputs
from pestle.records.ending import TITLES, Ending, Trouble
from pestle.records.manifest import Manifest
from pestle.records.set_errors import SetErrors
from pestle.records.verdict import CountedFinding, NotTested, TestedProtocol, Verdict
from pestle.reports.reading import read_results
from pestle.reports.verdict import how_to_qualify
from pestle.settings.run_file import from_names
from pestle.typed import parts_of, short, under

OLD = Path(__file__).parent / "old_runs"
#: A folder as users have them.
RUN = Path("my runs/one (1)")
#: Prints the words that a shell makes of a command.
SHOWN = "pestle() { printf '%s\\0' \"$@\"; }\n"


def endings() -> Iterator[str]:
    """What the end of a run advises, of every kind."""
    sets = (SetErrors(name="test", forces=1.0, foundation_forces=2.0),)
    for scope in (None, "narrow", "broad"):
        fine = Ending(method="naive", foundation="a b", scope=scope, best_epoch=1, sets=sets)
        yield fine.next(RUN)
        for kind in TITLES:
            for goes_on in (False, True):
                trouble = Trouble(
                    kind=kind,  # type: ignore[arg-type]
                    what="w",
                    reason="r",
                    advice="a (b); 'c",
                    settings=("train.lr=0.1", "data.train=[a b.xyz]"),
                    goes_on=goes_on,
                )
                yield fine.model_copy(update={"trouble": trouble}).next(RUN)


def verdicts() -> Iterator[str]:
    """What a verdict advises: in every state, about every protocol."""
    settings = {"foundation": "pestle-seed0", "data.train": ["my data/a(1).xyz"]}
    manifest = Manifest.read(OLD / "naive" / "manifest.json").with_entries(ending=None)
    run = OfRun(RUN, from_names(settings | {"method": "naive"}), manifest, {}, [])  # type: ignore[arg-type]
    asked = Request(str(RUN), scope="broad", files={"path": ["SN2 reaction=a b.xyz"]})
    typed = shlex.join(["pestle", "qualify", str(RUN), "--without", "md"])

    def verdict(**entries: object) -> Verdict:
        plain = {"verdict": "pass", "sentence": "", "scope": "broad", "candidate": "mine"}
        return Verdict.model_validate(plain | entries)

    for request in (asked, replace(asked, command=typed, leave_out=["md"])):
        yield next_step(verdict(), request, run)
        part = TestedProtocol(level="pass", needed=True, full_extent="more")
        yield next_step(verdict(protocols={"md": part}), request, run)
        for declared in declarations():
            bad = CountedFinding(declared.name, "fail", "q", 1.0, "", "", "It is bad.", True)
            for made in (run, None):
                yield next_step(verdict(findings=(bad,)), request, made)
            lacking = [t.how for t in inputs()] + [declared.reference, f"--with {declared.name}"]
            for how in (*lacking, f"leave out --without {declared.name}"):
                left = NotTested(declared.name, True, "it's (not) there; why", how)
                yield next_step(verdict(not_tested=(left,)), request, run)


def pages(folder: Path) -> Iterator[str]:
    yield from how_to_qualify(read_results(folder))


def test_every_command_can_be_typed(tmp_path: Path) -> None:
    (tmp_path / "my results").mkdir()
    advised = [*endings(), *verdicts(), *pages(tmp_path / "my results")]
    lines = dict.fromkeys(line for text in advised for line in text.splitlines())
    typed = [line for line in lines if line.startswith("pestle ")]
    assert len(typed) > 20
    commands: Any = typer.main.get_command(cli.app)
    for line in typed:
        words = shlex.split(line, comments=True)
        shown = subprocess.run(["bash", "-c", SHOWN + line], capture_output=True, text=True)
        assert (shown.returncode, shown.stderr) == (0, ""), line
        assert shown.stdout.split("\0")[:-1] == words[1:], line
        context = commands.make_context("pestle", words[1:])
        name, chosen, rest = commands.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        chosen.make_context(name, rest, parent=context)
        assert "|" not in "".join(words), "a choice is not a word"
    for line in lines.keys() - set(typed):
        assert "pestle " not in line and "   " not in line, "words hold no command"


def test_a_choice_is_two_commands_and_a_remark_stands_apart() -> None:
    said = next(endings())
    (narrow, first), (broad, second) = parts_of(said)
    assert narrow.endswith("--scope narrow") and broad.endswith("--scope broad")
    assert first and second and "#" not in first
    assert under("next", said, 9).splitlines()[1] == f"         {broad}   # {second}"
    assert under("next", "wait", 0) == "next: wait"
    assert parts_of("add frames   # to it") == [("", "add frames   # to it")]


def test_breadth_is_measured_against_the_first_foundation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs after each other: what the first one lost is not hidden by naming it."""
    for name, before in (("one", "pestle-seed0"), ("two", str(tmp_path / "one"))):
        shutil.copytree(OLD / "naive", tmp_path / name)
        (tmp_path / name / "run.yaml").write_text(f"foundation: {before}\n")
    assert first_foundation(str(tmp_path / "two")) == "pestle-seed0"
    assert first_foundation("pestle-seed0") == "pestle-seed0"
    (tmp_path / "one" / "run.yaml").write_text(f"foundation: {tmp_path / 'gone.model'}\n")
    assert first_foundation(str(tmp_path / "two")) == str(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    sets = (SetErrors(name="test"),)
    model = str(tmp_path / "own.model")
    said = Ending(method="naive", foundation=model, best_epoch=1, sets=sets).cost(Path("two"))
    assert said.endswith("pestle probe forgetting two --against own.model")
    assert short("pestle-seed0") == "pestle-seed0"
