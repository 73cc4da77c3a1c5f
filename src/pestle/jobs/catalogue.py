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
#: Columns that fit into 80 letters; `here` says whether the model is cached.
SHORT = ("name", "licence", "level of theory", "elements", "here")
#: Which of them to choose, in a sentence.
WHICH = (
    "To try Pestle out: pestle-seed1, which comes with it and is small; for work: a model that was "
    "trained on far more data, e.g. medium-mpa-0, or one whose level of theory is yours."
)


@dataclass(frozen=True, repr=False)
class Models(Shown):
    """The foundation models that are known by name.

    Attributes:
        rows: name of a fact → value, for each model.
    """

    rows: Sequence[dict[str, Any]]

    def __repr__(self) -> str:
        names, *_ = self.narrow_tables()
        return f"{self.lines()[0]}\n{names.text()}"

    def lines(self) -> list[str]:
        """Return how many models there are, which to choose, and what the table leaves open."""
        return [
            counted(len(self.rows), "foundation model"),
            WHICH,
            f"ASL: {catalogue.ASL}, https://github.com/gabor1/ASL. "
            "'?': not published with the model.",
        ]

    def tables(self) -> list[Table]:
        """Return one table with a row for each model."""
        shown = [{**row, "cached": "yes" if row["cached"] else "no"} for row in self.rows]
        cells = [[str(row[h.replace(" ", "_")]) for h in HEADINGS] for row in shown]
        return [Table("Foundation models", HEADINGS, cells)]

    def narrow_tables(self) -> list[Table]:
        """Return the columns in two tables, each of which fits into a line of 80 letters."""
        cells = [
            [
                row["name"],
                "ASL" if row["licence"] == catalogue.ASL else row["licence"],
                row["level_of_theory"],
                # Symbols are counted.
                str(len(symbols)) if len(symbols := row["elements"].split(",")) > 1 else symbols[0],
                "yes" if row["cached"] else "no",
            ]
            for row in self.rows
        ]
        rest = [[row["name"], row["architecture"], row["parameters"]] for row in self.rows]
        return [
            Table("Foundation models", SHORT, cells),
            Table("Their size", ("name", "architecture", "parameters"), rest),
        ]

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
