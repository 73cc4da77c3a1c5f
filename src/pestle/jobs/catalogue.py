"""`pestle models`: the foundation models that are known by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pestle.foundations import catalogue
from pestle.views import Shown, Table
from pestle.wording import counted

#: Columns of the table; each is a fact of a model.
HEADINGS = (
    "name",
    "architecture",
    "licence",
    "level of theory",
    "elements",
    "parameters",
    "cached",
)


@dataclass(frozen=True, repr=False)
class Models(Shown):
    """The foundation models that are known by name.

    Attributes:
        rows: name of a fact → value, for each model.
    """

    rows: Sequence[dict[str, Any]]

    def __repr__(self) -> str:
        return self.text()

    def lines(self) -> list[str]:
        """Return how many models there are, and what the table leaves open."""
        return [
            counted(len(self.rows), "foundation model"),
            f"{catalogue.ASL}: see https://github.com/gabor1/ASL. "
            "'?': not published with the model.",
        ]

    def tables(self) -> list[Table]:
        """Return one table with a row for each model."""
        shown = [{**row, "cached": "yes" if row["cached"] else "no"} for row in self.rows]
        cells = [[str(row[h.replace(" ", "_")]) for h in HEADINGS] for row in shown]
        return [Table("Foundation models", HEADINGS, cells)]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the same as plain data."""
        return list(self.rows)


def models() -> Models:
    """List the foundation models that are known by name.

    >>> pestle.models()

    Returns:
        Licence, level of theory, elements and size of each, and whether its file is there.
    """
    return Models(catalogue.rows())
