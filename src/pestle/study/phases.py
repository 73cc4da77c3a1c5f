"""Means in phase and out of phase: over test sets that are like what a run was trained on, and over
the others (paper, Figs. 5, 7, 18, 19)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from pestle.metrics import ALL
from pestle.records.gathered import Column
from pestle.reports.error_tables import QUANTITIES
from pestle.reports.gathering.columns import Filled, Find
from pestle.reports.gathering.facts import RunFacts
from pestle.study.study_file import PhaseSettings

#: Names of the two means → in words.
MEANS = {"in_phase": "in phase", "out_of_phase": "out of phase"}


def phase_figures(
    asked: PhaseSettings, trained_on: Mapping[str, str], known: Mapping[str, Filled]
) -> dict[str, Filled]:
    """The figures `in_phase.…` and `out_of_phase.…` of each error of the sets.

    A run that lacks a figure of one of its sets has no mean.

    Args:
        asked: which sets are in phase.
        trained_on: name of a run → its value on the axis.
        known: key of a figure of errors, SET.GROUP.forces_rmse → the figure.
    """
    found = {}
    for name, words in MEANS.items():

        def sets_of(facts: RunFacts, name: str = name) -> list[str]:
            return sets_in(asked, trained_on[facts.run.name], name)

        for quantity in QUANTITIES:
            for kind in ("rmse", "mae"):
                what = f"{quantity.name}_{kind}"
                filled = {
                    of_set: one
                    for of_set in all_sets(asked)
                    if (one := known.get(key_of(of_set, what))) is not None
                }
                if not filled:
                    continue
                column = Column(
                    key=f"{name}.{what}",
                    about="errors",
                    heading=f"{quantity.word} {kind.upper()}",
                    over=words,
                    unit=quantity.unit,
                )
                of = {s: one.find for s, one in filled.items()}
                bases = {s: b for s, one in filled.items() if (b := one.of_foundation) is not None}
                found[column.key] = Filled(column, _mean(sets_of, of), _mean(sets_of, bases))
    return found


def all_sets(asked: PhaseSettings) -> list[str]:
    """All test sets, each once."""
    inside = asked.inside
    known = inside if isinstance(inside, list) else [s for one in inside.values() for s in one]
    return list(dict.fromkeys(asked.sets or known))


def sets_in(asked: PhaseSettings, value: str, mean: str) -> list[str]:
    """The sets that a mean of a run is over.

    Args:
        asked: which sets are in phase.
        value: what the run was trained on; nothing is known of a value that is not named.
        mean: in_phase or out_of_phase.
    """
    inside = asked.inside
    mine = inside if isinstance(inside, list) else inside.get(value)
    if mine is None:
        return []
    return mine if mean == "in_phase" else [one for one in all_sets(asked) if one not in mine]


def key_of(of_set: str, what: str) -> str:
    """`argyrodite` → `argyrodite.all.forces_rmse`, `test.ice_Ih` → `test.ice_Ih.forces_rmse`."""
    return f"{of_set}.{what}" if "." in of_set else f"{of_set}.{ALL}.{what}"


def _mean(sets_of: Callable[[RunFacts], Sequence[str]], find: Mapping[str, Find]) -> Find:
    def found(facts: RunFacts) -> float | None:
        values = [find[one](facts) if one in find else None for one in sets_of(facts)]
        numbers = [value for value in values if value is not None]
        return statistics.fmean(numbers) if numbers and len(numbers) == len(values) else None

    return found
