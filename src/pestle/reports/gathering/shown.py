"""Blocks of columns that fit beside each other, and texts of cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pestle.metrics import ALL, is_rounding
from pestle.records.gathered import TRAINING_FRAMES, Cell, Column, Gathered, JudgedOn, Row
from pestle.wording import MISSING, count, fixed, is_number, number, setting_value

#: Digits of a standard deviation; with a few seeds more digits mean nothing.
SPREAD_DIGITS = 2
#: Letters for different frames.
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Block:
    """Columns beside each other, and the rows with values in them.

    Attributes:
        key: unique name, of letters, digits and dashes.
        title: title of the block.
        columns: columns in order.
        rows: rows in order.
        lead: heading → text of each row, for columns before the others: seeds and frames.
        alike: what is the same in all rows and so has no column: `10 frames`, `converged: no`.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    lead: dict[str, tuple[str, ...]]
    alike: tuple[str, ...] = ()

    @property
    def whole_title(self) -> str:
        """The title, and what is the same in all rows."""
        return " · ".join((self.title, *self.alike))

    @property
    def headings(self) -> list[str]:
        """Headings of the columns; they name the protocol or set if the block has several."""
        several = len({column.over for column in self.columns}) > 1
        return [
            f"{column.over}: {column.heading}" if column.over and several else column.heading
            for column in self.columns
        ]


def blocks_of(gathered: Gathered) -> list[Block]:
    """Return the blocks of a table: runs, errors on each set, breadth, tests and cost.

    Args:
        gathered: the table.
    """
    runs = tuple(row for row in gathered.rows if row.kind != "foundation")
    done, alike = _differing(runs, gathered.about("settings", "training"))
    blocks = [Block("runs", "Runs", done, runs, _seeds(runs), alike)]
    errors = gathered.about("errors")
    for over in dict.fromkeys(column.over for column in errors):
        columns = tuple(column for column in errors if column.over == over)
        rows, first = _with(gathered.rows, columns), columns[0]
        key = f"errors-{first.frames}" + f"-{first.group}" * (first.group != ALL)
        # A table of a study has a name of its own.
        named = first.group == first.over
        title = over if named else f"Errors: {over[:1].lower()}{over[1:]}"
        lead = _seeds(rows) | _trained_on(rows)
        same: tuple[str, ...] = ()
        if first.group == ALL:
            counts = _frames(rows, first)
            if len(set(counts)) > 1:
                lead["frames"] = counts
            elif counts[:1] != (MISSING,):
                same = (f"{counts[0]} frame{'' if counts[0] == '1' else 's'}",)
        blocks.append(Block(key, title, columns, rows, lead, same))
    for about, title in (
        ("breadth", "Breadth"),
        ("tests", "Verdict and tests"),
        ("cost", "Cost"),
    ):
        columns = tuple(column for column in gathered.columns if column.about == about)
        rows = _with(gathered.rows, columns)
        if columns:
            blocks.append(Block(about, title, columns, rows, _seeds(rows)))
    return [block for block in blocks if block.rows]


def _differing(
    rows: Sequence[Row], columns: Sequence[Column]
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return the columns in which rows differ, and the others in words.

    The setting `train.updates` has no column where all runs made the updates that it asks for.
    """
    texts = {column.key: [text_of(row, column) for row in rows] for column in columns}
    asked = [text.replace(",", "") for text in texts.get("updates", ())]
    shown = [c for c in columns if c.key != "train.updates" or texts[c.key] != asked]
    if len(rows) < 2:
        return tuple(shown), ()
    same = [column for column in shown if len(set(texts[column.key])) == 1]
    alike = [f"{c.heading}: {texts[c.key][0]} {c.unit}".rstrip() for c in same]
    return tuple(column for column in shown if column not in same), tuple(alike)


def _seeds(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Return the number of different seeds of each row; empty if all have one. Where a row has more
    runs than seeds, their number, too."""
    of_runs = [row for row in rows if row.kind == "runs"]
    found: dict[str, tuple[str, ...]] = {}
    if any(len(set(row.seeds)) > 1 for row in of_runs):
        found["seeds"] = _counts(rows, lambda row: len(set(row.seeds)))
    if any(len(row.runs) > max(1, len(set(row.seeds))) for row in of_runs):
        found["runs"] = _counts(rows, lambda row: len(row.runs))
    return found


def _counts(rows: Sequence[Row], of: Callable[[Row], int]) -> tuple[str, ...]:
    return tuple(MISSING if row.kind != "runs" else count(of(row)) for row in rows)


def _trained_on(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Return the number of training frames of each row; empty if all have the same.

    Rows that were trained on different parts of the same files differ by it alone.
    """
    cells = [row.cells.get(TRAINING_FRAMES) for row in rows]
    found = [cell.mean if cell is not None else None for cell in cells]
    if len({one for one in found if one is not None}) < 2:
        return {}
    return {"trained on": tuple(count(one) for one in found)}


def _with(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Return the rows with a value in at least one of the columns."""
    return tuple(row for row in rows if any(column.key in row.cells for column in columns))


def _frames(rows: Sequence[Row], column: Column) -> tuple[str, ...]:
    """Return the number of frames of each row.

    If ranked rows have different frames, letters tell these apart (`60 a`, `60 b`); `60 ?` are
    frames that are not known.
    """
    judged = [row.judged_on.get(column.frames, JudgedOn()) for row in rows]
    kinds = list(dict.fromkeys(one.frames for one in judged if one.frames is not None))
    differ = column.ranked and len({one.frames for one in judged}) > 1
    said = []
    for one in judged:
        letter = _LETTERS[kinds.index(one.frames) % len(_LETTERS)] if one.frames else "?"
        said.append(f"{count(one.n_frames)} {letter}" if differ else count(one.n_frames))
    return tuple(said)


def text_of(row: Row, column: Column) -> str:
    """Return the text of a cell; an em dash if it is empty."""
    if column.about == "settings":
        return setting_value(row.settings.get(column.key)) if row.settings else MISSING
    cell = row.cells.get(column.key)
    if cell is None:
        return MISSING
    if cell.text or not cell.n:
        return cell.text or cell.level or MISSING
    if column.kind == "truth":
        true = sum(value == 1.0 for value in cell.values)
        if true in (0, cell.n):
            return "yes" if true else "no"
        return f"{true} of {cell.n}"
    if column.unit.startswith("meV") and _is_rounding(cell):
        return "0"
    text = with_spread(cell.mean, cell.deviation, whole=column.kind == "count")
    # Some runs of the row have no value.
    return f"{text} ({cell.n} of {len(cell.values)})" if 0 < cell.n < len(cell.values) else text


def _is_rounding(cell: Cell) -> bool:
    """Whether errors in meV are those of the arithmetic: a model against labels of its own."""
    return is_rounding(cell.mean) and is_rounding(cell.deviation or 0.0)


def with_spread(mean: float | None, deviation: float | None, *, whole: bool = False) -> str:
    """Return mean and deviation with the same number of decimals: `40.75 ± 0.15`.

    Args:
        mean: mean of the values.
        deviation: their standard deviation, shown with two digits; `None` for a single value.
        whole: whether the values are counts, which are shown with all digits.
    """
    if mean is None:
        return MISSING
    if deviation is None or deviation == 0:
        return count(mean) if whole and mean == round(mean) else number(mean)
    size = math.floor(math.log10(float(f"{deviation:.{SPREAD_DIGITS - 1}e}")))
    # A deviation that is tiny compared with the mean is shown as 0.
    if is_number(mean) and mean and size < math.floor(math.log10(abs(mean))) - 5:
        return f"{number(mean, 4)} ± 0"
    if size < -4:
        power = math.floor(math.log10(max(abs(mean), deviation)))
        mean, deviation, size = mean / 10**power, deviation / 10**power, size - power
        both = f"({_to(mean, size)} ± {_to(deviation, size)})"
        return f"{both}×{number(10.0**power, 1).partition('×')[2] or f'10^{power}'}"
    return f"{_to(mean, size)} ± {_to(deviation, size)}"


def _to(value: float, size: int) -> str:
    """Round to the last digit of a deviation; its first digit is at this power of ten."""
    return fixed(value, max(0, SPREAD_DIGITS - 1 - size))
