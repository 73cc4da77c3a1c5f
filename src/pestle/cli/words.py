"""Changes to the typed words before the parser of the command line reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The option that takes several settings.
SET = "--set"
#: `train.lr=1e-4`: a name as settings have, and a value.
_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


def one_each(words: Sequence[str]) -> list[str]:
    """Give every setting a `--set` of its own.

    People type `--set a=1 b=2`, but an option of the parser takes one value.

    Args:
        words: words as typed, without the name of the program.

    Returns:
        The words with the added `--set`.
    """
    found: list[str] = []
    goes_on = False  # whether the word before is a --set or a value of one
    for place, word in enumerate(words):
        if word == "--":  # all words after it are files, whatever their names
            return [*found, *words[place:]]
        value = goes_on and found[-1] == SET
        further = goes_on and not value and bool(_SETTING.match(word))
        if further:
            found.append(SET)
        found.append(word)
        goes_on = value or further or word == SET or word.startswith(f"{SET}=")
    return found
