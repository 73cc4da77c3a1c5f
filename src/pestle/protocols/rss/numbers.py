"""Results of a random structure search, as stored in metrics.json."""

from __future__ import annotations

from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from pestle.records.results import Numbers

#: Fields that are not written if there is no foundation.
AGAINST_FOUNDATION = ("flagged_foundation", "by_criterion_foundation", "by_criterion_either")


class _Counts(Numbers):
    """Leaves out the counts against the foundation if there is no foundation."""

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
        out_of_steps: number that still moved at the end.
        diverged: number that collapsed, or whose relaxation gave values that are not finite.
        volume: the potential's own median, Å³/atom; `None` if all diverged.
        energy: the potential's own median, eV/atom; `None` if all diverged.
        flagged: number that a criterion flags with the potential's own medians.
        by_criterion: criterion → number that it flags with these medians.
        imploded: number that a criterion flags with the potential's own or the foundation's
            medians; each crystal counts once.
        flagged_foundation: number that a criterion flags with the foundation's medians. This and
            the next two are `None` without a foundation.
        by_criterion_foundation: criterion → number that it flags with these medians.
        by_criterion_either: criterion → number that it flags with either medians.
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
        number: number of the crystal within its composition, from 0.
        status: `relaxed`, `out of steps` or `diverged`.
        volume: volume divided by the median of its composition, no unit.
        energy: energy minus the median of its composition, eV/atom.
        overlap: smallest distance divided by the sum of the covalent radii, no unit.
        reason: why the crystal is flagged; empty if it is not flagged.

    The medians are those of the foundation, if there is one.
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
        crystals: the crystals of all compositions.
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
    """Numbers of imploded crystals, by potential and pressure.

    Attributes:
        formulas: compositions that were searched.
        potentials: name → its search.
    """

    formulas: list[str]
    potentials: dict[str, PotentialNumbers]
