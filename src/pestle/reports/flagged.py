"""Structures that protocols flagged: table rows, and the data of the viewer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import neighbor_list

from pestle.protocols.results import Flagged
from pestle.reports.figures import for_script
from pestle.reports.models import Models
from pestle.reports.reading import ProtocolResults
from pestle.wording import MISSING, count, counted, number

#: Largest number of structures in the viewer, and of atoms in each of them.
MAX_STRUCTURES, MAX_ATOMS = 60, 200
#: Largest number of rows of the table.
MAX_ROWS = 200
#: Largest number of pairs of atoms in the search for the shortest distance.
MAX_PAIRS = 1e6
#: In place of Jmol's white, which cannot be seen on white paper.
_HYDROGEN = "#dcdcdc"


@dataclass(frozen=True)
class FlaggedSection:
    """Content of the section of flagged structures.

    Attributes:
        rows: protocol, potential, title, reason and number of atoms of each structure; `place` is
            its number in the viewer, or `None`.
        total: number of structures in all files.
        not_drawn: one line for each file with structures that are not in the viewer.
        viewer: JSON for the viewer; empty if it has no structure.
        choices: (place, protocol, text) of each entry in the list of the viewer.
    """

    rows: list[dict[str, Any]]
    total: int
    not_drawn: list[str]
    viewer: str
    choices: list[tuple[int, str, str]]


def flagged_section(protocols: dict[str, ProtocolResults], models: Models) -> FlaggedSection | None:
    """Return the section of flagged structures.

    Args:
        protocols: results by protocol.
        models: names and styles of the potentials.

    Returns:
        The section; `None` if no structure is flagged.
    """
    every = [(name, found) for name, p in protocols.items() for found in p.flagged]
    if not every:
        return None
    chosen = _chosen(protocols)
    places = {id(found): k for k, found in enumerate(chosen)}
    rows = [
        {
            "protocol": protocols[name].title,
            "title": found.title,
            "reason": found.reason,
            "label": models.label(found.potential),
            "colour": models.style(found.potential).colour,
            "formula": _formula(found.atoms),
            "atoms": len(found.atoms),
            "place": places.get(id(found)),
        }
        for name, found in every[:MAX_ROWS]
    ]
    owner = {id(found): name for name, found in every}
    choices = []
    for k, found in enumerate(chosen):
        parts = (models.label(found.potential), found.title, found.reason)
        text = " · ".join(part for part in parts if part)
        choices.append((k, protocols[owner[id(found)]].title, text))
    drawn = [_drawn(found, models) for found in chosen]
    symbols = sorted({symbol for one in drawn for symbol in one["symbols"]})
    viewer = {"structures": drawn, "elements": {s: _element(s) for s in symbols}}
    text = for_script(json.dumps(viewer, separators=(",", ":"), allow_nan=False))
    return FlaggedSection(
        rows, len(every), _not_drawn(protocols, places), text if chosen else "", choices
    )


def _chosen(protocols: dict[str, ProtocolResults]) -> list[Flagged]:
    """Choose structures for the viewer, one from every protocol in turn, so that each is
    represented.
    """
    queues = [
        [
            found
            for found in p.flagged
            if 0 < len(found.atoms) <= MAX_ATOMS and np.isfinite(found.atoms.positions).all()
        ]
        for p in protocols.values()
    ]
    share = [0] * len(queues)
    while sum(share) < MAX_STRUCTURES and any(
        s < len(q) for s, q in zip(share, queues, strict=True)
    ):
        for k, queue in enumerate(queues):
            if share[k] < len(queue) and sum(share) < MAX_STRUCTURES:
                share[k] += 1
    return [found for s, queue in zip(share, queues, strict=True) for found in queue[:s]]


def _not_drawn(protocols: dict[str, ProtocolResults], places: dict[int, int]) -> list[str]:
    """Describe the structures that are in the files but not in the viewer."""
    lines = []
    for name, results in protocols.items():
        large = [f for f in results.flagged if len(f.atoms) > MAX_ATOMS]
        rest = [f for f in results.flagged if id(f) not in places and f not in large]
        parts = []
        if large:
            parts.append(f"{count(len(large))} with more than {MAX_ATOMS} atoms")
        if rest:
            parts.append(f"{count(len(rest))} more")
        if parts:
            lines.append(f"{results.title}: {' and '.join(parts)}: protocols/{name}/flagged.xyz")
    return lines


def _formula(atoms: Atoms) -> str:
    return atoms.get_chemical_formula(mode="hill") if len(atoms) else MISSING


def _drawn(found: Flagged, models: Models) -> dict[str, Any]:
    """Return the data of a structure for the viewer, lengths in Å."""
    atoms = found.atoms
    periodic = bool(atoms.pbc.any()) and bool(np.isfinite(atoms.cell.array).all())
    return {
        "caption": _caption(found),
        "symbols": atoms.get_chemical_symbols(),
        "positions": np.round(atoms.positions, 3).tolist(),
        "cell": np.round(atoms.cell.array, 3).tolist()
        if periodic and atoms.cell.rank == 3
        else None,
        "pbc": [bool(p) for p in atoms.pbc],
    }


def _caption(found: Flagged) -> str:
    """Return formula, size of the cell, and the shortest distance, which is often the problem."""
    atoms = found.atoms
    parts = [f"{_formula(atoms)}, {counted(len(atoms), 'atom')}"]
    if atoms.pbc.any() and atoms.cell.rank == 3:
        lengths = " × ".join(number(float(v)) for v in atoms.cell.lengths())
        parts.append(f"cell {lengths} Å, {number(atoms.get_volume() / len(atoms))} Å³ per atom")
    shortest = _shortest(atoms)
    if shortest:
        parts.append(shortest)
    return "; ".join(parts)


def _shortest(atoms: Atoms) -> str:
    """Return `shortest distance 0.61 Å (Cu–O)`, with periodic images; empty if none is short."""
    n, volume = len(atoms), atoms.cell.volume if atoms.pbc.any() else np.inf
    for cutoff in (0.5, 1.0, 2.0, 4.0):
        if n * n * 4.2 * cutoff**3 > MAX_PAIRS * volume:
            # A collapsed cell has too many periodic images within the cutoff.
            return ""
        first, second, distance = neighbor_list("ijd", atoms, cutoff)
        if len(distance):
            k = int(np.argmin(distance))
            pair = "–".join(atoms.symbols[[first[k], second[k]]])
            return f"shortest distance {number(float(distance[k]))} Å ({pair})"
    return ""


def _element(symbol: str) -> dict[str, Any]:
    """Return covalent radius (Å) and colour of an element."""
    z = Atoms(symbol).numbers[0]
    red, green, blue = (round(255 * v) for v in jmol_colors[z])
    colour = _HYDROGEN if symbol == "H" else f"#{red:02x}{green:02x}{blue:02x}"
    return {"radius": float(covalent_radii[z]), "colour": colour}
