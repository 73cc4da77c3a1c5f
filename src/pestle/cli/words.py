"""Changes to the typed words before the parser of the command line reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Options that take several names with a value.
SEVERAL = ("--set", "--only")
#: `train.lr=1e-4`: a name as settings have, and a value.
_SETTING = re.compile(r"[A-Za-z_]\w*(\.\w+)*=")


def one_each(words: Sequence[str]) -> list[str]:
    """Give every setting a `--set` of its own, and every value of an axis an `--only`.

    People type `--set a=1 b=2`, but an option of the parser takes one value.

    Args:
        words: words as typed, without the name of the program.

    Returns:
        The words with the added options.
    """
    found: list[str] = []
    option = ""  # the one that the word before is, or is a value of
    for place, word in enumerate(words):
        if word == "--":  # all words after it are files, whatever their names
            return [*found, *words[place:]]
        value = bool(option) and found[-1] == option
        further = bool(option) and not value and bool(_SETTING.match(word))
        if further:
            found.append(option)
        found.append(word)
        if not (value or further):
            option = next((o for o in SEVERAL if word == o or word.startswith(f"{o}=")), "")
    return found
