"""The files of a run or results folder, read so that an absent or broken one stops nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pestle.adaptation import METHODS, Method
from pestle.errors import PestleError
from pestle.files import Damaged, finite, unsealed
from pestle.protocols.raw import TIMINGS
from pestle.records.ending import Ending
from pestle.records.manifest import Manifest
from pestle.report.protocol_results import ProtocolResults, read_protocols

#: File of a run folder → what the page lacks without it. Others are optional.
EXPECTED = {
    "manifest.json": "settings, data, reference energies and provenance",
    "metrics.jsonl": "the learning curves",
    "protocols/errors/metrics.json": "the errors by group",
}
#: Files that make a folder a run's; a folder with results alone has none of them.
OF_A_RUN = ("manifest.json", "run.yaml", "metrics.jsonl")


@dataclass
class RunFolder:
    """What a run, or tests of a model, left behind; everything may be empty.

    Attributes:
        name: of the run, or of the model that was tested.
        path: the folder as it was given.
        is_run: whether a model was trained here; else there are only results of protocols.
        manifest: manifest.json.
        ending: how the run ended, from there; `None` where it has not.
        metrics: records of metrics.jsonl.
        verdict: verdict.json.
        timings: timings.json: when the tests were run and how long each took.
        protocols: results by protocol, in the order of the page.
        files: what lies in model/ and replay/, by its path in the run folder.
        missing: one line for each expected file that is absent or cannot be read.
    """

    name: str
    path: Path = Path()
    is_run: bool = True
    manifest: dict[str, Any] = field(default_factory=dict)
    ending: Ending | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    verdict: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    protocols: dict[str, ProtocolResults] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def errors(self) -> dict[str, Any]:
        """Metrics of the errors protocol; empty where there are none.

        A qualification judges held-out sets only: those that the run itself was judged on besides
        (training frames, the replay head) are taken from its manifest.
        """
        found = self.protocols.get("errors")
        sets = nested(found.metrics, "sets") if found is not None else {}
        if found is None or not sets:
            return {}
        names = {"fine-tuned": found.role("candidate"), "foundation": found.role("baseline")}
        own = {
            name: models if name == "replay" else _renamed(models, names)
            for name, models in nested(self.manifest, "errors").items()
            if name not in sets and isinstance(models, dict)
        }
        return found.metrics | {"sets": sets | own}

    @property
    def method(self) -> Method | None:
        """What the method of the run declares; `None` for one that this program does not have."""
        return METHODS.get(str(self.part("method").get("name")))

    @property
    def from_scratch(self) -> bool:
        """Whether training began with random weights."""
        return self.method is not None and self.method.from_scratch

    def part(self, *names: str) -> dict[str, Any]:
        """A nested object of the manifest; empty where it is absent or null."""
        return nested(self.manifest, *names)

    def setting(self, name: str) -> Any:
        """The value of a setting; `None` where it is not recorded."""
        entry = self.part("settings").get(name)
        return entry.get("value") if isinstance(entry, dict) else entry


def _renamed(models: dict[str, Any], names: dict[str, str | None]) -> dict[str, Any]:
    """Errors by model under the names that a qualification gives to the models of a run."""
    return {names.get(model) or model: errors for model, errors in models.items()}


def nested(tree: Any, *names: str) -> dict[str, Any]:
    """`tree[a][b]…` if that is an object, else an empty one."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def objects(content: Any) -> list[dict[str, Any]]:
    """The objects of a list; nothing where it is no list."""
    if not isinstance(content, list):
        return []
    return [entry for entry in content if isinstance(entry, dict)]


def split_summaries(folder: RunFolder) -> dict[str, Any]:
    """Split → its summary, whether the run kept only these or the checks' whole summary."""
    summary = folder.part("data", "summary")
    return nested(summary, "splits") or summary


def holds_results(path: Path) -> bool:
    """Whether a folder holds a run or results of protocols."""
    names = (*OF_A_RUN, "verdict.json")
    return any((path / name).is_file() for name in names) or any(
        path.glob("protocols/*/metrics.json")
    )


def read_run_folder(run_dir: Path) -> RunFolder:
    """Read what is there.

    Raises:
        PestleError: there is no such folder.
    """
    if not run_dir.is_dir():
        raise PestleError(
            "no such run folder",
            where=str(run_dir),
            fix="Give the folder that finetune or qualify wrote.",
        )
    # An empty folder is taken for a run whose files are missing.
    is_run = any((run_dir / n).is_file() for n in OF_A_RUN) or not holds_results(run_dir)
    folder = RunFolder(name=run_dir.resolve().name, path=run_dir, is_run=is_run)
    folder.verdict = _object(run_dir, "verdict.json", folder) or {}
    folder.timings = _object(run_dir, TIMINGS, folder) or {}
    if is_run:
        folder.manifest = _object(run_dir, "manifest.json", folder) or {}
        folder.ending = _ending(folder)
        folder.metrics = _records(run_dir, folder)
    folder.protocols = read_protocols(run_dir / "protocols", folder.missing)
    if is_run and not (run_dir / "protocols/errors/metrics.json").is_file():
        _say("protocols/errors/metrics.json", "is missing", folder)
    if not is_run and isinstance(folder.verdict.get("candidate"), str):
        folder.name = folder.verdict["candidate"]
    if (run_dir / "model" / "card.json").is_file():
        _object(run_dir, "model/card.json", folder)  # nothing is shown of it
    folder.files = [
        f"{part}/{file.name}"
        for part in ("model", "replay")
        for file in sorted((run_dir / part).glob("*"))
        if file.is_file()
    ]
    return folder


def _say(name: str, problem: str, folder: RunFolder) -> None:
    lack = EXPECTED.get(name) if folder.is_run else None
    tail = f"; without it the page lacks {lack}" if lack else ""
    folder.missing.append(f"{name} {problem}{tail}")


def _text(run_dir: Path, name: str, folder: RunFolder) -> str | None:
    path = run_dir / name
    if not path.is_file():
        if name in EXPECTED:
            _say(name, "is missing", folder)
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _say(name, f"cannot be read ({error})", folder)
        return None


def _object(run_dir: Path, name: str, folder: RunFolder) -> dict[str, Any] | None:
    """One JSON object, without NaN."""
    text = _text(run_dir, name, folder)
    if text is None:
        return None
    try:
        content = finite(json.loads(text))
    except ValueError as error:
        _say(name, f"is not JSON ({error})", folder)
        return None
    if not isinstance(content, dict):
        _say(name, "does not hold an object", folder)
        return None
    try:
        return unsealed(content, run_dir / name)
    except Damaged as error:
        command = "qualify" if name == "verdict.json" else "finetune --resume -o"
        _say(name, f"{error.what}; pestle {command} {run_dir} writes it anew", folder)
        return None


def _ending(folder: RunFolder) -> Ending | None:
    found = Manifest.upgrade(dict(folder.manifest)).get("ending")
    try:
        return None if found is None else Ending.model_validate(found)
    except ValueError:
        folder.missing.append("manifest.json: its ending cannot be read")
        return None


def _records(run_dir: Path, folder: RunFolder) -> list[dict[str, Any]]:
    """Whole records of metrics.jsonl; a run that was killed may have left half a line."""
    name = "metrics.jsonl"
    text = _text(run_dir, name, folder)
    if text is None:
        return []
    records, broken = [], 0
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            record = finite(json.loads(line))
        except ValueError:
            record = None
        if isinstance(record, dict) and isinstance(record.get("epoch"), int | float):
            records.append(record)
        else:
            broken += 1
    if broken:
        folder.missing.append(f"{name}: {broken} broken line{'s' if broken > 1 else ''} left out")
    if not records:
        _say(name, "holds no evaluation", folder)
    return records
