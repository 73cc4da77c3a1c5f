"""The one error type that is meant for the user's eyes."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class PestleError(Exception):
    """A mistake the user can mend: what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with code 2; nothing else of Pestle catches it.

    Args:
        what: what is wrong, as a full clause.
        where: file and frame number, or the name of a setting.
        fix: what to do about it.
    """

    #: Of the command line.
    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.line)

    @property
    def line(self) -> str:
        """The error on one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.fix:
            text = f"{text.rstrip('.')}. {self.fix}"
        return " ".join(text.split())


class Interrupted(Exception):
    """The user or the queue stopped a run between two updates; its checkpoint is written."""

    def __init__(self, by: str, folder: str) -> None:
        self.by, self.folder = by, folder
        again = f"pestle finetune --resume -o {shlex.quote(folder)}"
        super().__init__(f"stopped by {by}; go on with: {again}")


#: Names less alike than this (difflib's ratio) are no slips of the pen: in four letters one may be
#: wrong, in eight two.
ALIKE = 0.75
#: Letters that a beginning needs to point to a name.
MIN_BEGINNING = 4


def near_name(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty where none is near."""
    ratios = {other: _likeness(name.lower(), other.lower()) for other in known if other != name}
    best = max(ratios, key=lambda other: ratios[other], default="")
    return best if ratios.get(best, 0.0) >= ALIKE else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the nearest known name, or an empty string where none is near."""
    best = near_name(name, known)
    return f" Did you mean '{best}'?" if best else ""


def _likeness(name: str, other: str) -> float:
    """How alike two names are, 0 to 1. An ending that both share (.xyz) counts for nothing, and a
    name that only goes on (medium-omat, medium-omat-0) is near."""
    stem, dot, ending = name.rpartition(".")
    if dot and stem and other.endswith(dot + ending):
        name, other = stem, other.removesuffix(dot + ending)
    if len(name) >= MIN_BEGINNING and other.startswith(name):
        return 1.0
    return difflib.SequenceMatcher(None, name, other).ratio()
