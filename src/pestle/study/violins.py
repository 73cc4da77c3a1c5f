"""Errors of single frames of several foundations and methods in one picture (Figs. 3, 17)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pestle.errors import PestleError, nearest
from pestle.protocols.distributions import Distribution
from pestle.protocols.results import Chart, Series
from pestle.study.curves import measured_of
from pestle.study.figures import TrainedCell

#: Protocol that measures them.
PROTOCOL = "errors"


def _sizes(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else abs(value) for value in values]


#: What violins may show → label of the axis, and the values of a distribution.
SHOWN: dict[str, tuple[str, Callable[[Distribution], Sequence[float | None]]]] = {
    "forces_mae": ("force MAE of a frame (meV/Å)", lambda found: found.forces_mae),
    "forces_rmse": ("force RMSE of a frame (meV/Å)", lambda found: found.forces),
    "energy_mae": (
        "absolute energy error of a frame (meV/atom)",
        lambda found: _sizes(found.energy),
    ),
}


def violin_charts(
    y: str,
    lines: Mapping[str, Mapping[str, Sequence[TrainedCell]]],
    only: Sequence[str],
    where: str,
    *,
    x_label: str,
    foundation: bool,
    log: bool,
) -> dict[str, Chart]:
    """Charts of violins: frames of all runs of a line and category are one violin.

    Args:
        y: one of `SHOWN`.
        lines: name of a line → category along the axis → runs.
        only: names of test sets; all where it is empty.
        where: names whoever asked in an error.
        x_label: of the categories.
        foundation: whether what the runs began with has violins.
        log: whether the axis is logarithmic.

    Returns:
        Name of the set → its chart.

    Raises:
        PestleError: there are no such errors, no run has them, or there is no such set.
    """
    if y not in SHOWN:
        fix = f"{nearest(y, SHOWN)} There are {', '.join(SHOWN)}.".lstrip()
        raise PestleError(f"there are no violins of '{y}'", where=f"{where}.y", fix=fix)
    label, values_of = SHOWN[y]
    found: dict[str, dict[str, Series]] = {}
    for line, by_category in lines.items():
        for category, members in by_category.items():
            for cell in members:
                measured = measured_of(cell, PROTOCOL)
                if measured is None:
                    continue
                about = measured.about
                for of_set, by_model in measured.numbers.distribution.items():
                    series = found.setdefault(of_set, {})
                    if about.candidate in by_model:
                        _add(series, line, category, values_of(by_model[about.candidate]))
                    base = f"{cell.facts.foundation or about.baseline}, untrained"
                    known = series[base].x if base in series else []
                    if foundation and about.baseline in by_model and category not in known:
                        _add(series, base, category, values_of(by_model[about.baseline]))
    if not any(one.y for series in found.values() for one in series.values()):
        raise PestleError(
            f"no run has errors of single frames ({y})",
            where=where,
            fix="Add `probe: {errors: {}}` to the study. Versions up to 0.2.0 measured no "
            "forces_mae: take y: forces_rmse, or test again.",
        )
    for of_set in only:
        if of_set not in found:
            fix = f"{nearest(of_set, found)} There are {', '.join(found)}.".lstrip()
            raise PestleError(f"no run has a set '{of_set}'", where=f"{where}.of", fix=fix)
    return {
        of_set: Chart(
            of_set,
            x_label,
            label,
            _one_name(list(found[of_set].values())),
            kind="violin",
            log_y=log,
            size="wide",
        )
        for of_set in only or found
    }


def _add(
    series: dict[str, Series], line: str, category: str, values: Sequence[float | None]
) -> None:
    one = series.setdefault(line, Series(line, [], []))
    one.x.extend([category] * len(values))
    one.y.extend(values)


def _one_name(series: Sequence[Series]) -> list[Series]:
    """Foundations that are each alone in their category need no names."""
    bases = [one for one in series if one.name.endswith(", untrained")]
    places = [place for one in bases for place in set(one.x)]
    if len(bases) < 2 or len(places) > len(set(places)):
        return list(series)
    joined = Series("untrained", [x for b in bases for x in b.x], [y for b in bases for y in b.y])
    return [*(one for one in series if one not in bases), joined]
