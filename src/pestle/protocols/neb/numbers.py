"""Results of reactions, as stored in metrics.json."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pestle.records.results import Numbers


class Profile(Numbers):
    """Energies along a path; unknown values are `None`.

    Attributes:
        energy: [n_images] relative to the first image, eV.
        barrier: energy of the highest image relative to the first, eV; `None` without an image
            between the ends.
        reverse_barrier: energy of the highest image relative to the last, eV.
        reaction_energy: energy of the last image relative to the first, eV.
        saddle: whether an image between the ends is higher than both ends.
        rmse_mev: RMSE against the labels, meV.
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
        length: [n_images] length along the path, Å.
        converged: whether the largest force is below its limit.
        fmax: largest force, eV/Å.
        steps: number of steps.
    """

    length: list[float]
    converged: bool
    fmax: float
    steps: int


class Change(Numbers):
    """How a relaxation changed a structure.

    Attributes:
        rmsd: root mean square displacement of the atoms after rotation to the best overlap, Å.
        apart: widest gap if the structure fell apart, Å; otherwise `None`.
        formed, broken: bonds that formed or broke, such as `C0-F5`.
    """

    rmsd: float
    apart: float | None
    formed: list[str]
    broken: list[str]


class EndNumbers(Change):
    """The relaxation of the reactant or the product.

    Attributes:
        steps: number of steps.
        converged: whether the largest force is below its limit.
        fmax: largest force at the end, eV/Å.
    """

    steps: int
    converged: bool
    fmax: float


class Ends(Numbers):
    """The relaxation of reactant and product of one reaction.

    Attributes:
        ends: `reactant` and `product` → its numbers; empty if none was relaxed.
        failed: why an end or the band cannot be relaxed, in words.
        lost: why a relaxed end is another minimum than the given structure, in words.
        late: relaxations that reached the step limit, in words.
        blocked: whether no band can be relaxed, because an end is missing or became another
            structure. Fragments that separated and whose relaxation converged are valid ends.
    """

    ends: dict[str, EndNumbers] = Field(default_factory=dict)
    failed: str | None = None
    lost: str | None = None
    late: list[str] = Field(default_factory=list)
    blocked: bool = False


class ReactionNumbers(Ends):
    """One reaction on one potential.

    Attributes:
        barrier, reaction_energy: values of the judged path, eV.
        barrier_error, reaction_energy_error: these values minus those of the labels, eV.
        path: energies along the given images.
        band: the relaxed band; `None` if there is none.
        judged: `band` if the band and its ends converged, otherwise `path`.
        saddle: whether the judged path has a saddle.
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
    """A reaction as the user gave it.

    Attributes:
        length: [n_images] length along the given images, Å.
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
        reactions: name → the given reaction.
        potentials: name → its reactions.
    """

    reactions: dict[str, GivenReaction]
    potentials: dict[str, PotentialNumbers]
