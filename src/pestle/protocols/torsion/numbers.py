"""The numbers of scans, as metrics.json holds them."""

from __future__ import annotations

from pestle.records.results import Numbers


class GivenScan(Numbers):
    """What the user gave.

    Attributes:
        x: the coordinate, rising.
        x_label: what it is.
        frames: their number.
        reference: [n_frames] labels above their minimum, kcal/mol.
        barrier: highest above lowest, kcal/mol.
    """

    x: list[float]
    x_label: str
    frames: int
    reference: list[float]
    barrier: float


class ScanNumbers(Numbers):
    """One scan with one potential, kcal/mol; all but `energy` are `None` where an energy is not
    finite.

    Attributes:
        energy: [n_frames] above the frame in which the reference is lowest.
        rmse: against the reference there.
        mean_aligned_rmse: the same with both curves about their means.
        barrier: highest above lowest.
        barrier_error: the same less that of the reference.
    """

    energy: list[float | None]
    rmse: float | None = None
    mean_aligned_rmse: float | None = None
    barrier: float | None = None
    barrier_error: float | None = None


class PotentialNumbers(Numbers):
    """All scans with one potential; means are `None` where a scan has no numbers.

    Attributes:
        scans: name → its numbers.
        failed: what is not finite, in words.
        rmse, median, mean_aligned_rmse: over the scans, kcal/mol.
        barrier_error: mean of the absolute ones, kcal/mol.
        rmse_mev: meV.
        worst: name of the scan with the largest RMSE.
    """

    scans: dict[str, ScanNumbers]
    failed: str | None = None
    rmse: float | None = None
    median: float | None = None
    mean_aligned_rmse: float | None = None
    barrier_error: float | None = None
    rmse_mev: float | None = None
    worst: str | None = None


class TorsionNumbers(Numbers):
    """Errors of every potential along every scan.

    Attributes:
        scans: name → what was given.
        unlabelled: what was left out, in words.
        potentials: name → its numbers.
    """

    scans: dict[str, GivenScan]
    unlabelled: str
    potentials: dict[str, PotentialNumbers]
