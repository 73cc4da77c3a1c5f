"""Means and standard deviations over seeds, and rows that are better than the spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pestle.records.gathered import Cell, Column, JudgedOn, Row
from pestle.wording import is_number, number


def cell_of(values: Sequence[float | bool | None]) -> Cell | None:
    """Return mean and standard deviation (n − 1) of finite values; `None` if there are none.

    Args:
        values: value of each run of a row.
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
    """Return the rows with the best values marked.

    Rows that were judged on the same frames are compared, if at least two of them are not
    foundations. The smallest value of a column is the best. If the spread over seeds is known, the
    difference to every other value must exceed the spread of this difference; if it is not known,
    values that look equal in the table are equally good.

    Args:
        rows: the rows, foundations included.
        columns: the columns; only ranked ones are compared.
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
    """Return the places of the rows with a value in a column, grouped by equal frames."""
    classes: dict[str, list[int]] = {}
    for k, row in enumerate(rows):
        frames = row.judged_on.get(column.frames, JudgedOn()).frames
        if frames is not None and column.key in row.cells:
            classes.setdefault(frames, []).append(k)
    # A single model beside its foundation is not called best.
    return [
        places
        for places in classes.values()
        if sum(rows[k].kind != "foundation" for k in places) > 1
    ]


def _best(rows: Sequence[Row], places: Sequence[int], key: str) -> list[int]:
    """Return the places of the best rows; none if the spread is too large to tell."""
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
    """Return the standard deviation of the difference between runs of two rows.

    A row with a single seed has no known deviation and adds nothing; `None` if both rows have none.
    """
    known = [c.deviation for c in (one, other) if c.deviation is not None]
    return math.hypot(*known) if known else None
