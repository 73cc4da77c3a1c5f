"""Files that are there whole or not at all, and their hashes."""

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

#: A sealed file ends in this, the SHA-256 of what comes before it, and a line break.
SEAL = b"\nsha256 "
_SEAL_LENGTH = len(SEAL) + 64 + 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a file system says of a place it cannot write to; a network has other numbers.
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
    """There is no room for a file. Whatever was written before is whole, so work can go on."""

    exit_code = 1


class Damaged(PestleError):
    """A file is not what was written."""


@contextmanager
def replacing(path: Path, *, size: int | None = None) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends without an error.

    Args:
        path: the file.
        size: bytes that the file will have, where they are known.

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
        # A block may also read, from a network perhaps.
        named = None if error.filename is None else Path(error.filename)
        if error.errno not in _CANNOT_WRITE or named not in (None, temporary, *path.parents):
            raise
        raise cannot_write(path, error, size=size, written=_size(temporary)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def cannot_write(
    path: Path, error: OSError, *, size: int | None = None, written: int = 0
) -> CannotWrite:
    """The error for a file that the system refuses to write.

    Args:
        path: the file.
        error: what the system says.
        size: bytes that the file would have; `None` where that is not known.
        written: bytes that there was room for.
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
    return f"{size / 1e6:.3g} MB"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _commit(temporary: Path, path: Path) -> None:
    """The moment at which a file is there."""
    temporary.replace(path)


def _store(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    with path.open("wb") as stream:
        for part in parts:
            stream.write(part)


def write_bytes(path: Path, *parts: bytes | memoryview, keep: Path | None = None) -> None:
    """Write a file whole.

    Args:
        path: the file.
        parts: what it will hold, one after the other.
        keep: name that the file gets which is there before.
    """
    with replacing(path, size=sum(len(part) for part in parts)) as temporary:
        _store(temporary, parts)
        if keep is not None and path.exists():
            path.replace(keep)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, in UTF-8; what has no place there (bytes of a file's name that are
    not UTF-8) as backslash escapes, which JSON and YAML read back."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def append_text(path: Path, text: str) -> None:
    """Add to a file that the command began.

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
    with path.open("ab") as stream:
        stream.write(content)


def write_sealed(path: Path, content: bytes | memoryview, *, keep: Path | None = None) -> None:
    """Write a file whole, with a hash at its end that `read_sealed` checks. Programs that read zip
    archives, such as torch and numpy, do not mind it.

    Args:
        path, keep: as in `write_bytes`.
        content: what the file will hold before the hash.
    """
    digest = hashlib.sha256(content).hexdigest()
    write_bytes(path, content, SEAL + digest.encode() + b"\n", keep=keep)


def read_sealed(path: Path) -> memoryview:
    """What `write_sealed` was given.

    Raises:
        Damaged: it is not what was written, or cannot be read.
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
    """Write indented JSON; NaN and infinity become null (they are not JSON).

    Args:
        path: the file.
        content: what to write.
        sealed: add the entry `sha256`, which `read_json` checks; of an object only.
    """
    content = finite(content)
    if sealed:
        content |= {"sha256": _digest(content)}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file, without the entry `sha256` that it may have.

    Raises:
        Damaged: it is not what was written, cannot be read or holds no object.
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
    """An object that was read, without the entry `sha256` that it may have.

    Raises:
        Damaged: it is not what was written.
    """
    seal = content.pop("sha256", None)
    if seal is not None and seal != _digest(content):
        raise Damaged("is damaged or was changed: it does not match its hash", where=str(path))
    return content


def _digest(content: dict[str, Any]) -> str:
    """SHA-256 of an object, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def finite(content: Any) -> Any:
    """The same with NaN and infinity as None, tuples as lists and keys as text."""
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
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
