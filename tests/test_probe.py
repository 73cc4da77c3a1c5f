"""Physical tests on potentials whose behaviour is known beforehand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.morse import MorsePotential

import pestle
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.jobs.probe import probe
from pestle.protocols.base import Inputs
from pestle.protocols.dimers.protocol import (
    Curve,
    DimersNumbers,
    PotentialNumbers,
    analyse,
    assess,
    calculate,
    curve,
)
from pestle.protocols.potential import CalculatorPotential
from pestle.protocols.raw import RawFolder
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import About, Measured
from pestle.settings.probe import DimerSettings
from pestle.structures.frame import Frame
from pestle.structures.writing import write_frames

CU = 29
RADII = 2 * 1.32  # two coppers, Å


def morse() -> Calculator:
    """Its well is 1 eV deep at 2.4 Å and repulsive inside."""
    return MorsePotential(epsilon=1.0, rho0=6.0, r0=2.4, rcut1=7.0, rcut2=8.0)


class Holed(Calculator):
    """Morse with an attractive hole of `depth` at 1.2 Å, as networks without short-range data have
    them. (Morse alone is at 363 eV there.)"""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, depth: float = 600.0) -> None:
        super().__init__()
        self.inner, self.depth = morse(), depth

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        plain = atoms.copy()
        plain.calc = self.inner
        energy, forces = plain.get_potential_energy(), plain.get_forces()
        for i in range(len(atoms)):
            for j in range(i):
                vector = atoms.positions[i] - atoms.positions[j]
                r = np.linalg.norm(vector)
                hole = -self.depth * np.exp(-(((r - 1.2) / 0.2) ** 2))
                energy += hole
                push = hole * 2 * (r - 1.2) / 0.2**2 * vector / r
                forces[i] += push
                forces[j] -= push
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}


def sheet(make, tmp_path: Path) -> PotentialNumbers:
    raw = RawFolder(tmp_path / "raw", {"of": "test"})
    inputs = Inputs((CU,))
    calculate(CalculatorPotential("toy", make), inputs, DimerSettings(), raw)
    return analyse({"toy": raw}, inputs, DimerSettings()).potentials["toy"]


def test_a_morse_curve_is_sound_and_its_well_is_found(tmp_path: Path) -> None:
    found = sheet(morse, tmp_path)
    pair = found.pairs["Cu-Cu"]
    assert found.n_flagged == 0 and pair.flags == []
    step = RADII * 2.7 / 99
    assert pair.r_min == pytest.approx(2.4, abs=step)
    assert pair.depth == pytest.approx(1.0, abs=0.01)
    # By hand: e(r) = exp(-2·ρ·x) − 2·exp(-ρ·x), x = r/r0 − 1, at 0.3 covalent sums.
    x = 0.3 * RADII / 2.4 - 1
    wall = np.exp(-12 * x) - 2 * np.exp(-6 * x)
    assert pair.wall == pytest.approx(wall + 1.0, rel=1e-2)


def test_a_planted_hole_is_found_where_it_is(tmp_path: Path) -> None:
    found = sheet(Holed, tmp_path)
    pair = found.pairs["Cu-Cu"]
    assert found.n_flagged == 1
    (flag,) = [f for f in pair.flags if "inwards" in f]
    assert float(flag.split("down to ")[1].split()[0]) == pytest.approx(1.2, abs=0.15)
    assert pair.fall > 5.0
    assert sheet(lambda: Holed(depth=0.01), tmp_path / "ripple").n_flagged == 0


def test_curves_by_hand() -> None:
    r = np.linspace(0.3, 3.0, 200)
    wall = 0.05 / r**8
    second = -0.5 * np.exp(-(((r - 2.2) / 0.1) ** 2))
    attractive = -1.0 / r
    assert curve(r, wall, 1.0).flags == []
    assert curve(r, wall - np.exp(-(((r - 1.0) / 0.2) ** 2)), 1.0).wells == 1
    two = curve(r, wall - np.exp(-(((r - 1.0) / 0.2) ** 2)) + second, 1.0)
    assert two.wells == 2 and "1 more well" in two.flags[0]
    collapsed = curve(r, attractive, 1.0).flags
    assert any("inwards" in f for f in collapsed) and any("no wall" in f for f in collapsed)
    lost = np.where(r < 0.5, np.nan, wall)
    assert re.search("not finite .*0.30 Å", curve(r, lost, 1.0).flags[0])


@pytest.mark.parametrize(
    ("candidate", "foundation", "level"),
    [("", "", "pass"), ("hole", "", "fail"), ("hole", "hole", "concern")],
)
def test_holes_of_the_foundation_are_no_new_ones_and_no_pass(candidate, foundation, level) -> None:
    pairs = {"mine": candidate, "base": foundation}
    potentials = {}
    for name, flag in pairs.items():
        found = Curve(distance=[1.0], energy=[0.0], flags=[flag] * bool(flag))
        potentials[name] = PotentialNumbers(pairs={"Cu-Cu": found}, n_pairs=1, n_flagged=bool(flag))
    about = About(
        protocol="dimers",
        question="",
        settings={},
        models=("mine", "base"),
        candidate="mine",
        baseline="base",
        labels={},
        elements=("Cu",),
    )
    measured = Measured.of(about, DimersNumbers(potentials=potentials))
    (found,) = assess(measured, read_thresholds()["dimers"])
    assert found.level == level and (found.value > 0) == bool(candidate)


def test_raw_results_are_reused_and_a_stop_loses_nothing(tmp_path, monkeypatch) -> None:
    """Stopped after the first of three pairs and started again: the same numbers, and only what was
    missing is calculated."""
    from pestle.protocols import potential

    calls = []
    original = potential.CalculatorPotential.predict

    def counted(self, frames, on_progress=None):
        calls.append(len(frames))
        if len(calls) == 3:  # single atoms, one pair, then the stop
            raise KeyboardInterrupt
        return original(self, frames, on_progress)

    asked = {"elements": ["Cu", "Ag"], "settings": {"dimers.points": 20}}
    model = "calculator:ase.calculators.emt:EMT"
    whole = probe("dimers", model, out=tmp_path / "whole", **asked)
    with monkeypatch.context() as patch:
        patch.setattr(potential.CalculatorPotential, "predict", counted)
        with pytest.raises(KeyboardInterrupt):
            probe("dimers", model, out=tmp_path / "parts", **asked)
        calls[:] = [0] * 5
        parts = probe("dimers", model, out=tmp_path / "parts", **asked)
        assert calls[5:] == [2, 20, 20]  # single atoms again, two of three pairs
        assert parts.measured == whole.measured
        again = probe("dimers", model, out=tmp_path / "parts", **asked)
        assert len(calls) == 8 and again.measured == whole.measured
        probe("dimers", model, out=tmp_path / "parts", elements=["Cu"])  # another question
        assert len(calls) > 8
    charts = json.loads((tmp_path / "whole" / "charts.json").read_text())
    assert [chart["title"] for chart in charts] == ["Cu-Cu", "Cu-Ag", "Ag-Ag"]


def test_single_atoms_against_references(seed0: Foundation, tmp_path: Path) -> None:
    real = seed0.isolated_atom_energies()
    frames = [
        Frame(Atoms(numbers=[z]), energy=real[z] + error, config_type="IsolatedAtom")
        for z, error in ((1, 0.003), (6, -0.004))
    ]
    write_frames(tmp_path / "atoms.xyz", frames)
    done = probe("atoms", "pestle-seed0", data=[str(tmp_path / "atoms.xyz")], out=tmp_path / "o")
    found = done.measured.numbers.potentials["pestle-seed0"]
    assert found.errors["H"] == pytest.approx(-0.003, abs=1e-5)
    assert found.errors["C"] == pytest.approx(0.004, abs=1e-5)
    assert found.rmse == pytest.approx(1e3 * np.sqrt((9e-6 + 16e-6) / 2), abs=0.01)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"name": "dimer"}, "no protocol 'dimer'. Did you mean 'dimers'"),
        ({"settings": {"dimers.point": 10}}, "no such setting"),
        ({"settings": {"dimers.points": 1}}, r"dimers\.points.*\b20\b"),
        ({"elements": ["Xx"]}, "'Xx' is no element"),
        ({"elements": []}, "not known which elements"),
        ({"elements": ["Po"]}, "does not know Po"),
        ({"model": "nowhere"}, "foundation: .*'nowhere'"),
        ({"dtype": "float16"}, "unknown dtype"),
        ({"model": "calculator:nowhere:EMT"}, "cannot be imported"),
    ],
)
def test_mistakes_are_one_line(changed, match, tmp_path: Path) -> None:
    asked = {"name": "dimers", "model": "pestle-seed0", "elements": ["H"], "out": tmp_path / "o"}
    with pytest.raises(PestleError, match=match):
        probe(**(asked | changed))
    assert not (tmp_path / "o").exists()


def test_the_public_function_is_the_command() -> None:
    assert pestle.probe is probe
