"""Comparison of the labels of replay pools with each other and with the foundation.

The replay head starts as the foundation's readout and keeps its E0s. Labels of another level of
theory therefore pull it away from what it should preserve, and labels of two levels pull it in two
directions. No offset is fitted before the comparison: an offset for each element is exactly what
this head cannot absorb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pestle.checks.levels import clusters_of
from pestle.checks.robust import mad, slope_through_origin
from pestle.checks.units.predictions import MIN_CORRELATION
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.progress import progress
from pestle.structures.frame import Frame, thinned
from pestle.wording import counted, figure, fixed

#: Number of structures of each pool that are predicted.
SAMPLE = 100
# A median offset of label and prediction (eV/atom) counts if it exceeds this value and the scatter.
# The embedded foundation is off by 0.08 on relaxed crystals of nearly its own level of theory;
# other functionals, pseudopotentials or dispersion corrections give 0.3 and far more.
MAX_ENERGY_OFFSET = 0.15
# A scatter above this (eV/atom) is not an error of a foundation: energies with another zero, such
# as all-electron totals, scatter with composition.
MAX_SCATTER = 1.0
# Forces count as a different kind (units, sign) if labels are larger or smaller than predictions by
# more than this factor: foundations soften forces by up to a half, units differ by 4 and more.
MAX_FORCE_RATIO = 3.0

# Predicted forces below this (RMS, eV/Å) are noise of relaxed structures; their slope has no
# meaning.
MIN_PREDICTED_FORCE = 0.1

WAY_OUT = (
    "Label them all with the foundation (method pseudolabel), or keep one pool of the foundation's "
    "own level of theory"
)


@dataclass(frozen=True)
class LabelFit:
    """Comparison of the labels of one pool with the foundation.

    Attributes:
        pool: name of the pool.
        n_frames: number of compared structures.
        energy_offset: median of E_label − E_foundation, eV/atom; `None` without energies.
        energy_scatter: standard deviation from the median absolute deviation, eV/atom.
        energy_groups: offsets (eV/atom) of groups that are separated by a clear gap; one value if
            there is no gap.
        force_slope: ratio of labels to predictions; `None` without forces or correlation.
    """

    pool: str
    n_frames: int
    energy_offset: float | None
    energy_scatter: float | None
    energy_groups: tuple[float, ...]
    force_slope: float | None

    def line(self) -> str:
        """Return the figures as text."""
        parts = []
        if self.energy_offset is not None:
            parts.append(
                f"energies {fixed(self.energy_offset, 3, sign=True)} eV/atom (scatter "
                f"{self.energy_scatter:.3f})"
            )
        if self.force_slope is not None:
            parts.append(f"forces {self.force_slope:.2f} times the predicted ones")
        text = ", ".join(parts) or "nothing to compare"
        of = counted(self.n_frames, "structure")
        return f"labels of {self.pool} against the foundation ({of}): {text}"


def label_fits(
    pools: Mapping[str, Sequence[Frame]],
    foundation: Foundation,
    *,
    head: str | None,
    seed: int,
    max_edges: int | None = None,
) -> list[LabelFit]:
    """Compare a seeded sample of each pool with the foundation's predictions.

    Args:
        pools: name → labelled structures.
        foundation: the foundation, with the E0s that the replay head will have.
        head: head of the foundation.
        seed: seed of the samples.
        max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.

    Returns:
        One comparison for each pool that is not empty.
    """
    samples = {name: thinned(frames, SAMPLE, seed) for name, frames in pools.items() if frames}
    fits, done = [], 0
    with progress("comparing replay labels", sum(map(len, samples.values()))) as bar:
        for name, frames in samples.items():
            before = done
            said = predict_frames(
                foundation,
                frames,
                head=head,
                max_edges=max_edges,
                on_progress=lambda n, before=before: bar.to(before + n),  # type: ignore[misc]
                finite=True,
            )
            done += len(frames)
            fits.append(_fit(name, frames, said))
    return fits


def _fit(name: str, frames: Sequence[Frame], said: Sequence[FramePrediction]) -> LabelFit:
    pairs = list(zip(frames, said, strict=True))
    residual = np.array(
        [(f.energy - p.energy) / len(f) for f, p in pairs if f.energy is not None], dtype=float
    )
    groups = [residual[members] for members in clusters_of(residual, MAX_ENERGY_OFFSET)]
    with_forces = [(np.ravel(f.forces), p.forces.ravel()) for f, p in pairs if f.forces is not None]
    slope, correlation = 0.0, 0.0
    if with_forces:
        label, predicted = (np.concatenate(side) for side in zip(*with_forces, strict=True))
        if np.sqrt(np.mean(predicted**2)) > MIN_PREDICTED_FORCE:
            slope, correlation = slope_through_origin(predicted, label)
    return LabelFit(
        pool=name,
        n_frames=len(frames),
        energy_offset=float(np.median(residual)) if len(residual) else None,
        energy_scatter=mad(residual) if len(residual) else None,
        energy_groups=tuple(sorted(float(np.median(g)) for g in groups if len(g))),
        force_slope=slope if abs(correlation) >= MIN_CORRELATION else None,
    )


def misfit_warnings(fits: Sequence[LabelFit], foundation_name: str) -> list[str]:
    """Return warnings about labels that do not fit, each with a way out.

    Args:
        fits: the comparisons.
        foundation_name: name of the foundation.
    """
    found = [
        text for fit in fits for text in (_energy_misfit(fit, foundation_name), _force_misfit(fit))
    ]
    with_energy = [fit for fit in fits if fit.energy_offset is not None]
    scatter = max((fit.energy_scatter or 0.0 for fit in with_energy), default=0.0)
    offsets = [fit.energy_offset or 0.0 for fit in with_energy]
    if offsets and _is_offset(max(offsets) - min(offsets), scatter):
        each = ", ".join(
            f"{fit.pool} {fixed(fit.energy_offset, 2, sign=True)}" for fit in with_energy
        )
        found.append(
            f"the pools mix levels of theory: against {foundation_name} their energies lie at "
            f"{each} eV/atom (median)"
        )
    return [f"{text}. {WAY_OUT}" for text in found if text]


def _energy_misfit(fit: LabelFit, foundation_name: str) -> str:
    """Return what is wrong with the energies of one pool; empty if they fit."""
    fitting = [x for x in fit.energy_groups if not _is_offset(x, 0.0)]
    if fitting and len(fit.energy_groups) > 1:
        offsets = ", ".join(fixed(x, 2, sign=True) for x in fit.energy_groups)
        return (
            f"the energies of {fit.pool} fall into groups at {offsets} eV/atom from those of "
            f"{foundation_name}: several levels of theory in one pool"
        )
    if fit.energy_offset is None or not _is_offset(fit.energy_offset, fit.energy_scatter or 0.0):
        return ""
    return (
        f"the energies of {fit.pool} lie {fixed(fit.energy_offset, 2, sign=True)} eV/atom "
        f"(median; scatter {figure(fit.energy_scatter, 2)}) from those of {foundation_name}: "
        "another level of theory than the foundation's"
    )


def _force_misfit(fit: LabelFit) -> str:
    """Return what is wrong with the forces of one pool; empty if they fit."""
    slope = fit.force_slope
    if slope is None or 1 / MAX_FORCE_RATIO < slope < MAX_FORCE_RATIO:
        return ""
    return (
        f"the forces of {fit.pool} are {figure(slope)} times those that the foundation predicts: "
        "other units or the wrong sign"
    )


def _is_offset(offset: float, scatter: float) -> bool:
    return abs(offset) > max(MAX_ENERGY_OFFSET, min(scatter, MAX_SCATTER))
