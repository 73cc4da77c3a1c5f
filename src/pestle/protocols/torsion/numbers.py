"""Results of scans, as stored in metrics.json."""

from __future__ import annotations

from pestle.records.results import Numbers


class GivenScan(Numbers):
    """A scan given by the user.

    Attributes:
        x: the coordinate, ascending.
        x_label: name of the coordinate.
        frames: number of frames.
        reference: [n_frames] labels above their minimum, kcal/mol.
        barrier: highest minus lowest label, kcal/mol.
    """

    x: list[float]
    x_label: str
    frames: int
    reference: list[float]
    barrier: float


class ScanNumbers(Numbers):
    """Results of one potential for one scan, kcal/mol.

    If an energy is not finite, all except `energy` are `None`.

    Attributes:
        energy: [n_frames] above the frame with the lowest reference energy.
        rmse: RMSE of `energy` against the reference.
        mean_aligned_rmse: RMSE with both curves relative to their means.
        barrier: highest minus lowest energy.
        barrier_error: barrier minus that of the reference.
    """

    energy: list[float | None]
    rmse: float | None = None
    mean_aligned_rmse: float | None = None
    barrier: float | None = None
    barrier_error: float | None = None


class PotentialNumbers(Numbers):
    """Results of one potential for all scans; means are `None` if a scan has no results.

    Attributes:
        scans: name → its results.
        failed: which energies are not finite, in words.
        rmse, median, mean_aligned_rmse: over the scans, kcal/mol.
        barrier_error: mean absolute error of the barriers, kcal/mol.
        rmse_mev: `rmse` in meV.
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
    """Errors of all potentials along all scans.

    Attributes:
        scans: name → what was given.
        unlabelled: what was left out, in words.
        potentials: name → its results.
    """

    scans: dict[str, GivenScan]
    unlabelled: str
    potentials: dict[str, PotentialNumbers]
