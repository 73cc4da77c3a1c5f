"""Numbers and lists in the sentences of the protocols."""

from __future__ import annotations

from collections.abc import Sequence


def figure(value: float) -> str:
    """Three significant digits, large numbers in full: 0.123, 45.6, 1234."""
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    return f"{value:.3g}"


def percent(share: float) -> str:
    """`0.126` → `13 %`; small shares keep a digit."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
