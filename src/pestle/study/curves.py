"""Curves that protocols measured, of several runs in one picture: torsions, dimers, g(r), paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pestle.errors import PestleError, nearest
from pestle.files import read_json
from pestle.protocols import protocol
from pestle.protocols.results import Chart, Series
from pestle.records.results import About, Measured
from pestle.reports.gathering.spread import cell_of
from pestle.reports.models import REFERENCE
from pestle.study.figures import TrainedCell

#: Energies (eV) beyond which curves of dimers are cut off, as on the page of a run.
DIMER_RANGE = (-10.0, 10.0)


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        x: [n] ascending.
        y: [n]; `None` where a number was not finite.
    """

    x: tuple[float, ...]
    y: tuple[float | None, ...]


#: Name of a scan, a pair or a reaction → its curve.
Curves = dict[str, Curve]


@dataclass(frozen=True)
class Kind:
    """What can be drawn of the numbers of a protocol.

    Attributes:
        protocol: its name.
        one: what a picture is of, in a word.
        of: numbers and the name of a potential → its curves.
        reference: numbers → the curves of the reference; none where there is none.
        x_label, y_label: of the axes.
        y_range: of the values of interest.
    """

    protocol: str
    one: str
    of: Callable[[Any, str], Curves]
    reference: Callable[[Any], Curves]
    x_label: str
    y_label: str
    y_range: tuple[float, float] | None = None


def _curve(x: Sequence[float], y: Sequence[float | None]) -> Curve:
    return Curve(tuple(x), tuple(y))


def _torsions(numbers: Any, potential: str) -> Curves:
    scans = numbers.potentials[potential].scans
    return {name: _curve(numbers.scans[name].x, scan.energy) for name, scan in scans.items()}


def _paths(numbers: Any, potential: str) -> Curves:
    given = numbers.reactions
    return {
        name: _curve(given[name].length, one.path.energy)
        for name, one in numbers.potentials[potential].reactions.items()
        if name in given
    }


KINDS = {
    "torsion": Kind(
        "torsion",
        "scan",
        _torsions,
        lambda n: {name: _curve(scan.x, scan.reference) for name, scan in n.scans.items()},
        "scanned coordinate",
        "energy above the reference's minimum (kcal/mol)",
    ),
    "dimers": Kind(
        "dimers",
        "pair",
        lambda n, potential: {
            pair: _curve(one.distance, one.energy)
            for pair, one in n.potentials[potential].pairs.items()
        },
        lambda n: {},
        "distance (Å)",
        "energy (eV)",
        DIMER_RANGE,
    ),
    "rdf": Kind(
        "rdf",
        "pair",
        lambda n, potential: {
            pair: _curve(one.r, one.g) for pair, one in n.potentials[potential].pairs.items()
        },
        lambda n: {pair: _curve(one.r, one.g) for pair, one in n.reference.pairs.items()},
        "distance (Å)",
        "g(r)",
    ),
    "path": Kind(
        "neb",
        "reaction",
        _paths,
        lambda n: {
            name: _curve(one.length, one.reference.energy)
            for name, one in n.reactions.items()
            if one.reference is not None
        },
        "path length (Å)",
        "energy above the first image (eV)",
    ),
}


def measured_of(cell: TrainedCell, name: str) -> Measured[Any] | None:
    """What a protocol measured of a run; `None` where it was not tested so.

    Args:
        cell: the run.
        name: of the protocol.

    Raises:
        PestleError: the file is no result of this protocol.
    """
    if name not in cell.facts.results.protocols:
        return None
    file: Path = cell.facts.results.path / "protocols" / name / "metrics.json"
    try:
        return Measured.from_json(read_json(file), protocol(name).numbers)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PestleError(
            f"is no result of the protocol {name} ({place}: {first['msg'].lower()})",
            where=str(file),
            fix=f"Test the run again: pestle probe {name} {cell.facts.results.path}",
        ) from None


def curve_charts(
    kind: Kind,
    lines: Mapping[str, Sequence[TrainedCell]],
    only: Sequence[str],
    where: str,
    *,
    foundation: bool,
) -> dict[str, Chart]:
    """Charts with a curve for each line, the mean of its runs, the foundations' and the
    reference's.

    Args:
        kind: what is drawn.
        lines: name of a line → its runs.
        only: names of scans, pairs or reactions; all where it is empty.
        where: names whoever asked in an error.
        foundation: whether what the runs began with has curves.

    Returns:
        Name of the scan, pair or reaction → its chart.

    Raises:
        PestleError: no run was tested so, or there is none of a name.
    """
    found: dict[str, list[Curves]] = {line: [] for line in lines}
    bases: dict[str, list[Curves]] = {}
    references: list[Curves] = []
    for line, members in lines.items():
        for cell in members:
            measured = measured_of(cell, kind.protocol)
            if measured is None:
                continue
            about: About = measured.about
            found[line].append(kind.of(measured.numbers, about.candidate))
            references.append(kind.reference(measured.numbers))
            if foundation and about.baseline is not None:
                name = f"{cell.facts.foundation or about.baseline}, untrained"
                bases.setdefault(name, []).append(kind.of(measured.numbers, about.baseline))
    names = list(dict.fromkeys(n for several in found.values() for one in several for n in one))
    if not names:
        raise PestleError(
            f"no run was tested by the protocol {kind.protocol}",
            where=where,
            fix=f"Add `probe: {{{kind.protocol}: …}}` to the study.",
        )
    for name in only:
        if name not in names:
            fix = f"{nearest(name, names)} There are {', '.join(names)}.".lstrip()
            raise PestleError(f"no run has a {kind.one} '{name}'", where=f"{where}.of", fix=fix)
    charts = {}
    for name in only or names:
        series = [_series(REFERENCE, [one], name) for one in _distinct(references, name)[:1]]
        series += [_series(base, several[:1], name) for base, several in bases.items()]
        series += [_series(line, several, name) for line, several in found.items()]
        chart = Chart(
            name,
            kind.x_label,
            kind.y_label,
            [one for one in series if one.x],
            y_range=_range(kind, series),
            caption=_caption(found, references, name),
            size="wide",
        )
        charts[name] = chart
    return charts


def _series(line: str, several: Sequence[Curves], name: str) -> Series:
    """The mean over runs, with the standard deviation as a band."""
    curves = _together([one[name] for one in several if name in one])
    if not curves:
        return Series(line, [], [])
    x = list(curves[0].x)
    points = [cell_of([curve.y[k] for curve in curves]) for k in range(len(x))]
    deviations = [point.deviation if point is not None else None for point in points]
    return Series(
        line,
        x,
        [point.mean if point is not None else None for point in points],
        error=deviations if any(one is not None for one in deviations) else None,
        runs=None
        if line == REFERENCE
        else [point.n if point is not None else 0 for point in points],
    )


def _together(curves: Sequence[Curve]) -> list[Curve]:
    """Those at the points of the first one: others have no mean with it."""
    return [curve for curve in curves if curve.x == curves[0].x]


def _distinct(references: Sequence[Curves], name: str) -> list[Curves]:
    """References that differ."""
    found: list[Curves] = []
    for one in references:
        if name in one and all(one[name] != known[name] for known in found):
            found.append(one)
    return found


def _range(kind: Kind, series: Sequence[Series]) -> tuple[float, float] | None:
    if kind.y_range is None:
        return None
    finite = [value for one in series for value in one.y if value is not None]
    low, high = kind.y_range
    return (max(min(finite), low) - 1.0, high) if finite else None


def _caption(found: Mapping[str, Sequence[Curves]], references: Sequence[Curves], name: str) -> str:
    """What is averaged, and what was left out of it."""
    said = []
    of_lines = [[one[name] for one in several if name in one] for several in found.values()]
    if any(len(curves) > 1 for curves in of_lines):
        said.append("Bands: one standard deviation over runs (n − 1).")
    left_out = sum(len(curves) - len(_together(curves)) for curves in of_lines)
    if left_out:
        said.append(f"{left_out} with other points are left out.")
    if len(_distinct(references, name)) > 1:
        said.append("Runs had different references; that of the first is shown.")
    return " ".join(said)
