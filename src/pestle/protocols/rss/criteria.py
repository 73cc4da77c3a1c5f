"""Which relaxed crystals imploded: the four criteria of the paper's appendix A.5, and divergence.

Medians are those of the crystals of one composition at one pressure that did not diverge. Those of
the foundation are used too: a potential on which most crystals implode hides it in its own. What
the paper does not have is a limit to the median volume: molecules that drift apart, as they do at
0.1 GPa, would make any solid among them look imploded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pestle.settings.probe import RssSettings

#: Criterion → what tables call it.
CRITERIA: Mapping[str, str] = {
    "overlap": "overlap",
    "volume": "volume",
    "energy": "energy",
    "volume_and_energy": "volume and energy",
    "diverged": "diverged",
}


@dataclass(frozen=True)
class Crystals:
    """Of one composition at one pressure, relaxed with one potential.

    Attributes:
        status: [n] of the last relaxation.
        first_energy: [n] eV/atom of the unrelaxed crystals, before the first cycle, which all
            potentials share.
        energy: [n] eV/atom.
        volume: [n] Å³/atom.
        overlap: [n] smallest distance over the sum of the covalent radii.
    """

    status: np.ndarray
    first_energy: np.ndarray
    energy: np.ndarray
    volume: np.ndarray
    overlap: np.ndarray

    @property
    def diverged(self) -> np.ndarray:
        """[n] whether the relaxation did."""
        return self.status == "diverged"

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True)
class Medians:
    """What a crystal is compared with; NaN where there is nothing.

    Attributes:
        volume: Å³/atom.
        energy: eV/atom.
        mad: median absolute deviation of the energy, eV/atom.
        name: what a reader is told that they are.
        volume_name: the same of the volume, where that is another.
    """

    volume: float
    energy: float
    mad: float
    name: str = field(default="the median", compare=False)
    volume_name: str = field(default="", compare=False)

    def limited(self, volume: float) -> Medians:
        """The same with a volume of so many Å³/atom at most."""
        if not self.volume > volume:
            return self
        name = f"the {volume:.3g} Å³/atom that a median counts as at most"
        return replace(self, volume=volume, volume_name=name)


def medians(crystals: Crystals) -> Medians:
    """Of the crystals that did not diverge."""
    taken = ~crystals.diverged
    if not taken.any():
        return Medians(np.nan, np.nan, np.nan)
    energy = crystals.energy[taken]
    middle = float(np.median(energy))
    mad = float(np.median(np.abs(energy - middle)))
    return Medians(float(np.median(crystals.volume[taken])), middle, mad)


def foundation_medians(foundation: Crystals, crystals: Crystals) -> Medians:
    """Of the foundation, with the energy on the scale of the potential of the given crystals.

    Levels of theory may differ by hundreds of eV an atom. The shift is the median difference of the
    energies of the unrelaxed crystals, which are the same for both.
    """
    found = medians(foundation)
    shift = crystals.first_energy - foundation.first_energy
    shift = shift[np.isfinite(shift)]
    moved = found.energy + float(np.median(shift)) if len(shift) else np.nan
    return Medians(found.volume, moved, found.mad)


def screen(crystals: Crystals, middle: Medians, limits: RssSettings) -> dict[str, np.ndarray]:
    """Criterion → [n] whether it applies. A comparison with NaN never does."""
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
    """Why crystal k is flagged, with the figures; empty where it is not."""
    applies = {key: bool(mask[k]) for key, mask in screen(crystals, middle, limits).items()}
    of = middle.volume_name or middle.name
    small = f"volume {100 * crystals.volume[k] / middle.volume:.0f} % of {of}"
    low = f"energy {middle.energy - crystals.energy[k]:.3g} eV/atom below {middle.name}"
    parts = {
        f"atoms at {crystals.overlap[k]:.2f} of their covalent distance": applies["overlap"],
        small: applies["volume"] or applies["volume_and_energy"],
        low: applies["energy"] or applies["volume_and_energy"],
        "relaxation diverged": applies["diverged"],
    }
    return "; ".join(text for text, holds in parts.items() if holds)
