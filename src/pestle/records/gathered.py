"""Several runs as one table: rows of runs that differ by seed alone, and what is compared of them.

`pestle report RUN RUN --json` prints it; studies write it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pestle.records.base import Figure, Part, Record
from pestle.records.parts import Value

#: What a column is about; in the order of a table.
About = Literal["settings", "training", "errors", "breadth", "tests", "cost"]


class GatheredRun(Part):
    """A run folder in a row.

    Attributes:
        name: that tells it from the others.
        path: of the folder, as it was given.
        seed: `train.seed`; null where it is not recorded.
        status: of its manifest; empty for tests of a model.
    """

    name: str
    path: str
    seed: int | None = None
    status: str = ""


class Column(Part):
    """What is compared.

    Attributes:
        key: unique in the table: a setting's name, or `test.all.forces_rmse`.
        about: what the column is about.
        heading: in words.
        over: heading that several columns share: the set and group of errors, a protocol's title.
        unit: of its figures; empty for none.
        kind: of its cells: text, numbers, counts (whole numbers), or truths (1 and 0).
        frames: set of frames that its figures are of; empty where they are of none.
        group: config_type of these frames, or `all`.
        ranked: whether the smallest figure is the best, so that it is marked among rows that were
            judged on equal frames.
    """

    key: str
    about: About
    heading: str
    over: str = ""
    unit: str = ""
    kind: Literal["text", "number", "count", "truth"] = "number"
    frames: str = ""
    group: str = ""
    ranked: bool = False


class Cell(Part):
    """What a row has in a column.

    Attributes:
        values: of each run of the row; null where one has none. Left out of text.
        mean: of the values that there are; null without any.
        deviation: their standard deviation, with n − 1; null for fewer than two.
        n: how many values there are.
        text: in words, instead of values; empty where there are values.
        level: of the worst finding (pass, concern, fail), or of a verdict; null for other figures.
        best: whether no other row that was judged on equal frames comes close.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"level"})

    values: tuple[Figure, ...] = ()
    mean: Figure = None
    deviation: Figure = None
    n: int = 0
    text: str = ""
    level: Literal["pass", "concern", "fail", "incomplete"] | None = None
    best: bool = False


class JudgedOn(Part):
    """The frames that a row was judged on.

    Attributes:
        n_frames: their number; null where the runs of the row differ.
        frames: the same text in two rows says that the frames and labels are the same; null where
            nobody can tell.
    """

    n_frames: int | None = None
    frames: str | None = None


class Row(Part):
    """Runs that differ by seed alone; or a foundation, or a model that was tested alone.

    Attributes:
        name: of the row.
        kind: `runs`, `tested` (a model without a run), or `foundation` (what runs began with).
        runs: in the order in which they were given; of a foundation the first whose foundation it
            is.
        seeds: of the runs, in their order.
        settings: setting → value, of all settings that differ between rows, shown as columns or
            not.
        judged_on: set → its frames.
        cells: key of a column → cell; left out where the row has nothing in a column.
    """

    name: str
    kind: Literal["runs", "tested", "foundation"] = "runs"
    runs: tuple[GatheredRun, ...]
    seeds: tuple[int, ...] = ()
    settings: dict[str, Value] = Field(default_factory=dict)
    judged_on: dict[str, JudgedOn] = Field(default_factory=dict)
    cells: dict[str, Cell] = Field(default_factory=dict)


class Gathered(Record):
    """Several runs as one table.

    Attributes:
        columns: in order.
        rows: in order.
        notes: what a reader of the table must know, one sentence each.
    """

    format: int = 1
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def about(self, *abouts: About) -> tuple[Column, ...]:
        """The columns that are about one of these."""
        return tuple(column for column in self.columns if column.about in abouts)
