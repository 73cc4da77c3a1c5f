"""Lines on the data: content of each split, and how the files were read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.checks.report import CheckFinding
from pestle.checks.summary import summary_of
from pestle.records.data import DataFinding, SplitSummary
from pestle.structures.frame import Frame
from pestle.wording import counted

#: Notes of the checks on how files were read, and on how few frames there are. Warnings of the
#: checks are listed with all warnings.
OF_READING = ("not-read", "read-as", "two-energies", "few-frames")


def read_lines(splits: Mapping[str, Sequence[Frame]]) -> list[str]:
    """Return one line for each split after it was read.

    Args:
        splits: name of the split → frames.
    """
    found = summary_of(splits, {}, None)["splits"]
    return [
        f"read {name + ':':<6} {split_line(SplitSummary.model_validate(summary)).lstrip()}"
        for name, summary in found.items()
    ]


def reading_notes(notes: Sequence[CheckFinding | DataFinding]) -> list[str]:
    """Return what was not read from the files, or was read under another name.

    Args:
        notes: notes of the checks.
    """
    said = [item for item in notes if item.code in OF_READING]
    return [f"{item.message}. {item.fix}".rstrip() for item in said]


def split_line(summary: SplitSummary) -> str:
    """Return the numbers of frames and atoms, the elements and the labels of a split."""
    size = ""
    if summary.n_atoms is not None:
        low, high = summary.n_atoms.min, summary.n_atoms.max
        size = f" of {counted(low, 'atom')}" if low == high else f" of {low}–{high} atoms"
    elements = " ".join(summary.elements)
    alone = summary.n_isolated_atoms
    atoms = f" and {counted(alone, 'isolated atom')}" if alone else ""
    frames = f"{counted(summary.n_frames - alone, 'frame'):>12}{size}{atoms}"
    return f"{frames}; {elements}; labels: {summary.labels_in_words}"
