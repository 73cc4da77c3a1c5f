"""The files of a run folder, read so that an absent or broken one stops nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.files import finite

#: File of the run folder → what the page lacks without it. Others are optional.
EXPECTED = {
    "manifest.json": "settings, data, reference energies and provenance",
    "metrics.jsonl": "the learning curves",
    "protocols/errors/metrics.json": "the errors by group",
    "protocols/errors/parity.json": "the parity plots",
}


@dataclass
class RunFolder:
    """What a run left behind; everything may be empty.

    Attributes:
        name: of the run.
        manifest: manifest.json.
        metrics: records of metrics.jsonl.
        errors, parity, path: results of protocols, `None` where absent.
        files: what lies in model/ and replay/, by its path in the run folder.
        missing: one line for each expected file that is absent or cannot be read.
    """

    name: str
    manifest: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, Any] | None = None
    parity: dict[str, Any] | None = None
    path: dict[str, Any] | None = None
    files: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def part(self, *names: str) -> dict[str, Any]:
        """A nested object of the manifest; empty where it is absent or null."""
        return nested(self.manifest, *names)

    def setting(self, name: str) -> Any:
        """The value of a setting; `None` where it is not recorded."""
        entry = self.part("settings").get(name)
        return entry.get("value") if isinstance(entry, dict) else entry


def nested(tree: Any, *names: str) -> dict[str, Any]:
    """`tree[a][b]…` if that is an object, else an empty one."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}


def split_summaries(folder: RunFolder) -> dict[str, Any]:
    """Split → its summary, whether the run kept only these or the checks' whole summary."""
    summary = folder.part("data", "summary")
    return nested(summary, "splits") or summary


def read_run_folder(run_dir: Path) -> RunFolder:
    """Read what is there.

    Raises:
        PestleError: there is no such folder.
    """
    if not run_dir.is_dir():
        raise PestleError(
            "no such run folder", where=str(run_dir), fix="Give the folder that finetune wrote."
        )
    folder = RunFolder(name=run_dir.resolve().name)
    folder.manifest = _object(run_dir, "manifest.json", folder.missing) or {}
    folder.metrics = _records(run_dir, folder.missing)
    errors = _object(run_dir, "protocols/errors/metrics.json", folder.missing)
    folder.errors = errors if errors and nested(errors, "sets") else None
    folder.parity = _object(run_dir, "protocols/errors/parity.json", folder.missing)
    folder.path = _object(run_dir, "protocols/path/metrics.json", folder.missing)
    folder.files = [
        f"{part}/{file.name}"
        for part in ("model", "replay")
        for file in sorted((run_dir / part).glob("*"))
        if file.is_file()
    ]
    return folder


def _say(name: str, problem: str, missing: list[str]) -> None:
    lack = EXPECTED.get(name)
    missing.append(f"{name} {problem}" + (f"; without it the page lacks {lack}" if lack else ""))


def _text(run_dir: Path, name: str, missing: list[str]) -> str | None:
    path = run_dir / name
    if not path.is_file():
        if name in EXPECTED:
            _say(name, "is missing", missing)
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _say(name, f"cannot be read ({error})", missing)
        return None


def _object(run_dir: Path, name: str, missing: list[str]) -> dict[str, Any] | None:
    """One JSON object, without NaN."""
    text = _text(run_dir, name, missing)
    if text is None:
        return None
    try:
        content = finite(json.loads(text))
    except ValueError as error:
        _say(name, f"is not JSON ({error})", missing)
        return None
    if not isinstance(content, dict):
        _say(name, "does not hold an object", missing)
        return None
    return content


def _records(run_dir: Path, missing: list[str]) -> list[dict[str, Any]]:
    """Whole records of metrics.jsonl; a run that was killed may have left half a line."""
    name = "metrics.jsonl"
    text = _text(run_dir, name, missing)
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
        missing.append(f"{name}: {broken} broken line{'s' if broken > 1 else ''} left out")
    if not records:
        _say(name, "holds no evaluation", missing)
    return records
