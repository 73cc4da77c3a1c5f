"""Partial radial distribution functions, their bootstrap errors, and the distance between two.

Convention: g_AB(r) = pairs found / pairs of an ideal gas of the same density. In one frame an ideal
gas has N_A·N_B·(4π/3)(r₂³ − r₁³)/V ordered pairs between r₁ and r₂, and N_A·(N_A − 1)·… where A is
B, so that g of an ideal gas is 1 in cells of any size. Found and ideal pairs are added up over the
frames before they are divided: cells and compositions may change, and a frame counts by its pairs.
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

#: Two elements: neighbours of the second around the first.
Pair = tuple[int, int]


def pair_name(pair: Pair) -> str:
    """`(17, 8)` → "Cl-O"."""
    return "-".join(chemical_symbols[z] for z in pair)


def pair_of(text: str, where: str) -> Pair:
    """ "Cl-O" → `(17, 8)`.

    Args:
        text: two chemical symbols with a hyphen (or dash) between them.
        where: what an error names.

    Raises:
        PestleError: it is no pair of elements.
    """
    symbols = [part.strip() for part in text.replace("–", "-").split("-")]
    if len(symbols) != 2 or not all(s in atomic_numbers and s != "X" for s in symbols):
        raise PestleError(f"'{text}' is no pair of elements", where=where, fix="Write it as Cl-O.")
    return atomic_numbers[symbols[0]], atomic_numbers[symbols[1]]


def pairs_in(elements: Sequence[int]) -> list[Pair]:
    """All pairs of elements, each with itself too, the heavier first: O around Cl, H around O."""
    return list(combinations_with_replacement(sorted(set(elements), reverse=True), 2))


@dataclass(frozen=True)
class Histogram:
    """Pairs found in blocks of frames, by distance.

    Attributes:
        pairs: the pairs of elements.
        edges: [n_bins + 1] Å.
        found: [n_blocks, n_pairs, n_bins] ordered pairs, summed over the frames of a block.
        ideal: [n_blocks, n_pairs, n_bins] those of an ideal gas.
        centres: [n_blocks, n_pairs] atoms of the first element, summed over the frames.
        n_frames: of all blocks.
    """

    pairs: list[Pair]
    edges: np.ndarray
    found: np.ndarray
    ideal: np.ndarray
    centres: np.ndarray
    n_frames: int

    @property
    def r(self) -> np.ndarray:
        """[n_bins] middles of the bins, Å."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def n_blocks(self) -> int:
        return len(self.found)

    def g(self) -> np.ndarray:
        """[n_pairs, n_bins]; NaN for a pair that no frame has."""
        return _ratio(self.found.sum(axis=0), self.ideal.sum(axis=0))

    def coordination(self) -> np.ndarray:
        """[n_pairs, n_bins] mean number of neighbours up to the outer edge of each bin: atoms of
        the second element around one of the first. Counted, not integrated: no density enters."""
        within = np.cumsum(self.found.sum(axis=0), axis=1)
        return _ratio(within, np.broadcast_to(self.centres.sum(axis=0)[:, None], within.shape))

    def resampled(self, samples: int, rng: np.random.Generator) -> np.ndarray | None:
        """g of bootstrap samples, [samples, n_pairs, n_bins]; `None` where there is one block only.

        Of n blocks n − 1 are drawn with replacement, which makes the variance of a mean unbiased
        for few blocks too (Rao and Wu 1988, DOI 10.1080/01621459.1988.10478591).
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
        frames: periodic ones, in their order; cells and compositions may change.
        pairs: which to count.
        edges: [n_bins + 1] Å, evenly spaced from 0; the last no larger than `half_height`.
        blocks: how many; fewer where there are fewer frames.

    Raises:
        PestleError: a frame is not periodic, or not finite.
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
    """Ordered pairs [n_pairs, n_bins], pairs of an ideal gas per volume [n_pairs] in 1/Å³, atoms of
    the first elements [n_pairs]."""
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
    """The blocks of several runs over the same pairs and bins, side by side."""
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
    """Half the smallest height of the cell, Å: up to there no atom is counted with two images of
    another, and none with its own.

    Raises:
        PestleError: the frame has no density, or is not finite.
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
    """Earth mover's distance between two radial distribution functions, in Å.

    The paper (section 3.4) leaves the normalisation open. Here each g, cut at the largest r, is
    taken as a distribution over r (weights g, normalised to 1), and the distance is the first
    Wasserstein distance between the two: the mean way in Å by which one has to be moved to become
    the other. It sees positions and shapes of shells; a factor on the whole of g it does not see.

    Args:
        r: [n] Å.
        g, reference: [n] on that grid.

    Returns:
        NaN where one of them is zero everywhere, or not finite.
    """
    if not (np.isfinite(g).all() and np.isfinite(reference).all() and g.any() and reference.any()):
        return float("nan")
    return float(wasserstein_distance(r, r, g, reference))


@dataclass(frozen=True)
class Distance:
    """An earth mover's distance and what statistics leave of it, in Å.

    Attributes:
        value: the distance.
        error: its standard deviation; `None` without a bootstrap.
        interval: where it lies with 95 %; `None` likewise.
        noise: two samples of these sizes from one liquid are apart by less than this in
            95 % of the cases; `None` likewise. A value below it may be chance.
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
    """Distance of one pair with its bootstrap.

    The interval is the basic one, 2·value − quantiles (Davison and Hinkley 1997, section 5.2), cut
    at zero: noise makes every distance larger, that of the samples twice, and plain quantiles would
    leave a distance of zero out.

    Args:
        r: [n] Å.
        g, reference: [n].
        g_samples, reference_samples: [samples, n] of each; `None` for one that has no error.
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
    # Both scatter about one and the same function: about the reference, as if g were its equal.
    chance = np.clip(reference + (ones - g) - (others - reference), 0.0, None)
    by_chance = np.array([emd(r, one, reference) for one in chance])
    drawn, by_chance = drawn[np.isfinite(drawn)], by_chance[np.isfinite(by_chance)]
    if len(drawn) < 2 or not len(by_chance) or not np.isfinite(value):
        return Distance(value)
    low, high = (max(0.0, 2 * value - q) for q in np.quantile(drawn, [0.975, 0.025]))
    noise = float(np.quantile(by_chance, 0.95))
    return Distance(value, float(drawn.std(ddof=1)), (low, high), noise)


def first_peak(r: np.ndarray, g: np.ndarray) -> tuple[float, float] | None:
    """Position (Å) and height of the first maximum that rises by half the highest value or more;
    `None` where there is none."""
    if not (np.isfinite(g).all() and g.any()):
        return None
    peaks = find_peaks(np.concatenate([[0.0], g, [0.0]]), prominence=g.max() / 2)[0] - 1
    return (float(r[peaks[0]]), float(g[peaks[0]])) if len(peaks) else None
