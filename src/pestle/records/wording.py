"""Numbers and lists in the sentences of the protocols."""

from __future__ import annotations

from collections.abc import Sequence

#: Below these a figure or a share is only said to be smaller: nobody reads 2.3e-07.
SMALLEST, SMALLEST_SHARE = 1e-3, 1e-4


def figure(value: float) -> str:
    """Three significant digits, large numbers in full: 0.123, 45.6, 1234, −2; never an exponent."""
    if 0 < abs(value) < SMALLEST:
        return f"less than {SMALLEST:g}"
    text = f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    return minus(text)


def minus(text: str) -> str:
    """A true minus sign: it is as wide as a digit and does not break off at line ends."""
    return text.replace("-", "−")


def percent(share: float) -> str:
    """`0.126` → `13 %`; small shares keep a digit."""
    if 0 < share < SMALLEST_SHARE:
        return f"less than {100 * SMALLEST_SHARE:g} %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """`1 frame`, `2 frames`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
