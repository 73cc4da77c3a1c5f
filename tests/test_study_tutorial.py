"""The tutorial of a study on a cluster: its file is one that Pestle plans, its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pestle import cli
from pestle.study.plan import plan
from pestle.study.study_file import read_study
from studies import DATA

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorials" / "study_on_a_cluster.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]]


def test_the_study_of_the_tutorial_is_planned(cells: list[str], tmp_path: Path) -> None:
    (text,) = [cell for cell in cells if cell.startswith("%%writefile")]
    file = tmp_path / "study.yaml"
    file.write_text(text.partition("\n")[2])
    found = plan(read_study(file, [f"data={DATA}"]))
    assert len(found.cells) == 4 and found.study.asked.tables and found.study.asked.plots


def test_the_commands_and_files_of_the_tutorial_exist(cells: list[str]) -> None:
    text = "\n".join(cells)
    known = {command.name for command in cli.study.app.registered_commands}
    typed = re.findall(r"^!?pestle study (\S+)", text, flags=re.MULTILINE)
    assert len(typed) >= 8
    assert {word for word in typed if not word.endswith(".yaml")} <= known
    files = re.findall(r"\.\./\.\./(examples/[\w./]+)", text)
    assert files and all((ROOT / file).exists() for file in files)
    engine = (ROOT / "examples" / "engines" / "slurm_one_gpu.py").read_text()
    table = re.findall(r"^\| (`.+?`) \|", text, flags=re.MULTILINE)
    named = [name for row in table for name in re.findall(r"\w+", row)]
    assert len(named) == 8 and all(name in engine for name in named), "what is to be changed"
