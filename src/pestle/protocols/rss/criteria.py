"""Detection of imploded crystals: the four criteria of the paper's appendix A.5, and divergence.

A median is taken over the crystals of one composition at one pressure that did not diverge. The
medians of the foundation are used too. If most crystals implode on a potential, its own medians do
not show it. In addition to the paper, the median volume has an upper limit: at 0.1 GPa molecules
can drift apart, and any solid among them would then look imploded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pestle.settings.probe import RssSettings
from pestle.wording import figure

#: Criterion → its name in tables.
CRITERIA: Mapping[str, str] = {
    "overlap": "overlap",
    "volume": "volume",
    "energy": "energy",
    "volume_and_energy": "volume and energy",
    "diverged": "diverged",
}


@dataclass(frozen=True)
class Crystals:
    """Crystals of one composition at one pressure, relaxed with one potential.

    Attributes:
        status: [n] result of the last relaxation.
        first_energy: [n] energy of the unrelaxed crystals, eV/atom. They are the same crystals for
            all potentials.
        energy: [n] eV/atom.
        volume: [n] Å³/atom.
        overlap: [n] smallest distance divided by the sum of the covalent radii.
    """

    status: np.ndarray
    first_energy: np.ndarray
    energy: np.ndarray
    volume: np.ndarray
    overlap: np.ndarray

    @property
    def diverged(self) -> np.ndarray:
        """[n] whether the relaxation diverged."""
        return self.status == "diverged"

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True)
class Medians:
    """The values that a crystal is compared with; NaN if there is no value.

    Attributes:
        volume: Å³/atom.
        energy: eV/atom.
        mad: median absolute deviation of the energy, eV/atom.
        name: name of these medians in texts.
        volume_name: name of the volume in texts, if it differs from `name`.
    """

    volume: float
    energy: float
    mad: float
    name: str = field(default="the median", compare=False)
    volume_name: str = field(default="", compare=False)

    def limited(self, volume: float) -> Medians:
        """Return the same medians with an upper limit for the volume.

        Args:
            volume: the limit, Å³/atom.
        """
        if not self.volume > volume:
            return self
        name = f"the {figure(volume)} Å³/atom that a median counts as at most"
        return replace(self, volume=volume, volume_name=name)


def medians(crystals: Crystals) -> Medians:
    """Return the medians of the crystals that did not diverge."""
    taken = ~crystals.diverged
    if not taken.any():
        return Medians(np.nan, np.nan, np.nan)
    energy = crystals.energy[taken]
    middle = float(np.median(energy))
    mad = float(np.median(np.abs(energy - middle)))
    return Medians(float(np.median(crystals.volume[taken])), middle, mad)


def foundation_medians(foundation: Crystals, crystals: Crystals) -> Medians:
    """Return the medians of the foundation, with its energies shifted to those of another
    potential.

    The energies of two levels of theory may differ by hundreds of eV per atom. The shift is the
    median difference of the energies of the unrelaxed crystals, which are the same for both
    potentials.

    Args:
        foundation: the crystals on the foundation.
        crystals: the same crystals on the other potential.
    """
    found = medians(foundation)
    shift = crystals.first_energy - foundation.first_energy
    shift = shift[np.isfinite(shift)]
    moved = found.energy + float(np.median(shift)) if len(shift) else np.nan
    return Medians(found.volume, moved, found.mad)


def screen(crystals: Crystals, middle: Medians, limits: RssSettings) -> dict[str, np.ndarray]:
    """Apply all criteria. A comparison with NaN is never true.

    Args:
        crystals: the crystals to examine, n of them.
        middle: the medians to compare with.
        limits: settings with the limits of the criteria.

    Returns:
        Criterion → [n] whether it applies.
    """
    below = middle.energy - crystals.energy
    dense = crystals.volume < limits.low_energy_volume * middle.volume
    return {
        "overlap": crystals.overlap < limits.overlap,
        "volume": crystals.volume < limits.volume * middle.volume,
        "energy": below > max(limits.energy_mads * middle.mad, limits.energy),
        "volume_and_energy": dense & (below > 0),
        "diverged": crystals.diverged,
    }


def reason(crystals: Crystals, k: int, middle: Medians, limits: RssSettings) -> str:
    """Explain with numbers why one crystal is flagged.

    Args:
        crystals: all crystals.
        k: index of the crystal.
        middle: the medians to compare with.
        limits: settings with the limits of the criteria.

    Returns:
        The reason in words; empty if the crystal is not flagged.
    """
    applies = {key: bool(mask[k]) for key, mask in screen(crystals, middle, limits).items()}
    of = middle.volume_name or middle.name
    small = f"volume {100 * crystals.volume[k] / middle.volume:.0f} % of {of}"
    low = f"energy {figure(middle.energy - crystals.energy[k])} eV/atom below {middle.name}"
    parts = {
        f"atoms at {crystals.overlap[k]:.2f} of their covalent distance": applies["overlap"],
        small: applies["volume"] or applies["volume_and_energy"],
        low: applies["energy"] or applies["volume_and_energy"],
        "relaxation diverged": applies["diverged"],
    }
    return "; ".join(text for text, holds in parts.items() if holds)
