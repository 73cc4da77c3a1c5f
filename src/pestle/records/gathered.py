"""Several runs as one table; runs that differ only by their seed are one row.

`pestle report RUN RUN --json` prints it, and studies write it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pestle.records.base import Figure, Part, Record
from pestle.records.parts import Value

#: Subject of a column, in the order of the table.
About = Literal["settings", "training", "errors", "breadth", "tests", "cost"]


class GatheredRun(Part):
    """A run folder in a row.

    Attributes:
        name: unique name of the run.
        path: path of the folder as it was given.
        seed: `train.seed`; null if it is not recorded.
        status: status in its manifest; empty for tests of a model.
    """

    name: str
    path: str
    seed: int | None = None
    status: str = ""


class Column(Part):
    """A column of the table.

    Attributes:
        key: unique name: that of a setting, or for example `test.all.forces_rmse`.
        about: subject of the column.
        heading: heading in words.
        over: common heading of several columns: set and group of errors, or title of a protocol.
        unit: unit of its numbers; empty for none.
        kind: kind of its cells: text, numbers, counts (whole numbers), or truths (1 and 0).
        frames: set of frames that its numbers are about; empty if there is none.
        group: config_type of these frames, or `all`.
        ranked: whether the smallest number is the best; it is marked among rows that were judged
            on the same frames.
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
    """Value of a row in a column.

    Attributes:
        values: value of each run of the row; null if a run has none. Empty for texts.
        mean: mean of the known values; null if there are none.
        deviation: standard deviation of the known values (n − 1); null for fewer than two.
        n: number of known values.
        text: text instead of values; empty if there are values.
        level: level of the worst finding (pass, concern, fail) or of a verdict; null for other
            numbers.
        best: whether it is the best among rows that were judged on the same frames.
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
        n_frames: number of frames; null if the runs of the row differ.
        frames: text that is equal in two rows if frames and labels are the same; null if it is not
            known.
    """

    n_frames: int | None = None
    frames: str | None = None


class Row(Part):
    """Runs that differ only by their seed, a foundation, or a model that was tested without a run.

    Attributes:
        name: name of the row.
        kind: `runs`, `tested` (a model without a run), or `foundation`.
        runs: the runs in the order in which they were given; for a foundation its first run.
        seeds: seeds of the runs, in the same order.
        settings: setting → value, for all settings that differ between rows, also those without a
            column.
        judged_on: set → frames on which the row was judged.
        cells: key of a column → cell; columns without a value are left out.
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
        columns: columns in order.
        rows: rows in order.
        notes: notes for readers, one sentence each.
    """

    format: int = 1
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def about(self, *abouts: About) -> tuple[Column, ...]:
        """Return the columns with one of these subjects.

        Args:
            abouts: subjects of columns.
        """
        return tuple(column for column in self.columns if column.about in abouts)
