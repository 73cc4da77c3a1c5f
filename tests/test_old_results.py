"""Results of protocols as earlier versions wrote them are read, shown and judged as then.

`old_results/NAME.json` is a metrics.json of toy potentials, written before it had a format number.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pestle.protocols import protocol
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import FORMAT, Measured

FOLDER = Path(__file__).parent / "old_results"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def content_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_in_reading(name: str) -> None:
    content = content_of(name)
    assert not {"format", "weights"} & set(content)
    again = Measured.from_json(content, protocol(name).numbers).to_json()
    assert again.pop("format") == FORMAT and again.pop("weights") == ""
    text = json.dumps(again).replace(', "transfers": []', "")  # a field that came later
    assert text == json.dumps(content)  # the order of the keys too


@pytest.mark.parametrize("name", NAMES)
def test_they_are_shown_and_judged(name: str) -> None:
    chosen = protocol(name)
    found = Measured.from_json(content_of(name), chosen.numbers)
    (table, *_) = chosen.tables(found)
    cells = {cell for row in table.rows for cell in row}
    assert cells >= set(found.about.models)
    assert all(chart.series for chart in chosen.charts(found))
    assert chosen.assess(found, read_thresholds()[name])[0].protocol == name


@pytest.mark.parametrize("name", NAMES)
def test_a_number_that_nobody_knows_is_an_error(name: str) -> None:
    content = content_of(name) | {"rsme": 1.0}
    with pytest.raises(ValidationError, match="rsme"):
        Measured.from_json(content, protocol(name).numbers)


def test_an_inner_field_that_is_not_known_is_an_error() -> None:
    content = content_of("md")
    content["potentials"]["EMT"]["runs"][0]["colour"] = "blue"
    with pytest.raises(ValidationError, match="colour"):
        Measured.from_json(content, protocol("md").numbers)
