"""The documentation of the records is made from them, and explains every field."""

from __future__ import annotations

import json
from pathlib import Path

from pestle.records.docs import FILES, page, schemas, tables

DOCS = Path(__file__).parents[1] / "docs"


def test_tables_and_schemas_are_up_to_date() -> None:
    text = (DOCS / "run-folder.md").read_text()
    assert text == page(text), "python -m pestle.records.docs docs"
    assert (DOCS / "run-folder.schema.json").read_text() == schemas()


def test_every_field_is_explained() -> None:
    rows = [line for line in tables().splitlines() if line.startswith("| `")]
    assert len(rows) > 200 and not [row for row in rows if row.endswith("|  |")]


def test_a_schema_knows_the_names_of_the_file() -> None:
    """`from` is no name in Python."""
    found = json.loads(schemas())
    assert set(found) == set(FILES)
    assert {"from", "to"} <= set(found["manifest.json"]["$defs"]["Change"]["properties"])
    assert found["manifest.json"]["additionalProperties"] is False
