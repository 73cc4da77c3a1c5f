"""timings.json: when the tests of a model were run, and how long each took."""

from __future__ import annotations

from pydantic import Field

from pestle.records.base import Record


class Timings(Record):
    """When the tests were run.

    Attributes:
        when: end of the last qualification, in UTC.
        seconds: protocol → how long it took (s).
    """

    format: int = 2
    when: str
    seconds: dict[str, float] = Field(default_factory=dict)
