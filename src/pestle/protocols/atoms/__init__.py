"""Protocol `atoms`: energies of single atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pestle.protocols.declaration import DISSOCIATION, ISOLATED_ATOMS, Declaration, Remedy

if TYPE_CHECKING:
    from pestle.records.results import Making

#: What helps a model of which is not known how it was made.
ADVICE = "take E0s of isolated atoms, or train on the atoms (data.isolated_atom_repeats)"


def advice(making: Making) -> str:
    """Return what helps a model that a run made, and that run did not do.

    Args:
        making: how the run made it.
    """
    e0s = "" if making.e0s_are_isolated else "take E0s of isolated atoms (e0s=isolated), or "
    if making.atom_repeats:
        more = f"more often than {making.atom_repeats} times an epoch (data.isolated_atom_repeats)"
        return f"{e0s}train longer, or on the isolated atoms {more}"
    return f"{e0s}train on the isolated atoms (data.isolated_atom_repeats)"


DECLARATION = Declaration(
    name="atoms",
    title="Single atoms",
    question="Does a single atom of each element have the energy that it should have?",
    place=30,
    takes=ISOLATED_ATOMS,
    where_possible=True,
    uses=("energies of atomisation", DISSOCIATION),
    remedy=Remedy(ADVICE, fitting=advice),
)
