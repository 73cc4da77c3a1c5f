"""Means and standard deviations over seeds, and which row is best beyond its spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pestle.records.gathered import Cell, Column, JudgedOn, Row
from pestle.wording import is_number, number


def cell_of(values: Sequence[float | bool | None]) -> Cell | None:
    """Mean and standard deviation (n − 1) of the values that are finite; `None` without any.

    Args:
        values: one for each run of a row.
    """
    numbers = tuple(float(v) if isinstance(v, bool) or is_number(v) else None for v in values)
    known = [v for v in numbers if v is not None]
    if not known:
        return None
    return Cell(
        values=numbers,
        mean=statistics.fmean(known),
        deviation=statistics.stdev(known) if len(known) > 1 else None,
        n=len(known),
    )


def with_best(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with their best figures marked.

    The smallest figure of a column is the best of the rows that were judged on equal frames, if
    there are two at least beside foundations, which take part. Where the spread over seeds is
    known it must be smaller than each other one by more than the spread of their difference; where
    it is not, figures that read the same are equally good.
    """
    cells = [dict(row.cells) for row in rows]
    for column in columns:
        if not column.ranked:
            continue
        for together in _on_equal_frames(rows, column):
            for k in _best(rows, together, column.key):
                cells[k][column.key] = cells[k][column.key].model_copy(update={"best": True})
    return [
        row.model_copy(update={"cells": marked}) for row, marked in zip(rows, cells, strict=True)
    ]


def _on_equal_frames(rows: Sequence[Row], column: Column) -> list[list[int]]:
    """Places of the rows with a figure in a column, by the frames that these are of."""
    classes: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        frames = row.judged_on.get(column.frames, JudgedOn()).frames
        if frames is not None and column.key in row.cells:
            classes.setdefault(frames, []).append(k)
    # One model against its foundation is no comparison of models.
    return [
        places
        for places in classes.values()
        if sum(rows[k].kind != "foundation" for k in places) > 1
    ]


def _best(rows: Sequence[Row], places: Sequence[int], key: str) -> list[int]:
    """Those of some rows that are best; none where nobody can tell."""
    means = {k: mean for k in places if (mean := rows[k].cells[key].mean) is not None}
    first = min(means, key=lambda k: means[k])
    best = []
    for k, mean in means.items():
        spread = _spread_of_difference(rows[first].cells[key], rows[k].cells[key])
        if k == first or (spread is None and number(mean) == number(means[first])):
            best.append(k)
        elif spread is not None and mean - means[first] <= spread:
            return []
    return best


def _spread_of_difference(one: Cell, other: Cell) -> float | None:
    """Standard deviation of the difference between a run of one row and a run of another; `None`
    where neither row has several seeds. A row of one seed adds nothing that is known."""
    known = [c.deviation for c in (one, other) if c.deviation is not None]
    return math.hypot(*known) if known else None
