"""Numbers and names as the page shows them: three significant digits, an em-dash for nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

MISSING = "—"

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number (and no truth value)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    """Rounded to significant digits: `32.3`, `0.0412`, `1,235`, `3.10×10⁻⁵`."""
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if size < -3 or size > 5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return _minus(f"{mantissa}×10") + str(int(exponent)).translate(_SUPERSCRIPT)
    return _minus(f"{value:,.{max(0, digits - 1 - size)}f}")


def fixed(value: Any, decimals: int, *, sign: bool = False) -> str:
    """A fixed number of decimals, for columns that are compared or added up."""
    if not is_number(value):
        return MISSING
    return _minus(f"{value:{'+' if sign else ''},.{decimals}f}")


def count(value: Any) -> str:
    """A whole number with thousands set apart."""
    return f"{value:,.0f}" if is_number(value) else MISSING


def share(part: Any, whole: Any) -> str:
    """Per cent of a whole: `0.26 %`, `100 %`."""
    if not is_number(part) or not is_number(whole) or not whole:
        return MISSING
    value = 100 * part / whole
    return f"{100 if value == 100 else number(value, 2 if value < 10 else 3)} %"


#: Metric that chooses the model → words and unit.
_METRICS = {
    "energy_rmse": ("energy RMSE", "meV/atom"),
    "energy_mae": ("energy MAE", "meV/atom"),
    "forces_rmse": ("force RMSE", "meV/Å"),
    "forces_mae": ("force MAE", "meV/Å"),
    "stress_rmse": ("stress RMSE", "meV/Å³"),
}


def metric_in_words(name: Any) -> tuple[str, str]:
    """`forces_rmse` → ("force RMSE", "meV/Å"); the loss has no unit."""
    return _METRICS.get(str(name), (words(str(name)), ""))


def _minus(text: str) -> str:
    """A true minus sign: it is as wide as a digit and does not break off at line ends."""
    return text.replace("-", "−")


def moment(text: Any) -> str:
    """An ISO time as `2025-03-02 14:05`, in the zone it was written in."""
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return str(text) if text else MISSING


def words(name: str) -> str:
    """`n_frames` → "n frames"; for fields this page has no better name for."""
    return str(name).replace("_", " ").replace(".", " · ")


def plain(value: Any) -> str:
    """Any JSON value in one line: ranges as `a–b`, counts as `C 12, H 30`."""
    if value is None or value == "" or value == [] or value == {}:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _minus(f"{value:.4g}") if 1e-3 <= abs(value) < 1e4 else number(value, 4)
    if isinstance(value, Mapping):
        return _table_in_words(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(v) for v in value)
    return str(value)


def _table_in_words(table: Mapping[str, Any]) -> str:
    if is_number(table.get("min")) and is_number(table.get("max")):
        low, high = plain(table["min"]), plain(table["max"])
        text = low if low == high else f"{low} – {high}" if "−" in low + high else f"{low}–{high}"
        rest = {k: v for k, v in table.items() if k not in ("min", "max") and v is not None}
        inner = ", ".join(f"{words(k)} {plain(v)}" for k, v in rest.items() if low != high)
        return f"{text} ({inner})" if inner else text
    return ", ".join(f"{words(k)} {plain(v)}" for k, v in table.items())


def setting_value(value: Any) -> str:
    """A setting as it would be typed: full digits, lists with commas."""
    if value is None or value == [] or value == "":
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(setting_value(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {setting_value(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
