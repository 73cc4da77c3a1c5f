"""One observation on a unit: a measured factor, its uncertainty, and how much it is trusted.

Every observation has the same form. It measures the factor that converts labels to Pestle's units,
separately for each shape that a label may have (an energy may be of the cell or per atom). The loss
of a candidate unit is half the squared distance between its factor and the measured one, in
standard deviations of the logarithm. The loss is at most `limit`, because one observation may be an
accident of the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pestle.checks.unit_tables import Unit

ENERGY, FORCES, STRESS = "energy", "forces", "stress"
# Powers of (first unit, second unit): the ratios are of energies to forces.
RATIO, SCATTER = "energy/forces", "energy/forces²"
_POWERS = {ENERGY: (1, 0), FORCES: (1, 0), RATIO: (1, -1), SCATTER: (1, -2), STRESS: (1, 0)}


@dataclass(frozen=True)
class Measured:
    """A factor and its standard deviations on the logarithmic scale.

    Attributes:
        factor: turns labels into Pestle's units, with its sign where that was measured.
        above, below: widths where a candidate's factor is larger or smaller than this one.
    """

    factor: float
    above: float
    below: float


@dataclass(frozen=True)
class Evidence:
    """One observation about one property, or about a ratio of two.

    Attributes:
        about: `energy`, `forces`, `stress`, `energy/forces` or `energy/forces²`.
        measured: factor by shape of the label; a shape that is missing does not fit the data.
        why: the observation in words, numbers included.
        limit: nats that it counts at most.
        signed: whether it tells the sign.
        missing: nats that a candidate loses whose shape is not measured, at most `limit`.
    """

    about: str
    measured: Mapping[str, Measured]
    why: str
    limit: float
    signed: bool = False
    missing: float = 4.0

    def loss(self, first: Unit, second: Unit | None = None) -> float:
        """Return the loss of a candidate, in nats.

        Args:
            first: unit of the property; if two properties are concerned, unit of the energy.
            second: unit of the forces.
        """
        one, two = _POWERS[self.about]
        other = second.factor if second is not None else 1.0
        factor = first.factor**one * other**two
        measured = self.measured.get(first.shape)
        if measured is None:
            return min(self.limit, self.missing)
        if measured.factor == 0 or (self.signed and factor * measured.factor < 0):
            return self.limit
        distance = math.log(abs(factor / measured.factor))
        width = measured.above if distance > 0 else measured.below
        return min(0.5 * (distance / width) ** 2, self.limit)


@dataclass(frozen=True)
class Basis:
    """How much the evidence rests on: frames, and independent distances in them."""

    n_frames: int = 0
    n_distances: int = 0


@dataclass
class Opinion:
    """Evidence from elsewhere (a foundation), to be weighed with that of the data."""

    evidence: list[Evidence] = field(default_factory=list)
