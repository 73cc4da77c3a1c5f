"""Raw results as typed records: a class names its arrays once, for the writer and the reader.

    @dataclass(frozen=True)
    class Curve(Arrays):
        distance: Annotated[np.ndarray, Shape("points")]
        forces: Annotated[np.ndarray, Shape("points", 3)]
        steps: int

An entry with a default may be missing in a file, because earlier versions did not write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, get_args, get_origin, get_type_hints

import numpy as np

from pestle.errors import PestleError
from pestle.files import Damaged

#: Entry of a file that contains the number of its format. A file without it has format 1.
FORMAT = "format"
#: Type of the elements → numpy's kinds that are read as such.
_KINDS = {float: "fiu", int: "iu", bool: "b", str: "U"}


class Shape:
    """Declares the shape of an array.

    Args:
        axes: length of each axis. A name stands for a length that all arrays of the record with
            this name share.
        of: type of the elements: float, int, bool or str.
    """

    def __init__(self, *axes: int | str, of: type = float) -> None:
        self.axes, self.of = axes, of


@dataclass(frozen=True)
class _Entry:
    """An entry of a record: an array (`shape`), a number or text (`kind`), or a record for each of
    several numbered things (`each`).
    """

    name: str
    required: bool
    kind: Any
    shape: Shape | None
    each: type[Arrays] | None


@dataclass(frozen=True)
class Arrays:
    """Base class of raw results.

    An entry is an array with its `Shape`, an int, float, bool or str, or a `dict[int, KIND]` with a
    record for each of several numbered things. A file contains the entries of these as
    `NAME_NUMBER`.

    Raises:
        ValueError: an array has the wrong shape or elements.
    """

    #: Format of the file; raised if the meaning of an entry changes.
    PRESENT: ClassVar[int] = 1

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for entry in self._entries():
            if entry.shape is None:
                continue
            value: np.ndarray = getattr(self, entry.name)
            if value.dtype.kind not in _KINDS[entry.shape.of]:
                raise ValueError(f"'{entry.name}' has elements of the type {value.dtype}")
            wanted = tuple(
                lengths.setdefault(axis, length) if isinstance(axis, str) else axis
                for axis, length in zip(entry.shape.axes, value.shape, strict=False)
            )
            if len(entry.shape.axes) != value.ndim or wanted != value.shape:
                shape = " × ".join(map(str, entry.shape.axes))
                raise ValueError(f"'{entry.name}' has the shape {value.shape} and not {shape}")

    @classmethod
    def _entries(cls) -> list[_Entry]:
        if cls not in _ENTRIES:
            _ENTRIES[cls] = _entries_of(cls)
        return _ENTRIES[cls]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return name → array, as a file contains them, without the format."""
        found: dict[str, np.ndarray] = {}
        for entry in self._entries():
            value = getattr(self, entry.name)
            if entry.each is None:
                found[entry.name] = np.asarray(value)
                continue
            for number, one in value.items():
                found |= {f"{name}_{number}": part for name, part in one.to_arrays().items()}
        return found

    @classmethod
    def lacks(cls, stored: Mapping[str, np.ndarray]) -> list[str]:
        """Return the names of the required entries that a file does not contain."""
        return [e.name for e in cls._entries() if e.required and e.name not in stored]

    @classmethod
    def of(cls, stored: Mapping[str, np.ndarray], where: str) -> Self:
        """Make the record from the content of a file.

        Args:
            stored: name → array.
            where: name of the file, for errors.

        Raises:
            Damaged: an array is missing, or has the wrong shape or elements.
            PestleError: a newer version wrote it.
        """
        number = int(stored.get(FORMAT, 1))
        if number > cls.PRESENT:
            raise PestleError(
                f"was written by a newer Pestle: its format is {number}, and this one reads up to "
                f"{cls.PRESENT}",
                where=where,
                fix="Update Pestle.",
            )
        fix = "Remove the folder of this file; the test is then calculated again."
        missing = cls.lacks(stored)
        if missing:
            names = ", ".join(f"'{name}'" for name in missing)
            raise Damaged(f"contains no array {names}", where=where, fix=fix)
        content: dict[str, Any] = {}
        for entry in cls._entries():
            if entry.each is not None:
                content[entry.name] = _numbered(entry.each, stored, where)
            elif entry.name in stored:
                value = stored[entry.name]
                content[entry.name] = value if entry.shape is not None else entry.kind(value)
        try:
            return cls(**content)
        except ValueError as error:
            raise Damaged(f"its array {error}", where=where, fix=fix) from error

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Join records along the first axis of their arrays; other entries are those of the last.

        Args:
            parts: one record or more.
        """
        content: dict[str, Any] = {}
        for entry in cls._entries():
            values = [getattr(part, entry.name) for part in parts]
            content[entry.name] = values[-1] if entry.shape is None else np.concatenate(values)
        return cls(**content)


#: Class → its entries. A trajectory is made of many small records.
_ENTRIES: dict[type[Arrays], list[_Entry]] = {}


def _entries_of(cls: type[Arrays]) -> list[_Entry]:
    kinds, found = get_type_hints(cls, include_extras=True), []
    for field in fields(cls):
        kind = kinds[field.name]
        shape = next((part for part in get_args(kind) if isinstance(part, Shape)), None)
        each = get_args(kind)[1] if get_origin(kind) is dict else None
        required = field.default is MISSING and each is None
        found.append(_Entry(field.name, required, kind, shape, each))
    return found


def _numbered(
    kind: type[Arrays], stored: Mapping[str, np.ndarray], where: str
) -> dict[int, Arrays]:
    """Read the records of several numbered things from a file that contains them all."""
    known = {field.name for field in fields(kind)}
    by_number: dict[int, dict[str, np.ndarray]] = {}
    for key, value in stored.items():
        name, _, number = key.rpartition("_")
        if name in known and number.isdecimal():
            by_number.setdefault(int(number), {})[name] = value
    return {number: kind.of(own, where) for number, own in by_number.items()}
