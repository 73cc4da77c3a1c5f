"""Commands in lines of advice, such as `next` at the end of a run: they can be typed as they stand.

A remark stands after `#`, where a shell takes no notice of it. Where there is a choice, each
command has a line of its own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

#: Between a command and a remark on it.
REMARK = "   # "
#: Scope → the question that its qualification answers.
ASKED_BY_SCOPE = {
    "narrow": "is it fit for configurations like its data?",
    "broad": "and for others, too?",
}


def command(words: Sequence[str | Path], remark: str = "") -> str:
    """Return a command line that a shell accepts.

    Args:
        words: the words of the command, unquoted.
        remark: what it is good for.
    """
    line = shlex.join(map(str, words))
    return f"{line}{REMARK}{remark}" if remark else line


def qualify_commands(model: str | Path, scope: str | None) -> str:
    """Return the command that qualifies a model; without a scope, that of each scope on a line.

    Args:
        model: the model as the user types it.
        scope: what it will be used for; `None` if that is not known.
    """
    if scope is not None:
        return command(["pestle", "qualify", model, "--scope", scope], "is it fit for its use?")
    return "\n".join(
        command(["pestle", "qualify", model, "--scope", name], asked)
        for name, asked in ASKED_BY_SCOPE.items()
    )


def short(name: str) -> str:
    """Return a path for the current folder; relative if that is shorter.

    Args:
        name: a path, or another name, which is returned as it is.
    """
    if not Path(name).is_absolute():
        return name
    return min(name, os.path.relpath(name), key=len)


def parts_of(text: str) -> list[tuple[str, str]]:
    """Return the command and the remark of each line; a line of words is a remark only.

    Args:
        text: lines of advice.
    """
    parts = []
    for line in text.splitlines():
        typed, _, remark = line.partition(REMARK)
        parts.append((typed, remark) if line.startswith("pestle ") else ("", line))
    return parts


def under(about: str, text: str, width: int) -> str:
    """Return `about: text`, with the lines of the text below each other.

    Args:
        about: what the text is about.
        text: one line, or several.
        width: column at which the text begins, at least.
    """
    head = f"{about}: ".ljust(width)
    return head + text.replace("\n", "\n" + " " * len(head))
