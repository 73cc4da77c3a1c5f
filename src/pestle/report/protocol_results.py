"""Results of protocols as they lie on disk: metrics, charts, tables, flagged structures."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from pestle.checksums import SUMS, require_sum
from pestle.files import Damaged, finite, sha256
from pestle.protocols import declarations
from pestle.protocols.results import Chart, Column, Flagged, Series, Table

#: What to do about a damaged file.
_ANEW = "the command that wrote it (pestle probe, qualify or finetune --resume) writes it anew"
_KINDS, _SIZES = ("line", "points", "violin", "bar"), ("wide", "half", "small")


@dataclass
class ProtocolResults:
    """What one protocol left; everything may be empty.

    Attributes:
        name: of the protocol.
        metrics: metrics.json.
        charts, tables: of charts.json and tables.json.
        flagged: structures of flagged.xyz.
        digest: SHA-256 of metrics.json, by which a verdict knows what it judged.
    """

    name: str
    metrics: dict[str, Any] = field(default_factory=dict)
    charts: list[Chart] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    flagged: list[Flagged] = field(default_factory=list)
    digest: str = ""

    @property
    def title(self) -> str:
        """The protocol in words."""
        return protocol_title(self.name)

    @property
    def labels(self) -> dict[str, str]:
        """Potential → what a reader is told."""
        found = self.metrics.get("labels")
        return {str(k): str(v) for k, v in found.items() if v} if isinstance(found, dict) else {}

    def role(self, role: str) -> str | None:
        """Name of the `candidate` or the `baseline`."""
        found = self.metrics.get(role)
        return found if isinstance(found, str) and found else None


def protocol_title(name: str) -> str:
    """A protocol in words: its own, or the name of one that is not known."""
    own = {declared.name: declared.title for declared in declarations()}
    return own.get(name) or (name.replace("_", "-").capitalize() if name else "Unnamed protocol")


def protocol_place(name: str) -> tuple[int, str]:
    """Sorts protocols as they are run; others follow by name."""
    known = [declared.name for declared in declarations()]
    return (known.index(name) if name in known else len(known), name)


def read_protocols(folder: Path, missing: list[str]) -> dict[str, ProtocolResults]:
    """Results by protocol; what cannot be read is added to `missing`."""
    names = {path.parent.name for path in folder.glob("*/metrics.json")}
    found = {}
    for name in sorted(names, key=protocol_place):
        results = ProtocolResults(name)
        where = f"protocols/{name}"
        content = _json(folder / name / "metrics.json", f"{where}/metrics.json", missing)
        if content is not None and not isinstance(content, dict):
            missing.append(f"{where}/metrics.json does not hold an object")
        results.digest = sha256(folder / name / "metrics.json")
        results.metrics = content if isinstance(content, dict) else {}
        results.charts = [
            chart_of(entry) for entry in _entries(folder / name, "charts.json", "series", missing)
        ]
        results.tables = [
            table_of(entry) for entry in _entries(folder / name, "tables.json", "columns", missing)
        ]
        results.flagged = _flagged(folder / name / "flagged.xyz", f"{where}/flagged.xyz", missing)
        found[name] = results
    return found


def _is_whole(path: Path, name: str, missing: list[str]) -> bool:
    """Whether a file is there, and is the one that was written as far as its hash is kept."""
    try:
        require_sum(path, path.with_name(SUMS))
    except Damaged as error:
        about_sums = error.where == str(path.with_name(SUMS))
        named = f"{name.rpartition('/')[0]}/{SUMS}" if about_sums else name
        line = f"{named} {error.what}; {_ANEW}"
        if line not in missing:
            missing.append(line)
        return about_sums and path.is_file()
    return path.is_file()


def _json(path: Path, name: str, missing: list[str]) -> Any:
    """Content without NaN; `None` where there is none."""
    if not _is_whole(path, name, missing):
        return None
    try:
        return finite(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        missing.append(f"{name} cannot be read ({error})")
    except ValueError as error:
        missing.append(f"{name} is not JSON ({error})")
    return None


def _entries(folder: Path, file: str, key: str, missing: list[str]) -> list[dict[str, Any]]:
    """Objects of a list that hold a list of objects under `key`; others are named as missing."""
    name = f"protocols/{folder.name}/{file}"
    content = _json(folder / file, name, missing)
    if content is None:
        return []
    if not isinstance(content, list):
        missing.append(f"{name} does not hold a list")
        return []
    good = [entry for entry in content if isinstance(entry, dict) and _are_objects(entry.get(key))]
    if len(good) < len(content):
        missing.append(f"{name}: {len(content) - len(good)} entries cannot be shown")
    return good


def _are_objects(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(entry, dict) for entry in content)


def chart_of(entry: dict[str, Any]) -> Chart:
    """A chart as charts.json holds it; what does not fit is left at its default."""
    return Chart(
        title=str(entry.get("title") or ""),
        x_label=str(entry.get("x_label") or ""),
        y_label=str(entry.get("y_label") or ""),
        series=[_series(one) for one in entry["series"]],
        y_range=_range(entry.get("y_range")),
        kind=entry["kind"] if entry.get("kind") in _KINDS else "line",
        caption=str(entry.get("caption") or ""),
        log_y=bool(entry.get("log_y")),
        diagonal=bool(entry.get("diagonal")),
        size=entry["size"] if entry.get("size") in _SIZES else "half",
    )


def _series(entry: dict[str, Any]) -> Series:
    """x and y of equal length; a y that is no number is `None`, a point without x is left out."""
    x, y, error = (_list(entry.get(key)) for key in ("x", "y", "error"))
    kept = [k for k in range(min(len(x), len(y))) if x[k] is not None]
    return Series(
        name=str(entry.get("name") or ""),
        x=[x[k] for k in kept],
        y=[y[k] if _is_number(y[k]) else None for k in kept],
        error=[error[k] if _is_number(error[k]) else 0.0 for k in kept]
        if error and len(error) >= len(y)
        else None,
        dashed=bool(entry.get("dashed")),
    )


def table_of(entry: dict[str, Any]) -> Table:
    """A table as tables.json holds it; rows are cut or filled to the number of columns."""
    columns = [
        Column(
            heading=str(one.get("heading") or ""),
            unit=str(one.get("unit") or ""),
            digits=one["digits"] if isinstance(one.get("digits"), int) else None,
        )
        for one in entry["columns"]
    ]
    rows = [_list(row) for row in _list(entry.get("rows"))]
    rows = [(row + [None] * len(columns))[: len(columns)] for row in rows]
    title, note = str(entry.get("title") or ""), str(entry.get("note") or "")
    return Table(title=title, columns=columns, rows=rows, note=note)


def _flagged(path: Path, name: str, missing: list[str]) -> list[Flagged]:
    if not _is_whole(path, name, missing):
        return []
    try:
        images = ase.io.read(path, index=":", format="extxyz")
    except Exception as error:
        # ASE's reader raises whatever its parser came across.
        missing.append(f"{name} cannot be read ({' '.join(str(error).split())})")
        return []
    assert isinstance(images, list)
    return [_one_flagged(atoms) for atoms in images]


def _one_flagged(atoms: Atoms) -> Flagged:
    potential, title, reason = (
        str(atoms.info.get(k, "")) for k in ("potential", "title", "reason")
    )
    return Flagged(potential, title, reason, atoms)


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _range(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
        return float(value[0]), float(value[1])
    return None
