"""One command at a time writes to a place: a lock on it, and what a killed command left there.

The operating system holds the lock and gives it back when the process ends, however it ends. The
file of the lock only gives it a name, and says whose it is.
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
#: Folders that Pestle makes inside an output folder: in others it looks for nothing of its own.
OWN_FOLDERS = ("model", "checkpoints", "protocols", "replay", "raw", "export")
#: What `pestle.files` calls a file that is not complete yet.
TEMPORARY = re.compile(r"\.(?P<name>.+)\.\d+\.part")
#: File systems that know no locks answer with one of these.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
#: Seconds between two looks whether a lock is free.
_PAUSE = 0.2
#: Folders that are written to under a lock → device and number of each.
_held: dict[Path, tuple[int, int]] = {}


class InUse(PestleError):
    """Another command writes to the same place."""


class Vanished(PestleError):
    """A folder was removed while a command wrote to it."""

    exit_code = 1


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Nobody else writes to this folder until the block ends.

    The folder is made if need be, and removed again if nothing was written to it. What a killed
    command left half-written in it is removed.

    Raises:
        PestleError: another command holds it, or the folder cannot be made.
        Vanished: from whatever is written, once the folder is gone.
    """
    with _lock(path, path / FOLDER_LOCK):
        _sweep(path, OWN_FOLDERS)
        yield


@contextmanager
def locked_file(path: Path, *, waiting: str = "") -> Iterator[None]:
    """Nobody else writes this file until the block ends; its folder is made if need be.

    Args:
        path: the file.
        waiting: what another command does with it, as words. Where this is given, its end is waited
            for.

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
    """Whether a file says nothing of what a folder holds: a lock, or half of another file."""
    return entry.name == FOLDER_LOCK or TEMPORARY.fullmatch(entry.name) is not None


def require_there(path: Path) -> None:
    """The folders under a lock that a file lies in must be those that were locked.

    Raises:
        Vanished: one was removed, or another one has its place.
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
                # While it is still held: whoever waits for it sees that it is gone, and makes anew.
                _remove(folder / file.name)
    finally:
        for parent in made:
            with suppress(OSError):  # something lies in it
                parent.rmdir()


@contextmanager
def _acquired(lock: FileLock, place: Path, waiting: str) -> Iterator[None]:
    if not _acquire(lock, place, waiting):
        yield
        return
    try:
        with suppress(OSError):  # a full disk must not keep the lock from working
            Path(lock.lock_file).write_text(_myself(), encoding="utf-8", errors="backslashreplace")
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, place: Path, waiting: str) -> bool:
    """Take a lock; whether the file system knows any."""
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


def _myself() -> str:
    """Who holds a lock, for whoever meets it."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]]) if sys.argv else "python"
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} ({command}), since {since}\n"


def _make(folder: Path, place: Path) -> list[Path]:
    """Make a folder; returns those that were not there, the innermost first."""
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
    """Remove temporary files. The holder of a lock is the only one who writes, but for folders and
    files below with locks of their own, which are left to whoever holds those.

    Args:
        folder: to look in.
        within: names of folders to look in, too; `None` for all.
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
    """What the lock on a file is called."""
    return path.with_name(f".{path.name}.lock")


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _identity(folder: Path) -> tuple[int, int]:
    """Device and number of a folder; no folder has (-1, -1)."""
    try:
        found = folder.stat()
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def is_held(file: Path) -> bool:
    """Whether another process holds a lock; nothing is said or changed."""
    from filelock import FileLock, Timeout

    if not file.exists():
        return False
    lock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except (Timeout, RuntimeError):
        return True
    except OSError:
        return False  # this file system knows no locks
    lock.release()
    return False
