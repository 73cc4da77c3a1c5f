"""Generator of the tables in docs/run-folder.md and of the JSON schemas.

    python -m pestle.records.docs docs

writes both into the folder of the documentation.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pestle.files import write_text
from pestle.records.base import Part, Record
from pestle.records.card import Card
from pestle.records.gathered import Gathered
from pestle.records.manifest import Manifest
from pestle.records.metrics import MetricsLine
from pestle.records.study import CellRecord, StudyPlan
from pestle.records.timings import Timings
from pestle.records.verdict import Verdict

#: File, or what a command prints → its record.
FILES: dict[str, type[Record]] = {
    "manifest.json": Manifest,
    "metrics.jsonl": MetricsLine,
    "model/card.json": Card,
    "verdict.json": Verdict,
    "timings.json": Timings,
    "pestle report --json": Gathered,
    "plan.json of a study": StudyPlan,
    "cells/NAME.json of a study": CellRecord,
}
#: The tables in docs/run-folder.md are between these lines.
BEGIN, END = "<!-- made by pestle.records.docs -->", "<!-- end of what is made -->"


def _meanings(kind: type) -> dict[str, str]:
    """Return field → its meaning in the docstring, in one line; fields in one entry share it.

    Args:
        kind: a part of a record; its docstring has a section `Attributes`.
    """
    found: dict[str, str] = {}
    for cls in reversed(kind.__mro__):
        text = inspect.cleandoc(cls.__doc__ or "") if cls.__module__.startswith("pestle.") else ""
        _, _, section = text.partition("Attributes:\n")
        for entry in re.split(r"\n(?= {4}\S)", section):
            names, colon, said = entry.partition(":")
            if colon:
                line = " ".join(said.split())
                found |= {name.strip(): line for name in names.split(",")}
    return found


def _fields(kind: type) -> dict[str, tuple[str, Any]]:
    """Return the fields of a part of a record, or of a dataclass in one.

    Returns:
        Name in the file → name in the program, and the type.
    """
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__pydantic_fields__", {})
    return {
        info.serialization_alias or name: (name, info.annotation) for name, info in fields.items()
    }


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and (
        issubclass(kind, Part) or hasattr(kind, "__pydantic_fields__")
    )


def _parts_in(annotation: Any) -> list[type]:
    """Return the parts of records that a type contains."""
    if _is_part(annotation):
        return [annotation]
    return [part for one in get_args(annotation) for part in _parts_in(one)]


def _in_words(annotation: Any, shared: set[type]) -> str:
    """Return a type for readers, such as `list of text`; shared parts as a link to their table."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return "any"
    if origin in (Union, UnionType):
        words = dict.fromkeys(_in_words(one, shared) for one in inner if one is not type(None))
        # Whole numbers are numbers.
        said = [text for text in words if not (text == "whole number" and "number" in words)]
        return " or ".join(said + ["null"] * (type(None) in inner))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is dict:
        return f"name → {_in_words(inner[1], shared)}"
    if origin in (tuple, list):
        return f"list of {_in_words(inner[0], shared)}"
    if annotation in shared:
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if _is_part(annotation):
        return "object"
    words_of = {str: "text", bool: "true or false", int: "whole number", float: "number"}
    return words_of[annotation]


def _shared_parts() -> list[type]:
    """Return the parts that occur in more than one place, in the order of occurrence."""
    places: Counter[type] = Counter()

    def count(kind: type) -> None:
        for _, annotation in _fields(kind).values():
            for part in dict.fromkeys(_parts_in(annotation)):
                places[part] += 1
                if places[part] == 1:
                    count(part)

    for kind in FILES.values():
        count(kind)
    return [part for part, number in places.items() if number > 1]


def _rows(kind: type, shared: set[type], prefix: str = "") -> list[str]:
    """Return a row for every field, followed by the fields of parts that it contains."""
    found = []
    said = _meanings(kind)
    for name, (own, annotation) in _fields(kind).items():
        text = _in_words(annotation, shared)
        meaning = said.get(own, "").replace("`None`", "null")
        cells = [f"`{prefix}{name}`", text, meaning]
        found.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        holder = f"{prefix}{name}." + "NAME." * text.count("name →")
        for part in _parts_in(annotation):
            found += [] if part in shared else _rows(part, shared, holder)
    return found


def _table(title: str, kind: type, shared: set[type], more: str = "") -> list[str]:
    said = " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())
    head = ["", f"### {title}", "", f"{said}{more}", "", "| field | type | what |", "|---|---|---|"]
    return [*head, *_rows(kind, shared)]


def tables() -> str:
    """Return the tables of all files, and of the parts that they share, in Markdown."""
    shared = _shared_parts()
    lines = [BEGIN]
    for file, kind in FILES.items():
        lines += _table(file, kind, set(shared), f" Format {kind.present_format()}.")
    for part in shared:
        lines += _table(part.__name__, part, set(shared))
    return "\n".join([*lines, "", END])


def page(text: str) -> str:
    """Replace the tables in the text of docs/run-folder.md by the current ones."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, "the page has lost the lines between which the tables stand"
    return f"{before}{tables()}{after}"


def schemas() -> str:
    """Return the JSON schema of every file, by its name."""
    content = {
        file: kind.model_json_schema(mode="validation", by_alias=True)
        for file, kind in FILES.items()
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def write(docs: Path) -> None:
    """Write tables and schemas into the folder of the documentation."""
    path = docs / "run-folder.md"
    write_text(path, page(path.read_text(encoding="utf-8")))
    write_text(docs / "run-folder.schema.json", schemas())


if __name__ == "__main__":
    write(Path(sys.argv[1]))
