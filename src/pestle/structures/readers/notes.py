"""Notes of a reader about a file: what it left out, and what it converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Number of files named in one line; their total number is always given.
_FILES_NAMED = 3


@dataclass
class Notes:
    """Sentences about the files of a data set, each with the number of cases in each file.

    Attributes:
        left_out: things that are in a file and not in the data, which the user must know.
        read_as: things that were converted, for information.
        doubts: things that were read and may be wrong.
    """

    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    read_as: dict[str, Counter[str]] = field(default_factory=dict)
    doubts: dict[str, Counter[str]] = field(default_factory=dict)

    def leave_out(self, what: str, path: Path, count: int = 1) -> None:
        """Note things that were left out.

        Args:
            what: a sentence about them, e.g. "steps without forces were left out".
            path: the file.
            count: their number.
        """
        self.left_out.setdefault(what, Counter())[str(path)] += count

    def take_as(self, what: str, path: Path, count: int = 1) -> None:
        """Note things that were converted.

        Args:
            what: a sentence about them, e.g. "energies were converted to eV".
            path: the file.
            count: their number.
        """
        self.read_as.setdefault(what, Counter())[str(path)] += count

    def doubt(self, what: str, path: Path, count: int = 1) -> None:
        """Note things that may be wrong.

        Args:
            what: a sentence about them, e.g. "frames have no cell".
            path: the file.
            count: their number.
        """
        self.doubts.setdefault(what, Counter())[str(path)] += count

    def add(self, other: Notes) -> None:
        """Add the notes about other files."""
        for name in ("left_out", "read_as", "doubts"):
            for text, files in getattr(other, name).items():
                getattr(self, name).setdefault(text, Counter()).update(files)

    def of(self, path: Path) -> list[str]:
        """Return what was left out of one file, one line each, without the name of the file."""
        return [f"{text} ({files[str(path)]})" for text, files in self.left_out.items()
                if str(path) in files]  # fmt: skip

    def lines(self) -> list[str]:
        """Return all notes, one line each."""
        return note_lines({**self.left_out, **self.doubts, **self.read_as})


def note_lines(notes: Mapping[str, Counter[str]]) -> list[str]:
    """Return one line per sentence, with its number of cases and its files.

    Args:
        notes: sentence → file → number of cases.
    """
    lines = []
    for text, files in notes.items():
        named = ", ".join(list(files)[:_FILES_NAMED])
        more = len(files) - _FILES_NAMED
        where = named + (f" and {more} more files" if more > 0 else "")
        lines.append(f"{text} ({files.total()} in {where})")
    return lines
