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
    """One line, cloud, violin or row of bars: values of a potential or of the reference.

    Attributes:
        name: name of a potential as in the metrics, or `reference`.
        x: numbers, or names of categories.
        y: numbers; `None` for missing ones.
        error: half-width of an error bar or band around each y, in the same order; `None` if
            unknown.
        runs: number of runs that each y is the mean of, in the same order; `None` if y are no means
            over runs.
        dashed: whether the line is dashed, for a second line of one potential.
    """

    name: str
    x: list[Any]
    y: list[float | None]
    error: Sequence[float | None] | None = None
    runs: Sequence[int] | None = None
    dashed: bool = False

    def __post_init__(self) -> None:
        every = (self.x, self.y, self.error, self.runs)
        lengths = {len(values) for values in every if values is not None}
        if len(lengths) > 1:
            raise ValueError("x, y, error and runs differ in length")
        if any(value is None for value in self.x):
            raise ValueError("a value of x is missing")


@dataclass(frozen=True)
class Chart:
    """The content of a chart, independent of how it is drawn.

    Attributes:
        title: title of the chart.
        x_label, y_label: labels of the axes, with units.
        series: data of each potential.
        y_range: range of the interesting values; `None` for all values.
        kind: `line`; `points` without lines (parity plots: `diagonal`); `violin` (distribution of y
            in each category x); `bar` (one bar per category x).
        caption: a sentence below the chart.
        log_y: whether the y axis is logarithmic.
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
    """Heading of a column.

    Attributes:
        heading: text of the heading.
        unit: unit of the numbers; empty without one.
        digits: significant digits of the numbers; `None` for text.
    """

    heading: str
    unit: str = ""
    digits: int | None = None


@dataclass(frozen=True)
class Table:
    """A table whose cells are text, numbers or `None`.

    A cell with the name of a potential contains the name as in the metrics, which the page or
    terminal may replace by its label.

    Attributes:
        title: title of the table.
        columns: headings.
        rows: cells of each row.
        note: text below the table.
    """

    title: str
    columns: list[Column]
    rows: list[list[Any]]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a row has not one cell for each column")


@dataclass(frozen=True)
class Flagged:
    """A structure for which a protocol found a problem.

    Attributes:
        potential: name of the potential.
        title: name of the structure.
        reason: what is wrong with it.
        atoms: the structure, without calculator.
    """

    potential: str
    title: str
    reason: str
    atoms: Atoms
