"""What was typed, before the parser of the command line sees it."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The option that takes several settings.
SET = "--set"
#: `train.lr=1e-4`: a name as settings have, and a value.
_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


def one_each(words: Sequence[str]) -> list[str]:
    """Words of a command line in which every setting has a `--set` of its own.

    `--set a=1 b=2` is what people type; an option of the parser takes one value.

    Args:
        words: as typed, without the program's name.
    """
    found: list[str] = []
    goes_on = False  # whether the word before is a --set or a value of one
    for place, word in enumerate(words):
        if word == "--":  # what follows are files, whatever they are called
            return [*found, *words[place:]]
        value = goes_on and found[-1] == SET
        further = goes_on and not value and bool(_SETTING.match(word))
        if further:
            found.append(SET)
        found.append(word)
        goes_on = value or further or word == SET or word.startswith(f"{SET}=")
    return found
