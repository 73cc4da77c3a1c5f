"""Evidence from a foundation's predictions on labels: units, signs, levels of theory, outliers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from pestle.checks import CheckReport, check_frames
from pestle.checks.geometry import sound_frames
from pestle.checks.levels import (
    MIN_FRAMES,
    clusters_of,
    enough_frames,
    mixed_finding,
    outlier_findings,
)
from pestle.checks.report import CheckFinding, count_of, finding, sorted_findings
from pestle.checks.robust import composition_residual
from pestle.checks.units.evidence import Opinion
from pestle.checks.units.predictions import Predicted, opinion_of
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import KnownPredictions, predict_frames
from pestle.progress import progress
from pestle.structures.frame import Frame, composition_matrix, elements_of, is_labelled
from pestle.wording import number

# Smaller gaps (eV/atom) may come from errors of the foundation that differ between phases.
MIN_GAP = 0.08
# Frames whose force error is this many times the median of all, and above this many eV/Å.
OUTLIER_FORCE_RATIO, OUTLIER_FORCE = 15.0, 2.0


def _predict(
    frames: list[Frame],
    foundation: Foundation,
    head: str | None,
    max_edges: int | None,
    known: KnownPredictions | None,
) -> Predicted:
    with progress("checking: predicting with the foundation", len(frames)) as bar:
        said = predict_frames(
            foundation,
            frames,
            head=head,
            max_edges=max_edges,
            on_progress=bar.to,
            known=known,
            finite=True,
        )
    return Predicted(
        frames,
        np.array([p.energy for p in said]),
        [p.forces for p in said],
        np.array([np.zeros((3, 3)) if p.stress is None else p.stress for p in said]),
    )


def check_with_foundation(
    splits: Mapping[str, Sequence[Frame]],
    foundation: Foundation,
    *,
    keys: Mapping[str, Any] | None = None,
    head: str | None,
    max_frames: int = 200,
    seed: int = 0,
    max_edges: int | None = None,
    known: KnownPredictions | None = None,
    **options: Any,
) -> CheckReport:
    """Run `check_frames` with additional evidence from predictions on a random sample of the
    frames.

    Args:
        splits: frames by split; all are sampled together.
        foundation: the model to compare with.
        keys: label keys that the reader found; copied into the summary.
        head: head of the foundation; `None` if it has only one.
        max_frames: largest number of predicted frames.
        seed: seed of the sample.
        max_edges: edges in a batch; by default the model's `edges_at_once`.
        known: predictions of this head that exist already; the new ones are added.
        options: other options of `check_frames`.

    Raises:
        PestleError: the head is unknown, or a prediction is not finite.
    """
    foundation.head_index(head)
    usable = _sample(splits, foundation, max_frames, seed)
    predicted: list[Predicted] = []

    def opinion() -> Opinion:
        if not usable:
            return Opinion()
        predicted.append(_predict(usable, foundation, head, max_edges, known))
        return opinion_of(predicted[0])

    report = check_frames(
        splits,
        keys=keys,
        supported_elements=foundation.elements,
        cutoff=foundation.cutoff,
        embeds=foundation.embeds,
        opinion=opinion,
        **options,
    )
    if predicted and not report.errors:
        compared = replace(predicted[0], frames=[report.units.in_eV(f) for f in usable])
        found = {f.code for f in report.findings}
        if "force-outliers" not in found and report.units.forces.is_ours:
            report.findings += _force_outliers(compared)
        for new in _residual_findings(compared, foundation):
            # What data and predictions both show is said once, by what finds more frames.
            same = [f for f in report.findings if f.code == new.code]
            if all(f.n_frames <= new.n_frames for f in same):
                report.findings = [f for f in report.findings if f.code != new.code]
                report.findings.append(new)
        report.findings = sorted_findings(report.findings)
    return report


def _sample(
    splits: Mapping[str, Sequence[Frame]], foundation: Foundation, max_frames: int, seed: int
) -> list[Frame]:
    """Sound labelled frames of several atoms that the foundation knows the elements of."""
    sound, _ = sound_frames([f for frames in splits.values() for f in frames], None)
    elements = set(foundation.elements)
    usable = [
        f
        for f in sound
        if len(f) > 1 and is_labelled(f) and elements.issuperset(f.numbers.tolist())
    ]
    if len(usable) > max_frames:
        chosen = np.random.default_rng(seed).choice(len(usable), max_frames, replace=False)
        usable = [usable[k] for k in np.sort(chosen)]
    return usable


def _force_outliers(compared: Predicted) -> list[CheckFinding]:
    rows = [k for k, f in enumerate(compared.frames) if f.forces is not None]
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
            f"{OUTLIER_FORCE_RATIO:g} times the median error of {number(typical)} eV/Å; furthest: "
            f"{number(float(error[far[0]]))} eV/Å in {frames[0].where}",
            frames,
            fix="Look at these calculations, and at the structures.",
        )
    ]


def _residual_findings(compared: Predicted, foundation: Foundation) -> list[CheckFinding]:
    """Levels of theory and outliers in E_label − E_foundation beyond the composition."""
    rows = [k for k, f in enumerate(compared.frames) if f.energy is not None]
    frames = [compared.frames[k] for k in rows]
    if not enough_frames(frames):
        return []
    label = np.array([f.energy for f in frames], dtype=float)
    counts = composition_matrix(frames, elements_of(frames))
    residual = composition_residual(label - compared.energy[rows], counts)
    clusters = clusters_of(residual, MIN_GAP)
    fit = f"subtracting {foundation.provenance.name} and a composition fit"
    findings = []
    if len(clusters) > 1:
        findings.append(mixed_finding(frames, residual, clusters, list(pairwise(clusters)), fit))
    return findings + outlier_findings(frames, residual, clusters, fit)
