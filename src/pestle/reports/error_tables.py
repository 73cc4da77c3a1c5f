"""Tables of errors by set, group and model; the best error of each group is marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pestle.metrics import FrameErrors, is_rounding
from pestle.records.old_sets import chose_the_model, is_old
from pestle.records.set_errors import WORSE_BY
from pestle.reports.facts import own_labels
from pestle.reports.models import Models
from pestle.reports.reading import REPLAY_SET, Results
from pestle.wording import count, listed, number

#: Set → its name on the page. Other sets keep their own names.
SETS = {"test": "Test", "valid": "Validation", "train": "Training"}

#: Model → group → errors on a set.
ByModel = Mapping[str, Mapping[str, FrameErrors]]


@dataclass(frozen=True)
class Quantity:
    """A predicted quantity.

    Attributes:
        name: its name in settings and records.
        heading: heading of its columns.
        word: its name in a sentence; `plural` where it is a noun of its own.
        unit: unit of its errors.
        rmse, mae: functions that return its errors.
    """

    name: str
    heading: str
    word: str
    plural: str
    unit: str
    rmse: Callable[[FrameErrors], float | None]
    mae: Callable[[FrameErrors], float | None]


#: All quantities, in the order of the columns.
QUANTITIES = (
    Quantity(
        "energy",
        "Energy",
        "energy",
        "energies",
        "meV/atom",
        lambda e: e.energy_rmse,
        lambda e: e.energy_mae,
    ),
    Quantity(
        "forces",
        "Force",
        "force",
        "forces",
        "meV/Å",
        lambda e: e.forces_rmse,
        lambda e: e.forces_mae,
    ),
    Quantity(
        "stress",
        "Stress",
        "stress",
        "stress",
        "meV/Å³",
        lambda e: e.stress_rmse,
        lambda e: e.stress_mae,
    ),
)
ENERGY, FORCES, _ = QUANTITIES

_REMARKS = {
    "test": "The training did not use these frames: quote these errors.",
    "valid": "These frames chose the epoch, so the errors are a little too small.",
    "train": "The model was fitted to these frames; much smaller errors than above mean "
    "overfitting.",
    REPLAY_SET: "Errors of the replay head on held-out replay structures. The row of the "
    "foundation is the foundation itself, with its own E0s.",
}
_OF_OLD = "A set of the run that was continued: how much of what it learned is kept."
_OWN_LABELS = (
    " The labels are predictions of the foundation, so its errors are rounding errors, and the "
    "errors of the replay head show what it forgot. They are not ranked."
)


@dataclass(frozen=True)
class Telling:
    """Errors on all frames of the most informative set.

    Attributes:
        name: name of the set.
        tuned: errors of the model of the run.
        base: errors of its foundation; `None` if it was not judged.
    """

    name: str
    tuned: FrameErrors
    base: FrameErrors | None


def telling(folder: Results, models: Models) -> Telling | None:
    """Return the errors on the most informative set: test, else validation, else training frames.

    Args:
        folder: results of the run.
        models: names of the potentials.

    Returns:
        The errors; `None` if no set was judged.
    """
    sets = folder.errors
    for name in set_names(sets):
        tuned = sets[name].get(models.tuned, {}).get("all")
        if name != REPLAY_SET and tuned is not None:
            return Telling(name, tuned, sets[name].get(models.base, {}).get("all"))
    return None


def set_names(sets: Mapping[str, Any]) -> list[str]:
    """Return the names of the sets in the order of the page.

    The test set is first, then other sets that were held out. Sets of continued runs follow those
    of the run itself; training frames and replay structures are last.

    Args:
        sets: name of a set → anything.
    """
    last = ("train", REPLAY_SET)
    old = [s for s in sets if is_old(s)]
    free = [s for s in sets if s not in ("test", "valid", *old, *last)]
    return [s for s in ("test", *free, "valid", *old, *last) if s in sets]


def quotable(sets: Mapping[str, Any]) -> list[str]:
    """Return the sets that had no part in the training, in the order of the page.

    Args:
        sets: name of a set → anything.
    """
    return [s for s in set_names(sets) if not chose_the_model(s) and s not in ("train", REPLAY_SET)]


def set_heading(name: str) -> str:
    """Return the name of a set as the heading of a table or plot."""
    if is_old(name):
        return name.capitalize()
    return "Held-out replay structures" if name == REPLAY_SET else f"{SETS.get(name, name)} frames"


def set_in_words(name: str) -> str:
    """Return the name of a set for a sentence."""
    return f"{SETS[name].lower() if name in SETS else name} frames"


def error_tables(folder: Results, models: Models) -> list[dict[str, Any]]:
    """Return a table for each set: its columns, and groups with one row for each model.

    Args:
        folder: results of the run.
        models: names and styles of the potentials.
    """
    tables = []
    everybody = [m for m in models.names if any(of.get(m) for of in folder.errors.values())]
    for name in set_names(folder.errors):
        found = folder.errors[name]
        by_model = {model: found[model] for model in models.names if found.get(model)}
        if not by_model:
            continue
        every = [errors for groups in by_model.values() for errors in groups.values()]
        shown = [
            q for q in QUANTITIES if any(f(e) is not None for e in every for f in (q.rmse, q.mae))
        ]
        ranked = not (name == REPLAY_SET and own_labels(folder))
        groups = dict.fromkeys(group for groups in by_model.values() for group in groups)
        # If all frames are of one group, that group says the same as `all`.
        sizes = {by[group].n_frames for by in by_model.values() for group in by}
        only = list(groups)[1] if len(groups) == 2 and "all" in groups and len(sizes) == 1 else ""
        tables.append(
            {
                "name": name,
                "title": set_heading(name),
                "remark": _REMARKS.get(name, _OF_OLD if is_old(name) else "")
                + ("" if ranked else _OWN_LABELS)
                + _not_judged([models.label(m) for m in everybody if m not in by_model]),
                "columns": [(q.heading, q.unit) for q in shown],
                "groups": [
                    _group(by_model, group, shown, models, in_set=name, ranked=ranked)
                    | ({"heading": f"{group}: {only}"} if only else {})
                    for group in sorted(groups, key=lambda group: group != "all")
                    if group != only
                ],
            }
        )
    return tables


def _not_judged(labels: list[str]) -> str:
    """Return a sentence that names the models of other sets that have no row; empty for none."""
    verb = "was" if len(labels) == 1 else "were"
    return f" {listed(labels)} {verb} not judged on these frames." if labels else ""


def _group(
    by_model: ByModel,
    group: str,
    shown: list[Quantity],
    models: Models,
    *,
    in_set: str,
    ranked: bool,
) -> dict[str, Any]:
    """Return the rows of a group of frames, one for each model."""
    values = {model: groups[group] for model, groups in by_model.items() if group in groups}
    base = values.get(models.base)
    rows: dict[str, list[dict[str, Any]]] = {model: [] for model in by_model}
    for q in shown:
        for find in (q.rmse, q.mae):
            known = [v for v in map(find, values.values()) if v is not None]
            best = number(min(known)) if ranked and len(known) > 1 else None
            for model, cells in rows.items():
                value = find(values[model]) if model in values else None
                old = find(base) if base is not None else None
                cells.append(
                    {
                        "text": "0" if is_rounding(value) else number(value),
                        # Two errors that are both shown as 32.3 are equally good.
                        "best": best is not None and number(value) == best,
                        "worse": ranked and model == models.tuned and is_worse(value, old),
                        "first": find is q.rmse,
                    }
                )
    return {
        "name": group,
        "heading": group,
        "n_frames": count(next(iter(values.values())).n_frames),
        "rows": [
            {
                "model": model,
                "label": models.label(model, in_set),
                "colour": models.colours[model],
                "cells": cells,
            }
            for model, cells in rows.items()
        ],
    }


def is_worse(value: float | None, base: float | None) -> bool:
    """Whether an RMSE is larger than the foundation's by more than `WORSE_BY`.

    Args:
        value, base: RMSE of the model and of the foundation, in the same unit.
    """
    return value is not None and base is not None and value > (1 + WORSE_BY) * base > 0


def worse_than_foundation(folder: Results, models: Models, told: Sequence[str] = ()) -> list[str]:
    """Return the groups in which the model of the run is worse than the foundation, in words.

    Args:
        folder: results of the run.
        models: names of the potentials.
        told: quantities that are left out: energies, forces, stress.

    Returns:
        One line for each group and quantity of the first held-out set.
    """
    lines = []
    for name in [s for s in set_names(folder.errors) if s not in ("train", REPLAY_SET)][:1]:
        by_model = folder.errors[name]
        bases = by_model.get(models.base, {})
        for group, errors in by_model.get(models.tuned, {}).items():
            for q in [q for q in QUANTITIES if q.plural not in told] if group in bases else ():
                new, old = q.rmse(errors), q.rmse(bases[group])
                if is_worse(new, old):
                    lines.append(
                        f"{set_in_words(name)}, {group}: {q.heading.lower()} RMSE "
                        f"{number(new)} {q.unit}, foundation {number(old)}"
                    )
    return lines
