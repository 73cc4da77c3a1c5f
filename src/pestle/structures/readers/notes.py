"""What a reader has to say of a file beside its structures: what it left out, what it took for
something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Files named in one line; the full number is always given beside them.
_FILES_NAMED = 3


@dataclass
class Notes:
    """Sentences about the files of a data set, each with how often it holds in which file.

    Attributes:
        left_out: what was in a file and is not in the data; a user must know it.
        read_as: what was read otherwise than it stands in the file; worth knowing.
        doubts: what was read, and may be wrong.
    """

    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    read_as: dict[str, Counter[str]] = field(default_factory=dict)
    doubts: dict[str, Counter[str]] = field(default_factory=dict)

    def leave_out(self, what: str, path: Path, count: int = 1) -> None:
        """`what` is a sentence about `count` things: "steps without forces were left out"."""
        self.left_out.setdefault(what, Counter())[str(path)] += count

    def take_as(self, what: str, path: Path, count: int = 1) -> None:
        """`what` is a sentence about `count` things: "energies were converted to eV"."""
        self.read_as.setdefault(what, Counter())[str(path)] += count

    def doubt(self, what: str, path: Path, count: int = 1) -> None:
        """`what` is a sentence about `count` things: "frames have no cell"."""
        self.doubts.setdefault(what, Counter())[str(path)] += count

    def add(self, other: Notes) -> None:
        """Take over what another set of files has."""
        for name in ("left_out", "read_as", "doubts"):
            for text, files in getattr(other, name).items():
                getattr(self, name).setdefault(text, Counter()).update(files)

    def of(self, path: Path) -> list[str]:
        """What was left out of one file, one line each, without its name."""
        return [f"{text} ({files[str(path)]})" for text, files in self.left_out.items()
                if str(path) in files]  # fmt: skip

    def lines(self) -> list[str]:
        """All of it, one line each."""
        return note_lines({**self.left_out, **self.doubts, **self.read_as})


def note_lines(notes: Mapping[str, Counter[str]]) -> list[str]:
    """One line per sentence with its count and its files."""
    lines = []
    for text, files in notes.items():
        named = ", ".join(list(files)[:_FILES_NAMED])
        more = len(files) - _FILES_NAMED
        where = named + (f" and {more} more files" if more > 0 else "")
        lines.append(f"{text} ({files.total()} in {where})")
    return lines
