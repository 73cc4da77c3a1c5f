"""What a foundation's predictions say about labels: units, signs, levels of theory, outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import KnownPredictions, predict_frames
from pestle.progress import progress
from pestle.structures.checks.geometry import sound_frames
from pestle.structures.checks.levels import (
    MIN_FRAMES,
    clusters_of,
    enough_frames,
    mixed_finding,
    outlier_findings,
)
from pestle.structures.checks.report import Finding, count_of, finding
from pestle.structures.checks.robust import (
    composition_residual,
    mad,
    project_out,
    slope_through_origin,
)
from pestle.structures.checks.unit_tables import ENERGY_UNITS, FORCE_UNITS, STRESS_UNITS
from pestle.structures.frame import Frame, composition_matrix, elements_of

# Slopes of labels on predictions count from this correlation on. A foundation far from its training
# data still reaches 0.8 for forces and for changes of the stress; a mere offset of the pressure,
# common among small foundations, is taken out first.
MIN_CORRELATION = 0.6
# Energies within one composition have few independent values and can run against a poor foundation
# (torsion scans do): only a strong positive correlation counts, and none convicts the sign.
MIN_ENERGY_CORRELATION = 0.85
# Frames of one composition from which on its mean stress is taken out for itself.
_MIN_GROUP = 4
# The unit whose ratio is nearest to the slope is named if it lies within this factor: foundations
# soften surfaces by up to a half on structures they do not know, and units differ by 4 and more.
_FACTOR = 2.2

# Gaps narrower than this (eV/atom) may be the foundation's own uneven errors between phases.
MIN_GAP = 0.08
# Frames whose force error is this many times the median of all, and above this many eV/Å.
OUTLIER_FORCE_RATIO, OUTLIER_FORCE = 15.0, 2.0


@dataclass
class Compared:
    """Labels and predictions of the frames looked at, in label units and in eV, eV/Å, eV/Å³."""

    frames: list[Frame]
    energy: np.ndarray  # [n] predicted
    forces: list[np.ndarray]  # [n_atoms, 3] predicted
    stress: np.ndarray  # [n, 3, 3] predicted


def _predict(
    frames: list[Frame],
    foundation: Foundation,
    head: str | None,
    max_edges: int | None,
    known: KnownPredictions | None,
) -> Compared:
    with progress("checking labels against the foundation", len(frames)) as bar:
        said = predict_frames(
            foundation,
            frames,
            head=head,
            max_edges=max_edges,
            on_progress=bar.to,
            known=known,
            finite=True,
        )
    return Compared(
        frames,
        np.array([p.energy for p in said]),
        [p.forces for p in said],
        np.array([np.zeros((3, 3)) if p.stress is None else p.stress for p in said]),
    )


def check_against_foundation(
    splits: Mapping[str, Sequence[Frame]],
    foundation: Foundation,
    *,
    head: str | None,
    max_frames: int = 200,
    seed: int = 0,
    max_edges: int | None = None,
    known: KnownPredictions | None = None,
) -> list[Finding]:
    """Findings that need predictions, on a random sample of the frames.

    Args:
        splits: frames by split; all are sampled together.
        foundation: the model to compare with.
        head: its head; `None` where it has one only.
        max_frames: frames predicted at most.
        seed: seed of the sample.
        max_edges: edges in a batch; by default the model's `edges_at_once`.
        known: predictions of that head so far; the new ones are added.

    Raises:
        PestleError: the head is unknown, or a prediction is not finite.
    """
    foundation.head_index(head)
    everything = [f for frames in splits.values() for f in frames]
    sound, _ = sound_frames(everything, None)
    elements = set(foundation.elements)
    usable = [
        f
        for f in sound
        if len(f) > 1
        and (f.energy is not None or f.forces is not None or f.stress is not None)
        and elements.issuperset(f.numbers.tolist())
    ]
    if len(usable) > max_frames:
        chosen = np.random.default_rng(seed).choice(len(usable), max_frames, replace=False)
        usable = [usable[k] for k in np.sort(chosen)]
    if not usable:
        return []
    compared = _predict(usable, foundation, head, max_edges, known)
    findings = _force_findings(compared)
    energy_findings, unit = _energy_findings(compared)
    findings += energy_findings
    findings += _stress_findings(compared)
    findings += _residual_findings(compared, unit, foundation)
    return findings


def _named_unit(units: Mapping[str, float], slope: float) -> str:
    """The unit whose ratio is nearest to |slope|, '' if none is near."""
    name = min(units, key=lambda u: abs(np.log(abs(slope) / units[u])))
    return name if abs(np.log(abs(slope) / units[name])) < np.log(_FACTOR) else ""


def _slope_findings(
    what: str,
    units: Mapping[str, float],
    predicted: np.ndarray,
    label: np.ndarray,
    frames: Sequence[Frame],
    sign: tuple[str, str] | None,
) -> tuple[list[Finding], str]:
    """(findings about unit and sign, the unit: '' where it is not determined).

    Args:
        what: the label's name.
        units: unit → how many of it make one of the first.
        predicted: predictions, any shape.
        label: labels in that shape.
        frames: the frames they belong to.
        sign: code and message of a finding about the sign; `None` where the sign is not judged.
    """
    slope, correlation = slope_through_origin(predicted, label)
    enough = abs(correlation) >= MIN_CORRELATION if sign else correlation >= MIN_ENERGY_CORRELATION
    if not enough or slope == 0:
        return [], ""
    right = next(iter(units))
    compared = (
        f"labels are {slope:.3g} times the foundation's predictions (correlation "
        f"{correlation:.2f}, {len(frames)} frames)"
    )
    unit = _named_unit(units, slope)
    findings = []
    if unit not in ("", right):
        factor = units[unit]
        findings.append(
            finding(
                "warning",
                f"{what}-units",
                f"the {what} labels look like {unit}, not {right}: {compared}; {unit} would give "
                f"{factor:.3g}",
                frames,
                fix=f"Multiply them by {1 / factor:.7g} to get {right}.",
            )
        )
    if sign and slope < 0:
        findings.append(
            finding(
                "warning",
                sign[0],
                f"{sign[1]}: {compared}",
                frames,
                fix="Multiply them by −1.",
            )
        )
    return findings, unit


def _force_findings(compared: Compared) -> list[Finding]:
    rows = [k for k, f in enumerate(compared.frames) if f.forces is not None]
    if not rows:
        return []
    frames = [compared.frames[k] for k in rows]
    label = np.concatenate([np.asarray(f.forces).ravel() for f in frames])
    predicted = np.concatenate([compared.forces[k].ravel() for k in rows])
    findings, _ = _slope_findings(
        "force",
        FORCE_UNITS,
        predicted,
        label,
        frames,
        ("force-sign", "the forces have the wrong sign (gradients?)"),
    )
    if not findings:
        findings = _force_outliers(compared, rows)
    return findings


def _force_outliers(compared: Compared, rows: Sequence[int]) -> list[Finding]:
    if len(rows) < MIN_FRAMES:
        return []
    error = np.array(
        [
            np.sqrt(((np.asarray(compared.frames[k].forces) - compared.forces[k]) ** 2).mean())
            for k in rows
        ]
    )
    typical = float(np.median(error))
    far = np.flatnonzero((error > OUTLIER_FORCE_RATIO * typical) & (error > OUTLIER_FORCE))
    if not len(far):
        return []
    far = far[np.argsort(-error[far])]
    frames = [compared.frames[rows[int(k)]] for k in far]
    return [
        finding(
            "warning",
            "force-outliers",
            f"{count_of(frames, len(rows))} have forces that the foundation misses by more than "
            f"{OUTLIER_FORCE_RATIO:g} times the median error of {typical:.3g} eV/Å; furthest: "
            f"{error[far[0]]:.3g} eV/Å in {frames[0].where}",
            frames,
            fix="Look at these calculations, and at the structures.",
        )
    ]


def _energy_findings(compared: Compared) -> tuple[list[Finding], str]:
    rows = [k for k, f in enumerate(compared.frames) if f.energy is not None]
    frames = [compared.frames[k] for k in rows]
    if not enough_frames(frames):
        return [], ""
    counts = composition_matrix(frames, elements_of(frames))
    label = project_out(np.array([f.energy for f in frames], dtype=float), counts)
    predicted = project_out(compared.energy[rows], counts)
    if mad(predicted) == 0.0:
        return [], ""
    return _slope_findings("energy", ENERGY_UNITS, predicted, label, frames, None)


def _centred(stress: np.ndarray, frames: Sequence[Frame]) -> np.ndarray:
    """Stress [n, 3, 3] minus its mean over frames of the same composition (rare ones together)."""
    groups: dict[bytes, list[int]] = {}
    for k, frame in enumerate(frames):
        groups.setdefault(np.sort(frame.numbers).tobytes(), []).append(k)
    small = [k for group in groups.values() if len(group) < _MIN_GROUP for k in group]
    centred = stress.copy()
    for members in [g for g in groups.values() if len(g) >= _MIN_GROUP] + (
        [small] if small else []
    ):
        centred[members] -= stress[members].mean(axis=0)
    return centred


def _stress_findings(compared: Compared) -> list[Finding]:
    rows = [k for k, f in enumerate(compared.frames) if f.stress is not None and f.is_periodic]
    if not rows:
        return []
    frames = [compared.frames[k] for k in rows]
    label = np.array([np.asarray(f.stress) for f in frames])
    findings, _ = _slope_findings(
        "stress",
        STRESS_UNITS,
        _centred(compared.stress[rows], frames),
        _centred(label, frames),
        frames,
        ("stress-sign", "the stress has the opposite sign of ASE's (as in VASP's output)"),
    )
    return findings


def _residual_findings(compared: Compared, unit: str, foundation: Foundation) -> list[Finding]:
    """Levels of theory and outliers in E_label − E_foundation beyond the composition."""
    rows = [k for k, f in enumerate(compared.frames) if f.energy is not None]
    frames = [compared.frames[k] for k in rows]
    if not enough_frames(frames):
        return []
    scale = ENERGY_UNITS[unit or "eV"]
    label = np.array([f.energy for f in frames], dtype=float) / scale
    counts = composition_matrix(frames, elements_of(frames))
    residual = composition_residual(label - compared.energy[rows], counts)
    clusters = clusters_of(residual, MIN_GAP)
    fit = f"subtracting {foundation.provenance.name} and a composition fit"
    findings = []
    if len(clusters) > 1:
        findings.append(mixed_finding(frames, residual, clusters, list(pairwise(clusters)), fit))
    return findings + outlier_findings(frames, residual, clusters, fit)
