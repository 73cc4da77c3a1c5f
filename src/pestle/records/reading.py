"""Reading of all records of a folder; missing or broken records become messages, not errors."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pestle.errors import PestleError
from pestle.files import Damaged, read_json, unsealed
from pestle.foundations.safe_files import CARD
from pestle.records.base import Record
from pestle.records.folder import RunFolder
from pestle.records.manifest import Manifest
from pestle.records.metrics import MetricsLine, whole_metrics
from pestle.records.timings import Timings
from pestle.records.verdict import Verdict

Read = TypeVar("Read", bound=Record)

#: File of a run folder → what the page lacks without it. Other files are optional.
EXPECTED = {
    "manifest.json": "settings, data, reference energies and provenance",
    "metrics.jsonl": "the learning curves",
    "protocols/errors/metrics.json": "the errors by group",
}
#: Files that identify a run folder; a folder with only results has none of them.
OF_A_RUN = ("manifest.json", "run.yaml", "metrics.jsonl")


@dataclass
class FolderRecords:
    """Records of a run, or of tests of a model; each of them may be absent.

    Attributes:
        name: name of the run, or of the tested model.
        path: the folder as it was given.
        is_run: whether a model was trained here; otherwise there are only results of protocols.
        manifest: `None` if there is none, or it cannot be read.
        metrics: the evaluations that can be read.
        verdict: `None` if the model was not qualified.
        timings: when the tests were run and how long each took.
        files: content of model/ and replay/, as paths in the folder.
        weights: SHA-256 of the run's present weights; empty without a model.
        missing: one line for each expected file that is absent, and for what cannot be read.
    """

    name: str
    path: Path = Path()
    is_run: bool = True
    manifest: Manifest | None = None
    metrics: list[MetricsLine] = field(default_factory=list)
    verdict: Verdict | None = None
    timings: Timings | None = None
    files: list[str] = field(default_factory=list)
    weights: str = ""
    missing: list[str] = field(default_factory=list)

    def lacks(self, name: str, problem: str) -> None:
        """Note what is wrong with a file, and what a page lacks without it.

        Args:
            name: name of the file.
            problem: what is wrong, as the end of a sentence.
        """
        lack = EXPECTED.get(name) if self.is_run else None
        tail = f"; without it the page lacks {lack}" if lack else ""
        self.missing.append(f"{name} {problem}{tail}")


def holds_results(path: Path) -> bool:
    """Whether a folder contains a run or results of protocols."""
    names = (*OF_A_RUN, "verdict.json")
    return any((path / name).is_file() for name in names) or any(
        path.glob("protocols/*/metrics.json")
    )


def read_folder(path: Path) -> FolderRecords:
    """Read the records of a folder.

    Raises:
        PestleError: the folder does not exist.
    """
    if not path.is_dir():
        raise PestleError(
            "no such run folder",
            where=str(path),
            fix="Give the folder that finetune or qualify wrote.",
        )
    paths = RunFolder(path)
    # An empty folder counts as a run whose files are missing.
    is_run = any((path / n).is_file() for n in OF_A_RUN) or not holds_results(path)
    found = FolderRecords(name=path.resolve().name, path=path, is_run=is_run)
    found.verdict = _record(Verdict, paths.verdict, found)
    if is_run:
        found.weights = paths.weights_digest
        if found.verdict is not None and not found.verdict.is_of(found.weights):
            found.verdict = None
            found.missing.append(
                "verdict.json judges this model before it was trained further, and is not shown; "
                f"pestle qualify {shlex.quote(str(path))} judges the present one"
            )
    found.timings = _record(Timings, paths.timings, found)
    if is_run:
        found.manifest = _record(Manifest, paths.manifest, found)
        found.metrics = _evaluations(paths.metrics, found)
        if (paths.model / CARD).is_file():  # the card is only checked, not shown
            try:
                read_json(paths.model / CARD)
            except Damaged as error:
                found.lacks(f"model/{CARD}", error.what)
        if not (paths.protocol("errors") / "metrics.json").is_file():
            found.lacks("protocols/errors/metrics.json", "is missing")
    elif found.verdict is not None:
        found.name = found.verdict.candidate
    found.files = [
        f"{part.name}/{file.name}"
        for part in (paths.model, paths.replay)
        for file in sorted(part.glob("*"))
        if file.is_file()
    ]
    return found


def _record(kind: type[Read], path: Path, found: FolderRecords) -> Read | None:
    """Read the record of a file; parts that cannot be read are left out and noted."""
    if not path.is_file():
        if path.name in EXPECTED:
            found.lacks(path.name, "is missing")
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        found.lacks(path.name, f"cannot be read ({error})")
        return None
    except (ValueError, RecursionError) as error:
        found.lacks(path.name, f"is not JSON ({error})")
        return None
    if not isinstance(content, dict):
        found.lacks(path.name, "does not hold an object")
        return None
    try:
        content = unsealed(content, path)
    except Damaged as error:
        command = "qualify" if kind is Verdict else "finetune --resume -o"
        anew = f"pestle {command} {shlex.quote(str(found.path))} writes it anew"
        found.lacks(path.name, f"{error.what}; {anew}")
        return None
    record, problems = kind.without_broken_parts(content, path.name)
    found.missing += problems
    return record


def _evaluations(path: Path, found: FolderRecords) -> list[MetricsLine]:
    if not path.is_file():
        found.lacks(path.name, "is missing")
        return []
    try:
        lines, problems = whole_metrics(path)
    except Damaged as error:
        found.lacks(path.name, error.what)
        return []
    found.missing += problems
    if not lines:
        found.lacks(path.name, "holds no evaluation")
    return lines
