"""The matrix of a study: its axes, and every combination of their values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pestle.errors import PestleError, nearest
from pestle.settings.run import known_names
from pestle.settings.run_file import unknown_name_error

#: Entries of a value that are options of tests, not settings of the run.
TESTS = ("qualify", "probe")


@dataclass(frozen=True)
class Value:
    """One value of an axis.

    Attributes:
        shown: what tables show: the value of a setting, or the label of a group of settings.
        settings: dotted name → value.
        tests: options of `qualify` and `probe` that differ from those of the study.
    """

    shown: Any
    settings: dict[str, Any]
    tests: dict[str, Any] = field(default_factory=dict)


#: Axis → its values.
Axes = dict[str, tuple[Value, ...]]
#: Axis → the value that a cell has.
Combination = dict[str, Value]


def axes_of(matrix: Mapping[str, Any], known: Axes | None = None, where: str = "matrix") -> Axes:
    """The axes of a matrix.

    Args:
        matrix: a setting → list of its values, or a name of one's own → label → settings.
        known: axes whose values may be named by their labels.
        where: names the matrix in an error.

    Raises:
        PestleError: an axis is no setting, has no values, or a value cannot be understood.
    """
    settings = set(known_names())
    axes: Axes = {}
    for name, given in matrix.items():
        place = f"{where}.{name}"
        if isinstance(given, Mapping):
            axes[name] = tuple(
                _group(label, content, settings, f"{place}.{label}")
                for label, content in given.items()
            )
        else:
            values = given if isinstance(given, list) else [given]
            axes[name] = tuple(_value(name, one, settings, known or {}, place) for one in values)
        if not axes[name]:
            raise PestleError("has no values", where=place)
        shown = [value.shown for value in axes[name]]
        again = next((one for k, one in enumerate(shown) if one in shown[:k]), None)
        if again is not None:
            raise PestleError(f"names {again} twice", where=place)
    return axes


def _value(name: str, given: Any, settings: set[str], known: Axes, place: str) -> Value:
    """A value of an axis that is a setting, or the label of a known group."""
    named = [value for value in known.get(name, ()) if value.shown == plain(given)]
    if named:
        return named[0]
    if name not in settings:
        labels = [str(value.shown) for value in known.get(name, ())]
        if labels:
            fix = f"{nearest(str(given), labels)} There are {', '.join(labels)}.".lstrip()
            raise PestleError(f"has no value '{given}'", where=place, fix=fix)
        error = unknown_name_error(name)
        raise PestleError(
            "is no setting, and an axis of your own needs labels with settings",
            where=place,
            fix=f"{error.fix} Or write {name}: {{LABEL: {{SETTING: VALUE}}}}.",
        )
    return Value(plain(given), {name: plain(given)})


def _group(label: Any, content: Any, settings: set[str], place: str) -> Value:
    """A group of settings under a label."""
    if not isinstance(content, Mapping):
        raise PestleError(
            "is no group of settings", where=place, fix="Write {SETTING: VALUE, …} under the label."
        )
    tests = {name: part for name, part in content.items() if name in TESTS}
    flat = dict(flattened({k: v for k, v in content.items() if k not in TESTS}, settings))
    for name in flat:
        if name not in settings:
            error = unknown_name_error(name)
            raise PestleError(error.what, where=f"{place}.{name}", fix=error.fix)
    return Value(plain(label), flat, tests)


def flattened(
    tree: Mapping[str, Any], settings: set[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of settings that are nested, dotted or both."""
    for name, value in tree.items():
        whole = f"{prefix}{name}"
        if isinstance(value, Mapping) and whole not in settings:
            yield from flattened(value, settings, f"{whole}.")
        else:
            yield whole, plain(value)


def plain(value: Any) -> Any:
    """A value as it is meant: YAML 1.1 reads 1e-4 as text."""
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


def combinations(
    matrix: Mapping[str, Any],
    include: Sequence[Mapping[str, Any]] = (),
    exclude: Sequence[Mapping[str, Any]] = (),
    file: str = "",
) -> Iterator[Combination]:
    """Every cell: the product of the axes without what is excluded, then what is included.

    Args:
        matrix: as in `axes_of`.
        include: further matrices; the labels of the first one may be named.
        exclude: axis → value or list of values; a cell that fits all of an entry is left out.
        file: names the study in errors.

    Raises:
        PestleError: an axis or value cannot be understood.
    """
    file = f"{file}: " if file else ""
    axes = axes_of(matrix, where=f"{file}matrix")
    unwanted = [_condition(entry, axes, f"{file}exclude.{k}") for k, entry in enumerate(exclude)]
    for cell in _product(axes):
        if not any(all(cell[n].shown in v for n, v in entry.items()) for entry in unwanted):
            yield cell
    for k, entry in enumerate(include):
        yield from _product(axes_of(entry, axes, f"{file}include.{k}"))


def _product(axes: Axes) -> Iterator[Combination]:
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _condition(entry: Mapping[str, Any], axes: Axes, where: str) -> dict[str, list[Any]]:
    """Axis → values that are left out."""
    condition = {}
    for name, given in entry.items():
        place = f"{where}.{name}"
        if name not in axes:
            fix = f"{nearest(name, axes)} The axes are {', '.join(axes)}.".lstrip()
            raise PestleError("is no axis of the matrix", where=place, fix=fix)
        values = [plain(one) for one in (given if isinstance(given, list) else [given])]
        shown = [value.shown for value in axes[name]]
        unknown = next((one for one in values if one not in shown), None)
        if unknown is not None:
            raise PestleError(
                f"the axis has no value {unknown}",
                where=place,
                fix=f"It has {', '.join(map(str, shown))}.",
            )
        condition[name] = values
    return condition
