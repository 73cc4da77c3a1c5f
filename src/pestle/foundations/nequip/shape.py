"""Sizes of a NequIP-type network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: Largest sizes: a file with larger ones is damaged. parts.py names the degrees up to MAX_DEGREE.
MAX_WIDTH, MAX_DEPTH, MAX_DEGREE = 4096, 32, 6


@dataclass(frozen=True)
class Shape:
    """This record holds everything that determines the network except its weights.

    Attributes:
        species: number of elements.
        species_channels: number of channels of the element embedding.
        channels: number of channels of the hidden features for each l.
        lmax: highest degree of the spherical harmonics.
        layers: number of interaction layers; the last one gives only scalars.
        basis_size: number of Bessel functions.
        radial_width: width of the hidden layers of the radial network.
        radial_depth: number of hidden layers of the radial network.
        cutoff: neighbour cutoff in Å.
        cutoff_power: power p of the polynomial cutoff.
        mean_neighbours: mean number of neighbours; sums over neighbours are divided by its square
            root.
        layer_norm: whether every layer has a layer norm.
        init_scale: variance of the random hidden weights of the radial network, times their number
            of inputs.
        heads: number of readouts.
    """

    species: int
    species_channels: int
    channels: tuple[int, ...]
    lmax: int
    layers: int
    basis_size: int
    radial_width: int
    radial_depth: int
    cutoff: float
    cutoff_power: float
    mean_neighbours: float
    layer_norm: bool
    init_scale: float
    heads: int

    def __post_init__(self) -> None:
        """Refuse sizes that no network has.

        Raises:
            ValueError: a size is not a number or out of range.
        """
        counts = {
            "species": (self.species, 1, 200),
            "species_channels": (self.species_channels, 1, 200),
            "channels": (min(self.channels, default=0), 1, MAX_WIDTH),
            "widest channels": (max(self.channels, default=0), 1, MAX_WIDTH),
            "degrees": (len(self.channels), 1, self.lmax + 1),
            "lmax": (self.lmax, 0, MAX_DEGREE),
            "layers": (self.layers, 1, MAX_DEPTH),
            "basis_size": (self.basis_size, 1, MAX_WIDTH),
            "radial_width": (self.radial_width, 1, MAX_WIDTH),
            "radial_depth": (self.radial_depth, 0, MAX_DEPTH),
            "heads": (self.heads, 1, 200),
        }
        for name, (value, least, most) in counts.items():
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} is {value}")
        for name in ("cutoff", "cutoff_power", "mean_neighbours", "init_scale"):
            value = getattr(self, name)
            if not isinstance(value, float | int) or not 0 < value < 1e4:
                raise ValueError(f"{name} is {value}")

    def require_weights(self, held: int) -> None:
        """Check that a network of this shape does not need more weights than a file holds.

        A damaged file could otherwise ask for more memory than there is.

        Args:
            held: number of weights in the file.

        Raises:
            ValueError: the network needs more.
        """
        depth = max(0, self.radial_depth - 1)
        radial = self.basis_size * self.radial_width + depth * self.radial_width**2
        linear = (self.layers - 1) * sum(n**2 for n in self.channels)
        needed = linear + (self.layers * radial if self.radial_depth else 0)
        if needed > held:
            raise ValueError(f"a network of at least {needed:,} weights, and there are {held:,}")

    def to_json(self) -> dict[str, Any]:
        """Return the shape as data that JSON can hold."""
        return {**asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Shape:
        """Make a shape from the data that `to_json` gave.

        Args:
            plain: the data, which may come from a damaged file.

        Raises:
            TypeError, ValueError: an entry is missing, unknown or out of range.
        """
        return cls(**{**plain, "channels": tuple(plain.get("channels", ()))})
