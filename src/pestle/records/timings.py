"""timings.json: when the tests of a model were run, and how long each took."""

from __future__ import annotations

from pydantic import Field

from pestle.records.base import Record


class Timings(Record):
    """Times of the tests.

    Attributes:
        when: end of the last qualification, UTC.
        seconds: protocol → its duration (s).
    """

    format: int = 2
    when: str
    seconds: dict[str, float] = Field(default_factory=dict)
