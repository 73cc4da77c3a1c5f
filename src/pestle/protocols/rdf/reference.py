"""The reference of radial distribution functions, the compared pairs, and the largest distance.

The reference is a trajectory, a set of structures or a table.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pestle.errors import PestleError
from pestle.protocols.base import Inputs
from pestle.protocols.rdf.radial import Pair, half_height, pair_name, pair_of, pairs_in
from pestle.structures.frame import Frame, elements_of, split_isolated_atoms
from pestle.structures.reading import expand_paths, read_frames
from pestle.wording import counted, figure, listed

#: Smallest half height of a cell, Å. A smaller cell hardly contains a first shell of neighbours.
SMALLEST = 3.0


@dataclass(frozen=True)
class Reference:
    """The reference: runs of frames, or functions from a table.

    Attributes:
        text: description of the reference, which continues "The reference is …".
        runs: frames of each file or set.
        table: pair as the table names it → (r [n] in Å, g [n]).
        stands_in: whether the given structures are used because there is no reference.
    """

    text: str
    runs: list[list[Frame]]
    table: dict[Pair, tuple[np.ndarray, np.ndarray]]
    stands_in: bool = False


def read_runs(patterns: Sequence[str], where: str) -> list[list[Frame]]:
    """Return the frames of each file as a separate run; isolated atoms are left out.

    Args:
        patterns: files or globs.
        where: the setting that names them, for error messages.

    Raises:
        PestleError: a file cannot be read, or contains only single atoms.
    """
    runs = []
    for path in expand_paths(patterns):
        frames, _ = split_isolated_atoms(read_frames([str(path)]).frames)
        if not frames:
            raise PestleError(f"holds only single atoms, of no use as {where}", where=str(path))
        runs.append(frames)
    return runs


def read_reference(patterns: Sequence[str], inputs: Inputs) -> Reference:
    """Return the reference of the settings; if there is none, use the given structures.

    Args:
        patterns: files or globs of the setting; may be empty.
        inputs: gives the structures.

    Raises:
        PestleError: the reference cannot be read, or there is none.
    """
    tables = [pattern for pattern in patterns if pattern.lower().endswith(".csv")]
    if tables:
        if len(patterns) > 1:
            raise PestleError(
                "a table is a reference of its own, and there is something else beside it",
                where="rdf.reference",
                fix="Give one table, or structures.",
            )
        (path,) = expand_paths(tables)
        return Reference(f"the table {path.name}", [], read_table(path))
    if patterns:
        runs = read_runs(patterns, "rdf.reference")
        named = listed(list(dict.fromkeys(Path(run[0].source).name for run in runs)))
        return Reference(f"{_frames(runs)} of {named}", runs, {})
    by_name = {
        name: [frame for frame in split_isolated_atoms(frames)[0] if frame.is_periodic]
        for name, frames in inputs.sets.items()
    }
    runs = [run for run in by_name.values() if run]
    if not runs:
        raise PestleError(
            "there is no reference, and no given periodic structure to stand in for it",
            where="rdf.reference",
            fix="Give a trajectory or a table with --set rdf.reference=FILES, or --data FILES.",
        )
    named = listed([name for name, run in by_name.items() if run])
    text = f"{_frames(runs)} of the given data ({named}), not a trajectory"
    return Reference(text, runs, {}, stands_in=True)


def of_compositions(reference: Reference, frames: Sequence[Frame]) -> Reference:
    """Limit a substitute reference to the compositions of some frames, because g depends on
    concentration.

    If no structure has these compositions, or if the reference is not a substitute, it is
    unchanged.

    Args:
        reference: the reference.
        frames: frames with the wanted compositions.
    """
    if not reference.stands_in:
        return reference
    wanted = {composition(frame) for frame in frames}
    runs = [[f for f in run if composition(f) in wanted] for run in reference.runs]
    runs = [run for run in runs if run]
    if not runs or sum(map(len, runs)) == sum(map(len, reference.runs)):
        return reference
    text = f"{_frames(runs)} with the composition of the run among {reference.text}"
    return Reference(text, runs, {}, stands_in=True)


def composition(frame: Frame) -> tuple[tuple[int, int], ...]:
    """Return atomic numbers with their counts, divided by their greatest common divisor."""
    counts = Counter(frame.numbers.tolist())
    common = math.gcd(*counts.values())
    return tuple(sorted((z, n // common) for z, n in counts.items()))


def read_table(path: Path) -> dict[Pair, tuple[np.ndarray, np.ndarray]]:
    """Read functions from a table with a rising column `r` or `r_A` in Å and one for each pair,
    `Cl-O`.

    Returns:
        Pair → (r [n] in Å, g [n]).

    Raises:
        PestleError: the file is not such a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PestleError(f"cannot be read as a table ({error})", where=str(path)) from error
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(header) < 2 or header[0] not in ("r", "r_A"):
        raise PestleError(
            "the header is not r and one pair a column", where=str(path), fix="r,Cl-O,Na-O"
        )
    pairs = [pair_of(name, str(path)) for name in header[1:]]
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise PestleError("a pair has two columns", where=str(path))
    values = np.array([_numbers(row, k, header, path) for k, row in enumerate(rows[1:], 2)])
    if len(values) < 2 or (np.diff(values[:, 0]) <= 0).any() or values[0, 0] < 0:
        raise PestleError("r has to rise from 0 on, over two rows or more", where=str(path))
    if (values[:, 1:] < 0).any():
        raise PestleError("a radial distribution function is never negative", where=str(path))
    return {pair: (values[:, 0], values[:, k]) for k, pair in enumerate(pairs, 1)}


def _numbers(row: Sequence[str], line: int, header: Sequence[str], path: Path) -> list[float]:
    try:
        values = [float(cell) for cell in row]
    except ValueError:
        values = []
    if len(values) != len(header) or not np.isfinite(values).all():
        raise PestleError(f"line {line} is not {len(header)} numbers", where=str(path))
    return values


def _frames(runs: Sequence[Sequence[Frame]]) -> str:
    return counted(sum(map(len, runs)), "frame")


def pairs_compared(
    asked: Sequence[str], frames: Mapping[str, Sequence[Frame]], reference: Reference
) -> list[Pair]:
    """Return the requested pairs, or all pairs that both the frames and the reference have.

    Args:
        asked: names of pairs; `O-Cl` means `Cl-O`.
        frames: name of a potential → its frames.
        reference: the reference.

    Raises:
        PestleError: a name is not a pair, its atoms do not occur, or no pair is left.
    """
    by_source = {f"the frames of {name}": _pairs_of(mine) for name, mine in frames.items()}
    if reference.table:
        by_source[reference.text] = [tuple(sorted(p, reverse=True)) for p in reference.table]  # type: ignore[misc]
    else:
        by_source["the reference"] = _pairs_of([f for run in reference.runs for f in run])
    if not asked:
        first, *others = by_source.values()
        pairs = [pair for pair in first if all(pair in other for other in others)]
        if not pairs:
            raise PestleError(
                "the run and the reference have no pair of elements in common", where="rdf"
            )
        return pairs
    chosen: dict[Pair, Pair] = {}
    for text in asked:
        pair = pair_of(text, "rdf.pairs")
        key: Pair = (max(pair), min(pair))
        for name, there in by_source.items():
            if key not in there:
                raise PestleError(
                    f"there is no pair {pair_name(pair)} in {name}",
                    where="rdf.pairs",
                    fix=f"There are {', '.join(map(pair_name, there)) or 'none'}.",
                )
        chosen.setdefault(key, pair)
    return list(chosen.values())


def _pairs_of(frames: Sequence[Frame]) -> list[Pair]:
    """Return the pairs that any frame has, the heavier element first."""
    return [pair for pair in pairs_in(elements_of(frames)) if most_pairs(frames, pair) > 0]


def most_pairs(frames: Sequence[Frame], pair: Pair) -> int:
    """Return the largest number of pairs of two different atoms in any frame."""
    most = 0
    for frame in frames:
        one, two = (int((frame.numbers == z).sum()) for z in pair)
        most = max(most, one * two if pair[0] != pair[1] else one * (one - 1) // 2)
    return most


def largest_distance(
    asked: float, frames: Sequence[Frame], reference: Reference
) -> tuple[float, str]:
    """Return the largest distance that all frames and the reference reach, and a note.

    The limit is half the smallest height of a cell. Images of atoms could be counted at larger
    distances, but they describe the cell and not the liquid.

    Args:
        asked: the requested distance, Å.
        frames: frames of the potentials.
        reference: the reference.

    Returns:
        The distance, Å, and the reason if it differs from the requested one (otherwise empty).

    Raises:
        PestleError: a frame is not periodic, or its cell is too small.
    """
    r_max, why = asked, ""
    for frame in (*frames, *(f for run in reference.runs for f in run)):
        half = half_height(frame)
        if half < min(asked, SMALLEST):
            raise PestleError(
                f"half the height of its cell is {figure(half, 2)} Å, and a radial distribution "
                "function ends there",
                where=frame.where,
                fix="Repeat the cell, or leave the structure out.",
            )
        if half < r_max - 1e-9:
            r_max, why = half, f"half the height of the cell of {frame.where}"
    for r, _ in reference.table.values():
        end = float(r[-1] + (r[-1] - r[-2]) / 2)  # the outer edge of a bin around the last r
        if end < r_max - 1e-9:
            r_max, why = end, f"the end of {reference.text}"
    return r_max, f"r goes to {figure(r_max)} Å instead of {asked:g}, {why}" if why else ""
