"""Names of atoms that are not plain chemical symbols: D, CL, O0, Fe1, atomic numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from pestle.errors import PestleError

#: Masses of isotopes with their own symbols, u.
ISOTOPES = {"D": 2.014102, "2H": 2.014102, "T": 3.016049, "3H": 3.016049}

# Names that protein and force-field files use for atoms of the first letter (CA is an alpha carbon,
# HG a gamma hydrogen, CO a carbonyl carbon). If the same frame also contains that element under its
# own symbol, the name is ambiguous. CL, NA and others are not such names.
_ALSO_NAMES = frozenset({"CA", "CD", "CE", "CO", "HE", "HG", "HO", "NB", "ND", "NE", "OS"})

# Letters followed by an addition: a running number, a crystallographic label, a charge or a type
# (O0, H1A, Fe3+, C_3).
_DECORATED = re.compile(r"^([A-Za-z]{1,2})(\d+\w*[+-]?|[+-]\d*|_\w+)?$")

#: Advice for names that are not elements.
WRITE_SYMBOLS = "Write chemical symbols, like Cl."


def symbols_of(names: Collection[str], where: str) -> dict[str, tuple[str, float | None]]:
    """Find the chemical symbol of each name in one frame.

    Args:
        names: names in the file.
        where: file and frame, for messages.

    Returns:
        Name → symbol and, for an isotope, its mass in u (otherwise `None`).

    Raises:
        PestleError: a name is not an element, or could be two.
    """
    if names and all(name.isdigit() for name in names):
        numbers = numbered({int(name) for name in names}, where)
        return {name: (chemical_symbols[numbers[int(name)]], None) for name in names}
    found: dict[str, tuple[str, float | None]] = {}
    unknown: list[str] = []
    for name in sorted(names):
        match = _DECORATED.match(name)
        symbol = match.group(1).capitalize() if match else ""
        if name.upper() in ISOTOPES:
            found[name] = ("H", ISOTOPES[name.upper()])
        elif symbol in atomic_numbers:
            found[name] = (symbol, None)
        else:
            unknown.append(name)
    if unknown:
        raise PestleError(
            f"{', '.join(unknown[:5])}: no element is called so",
            where=where,
            fix=WRITE_SYMBOLS,
        )
    symbols = {symbol for symbol, _ in found.values()}
    for name in found:
        match = _DECORATED.match(name)
        letters = match.group(1) if match else ""
        if letters in _ALSO_NAMES and letters[0] in symbols:
            raise PestleError(
                f"'{name}' can be {letters.capitalize()} or an atom of {letters[0]} with a name of "
                f"its own, as in protein files; the frame holds {letters[0]}, too",
                where=where,
                fix=f"Write {letters.capitalize()} or {letters[0]}.",
            )
    return found


def numbered(numbers: Collection[int], where: str) -> dict[int, int]:
    """Return the atomic number of each number in a column of elements.

    Args:
        numbers: different numbers in the column.
        where: file and frame, for messages.

    Raises:
        PestleError: the numbers seem to be types of atoms (1, 2, 3 …), or are not atomic numbers.
    """
    if set(numbers) == set(range(1, len(numbers) + 1)) or 0 in numbers:
        raise PestleError(
            f"the elements are written as {', '.join(map(str, sorted(numbers)))}: numbers of kinds "
            "of atoms, not atomic numbers, it seems",
            where=where,
            fix="Write chemical symbols; atomic numbers that happen to look so belong in a column "
            "Z:I:1.",
        )
    beyond = [z for z in numbers if not 0 < z < len(chemical_symbols)]
    if beyond:
        raise PestleError(f"{beyond[0]} is no atomic number", where=where, fix=WRITE_SYMBOLS)
    return {z: z for z in numbers}


def masses_of(
    names: Sequence[str], found: Mapping[str, tuple[str, float | None]]
) -> np.ndarray | None:
    """Return the masses of atoms, if there are isotopes.

    Args:
        names: name of each atom.
        found: result of `symbols_of`.

    Returns:
        [n_atoms] u; `None` without isotopes.
    """
    if all(mass is None for _, mass in found.values()):
        return None
    standard = {name: float(atomic_masses[atomic_numbers[z]]) for name, (z, _) in found.items()}
    return np.array([found[name][1] or standard[name] for name in names])


def changes(found: Mapping[str, tuple[str, float | None]]) -> str:
    """Describe renamed atoms, e.g. `D as H of mass 2.014, CL as Cl`; empty if there are none."""
    shown = []
    for name, (symbol, mass) in sorted(found.items()):
        if mass is not None:
            shown.append(f"{name} as {symbol} of mass {mass:.3f}")
        elif name != symbol:
            shown.append(f"{name} as {symbol}")
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more
