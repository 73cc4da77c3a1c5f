"""Errors of a model and of the foundation on one set, and which of them count as worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pestle.records.base import Part
from pestle.records.old_sets import is_old
from pestle.wording import counted, figure, listed, percent

#: Quantities that are compared → units of their errors.
UNITS = {"energies": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}
#: A model counts as worse than the foundation if its RMSE is larger by more than this fraction.
WORSE_BY = 0.05
#: The same on a set of a continued run, against the model before. Runs that differ by their seed
#: alone are up to a tenth apart there; a smaller loss is told in the line `kept`, as no warning.
LOST_BY = 0.2
#: What is done to the foundation's energies before they are compared; new E0s alone would do it.
TAKEN_OFF = "once a constant per element is taken off, as E0s do"
#: Two errors count as equal if they differ by less than this fraction.
SAME = 0.005
#: Errors on fewer frames than this are given with their number.
FEW = 5
#: Larger ratios of errors are given as a multiple, smaller ones in per cent.
SEVERAL = 1.5


class SetErrors(Part):
    """RMSE of the kept model and of the foundation on one set.

    Attributes:
        name: test, valid or train, or a set of a continued run (`old_sets`).
        energy: RMSE of the model's energies without isolated atoms, meV/atom; `None` without
            labels.
        forces: RMSE of the model's forces, meV/Å.
        stress: RMSE of the model's stress, meV/Å³.
        foundation_energy: RMSE of the foundation's energies with the E0s of the run, after
            subtraction of a constant offset for each element (`errors.offset`), but without this
            subtraction on sets of a continued run; `None` if there is no comparison.
        foundation_energy_with_offset: the same without the subtraction, as in tables of errors;
            earlier versions left it out.
        foundation_forces, foundation_stress: RMSE of the foundation's forces and stress.
        n_frames: number of frames of the set; `None` in runs of earlier versions.
        lost: number of frames on which the model's prediction is not finite.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset(
        {"stress", "foundation_stress", "foundation_energy_with_offset", "n_frames"}
    )

    name: str
    energy: float | None = None
    forces: float | None = None
    stress: float | None = None
    foundation_energy: float | None = None
    foundation_energy_with_offset: float | None = None
    foundation_forces: float | None = None
    foundation_stress: float | None = None
    n_frames: int | None = None
    lost: int = 0

    @property
    def worse(self) -> dict[str, float]:
        """Quantities in which the model is worse → its error over the foundation's."""
        pairs = {name: self.pair(name) for name in UNITS}
        ratios = {k: new / old for k, (new, old) in pairs.items() if new is not None and old}
        limit = LOST_BY if is_old(self.name) else WORSE_BY
        return {name: ratio for name, ratio in ratios.items() if ratio > 1 + limit}

    def pair(self, quantity: str) -> tuple[float | None, float | None]:
        """Return the errors of the model and of the foundation.

        Args:
            quantity: energies, forces or stress.
        """
        return {
            "energies": (self.energy, self.foundation_energy),
            "forces": (self.forces, self.foundation_forces),
            "stress": (self.stress, self.foundation_stress),
        }[quantity]

    @property
    def is_worse(self) -> bool:
        """Whether the model is worse than the foundation, or not finite on any frame."""
        return bool(self.worse) or self.lost > 0

    @property
    def own_words(self) -> str:
        """The errors of a model that equals the foundation, in words.

        For example `valid forces 401 meV/Å, energies 774 meV/atom; 8.1 once a constant per element
        is taken off, as E0s do`.
        """
        parts = [f"forces {figure(self.forces)} meV/Å"] if self.forces is not None else []
        if self.energy is not None:
            text = f"energies {figure(self.energy)} meV/atom"
            if self.foundation_energy is not None:
                text += f"; {figure(self.foundation_energy)} {TAKEN_OFF}"
            parts.append(text)
        return f"{self._named} {', '.join(parts)}"

    @property
    def _named(self) -> str:
        """The name of the set, with the number of its frames if they are very few."""
        if self.n_frames is None or self.n_frames >= FEW:
            return self.name
        return f"{self.name} ({counted(self.n_frames, 'frame')} only)"

    @property
    def energy_before(self) -> str:
        """The foundation's energy error: as tables show it, and that to which the model's compares.

        For example `676; 43.2 once a constant per element is taken off, as E0s do`, or one number
        where both are the same, and on sets of a continued run; empty without a comparison.
        """
        whole, rest = self.foundation_energy_with_offset, self.foundation_energy
        if rest is None:
            return ""
        if is_old(self.name) or (whole is not None and abs(whole - rest) <= SAME * whole):
            return figure(rest)
        first = "" if whole is None else f"{figure(whole)}; "
        return f"{first}{figure(rest)} {TAKEN_OFF}"

    @property
    def words(self) -> str:
        """The errors in words, e.g. `valid forces 52.3 meV/Å, foundation 401 (7.7 × smaller)`.

        On sets of a continued run, the other model is called `before`.
        """
        parts, old_set = [], is_old(self.name)
        who = "before" if old_set else "foundation"
        if self.forces is not None:
            old = _against(self.forces, self.foundation_forces, who)
            parts.append(f"forces {figure(self.forces)} meV/Å{old}")
        if self.energy is not None:
            before = self.energy_before
            old = _against(self.energy, self.foundation_energy, who, before)
            parts.append(f"energies {figure(self.energy)} meV/atom{old}")
        if self.stress is not None:
            old = _against(self.stress, self.foundation_stress, who)
            parts.append(f"stress {figure(self.stress)} meV/Å³{old}")
        if self.lost:
            parts.append(f"not finite on {counted(self.lost, 'frame')}")
        return f"{self._named} {', '.join(parts)}"


def quantities_worse(sets: Sequence[SetErrors]) -> list[str]:
    """Return the quantities in which the model is worse on any set: energies, forces, stress.

    Args:
        sets: errors on each set.
    """
    return [name for name in UNITS if any(name in one.worse for one in sets)]


def where_worse(sets: Sequence[SetErrors]) -> str:
    """Name the quantities in which the model is worse, and the set if there is one only.

    Args:
        sets: errors on each set.

    Returns:
        Such as `in energies on valid`; empty if the model is nowhere worse, or not finite.
    """
    quantities, only = quantities_worse(sets), only_worse(sets)
    if not quantities:
        return ""
    return f"in {listed(quantities)}" + (f" on {only.name}" if only is not None else "")


def only_worse(sets: Sequence[SetErrors]) -> SetErrors | None:
    """Return the one set on which the model is worse; `None` if there are several, or none."""
    bad = [one for one in sets if one.is_worse]
    return bad[0] if len(bad) == 1 and bad[0].worse else None


def worse_in_words(sets: Sequence[SetErrors], *, name_sets: bool = True) -> str:
    """Describe where the model is worse: `on test energies 43.1 against 25.3 meV/atom`.

    The second number is the foundation's. Its constant energy offset was removed, so that it can
    differ from the number in tables of errors; the text says so and gives both.

    Args:
        sets: errors on each set.
        name_sets: whether sets are named; a title may have named the only one.

    Returns:
        The text; empty if the model is nowhere worse.
    """
    said, as_in_tables = [], []
    for one in sets:
        parts = []
        for name in one.worse:
            new, old = one.pair(name)
            assert new is not None and old is not None
            parts.append(f"{name} {figure(new)} against {figure(old)} {UNITS[name]}")
            if name == "energies" and not is_old(one.name):
                with_it = one.foundation_energy_with_offset
                as_in_tables.append("" if with_it is None else figure(with_it))
        if one.lost:
            parts.append(f"not finite on {counted(one.lost, 'frame')}")
        if parts:
            said.append(f"on {one.name} {listed(parts)}" if name_sets else listed(parts))
    text = "; ".join(said)
    if as_in_tables:
        text += f" (the foundation's {TAKEN_OFF}"
        if all(as_in_tables):
            text += f"; before that, as in the table of errors: {listed(as_in_tables)}"
        text += ")"
    return text


def _against(new: float, old: float | None, who: str, said: str = "") -> str:
    """Return the other model's error as text, such as `, foundation 401 (7.7 × smaller)`.

    Args:
        new: error of the model.
        old: error of the other model; `None` without a comparison.
        who: the other model.
        said: its error in words, if these are more than the number.
    """
    if old is None:
        return ""
    said = said or figure(old)
    if not old or not new:
        return f", {who} {said}"
    return f", {who} {said} ({change_in_words(new, old)})"


def change_in_words(new: float, old: float) -> str:
    """Return how an error has changed: `7.7 × smaller`, `5 % larger`, `the same`.

    Args:
        new, old: positive errors in one unit.
    """
    ratio = max(old / new, new / old)
    which = "smaller" if new < old else "larger"
    if ratio < 1 + SAME:
        return "the same"
    if ratio < SEVERAL:
        return f"{percent(abs(1 - new / old))} {which}"
    return f"{float(f'{ratio:.2g}'):,g} × {which}"
