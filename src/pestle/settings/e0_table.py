"""Tables of reference energies (E0s) in all forms that people write.

Keys are symbols or atomic numbers, with blanks or without. A table is a text on the command line, a
part of a run file, or a file of JSON or YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.data import atomic_numbers, chemical_symbols

from pestle.errors import PestleError

#: Word of mace_run_train → the method that it means here.
MACE_WORDS = {
    "isolatedatom": "isolated",
    "isolatedatoms": "isolated",
    "isolated_atom": "isolated",
    "isolated_atoms": "isolated",
    "estimated": "reestimate",
}
_ITEM = re.compile(r"""\s*["']?\s*(\w+)\s*["']?\s*:\s*([^\s:]+)\s*""")
_NUMBER = re.compile(r"[-+]?[\d.]")


def looks_like_table(text: str) -> bool:
    """Whether a text is a table and not the name of a method or a file.

    A table is in braces, or each of its parts is KEY:NUMBER.
    """
    text = text.strip()
    if text.startswith("{"):
        return True
    items = [_ITEM.fullmatch(part) for part in text.split(",")]
    return all(item is not None and _NUMBER.match(item[2]) for item in items)


def symbols_of(setting: Any) -> Any:
    """Convert a table in the setting `e0s` to symbol → eV; other values are returned unchanged.

    Raises:
        PestleError: a key is not an element, a value is not an energy, or an element occurs twice.
    """
    if isinstance(setting, str) and looks_like_table(setting):
        setting = _split(setting)
    if not isinstance(setting, Mapping):
        return setting
    return {chemical_symbols[z]: energy for z, energy in table_of(setting).items()}


def table_of(table: Mapping[Any, Any]) -> dict[int, float]:
    """Convert a table to atomic number → eV.

    Raises:
        PestleError: as `symbols_of`.
    """
    numbers: dict[int, float] = {}
    for key, energy in table.items():
        name = str(key).strip()
        if energy is None and ":" in name:
            # YAML takes {1:-1.1} without a blank for a key without a value.
            name, _, energy = name.partition(":")
        name = name.strip().strip("\"'").strip()
        z = atomic_numbers.get(name) or (int(name) if name.isdecimal() else 0)
        if not 0 < z < len(chemical_symbols):
            raise PestleError(f"'{name}' is no element", where="e0s")
        try:
            value = float("nan") if isinstance(energy, bool) else float(energy)
        except (TypeError, ValueError):
            value = float("nan")
        if not np.isfinite(value):
            raise PestleError(f"{name}: {energy!r} is not an energy", where="e0s")
        if z in numbers:
            raise PestleError(f"{chemical_symbols[z]} stands twice in the table", where="e0s")
        numbers[z] = value
    if not numbers:
        raise PestleError("the table is empty", where="e0s", fix="Write {H: -13.6, O: -2043.9}.")
    return numbers


def read_table(path: Path) -> dict[int, float]:
    """Read a table from a file of JSON or YAML.

    Returns:
        Atomic number → eV.

    Raises:
        PestleError: the file cannot be read, or contains something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML, too
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise PestleError(f"neither JSON nor YAML ({text})", where=str(path)) from None
    # `pestle e0 --json` prints its table under this key, a run file has it as a setting.
    if isinstance(content, Mapping):
        content = content.get("e0s", content)
    if isinstance(content, str) and looks_like_table(content):
        content = _split(content)
    if not isinstance(content, Mapping):
        raise PestleError("expected a table symbol → eV", where=str(path))
    try:
        return table_of(content)
    except PestleError as error:
        raise PestleError(error.what, where=str(path), fix=error.fix) from None


def _split(text: str) -> dict[str, str]:
    """Split a table in one line into KEY → value."""
    inner = text.strip()
    if inner.startswith("{"):
        if not inner.endswith("}"):
            raise PestleError(
                f"'{text}' has no closing brace",
                where="e0s",
                fix="Quote the table: 'e0s={1:-1.1,8:-1.5}'.",
            )
        inner = inner[1:-1]
    table: dict[str, str] = {}
    for part in filter(str.strip, inner.split(",")):
        item = _ITEM.fullmatch(part)
        if item is None:
            raise PestleError(
                f"'{part.strip()}' is not ELEMENT:ENERGY",
                where="e0s",
                fix="Write the table as {1:-1.1,8:-1.5} or {H: -1.1, O: -1.5}.",
            )
        if item[1] in table:
            raise PestleError(f"{item[1]} stands twice in the table", where="e0s")
        table[item[1]] = item[2]
    return table
