"""How a run ended: what it learned, how much breadth it lost, and what is wrong.

The manifest contains this record as `ending`. Terminal, log, model card, report and verdict use the
texts that are made here, so that they agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pestle.records.base import Part
from pestle.records.old_sets import is_old
from pestle.records.set_errors import LOST_BY, WORSE_BY, SetErrors, where_worse
from pestle.records.verdict import Finding
from pestle.typed import command, qualify_commands, short
from pestle.wording import counted, figure

#: Kind of trouble → its title.
TITLES = {
    "start": "nothing learned",
    "worse": "worse than the foundation",
    "lost": "worse than before on old sets",
    "unfinished": "not converged",
}


#: Title of the warning of lost breadth.
BREADTH_LOST = "BREADTH LOST"


class Breadth(Part):
    """Measured changes of predictions on broad structures; all `None` if nothing was measured.

    Attributes:
        drift: RMS difference between forces of the kept model and of the foundation on broad
            structures, meV/Å.
        drift_structures: number of these structures.
        replay: force RMSE of the replay head on held-out replay structures, meV/Å.
        replay_foundation: the same for the foundation; `None` if the foundation made the labels.
        replay_structures: number of these structures.
        warning: what was lost, if it is much, and what helps; left out if it is not.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"warning"})

    drift: float | None = None
    drift_structures: int | None = None
    replay: float | None = None
    replay_foundation: float | None = None
    replay_structures: int | None = None
    warning: str | None = None

    @property
    def words(self) -> str:
        """The measured changes in words; empty if there are none."""
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
    """Reason why the model is of little use.

    Attributes:
        kind: `start`: the kept model is the starting model; `worse`: it is worse than the
            foundation on some set; `lost`: it is worse than the model that was continued, on the
            old sets alone; `unfinished`: it was still improving when the run ended.
        what: what is wrong, as a clause.
        reason: the likely reason, as a clause.
        advice: what to do about it, as a sentence without full stop.
        settings: NAME=VALUE for a better run; empty if settings alone cannot help.
        goes_on: whether this run can be resumed with these settings; otherwise they are for a new
            run.
    """

    kind: Literal["start", "worse", "lost", "unfinished"]
    what: str
    reason: str
    advice: str
    settings: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def sentence(self) -> str:
        """What is wrong and the likely reason, in words."""
        return f"{self.what}. Likely reason: {self.reason}."


class EndingInWords(Part):
    """How a run ended, for the card of its model.

    Attributes:
        warning: what is wrong with the model; left out if nothing is.
        learned: errors on the most informative set.
        kept: errors on the sets of continued runs; left out if there are none.
        breadth: measured changes of predictions on broad structures; left out if there are none.
    """

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset({"warning", "kept", "breadth"})

    warning: str | None = None
    learned: str
    kept: str | None = None
    breadth: str | None = None


class Ending(Part):
    """How a run ended.

    Attributes:
        method: method of the run.
        from_scratch: whether training started with random weights.
        foundation: the first foundation as the user types it; not the model of a run that was
            continued, which may have lost breadth already.
        scope: purpose of the model, if the user gave it.
        best_epoch: epoch of the kept model.
        sets: sets with labels, the most informative one first.
        breadth: measured changes of predictions on broad structures.
        trouble: reason why the model is of little use; `None` if there is none.
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
        """Errors on the most informative set, in words."""
        new = [one for one in self.sets if not is_old(one.name)]
        if self.trouble is not None and self.trouble.kind == "start":
            found = f" ({new[0].own_words})" if new else ""
            return f"nothing, the kept model is the starting model{found}"
        if not new:
            return "no set has labels to judge it by"
        # The most informative set is first; if it is `train`, there are no unseen frames.
        seen = "; no error is on unseen frames" if new[0].name == "train" else ""
        return f"{new[0].words}{seen}"

    @property
    def kept(self) -> str:
        """Errors on all sets of continued runs, in words; empty without such sets."""
        return "; ".join(one.words for one in self.sets if is_old(one.name))

    @property
    def warning(self) -> str:
        """Warning that is shown first; empty if nothing is wrong. What to do is in `next`."""
        if self.trouble is None:
            return ""
        return f"{self.headline}: {self.trouble.sentence}"

    @property
    def warnings(self) -> list[str]:
        """That warning, and the one of lost breadth."""
        lost = f"{BREADTH_LOST}: {self.breadth.warning}" if self.breadth.warning else ""
        return [text for text in (self.warning, lost) if text]

    @property
    def title(self) -> str:
        """What is wrong in a few words, such as `worse than the foundation in energies`; empty if
        nothing is.
        """
        if self.trouble is None:
            return ""
        where = where_worse(self.sets) if self.trouble.kind == "worse" else ""
        return f"{TITLES[self.trouble.kind]} {where}".rstrip()

    @property
    def headline(self) -> str:
        """The title in capitals; what it is about keeps its letters, as a set has a name."""
        if self.trouble is None:
            return ""
        known = TITLES[self.trouble.kind]
        return known.upper() + self.title.removeprefix(known)

    def cost(self, run: Path) -> str:
        """Return what the run cost in breadth, or the command that measures it.

        Args:
            run: the run folder as the user types it.
        """
        if self.from_scratch:
            return "none to lose: training began with random weights"
        if self.breadth.drift is not None:
            return self.breadth.words
        against = short(self.foundation)
        measure = command(["pestle", "probe", "forgetting", run, "--against", against])
        measure = f"to measure it: {measure}"
        if self.breadth.words:
            return f"{self.breadth.words}; the target head was not measured, {measure}"
        return f"not measured; {measure}"

    def next(self, run: Path) -> str:
        """Return what to do next: commands, one on a line, or words.

        Args:
            run: the run folder as the user types it.
        """
        if self.trouble is None:
            return qualify_commands(run, self.scope)
        if not self.trouble.settings:
            return self.trouble.advice
        changed = [word for text in self.trouble.settings for word in ("--set", text)]
        words: list[str | Path] = ["pestle", "finetune"]
        if self.trouble.goes_on:
            words += ["--resume", "-o", run, *changed]
        else:
            words += [run / "run.yaml", *changed, "-o", f"{run}-next"]
        return command(words, self.trouble.advice)

    def for_card(self) -> EndingInWords:
        """Return the texts for the card of the model, which does not need the run folder."""
        return EndingInWords(
            warning=" ".join(self.warnings) or None,
            learned=self.learned,
            kept=self.kept or None,
            breadth=self.breadth.words or None,
        )

    def lines(self, run: Path) -> dict[str, str]:
        """Return the lines at the end of a run, by topic.

        There are three of them, and a fourth (`kept`) if the run continues another one.

        Args:
            run: the run folder as the user types it.
        """
        old = {"kept": self.kept} if self.kept else {}
        return {"learned": self.learned, **old, "breadth": self.cost(run), "next": self.next(run)}

    @property
    def finding(self) -> Finding | None:
        """The concern for a verdict; `None` if nothing is wrong.

        It belongs to the protocol `errors`, which every scope needs.
        """
        if self.trouble is None:
            return None
        if self.trouble.kind == "start":
            quantity, limit = "epoch of the kept model", "concern at 0"
            return Finding("errors", "concern", quantity, 0.0, "", limit, self.warning)
        if self.trouble.kind == "unfinished":
            quantity, limit = "training", "concern while it still improves"
            return Finding("errors", "concern", quantity, None, "", limit, self.warning)
        quantity, unit = "largest error against the foundation's", "of the foundation's"
        least = 1 + WORSE_BY
        if self.trouble.kind == "lost":
            quantity, unit = "largest error on old sets against that before", "of that before"
            least = 1 + LOST_BY
        limit = f"concern from {least:g} {unit}"
        ratios = [ratio for one in self.sets for ratio in one.worse.values()]
        value = None if any(one.lost for one in self.sets) else max(ratios)
        return Finding("errors", "concern", quantity, value, unit, limit, self.warning)
