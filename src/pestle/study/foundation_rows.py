"""Rows of tables for what the runs began with: foundations that nothing was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pestle.records.gathered import Cell, JudgedOn, Row
from pestle.reports.gathering.columns import Filled
from pestle.reports.gathering.spread import cell_of
from pestle.study.figures import TrainedCell
from pestle.wording import number

#: Digits to which figures of one foundation agree.
_DIGITS = 6


@dataclass(frozen=True)
class Before:
    """What runs of one row began with.

    Attributes:
        members: these runs.
        cells: key of a column → figure.
        judged_on: set → its frames.
    """

    members: tuple[TrainedCell, ...]
    cells: dict[str, Cell]
    judged_on: dict[str, JudgedOn]

    @property
    def foundations(self) -> set[str]:
        """Their names."""
        return {cell.facts.foundation for cell in self.members}

    def agrees(self, other: Before) -> bool:
        """Whether both say the same wherever both say something."""
        keys, sets = set(self.cells) & set(other.cells), set(self.judged_on) & set(other.judged_on)
        mine, theirs = self.foundations, other.foundations
        return (
            all(_same(self.cells[key], other.cells[key]) for key in keys)
            and all(self.judged_on[name] == other.judged_on[name] for name in sets)
            and (mine <= theirs or theirs <= mine)
        )

    def with_further(self, other: Before) -> Before:
        """The same with the figures of another one that agrees."""
        return Before(
            (*self.members, *other.members),
            other.cells | self.cells,
            other.judged_on | self.judged_on,
        )


def before(
    members: Sequence[TrainedCell],
    figures: Mapping[str, tuple[Filled, Sequence[TrainedCell]]],
    judged_on: Mapping[str, JudgedOn],
) -> Before:
    """Figures of what some runs began with; one figure for one model, however many began with it.

    Args:
        members: the runs.
        figures: key of a column → the figure, and those of the runs that it is of.
        judged_on: set → its frames.
    """
    cells = {}
    for key, (filled, of) in figures.items():
        if filled.of_foundation is None:
            continue
        cell = cell_of([filled.of_foundation(one.facts) for one in of])
        if cell is not None and len({number(value, _DIGITS) for value in cell.values}) == 1:
            cell = cell_of(cell.values[:1])
        if cell is not None:
            cells[key] = cell
    return Before(tuple(members), cells, dict(judged_on))


def foundation_rows(found: Sequence[Before], axes: Sequence[str]) -> list[Row]:
    """A row for each foundation, or part of it that has figures of its own: by data, or E0s.

    Args:
        found: of each row of runs.
        axes: that make the rows.
    """
    together: list[Before] = []
    for one in found:
        same = next((k for k, old in enumerate(together) if old.agrees(one)), None)
        if same is not None:
            together[same] = together[same].with_further(one)
        elif one.cells:
            together.append(one)
    return [
        Row(
            name=name,
            kind="foundation",
            runs=(one.members[0].facts.run,),
            judged_on=one.judged_on,
            cells=one.cells,
        )
        for one, name in zip(together, _names(together, axes), strict=True)
    ]


def _names(together: Sequence[Before], axes: Sequence[str]) -> list[str]:
    """`NAME, untrained`, with what tells rows of one foundation apart."""
    names = [f"{_joined(_foundation, one)}, untrained" for one in together]
    tellers = [_e0s, *(_value_of(axis) for axis in axes)]
    told = [[_joined(teller, one) for one in together] for teller in tellers]
    for texts in [[""] * len(together), *told, [", ".join(t) for t in zip(*told, strict=True)]]:
        whole = [f"{n} ({text})" if text else n for n, text in zip(names, texts, strict=True)]
        if len(set(whole)) == len(whole):
            return whole
    return [f"{name} ({k})" for k, name in enumerate(names, 1)]


def _joined(of: Callable[[TrainedCell], str], one: Before) -> str:
    return ", ".join(dict.fromkeys(of(cell) for cell in one.members))


def _foundation(cell: TrainedCell) -> str:
    return cell.facts.foundation


def _e0s(cell: TrainedCell) -> str:
    manifest = cell.facts.manifest
    return f"E0s: {manifest.reference_energies.method}" if manifest is not None else ""


def _value_of(axis: str) -> Callable[[TrainedCell], str]:
    return lambda cell: str(cell.axes.get(axis))


def _same(one: Cell, other: Cell) -> bool:
    return number(one.mean, _DIGITS) == number(other.mean, _DIGITS)
