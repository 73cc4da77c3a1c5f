"""Partial radial distribution functions, their bootstrap errors, and the distance between two of
them.

Definition: g_AB(r) = pairs found / pairs of an ideal gas of the same density. In one frame an ideal
gas has N_A·N_B·(4π/3)(r₂³ − r₁³)/V ordered pairs between r₁ and r₂. If A and B are the same
element, N_A·N_B becomes N_A·(N_A − 1), so that g of an ideal gas is 1 in cells of any size. Found
and ideal pairs are each summed over the frames before they are divided. The cell and the
composition may therefore change, and each frame counts in proportion to its pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from matscipy.neighbours import neighbour_list
from scipy.signal import find_peaks
from scipy.stats import wasserstein_distance

from pestle.errors import PestleError
from pestle.structures.frame import Frame

#: Two elements: atoms of the second are neighbours of an atom of the first.
Pair = tuple[int, int]


def pair_name(pair: Pair) -> str:
    """Return the name of a pair: `(17, 8)` → "Cl-O"."""
    return "-".join(chemical_symbols[z] for z in pair)


def pair_of(text: str, where: str) -> Pair:
    """Read a pair of elements: "Cl-O" → `(17, 8)`.

    Args:
        text: two chemical symbols with a hyphen (or dash) between them.
        where: the place that an error message names.

    Raises:
        PestleError: the text is not a pair of elements.
    """
    symbols = [part.strip() for part in text.replace("–", "-").split("-")]
    if len(symbols) != 2 or not all(s in atomic_numbers and s != "X" for s in symbols):
        raise PestleError(f"'{text}' is no pair of elements", where=where, fix="Write it as Cl-O.")
    return atomic_numbers[symbols[0]], atomic_numbers[symbols[1]]


def pairs_in(elements: Sequence[int]) -> list[Pair]:
    """Return all pairs of the elements, including each element with itself.

    The heavier element comes first: O around Cl, H around O.

    Args:
        elements: atomic numbers.
    """
    return list(combinations_with_replacement(sorted(set(elements), reverse=True), 2))


@dataclass(frozen=True)
class Histogram:
    """Numbers of pairs by distance, in blocks of frames.

    Attributes:
        pairs: the pairs of elements.
        edges: [n_bins + 1] edges of the bins, Å.
        found: [n_blocks, n_pairs, n_bins] ordered pairs, summed over the frames of a block.
        ideal: [n_blocks, n_pairs, n_bins] ordered pairs of an ideal gas, summed in the same way.
        centres: [n_blocks, n_pairs] atoms of the first element, summed over the frames of a block.
        n_frames: number of frames in all blocks.
    """

    pairs: list[Pair]
    edges: np.ndarray
    found: np.ndarray
    ideal: np.ndarray
    centres: np.ndarray
    n_frames: int

    @property
    def r(self) -> np.ndarray:
        """[n_bins] centres of the bins, Å."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.found)

    def g(self) -> np.ndarray:
        """Return g [n_pairs, n_bins], without unit; NaN for a pair that does not occur in any
        frame.
        """
        return _ratio(self.found.sum(axis=0), self.ideal.sum(axis=0))

    def coordination(self) -> np.ndarray:
        """Return the mean number of neighbours within the outer edge of each bin.

        Neighbours are atoms of the second element around one atom of the first. They are counted,
        not integrated from g, so that no density is needed.

        Returns:
            [n_pairs, n_bins].
        """
        within = np.cumsum(self.found.sum(axis=0), axis=1)
        return _ratio(within, np.broadcast_to(self.centres.sum(axis=0)[:, None], within.shape))

    def resampled(self, samples: int, rng: np.random.Generator) -> np.ndarray | None:
        """Return g of bootstrap samples.

        From n blocks, n − 1 are drawn with replacement. The variance of a mean is then unbiased
        even for few blocks (Rao and Wu 1988, DOI 10.1080/01621459.1988.10478591).

        Args:
            samples: number of samples.
            rng: source of the random numbers.

        Returns:
            [samples, n_pairs, n_bins]; `None` if there is only one block.
        """
        n = self.n_blocks
        if n < 2:
            return None
        weights = rng.multinomial(n - 1, np.full(n, 1 / n), size=samples).astype(float)
        return _ratio(
            np.tensordot(weights, self.found, axes=1), np.tensordot(weights, self.ideal, axes=1)
        )


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def histogram(
    frames: Sequence[Frame], pairs: Sequence[Pair], edges: np.ndarray, blocks: int
) -> Histogram:
    """Count the pairs of one run, in blocks of consecutive frames.

    Args:
        frames: periodic frames in order; cell and composition may change.
        pairs: the pairs of elements to count.
        edges: [n_bins + 1] Å, evenly spaced from 0; the last is not larger than `half_height`.
        blocks: number of blocks; fewer if there are fewer frames.

    Raises:
        PestleError: a frame is not periodic, or has values that are not finite.
    """
    n_bins = len(edges) - 1
    volumes = 4 / 3 * np.pi * np.diff(edges**3)
    parts = np.array_split(np.arange(len(frames)), min(blocks, len(frames)))
    found = np.zeros((len(parts), len(pairs), n_bins))
    ideal = np.zeros_like(found)
    centres = np.zeros((len(parts), len(pairs)))
    for b, part in enumerate(parts):
        for k in part:
            half_height(frames[k])
            counts, density, first = _count(frames[k], pairs, edges)
            found[b] += counts
            ideal[b] += density[:, None] * volumes
            centres[b] += first
    return Histogram(list(pairs), edges, found, ideal, centres, len(frames))


def _count(
    frame: Frame, pairs: Sequence[Pair], edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the pairs of one frame.

    Returns:
        Ordered pairs [n_pairs, n_bins]; pairs of an ideal gas per volume [n_pairs], 1/Å³; atoms of
        the first element [n_pairs].
    """
    needed = sorted({z for pair in pairs for z in pair})
    atoms, n_bins = frame.atoms, len(edges) - 1
    kept = np.isin(atoms.numbers, needed)
    row = {z: k for k, z in enumerate(needed)}
    kind = np.array([row[int(z)] for z in atoms.numbers[kept]], dtype=int)
    n = np.bincount(kind, minlength=len(needed))
    one, two = (np.array([row[pair[side]] for pair in pairs]) for side in (0, 1))
    density = n[one] * (n[two] - (one == two)) / atoms.cell.volume
    if not kept.any():
        return np.zeros((len(pairs), n_bins)), density, n[one]
    i, j, d = neighbour_list(
        "ijd",
        positions=atoms.positions[kept],
        cell=atoms.cell.array,
        pbc=[True] * 3,
        cutoff=float(edges[-1]),
    )
    column = np.floor(d / edges[1]).astype(int)
    inside = column < n_bins
    code = (kind[i] * len(needed) + kind[j])[inside] * n_bins + column[inside]
    counts = np.bincount(code, minlength=len(needed) ** 2 * n_bins)
    return counts.reshape(len(needed), len(needed), n_bins)[one, two], density, n[one]


def joined(histograms: Sequence[Histogram]) -> Histogram:
    """Combine the blocks of several runs that have the same pairs and bins."""
    first = histograms[0]
    return Histogram(
        first.pairs,
        first.edges,
        np.concatenate([h.found for h in histograms]),
        np.concatenate([h.ideal for h in histograms]),
        np.concatenate([h.centres for h in histograms]),
        sum(h.n_frames for h in histograms),
    )


def half_height(frame: Frame) -> float:
    """Return half of the smallest height of the cell, Å.

    Up to this distance no atom is counted together with two images of another atom or with its own
    image.

    Raises:
        PestleError: the frame has no density, or has values that are not finite.
    """
    atoms = frame.atoms
    if not (atoms.pbc.all() and atoms.cell.volume > 0):
        raise PestleError(
            "it is not periodic in three directions, and without a density there is no radial "
            "distribution function",
            where=frame.where,
            fix="Give liquids or solids in a periodic cell.",
        )
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise PestleError("its positions or its cell are not finite", where=frame.where)
    a, b, c = atoms.cell.array
    areas = [np.linalg.norm(np.cross(*sides)) for sides in ((b, c), (c, a), (a, b))]
    return float(atoms.cell.volume / max(areas) / 2)


def emd(r: np.ndarray, g: np.ndarray, reference: np.ndarray) -> float:
    """Return the earth mover's distance between two radial distribution functions, Å.

    The paper (section 3.4) does not define the normalisation. Here each g, cut at the largest r, is
    treated as a distribution over r: its values are weights with sum 1. The result is the first
    Wasserstein distance, which is the mean distance in Å that weight must move to turn one
    distribution into the other. It depends on positions and shapes of the shells. It does not
    change if the whole g is multiplied by a factor.

    Args:
        r: [n] Å.
        g, reference: [n] values at these r.

    Returns:
        The distance, Å; NaN if one of them is zero everywhere or has values that are not finite.
    """
    if not (np.isfinite(g).all() and np.isfinite(reference).all() and g.any() and reference.any()):
        return float("nan")
    return float(wasserstein_distance(r, r, g, reference))


@dataclass(frozen=True)
class Distance:
    """An earth mover's distance and its statistical uncertainty, Å.

    Attributes:
        value: the distance.
        error: its standard deviation; `None` without a bootstrap.
        interval: its 95 % confidence interval; `None` without a bootstrap.
        noise: 95th percentile of the distance between two samples of these sizes from the same
            liquid; `None` without a bootstrap. A smaller `value` may be chance.
    """

    value: float
    error: float | None = None
    interval: tuple[float, float] | None = None
    noise: float | None = None


def distance(
    r: np.ndarray,
    g: np.ndarray,
    reference: np.ndarray,
    g_samples: np.ndarray | None,
    reference_samples: np.ndarray | None,
) -> Distance:
    """Return the distance of one pair of elements with its bootstrap uncertainty.

    The interval is the basic bootstrap interval, 2·value − quantiles (Davison and Hinkley 1997,
    section 5.2), cut at zero. Noise increases every distance, and the distances of bootstrap
    samples contain it twice. An interval of plain quantiles would therefore exclude a distance of
    zero.

    Args:
        r: [n] Å.
        g, reference: [n] values at these r.
        g_samples, reference_samples: [samples, n] bootstrap samples of each; `None` if there are
            none.
    """
    value = emd(r, g, reference)
    if g_samples is None and reference_samples is None:
        return Distance(value)
    samples = len(g_samples if g_samples is not None else reference_samples)  # type: ignore[arg-type]
    ones = np.broadcast_to(g, (samples, len(r))) if g_samples is None else g_samples
    others = reference_samples
    if others is None:
        others = np.broadcast_to(reference, (samples, len(r)))
    drawn = np.array([emd(r, one, other) for one, other in zip(ones, others, strict=True)])
    # Null hypothesis: both are samples of one function, which the reference estimates.
    chance = np.clip(reference + (ones - g) - (others - reference), 0.0, None)
    by_chance = np.array([emd(r, one, reference) for one in chance])
    drawn, by_chance = drawn[np.isfinite(drawn)], by_chance[np.isfinite(by_chance)]
    if len(drawn) < 2 or not len(by_chance) or not np.isfinite(value):
        return Distance(value)
    low, high = (max(0.0, 2 * value - q) for q in np.quantile(drawn, [0.975, 0.025]))
    noise = float(np.quantile(by_chance, 0.95))
    return Distance(value, float(drawn.std(ddof=1)), (low, high), noise)


def first_peak(r: np.ndarray, g: np.ndarray) -> tuple[float, float] | None:
    """Return position and height of the first peak with a prominence of half the highest value.

    Args:
        r: [n] Å.
        g: [n] values at these r.

    Returns:
        (position in Å, height); `None` if there is no such peak.
    """
    if not (np.isfinite(g).all() and g.any()):
        return None
    peaks = find_peaks(np.concatenate([[0.0], g, [0.0]]), prominence=g.max() / 2)[0] - 1
    return (float(r[peaks[0]]), float(g[peaks[0]])) if len(peaks) else None
