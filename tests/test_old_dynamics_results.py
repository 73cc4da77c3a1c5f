"""Results of `md`, `rdf`, `neb` and `rss` as they were written before they had a format number."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pestle.files import read_json
from pestle.protocols import protocol
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import FORMAT, Measured

OLD = Path(__file__).parent / "old_results"


@pytest.mark.parametrize("name", ["md", "rdf", "neb", "rss"])
def test_results_without_a_format_are_read_shown_and_judged(name: str) -> None:
    content, test = read_json(OLD / f"{name}.json"), protocol(name)
    assert "format" not in content
    found = Measured.from_json(content, test.numbers)
    assert found.to_json() == content | {"format": FORMAT}
    assert test.charts(found) and test.tables(found)[0].rows
    assert test.assess(found, read_thresholds()[name])


def test_a_field_that_is_not_known_is_an_error() -> None:
    content = read_json(OLD / "md.json")
    content["potentials"]["EMT"]["runs"][0]["colour"] = "blue"
    with pytest.raises(ValidationError, match="colour"):
        Measured.from_json(content, protocol("md").numbers)
