"""Every study under studies/ can be planned: its settings, protocols, axes and files are known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from pestle.adaptation.recipes import require_consistent
from pestle.foundations import catalogue
from pestle.protocols import protocol
from pestle.study.curves import KINDS
from pestle.study.phases import MEANS, all_sets, sets_in
from pestle.study.plan import Plan, plan
from pestle.study.plots import COURSE, CURVES, WATCHED
from pestle.study.study_file import StudyFile, read_study

STUDIES = Path(__file__).parents[1] / "studies"
FILES = sorted(STUDIES.glob("*/*.yaml"))
SIZES = ("small", "paper")
#: Not the paper's, and table 2, which trains nothing.
OURS = ("e0s_of_other_meaning", "replay_sets", "table2_e0s")
#: Errors of a set, or of a group of it.
QUANTITY = re.compile(r"(\w+\.)?(energy|forces|stress)_(rmse|mae)")
#: A variable, and where in its folder a file is looked for.
USE = re.compile(r"\$\{(\w+)\}((?:/[\w*.]+)*)")


def stand_ins(text: str, folder: Path) -> list[str]:
    """A file of its own content for each that a study names; NAME=PATH for its variables."""
    given = {}
    for variable, inside in USE.findall(text):
        place = given[variable] = folder / variable
        path = Path(f"{place}{inside}".replace("*", "any"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{variable}{inside}")
    return [f"{variable}={place}" for variable, place in given.items()]


def planned(path: Path, folder: Path) -> Plan:
    text = path.read_text()
    return plan(read_study(path, stand_ins(text, folder), folder / "out"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_study_can_be_planned(path: Path, tmp_path: Path) -> None:
    found = planned(path, tmp_path)
    asked = found.study.asked
    assert set(asked.paths) == {name for name, _ in USE.findall(path.read_text())}
    assert len({cell.name for cell in found.cells}) == len(found.cells), "two cells are one run"
    for cell in found.cells:
        assert catalogue.find(cell.settings.foundation) is not None
        assert cell.steps[0].name == "finetune"
        require_consistent(cell.settings)
        if path.parent.name == "small":
            # Two cores for two cells, and foundations that need no cluster.
            assert cell.settings.train.threads == 1
            assert cell.settings.foundation.startswith(("pestle-", "nequix-"))
        else:
            assert cell.settings.recipe == ("measured" if path.stem in OURS else "paper")
    asked_of(asked, found)


def asked_of(asked: StudyFile, found: Plan) -> None:
    """Tables and plots are of axes and figures that there are."""
    axes = {axis for cell in found.cells for axis in cell.axes}
    for table in asked.tables.values():
        assert {*table.rows, *table.columns, *(table.over or ())} <= axes
        for value in table.values:
            assert is_figure(value, found), value
    tested = {step.name.removeprefix("probe ") for cell in found.cells for step in cell.steps}
    for plot in asked.plots.values():
        assert {*(plot.lines or ()), *(plot.over or ())} <= axes
        if plot.kind in KINDS:
            assert KINDS[plot.kind].protocol in tested
        elif plot.kind == "violins":
            assert plot.x in axes and "errors" in tested
        elif plot.x in COURSE:
            of_set, _, what = (plot.y or "").partition(".")
            assert of_set in WATCHED and what in CURVES, plot.y
        else:
            assert plot.x in axes
            assert is_figure(plot.y or "", found), plot.y


def is_figure(name: str, found: Plan) -> bool:
    """Whether the runs of a study will have a figure of this name."""
    first, _, rest = name.partition(".")
    settings = found.cells[0].settings
    tested = {step.name.removeprefix("probe ") for cell in found.cells for step in cell.steps}
    if name in ("updates", "cost.cpu"):
        return True
    if name in ("forgetting.labels", "forgetting.foundation"):
        return "forgetting" in tested
    if first in tested:
        return any(leads_to_number(potential, rest) for potential in potentials_of(first))
    phases = found.study.asked.phases
    if phases is not None and first in MEANS:
        values = {str(cell.axes.get(phases.axis or "")) for cell in found.cells}
        assert any(sets_in(phases, value, first) for value in values), name
        return all(is_figure(f"{one}.{rest}", found) for one in all_sets(phases))
    errors = found.study.asked.probe.get("errors")
    sets = {one.partition("=")[0] for one in errors.files} if errors is not None else set()
    sets |= {"train", "valid", "replay", *(["test"] if settings.data.test else [])}
    return first in sets and QUANTITY.fullmatch(rest) is not None


def potentials_of(protocol_name: str) -> tuple[Any, ...]:
    """What a protocol writes of each model."""
    return get_args(protocol(protocol_name).numbers.model_fields["potentials"].annotation)[1:]


def leads_to_number(kind: Any, place: str) -> bool:
    """Whether there is a number at a place of what is written as this type."""
    inner = get_args(kind)
    if get_origin(kind) in (dict, list):
        dots = [k for k, letter in enumerate(f"{place}.") if letter == "."]
        return any(k > 0 and leads_to_number(inner[-1], place[k + 1 :]) for k in dots)
    if inner:
        return any(leads_to_number(one, place) for one in inner)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field, _, rest = place.partition(".")
        info = kind.model_fields.get(field)
        return info is not None and leads_to_number(info.annotation, rest)
    return not place and kind in (int, float)


def test_every_study_has_both_sizes() -> None:
    names = [{path.name for path in (STUDIES / size).glob("*.yaml")} for size in SIZES]
    assert names[0] == names[1]
    assert names[0]


def test_the_readme_names_every_study() -> None:
    text = (STUDIES / "README.md").read_text()
    for path in FILES:
        assert f"`{path.stem}`" in text, path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_study_begins_with_what_it_is_for(path: Path) -> None:
    head = path.read_text().split("paths:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert yaml.safe_load(path.read_text())["tables"]
