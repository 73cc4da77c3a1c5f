"""Errors of a model and of the foundation on one set, and which of them count as worse."""

from __future__ import annotations

from pestle.records.base import Part
from pestle.records.old_sets import is_old
from pestle.wording import counted, figure, listed, percent

#: A model counts as worse than the foundation if its RMSE is larger by more than this fraction.
WORSE_BY = 0.05
#: The same on a set of a continued run, against the model before. Runs that differ by their seed
#: alone are up to a tenth apart there; a smaller loss is told in the line `kept`, as no warning.
LOST_BY = 0.2
#: Two errors count as equal if they differ by less than this fraction.
SAME = 0.005
#: Larger ratios of errors are given as a multiple, smaller ones in per cent.
SEVERAL = 1.5


class SetErrors(Part):
    """RMSE of the kept model and of the foundation on one set.

    Attributes:
        name: test, valid or train, or a set of a continued run (`old_sets`).
        energy: RMSE of the model's energies without isolated atoms, meV/atom; `None` without
            labels.
        forces: RMSE of the model's forces, meV/Å.
        foundation_energy: RMSE of the foundation's energies with the E0s of the run, after
            subtraction of a constant offset for each element (`errors.offset`), but without this
            subtraction on sets of a continued run; `None` if there is no comparison.
        foundation_forces: RMSE of the foundation's forces.
        lost: number of frames on which the model's prediction is not finite.
    """

    name: str
    energy: float | None = None
    forces: float | None = None
    foundation_energy: float | None = None
    foundation_forces: float | None = None
    lost: int = 0

    @property
    def worse(self) -> dict[str, float]:
        """`forces` or `energies`, if the model is worse → its error over the foundation's."""
        pairs = {
            "forces": (self.forces, self.foundation_forces),
            "energies": (self.energy, self.foundation_energy),
        }
        ratios = {k: new / old for k, (new, old) in pairs.items() if new is not None and old}
        limit = LOST_BY if is_old(self.name) else WORSE_BY
        return {name: ratio for name, ratio in ratios.items() if ratio > 1 + limit}

    @property
    def is_worse(self) -> bool:
        """Whether the model is worse than the foundation, or not finite on any frame."""
        return bool(self.worse) or self.lost > 0

    @property
    def own_words(self) -> str:
        """The errors of a model that equals the foundation, in words.

        For example `valid forces 401 meV/Å, energies 774 meV/atom, 8.1 less a constant offset per
        element`.
        """
        parts = [f"forces {figure(self.forces)} meV/Å"] if self.forces is not None else []
        if self.energy is not None:
            text = f"energies {figure(self.energy)} meV/atom"
            if self.foundation_energy is not None:
                text += f", {figure(self.foundation_energy)} less a constant offset per element"
            parts.append(text)
        return f"{self.name} {', '.join(parts)}"

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
            how = "" if old_set else " less its constant offset per element"
            old = _against(self.energy, self.foundation_energy, who + how)
            parts.append(f"energies {figure(self.energy)} meV/atom{old}")
        if self.lost:
            parts.append(f"not finite on {counted(self.lost, 'frame')}")
        return f"{self.name} {', '.join(parts)}"


def worse_in_words(sets: tuple[SetErrors, ...]) -> str:
    """Describe where the model is worse, such as `on valid: energies 43.1 against 25.3 meV/atom`.

    The second number is the foundation's.

    Args:
        sets: errors on each set.

    Returns:
        The text; empty if the model is nowhere worse.
    """
    said = []
    for one in sets:
        parts = []
        if "forces" in one.worse:
            parts.append(f"forces {_versus(one.forces, one.foundation_forces)} meV/Å")
        if "energies" in one.worse:
            parts.append(f"energies {_versus(one.energy, one.foundation_energy)} meV/atom")
        if one.lost:
            parts.append(f"not finite on {counted(one.lost, 'frame')}")
        if parts:
            said.append(f"on {one.name}: {listed(parts)}")
    if not said:
        return ""
    text = "; ".join(said)
    if any("energies" in one.worse for one in sets if not is_old(one.name)):
        text += " (the foundation's energies less its constant offset per element)"
    return text


def _versus(new: float | None, old: float | None) -> str:
    assert new is not None and old is not None
    return f"{figure(new)} against {figure(old)}"


def _against(new: float, old: float | None, who: str) -> str:
    """Return the other model's error as text, such as `, foundation 401 (7.7 × smaller)`."""
    if old is None:
        return ""
    if not old or not new:
        return f", {who} {figure(old)}"
    return f", {who} {figure(old)} ({change_in_words(new, old)})"


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
