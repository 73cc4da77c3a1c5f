"""Files that are written completely or not at all, and hashes of files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pestle.errors import PestleError
from pestle.locks import require_there
from pestle.wording import figure

#: A sealed file ends with this mark, the SHA-256 of everything before the mark, and a line break.
SEAL = b"\nsha256 "
_SEAL_LENGTH = len(SEAL) + 64 + 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Error numbers of a file system that cannot write to a place; errors of a network have others.
_CANNOT_WRITE = (
    *_FULL,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ESTALE,
)


class CannotWrite(PestleError):
    """The system refuses to write a file."""


class DiskFull(CannotWrite):
    """There is no room for a file; files that were written before are complete."""

    exit_code = 1


class Damaged(PestleError):
    """A file is not as it was written."""


#: One path or name, or several, as functions for users take them.
OneOrMore = str | Path | Sequence[str | Path]


def each_of(given: OneOrMore) -> list[str]:
    """Return one path or several as texts; a text is one path and no sequence of letters."""
    return [str(one) for one in ([given] if isinstance(given, str | Path) else given)]


@contextmanager
def replacing(path: Path, *, size: int | None = None) -> Iterator[Path]:
    """Give a temporary name beside `path`, which is renamed to it if the block has no error.

    Args:
        path: the file.
        size: size of the file (bytes), for the error message; `None` if it is not known.

    Yields:
        The temporary path, to be written in the block.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
        Vanished: the folder was removed while this command held its lock.
    """
    require_there(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _commit(temporary, path)
    except OSError as error:
        # The block may also read, perhaps from a network: such errors are not about this file.
        named = None if error.filename is None else Path(error.filename)
        if error.errno not in _CANNOT_WRITE or named not in (None, temporary, *path.parents):
            raise
        written = temporary.stat().st_size if temporary.is_file() else 0
        raise cannot_write(path, error, size=size, written=written) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cannot_write(
    path: Path, error: OSError, *, size: int | None = None, written: int = 0
) -> CannotWrite:
    """Make the error for a file that the system refuses to write.

    Args:
        path: the file.
        error: error of the system.
        size: size that the file would have (bytes); `None` if it is not known.
        written: number of bytes that were written before the error.

    Returns:
        `DiskFull` if there is no room, otherwise `CannotWrite`.
    """
    if error.errno not in _FULL:
        return CannotWrite(
            f"cannot be written ({error.strerror})", where=str(path), fix="Choose another place."
        )
    needs = f"more than {_megabytes(written)}" if size is None else _megabytes(size)
    try:
        free = f", {_megabytes(shutil.disk_usage(path.parent).free)} are free"
    except OSError:
        free = ""
    return DiskFull(
        f"there is no room for it ({error.strerror}): it needs {needs}{free}",
        where=str(path),
        fix="Make room and type the command again; what was written before is whole.",
    )


def _megabytes(size: int) -> str:
    return f"{figure(size / 1e6)} MB"


def _commit(temporary: Path, path: Path) -> None:
    """Give a file its final name. Tests of faults replace this function."""
    temporary.replace(path)


def write_bytes(path: Path, *parts: bytes | memoryview, keep: Path | None = None) -> None:
    """Write a file completely or not at all.

    Args:
        path: the file.
        parts: parts of its content, in order.
        keep: new name for the file that had this name before; `None`: it is replaced.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
    """
    with replacing(path, size=sum(len(part) for part in parts)) as temporary:
        with temporary.open("wb") as stream:
            for part in parts:
                stream.write(part)
        if keep is not None and path.exists():
            path.replace(keep)


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all, in UTF-8.

    Bytes of a file's name that are not UTF-8 become backslash escapes, which JSON and YAML read.

    Args:
        path: the file.
        text: its content.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def append_text(path: Path, text: str) -> None:
    """Append to a file that this command began.

    Args:
        path: the file.
        text: what is appended, in UTF-8.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
        Vanished: the folder was removed while this command held its lock.
    """
    require_there(path)
    content = text.encode("utf-8", errors="backslashreplace")
    try:
        _append(path, content)
    except OSError as error:
        raise cannot_write(path, error, size=len(content)) from error


def _append(path: Path, content: bytes) -> None:
    """Append bytes. Tests of faults replace this function."""
    with path.open("ab") as stream:
        stream.write(content)


def write_sealed(path: Path, content: bytes | memoryview, *, keep: Path | None = None) -> None:
    """Write a file with a hash at its end, which `read_sealed` checks.

    Programs that read zip archives, such as torch and numpy, ignore the hash.

    Args:
        path, keep: as in `write_bytes`.
        content: content of the file before the hash.

    Raises:
        CannotWrite: the system refuses, or the disk is full.
    """
    digest = hashlib.sha256(content).hexdigest()
    write_bytes(path, content, SEAL + digest.encode() + b"\n", keep=keep)


def read_sealed(path: Path) -> memoryview:
    """Return the content of a file of `write_sealed`, without the hash.

    Raises:
        Damaged: the file is not as it was written, or cannot be read.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror})", where=str(path)) from error
    body, seal = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:]
    if seal != SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n":
        raise Damaged("is damaged: its content does not match its hash", where=str(path))
    return body


def write_json(path: Path, content: Any, *, sealed: bool = False) -> None:
    """Write indented JSON; NaN and infinity become null, as JSON has no such numbers.

    Args:
        path: the file.
        content: plain data.
        sealed: whether to add the entry `sha256`, which `read_json` checks; for objects only.
    """
    content = finite(content)
    if sealed:
        content |= {"sha256": _digest(content)}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from a JSON file; its entry `sha256`, if there is one, is checked and removed.

    Raises:
        Damaged: the file is not as it was written, cannot be read, or contains no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise Damaged(f"cannot be read ({error.strerror})", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"is damaged: it is not JSON ({error})", where=str(path)) from error
    if not isinstance(content, dict):
        raise Damaged("is damaged: it holds no object", where=str(path))
    return unsealed(content, path)


def unsealed(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Check the entry `sha256` of an object, if there is one, and remove it.

    Args:
        content: object from a file; it is changed.
        path: the file, for errors.

    Returns:
        The object.

    Raises:
        Damaged: the object is not as it was written.
    """
    seal = content.pop("sha256", None)
    if seal is not None and seal != _digest(content):
        raise Damaged("is damaged or was changed: it does not match its hash", where=str(path))
    return content


def _digest(content: dict[str, Any]) -> str:
    """Return the SHA-256 of an object; the order of its entries does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def finite(content: Any) -> Any:
    """Return plain data with NaN and infinity as `None`, tuples as lists and keys as text."""
    if isinstance(content, str):  # most of what there is
        return content
    if isinstance(content, dict):
        return {str(k): finite(v) for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(v) for v in content]
    if isinstance(content, float) and (
        content != content or content in (float("inf"), -float("inf"))
    ):
        return None
    return content


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
