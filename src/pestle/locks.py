"""Locks on folders and files, so that one command at a time writes to them.

The operating system holds a lock and releases it when the process ends, however it ends. The file
of the lock gives it a name and says which process holds it. Half-written files of commands that
were killed are removed.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pestle.errors import PestleError
from pestle.progress import say, warn

if TYPE_CHECKING:
    from filelock import FileLock

#: The file of a lock on a folder, inside it.
FOLDER_LOCK = ".pestle.lock"
#: Folders that Pestle makes in an output folder; only these are searched for temporary files.
OWN_FOLDERS = ("model", "checkpoints", "protocols", "replay", "raw", "export")
#: Names that `pestle.files` gives to files that are not complete yet.
TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.part")
#: Errors of file systems that have no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
#: Time between two attempts to take a lock (s).
_PAUSE = 0.2
#: Folder that this process has locked → its device and inode number.
_held: dict[Path, tuple[int, int]] = {}


class InUse(PestleError):
    """Another command writes to the same place."""


class Vanished(PestleError):
    """A folder was removed while a command wrote to it."""

    exit_code = 1


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Lock a folder until the block ends, so that no other command writes to it.

    The folder is made if it does not exist, and removed again if nothing was written to it.
    Half-written files of a killed command are removed.

    Args:
        path: the folder.

    Raises:
        PestleError: another command holds it, or the folder cannot be made.
        Vanished: from whatever is written, once the folder is gone.
    """
    with _lock(path, path / FOLDER_LOCK):
        _sweep(path, OWN_FOLDERS)
        yield


@contextmanager
def locked_file(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Lock a file until the block ends, so that no other command writes it.

    Its folder is made if it does not exist.

    Args:
        path: the file.
        waiting: what another command does with the file, in words. If it is given, this command
            waits for the end of the other one.

    Raises:
        PestleError: another command holds it, or the folder cannot be made.
        Vanished: from whatever is written, once the folder is gone.
    """
    with _lock(path, lock_of_file(path), waiting):
        for entry in path.parent.iterdir():
            found = TEMPORARY.fullmatch(entry.name)
            if found is not None and found["name"] == path.name:
                _remove(entry)
        yield


def is_left_over(entry: Path) -> bool:
    """Whether a file is a lock or a half-written file, and so no content of a folder."""
    return entry.name == FOLDER_LOCK or TEMPORARY.fullmatch(entry.name) is not None


def require_there(path: Path) -> None:
    """Check that the locked folders around a file are still those that were locked.

    Args:
        path: the file.

    Raises:
        Vanished: one of them was removed or replaced.
    """
    place = Path(os.path.realpath(path))
    for folder, known in list(_held.items()):
        if place.is_relative_to(folder) and _identity(folder) != known:
            raise Vanished(
                "was removed or replaced while this command wrote to it",
                where=str(folder),
                fix="Start the command again.",
            )


@contextmanager
def _lock(place: Path, file: Path, waiting: str = "") -> Iterator[None]:
    from filelock import FileLock  # takes a tenth of a second

    folder = Path(os.path.realpath(file.parent))
    made = _make(file.parent, place)
    lock = FileLock(folder / file.name, blocking=False, fallback_to_soft=False)
    try:
        with _acquired(lock, place, waiting):
            known = _held.get(folder)
            _held[folder] = _identity(folder)
            try:
                yield
            finally:
                if known is None:
                    _held.pop(folder, None)
                # Remove the file while the lock is held: a waiting command then makes a new one.
                _remove(folder / file.name)
    finally:
        for parent in made:
            with suppress(OSError):  # it is not empty
                parent.rmdir()


@contextmanager
def _acquired(lock: FileLock, place: Path, waiting: str) -> Iterator[None]:
    if not _acquire(lock, place, waiting):
        yield
        return
    try:
        # The file says who holds the lock, for the message of another command.
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]]) if sys.argv else "python"
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        holder = f"process {os.getpid()} on {socket.gethostname()} ({command}), since {since}\n"
        with suppress(OSError):  # the lock works on a full disk, too
            Path(lock.lock_file).write_text(holder, encoding="utf-8", errors="backslashreplace")
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, place: Path, waiting: str) -> bool:
    """Take a lock; return whether the file system has locks."""
    from filelock import Timeout

    file, told = Path(lock.lock_file), False
    while True:
        try:
            lock.acquire()
            return True
        except (Timeout, RuntimeError) as error:
            holder = ""
            with suppress(OSError):
                holder = file.read_text(encoding="utf-8", errors="replace").strip()
            holder = holder or "an unknown process"
            if not waiting or isinstance(error, RuntimeError):
                raise InUse(
                    f"another command writes to it: {holder}",
                    where=str(place),
                    fix="Wait for its end, stop it, or choose another place with -o.",
                ) from None
            if not told:
                say(f"{place}: another command {waiting}, and its end is waited for: {holder}")
            told = True
            time.sleep(_PAUSE)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise PestleError(
                    f"cannot be written to ({error.strerror})", where=str(place)
                ) from error
            warn(f"{place}: this file system knows no locks; start no second command there")
            return False


def _make(folder: Path, place: Path) -> list[Path]:
    """Make a folder; return the folders that did not exist before, the innermost first."""
    missing = []
    for parent in (folder, *folder.parents):
        if parent.exists():
            break
        missing.append(parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PestleError(f"cannot be written to ({error.strerror})", where=str(place)) from error
    return missing


def _sweep(folder: Path, within: Container[str] | None = None) -> None:
    """Remove the temporary files of a locked folder, which no other command writes to.

    Folders and files below with a lock of their own are left alone.

    Args:
        folder: the folder.
        within: names of the folders below that are searched, too; `None` for all.
    """
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            if (within is None or entry.name in within) and not (entry / FOLDER_LOCK).exists():
                _sweep(entry)
            continue
        found = TEMPORARY.fullmatch(entry.name)
        if found is not None and not lock_of_file(folder / found["name"]).exists():
            _remove(entry)


def lock_of_file(path: Path) -> Path:
    """Return the path of the lock on a file."""
    return path.with_name(f".{path.name}.lock")


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _identity(folder: Path) -> tuple[int, int]:
    """Return device and inode number of a folder; (-1, -1) if there is no folder."""
    try:
        found = folder.stat()
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def is_held(file: Path) -> bool:
    """Whether another process holds the lock of this file."""
    from filelock import FileLock, Timeout

    if not file.exists():
        return False
    lock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except (Timeout, RuntimeError):
        return True
    except OSError:
        return False  # this file system has no locks
    lock.release()
    return False
