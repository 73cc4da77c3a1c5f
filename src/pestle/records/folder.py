"""The run folder: where every file of a run lies, and what is said of machine and versions."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pestle import __version__
from pestle.errors import PestleError
from pestle.files import cannot_write
from pestle.locks import is_left_over
from pestle.records.manifest import Hardware

#: Packages whose versions can change a result.
PACKAGES = ("torch", "mace-torch", "e3nn", "ase", "numpy", "matscipy")

#: What a run writes before its settings, which make its folder one that can be resumed.
_BEFORE_SETTINGS = frozenset({"log.txt", "replay", "drift.xyz", "ewc.xyz"})


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "run.yaml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def verdict(self) -> Path:
        return self.path / "verdict.json"

    @property
    def timings(self) -> Path:
        return self.path / "timings.json"

    @property
    def replay(self) -> Path:
        return self.path / "replay"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def child(self) -> Path:
        return self.path / "checkpoints" / "child.pt"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def protocol(self, name: str) -> Path:
        """Folder of a protocol's results."""
        return self.path / "protocols" / name

    def require_new(self) -> None:
        """A run must not be written over another.

        Raises:
            PestleError: the folder holds something already, or cannot be written.
        """
        require_folder(self.path)
        if self.settings.exists():
            raise PestleError(
                "holds a run already",
                where=str(self.path),
                fix="Continue it with --resume, or choose another folder with -o.",
            )
        inside = self.path.iterdir() if self.path.is_dir() else ()
        there = {path.name for path in inside if not is_left_over(path)}
        # A run that was killed as it began has no settings yet, and leaves nothing worth keeping.
        if there and not (self.log.name in there and there <= _BEFORE_SETTINGS):
            raise PestleError(
                "is not empty", where=str(self.path), fix="Choose another folder with -o."
            )

    def require_run(self) -> None:
        """The folder must hold a run; one that was killed before its first checkpoint starts over.

        Raises:
            PestleError: it does not.
        """
        if not self.settings.exists():
            raise PestleError(
                "holds no run to resume",
                where=str(self.path),
                fix="Start it without --resume.",
            )

    def open_log(self) -> logging.Handler:
        """Open log.txt, which goes on where it holds something, for a `Recorder`."""
        self.path.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(self.log, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        return handler


class _LogFile(logging.FileHandler):
    """log.txt; a line that cannot be written is an error like any other."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise cannot_write(Path(self.baseFilename), error) from error
        super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was said
            super().close()


def require_file(path: Path) -> None:
    """A file must be one that can be made or replaced.

    Raises:
        PestleError: it is a folder, or its folder cannot be made or written.
    """
    if path.is_dir():
        raise PestleError("is a folder, not a file", where=str(path))
    _require_no_loose_link(path)
    require_folder(path.absolute().parent)


def _require_no_loose_link(path: Path) -> None:
    loose = next((p for p in (path, *path.parents) if p.is_symlink() and not p.exists()), None)
    if loose is not None:
        raise PestleError(
            "is a link that leads nowhere, or in a circle",
            where=str(loose),
            fix="Remove it, or choose another place with -o.",
        )


def require_folder(path: Path) -> None:
    """A folder must be there, or must be one that can be made.

    Raises:
        PestleError: it is a file or a loose link, lies in one, or cannot be written.
    """
    _require_no_loose_link(path.absolute())
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise PestleError("is a file, not a folder", where=str(there))
    if not os.access(there, os.W_OK):
        raise PestleError("cannot be written to", where=str(there))


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python, Pestle and the packages that can change a result."""
    found = {"python": platform.python_version(), "pestle": __version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware(device: str) -> Hardware:
    """What the run runs on."""
    import torch

    return Hardware(
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        device=device,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=platform.platform(terse=True),
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
