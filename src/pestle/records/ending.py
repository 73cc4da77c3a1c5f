"""How a run ended: what it learned, what it cost in breadth, and what is wrong with it.

The record lies in the manifest as `ending`. Terminal, log, model card, report and verdict say it in
the words that are made here, so that no two of them can disagree.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar, Literal

from pestle.records.base import Part
from pestle.records.old_sets import is_old
from pestle.records.verdict import Finding
from pestle.records.wording import counted, figure, listed, percent

#: A model counts as worse than the foundation when its RMSE is larger by more than this share.
WORSE_BY = 0.05
#: The same on a set of a continued run, against the model before. Runs that differ by their seed
#: alone are up to a tenth apart there; a smaller loss is told in the line `kept`, as no warning.
LOST_BY = 0.2
#: Within this share two errors are the same.
SAME = 0.005
#: From this ratio on one error is so many times the other; below it is some per cent off.
SEVERAL = 1.5


#: What each kind of trouble is called.
TITLES = {
    "start": "nothing learned",
    "worse": "worse than the foundation",
    "lost": "worse than before on old sets",
    "unfinished": "not converged",
}


class SetErrors(Part):
    """RMSE of the kept model and of the foundation on one set.

    Attributes:
        name: test, valid or train, or one of a continued run (`old_sets`).
        energy: of the model, meV/atom, isolated atoms left out; `None` without labels.
        forces: of the model, meV/Å.
        foundation_energy: of the foundation with the E0s of the run, its constant offset for each
            element taken off (`errors.offset`), but on a set of a continued run as it is; `None`
            where there is nothing to compare with.
        foundation_forces: of the foundation.
        lost: frames on which the model is not finite.
    """

    name: str
    energy: float | None = None
    forces: float | None = None
    foundation_energy: float | None = None
    foundation_forces: float | None = None
    lost: int = 0

    @property
    def worse(self) -> dict[str, float]:
        """`forces` and `energies` where the model is worse → its error over the foundation's."""
        pairs = {
            "forces": (self.forces, self.foundation_forces),
            "energies": (self.energy, self.foundation_energy),
        }
        ratios = {k: new / old for k, (new, old) in pairs.items() if new is not None and old}
        limit = LOST_BY if is_old(self.name) else WORSE_BY
        return {name: ratio for name, ratio in ratios.items() if ratio > 1 + limit}

    @property
    def is_worse(self) -> bool:
        return bool(self.worse) or self.lost > 0

    @property
    def own_words(self) -> str:
        """`valid forces 401 meV/Å, energies 774 meV/atom, 8.1 less their constant offset …`, of a
        model that is the foundation."""
        parts = [f"forces {figure(self.forces)} meV/Å"] if self.forces is not None else []
        if self.energy is not None:
            text = f"energies {figure(self.energy)} meV/atom"
            if self.foundation_energy is not None:
                text += f", {figure(self.foundation_energy)} less a constant offset per element"
            parts.append(text)
        return f"{self.name} {', '.join(parts)}"

    @property
    def words(self) -> str:
        """`valid forces 52.3 meV/Å, foundation 401 (7.7 × smaller), energies …`; on a set of a
        continued run the other model is called `before`."""
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


class Breadth(Part):
    """What was measured of the foundation's breadth; all `None` where nothing was.

    Attributes:
        drift: RMS of the kept model's forces less the foundation's own on broad structures, meV/Å.
        drift_structures: how many those are.
        replay: force RMSE of the replay head on held-out replay structures, meV/Å.
        replay_foundation: the same of the foundation; `None` where it made the labels.
        replay_structures: how many those are.
    """

    drift: float | None = None
    drift_structures: int | None = None
    replay: float | None = None
    replay_foundation: float | None = None
    replay_structures: int | None = None

    @property
    def words(self) -> str:
        """What was measured; empty for nothing."""
        parts = []
        if self.drift is not None:
            on = counted(self.drift_structures or 0, "broad structure")
            parts.append(f"forces moved {figure(self.drift)} meV/Å from the foundation's on {on}")
        if self.replay is not None:
            on = f"on {counted(self.replay_structures or 0, 'held-out replay structure')}"
            if self.replay_foundation is None:
                parts.append(
                    f"the replay head's moved {figure(self.replay)} meV/Å {on}"
                    if parts
                    else f"forces of the replay head moved {figure(self.replay)} meV/Å from the "
                    f"foundation's {on}"
                )
            else:
                parts.append(
                    f"force error of the replay head {figure(self.replay)} meV/Å, foundation "
                    f"{figure(self.replay_foundation)}, {on}"
                )
        return "; ".join(parts)


class Trouble(Part):
    """Why the model is of little use.

    Attributes:
        kind: `start`: the kept model is the starting model; `worse`: it is worse than the
            foundation on some set; `lost`: it is worse than the model that was continued, on the
            old sets alone; `unfinished`: it was still improving when the run ended.
        what: what is wrong, as a clause.
        reason: the likely reason, as a clause.
        advice: what to do about it, as a sentence without its point.
        settings: NAME=VALUE of a run that would do so; empty where no setting is enough.
        goes_on: whether this run can be resumed with them; else they are those of a new run.
    """

    kind: Literal["start", "worse", "lost", "unfinished"]
    what: str
    reason: str
    advice: str
    settings: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def sentence(self) -> str:
        return f"{self.what}. Likely reason: {self.reason}."


class EndingInWords(Part):
    """How a run ended, as the card of its model says it.

    Attributes:
        warning: what is wrong with the model; left out where nothing is.
        learned: what was learned, on the most telling set.
        kept: what became of what was learned before, on the sets of continued runs; left out where
            there are none.
        breadth: what was measured of it; left out where nothing was.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"warning", "kept", "breadth"})

    warning: str | None = None
    learned: str
    kept: str | None = None
    breadth: str | None = None


class Ending(Part):
    """How a run ended.

    Attributes:
        method: of the run.
        from_scratch: whether the method began with random weights.
        foundation: what would be typed for it.
        scope: what the model is for, where the user said so.
        best_epoch: epoch of the model that was kept.
        sets: those with labels, the most telling first.
        breadth: what was measured of it.
        trouble: `None` where the run did what it was for.
    """

    method: str
    from_scratch: bool = False
    foundation: str
    scope: str | None = None
    best_epoch: int | float
    sets: tuple[SetErrors, ...]
    breadth: Breadth = Breadth()
    trouble: Trouble | None = None

    @property
    def learned(self) -> str:
        """What was learned, on the most telling set."""
        new = [one for one in self.sets if not is_old(one.name)]
        if self.trouble is not None and self.trouble.kind == "start":
            found = f" ({new[0].own_words})" if new else ""
            return f"nothing, the kept model is the starting model{found}"
        if not new:
            return "no set has labels to judge it by"
        # The most telling set first: without another, nothing is known of unseen frames.
        seen = "; no error is on unseen frames" if new[0].name == "train" else ""
        return f"{new[0].words}{seen}"

    @property
    def kept(self) -> str:
        """What became of what was learned before: every set of the continued runs; empty without
        one."""
        return "; ".join(one.words for one in self.sets if is_old(one.name))

    def warning(self, run: Path) -> str:
        """What stands before everything else; empty where nothing is wrong.

        Args:
            run: the run folder as it would be typed.
        """
        if self.trouble is None:
            return ""
        return f"{self.trouble.title.upper()}: {self.trouble.sentence} Next: {self.next(run)}"

    def cost(self, run: Path) -> str:
        """What the run cost in breadth, or how that is measured."""
        if self.from_scratch:
            return "none to lose: training began with random weights"
        if self.breadth.drift is not None:
            return self.breadth.words
        measure = f"to measure it: {self._typed('probe', 'forgetting', run)}"
        measure += f" --against {shlex.quote(self.foundation)}"
        if self.breadth.words:
            return f"{self.breadth.words}; the target head was not measured, {measure}"
        return f"not measured; {measure}"

    def next(self, run: Path) -> str:
        """What to do next."""
        if self.trouble is None:
            scope = "" if self.scope else " --scope narrow|broad"
            return f"{self._typed('qualify', run)}{scope}   (is it fit for its use?)"
        if not self.trouble.settings:
            return self.trouble.advice
        changed = "".join(f" --set {shlex.quote(text)}" for text in self.trouble.settings)
        if self.trouble.goes_on:
            again = self._typed("finetune", "--resume", "-o", run)
            return f"{again}{changed}   ({self.trouble.advice})"
        again = self._typed("finetune", run / "run.yaml")
        return f"{again}{changed} -o {shlex.quote(f'{run}-next')}   ({self.trouble.advice})"

    def for_card(self) -> EndingInWords:
        """What the card of the model says: it goes where the run folder does not."""
        warning = f"{self.trouble.title.upper()}: {self.trouble.sentence}" if self.trouble else None
        return EndingInWords(
            warning=warning,
            learned=self.learned,
            kept=self.kept or None,
            breadth=self.breadth.words or None,
        )

    def lines(self, run: Path) -> dict[str, str]:
        """The lines that end a run, by what they are about: three, and what was kept of old sets
        where a run was continued."""
        old = {"kept": self.kept} if self.kept else {}
        return {"learned": self.learned, **old, "breadth": self.cost(run), "next": self.next(run)}

    def finding(self, run: Path) -> Finding | None:
        """The concern of a verdict; `None` where nothing is wrong.

        It is filed under `errors`, which every scope needs.
        """
        if self.trouble is None:
            return None
        if self.trouble.kind == "start":
            quantity, limit = "epoch of the kept model", "concern at 0"
            return Finding("errors", "concern", quantity, 0.0, "", limit, self.warning(run))
        if self.trouble.kind == "unfinished":
            quantity, limit = "training", "concern while it still improves"
            return Finding("errors", "concern", quantity, None, "", limit, self.warning(run))
        quantity, unit = "largest error against the foundation's", "of the foundation's"
        least = 1 + WORSE_BY
        if self.trouble.kind == "lost":
            quantity, unit = "largest error on old sets against that before", "of that before"
            least = 1 + LOST_BY
        limit = f"concern from {least:g} {unit}"
        ratios = [ratio for one in self.sets for ratio in one.worse.values()]
        value = None if any(one.lost for one in self.sets) else max(ratios)
        return Finding("errors", "concern", quantity, value, unit, limit, self.warning(run))

    def _typed(self, *words: str | Path) -> str:
        """A command line."""
        return shlex.join(["pestle", *map(str, words)])


def worse_in_words(sets: tuple[SetErrors, ...]) -> str:
    """`on valid: energies 43.1 against 25.3 meV/atom`, the foundation's second; empty for none."""
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
    """`, foundation 401 (7.7 × smaller)`; empty without one."""
    if old is None:
        return ""
    if not old or not new:
        return f", {who} {figure(old)}"
    ratio = max(old / new, new / old)
    which = "smaller" if new < old else "larger"
    if ratio < 1 + SAME:
        change = "the same"
    elif ratio < SEVERAL:
        change = f"{percent(abs(1 - new / old))} {which}"
    else:
        change = f"{float(f'{ratio:.2g}'):,g} × {which}"
    return f", {who} {figure(old)} ({change})"
