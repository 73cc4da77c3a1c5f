"""The finding of `zero_step`.

A run stops if its gate fails, so that this finding only reports the number.
"""

from __future__ import annotations

from collections.abc import Mapping

from pestle.protocols.thresholds import Threshold
from pestle.records.training import Gate
from pestle.records.verdict import Finding
from pestle.wording import counted, number


def assess_gate(gate: Gate, thresholds: Mapping[str, Threshold]) -> Finding:
    """Return the finding of a gate.

    Args:
        gate: largest differences between the adapted model and its foundation.
        thresholds: thresholds of `zero_step`.
    """
    limit = thresholds["forces_mev_per_angstrom"]
    value = 1e3 * gate.forces
    level = limit.level(value)
    to = "exactly" if value == 0 else f"to {number(value, 2)} meV/Å"
    text = (
        f"Before the first update the model gave the foundation's forces "
        f"{to} on {counted(gate.n_frames, 'frame')}."
    )
    if level != "pass":
        text += " It did not start from the foundation: report this."
    return Finding("zero_step", level, "zero-step forces", value, limit.unit, limit.words, text)
