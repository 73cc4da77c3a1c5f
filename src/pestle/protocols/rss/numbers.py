"""The numbers of a random structure search, as metrics.json holds them."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from pestle.records.results import Numbers

#: Fields that are not written where there is no foundation.
AGAINST_FOUNDATION = ("flagged_foundation", "by_criterion_foundation", "by_criterion_either")


class _Counts(Numbers):
    """Leaves out what is counted against the foundation where there is none."""

    @model_serializer(mode="wrap")
    def _known(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        return {
            key: value
            for key, value in content.items()
            if value is not None or key not in AGAINST_FOUNDATION
        }


class CompositionNumbers(_Counts):
    """Crystals of one composition at one pressure.

    Attributes:
        n: number of crystals.
        out_of_steps: still moving at the end.
        diverged: whose relaxation gave no finite numbers, or that collapsed.
        volume: own median, Å³/atom; `None` where all diverged.
        energy: own median, eV/atom; `None` where all diverged.
        flagged: that a criterion flags against the potential's own medians.
        by_criterion: criterion → how many it flags so.
        imploded: that a criterion flags against the own or the foundation's medians, each counted
            once.
        flagged_foundation: flagged against the foundation's medians; as the next two, `None`
            without a foundation.
        by_criterion_foundation: criterion → how many it flags so.
        by_criterion_either: criterion → how many it flags against either medians.
    """

    n: int
    out_of_steps: int
    diverged: int
    volume: float | None
    energy: float | None
    flagged: int
    by_criterion: dict[str, int]
    imploded: int
    flagged_foundation: int | None = None
    by_criterion_foundation: dict[str, int] | None = None
    by_criterion_either: dict[str, int] | None = None


class CrystalColumns(Numbers):
    """All crystals at one pressure, column by column; each has [n_crystals] entries.

    Attributes:
        composition: formula.
        number: of the crystal within its composition, from 0.
        status: `relaxed`, `out of steps` or `diverged`.
        volume: over the median of its composition, no unit.
        energy: less the median of its composition, eV/atom.
        overlap: smallest distance over the sum of the covalent radii, no unit.
        reason: why it is flagged; empty where it is not.

    The medians are the foundation's where there is one.
    """

    composition: list[str]
    number: list[int]
    status: list[str]
    volume: list[float | None]
    energy: list[float | None]
    overlap: list[float | None]
    reason: list[str]


class PressureNumbers(_Counts):
    """The search at one pressure.

    Attributes:
        pressure: GPa.
        n, out_of_steps, diverged, flagged, flagged_foundation, imploded, by_criterion,
            by_criterion_foundation, by_criterion_either: sums over the compositions, see
            `CompositionNumbers`.
        compositions: formula → its numbers.
        crystals: of all compositions.
    """

    pressure: float
    n: int
    out_of_steps: int
    diverged: int
    flagged: int
    flagged_foundation: int | None = None
    imploded: int
    by_criterion: dict[str, int]
    by_criterion_foundation: dict[str, int] | None = None
    by_criterion_either: dict[str, int] | None = None
    compositions: dict[str, CompositionNumbers]
    crystals: CrystalColumns


class PotentialNumbers(Numbers):
    """The search with one potential.

    Attributes:
        pressures: one entry for each pressure.
    """

    pressures: list[PressureNumbers]


class RssNumbers(Numbers):
    """Crystals that imploded, by potential and pressure.

    Attributes:
        formulas: compositions that were searched.
        potentials: name → its search.
    """

    formulas: list[str]
    potentials: dict[str, PotentialNumbers]
