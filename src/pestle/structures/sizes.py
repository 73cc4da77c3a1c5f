"""Check, before reading, that an extended XYZ file is large enough for the atoms in its headers.

A reader trusts the numbers of atoms and columns in a header, and needs time and memory for them.
"""

from __future__ import annotations

import re
from pathlib import Path

from pestle.errors import PestleError

#: Frames with fewer numbers than this are not checked: reading them costs little, and the reader
#: reports what is missing.
_MANY = 1_000_000
#: Columns of a frame without `Properties`: symbol, x, y, z.
_PLAIN_COLUMNS = 4
_PROPERTIES = re.compile(rb"""Properties\s*=\s*["'{]?([^\s"'}]+)""")


def require_room_for_atoms(path: Path) -> None:
    """Check that the atoms of every frame fit into the rest of the file.

    Each column needs at least one character.

    Raises:
        PestleError: the atoms of a frame do not fit; the message names the frame.
    """
    size, index = path.stat().st_size, 0
    with path.open("rb") as stream:
        while line := stream.readline():
            try:
                count = int(line)
            except ValueError:  # the end of the file, or an error that the reader reports
                return
            columns = _columns(stream.readline())
            few = 0 <= count * columns < _MANY
            if not few and not 0 <= count * 2 * columns - 1 <= size - stream.tell():
                raise PestleError(
                    f"cannot be read (it claims {count:,} atoms of {columns:,} columns, and the "
                    f"file holds {size - stream.tell():,} bytes more)",
                    where=f"{path} frame {index}",
                    fix="Check that frame; is the file cut off?",
                )
            for _ in range(count):
                stream.readline()
            index += 1


def _columns(comment: bytes) -> int:
    found = _PROPERTIES.search(comment)
    if found is None:
        return _PLAIN_COLUMNS
    counts = found[1].split(b":")[2::3]
    return max(1, sum(int(count) for count in counts if count.isdigit()))
