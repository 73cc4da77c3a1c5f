"""The run folder: paths of its files, and descriptions of machine and versions."""

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
from pestle.files import cannot_write, sha256
from pestle.locks import is_left_over
from pestle.records.manifest import Hardware

#: Packages whose versions can change a result.
PACKAGES = ("torch", "mace-torch", "e3nn", "ase", "numpy", "matscipy")

#: Files that a run writes before its settings, which are needed to resume it.
_BEFORE_SETTINGS = frozenset({"log.txt", "replay", "drift.xyz", "ewc.xyz"})


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files of a run."""

    path: Path

    @property
    def settings(self) -> Path:
        """File with the complete settings."""
        return self.path / "run.yaml"

    @property
    def manifest(self) -> Path:
        """File with the record of the run."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """File with the evaluations."""
        return self.path / "metrics.jsonl"

    @property
    def verdict(self) -> Path:
        """File with the verdict."""
        return self.path / "verdict.json"

    @property
    def timings(self) -> Path:
        """File with the times of the tests."""
        return self.path / "timings.json"

    @property
    def replay(self) -> Path:
        """Folder of the replay set."""
        return self.path / "replay"

    @property
    def checkpoint(self) -> Path:
        """File of the newest checkpoint."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def child(self) -> Path:
        """File of the trained model before interpolation."""
        return self.path / "checkpoints" / "child.pt"

    @property
    def model(self) -> Path:
        """Folder of the model."""
        return self.path / "model"

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the model's weights, by which tests know what they judged; empty without a
        model."""
        from pestle.foundations.safe_files import WEIGHTS  # it imports torch

        weights = self.model / WEIGHTS
        return sha256(weights) if weights.is_file() else ""

    @property
    def log(self) -> Path:
        """File with the messages to the user."""
        return self.path / "log.txt"

    @property
    def report(self) -> Path:
        """File with the report."""
        return self.path / "report.html"

    def protocol(self, name: str) -> Path:
        """Return the folder of a protocol's results."""
        return self.path / "protocols" / name

    def require_new(self) -> None:
        """Check that no other run would be overwritten.

        Raises:
            PestleError: the folder is not empty, or cannot be written.
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
        # A run that was killed at its start has no settings yet, and nothing to keep.
        if there and not (self.log.name in there and there <= _BEFORE_SETTINGS):
            raise PestleError(
                "is not empty", where=str(self.path), fix="Choose another folder with -o."
            )

    def require_run(self) -> None:
        """Check that the folder contains a run; one without a checkpoint starts again.

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
        """Open log.txt; new lines follow those that it contains.

        Returns:
            A handler for a `Recorder`, which closes it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(self.log, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        return handler


class _LogFile(logging.FileHandler):
    """The file log.txt; a line that cannot be written raises an error."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise cannot_write(Path(self.baseFilename), error) from error
        super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):  # the error was already raised when writing
            super().close()


def require_file(path: Path) -> None:
    """Check that a file can be created or replaced.

    Raises:
        PestleError: the path is a folder, or its folder cannot be created or written.
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
    """Check that a folder exists or can be created.

    Raises:
        PestleError: the path is a file or a broken link, is inside a file, or cannot be written.
    """
    _require_no_loose_link(path.absolute())
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise PestleError("is a file, not a folder", where=str(there))
    if not os.access(there, os.W_OK):
        raise PestleError("cannot be written to", where=str(there))


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions of Python, Pestle and the packages that can change a result."""
    found = {"python": platform.python_version(), "pestle": __version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware(device: str) -> Hardware:
    """Return a description of the machine.

    Args:
        device: device of the run.
    """
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
    """Return the name of the processor; on Linux the system itself gives only its kind."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
