"""The one error type that is meant for the user's eyes."""

from __future__ import annotations

import difflib
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
        super().__init__(f"stopped by {by}; go on with: pestle finetune --resume -o {folder}")


def nearest(name: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the nearest known name, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""
