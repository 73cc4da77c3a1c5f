"""Finding `zero_step`: what the gate of a run measured before its first update.

The run itself stops when the gate fails, so that this only passes on its figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.protocols.results import Finding
from pestle.protocols.thresholds import Threshold
from pestle.records.wording import counted


def assess_gate(gate: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> Finding:
    """The finding of a gate.

    Args:
        gate: n_frames, energy (eV/atom), forces (eV/Å) and stress (eV/Å³): largest deviations of
            the adapted model from its foundation.
        thresholds: of `zero_step`.
    """
    limit = thresholds["forces_mev_per_angstrom"]
    value = 1e3 * float(gate["forces"])
    level = limit.level(value)
    to = "exactly" if value == 0 else f"to {value:.2g} meV/Å"
    text = (
        f"Before the first update the model gave the foundation's forces "
        f"{to} on {counted(gate['n_frames'], 'frame')}."
    )
    if level != "pass":
        text += " It did not start from the foundation: report this."
    return Finding("zero_step", level, "zero-step forces", value, limit.unit, limit.words, text)
