"""STUDY.yaml: what a user writes, checked, with variables and paths filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from pestle.errors import PestleError, near_name, nearest
from pestle.protocols import inputs, names
from pestle.protocols.declaration import Scope
from pestle.settings.base import Group, setting
from pestle.settings.probe import ProbeSettings
from pestle.settings.run import known_names
from pestle.settings.run_file import (
    build,
    in_words,
    parse_overrides,
    read_run_file,
    unknown_name_error,
)

#: The engine that needs no file.
LOCAL = "local"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class QualifySettings(Group):
    """`pestle qualify` of every run; each entry is an option of the command."""

    scope: Scope | None = setting(None, "What the models are for. None: `scope` of the run.")
    run_too: list[str] = setting(list, "Protocols that the scope does not need.", alias="with")
    leave_out: list[str] = setting(list, "Protocols to leave out.", alias="without")
    full: bool = setting(False, "The full settings instead of those of a first look.")
    files: dict[str, list[str]] = setting(
        dict, "Option that takes structures (path, structures, …) → files or NAME=FILES."
    )
    settings: dict[str, Any] = setting(dict, "Settings of the protocols, md.time: 10.", alias="set")
    thresholds: str | None = setting(None, "File that changes thresholds of the verdict.")
    dtype: str | None = setting(None, "Precision of the networks.")


class ProbeOptions(Group):
    """`pestle probe` of every run, for studies without verdicts."""

    files: list[str] = setting(
        list, "Structures: files or NAME=FILES. Empty: the test files of the run.", alias="data"
    )
    settings: dict[str, Any] = setting(
        dict, "Settings of the protocol, rss.cycles: 1.", alias="set"
    )
    dtype: str | None = setting(None, "Precision of the networks.")


class TableSettings(Group):
    """A table of the study."""

    rows: list[str] = setting(
        list, "Axes whose values make the rows. Empty: all that are not columns."
    )
    columns: list[str] = setting(list, "Axes whose values make the columns.")
    values: Annotated[list[str], Field(min_length=1)] = setting(
        ..., "Figures: test.forces_rmse, test.energy_rmse, forgetting.forces_rmse, …"
    )
    over: list[str] | None = setting(
        None, "Axes over whose values mean and deviation are taken. None: all that are seeds."
    )
    foundation: bool = setting(
        True, "Whether what the runs began with has a row, where it has such figures."
    )


#: What a plot may be of.
PlotKind = Literal["figure", "torsion", "dimers", "rdf", "path", "violins"]


class PlotSettings(Group):
    """A plot of the study: a line for each combination of the other axes, a band for the spread."""

    kind: PlotKind = setting(
        "figure",
        "figure: y against x. torsion, dimers, rdf, path: curves that this protocol (path: neb) "
        "measured, with those of the foundations and the reference, a picture for each. violins: "
        "errors of single frames by x, a picture for each test set.",
    )
    x: str | None = setting(
        None,
        "Axis; of a figure also `step` or `epoch` for learning curves. Violins without: the first.",
    )
    y: str | None = setting(
        None, "Figure, as in tables. Of violins forces_mae (also None), forces_rmse or energy_mae."
    )
    of: list[str] = setting(
        list, "Scans, pairs, reactions or test sets, a picture for each. Empty: all."
    )
    lines: list[str] | None = setting(None, "Axes that tell lines apart. None: all others.")
    over: list[str] | None = setting(None, "As in tables.")
    log: bool = setting(True, "Whether the axis of figures and violins is logarithmic.")
    foundation: bool = setting(
        True, "Whether curves and violins of what the runs began with are drawn."
    )


class PhaseSettings(Group):
    """Which test sets are like what a run was trained on: the figures `in_phase.…` and
    `out_of_phase.…` are means over those, and over the others."""

    axis: str | None = setting(
        None, "Axis that says what a run was trained on. None: all runs on the same."
    )
    inside: dict[str, list[str]] | list[str] = setting(
        ...,
        "Value of that axis → sets (argyrodite) or their groups (test.ice_Ih) that are in phase; "
        "without an axis only these.",
        alias="in",
    )
    sets: list[str] = setting(
        list, "All sets. Empty: those that are in phase with any value of the axis."
    )


class StudyFile(Group):
    """A study."""

    folder: str | None = setting(
        None,
        "Where its runs go. None: a folder beside the file, called like it without its ending.",
    )
    paths: dict[str, str | None] = setting(
        dict,
        "Variables, ${NAME} in every text below; --set NAME=VALUE or the environment replace them.",
    )
    base: dict[str, Any] = setting(dict, "Settings of every run, as in a run file.")
    matrix: dict[str, Any] = setting(
        dict,
        "Axes: a setting → list of its values, or a name of your own → label → settings.",
    )
    include: list[dict[str, Any]] = setting(list, "Further matrices, whose cells are added.")
    exclude: list[dict[str, Any]] = setting(
        list, "Cells of the matrix to leave out: axis → value, or list of values."
    )
    qualify: QualifySettings | None = setting(None, "Test every run and give a verdict.")
    probe: dict[str, ProbeOptions] = setting(dict, "Protocol → its options.")
    phases: PhaseSettings | None = setting(None, "Test sets in phase with the training data.")
    tables: dict[str, TableSettings] = setting(dict, "Name → table.")
    plots: dict[str, PlotSettings] = setting(dict, "Name → plot.")


@dataclass(frozen=True)
class Study:
    """A study as it was read.

    Attributes:
        path: of the file.
        asked: what it says, with variables filled in.
        folder: where its runs go.
        overrides: settings of every run that were typed, dotted name → value.
    """

    path: Path
    asked: StudyFile
    folder: Path
    overrides: dict[str, Any]


def read_study(
    path: str | Path, given: Sequence[str] = (), folder: str | Path | None = None
) -> Study:
    """Read a study.

    Args:
        path: STUDY.yaml.
        given: NAME=VALUE each: a variable of `paths`, or a setting of every run.
        folder: where its runs go, in the place of what the file says.

    Raises:
        PestleError: the file cannot be read, or something in it is unknown or out of range.
    """
    path = Path(path)
    tree = read_run_file(path)
    table = tree.get("paths") or {}
    variables, settings = _given(given, table if isinstance(table, Mapping) else {})
    values: dict[str, str | None] = {}
    for name, value in {**table, **variables}.items() if isinstance(table, Mapping) else ():
        values[str(name)] = None if value is None else str(value)
    tree = {name: _filled(part, values, path) for name, part in tree.items() if name != "paths"}
    asked = _checked({**tree, "paths": table}, path)
    _check_tests(asked)
    _check_shown(asked, path)
    where = Path(folder) if folder is not None else path.parent / (asked.folder or path.stem)
    return Study(path, asked, where.expanduser().absolute(), settings)


def _given(given: Sequence[str], table: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Variables and settings of what was typed."""
    variables: dict[str, str] = {}
    settings = []
    for text in given:
        name, equals, value = text.partition("=")
        if equals and name.strip() in table:
            variables[name.strip()] = str(Path(value).expanduser().absolute())
        elif equals and name.strip() not in known_names() and "." not in name:
            raise PestleError(
                "is neither a variable of the study nor a setting",
                where=f"--set {name.strip()}",
                fix=(nearest(name.strip(), [*table, *known_names()]).strip() + " ").lstrip()
                + f"Its variables are {', '.join(table) or 'none'}.",
            )
        else:
            settings.append(text)
    return variables, parse_overrides(settings)


def _filled(part: Any, values: Mapping[str, str | None], path: Path) -> Any:
    """The same with ${NAME} filled in."""
    if isinstance(part, Mapping):
        return {name: _filled(value, values, path) for name, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values, path) for value in part]
    if not isinstance(part, str):
        return part

    def value_of(match: re.Match[str]) -> str:
        name = match[1]
        found = values.get(name) if values.get(name) is not None else os.environ.get(name)
        if found is None:
            raise PestleError(
                f"the variable {name} has no value",
                where=str(path),
                fix=f"Give it: --set {name}=VALUE"
                + ("." if name in values else f", after a line `{name}:` under `paths:`."),
            )
        return found

    return _VARIABLE.sub(value_of, part)


def _checked(tree: Mapping[str, Any], path: Path) -> StudyFile:
    try:
        return StudyFile.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
    loc = [str(part) for part in first["loc"]]
    where = f"{path}: {'.'.join(loc)}"
    if first["type"] == "extra_forbidden":
        known = list(_names_at(StudyFile, loc[:-1]))
        near = near_name(loc[-1], known)
        fix = f"Did you mean '{near}'?" if near else f"There are {', '.join(known)}."
        raise PestleError("no such entry", where=where, fix=fix)
    if first["input"] is None:
        raise PestleError("is empty", where=where, fix="Fill it in, or remove its line.")
    raise PestleError(in_words(first), where=where)


def _names_at(kind: type[BaseModel], loc: Sequence[str]) -> Iterator[str]:
    """Names of the entries at a place of the file."""
    inner: dict[str, type[BaseModel]] = {
        "qualify": QualifySettings,
        "probe": ProbeOptions,
        "tables": TableSettings,
        "plots": PlotSettings,
        "phases": PhaseSettings,
    }
    found = inner[loc[0]] if loc and loc[0] in inner else kind
    for name, info in found.model_fields.items():
        yield info.alias or name


def _check_tests(asked: StudyFile) -> None:
    """Protocols, inputs and their settings must exist.

    Raises:
        PestleError: one does not, or a setting is out of range.
    """
    if asked.qualify is not None:
        check_qualify(asked.qualify)
    for name, options in asked.probe.items():
        _require_protocol(name, "probe")
        _check_settings(options.settings, f"probe.{name}.set")


def _check_shown(asked: StudyFile, path: Path) -> None:
    """Plots and phases must say all that they need.

    Raises:
        PestleError: one does not.
    """
    for name, plot in asked.plots.items():
        for entry in ("x", "y"):
            if plot.kind == "figure" and getattr(plot, entry) is None:
                raise PestleError(
                    f"has no {entry}",
                    where=f"{path}: plots.{name}",
                    fix="Write {x: AXIS, y: FIGURE}, or another kind: torsion, dimers, rdf, path, "
                    "violins.",
                )
    phases = asked.phases
    if phases is not None and (phases.axis is None) != isinstance(phases.inside, list):
        raise PestleError(
            "does not fit the axis",
            where=f"{path}: phases.in",
            fix="With an axis write {VALUE: [SET, …]}, without one [SET, …].",
        )


def check_qualify(asked: QualifySettings) -> None:
    """Names in the options of a qualification must exist.

    Raises:
        PestleError: one does not, or a setting is out of range.
    """
    for name in (*asked.run_too, *asked.leave_out):
        _require_protocol(name, "qualify")
    options = [taken.name for taken in inputs()]
    for name in asked.files:
        if name not in options:
            raise PestleError(
                f"no option of pestle qualify takes files called '{name}'",
                where="qualify.files",
                fix=f"{nearest(name, options)} There are {', '.join(options)}.".lstrip(),
            )
    _check_settings(asked.settings, "qualify.set")


def _check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Settings of protocols must exist, by their dotted names, which is how commands are given
    them."""
    for name in settings:
        if name not in known_names(ProbeSettings):
            raise unknown_name_error(name, ProbeSettings)
    build({}, settings, where=where, root=ProbeSettings)


def _require_protocol(name: str, where: str) -> None:
    if name not in names():
        raise PestleError(
            f"there is no protocol '{name}'",
            where=where,
            fix=f"{nearest(name, names())} The protocols are {', '.join(names())}.".lstrip(),
        )
