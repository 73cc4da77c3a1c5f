"""The error that is shown to the user, and hints for misspelt names."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable


class PestleError(Exception):
    """An error that the user can correct: what is wrong, where, and what to do about it.

    The command line prints it as one line and exits with code 2; nothing else of Pestle catches it.

    Args:
        what: what is wrong, as a full clause.
        where: file and frame number, or the name of a setting.
        fix: what to do about it.
    """

    #: Exit code of the command line.
    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(self.line)

    @property
    def line(self) -> str:
        """The error on one line."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.fix:
            end = "" if text.endswith(("?", "!")) else "."
            text = f"{text.rstrip('.')}{end} {self.fix}"
        return " ".join(text.split())


class Interrupted(Exception):
    """The user or the queue stopped a run between two updates; its checkpoint is written."""

    def __init__(self, by: str, folder: str) -> None:
        self.by, self.folder = by, folder
        again = f"pestle finetune --resume -o {shlex.quote(folder)}"
        super().__init__(f"stopped by {by}; go on with: {again}")


#: Least likeness (difflib's ratio) of a misspelt name and the name that was meant: one of four
#: letters may be wrong, two of eight.
ALIKE = 0.75
#: Least number of letters of a name that was not typed to its end.
MIN_BEGINNING = 4


def near_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant; empty if none is similar.

    Args:
        name: the name that was typed.
        known: all names that there are.
    """
    ratios = {other: _likeness(name.lower(), other.lower()) for other in known if other != name}
    best = max(ratios, key=lambda other: ratios[other], default="")
    return best if ratios.get(best, 0.0) >= ALIKE else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the most similar known name; empty if none is similar.

    Args:
        name: the name that was typed.
        known: all names that there are.
    """
    best = near_name(name, known)
    return f" Did you mean '{best}'?" if best else ""


def _likeness(name: str, other: str) -> float:
    """Return the likeness of two names, 0 to 1.

    An ending that both share (.xyz) does not count. A name that is the beginning of the other one
    (medium-omat, medium-omat-0) is as good as equal.
    """
    stem, dot, ending = name.rpartition(".")
    if dot and stem and other.endswith(dot + ending):
        name, other = stem, other.removesuffix(dot + ending)
    if len(name) >= MIN_BEGINNING and other.startswith(name):
        return 1.0
    return difflib.SequenceMatcher(None, name, other).ratio()
