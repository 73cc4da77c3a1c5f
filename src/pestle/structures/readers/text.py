"""Text files with any encoding and line ends, and with Fortran's numbers."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path

from ase.io.formats import open_with_compression

from pestle.errors import PestleError

# Every such number contains this. It is searched first, because this search is fast.
_HINT = re.compile(r"\d\.?[dD][+-]?\d|\d[+-]\d{3}")

#: Number of lines that a reader may request after the end of a file.
_PATIENCE = 1000

#: Byte-order marks and their encodings, the longest first (UTF-32's begins with UTF-16's).
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Fortran writes 1.0D-03, and 0.123-102 if an exponent of three digits leaves no room for a letter.
# It always writes a decimal point, which distinguishes such numbers from names like 2D1.
_LETTER_D = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d+)(?![\w.])")
_NO_LETTER = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d+|\.\d+))([+-]\d{3})(?![\w.])")


class EndingOnce(io.TextIOWrapper):
    """A text file that raises an error if a reader keeps reading after its end.

    ASE's reader of CP2K's restart files does this if a section is missing.
    """

    _at_end = 0

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        """Read a line; after `_PATIENCE` lines beyond the end an `EOFError` is raised."""
        line = super().readline(-1 if size is None else size)
        if not line:
            self._at_end += 1
            if self._at_end > _PATIENCE:
                raise EOFError("the file ends before what its reader looks for")
        return line


def read_bytes(path: Path, count: int = -1) -> bytes:
    """Return the first bytes of a file, decompressed if necessary.

    Args:
        path: the file.
        count: number of bytes; all by default.
    """
    with open_with_compression(str(path), "rb") as stream:
        data: bytes = stream.read(count)
    return data


def decode(data: bytes, where: str) -> str:
    """Decode bytes as text by their byte-order mark, otherwise as UTF-8 or Latin-1.

    Args:
        data: the bytes.
        where: the file, for messages.

    Returns:
        The text, with line feeds as line ends.

    Raises:
        PestleError: the bytes are not text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data.decode(encoding, errors="replace")
            break
    else:
        if b"\0" in data:
            raise PestleError("is not text, although its name says so", where=where)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> str:
    """Read a whole file as text.

    Raises:
        PestleError: it is not text.
    """
    return decode(read_bytes(path), str(path))


def plain_numbers(text: str) -> str:
    """Write Fortran's numbers 1.0D-03 and 0.1-102 as 1.0E-03 and 0.1E-102."""
    if not _HINT.search(text):
        return text
    text = _LETTER_D.sub(r"\1E\2", text)
    return _NO_LETTER.sub(r"\1E\2", text)
