"""Hashes of what runs are made of: data, foundations, tables; each file is read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pestle.errors import PestleError, nearest
from pestle.files import Damaged, sha256
from pestle.foundations import catalogue
from pestle.records.study import FileHashes, KnownFile
from pestle.structures.reading import expand_paths
from pestle.study.keys import digest

#: Files that a model folder, or the folder `model` of a run, is made of.
MODEL_FILES = ("architecture.json", "weights.safetensors")


class Hashes:
    """Hashes of files, kept in a file of the study: one of the same size and time of change is not
    read again.

    Args:
        path: hashes.json; need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, KnownFile] = {}
        self._used: dict[str, KnownFile] = {}
        self._of_patterns: dict[tuple[str, ...], list[str]] = {}
        self._of_models: dict[str, str] = {}
        if path.is_file():
            try:
                self._known = FileHashes.read(path).files
            except Damaged:
                self._known = {}  # they are only there to save time

    def file(self, path: Path) -> str:
        """Hash of one file.

        Raises:
            PestleError: it cannot be read.
        """
        name = str(path)
        if name in self._used:
            return self._used[name].sha256
        try:
            found = path.stat()
            known = self._known.get(name)
            same = known and (known.size, known.changed) == (found.st_size, found.st_mtime_ns)
            if not known or not same:
                known = KnownFile(
                    size=found.st_size, changed=found.st_mtime_ns, sha256=sha256(path)
                )
        except OSError as error:
            raise PestleError(f"cannot be read ({error.strerror})", where=name) from error
        self._used[name] = known
        return known.sha256

    def files(self, patterns: Sequence[str]) -> list[str]:
        """Hashes of the files of paths and globs, in their order.

        Raises:
            PestleError: a file is missing or cannot be read.
        """
        key = tuple(patterns)
        if key not in self._of_patterns:
            self._of_patterns[key] = [self.file(path) for path in expand_paths(patterns)]
        return self._of_patterns[key]

    def model(self, name: str) -> str:
        """What tells a foundation from others: its name in the catalogue, or a hash of its files.

        Raises:
            PestleError: there is no such foundation.
        """
        if name not in self._of_models:
            self._of_models[name] = self._model(name)
        return self._of_models[name]

    def _model(self, name: str) -> str:
        if catalogue.find(name) is not None:
            return name
        path = Path(name)
        if path.is_file():
            return self.file(path)
        for folder in (path, path / "model"):
            if (folder / MODEL_FILES[0]).is_file():
                return digest([self.file(folder / part) for part in MODEL_FILES])
        raise PestleError(
            f"there is no foundation, file or folder '{name}'",
            where="foundation",
            fix=f"{nearest(name, catalogue.names())} `pestle models` lists the names.".lstrip(),
        )

    def write(self) -> None:
        """Keep the hashes of the files that were asked for."""
        if self._used != self._known:
            FileHashes(files=self._used).write(self.path)
