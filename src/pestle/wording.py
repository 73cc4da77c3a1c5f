"""Numbers, units and lists in words: one rule for sentences, tables and pages.

Numbers have three significant digits, separators of thousands, a true minus sign, and an em dash
for a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard

MISSING = "—"

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number (and not a truth value)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Round to significant digits: `32.3`, `0.0412`, `1,235`, `3.10×10⁻⁵`.

    Args:
        value: the number.
        digits: number of significant digits.
        sign: whether positive numbers get a plus sign.
    """
    if sign and is_number(value) and value > 0:
        return f"+{number(value, digits)}"
    if not is_number(value):
        return MISSING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if size < -3 or size > 5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return _minus(f"{mantissa}×10") + str(int(exponent)).translate(_SUPERSCRIPT)
    return _minus(f"{value:,.{max(0, digits - 1 - size)}f}")


def fixed(value: float | None, decimals: int, *, sign: bool = False) -> str:
    """Format with a fixed number of decimals, for columns that are compared or added.

    Args:
        value: the number.
        decimals: number of decimals.
        sign: whether positive numbers get a plus sign.
    """
    if not is_number(value):
        return MISSING
    return _minus(f"{value:{'+' if sign else ''},.{decimals}f}")


def count(value: float | None) -> str:
    """Format a whole number with separators of thousands."""
    return f"{value:,.0f}" if is_number(value) else MISSING


def figure(value: float | None, digits: int = 3) -> str:
    """Format a number for a sentence: `50` for `50.0`, `less than 0.001` for smaller numbers.

    Args:
        value: the number.
        digits: number of significant digits.
    """
    if is_number(value) and 0 < abs(value) < 1e-3:
        return "less than 0.001"
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text else text


def percent(share: float) -> str:
    """Format a fraction: `0.126` → `13 %`, `0.0126` → `1.3 %`.

    `0 %` and `100 %` are only used for exactly none and all.
    """
    if 0 < share < 1e-4:
        return "less than 0.01 %"
    if 0.995 <= share < 1:
        return "more than 99 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def is_share(value: float, unit: str) -> bool:
    """Whether a value is a part of a whole, as its unit says: `of the pairs`."""
    return unit.startswith("of the ") and 0 <= value <= 1


def with_unit(value: float, unit: str, figure: str) -> str:
    """Put a figure before its unit; a share of something is told in per cent.

    Args:
        value: the value.
        unit: its unit; `of the pairs` and the like for a share.
        figure: the value as it is written elsewhere.
    """
    if is_share(value, unit):
        return f"{percent(value)} {unit}"
    return f"{figure} {unit}".strip()


def percent_of(part: float | None, whole: float | None) -> str:
    """Format a part of a whole as `percent`."""
    return percent(part / whole) if is_number(part) and is_number(whole) and whole else MISSING


def counted(count: float, noun: str) -> str:
    """Return a number with its noun: `1 frame`, `2 frames`, `1,200 updates`, `0.5 epochs`."""
    return (
        f"{count:,.4g} {noun}s" if count % 1 else f"{count:,.0f} {noun}{'' if count == 1 else 's'}"
    )


def listed(names: Sequence[str]) -> str:
    """Join names: `a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _minus(text: str) -> str:
    """Use a true minus sign: it is as wide as a digit, and no line breaks after it."""
    return text.replace("-", "−")


def moment(text: str | None) -> str:
    """Format an ISO time as `2025-03-02 14:05`, in its own time zone."""
    try:
        return f"{datetime.fromisoformat(text or ''):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text or MISSING


def words(name: str) -> str:
    """Return the name of a field as words, `n_frames` → "n frames", if there is no better text."""
    return str(name).replace("_", " ").replace(".", " · ")


def plain(value: Any) -> str:
    """Format any JSON value in one line: lists with commas, counts as `C 12, H 30`."""
    if value is None or value == "" or value == [] or value == {}:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return _minus(f"{value:.4g}") if 1e-3 <= abs(value) < 1e4 else number(value, 4)
    if isinstance(value, Mapping):
        return ", ".join(f"{words(k)} {plain(v)}" for k, v in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(v) for v in value)
    return str(value)


def setting_value(value: Any) -> str:
    """Format a setting as the user types it: full digits, lists with commas."""
    if value is None or value == [] or value == "":
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(setting_value(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {setting_value(v)}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
