"""Tables and JSON on standard output."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from pestle.files import finite


def print_json(content: Any) -> None:
    """One JSON document."""
    typer.echo(json.dumps(finite(content), indent=2, ensure_ascii=False))


def print_table(table: Table) -> None:
    """A table as wide as the terminal, or COLUMNS; long lines where there is neither."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=int(os.environ.get("COLUMNS") or 160))
    console.print(table)


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many significant digits; an em dash for none."""
    if value is None or value != value:
        return "—"
    return f"{value:.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"


def run_errors_table(
    sets: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]], *, groups: bool = False
) -> Table:
    """RMSEs of a run on all of its sets, those of the foundation before those of the run.

    Args:
        sets: set → model → group → errors.
        groups: whether every group gets a row, and not only all frames of a set.
    """
    from pestle.metrics import ALL, UNITS

    table = Table(title="errors (RMSE): foundation → fine-tuned", title_justify="left", box=None)
    table.add_column("set")
    table.add_column("frames", justify="right")
    every = [errors for models in sets.values() for of in models.values() for errors in of.values()]
    shown = [
        name
        for name in UNITS
        if name.endswith("_rmse") and any(errors[name] is not None for errors in every)
    ]
    for name in shown:
        table.add_column(f"{name.removesuffix('_rmse')}, {UNITS[name]}", justify="right")
    for set_name, models in sets.items():
        before, after = models["foundation"], models["fine-tuned"]
        for group, errors in after.items():
            if group != ALL and (not groups or len(after) == 2):
                continue
            title = set_name if group == ALL else f"  {group}"
            pairs = [
                f"{number(before[group][name], 3)} → {number(errors[name], 3)}" for name in shown
            ]
            table.add_row(title, str(errors["n_frames"]), *pairs)
    return table


def error_table(title: str, models: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Errors by model and group: RMSE and MAE of energy, forces and stress."""
    from pestle.metrics import UNITS

    table = Table(title=f"errors on {title}", title_justify="left")
    table.add_column("group")
    table.add_column("model")
    table.add_column("frames", justify="right")
    shown = [
        name
        for name in UNITS
        if any(errors[name] is not None for groups in models.values() for errors in groups.values())
    ]
    for name in shown:
        table.add_column(f"{name.replace('_', ' ')}\n{UNITS[name]}", justify="right")
    groups = list(dict.fromkeys(g for by_group in models.values() for g in by_group))
    for group in groups:
        for model, by_group in models.items():
            errors = by_group[group]
            values = [number(errors[name]) for name in shown]
            table.add_row(group, model, str(errors["n_frames"]), *values)
    return table
