"""The cells of a study: what each of them does, known by what it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pestle import __version__
from pestle.adaptation import METHODS, require_method
from pestle.errors import PestleError
from pestle.foundations.replay_catalogue import is_file_pool
from pestle.jobs.finetune.data_settings import data_files, with_absolute_paths
from pestle.records.study import PlannedCell, StudyPlan
from pestle.settings.run import RunSettings, known_names
from pestle.settings.run_file import LENGTH, build
from pestle.study.cell_tests import CellTests, Step
from pestle.study.hashes import Hashes
from pestle.study.keys import asked_digest, digest
from pestle.study.matrix import Combination, combinations, flattened
from pestle.study.shown_names import check_names
from pestle.study.study_file import Study

#: Settings that say where and how visibly a run is done, not what comes out.
ELSEWHERE: dict[str, Any] = {"log": True, "train": {"device", "threads", "checkpoint_seconds"}}
#: Letters of a cell's name before its key.
NAME_LENGTH = 80
#: Letters of the key in it.
KEY_LENGTH = 10


@dataclass(frozen=True)
class Cell:
    """A run of a study with its tests.

    Attributes:
        name: of its run folder.
        axes: axis → what tables show.
        settings: complete, with absolute paths.
        steps: what is done, in this order.
        labels: key that it shares with the cells that need the same pseudolabels; empty for none.
        baseline: key that it shares with those whose tests of the foundation are the same.
    """

    name: str
    axes: dict[str, Any]
    settings: RunSettings
    steps: tuple[Step, ...]
    labels: str
    baseline: str


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes:
        study: as it was read.
        cells: all of them.
        record: the same as plan.json holds it.
    """

    study: Study
    cells: tuple[Cell, ...]
    record: StudyPlan


def plan(study: Study) -> Plan:
    """Make the cells of a study; writes nothing but hashes.json.

    Args:
        study: as it was read.

    Raises:
        PestleError: a setting is unknown or out of range, or a file or a foundation is missing.
    """
    asked = study.asked
    hashes = Hashes(study.folder / "hashes.json")
    found = combinations(asked.matrix, asked.include, asked.exclude, str(study.path))
    cells = tuple(_cells(study, found, hashes))
    if not cells:
        raise PestleError(
            "leaves no cell of the matrix over",
            where=f"{study.path}: exclude",
            fix="Take an entry out of it.",
        )
    names = {axis for cell in cells for axis in cell.axes}
    record = StudyPlan(
        study=str(study.path.absolute()),
        asked=asked_digest(study),
        pestle=__version__,
        seeds=tuple(sorted(axis for axis in names if axis.rpartition(".")[2].endswith("seed"))),
        cells=tuple(
            PlannedCell(
                name=cell.name,
                axes=cell.axes,
                steps={step.name: step.key for step in cell.steps},
            )
            for cell in cells
        ),
    )
    check_names(asked, record.cells, str(study.path))
    if study.folder.is_dir():
        hashes.write()
    return Plan(study, cells, record)


def _cells(study: Study, found: Iterator[Combination], hashes: Hashes) -> Iterator[Cell]:
    base = dict(flattened(study.asked.base, set(known_names())))
    start: dict[str, Any] = build({}, base, where=f"{study.path}: base").model_dump()
    _set_all(start, study.overrides)
    known: dict[str, tuple[str, tuple[Step, ...]]] = {}
    tests = CellTests(study, hashes)
    for combination in found:
        axes = {axis: value.shown for axis, value in combination.items()}
        settings = _settings(start, combination, study)
        parts = _made_of(settings, hashes)
        key = digest(["finetune", __version__, parts])
        more, baseline = tests.of(combination, settings, parts)
        steps = (Step("finetune", key, ()), *more)
        # Cells that are the same run share its folder.
        name, others = known.setdefault(key, (f"{_slug(axes)}{key[:KEY_LENGTH]}", steps))
        if steps != others:
            raise PestleError(
                "two cells are the same run with different tests",
                where=f"{study.path}: {name}",
                fix="Let the values of an axis differ in a setting of the run, too.",
            )
        yield Cell(
            name=name,
            axes=axes,
            settings=settings,
            steps=steps,
            labels=_labels_key(settings, parts),
            baseline=baseline,
        )


def _set_all(tree: dict[str, Any], flat: Mapping[str, Any]) -> None:
    """Set leaves of nested settings by their dotted names."""
    if any(flat.get(name) is not None for name in LENGTH):
        # Either says how long a run is: the one that is given replaces the other.
        flat = dict.fromkeys(LENGTH) | dict(flat)
    for name, value in flat.items():
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node[group]
        listed = isinstance(node[leaf], list) and not isinstance(value, list)
        node[leaf] = [value] if listed else value


def _settings(start: Mapping[str, Any], combination: Combination, study: Study) -> RunSettings:
    """Complete settings of one cell, with absolute paths.

    Raises:
        PestleError: a value is out of range, two axes set the same, or no foundation is named.
    """
    flat: dict[str, Any] = {}
    for axis, value in combination.items():
        for name, one in value.settings.items():
            if name in flat and flat[name] != one:
                raise PestleError("two axes set it", where=f"{study.path}: matrix.{axis}: {name}")
            if name in study.overrides:
                raise PestleError(
                    "is an axis of the matrix and cannot be set for every run",
                    where=f"--set {name}",
                )
            flat[name] = one
    tree = {name: dict(v) if isinstance(v, dict) else v for name, v in start.items()}
    _set_all(tree, flat)
    try:
        settings = RunSettings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise PestleError(
            f"{first['msg'].lower()}, got {first['input']!r}", where=f"{study.path}: {where}"
        ) from None
    if not settings.foundation:
        raise PestleError(
            "no foundation is named", where=str(study.path), fix="Give base.foundation, or an axis."
        )
    require_method(settings)
    return with_absolute_paths(settings, study.path.absolute().parent)


def _made_of(settings: RunSettings, hashes: Hashes) -> dict[str, Any]:
    """The settings with hashes in the place of files: the same where the run is the same."""
    parts = settings.model_dump(mode="json", exclude=ELSEWHERE)
    for name, patterns in data_files(settings.data):
        parts["data"][name] = hashes.files(patterns)
    parts["foundation"] = hashes.model(settings.foundation)
    for group, entry in (("replay", "pool"), ("drift", "structures")):
        parts[group][entry] = [
            hashes.files([name]) if is_file_pool(name) else name for name in parts[group][entry]
        ]
    if isinstance(settings.e0s, str) and Path(settings.e0s).is_absolute():
        parts["e0s"] = hashes.files([settings.e0s])
    return parts


def _labels_key(settings: RunSettings, parts: Mapping[str, Any]) -> str:
    """What pseudolabels depend on: structures, their selection, and the model."""
    method = METHODS.get(settings.method)
    if method is None or not method.pseudolabels:
        return ""
    replay = parts["replay"]
    train = parts["train"]
    return digest(
        [
            "labels",
            __version__,
            [parts[name] for name in ("foundation", "head", "scope", "elements", "data")],
            [replay[name] for name in ("pool", "count", "filter", "select")],
            [train[name] for name in ("seed", "dtype", "kernels", "eval_batch_edges")],
        ]
    )


def _slug(axes: Mapping[str, Any]) -> str:
    """What a person sees of a cell in its name; ends in a hyphen."""
    words = []
    for axis, value in axes.items():
        leaf = axis.rpartition(".")[2]
        text = Path(value).stem if isinstance(value, str) and "/" in value else str(value)
        words.append(text if isinstance(value, str) else f"{leaf}{text}")
    text = re.sub(r"[^\w.+-]+", "_", "-".join(words))[:NAME_LENGTH].strip("-.")
    return f"{text}-" if text else ""


def distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Cells without those that are the run of another one."""
    return list({cell.name: cell for cell in reversed(cells)}.values())[::-1]
