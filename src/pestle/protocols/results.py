"""Output of protocols: charts, tables and flagged structures, as plain data.

It does not depend on how a terminal or a page shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ase import Atoms


@dataclass(frozen=True)
class Series:
    """One line, cloud, violin or row of bars: values of a potential, or of the reference.

    Attributes:
        name: a potential's name as in the metrics, or `reference`.
        x: numbers, or the names of categories.
        y: numbers; `None` where there is none.
        error: half-width of an error bar or band around each y, as long as y; `None` where it is
            not known.
        dashed: drawn broken, where one potential has two lines.
    """

    name: str
    x: list[Any]
    y: list[float | None]
    error: Sequence[float | None] | None = None
    dashed: bool = False

    def __post_init__(self) -> None:
        lengths = {len(values) for values in (self.x, self.y, self.error) if values is not None}
        if len(lengths) > 1:
            raise ValueError("x, y and error differ in length")
        if any(value is None for value in self.x):
            raise ValueError("a value of x is missing")


@dataclass(frozen=True)
class Chart:
    """What is drawn, without saying how.

    Attributes:
        title: what it shows.
        x_label, y_label: with units.
        series: by potential.
        y_range: where the interesting values lie; `None` for all.
        kind: `line`; `points` without lines (parity: `diagonal`); `violin` (distribution of y at
            each category x); `bar` (one bar a category x).
        caption: a sentence below it.
        log_y: logarithmic y axis.
        diagonal: whether y = x is drawn.
        size: `wide`, `half`, or `small` for one of many in a grid.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series] = field(default_factory=list)
    y_range: tuple[float, float] | None = None
    kind: Literal["line", "points", "violin", "bar"] = "line"
    caption: str = ""
    log_y: bool = False
    diagonal: bool = False
    size: Literal["wide", "half", "small"] = "half"


@dataclass(frozen=True)
class Column:
    """Heading of a column. `digits`: significant digits of its numbers; `None` for text."""

    heading: str
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True)
class Table:
    """Rows of text, numbers or `None`; a cell that names a potential holds the name as in the
    metrics, which whoever shows it may replace by its label."""

    title: str
    columns: list[Column]
    rows: list[list[Any]]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row has not one cell for each column")


@dataclass(frozen=True)
class Flagged:
    """A structure that a protocol found fault with.

    Attributes:
        potential: on which it was found.
        title: which one it is.
        reason: what is wrong with it.
        atoms: the structure, without calculator.
    """

    potential: str
    title: str
    reason: str
    atoms: Atoms
