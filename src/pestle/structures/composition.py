"""Atomic reference energies (E0s) that the compositions of a data set determine.

The E0s contribute counts @ E0 to the energies of n frames. A vector v with counts @ v = 0 can be
added to the E0s without a change of any total energy, so that the data do not determine the E0s
along v. This file finds these directions exactly (in integer arithmetic, so that the rank does not
depend on a tolerance) and describes them in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols
from scipy.linalg import null_space

# Prime of the modular elimination. It is below 2^31, so that products of residues fit into int64.
# If the rank is accidentally lower modulo the prime, the exact check at the end finds it.
_PRIME = 2_147_483_629

# Singular values below this fraction of the largest count as zero; only for counts that are not
# integers (weighted or averaged compositions), which have no exact solution.
_FLOAT_RANK_TOLERANCE = 1e-9

# Null vectors with larger integers than this are given as ratios to their largest entry. They occur
# only if few frames of unrelated compositions contain many elements.
_MAX_COEFFICIENT = 100_000

# Largest number of relations in one sentence.
_MAX_GROUPS = 4


@dataclass(frozen=True)
class NullSpace:
    """Directions in the space of reference energies on which no energy of the data depends.

    Attributes:
        elements: symbols of the columns.
        rank: rank of the composition matrix.
        vectors: basis of the null space, symbol → coefficient, without zeros. For integer counts
            these are integers with greatest common divisor 1, or ratios to the largest one if they
            are very large. Pairs of vectors are combined so that they contain few elements.
        totals: symbol → number of atoms in the whole data.
    """

    elements: tuple[str, ...]
    rank: int
    vectors: list[dict[str, int | float]]
    totals: dict[str, int | float] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """Number of undetermined directions; 0 if every E0 is determined."""
        return len(self.vectors)

    @property
    def is_full_rank(self) -> bool:
        """Whether every E0 is determined."""
        return not self.vectors

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Elements whose E0 is not determined individually."""
        touched = {symbol for vector in self.vectors for symbol in vector}
        return tuple(symbol for symbol in self.elements if symbol in touched)

    def sentence(self) -> str:
        """Describe in one line which E0s or sums of E0s the data determine."""
        if not self.vectors:
            return (
                f"the compositions determine all {len(self.elements)} reference energies "
                f"({', '.join(self.elements)})"
            )
        groups = self._groups()
        parts = [self._group_sentence(group) for group in groups[:_MAX_GROUPS]]
        if len(groups) > _MAX_GROUPS:
            rest = {s for group in groups[_MAX_GROUPS:] for v in group for s in v}
            others = ", ".join(s for s in self.elements if s in rest)
            parts.append(f"likewise undetermined: {others}")
        return "; ".join(parts)

    def _groups(self) -> list[list[dict[str, int | float]]]:
        """Group the basis vectors by connected sets of elements."""
        groups: list[tuple[set[str], list[dict[str, int | float]]]] = []
        for vector in self.vectors:
            touched, members = set(vector), [vector]
            rest = []
            for symbols, vectors in groups:
                if symbols & touched:
                    touched, members = touched | symbols, vectors + members
                else:
                    rest.append((symbols, vectors))
            groups = [*rest, (touched, members)]
        return [members for _, members in groups]

    def _group_sentence(self, vectors: list[dict[str, int | float]]) -> str:
        touched = [s for s in self.elements if any(s in v for v in vectors)]
        if len(touched) == 1:
            return f"no frame holds {touched[0]}, so nothing determines E0({touched[0]})"
        if len(vectors) == len(touched) - 1:
            ratio = self._ratio(touched)
            everywhere = "all frames have" if len(touched) == len(self.elements) else "always"
            terms = " + ".join(
                f"E0({s})" if n == 1 else f"{n:g}·E0({s})"
                for s, n in zip(touched, ratio, strict=True)
            )
            return (
                f"{everywhere} {':'.join(touched)} = {':'.join(f'{n:g}' for n in ratio)}; "
                f"only the sum {terms} is determined"
            )
        if len(vectors) > _MAX_GROUPS:
            return (
                f"E0 of {', '.join(touched)} are tied by {len(vectors)} relations between their "
                "counts that hold in every frame, and not determined one by one"
            )
        relations = ", ".join(_relation(v) for v in vectors)
        return (
            f"{relations} in every frame, so E0 of {', '.join(touched)} are determined only up to "
            + " and ".join(
                "a shift of " + " ".join(f"{c:+g}·{s}".replace("-", "−") for s, c in v.items())
                for v in vectors
            )
        )

    def _ratio(self, symbols: list[str]) -> list[int | float]:
        counts = [self.totals[s] for s in symbols]
        if all(float(n).is_integer() for n in counts):
            common = math.gcd(*(int(n) for n in counts))
            return [int(n) // common for n in counts]
        return [n / min(counts) for n in counts]


def _relation(vector: dict[str, int | float]) -> str:
    """Return a relation as text: `n(H) = 2 n(C) + 2 n(O)` for {H: 1, C: −2, O: −2}."""

    def side(sign: int) -> str:
        terms = [
            (f"n({s})" if abs(c) == 1 else f"{abs(c):g} n({s})")
            for s, c in vector.items()
            if c * sign > 0
        ]
        return " + ".join(terms) or "0"

    return f"{side(1)} = {side(-1)}"


def null_space_of(counts: np.ndarray, elements: Sequence[int | str]) -> NullSpace:
    """Find the directions of reference energies that compositions do not determine.

    Args:
        counts: [n_frames, n_elements] number of atoms of each element in each frame. Leave isolated
            atoms out to find what the other frames determine.
        elements: atomic numbers or symbols of the columns.

    Returns:
        The null space.

    Raises:
        ValueError: the number of columns differs from the number of elements.
    """
    counts = np.asarray(counts, dtype=float)
    symbols = tuple(e if isinstance(e, str) else chemical_symbols[int(e)] for e in elements)
    if not counts.size:
        counts = np.zeros((0, len(symbols)))
    if counts.shape[1] != len(symbols):
        raise ValueError(f"{counts.shape[1]} columns for {len(symbols)} elements")
    totals: dict[str, int | float] = {}
    for symbol, n in zip(symbols, counts.sum(axis=0), strict=True):
        totals[symbol] = int(n) if float(n).is_integer() else float(n)
    rows = np.unique(counts, axis=0) if len(counts) else counts
    vectors: list[dict[str, int | float]] = []
    if np.array_equal(rows, np.rint(rows)):
        for exact in _integer_null_space(rows.astype(np.int64)):
            # Very large coefficients have no chemical meaning: give ratios instead.
            large = max(abs(n) for n in exact)
            unit = 1 if large <= _MAX_COEFFICIENT else large
            vectors.append(
                {s: n if unit == 1 else n / unit for s, n in zip(symbols, exact, strict=True) if n}
            )
    else:
        for real in null_space(rows, rcond=_FLOAT_RANK_TOLERANCE).T:
            vectors.append(
                {s: float(x) for s, x in zip(symbols, real, strict=True) if abs(x) > 1e-8}
            )
    return NullSpace(symbols, len(symbols) - len(vectors), vectors, totals)


def _integer_null_space(rows: np.ndarray) -> list[list[int]]:
    """Return a sparse integer basis of {v: rows @ v = 0}; exact."""
    n_columns = rows.shape[1]
    independent = _independent_rows(rows)
    if len(independent) == n_columns:
        return []  # full rank modulo a prime implies full rank
    chosen = [[int(x) for x in row] for row in rows[independent]]
    while True:
        basis = _sparsest(_exact_null_space(chosen, n_columns))
        table = np.array(basis, dtype=object).reshape(-1, n_columns)
        broken = np.flatnonzero((rows.astype(object) @ table.T != 0).any(axis=1))
        if not len(broken):
            return basis
        chosen.append([int(x) for x in rows[broken[0]]])  # dependent only modulo the prime


def _independent_rows(rows: np.ndarray) -> np.ndarray:
    """Return the indices of rows that span the row space modulo the prime."""
    work = rows.astype(np.int64) % _PRIME
    index = np.arange(len(work))
    rank = 0
    for column in range(work.shape[1]):
        below = np.flatnonzero(work[rank:, column])
        if not len(below):
            continue
        pivot = rank + int(below[0])
        if pivot != rank:
            work[[rank, pivot]] = work[[pivot, rank]]
            index[[rank, pivot]] = index[[pivot, rank]]
        inverse = pow(int(work[rank, column]), -1, _PRIME)
        work[rank] = work[rank] * inverse % _PRIME
        targets = rank + 1 + np.flatnonzero(work[rank + 1 :, column])
        if len(targets):
            factor = work[targets, column][:, None]
            work[targets] = (work[targets] - factor * work[rank][None, :] % _PRIME) % _PRIME
        rank += 1
    return np.sort(index[:rank])


def _exact_null_space(rows: list[list[int]], n_columns: int) -> list[list[int]]:
    """Return integer null vectors by Gauss–Jordan elimination without fractions."""
    work = [_primitive(row) for row in rows]
    pivots: list[int] = []
    rank = 0
    # Common elements become pivots first, so that each null vector names one rarer element.
    order = sorted(range(n_columns), key=lambda c: -sum(abs(row[c]) for row in rows))
    for column in order:
        candidates = [r for r in range(rank, len(work)) if work[r][column]]
        if not candidates:
            continue
        best = min(candidates, key=lambda r: sum(x != 0 for x in work[r]))
        work[rank], work[best] = work[best], work[rank]
        head = work[rank]
        for r, row in enumerate(work):
            if r != rank and row[column]:
                a, b = head[column], row[column]
                work[r] = _primitive([a * x - b * y for x, y in zip(row, head, strict=True)])
        pivots.append(column)
        rank += 1
    basis = []
    for free in (c for c in range(n_columns) if c not in pivots):
        scale = math.lcm(*(work[r][p] for r, p in enumerate(pivots))) if pivots else 1
        vector = [0] * n_columns
        vector[free] = scale
        for r, pivot in enumerate(pivots):
            vector[pivot] = -work[r][free] * scale // work[r][pivot]
        basis.append(_primitive(vector))
    return basis


def _primitive(vector: list[int]) -> list[int]:
    """Divide by the greatest common divisor and make the first nonzero entry positive."""
    common = math.gcd(*vector) if vector else 0
    if common == 0:
        return vector
    if next(x for x in vector if x) < 0:
        common = -common
    return [x // common for x in vector]


def _sparsest(basis: list[list[int]]) -> list[list[int]]:
    """Combine pairs of vectors as long as one of them gets more zeros; the span stays the same."""

    def cost(vector: list[int]) -> tuple[int, int]:
        return sum(x != 0 for x in vector), sum(abs(x) for x in vector)

    unwieldy = [v for v in basis if max(abs(x) for x in v) > _MAX_COEFFICIENT]
    basis = [list(v) for v in basis if max(abs(x) for x in v) <= _MAX_COEFFICIENT]
    improved = True
    while improved:
        improved = False
        for i in range(len(basis)):
            for j in range(len(basis)):
                if i == j:
                    continue
                for k, other in enumerate(basis[j]):
                    if not other or not basis[i][k]:
                        continue
                    a, b = other, basis[i][k]
                    trial = _primitive(
                        [a * x - b * y for x, y in zip(basis[i], basis[j], strict=True)]
                    )
                    if cost(trial) < cost(basis[i]):
                        basis[i], improved = trial, True
    return sorted(basis, key=cost) + unwieldy
