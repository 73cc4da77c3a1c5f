"""Results of radial distribution functions, as stored in metrics.json."""

from __future__ import annotations

from pestle.records.results import Numbers


class Function(Numbers):
    """The radial distribution function of one pair of elements.

    Attributes:
        r: [n_bins] centres of the bins, Å.
        g: [n_bins] the function, no unit; `None` if no frame has such a pair.
        error: [n_bins] standard deviation of `g`; `None` if it is unknown, as for a table.
        coordination: [n_bins] number of neighbours of the second element around an atom of the
            first, up to the outer edge of each bin; `None` for a table.
        first_peak: position (Å) and height of the first maximum; `None` if there is none.
    """

    r: list[float]
    g: list[float | None]
    error: list[float | None] | None
    coordination: list[float | None] | None
    first_peak: tuple[float, float] | None


class ComparedFunction(Function):
    """The function of a potential, with its earth mover's distance to the reference.

    Attributes:
        emd: the distance, Å; `None` if no such pair exists up to the largest distance.
        emd_error: its standard deviation, Å. This and the next two are `None` if they are unknown.
        emd_interval: lower and upper end of its 95 % interval, Å.
        emd_noise: in 95 % of the cases, two samples of one liquid are closer than this, Å.
        judged: whether the verdict may depend on this pair.
    """

    emd: float | None
    emd_error: float | None
    emd_interval: tuple[float, float] | None
    emd_noise: float | None
    judged: bool


class ReferenceNumbers(Numbers):
    """The reference that the potentials are compared with.

    Attributes:
        text: description of the reference.
        stands_in: whether the given structures are used because no reference was given.
        pairs: name of the pair → its function.
    """

    text: str
    stands_in: bool
    pairs: dict[str, Function]


class PotentialNumbers(Numbers):
    """Functions of one potential.

    Attributes:
        source: description of the frames.
        n_frames, n_runs: number of frames and of runs.
        unstable: a sentence for each run that became unstable.
        pairs: name of the pair → its function; empty if no frame is left.
    """

    source: str
    n_frames: int
    n_runs: int
    unstable: list[str]
    pairs: dict[str, ComparedFunction]


class RdfNumbers(Numbers):
    """Functions of the reference and of every potential.

    Attributes:
        pairs: names such as `Cl-O`, in the order in which they are shown.
        r_max: largest distance that is compared, Å.
        notices: sentences that readers must know.
        reference: the reference.
        potentials: name → its functions.
    """

    pairs: list[str]
    r_max: float
    notices: list[str]
    reference: ReferenceNumbers
    potentials: dict[str, PotentialNumbers]
