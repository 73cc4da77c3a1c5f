"""Thresholds of the verdict, from a data file beside each protocol, each with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pestle.errors import PestleError, nearest
from pestle.protocols import THRESHOLDS, declarations
from pestle.records.verdict import Level
from pestle.wording import with_unit


@dataclass(frozen=True)
class Threshold:
    """Limits from which a figure is a concern or a failure. Larger figures are worse.

    Attributes:
        concern, fail: smallest figure that is a concern or a failure; `None` for no limit.
        unit: unit of the figure.
        meaning: what is measured.
        source: reason for these values.
    """

    concern: float | None
    fail: float | None
    unit: str
    meaning: str
    source: str

    def level(self, value: float | None) -> Level:
        """Return the level of a figure; one that is not a finite number is a failure."""
        if value is None or not math.isfinite(value):
            return "fail"
        if self.fail is not None and value >= self.fail:
            return "fail"
        if self.concern is not None and value >= self.concern:
            return "concern"
        return "pass"

    @property
    def words(self) -> str:
        """The limits in words, such as `concern from 1.1, fail from 1.5`."""
        named = (("concern", self.concern), ("fail", self.fail))
        return ", ".join(
            f"{name} from {with_unit(value, self.unit, f'{value:g}')}"
            for name, value in named
            if value is not None
        )

    def words_for(self, level: Level, value: float | None, unless: str) -> str:
        """Return the limits in words for a finding whose level may be better than its figure alone.

        Args:
            level: level of the finding.
            value: figure of the finding.
            unless: clause that says when the limits apply: `it is no chance`.

        Returns:
            `words` if the figure alone gives this level, otherwise for example `concern from 0.001,
            fail from 0.02 only where it is no chance`.
        """
        if self.level(value) == level:
            return self.words
        return f"{self.words} only where {unless}"


def read_thresholds(path: Path | None = None) -> dict[str, dict[str, Threshold]]:
    """Read the thresholds of all protocols.

    Args:
        path: YAML file of the user, protocol → name → limits; it replaces only the values that it
            contains.

    Returns:
        Protocol → name → threshold.

    Raises:
        PestleError: the file cannot be read, or contains unknown names or invalid limits.
    """
    tree = {}
    for declared in declarations():
        shipped = Path(__file__).with_name(declared.name) / THRESHOLDS
        tree[declared.name] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    if path is not None:
        for protocol, entries in _read(path).items():
            if protocol not in tree:
                raise _unknown(protocol, tree, path)
            for name, entry in _table(entries, path, protocol).items():
                if name not in tree[protocol]:
                    raise _unknown(f"{protocol}.{name}", tree[protocol], path)
                tree[protocol][name] |= _limits(entry, path, f"{protocol}.{name}")
                _require_order(tree[protocol][name], path, f"{protocol}.{name}")
    return {
        protocol: {name: Threshold(**entry) for name, entry in entries.items()}
        for protocol, entries in tree.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return _table(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, path, "the file")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PestleError(
            f"cannot be read as YAML ({' '.join(str(error).split())})", where=str(path)
        ) from error


def _table(content: Any, path: Path, name: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise PestleError(f"{name} is not a table", where=str(path))
    return content


def _limits(entry: Any, path: Path, name: str) -> dict[str, Any]:
    """Return the limits that the user's file changes, with the file as their source."""
    given = _table(entry, path, name)
    for key, value in given.items():
        if key not in ("concern", "fail"):
            raise _unknown(f"{name}.{key}", ("concern", "fail"), path)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and math.isfinite(value)):
            raise PestleError(f"{name}.{key} is no finite number", where=str(path))
    return given | {"source": str(path)}


def _require_order(entry: Mapping[str, Any], path: Path, name: str) -> None:
    concern, fail = entry["concern"], entry["fail"]
    if concern is not None and fail is not None and concern > fail:
        raise PestleError(
            f"{name}: a concern from {concern:g} on would come after the failure at {fail:g}",
            where=str(path),
            fix="Give both, the smaller one to concern.",
        )


def _unknown(name: str, known: Any, path: Path) -> PestleError:
    return PestleError(
        f"there is no threshold '{name}'",
        where=str(path),
        fix=f"{nearest(name.rpartition('.')[2], known)} Known: {', '.join(known)}.".strip(),
    )
