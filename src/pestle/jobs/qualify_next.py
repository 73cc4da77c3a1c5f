"""The next step at the end of a verdict, as a command for the current folder."""

from __future__ import annotations

import shlex

from pestle.adaptation import method_of
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_request import Request
from pestle.protocols import declarations, inputs
from pestle.protocols.declaration import Remedy
from pestle.records.verdict import CountedFinding, Verdict
from pestle.typed import REMARK, command, short

#: Label key in the settings of a run → option of the command.
OF_DATA = {
    "energy_key": "--energy-key",
    "forces_key": "--forces-key",
    "stress_key": "--stress-key",
    "virials_key": "--virials-key",
}


def next_step(verdict: Verdict, asked: Request, run: OfRun | None) -> str:
    """Return the next step: a command or words.

    The first of these decides: trouble in training, a failed test, a needed test that was not run,
    the full settings, a concern. A model without any of them is exported.

    Args:
        verdict: the verdict.
        asked: the request.
        run: the run that made the model; `None` if no run made it.
    """
    ending = run.manifest.ending if run is not None else None
    is_target = asked.head in (None, TARGET_HEAD)  # the end of a run is about this head
    if run is not None and ending is not None and ending.trouble is not None and is_target:
        return ending.next(run.folder)
    bad = next((f for f in verdict.findings if f.counts and f.level != "pass"), None)
    missing = next((entry for entry in verdict.not_tested if entry.needed), None)
    again = _again(verdict, asked)
    if bad is not None and bad.level == "fail":
        return _remedy(bad, run)
    if missing is not None:
        if missing.how.startswith("-"):
            return f"{again} {missing.how}{REMARK}{missing.protocol}: {missing.why}"
        if missing.protocol in asked.leave_out:
            return f"{_again(verdict, asked, with_test=missing.protocol)}{REMARK}it was left out"
        why = f"test {missing.protocol}, which was not tested ({missing.why})"
        return f"{why}. {missing.how}" if missing.how else why
    if any(part.full_extent for part in verdict.protocols.values()):
        return f"{again} --full{REMARK}what the first look left out"
    if bad is not None:
        return _remedy(bad, run)
    if asked.model.startswith("calculator:"):
        return "use it as it is"
    return command(["pestle", "export", asked.model, "--to", "ase"], "or --to lammps")


def _again(verdict: Verdict, asked: Request, with_test: str = "") -> str:
    """Return the command that qualifies the model again.

    Args:
        verdict: the verdict.
        asked: the request.
        with_test: a protocol that was left out and is not any more.
    """
    if asked.command.startswith("pestle qualify "):
        typed = shlex.split(asked.command)
        kept = [
            word
            for k, word in enumerate(typed)
            if [word, *typed[k + 1 : k + 2]] != ["--without", with_test]
            and [*typed[max(0, k - 1) : k], word] != ["--without", with_test]
            and word != f"--without={with_test}"
        ]
        return command(kept)
    words = ["pestle", "qualify", asked.model, "--scope", verdict.scope]
    if asked.against is not None:
        words += ["--against", asked.against]
    for option, given in (
        *((taken.options[0], asked.files.get(taken.name, ())) for taken in inputs()),
        ("--also", asked.also),
        ("--with", asked.run_too),
        ("--without", [name for name in asked.leave_out if name != with_test]),
    ):
        for text in given:
            words += [option, text]
    return command(words)


def _remedy(bad: CountedFinding, run: OfRun | None) -> str:
    """Return what helps against a finding: a command if settings of another run can help."""
    remedy = next(d.remedy for d in declarations() if d.name == bad.protocol) or Remedy(
        "see what its findings say"
    )
    if run is None:
        return remedy.words
    if remedy.fitting is not None:
        return remedy.fitting(run.making)
    if remedy.with_replay and method_of(run.settings).replays:
        return remedy.with_replay
    if not remedy.settings:
        return remedy.words
    data = run.settings.data
    words = ["pestle", "finetune", "-f", short(run.settings.foundation)]
    for option, files in (("--data", data.train), ("--valid", data.valid), ("--test", data.test)):
        for file in files:
            words += [option, short(file)]
    for name, option in OF_DATA.items():
        if getattr(data, name) is not None:
            words += [option, getattr(data, name)]
    for text in data.select:
        words += ["--select", text]
    if run.settings.head is not None:
        words += ["--head", run.settings.head]
    words += ["--set", *remedy.settings, "-o", f"{run.folder}-next"]
    return command(words, remedy.words)
