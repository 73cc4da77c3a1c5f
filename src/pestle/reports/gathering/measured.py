"""Numbers of protocols by their place in metrics.json, as columns of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pestle.files import Damaged, read_json
from pestle.records.gathered import Column
from pestle.reports.gathering.columns import Filled, Find
from pestle.reports.gathering.facts import RunFacts
from pestle.reports.gathering.places import heading_of
from pestle.reports.reading import protocol_title

#: Last part of a name → its unit, if that is the same for all protocols.
_UNITS = {
    "barrier": "eV",
    "barrier_error": "eV",
    "reaction_energy": "eV",
    "reaction_energy_error": "eV",
    "rmse_mev": "meV",
    "emd": "Å",
    "emd_noise": "Å",
    "forces_rmse": "meV/Å",
    "forces_mae": "meV/Å",
    "energy_rmse": "meV/atom",
    "energy_mae": "meV/atom",
}
#: Protocol → part of a name → unit of all numbers below this part.
_UNITS_OF = {
    "atoms": {"rmse": "meV", "errors": "eV", "energies": "eV"},
    "torsion": dict.fromkeys(("rmse", "median", "barrier", "barrier_error"), "kcal/mol"),
}


def measured(name: str, runs: Sequence[RunFacts]) -> Filled | None:
    """Return the column of a number, such as `neb.reactions.PATH.barrier_error`.

    Args:
        name: the protocol, and the place of the number below the name of the model in metrics.json.
            An entry in a list of pressures is named by its pressure in GPa:
            `rss.pressures.50.imploded`.
        runs: content of the run folders.

    Returns:
        The column; `None` if no run has such a number.
    """
    protocol, _, place = name.partition(".")

    def find(of: str) -> Find:
        def found(facts: RunFacts) -> float | None:
            result = facts.results.protocols.get(protocol)
            if result is None or result.about is None:
                return None
            model = getattr(result.about, of)
            return number_at(_content(facts.results.path, protocol, result.digest), model, place)

        return found

    # A unit of the protocol itself comes first; of several parts with a unit the last one.
    parts, own = place.split("."), _UNITS_OF.get(protocol, {})
    units = [own[part] for part in parts if part in own]
    filled = Filled(
        Column(
            key=name,
            about="tests",
            heading=heading_of(place),
            over=protocol_title(protocol),
            unit=units[-1] if units else _UNITS.get(parts[-1], ""),
        ),
        find("candidate"),
        find("baseline"),
    )
    return filled if any(filled.find(facts) is not None for facts in runs) else None


#: Last parts of the names of numbers that say in one what a protocol found.
_HEADLINES = (
    "barrier_error",
    "reaction_energy_error",
    "rmse",
    "emd",
    "imploded",
    "n_unstable",
    "n_flagged",
)


def headlines(protocol: str, runs: Sequence[RunFacts]) -> list[Filled]:
    """Return columns of the numbers that say in one what a protocol found.

    Args:
        protocol: its name.
        runs: content of the run folders.
    """
    places: dict[str, None] = {}
    for facts in runs:
        result = facts.results.protocols.get(protocol)
        if result is not None and result.about is not None:
            content = _content(facts.results.path, protocol, result.digest)
            potentials = content.get("potentials") if isinstance(content, dict) else None
            node = (potentials or {}).get(result.about.candidate)
            places |= dict.fromkeys(_places(node))
    found = [measured(f"{protocol}.{place}", runs) for place in places]
    return [one for one in found if one is not None]


def _places(node: Any) -> list[str]:
    """Return the places of headlines below an entry; those nearest to it, of each branch."""
    if not isinstance(node, dict):
        return []
    own = [name for name in node if name in _HEADLINES]
    return own or [f"{name}.{place}" for name, inner in node.items() for place in _places(inner)]


@cache
def _content(run: Path, protocol: str, digest: str) -> Any:
    """Read metrics.json of a protocol; empty if this fails. A new hash makes a new cache entry."""
    del digest
    try:
        return read_json(run / "protocols" / protocol / "metrics.json")
    except Damaged:
        return {}


def number_at(content: Any, model: str | None, place: str) -> float | None:
    """Return a number of a model in the results of a protocol; `None` if there is none.

    Args:
        content: content of metrics.json.
        model: name of the model.
        place: names of nested entries, joined by dots; a name may contain dots.
    """
    potentials = content.get("potentials") if isinstance(content, dict) else None
    if not isinstance(potentials, dict) or model not in potentials:
        return None
    return _at(potentials[model], place)


def _at(node: Any, place: str) -> float | None:
    """Return the number at a place below an entry."""
    if not place:
        return float(node) if isinstance(node, int | float) else None
    if isinstance(node, list):
        node = {
            f"{one['pressure']:g}": one
            for one in node
            if isinstance(one, dict) and isinstance(one.get("pressure"), int | float)
        }
    if not isinstance(node, dict):
        return None
    for name, inner in node.items():
        if place == name or place.startswith(f"{name}."):
            found = _at(inner, place[len(name) + 1 :])
            if found is not None:
                return found
    return None
