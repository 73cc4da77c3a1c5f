"""Atomic reference energies as rows: those used, their diagnostics, and the other methods'."""

from __future__ import annotations

from typing import Any

from ase.data import atomic_numbers

from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import fixed, is_number, number, plain


def _in_data(e0s: dict[str, Any]) -> list[str]:
    """Elements of the data: they have a shift; without a foundation all E0s are the data's."""
    known = nested(e0s, "e0s")
    names = [s for s in known if s in nested(e0s, "shift")] or list(known)
    return sorted(names, key=lambda s: atomic_numbers.get(s, 0))


def e0_table(folder: RunFolder) -> dict[str, Any] | None:
    """Rows of the elements in the data and a line about the others; `None` if nothing is known."""
    e0s = folder.part("reference_energies")
    values, shifts = nested(e0s, "e0s"), nested(e0s, "shift")
    if not values:
        return None
    kept = set(e0s.get("kept_from_foundation") or [])
    elements = _in_data(e0s)
    rows = []
    for symbol in elements:
        value, shift = values.get(symbol), shifts.get(symbol)
        before = value - shift if is_number(value) and is_number(shift) else None
        rows.append(
            {
                "element": symbol,
                "used": fixed(value, 4),
                "foundation": fixed(before, 4),
                "shift": fixed(shift, 4, sign=True),
                "kept": symbol in kept,
            }
        )
    others = len(values) - len(elements)
    return {
        "rows": rows,
        "others": (
            f"{others} more element{'s' if others > 1 else ''} of the foundation, in none of the "
            f"frames, keep{'' if others > 1 else 's'} the foundation's E0."
            if others
            else ""
        ),
    }


def e0_diagnostics(folder: RunFolder) -> list[tuple[str, str]]:
    """Method, reason and how well the energies determine the E0s."""
    e0s = folder.part("reference_energies")
    if not e0s:
        return []
    rows = [("Method", plain(e0s.get("method"))), ("Reason", plain(e0s.get("reason")))]
    if is_number(e0s.get("rank")) and is_number(e0s.get("n_elements")):
        free = plain(e0s.get("null_space_text") or "nothing: the energies determine every E0")
        rows += [
            ("Rank of the compositions", f"{e0s['rank']} of {e0s['n_elements']} elements"),
            ("Condition number", number(e0s.get("condition_number"))),
            ("Not determined by the energies", free),
        ]
    before, after = e0s.get("spread_before_mev_per_atom"), e0s.get("spread_after_mev_per_atom")
    if is_number(before) or is_number(after):
        text = f"{number(before)} → {number(after)} meV/atom"
        rows.append(("Spread of the foundation's energy error, before → after", text))
    error = e0s.get("zero_step_error_mev_per_atom")
    if is_number(error):
        rows.append(("Zero-step error (RMSE before the first update)", f"{number(error)} meV/atom"))
    return rows


def e0_comparison(folder: RunFolder) -> dict[str, Any] | None:
    """All methods side by side: E0s of the data's elements (eV) and the zero-step error."""
    compared = {m: e for m, e in folder.part("reference_energies_compared").items() if nested(e)}
    if not compared:
        return None
    used = folder.part("reference_energies").get("method")
    elements = _in_data(folder.part("reference_energies")) or _in_data(
        next(iter(compared.values()))
    )
    rows = []
    for method, e0s in compared.items():
        rows.append(
            {
                "method": method,
                "used": method == used,
                "e0s": [fixed(nested(e0s, "e0s").get(symbol), 4) for symbol in elements],
                "spread": number(e0s.get("spread_after_mev_per_atom")),
                "error": number(e0s.get("zero_step_error_mev_per_atom")),
            }
        )
    return {"elements": elements, "rows": rows}
