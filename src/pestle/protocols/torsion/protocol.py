"""Protocol `torsion`: energies along scans of a coordinate, usually a dihedral angle (Fig. 9).

All energies, of model and reference, are relative to the frame with the lowest reference energy. A
user reads heights above the minimum from a scan, and public benchmarks on TorsionNet500 (DOI
10.1021/acs.jcim.1c01346) use the same alignment. An error in this one frame shifts the whole curve.
The RMSE with both curves relative to their means, which is never larger, is therefore given too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.units import kcal, mol

from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.predictions import calculate_predictions, read_predictions
from pestle.protocols.raw import RawFolder
from pestle.protocols.torsion import DECLARATION
from pestle.protocols.torsion.numbers import (
    GivenScan,
    PotentialNumbers,
    ScanNumbers,
    TorsionNumbers,
)
from pestle.protocols.torsion.scans import Scan, has_reference, labelled, scans
from pestle.protocols.torsion.shown import assess, charts, tables
from pestle.settings.probe import TorsionSettings
from pestle.structures.frame import Frame
from pestle.wording import counted

#: One kcal/mol in eV.
KCAL = kcal / mol


def structures(inputs: Inputs, _settings: object = None) -> Sequence[Frame]:
    """Return the labelled structures of all sets.

    Raises:
        PestleError: there is none; raised before anything is written.
    """
    return labelled(inputs)[0]


def calculate(
    potential: Potential, inputs: Inputs, settings: TorsionSettings, raw: RawFolder
) -> None:
    """Calculate the energies of all frames of all scans.

    Args:
        potential: the potential.
        inputs: contain the scans.
        settings: settings of the protocol.
        raw: folder for the energies.

    Raises:
        PestleError: the frames of a group are not a scan.
    """
    scans(inputs, settings)  # find mistakes in groups and angles first
    calculate_predictions(potential, structures(inputs), raw, f"scans with {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: TorsionSettings
) -> TorsionNumbers:
    """Calculate the errors of all potentials along all scans.

    Args:
        raws: potential → its energies.
        inputs: contain the scans.
        settings: settings of the protocol.
    """
    found = scans(inputs, settings)
    frames, unlabelled = labelled(inputs)
    potentials = {}
    for name, raw in raws.items():
        energy = np.array([p.energy for p in read_predictions(raw, frames)])
        numbers = {scan.name: scan_numbers(scan, energy[list(scan.rows)]) for scan in found}
        bad = [frames[k].where for k in np.flatnonzero(~np.isfinite(energy))]
        failed = None
        if bad:
            failed = f"not finite on {len(bad)} of {counted(len(frames), 'frame')} (first {bad[0]})"
        potentials[name] = _of_potential(numbers, failed)
    scans_given = {scan.name: _given(scan) for scan in found}
    return TorsionNumbers(scans=scans_given, unlabelled=unlabelled, potentials=potentials)


def scan_numbers(scan: Scan, energy: np.ndarray) -> ScanNumbers:
    """Calculate the numbers of one scan.

    Args:
        scan: the scan with its reference.
        energy: [n_frames] energies of a potential, eV.
    """
    lowest = int(np.argmin(scan.reference))
    curve = (energy - energy[lowest]) / KCAL
    if not np.isfinite(energy).all():
        return ScanNumbers(energy=curve.tolist())
    reference = (scan.reference - scan.reference[lowest]) / KCAL
    error = curve - reference
    return ScanNumbers(
        energy=curve.tolist(),
        rmse=float(np.sqrt(np.mean(error**2))),
        mean_aligned_rmse=float(np.std(error)),
        barrier=float(np.ptp(curve)),
        barrier_error=float(np.ptp(curve) - np.ptp(reference)),
    )


def _of_potential(numbers: Mapping[str, ScanNumbers], failed: str | None) -> PotentialNumbers:
    """Calculate means over the scans; without them if a scan has no results."""
    complete = [scan for scan in numbers.values() if scan.rmse is not None]
    if len(complete) < len(numbers):
        return PotentialNumbers(scans=dict(numbers), failed=failed)
    rmse = np.array([scan.rmse for scan in complete])
    return PotentialNumbers(
        scans=dict(numbers),
        failed=failed,
        rmse=float(rmse.mean()),
        median=float(np.median(rmse)),
        mean_aligned_rmse=float(np.mean([scan.mean_aligned_rmse for scan in complete])),
        barrier_error=float(np.mean([abs(scan.barrier_error or 0.0) for scan in complete])),
        rmse_mev=float(1e3 * KCAL * rmse.mean()),
        worst=list(numbers)[int(rmse.argmax())],
    )


def _given(scan: Scan) -> GivenScan:
    reference = (scan.reference - scan.reference.min()) / KCAL
    return GivenScan(
        x=list(scan.x),
        x_label=scan.x_label,
        frames=len(scan.x),
        reference=reference.tolist(),
        barrier=float(reference.max()),
    )


PROTOCOL = Protocol(
    declaration=DECLARATION,
    settings=TorsionSettings,
    numbers=TorsionNumbers,
    structures=structures,
    version=2,  # smaller pieces, with their ends stored
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _inputs, _settings: "every frame of every scan",
    analysis_settings=("group", "angle"),
    has_reference=lambda sets, _settings: has_reference(sets),
)
