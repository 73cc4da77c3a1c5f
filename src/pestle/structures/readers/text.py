"""Text files as people have them: any encoding, any line ends, Fortran's numbers."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path

from ase.io.formats import open_with_compression

from pestle.errors import PestleError

# What any such number holds; it is looked for first because it is found, or not, quickly.
_HINT = re.compile(r"\d\.?[dD][+-]?\d|\d[+-]\d{3}")

#: How often a reader may ask for a line behind the end of a file.
_PATIENCE = 1000

#: Byte-order marks, longest first (UTF-32's begins with UTF-16's), and what they announce.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Fortran writes 1.0D-03, and 0.123-102 where an exponent of three digits leaves no room for a
# letter. The decimal point, which it always writes, tells such numbers from names like 2D1.
_LETTER_D = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d*|\.\d+))[dD]([+-]?\d+)(?![\w.])")
_NO_LETTER = re.compile(r"(?<![\w.])([+-]?(?:\d+\.\d+|\.\d+))([+-]\d{3})(?![\w.])")


class EndingOnce(io.TextIOWrapper):
    """A text file whose end is an error to whoever reads on and on behind it, as ASE's reader of
    CP2K's restart files does where a section is missing."""

    _at_end = 0

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        line = super().readline(-1 if size is None else size)
        if not line:
            self._at_end += 1
            if self._at_end > _PATIENCE:
                raise EOFError("the file ends before what its reader looks for")
        return line


def read_bytes(path: Path, count: int = -1) -> bytes:
    """The bytes of a file, or the first of them; compressed files are unpacked."""
    with open_with_compression(str(path), "rb") as stream:
        data: bytes = stream.read(count)
    return data


def decode(data: bytes, where: str) -> str:
    """Bytes as text with plain line ends: by their byte-order mark, else UTF-8, else Latin-1.

    Raises:
        PestleError: the bytes are no text.
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
    """A whole file as text, with plain line ends.

    Raises:
        PestleError: it is no text.
    """
    return decode(read_bytes(path), str(path))


def plain_numbers(text: str) -> str:
    """Fortran's 1.0D-03 and 0.1-102 as 1.0E-03 and 0.1E-102; everything else as it is."""
    if not _HINT.search(text):
        return text
    text = _LETTER_D.sub(r"\1E\2", text)
    return _NO_LETTER.sub(r"\1E\2", text)
