"""How `pestle probe` shows the numbers of a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from pestle.cli.output import number


def probe_table(metrics: Mapping[str, Any]) -> Table:
    """The table of a protocol."""
    return {"atoms": _atoms, "dimers": _dimers}[metrics["protocol"]](metrics)


def _atoms(metrics: Mapping[str, Any]) -> Table:
    table = Table(title="single atoms (eV)", title_justify="left")
    table.add_column("element")
    table.add_column("reference", justify="right")
    for name in metrics["models"]:
        table.add_column(name, justify="right")
        table.add_column("error", justify="right")
    for symbol in metrics["elements"]:
        known = metrics["references"].get(symbol)
        row = [symbol, "—" if known is None else f"{known:.4f}"]
        for name in metrics["models"]:
            found = metrics["potentials"][name]
            error = found["errors"].get(symbol)
            row += [f"{found['energies'][symbol]:.4f}", "—" if error is None else f"{error:+.4f}"]
        table.add_row(*row)
    return table


def _dimers(metrics: Mapping[str, Any]) -> Table:
    table = Table(title=metrics["question"], title_justify="left")
    for heading in ("pair", "model"):
        table.add_column(heading)
    for heading in ("minimum\nÅ", "depth\neV", "wall\neV"):
        table.add_column(heading, justify="right")
    table.add_column("flags")
    potentials = metrics["potentials"]
    for pair in dict.fromkeys(p for found in potentials.values() for p in found["pairs"]):
        for name, found in potentials.items():
            curve = found["pairs"][pair]
            figures = [number(curve.get(key), 3) for key in ("r_min", "depth", "wall")]
            table.add_row(pair, name, *figures, "; ".join(curve["flags"]) or "none")
    return table
