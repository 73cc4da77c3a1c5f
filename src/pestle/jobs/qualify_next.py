"""The next step at the end of a verdict, as a command for the current folder."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pestle.adaptation import method_of
from pestle.foundations.interface import TARGET_HEAD
from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_request import Request
from pestle.protocols import declarations, inputs
from pestle.protocols.declaration import Remedy
from pestle.records.verdict import CountedFinding, Verdict

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
            return f"{again} {missing.how}   ({missing.protocol}: {missing.why})"
        return f"{missing.how or f'test {missing.protocol}'}   ({missing.why})"
    if any(part.full_extent for part in verdict.protocols.values()):
        return f"{again} --full   (what the first look left out)"
    if bad is not None:
        return _remedy(bad, run)
    if asked.model.startswith("calculator:"):
        return "use it as it is"
    return f"{shlex.join(['pestle', 'export', asked.model])} --to ase   (or lammps)"


def _again(verdict: Verdict, asked: Request) -> str:
    """Return the command that qualifies the model again."""
    if asked.command.startswith("pestle qualify "):
        return asked.command
    words = ["pestle", "qualify", asked.model, "--scope", verdict.scope]
    if asked.against is not None:
        words += ["--against", asked.against]
    for option, given in (
        *((taken.options[0], asked.files.get(taken.name, ())) for taken in inputs()),
        ("--also", asked.also),
        ("--with", asked.run_too),
        ("--without", asked.leave_out),
    ):
        for text in given:
            words += [option, text]
    return shlex.join(words)


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
    words = ["pestle", "finetune", "-f", _short(run.settings.foundation)]
    for option, files in (("--data", data.train), ("--valid", data.valid), ("--test", data.test)):
        for file in files:
            words += [option, _short(file)]
    for name, option in OF_DATA.items():
        if getattr(data, name) is not None:
            words += [option, getattr(data, name)]
    for text in data.select:
        words += ["--select", text]
    if run.settings.head is not None:
        words += ["--head", run.settings.head]
    words += ["--set", *remedy.settings, "-o", f"{run.folder}-next"]
    return f"{shlex.join(words)}   ({remedy.words})"


def _short(name: str) -> str:
    """Return a path for the current folder; relative if that is shorter."""
    if not Path(name).is_absolute():
        return name
    return min(name, os.path.relpath(name), key=len)
