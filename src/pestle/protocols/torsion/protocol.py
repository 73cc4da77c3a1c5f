"""Protocol `torsion`: energies along scans of a coordinate, a dihedral angle as a rule (Fig. 9).

Energies are relative to the frame in which the reference is lowest, of the model as of the
reference: what is read from a scan are heights above its minimum, and public benchmarks on
TorsionNet500 (DOI 10.1021/acs.jcim.1c01346) align there. One bad frame, that one, then shifts a
whole curve; the RMSE with both curves about their means, which is never larger, is given beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.units import kcal, mol

from pestle.protocols.base import Inputs, Protocol
from pestle.protocols.potential import Potential
from pestle.protocols.predictions import calculate_predictions, read_predictions
from pestle.protocols.raw import RawFolder
from pestle.protocols.torsion.scans import Scan, labelled, scans
from pestle.protocols.torsion.shown import assess, charts, tables
from pestle.settings.probe import TorsionSettings
from pestle.structures.frame import Frame

#: eV
KCAL = kcal / mol


def structures(inputs: Inputs, _settings: object = None) -> Sequence[Frame]:
    """The labelled structures of all sets.

    Raises:
        PestleError: there is none; before anything is written.
    """
    return labelled(inputs)[0]


def calculate(
    potential: Potential, inputs: Inputs, settings: TorsionSettings, raw: RawFolder
) -> None:
    """Energies of all frames of all scans."""
    scans(inputs, settings)  # mistakes in groups and angles before the work
    calculate_predictions(potential, structures(inputs), raw, f"scans with {potential.name}")


def analyse(
    raws: Mapping[str, RawFolder], inputs: Inputs, settings: TorsionSettings
) -> dict[str, Any]:
    """Errors of every potential along every scan.

    Returns:
        `scans`: name → `x` (rising), `x_label`, `frames`, `reference` (kcal/mol above its minimum)
        and `barrier` (kcal/mol, highest above lowest); `unlabelled`: what was left out, in words;
        `potentials`: name → `scans`: name → `scan_numbers`; and over the scans `rmse`, `median`,
        `mean_aligned_rmse`, `barrier_error` (the mean of absolute ones; kcal/mol), `rmse_mev`,
        `worst` (name of a scan), `failed` (in words, or `None`).
    """
    found = scans(inputs, settings)
    frames, unlabelled = labelled(inputs)
    potentials = {}
    for name, raw in raws.items():
        energy = np.array([p.energy for p in read_predictions(raw, frames)])
        numbers = {scan.name: scan_numbers(scan, energy[list(scan.rows)]) for scan in found}
        bad = [frames[k].where for k in np.flatnonzero(~np.isfinite(energy))]
        potentials[name] = _summary(numbers) | {
            "scans": numbers,
            "failed": f"not finite on {len(bad)} of {len(frames)} frames (first {bad[0]})"
            if bad
            else None,
        }
    return {"scans": {s.name: _given(s) for s in found}, "unlabelled": unlabelled} | {
        "potentials": potentials
    }


def scan_numbers(scan: Scan, energy: np.ndarray) -> dict[str, Any]:
    """Numbers of one scan, kcal/mol.

    Args:
        scan: with the reference.
        energy: [n_frames] eV, of a potential.

    Returns:
        `energy` above the frame in which the reference is lowest, `rmse` against the reference
        there, `mean_aligned_rmse`, `barrier` (highest above lowest), `barrier_error`; the latter
        four are `None` where an energy is not finite.
    """
    lowest = int(np.argmin(scan.reference))
    curve = (energy - energy[lowest]) / KCAL
    result: dict[str, Any] = {"energy": curve.tolist(), "rmse": None, "mean_aligned_rmse": None}
    result |= {"barrier": None, "barrier_error": None}
    if not np.isfinite(energy).all():
        return result
    reference = (scan.reference - scan.reference[lowest]) / KCAL
    error = curve - reference
    return result | {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mean_aligned_rmse": float(np.std(error)),
        "barrier": float(np.ptp(curve)),
        "barrier_error": float(np.ptp(curve) - np.ptp(reference)),
    }


def _summary(numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the scans; `None` where a scan has no numbers."""
    keys = ("rmse", "median", "mean_aligned_rmse", "barrier_error", "rmse_mev", "worst")
    if any(scan["rmse"] is None for scan in numbers.values()):
        return dict.fromkeys(keys)
    rmse = np.array([scan["rmse"] for scan in numbers.values()])
    values = (
        float(rmse.mean()),
        float(np.median(rmse)),
        float(np.mean([scan["mean_aligned_rmse"] for scan in numbers.values()])),
        float(np.mean([abs(scan["barrier_error"]) for scan in numbers.values()])),
        float(1e3 * KCAL * rmse.mean()),
        list(numbers)[int(rmse.argmax())],
    )
    return dict(zip(keys, values, strict=True))


def _given(scan: Scan) -> dict[str, Any]:
    reference = (scan.reference - scan.reference.min()) / KCAL
    return {
        "x": list(scan.x),
        "x_label": scan.x_label,
        "frames": len(scan.x),
        "reference": reference.tolist(),
        "barrier": float(reference.max()),
    }


PROTOCOL = Protocol(
    name="torsion",
    question="Are energies along scans of dihedral angles right?",
    settings=TorsionSettings,
    structures=structures,
    version=2,  # smaller pieces, whose ends are kept
    calculate=calculate,
    analyse=analyse,
    charts=charts,
    tables=tables,
    assess=assess,
    extent=lambda _settings: "every frame of every scan",
    analysis_settings=("group", "angle"),
)
