"""Raw results that earlier versions wrote are analysed as then, and calculations go on from them.

`old_raw/PROTOCOL` holds raw results of toy potentials, written before they had a number of their
format, and `metrics.json`, the numbers that the version that wrote them found.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.morse import MorsePotential

from pestle.errors import PestleError
from pestle.files import Damaged, finite, read_json
from pestle.protocols import protocol
from pestle.protocols.arrays import Arrays, Shape
from pestle.protocols.base import Inputs
from pestle.protocols.potential import CalculatorPotential
from pestle.protocols.raw import RawFolder
from pestle.structures.frame import Frame

OLD = Path(__file__).parent / "old_raw"


class Valley(Calculator):
    """One atom: a double well along x, a parabola along y and z; no number beyond x = 2."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, changes=all_changes) -> None:
        super().calculate(atoms, properties, changes)
        x, y, z = self.atoms.positions[0]
        energy = (x * x - 1) ** 2 + 0.2 * x + y * y + z * z if x < 2 else np.nan
        forces = -np.array([[4 * x * (x * x - 1) + 0.2, 2 * y, 2 * z]])
        self.results = {"energy": energy, "forces": forces}


def morse() -> Calculator:
    return MorsePotential(epsilon=0.3, r0=2.6, rho0=4.0, rcut1=3.5, rcut2=4.5)


def dies() -> Calculator:
    """Harder than any structure, so that a run becomes unstable at once."""
    return MorsePotential(epsilon=300.0, r0=2.6, rho0=9.0, rcut1=3.5, rcut2=4.5)


class Refuses(Calculator):
    """For what is calculated already."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=None, changes=all_changes) -> None:
        raise AssertionError("nothing is left to calculate")


def labelled(atoms: Atoms, energy: float, index: int) -> Frame:
    forces = np.full((len(atoms), 3), 0.01)
    return Frame(atoms, energy=energy, forces=forces, source="toy.xyz", index=index)


def copper(stretch: float = 1.0) -> Atoms:
    return bulk("Cu", cubic=True, a=3.65 * stretch)


def way(*x: float) -> list[Frame]:
    return [labelled(Atoms("H", [[at, 0.1, 0.0]]), 0.1 * k, k) for k, at in enumerate(x)]


SOLIDS = [labelled(copper(1 + 0.01 * k), 0.1 * k, k) for k in range(3)]
PAIR = Atoms("Cu2", [[0.0, 0.0, 0.0], [0.0, 0.0, 2.5]])
RUN = {"timestep": 2.0, "every": 0.01, "segment": 0.02}


@dataclass(frozen=True)
class Case:
    """What a protocol was given."""

    sets: dict[str, list[Frame]]
    settings: dict[str, Any]
    elements: tuple[int, ...] = (29,)
    make: Callable[[], Calculator] = morse


CASES = {
    "errors": Case({"solids": SOLIDS, "pair": [labelled(PAIR, 1.0, 0)]}, {}),
    "atoms": Case({"data": [Frame(Atoms("Cu"), energy=0.1, config_type="IsolatedAtom")]}, {}),
    "dimers": Case({}, {"points": 20}, elements=(13, 29)),
    "rss": Case(
        {},
        {
            "compositions": ["CuAl"],
            "structures": 3,
            "max_atoms": 4,
            "pressures": [50.0],
            "cycles": 2,
            "max_steps": 10,
            "batch": 200,
        },
        elements=(13, 29),
    ),
    "md": Case(
        {"data": [SOLIDS[0], Frame(PAIR, source="pair.xyz")]},
        RUN | {"time": 0.04, "nve_time": 0.02, "ramp_time": 0.02},
    ),
    "rdf": Case(
        {"data": [Frame(copper().repeat(2), source="cu.xyz")]},
        RUN | {"time": 0.04, "equilibration": 0.02, "seeds": 2, "r_max": 3.5},
    ),
    "neb": Case(
        {"whole": way(-1.1, 0.1, 1.1), "lost": way(-1.1, 2.5)},
        {"images": 5, "fmax": 0.01, "max_steps": 60},
        elements=(1,),
        make=Valley,
    ),
    "neb-autoneb": Case(
        {"whole": way(-1.1, 0.1, 1.1)},
        {"images": 6, "method": "autoneb"},
        elements=(1,),
        make=Valley,
    ),
    "md-unstable": Case(
        {"data": [Frame(PAIR, source="pair.xyz")]},
        RUN | {"time": 0.04, "nve_time": 0.0, "ramp_time": 0.0},
        make=dies,
    ),
}


def given(name: str) -> tuple[Any, Inputs, Any]:
    """Protocol, inputs and settings of a case."""
    case, chosen = CASES[name], protocol(name.partition("-")[0])
    inputs = Inputs(case.elements, case.sets, candidate="toy")
    return chosen, inputs, chosen.settings(**case.settings)


def old_raw(name: str, folder: Path) -> RawFolder:
    """A copy of what was written then."""
    shutil.copytree(OLD / name / "raw", folder / "raw")
    return RawFolder(folder / "raw", read_json(folder / "raw" / "key.json"))


def assert_same(found: Any, known: Any, where: str = "") -> None:
    """The same but for the last digits of numbers, and numbers that are new since."""
    if isinstance(known, dict):
        assert found.keys() >= known.keys(), where
        for key in known:
            assert_same(found[key], known[key], f"{where}.{key}")
    elif isinstance(known, list):
        assert len(found) == len(known), where
        for k, (one, other) in enumerate(zip(found, known, strict=True)):
            assert_same(one, other, f"{where}.{k}")
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=1e-6, abs=1e-9), where
    else:
        assert found == known, where


def numbers_of(name: str, raw: RawFolder) -> Any:
    chosen, inputs, settings = given(name)
    found = chosen.analyse({"toy": raw}, inputs, settings)
    return json.loads(json.dumps(finite(found.model_dump(mode="json"))))


@pytest.mark.parametrize("name", CASES)
def test_they_are_analysed_as_then(name: str, tmp_path: Path) -> None:
    known = json.loads((OLD / name / "metrics.json").read_text())
    assert_same(numbers_of(name, old_raw(name, tmp_path)), known)


#: Protocols that predict a little at every start.
ALWAYS = ("atoms", "dimers", "neb", "neb-autoneb")
#: Files that every start writes.
REWRITTEN = ("atoms.npz", "steady-setup.npz", "ramp-setup.npz", "nvt-setup.npz")


@pytest.mark.parametrize("name", CASES)
def test_what_is_there_is_not_calculated_again(name: str, tmp_path: Path) -> None:
    """A killed run that wrote everything but the mark of its end."""
    raw = old_raw(name, tmp_path)
    (raw.path / "done.json").unlink()
    files = [path for path in raw.path.glob("*.npz") if path.name not in REWRITTEN]
    before = {path: path.read_bytes() for path in files}
    chosen, inputs, settings = given(name)
    make = CASES[name].make if name in ALWAYS else Refuses
    chosen.calculate(CalculatorPotential("toy", make), inputs, settings, raw)
    assert raw.finished
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_cycle_of_crystals_goes_on_from_the_one_before(tmp_path: Path) -> None:
    known = json.loads((OLD / "rss" / "metrics.json").read_text())
    raw = old_raw("rss", tmp_path)
    for path in (raw.path / "done.json", *raw.path.glob("*_1.npz")):
        path.unlink()
    chosen, inputs, settings = given("rss")
    chosen.calculate(CalculatorPotential("toy", morse), inputs, settings, raw)
    assert_same(numbers_of("rss", raw), known)


@dataclass(frozen=True)
class Path3(Arrays):
    """A record with everything that a record may have."""

    positions: Annotated[np.ndarray, Shape("images", 3)]
    energy: Annotated[np.ndarray, Shape("images")]
    steps: int
    note: str = ""


@dataclass(frozen=True)
class Paths(Arrays):
    paths: dict[int, Path3]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    raw = RawFolder(tmp_path / "raw", {})
    path = Path3(np.arange(6.0).reshape(2, 3), np.array([0.5, np.nan]), 7, "two images")
    raw.write("paths", Paths({3: path, 11: path}))
    again = raw.read("paths", Paths)
    assert list(again.paths) == [3, 11]
    found = again.paths[11]
    assert (found.steps, found.note) == (7, "two images")
    np.testing.assert_array_equal(found.positions, path.positions)
    np.testing.assert_array_equal(found.energy, path.energy)
    assert len(Path3.joined([found, found]).energy) == 4


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ({"energy": np.zeros(2), "steps": np.array(1)}, "'positions'"),
        ({"positions": np.zeros((3, 3)), "energy": np.zeros(2), "steps": np.array(1)}, "'energy'"),
        ({"positions": np.zeros((2, 2)), "energy": np.zeros(2), "steps": np.array(1)}, "(2, 2)"),
        ({"positions": np.zeros((2, 3)), "energy": np.array(["a"] * 2), "steps": 1}, "'energy'"),
    ],
)
def test_an_array_that_is_missing_or_wrong_is_named(stored: dict[str, Any], named: str) -> None:
    with pytest.raises(Damaged) as error:
        Path3.of(stored, "path.npz")
    assert error.value.where == "path.npz" and named in error.value.what and error.value.fix


def test_raw_results_of_a_newer_version_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="newer"):
        Path3.of({"format": np.array(2)}, "path.npz")
