"""Raw results of a reaction on one potential: given images, relaxed ends, relaxed band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.neb.reactions import Reaction
from pestle.protocols.raw import RawFolder

End = Literal["reactant", "product"]
#: The two ends of a reaction, in order.
ENDS: tuple[End, End] = ("reactant", "product")
#: Time step of the optimiser at the beginning of a stage, in ASE's units.
TIMESTEP = 0.1


@dataclass(frozen=True)
class GivenImages(Arrays):
    """Predictions of the given images; NaN where a prediction failed.

    Attributes:
        energy: [images] eV.
        forces: [images, atoms, 3] eV/Å.
    """

    energy: Annotated[np.ndarray, Shape("images")]
    forces: Annotated[np.ndarray, Shape("images", "atoms", 3)]


@dataclass(frozen=True)
class RelaxedEnd(Arrays):
    """The relaxed reactant or product.

    Attributes:
        positions: [atoms, 3] Å.
        forces: [atoms, 3] eV/Å.
        energy: eV.
        steps: number of steps.
        converged: whether the largest force is below its limit.
    """

    positions: Annotated[np.ndarray, Shape("atoms", 3)]
    forces: Annotated[np.ndarray, Shape("atoms", 3)]
    energy: float
    steps: int
    converged: bool


@dataclass(frozen=True)
class Band(Arrays):
    """A band, from which its relaxation continues.

    Attributes:
        positions: [images, atoms, 3] Å.
        energy: [images] eV.
        fmax: largest force of the band, eV/Å.
        steps: number of steps so far.
        final: whether the second stage has begun, in which the highest image may climb.
        converged: whether the largest force is below its limit.
        finished: whether the relaxation has ended.
        timestep: time step of the optimiser, in ASE's units.
    """

    positions: Annotated[np.ndarray, Shape("images", "atoms", 3)]
    energy: Annotated[np.ndarray, Shape("images")]
    fmax: float
    steps: int
    final: bool
    converged: bool
    finished: bool
    timestep: float = TIMESTEP


@dataclass(frozen=True)
class Failure(Arrays):
    """What is written in place of an end or a band that cannot be relaxed.

    Attributes:
        failed: the reason, in words.
    """

    failed: str


def name_of_images(reaction: Reaction) -> str:
    """Return the name of the results of the given images (`GivenImages`)."""
    return f"path-{reaction.slug}"


def name_of_end(reaction: Reaction, which: End) -> str:
    """Return the name of the results of an end (`RelaxedEnd` or `Failure`)."""
    return f"{which}-{reaction.slug}"


def name_of_band(reaction: Reaction) -> str:
    """Return the name of the results of the band (`Band` or `Failure`)."""
    return f"band-{reaction.slug}"


def read_end(reaction: Reaction, which: End, raw: RawFolder) -> RelaxedEnd | Failure:
    """Return the relaxed reactant or product, or why it cannot be relaxed."""
    return raw.read_either(name_of_end(reaction, which), RelaxedEnd, Failure)


def read_band(reaction: Reaction, raw: RawFolder) -> Band | Failure | None:
    """Return the band, or why it cannot be relaxed; `None` if there is none."""
    name = name_of_band(reaction)
    return raw.read_either(name, Band, Failure) if raw.has(name) else None
