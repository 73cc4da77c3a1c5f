"""The numbers of reactions, as metrics.json holds them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pestle.records.results import Numbers


class Profile(Numbers):
    """Energies along a path; what is not known is `None`.

    Attributes:
        energy: [n_images] above the first image, eV.
        barrier: the highest image above the first, eV; `None` without an image between the ends.
        reverse_barrier: the highest image above the last, eV.
        reaction_energy: the last image above the first, eV.
        saddle: whether an image between the ends is higher than both.
        rmse_mev: against the labels, meV.
    """

    energy: list[float | None]
    barrier: float | None = None
    reverse_barrier: float | None = None
    reaction_energy: float | None = None
    saddle: bool = False
    rmse_mev: float | None = None


class BandNumbers(Profile):
    """A band that was relaxed with the potential.

    Attributes:
        length: [n_images] along the path, Å.
        converged: whether it came below the largest force that is allowed.
        fmax: its largest force, eV/Å.
        steps: that it took.
    """

    length: list[float]
    converged: bool
    fmax: float
    steps: int


class Change(Numbers):
    """How a relaxation changed a structure.

    Attributes:
        rmsd: of the atoms, after turning one structure onto the other, Å.
        apart: the widest gap where the structure fell apart, Å; `None` where it did not.
        formed, broken: bonds, such as `C0-F5`.
    """

    rmsd: float
    apart: float | None
    formed: list[str]
    broken: list[str]


class EndNumbers(Change):
    """What became of the reactant or the product.

    Attributes:
        steps: of the relaxation.
        converged: whether it came below the largest force that is allowed.
        fmax: largest force at its end, eV/Å.
    """

    steps: int
    converged: bool
    fmax: float


class Ends(Numbers):
    """What became of the reactant and the product of one reaction, or what failed.

    Attributes:
        ends: `reactant` and `product` → its numbers; empty where none was relaxed.
        failed: what kept an end or the band from being relaxed, in words.
        lost: why an end is not the minimum that was given, in words.
        late: relaxations that ran out of steps, in words.
        blocked: whether a band is impossible, because an end is missing or became another
            structure. Fragments that fell apart and came to rest are ends too.
    """

    ends: dict[str, EndNumbers] = Field(default_factory=dict)
    failed: str | None = None
    lost: str | None = None
    late: list[str] = Field(default_factory=list)
    blocked: bool = False


class ReactionNumbers(Ends):
    """One reaction on one potential.

    Attributes:
        barrier, reaction_energy: of the path that is judged, eV.
        barrier_error, reaction_energy_error: the same less that of the labels, eV.
        path: along the given images.
        band: relaxed; `None` where there is none.
        judged: `band` where the band and its ends converged, else `path`.
        saddle: whether the path that is judged has one.
        remarks: sentences for the table.
    """

    barrier: float | None
    barrier_error: float | None
    reaction_energy: float | None
    reaction_energy_error: float | None
    path: Profile
    band: BandNumbers | None
    judged: Literal["path", "band"]
    saddle: bool
    remarks: list[str]


class GivenReaction(Numbers):
    """What the user gave.

    Attributes:
        length: [n_images] along the given images, Å.
        reference: profile of the labels; `None` without labels.
    """

    length: list[float]
    reference: Profile | None


class PotentialNumbers(Numbers):
    """All reactions on one potential.

    Attributes:
        reactions: name → its numbers.
    """

    reactions: dict[str, ReactionNumbers]


class NebNumbers(Numbers):
    """Barriers and reaction energies of every potential.

    Attributes:
        reactions: name → what was given.
        potentials: name → its reactions.
    """

    reactions: dict[str, GivenReaction]
    potentials: dict[str, PotentialNumbers]
