"""SHA-256 of files in a second file, for formats without a place for a hash.

The form is that of `sha256sum -c`: `NAME.sha256` beside a single file that is passed on, or
`SHA256SUMS` for several files of one folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pestle.files import Damaged, replacing, sha256, write_bytes

#: File with the hashes of other files of its folder.
SUMS = "SHA256SUMS"
#: Ending of the name of a file with the hash of one file.
ENDING = ".sha256"
#: A line: hash, space, space or star, name. A backslash at the beginning says that backslashes in
#: the name are doubled. Other programs leave out the name if only one file can be meant.
_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?: [ *](.+))?")


@contextmanager
def replacing_with_sum(path: Path, *, size: int | None = None) -> Iterator[Path]:
    """Replace a file as `files.replacing` does, and write `NAME.sha256` beside it.

    The hash is written first, so that a killed command leaves no file without its hash.

    Args:
        path, size: as in `files.replacing`.

    Yields:
        The temporary path, to be written in the block.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
    """
    with replacing(path, size=size) as temporary:
        yield temporary
        write_bytes(sum_beside(path), _line(sha256(temporary), path.name))


def sum_beside(path: Path) -> Path:
    """Return the path of the file with the hash of one file."""
    return path.with_name(path.name + ENDING)


@contextmanager
def writing_with_sums(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Write files of a folder in the block, and afterwards their hashes into `SHA256SUMS`.

    An older `SHA256SUMS` is removed first, so that it never contains hashes of other files.

    Args:
        folder: the folder.
        names: names of the files; those that do not exist after the block are left out.
    """
    sums = folder / SUMS
    sums.unlink(missing_ok=True)
    yield
    there = [name for name in names if (folder / name).is_file()]
    write_bytes(sums, *(_line(sha256(folder / name), name) for name in there))


def require_sum(path: Path, sums: Path, *, fix: str = "") -> None:
    """Check a file against its hash, if its hash was written.

    Args:
        path: the file.
        sums: the file that may contain the hash.
        fix: what to do if the file is not the right one.

    Raises:
        Damaged: the file has another hash or is missing, or `sums` cannot be read.
    """
    expected = _stated(sums, path.name)
    if expected is None:
        return
    if not path.is_file():
        raise Damaged(f"is gone, although {sums.name} holds its hash", where=str(path), fix=fix)
    if sha256(path) != expected:
        raise Damaged(
            f"is damaged or was changed: it does not match its hash in {sums.name}",
            where=str(path),
            fix=fix,
        )


def _stated(sums: Path, name: str) -> str | None:
    """Return the hash of a file in `sums`; `None` if it contains none."""
    try:
        text = os.fsdecode(sums.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror})", where=str(sums)) from error
    lines = [_LINE.fullmatch(line) for line in text.splitlines()]
    if not lines or None in lines:
        raise Damaged(
            "is damaged: it holds no lines of SHA-256 and name",
            where=str(sums),
            fix="Delete it, and what it is about is no longer checked.",
        )
    for line in lines:
        assert line is not None
        # A file that a user made may name the file by its path from another folder.
        named = name if line[2] is None else line[2].rpartition("/")[2]
        if named in (name, _plain(name)) and (line[2] or sums.name != SUMS):
            return line[1].lower()
    return None


def _line(digest: str, name: str) -> bytes:
    plain = _plain(name)
    return os.fsencode(f"{'' if plain == name else chr(92)}{digest}  {plain}\n")


def _plain(name: str) -> str:
    """Return a name on one line, as sha256sum writes it."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
