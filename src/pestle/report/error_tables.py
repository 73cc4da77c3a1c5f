"""Errors by set, group and model as rows, the best of each group emphasised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pestle.protocols.ending import WORSE_BY
from pestle.protocols.results import Table
from pestle.records.wording import MISSING, count, is_number, number
from pestle.report.facts import own_labels
from pestle.report.models import REPLAY_SET, Models
from pestle.report.run_folder import RunFolder, nested

#: Set → how the page calls it. Others keep their own names.
SETS = {"test": "Test", "valid": "Validation", "train": "Training"}

#: Quantity → (heading, unit), in the order of columns.
QUANTITIES = {
    "energy": ("Energy", "meV/atom"),
    "forces": ("Forces", "meV/Å"),
    "stress": ("Stress", "meV/Å³"),
}

_REMARKS = {
    "test": "Never seen by the training: these are the errors to quote.",
    "valid": "These frames chose the epoch, so their errors are a little optimistic.",
    "train": "What the model was fitted to; much smaller errors here than above mean overfitting.",
    REPLAY_SET: "The replay head on held-out replay structures; the foundation's row is the "
    "foundation itself, with its own E0s.",
}
_OWN_LABELS = (
    " The labels are the foundation's own predictions: its errors are rounding, and those of the "
    "replay head are what it forgot. So they are not ranked."
)


def set_names(sets: dict[str, Any]) -> list[str]:
    """Names of the sets: the test set first, then others that were held out."""
    last = ("valid", "train", REPLAY_SET)
    free = [s for s in sets if s not in ("test", *last)]
    return [s for s in ("test", *free, *last) if s in sets]


def quotable(sets: dict[str, Any]) -> list[str]:
    """Sets that had no part in the training, in order."""
    return [s for s in set_names(sets) if s not in ("valid", "train", REPLAY_SET)]


def set_title(name: str) -> str:
    """How a set is called in a heading."""
    return SETS.get(name, name)


def set_heading(name: str) -> str:
    """Heading of a table or of plots about a set."""
    return "Held-out replay structures" if name == REPLAY_SET else f"{set_title(name)} frames"


def set_in_words(name: str) -> str:
    """How a set is called in a sentence."""
    return f"{SETS[name].lower() if name in SETS else name} frames"


def error_tables(folder: RunFolder, models: Models) -> list[dict[str, Any]]:
    """One table per set: its columns and groups of rows, one row per model."""
    sets = nested(folder.errors, "sets")
    tables = []
    for name in set_names(sets):
        by_model = {m: nested(sets, name, m) for m in models.names if nested(sets, name, m)}
        if not by_model:
            continue
        shown = [q for q in QUANTITIES if _anybody_has(by_model, q)]
        ranked = not (name == REPLAY_SET and own_labels(folder))
        tables.append(
            {
                "name": name,
                "title": set_heading(name),
                "remark": _REMARKS.get(name, "") + ("" if ranked else _OWN_LABELS),
                "columns": [(*QUANTITIES[q], q) for q in shown],
                "groups": [
                    _group(by_model, g, shown, models, in_set=name, ranked=ranked)
                    for g in _groups(by_model)
                ],
            }
        )
    return tables


def _anybody_has(by_model: dict[str, dict[str, Any]], quantity: str) -> bool:
    return any(
        is_number(nested(groups, group).get(f"{quantity}_{kind}"))
        for groups in by_model.values()
        for group in groups
        for kind in ("rmse", "mae")
    )


def _groups(by_model: dict[str, dict[str, Any]]) -> list[str]:
    found = dict.fromkeys(group for groups in by_model.values() for group in groups)
    return ["all"] * ("all" in found) + [g for g in found if g != "all"]


def _group(
    by_model: dict[str, dict[str, Any]],
    group: str,
    shown: list[str],
    models: Models,
    *,
    in_set: str,
    ranked: bool,
) -> dict[str, Any]:
    fields = [f"{q}_{kind}" for q in shown for kind in ("rmse", "mae")]
    values = {m: nested(groups, group) for m, groups in by_model.items()}
    best = {f: _best([v.get(f) for v in values.values()]) if ranked else None for f in fields}
    base = values.get(models.base, {})
    rows = []
    for model, errors in values.items():
        cells = [
            {
                "text": number(errors.get(f)),
                # Compared as shown: two models that both read 32.3 are equally good here.
                "best": best[f] is not None and number(errors.get(f)) == best[f],
                "worse": ranked and model == models.tuned and is_worse(errors.get(f), base.get(f)),
                "first": f.endswith("_rmse"),
            }
            for f in fields
        ]
        rows.append(
            {
                "model": model,
                "label": models.label(model, in_set),
                "colour": models.colours[model],
                "cells": cells,
            }
        )
    sizes = [v.get("n_frames") for v in values.values() if is_number(v.get("n_frames"))]
    return {"name": group, "n_frames": count(sizes[0] if sizes else None), "rows": rows}


def _best(values: list[Any]) -> str | None:
    """The smallest value as shown; `None` unless two models can be compared."""
    known = [v for v in values if is_number(v)]
    return number(min(known)) if len(known) > 1 else None


def is_worse(value: Any, base: Any) -> bool:
    """Whether an RMSE is larger than the foundation's beyond what a few frames scatter."""
    return is_number(value) and is_number(base) and value > (1 + WORSE_BY) * base > 0


def worse_than_foundation(folder: RunFolder, models: Models) -> list[str]:
    """Groups of the first set in which this run's model is worse than the foundation, in words."""
    sets = nested(folder.errors, "sets")
    lines = []
    for name in [s for s in set_names(sets) if s not in ("train", REPLAY_SET)][:1]:
        tuned, base = nested(sets, name, models.tuned), nested(sets, name, models.base)
        for group in tuned:
            for quantity, (heading, unit) in QUANTITIES.items():
                new = nested(tuned, group).get(f"{quantity}_rmse")
                old = nested(base, group).get(f"{quantity}_rmse")
                if is_worse(new, old):
                    lines.append(
                        f"{set_in_words(name)}, {group}: {heading.lower()} RMSE "
                        f"{number(new)} {unit}, foundation {number(old)}"
                    )
    return lines


#: Rows that a page shows of a table, and of all tables of a protocol.
MAX_ROWS, MAX_ALL_ROWS = 400, 2000
#: A table with more rows scrolls in a box of its own.
TALL = 24
#: Letters after which a text goes on in the next line.
READABLE = 36


def table_rows(
    tables: Sequence[Table], models: Models, labels: dict[str, str]
) -> list[dict[str, Any]]:
    """Title, columns and rows of each table.

    Args:
        tables: of one protocol.
        models: styles of the potentials.
        labels: potential → what a reader is told, as this protocol has it.
    """
    left, found = MAX_ALL_ROWS, []
    for table in tables:
        if not table.columns or not table.rows:
            continue
        rows = table.rows[: min(MAX_ROWS, left)]
        left -= len(rows)
        found.append(
            {
                "title": table.title,
                "note": table.note,
                "columns": [
                    {
                        "heading": c.heading,
                        "unit": c.unit,
                        "number": c.digits is not None,
                        "letters": _letters([row[k] for row in rows]),
                    }
                    for k, c in enumerate(table.columns)
                ],
                "rows": [
                    [
                        _cell(value, column.digits, models, labels)
                        for value, column in zip(row, table.columns, strict=True)
                    ]
                    for row in rows
                ],
                "total": len(table.rows),
                "cut": len(rows) < len(table.rows),
                "tall": len(rows) > TALL,
            }
        )
    return found


def _letters(cells: Sequence[Any]) -> int:
    """Width of a column of text: that of its longest, up to what is read with ease."""
    return min(max((len(v) for v in cells if isinstance(v, str)), default=0), READABLE)


def _cell(value: Any, digits: int | None, models: Models, labels: dict[str, str]) -> dict[str, Any]:
    """Text; `sort`: the value itself where it is a number; `colour` of a potential."""
    cell: dict[str, Any] = {"text": MISSING, "sort": None, "colour": None}
    if value is None:
        return cell
    if isinstance(value, bool):
        return cell | {"text": "yes" if value else "no"}
    if is_number(value):
        text = count(value) if isinstance(value, int) else number(value, digits or 4)
        return cell | {"text": text, "sort": repr(value)}
    text = str(value)
    if text in models.labels:
        colour = models.style(text).colour
        return cell | {"text": labels.get(text) or models.label(text), "colour": colour}
    return cell | {"text": text}
