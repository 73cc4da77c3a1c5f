"""SHA-256 of files that have no place for one themselves, in the form that `sha256sum -c` reads:
`NAME.sha256` beside a file that is given away, `SHA256SUMS` for several files of one folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pestle.files import Damaged, replacing, sha256, write_bytes

#: Holds the hashes of files of its folder.
SUMS = "SHA256SUMS"
#: What the name of the file that holds the hash of one file ends in.
ENDING = ".sha256"
#: A hash, a space, a space or a star, a name; a backslash at the beginning says that the name holds
#: some. Other programs leave the name out where only one file can be meant.
_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?: [ *](.+))?")


@contextmanager
def replacing_with_sum(path: Path, *, size: int | None = None) -> Iterator[Path]:
    """As `files.replacing`, with `NAME.sha256` beside the file. The hash comes first: a command
    that was killed in between leaves no file without one."""
    with replacing(path, size=size) as temporary:
        yield temporary
        write_bytes(sum_beside(path), _line(sha256(temporary), path.name))


def sum_beside(path: Path) -> Path:
    """Where the hash of one file stands."""
    return path.with_name(path.name + ENDING)


@contextmanager
def writing_with_sums(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Write files of a folder in the block; `SHA256SUMS` then holds the hashes of those of these
    names that are there. Before it is gone, so that it never says anything of other files."""
    sums = folder / SUMS
    sums.unlink(missing_ok=True)
    yield
    there = [name for name in names if (folder / name).is_file()]
    write_bytes(sums, *(_line(sha256(folder / name), name) for name in there))


def require_sum(path: Path, sums: Path, *, fix: str = "") -> None:
    """A file must be the one whose hash is kept; where none is kept, it may be any.

    Args:
        path: the file.
        sums: what may hold its hash.
        fix: what to do about another file.

    Raises:
        Damaged: it is another one, it is gone, or what holds the hash cannot be read.
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
    """The hash of a file; `None` where none is stated."""
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
        # A user's own may name the file by its way from another folder.
        named = name if line[2] is None else line[2].rpartition("/")[2]
        if named in (name, _plain(name)) and (line[2] or sums.name != SUMS):
            return line[1].lower()
    return None


def _line(digest: str, name: str) -> bytes:
    plain = _plain(name)
    return os.fsencode(f"{'' if plain == name else chr(92)}{digest}  {plain}\n")


def _plain(name: str) -> str:
    """A name on one line, as sha256sum writes it."""
    return name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
