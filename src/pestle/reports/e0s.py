"""The reference energies (E0s) of a run as rows of the page."""

from __future__ import annotations

from typing import Any

from ase.data import atomic_numbers

from pestle.records.parts import AtomicEnergies
from pestle.reports.facts import Rows
from pestle.reports.reading import Results
from pestle.wording import counted, fixed, number, plain


def _in_data(found: AtomicEnergies) -> list[str]:
    """Return the elements of the data, which have a shift; without shifts all elements."""
    names = [symbol for symbol in found.e0s if symbol in found.shift] or list(found.e0s)
    return sorted(names, key=lambda symbol: atomic_numbers.get(symbol, 0))


def e0_table(folder: Results) -> dict[str, Any] | None:
    """Return the E0s (eV) of the elements in the data, and a line about other elements.

    Args:
        folder: results of the run.

    Returns:
        The rows and the line; `None` if no E0 is recorded.
    """
    found = folder.manifest.reference_energies if folder.manifest is not None else None
    if found is None or not found.e0s:
        return None
    elements = _in_data(found)
    others = len(found.e0s) - len(elements)
    rows = []
    for symbol in elements:
        value, shift = found.e0s[symbol], found.shift.get(symbol)
        rows.append(
            {
                "element": symbol,
                "used": fixed(value, 4),
                "foundation": fixed(None if shift is None else value - shift, 4),
                "shift": fixed(shift, 4, sign=True),
                "kept": symbol in found.kept_from_foundation,
            }
        )
    return {
        "rows": rows,
        "others": (
            f"{counted(others, 'more element')} of the foundation, which no frame "
            f"contains, keep{'' if others > 1 else 's'} the foundation's E0."
            if others
            else ""
        ),
    }


def e0_diagnostics(folder: Results) -> Rows:
    """Return rows about the method, its reason, and how well the energies determine the E0s."""
    if folder.manifest is None:
        return []
    found = folder.manifest.reference_energies
    rows = [("Method", found.method), ("Reason", plain(found.reason))]
    if found.n_elements:
        free = found.null_space_text or "nothing: the energies determine every E0"
        rows += [
            ("Rank of the compositions", f"{found.rank} of {found.n_elements} elements"),
            ("Condition number", number(found.condition_number)),
            ("Not determined by the energies", free),
        ]
    before, after = found.spread_before_mev_per_atom, found.spread_after_mev_per_atom
    if before is not None or after is not None:
        text = f"{number(before)} → {number(after)} meV/atom"
        rows.append(("Spread of the foundation's energy error, before → after", text))
    error = found.zero_step_error_mev_per_atom
    if error is not None:
        rows.append(("Zero-step error (RMSE before the first update)", f"{number(error)} meV/atom"))
    return rows


def e0_comparison(folder: Results) -> dict[str, Any] | None:
    """Return the E0s (eV) of the elements in the data from all methods, and their errors.

    Args:
        folder: results of the run.

    Returns:
        The elements, and a row for each method; `None` if methods were not compared.
    """
    if folder.manifest is None or not folder.manifest.reference_energies_compared:
        return None
    used = folder.manifest.reference_energies
    elements = _in_data(used)
    rows = [
        {
            "method": method,
            "used": method == used.method,
            "e0s": [fixed(found.e0s.get(symbol), 4) for symbol in elements],
            "spread": number(found.spread_after_mev_per_atom),
            "error": number(found.zero_step_error_mev_per_atom),
        }
        for method, found in folder.manifest.reference_energies_compared.items()
    ]
    return {"elements": elements, "rows": rows}
