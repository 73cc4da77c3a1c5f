"""The tests of a cell of a study: their commands, and what their results depend on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pestle import __version__
from pestle.errors import PestleError
from pestle.jobs.finetune.data_settings import OF_SUBSET
from pestle.protocols import declarations, inputs
from pestle.settings.probe import names_of_files
from pestle.settings.run import RunSettings
from pestle.study.hashes import Hashes
from pestle.study.keys import digest
from pestle.study.matrix import Combination
from pestle.study.study_file import ProbeOptions, QualifySettings, Study, check_qualify


@dataclass(frozen=True)
class Step:
    """One command of a cell.

    Attributes:
        name: finetune, qualify or probe PROTOCOL.
        key: of everything that its result depends on.
        arguments: after `pestle`, but for the run folder.
    """

    name: str
    key: str
    arguments: tuple[str, ...]


class CellTests:
    """The tests of cells, most of which are the same.

    Args:
        study: as it was read.
        hashes: of files.
    """

    def __init__(self, study: Study, hashes: Hashes) -> None:
        self.study, self.hashes = study, hashes
        self.home = study.path.absolute().parent

    def of(
        self, combination: Combination, settings: RunSettings, parts: Mapping[str, Any]
    ) -> tuple[list[Step], str]:
        """Steps of one cell, and the key of what they ask of the foundation.

        Args:
            combination: axis → value of the cell.
            settings: of its run.
            parts: the same with hashes in the place of files.

        Raises:
            PestleError: an option is unknown, or a file is missing.
        """
        qualify, probes = self._asked(combination)
        commands: list[tuple[str, _Arguments]] = []
        if qualify is not None:
            commands.append(("qualify", self._qualify(qualify)))
        for name, options in probes.items():
            commands.append((f"probe {name}", self._probe(name, options, settings)))
        steps, asked = [], []
        for name, arguments in commands:
            test = digest([arguments.content, self.hashes.files(arguments.files)])
            steps.append(Step(name, digest([name, __version__, test]), tuple(arguments.typed)))
            asked.append(test)
        # The foundation is tested on the same frames whatever part of the others is trained on.
        data = {name: part for name, part in parts["data"].items() if name not in OF_SUBSET}
        about = [parts["foundation"], parts["head"], data]
        return steps, digest(["baseline", __version__, about, asked]) if asked else ""

    def _asked(
        self, combination: Combination
    ) -> tuple[QualifySettings | None, dict[str, ProbeOptions]]:
        """What is asked for all, with what the values of a cell's axes add."""
        qualify, probes = self.study.asked.qualify, dict(self.study.asked.probe)
        for axis, value in combination.items():
            where = f"{self.study.path}: matrix.{axis}.{value.shown}"
            if "qualify" in value.tests:
                qualify = _joined(QualifySettings, qualify, value.tests["qualify"], where)
                check_qualify(qualify)
            for name, more in value.tests.get("probe", {}).items():
                probes[name] = _joined(ProbeOptions, probes.get(name), more, where)
        return qualify, probes

    def _qualify(self, asked: QualifySettings) -> _Arguments:
        found = _Arguments(self.home)
        if asked.scope is not None:
            found.add("--scope", asked.scope)
        for name in asked.run_too:
            found.add("--with", name)
        for name in asked.leave_out:
            found.add("--without", name)
        if asked.full:
            found.add("--full")
        found.add_settings(asked.settings)
        if asked.dtype:
            found.add("--dtype", asked.dtype)
        if asked.thresholds is not None:
            found.add_file("--thresholds", asked.thresholds)
        options = {taken.name: taken.options[0] for taken in inputs()}
        for name, given in asked.files.items():
            for one in given:
                found.add_file(options[name], one)
        return found

    def _probe(self, name: str, asked: ProbeOptions, settings: RunSettings) -> _Arguments:
        found = _Arguments(self.home)
        found.add("--against", settings.foundation)
        found.add_settings(asked.settings)
        if asked.dtype:
            found.add("--dtype", asked.dtype)
        declared = next(one for one in declarations() if one.name == name)
        files = asked.files
        if not files and declared.takes is not None:
            files = [f"test={one}" for one in settings.data.test[:1]]
        for one in files:
            found.add_file("--data", one)
        return found


class _Arguments:
    """Arguments of a command, and what its result depends on: the content of files, wherever they
    lie.

    Args:
        home: folder from which paths lead.

    Attributes:
        typed: the arguments.
        content: the same without files.
        files: these files, or globs of them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.typed: list[str] = []
        self.content: list[str] = []
        self.files: list[str] = []

    def add(self, *words: str) -> None:
        """Arguments that are no files."""
        self.typed += words
        self.content += words

    def add_file(self, option: str, given: str) -> None:
        """An option that takes FILES or NAME=FILES."""
        name, equals, path = given.partition("=")
        named = equals and "/" not in name
        path = self._absolute(path if named else given)
        self.typed += [option, f"{name}={path}" if named else path]
        self.content.append(option)
        self.files.append(path)

    def add_settings(self, settings: Mapping[str, Any]) -> None:
        """`--set NAME=VALUE` for each setting of the protocols."""
        for name, value in settings.items():
            if name not in names_of_files():
                self.add("--set", f"{name}={_text(value)}")
                continue
            paths = [self._absolute(one) for one in ([value] if isinstance(value, str) else value)]
            self.typed += ["--set", f"{name}={json.dumps(paths)}"]
            self.content += ["--set", name]
            self.files += paths

    def _absolute(self, given: str) -> str:
        return str((self.home / Path(given).expanduser()).absolute())


def _joined(kind: Any, was: Any, more: Mapping[str, Any], where: str) -> Any:
    """Options of a test with further ones; settings and files are added to those there are."""
    tree = was.model_dump(by_alias=True) if was is not None else {}
    for name, value in more.items():
        both = isinstance(value, Mapping) and isinstance(tree.get(name), dict)
        tree[name] = {**tree[name], **value} if both else value
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise PestleError(
            f"{first['msg'].lower()}, got {first['input']!r}", where=f"{where}.{place}"
        ) from None


def _text(value: Any) -> str:
    """A value of a setting as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)
