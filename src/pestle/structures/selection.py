"""Selection of frames by their metadata: `head=pbe`, `charge=0`, `config_type=bulk,surface`.

A key is `head`, `config_type`, `charge`, `spin`, or any entry of the comment line (`functional`,
`kpts`, …). A missing entry has the value `absent`; a missing head is Default, a missing charge 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pestle.errors import PestleError, nearest
from pestle.structures.frame import Frame

#: Head of frames that name none, as in mace.
DEFAULT_HEAD = "Default"
#: Value of an entry that a frame does not have.
ABSENT = "absent"
#: Selection of all frames, which also declares that they belong to one potential energy surface.
ALL = "all"
OWN_KEYS = ("head", "config_type", "charge", "spin")
#: Spellings of the entries for charge and spin.
SPELLINGS = {
    "charge": ("total_charge", "charge"),
    "spin": ("total_spin", "spin", "multiplicity", "spin_multiplicity"),
}
_SHOWN = 8


@dataclass(frozen=True)
class Selection:
    """Conditions that a selected frame must all fulfil.

    Attributes:
        conditions: pairs of a key and its allowed values.
        mixed: whether the user declared that all frames belong to one potential energy surface.
    """

    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    mixed: bool = False

    @classmethod
    def of(cls, texts: Sequence[str]) -> Selection:
        """Read conditions `KEY=VALUE` or `KEY=VALUE,VALUE`, or the single word `all`.

        Raises:
            PestleError: a text is neither.
        """
        if list(texts) == [ALL]:
            return cls(mixed=True)
        conditions = []
        for text in texts:
            key, separator, words = text.partition("=")
            values = tuple(word.strip() for word in words.split(",") if word.strip())
            if not separator or not values:
                raise PestleError(
                    f"'{text}' is not KEY=VALUE",
                    where="data.select",
                    fix="Write head=pbe, or config_type=bulk,surface for several values"
                    + (f"; {ALL} stands alone." if text == ALL else "."),
                )
            conditions.append((_own_name(key.strip()), values))
        return cls(tuple(conditions))

    def require(self, frames: Sequence[Frame]) -> None:
        """Check that every key and value occurs.

        Args:
            frames: all frames that were read.

        Raises:
            PestleError: one does not occur; the message names similar ones, and those that occur.
        """
        for key, values in self.conditions:
            known = keys_of(frames)
            if key not in known:
                raise PestleError(
                    f"no frame has an entry '{key}'",
                    where="data.select",
                    fix=f"{nearest(key, known)} There are {', '.join(known)}.".lstrip(),
                )
            words = Counter(word_of(f, key) for f in frames if not _stays(f, key))
            for value in values:
                if not any(same_word(value, word) for word in words):
                    listed = ", ".join(f"{word} ({n})" for word, n in words.most_common(_SHOWN))
                    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
                    raise PestleError(
                        f"no frame has {key}={value}",
                        where="data.select",
                        fix=f"{nearest(value, words)} Values of {key}, with the number of frames: "
                        f"{listed}{more}.".lstrip(),
                    )

    def keep(self, frames: Sequence[Frame]) -> list[Frame]:
        """Return the frames that fulfil every condition, in their order.

        Charge, spin and config_type of isolated atoms differ from the others, so these conditions
        do not apply to isolated atoms.
        """
        return [
            f
            for f in frames
            if all(
                _stays(f, key) or any(same_word(v, word_of(f, key)) for v in values)
                for key, values in self.conditions
            )
        ]


def keys_of(frames: Sequence[Frame]) -> list[str]:
    """Return the keys for a selection: Pestle's own, then those of the comment lines."""
    found: dict[str, None] = dict.fromkeys(OWN_KEYS)
    for frame in frames:
        found.update(dict.fromkeys(_own_name(key) for key in frame.atoms.info))
    return list(found)


def word_of(frame: Frame, key: str) -> str:
    """Return the value of a key of a frame as text.

    Args:
        frame: the frame.
        key: the key.

    Returns:
        The text; `absent` if the frame does not have the key.
    """
    if key == "head":
        return frame.head or DEFAULT_HEAD
    if key == "config_type":
        return frame.config_type
    if key in SPELLINGS:
        value: Any = getattr(frame, key)
        for name in SPELLINGS[key]:
            value = frame.atoms.info.get(name) if value is None else value
        if value is None and key == "charge":
            value = 0
        return ABSENT if value is None else _text(value)
    value = frame.atoms.info.get(key)
    return ABSENT if value is None else _text(value)


def same_word(asked: str, word: str) -> bool:
    """Whether two texts are equal as numbers, or as text without regard to case."""
    return _normal(asked) == _normal(word)


def _normal(word: str) -> Any:
    try:
        return float(word)
    except ValueError:
        return "x".join(word.lower().replace("x", " ").split())


def _text(value: Any) -> str:
    """Return a value of a comment line as one word; a grid of k-points as 4x4x4."""
    if isinstance(value, str):
        return value.strip() or ABSENT
    array = np.asarray(value)
    if array.dtype.kind in "iuf":
        return "x".join(f"{x:.10g}" for x in array.ravel().tolist())
    return str(value)


def _own_name(key: str) -> str:
    """Return the common name of the different spellings of charge and spin."""
    return next((own for own, names in SPELLINGS.items() if key in names), key)


def _stays(frame: Frame, key: str) -> bool:
    return key in ("charge", "spin", "config_type") and frame.is_isolated_atom
