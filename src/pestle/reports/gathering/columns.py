"""The columns of a comparison, and the value of a run in each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pestle.metrics import ALL
from pestle.records.gathered import TRAINING_FRAMES, Column
from pestle.records.training import TrainingFacts
from pestle.reports.error_tables import QUANTITIES, set_heading, set_names
from pestle.reports.gathering.facts import RunFacts
from pestle.reports.reading import REPLAY_SET, Forgotten, protocol_place, protocol_title
from pestle.reports.verdict import LEVELS

#: Function that returns a value of a run; `None` if the run has none.
Find = Callable[[RunFacts], float | bool | None]


@dataclass(frozen=True)
class Filled:
    """A column, and functions that return its values.

    Attributes:
        column: description of the column.
        find: returns the value of a run.
        of_foundation: returns the value of the run's foundation; `None` if the column has none.
        level: returns the level of the finding with this value; `None` if it is not of a finding.
    """

    column: Column
    find: Find
    of_foundation: Find | None = None
    level: Callable[[RunFacts], str | None] | None = None


def columns_of(runs: Sequence[RunFacts], *, groups: bool) -> list[Filled]:
    """Return the columns in which at least one run has a value, except settings and verdicts.

    Args:
        runs: all runs.
        groups: whether errors by config_type have their own columns.
    """
    every = [*_training(), *_errors(runs, groups), *_breadth(), *_tests(runs), *_cost()]
    return [filled for filled in every if any(filled.find(facts) is not None for facts in runs)]


def _of_training(find: Callable[[TrainingFacts], float | bool | None]) -> Find:
    """Return a function for a value of the results of training."""

    def found(facts: RunFacts) -> float | bool | None:
        training = facts.manifest.training if facts.manifest is not None else None
        return None if training is None else find(training)

    return found


def _training() -> list[Filled]:
    """Return the columns about frames, updates and convergence."""

    def replay(facts: RunFacts) -> float | None:
        found = facts.manifest.replay if facts.manifest is not None else None
        return None if found is None else found.n_train

    return [
        Filled(
            Column(key=TRAINING_FRAMES, about="training", heading="training frames", kind="count"),
            lambda facts: facts.n_trained_on,
        ),
        Filled(
            Column(key="replay.structures", about="training", heading="replay set", kind="count"),
            replay,
        ),
        Filled(
            Column(key="updates", about="training", heading="updates", kind="count"),
            _of_training(lambda training: training.steps),
        ),
        Filled(
            Column(key="converged", about="training", heading="converged", kind="truth"),
            _of_training(lambda t: None if t.convergence is None else t.convergence.converged),
        ),
    ]


def _errors(runs: Sequence[RunFacts], groups: bool) -> list[Filled]:
    """Return the columns of errors on all frames of each set and, with `groups`, by config_type."""
    found = []
    for name in set_names(dict.fromkeys(name for facts in runs for name in facts.errors)):
        every = dict.fromkeys(group for facts in runs for group in facts.errors.get(name, {}))
        others = [group for group in every if group != ALL]
        # A single config_type is the same as all frames.
        for group in [ALL, *others] if groups and len(others) > 1 else [ALL]:
            found += _errors_on(name, group)
    return found


def _errors_on(name: str, group: str) -> list[Filled]:
    """Return the columns with RMSE and MAE of each quantity on a group of a set."""

    def of(errors: str, find: Callable[[Any], float | None]) -> Find:
        def found(facts: RunFacts) -> float | None:
            judged = getattr(facts, errors).get(name, {}).get(group)
            return None if judged is None else find(judged)

        return found

    over = set_heading(name) if group == ALL else f"{set_heading(name)}, {group}"
    return [
        Filled(
            Column(
                key=f"{name}.{group}.{quantity.name}_{kind.lower()}",
                about="errors",
                heading=f"{quantity.word} {kind}",
                over=over,
                unit=quantity.unit,
                frames=name,
                group=group,
                # Errors on training frames say little, as the model is fitted to them. Labels of
                # replay structures may be predictions of the foundation.
                ranked=name not in ("train", REPLAY_SET),
            ),
            of("errors", find),
            of("foundation_errors", find),
        )
        for quantity in QUANTITIES
        for kind, find in (("RMSE", quantity.rmse), ("MAE", quantity.mae))
    ]


def _breadth() -> list[Filled]:
    """Return the columns about drift and forgetting."""

    def moved(facts: RunFacts) -> float | None:
        found = facts.forgotten.against_foundation
        return found[ALL].forces_rmse if found is not None and ALL in found else None

    def labels(forgotten: Forgotten) -> float | None:
        found = forgotten.against_labels
        return found[ALL].forces_rmse if found is not None and ALL in found else None

    columns: tuple[tuple[str, str, Find], ...] = (
        ("drift", "force drift while training", lambda facts: facts.drift),
        ("forgetting.foundation", "forces moved from the foundation’s", moved),
    )
    of_labels = Column(
        key="forgetting.labels",
        about="breadth",
        heading="force RMSE on broad structures",
        unit="meV/Å",
    )
    return [
        *(
            Filled(Column(key=key, about="breadth", heading=heading, unit="meV/Å"), find)
            for key, heading, find in columns
        ),
        Filled(
            of_labels,
            lambda facts: labels(facts.forgotten),
            lambda facts: labels(facts.foundation_forgotten),
        ),
    ]


def _tests(runs: Sequence[RunFacts]) -> list[Filled]:
    """Return a column for each quantity that is the worst finding of a protocol in some run."""
    wanted: dict[tuple[str, str, str], None] = {}
    for facts in runs:
        for protocol in dict.fromkeys(found.protocol for found in facts.findings):
            worst = min(
                (found for found in facts.findings if found.protocol == protocol),
                key=lambda found: list(LEVELS).index(found.level),
            )
            wanted[worst.protocol, worst.quantity, worst.unit] = None
    return [
        _finding(*found) for found in sorted(wanted, key=lambda found: protocol_place(found[0]))
    ]


def _finding(protocol: str, quantity: str, unit: str) -> Filled:
    """Return the column of a quantity of a protocol: its worst finding in each run."""

    def worst(facts: RunFacts) -> Any:
        mine = [
            found
            for found in facts.findings
            if (found.protocol, found.quantity, found.unit) == (protocol, quantity, unit)
        ]
        order = list(LEVELS)
        return min(mine, key=lambda f: (order.index(f.level), -(f.value or 0.0)), default=None)

    def value(facts: RunFacts) -> float | None:
        found = worst(facts)
        return None if found is None else found.value

    def level(facts: RunFacts) -> str | None:
        found = worst(facts)
        return None if found is None else found.level

    column = Column(
        key=f"{protocol}.{quantity}",
        about="tests",
        heading=quantity,
        over=protocol_title(protocol),
        unit=unit,
    )
    return Filled(column, value, level=level)


def _cost() -> list[Filled]:
    """Return the columns about times."""
    return [
        Filled(
            Column(key="cost.wall", about="cost", heading="training time", unit="s"),
            _of_training(lambda training: training.seconds),
        ),
        Filled(
            Column(key="cost.cpu", about="cost", heading="CPU time", unit="s"),
            _of_training(lambda training: training.cpu_seconds),
        ),
        Filled(
            Column(key="cost.gpu", about="cost", heading="GPU time", unit="s"),
            lambda facts: facts.gpu_seconds,
        ),
        Filled(
            Column(key="cost.update", about="cost", heading="time of an update", unit="ms"),
            _of_training(lambda t: 1e3 * t.seconds / t.steps if t.steps else None),
        ),
        Filled(
            Column(key="cost.tests", about="cost", heading="time of the tests", unit="s"),
            lambda facts: (
                sum(found.seconds.values())
                if (found := facts.results.timings) is not None and found.seconds
                else None
            ),
        ),
    ]
