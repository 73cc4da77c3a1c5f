"""Molecular dynamics on potentials whose behaviour is known beforehand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from scipy.integrate import quad
from scipy.stats import linregress
from scipy.stats import t as student

from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.jobs.probe import probe
from pestle.protocols.base import Inputs
from pestle.protocols.dynamics import ase_engine, batched_engine
from pestle.protocols.dynamics.body import Body
from pestle.protocols.dynamics.course import Clockwork, Leg
from pestle.protocols.dynamics.limits import Limits
from pestle.protocols.dynamics.runs import run_dynamics
from pestle.protocols.dynamics.starts import starting_structures
from pestle.protocols.dynamics.trajectory import Run, Trajectory, some_frames
from pestle.protocols.md.checks import bonds_of, drift, lost_bond
from pestle.protocols.md.findings import assess, story
from pestle.protocols.md.numbers import MdNumbers, PotentialNumbers, RunNumbers
from pestle.protocols.md.protocol import PROTOCOL, run_numbers
from pestle.protocols.potential import CalculatorPotential, ModelPotential, Potential
from pestle.protocols.raw import RawFolder
from pestle.protocols.thresholds import read_thresholds
from pestle.protocols.verdict import conclude
from pestle.records.results import About, Measured
from pestle.settings.probe import MdSettings
from pestle.structures.frame import Frame
from pestle.structures.writing import write_frames

ENGINES = ("ase", "torch-sim")
MOVERS = {"ase": ase_engine.AseMover, "torch-sim": batched_engine.BatchMover}
GPA = units.GPa


class Toy(Calculator):
    """A calculator of one function: atoms → energy, forces, stress."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces, stress = self.function(atoms)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        self.results["stress"] = np.array([stress, stress, stress, 0, 0, 0])


def toy(function) -> CalculatorPotential:
    return CalculatorPotential("toy", lambda: Toy(function))


def emt() -> CalculatorPotential:
    return CalculatorPotential("EMT", EMT)


def copper(seed: int = 0, a: float = 3.65) -> Frame:
    atoms = bulk("Cu", cubic=True, a=a)
    atoms.rattle(0.05, seed=seed)
    return Frame(atoms, source="copper", index=seed)


def sites(n: int = 4, a: float = 4.0) -> Atoms:
    """Argon on a grid in a cubic cell."""
    return bulk("Ar", "sc", a=a, cubic=True).repeat(n)


def run(
    folder: Path, potential: Potential, starts, legs, clock: Clockwork, *, seed=0, limits=None
) -> list[Run]:
    raw = RawFolder(folder, {"of": "test"})
    run_dynamics(
        potential, starts, legs, clock, raw, name="r", seed=seed, title="toy", limits=limits
    )
    return Trajectory(raw, "r").runs()


def same(a: Run, b: Run, tolerance: float = 0.0) -> bool:
    kept = ("step", "leg", "temperature", "potential", "total", "cells", "positions")
    pairs = [(getattr(a, key), getattr(b, key)) for key in kept]
    return all(np.allclose(x, y, rtol=0, atol=tolerance, equal_nan=True) for x, y in pairs)


# -- the engines ----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_constant_energy_is_velocity_verlet(engine: str, tmp_path: Path, monkeypatch) -> None:
    """The same trajectory as ASE's VelocityVerlet from the same momenta, also across segments."""
    momenta = []
    original = Body.draw_momenta

    def noted(body, temperature, rng):
        original(body, temperature, rng)
        momenta.append(body.momenta)

    monkeypatch.setattr(Body, "draw_momenta", noted)
    clock = Clockwork(2.0, every=0.02, segment=0.05, engine=engine)
    (found,) = run(tmp_path, emt(), [copper()], [Leg("nve", 0.16, "nve", 600)], clock)
    atoms = copper().atoms
    atoms.set_momenta(momenta[0])
    atoms.calc = EMT()
    assert np.abs(momenta[0].sum(axis=0)).max() < 1e-12
    for k in range(len(found)):
        assert np.abs(found.positions[k] - atoms.positions).max() < 1e-5  # kept in float32
        assert found.total[k] == pytest.approx(atoms.get_total_energy(), abs=1e-9)
        assert found.temperature[k] == pytest.approx(atoms.get_temperature(), rel=1e-9)
        VelocityVerlet(atoms, 2.0 * units.fs).run(10)
    assert len(found) == 9 and found.time[-1] == pytest.approx(0.16)
    assert np.ptp(found.total) < 2e-3 and np.ptp(found.potential) > 0.05


def test_both_engines_give_the_same_trajectory(tmp_path: Path) -> None:
    """Noise, piston and ramp included: the batched scheme against ASE's LangevinBAOAB."""
    legs = [
        Leg("npt", 0.06, "npt", 300, pressure=5.0),
        Leg("ramp", 0.06, "npt", 100, 900, pressure=-2.0),
        Leg("nvt", 0.06, "nvt", 300),
        Leg("nve", 0.06, "nve", 300),
    ]
    starts = [copper(0), copper(1), Frame(molecule("CO"), source="CO")]
    clock = Clockwork(2.0, every=0.01, segment=0.04, barostat=0.1)
    by_ase, batched = (
        run(tmp_path / e, emt(), starts, legs, replace(clock, engine=e)) for e in ENGINES
    )
    for a, b in zip(by_ase, batched, strict=True):
        assert same(a, b, 1e-6) and a.stopped is None
        assert np.abs(a.total - b.total).max() < 1e-9
    copper_run, gas = by_ase[0], by_ase[2]
    assert np.ptp(copper_run.volume[copper_run.within("npt")]) > 0.1
    assert np.ptp(copper_run.volume[copper_run.within("nvt")]) == 0.0
    assert copper_run.thermostat[copper_run.within("ramp")][-1] == pytest.approx(900)
    assert np.isnan(gas.volume).all()  # a molecule has none, also where npt was asked for


def test_network_in_a_batch_is_the_network_alone(seed0: Foundation, demo_train, tmp_path) -> None:
    starts = [frame for frame in demo_train if len(frame) > 1][:2]
    potential = ModelPotential("seed0", seed0)
    clock = Clockwork(0.5, every=0.002, segment=0.005)
    legs = [Leg("nvt", 0.01, "nvt", 300)]
    by_ase, batched = (
        run(tmp_path / e, potential, starts, legs, replace(clock, engine=e)) for e in ENGINES
    )
    for a, b in zip(by_ase, batched, strict=True):
        assert same(a, b, 1e-5) and np.abs(a.total - b.total).max() < 1e-7


@pytest.mark.parametrize("engine", ENGINES)
def test_thermostat_keeps_an_einstein_crystal_at_its_temperature(engine, tmp_path: Path) -> None:
    """3/2·N·k_B·T in the springs, for which BAOAB has no error of the time step, and in motion."""
    home, stiffness = sites(5).positions, 2.0

    def springs(atoms):
        away = atoms.positions - home
        return 0.5 * stiffness * np.sum(away**2), -stiffness * away, 0.0

    clock = Clockwork(10.0, friction=0.01, every=0.1, segment=5.0, engine=engine)
    start = Frame(sites(5), source="argon")
    (found,) = run(tmp_path, toy(springs), [start], [Leg("nvt", 12, "nvt", 200)], clock)
    settled = found.time > 1.0
    expected = 1.5 * 125 * units.kB * 200
    scatter = np.sqrt(2 / (3 * 125) / settled.sum())  # relative, of independent frames
    assert found.potential[settled].mean() == pytest.approx(expected, rel=5 * scatter)
    assert found.temperature[settled].mean() == pytest.approx(200, rel=5 * scatter)


@pytest.mark.parametrize("engine", ENGINES)
def test_pressure_of_a_known_equation_of_state(engine: str, tmp_path: Path) -> None:
    """An ideal gas with an energy ½·B·(V − V₀)²/V₀: p(V) ∝ V^N·exp(−(U + P·V)/kT)."""
    n, kT, modulus, pressure = 27, units.kB * 300, 1.0 * GPA, 0.2 * GPA
    first = 64.0 * n

    def fluid(atoms):
        strain = atoms.get_volume() / first - 1
        energy = 0.5 * modulus * first * strain**2
        return energy, np.zeros((n, 3)), modulus * strain

    def weight(v):
        return np.exp(
            n * np.log(v / first)
            - (0.5 * modulus * (v - first) ** 2 / first + pressure * (v - first)) / kT
        )

    norm, mean, square = (
        quad(lambda v, p=p: v**p * weight(v), 0.3 * first, 2 * first, limit=200)[0]
        for p in range(3)
    )
    mean, spread = mean / norm, np.sqrt(square / norm - (mean / norm) ** 2)
    clock = Clockwork(10.0, every=0.1, segment=25.0, barostat=0.1, engine=engine)
    legs = [Leg("npt", 25, "npt", 300, pressure=0.2)]
    limits = Limits(overlap=1e-6)
    (found,) = run(
        tmp_path, toy(fluid), [Frame(sites(3), source="gas")], legs, clock, limits=limits
    )
    assert found.stopped is None
    volume = found.volume[found.time > 2]
    assert volume.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(len(volume) / 4))
    assert volume.std() == pytest.approx(spread, rel=0.25)
    assert mean / first < 0.9  # the pressure matters


def test_momenta_are_those_of_the_temperature_and_of_nothing_as_a_whole() -> None:
    rng = np.random.default_rng(3)
    for atoms, inner in ((sites(8), 3 * 512 - 3), (molecule("C6H6"), 30), (molecule("CO2"), 4)):
        kelvin = []
        for _ in range(3000 // len(atoms)):
            body = Body.of(Frame(atoms), 0)
            body.draw_momenta(400.0, rng)
            atoms.set_momenta(body.momenta)
            assert np.abs(body.momenta.sum(axis=0)).max() < 1e-10
            assert atoms.pbc.all() or np.abs(atoms.get_angular_momentum()).max() < 1e-9
            kelvin.append(2 * body.kinetic_energy / (inner * units.kB))
        scatter = np.sqrt(2 / inner / len(kelvin))
        assert np.mean(kelvin) == pytest.approx(400, rel=4 * scatter)


# -- stops, seeds, restarts -----------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_killed_and_started_again_gives_the_same_bits(engine, tmp_path: Path, monkeypatch) -> None:
    legs = [Leg("npt", 0.05, "npt", 300), Leg("nve", 0.02, "nve", 300)]
    clock = Clockwork(1.0, every=0.005, segment=0.02, engine=engine)
    starts = [copper(0), copper(1)]
    whole = run(tmp_path / "whole", emt(), starts, legs, clock)
    steps = []
    original = MOVERS[engine].step

    def step(self, bodies, temperature):
        steps.append(0)
        if len(steps) in (7, 40, 71):
            raise KeyboardInterrupt
        original(self, bodies, temperature)

    monkeypatch.setattr(MOVERS[engine], "step", step)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", emt(), starts, legs, clock)
    parts = run(tmp_path / "parts", emt(), starts, legs, clock)
    assert all(same(a, b) for a, b in zip(whole, parts, strict=True))
    assert len(steps) < 2 * len(whole) * 70  # what had been written was not made again
    made = len(steps)
    run(tmp_path / "parts", emt(), starts, legs, clock)
    assert len(steps) == made


@pytest.mark.parametrize("engine", ENGINES)
def test_seeds_are_what_tells_runs_apart(engine: str, tmp_path: Path) -> None:
    legs, clock = [Leg("nvt", 0.02, "nvt", 300)], Clockwork(1.0, every=0.01, engine=engine)
    starts = [copper(0), copper(0)]
    first, twin = run(tmp_path / "0", emt(), starts, legs, clock, seed=0)
    (again, _), (other, _) = (
        run(tmp_path / f"again{s}", emt(), starts, legs, clock, seed=s) for s in (0, 1)
    )
    assert same(first, again)
    assert not same(first, twin, 1e-3) and not same(first, other, 1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_structure_that_is_lost_leaves_the_others_alone(engine: str, tmp_path: Path) -> None:
    silver = bulk("Ag", cubic=True, a=4.05)

    def lost_for_silver(atoms):
        plain = Atoms(atoms)
        plain.calc = EMT()  # whose neighbour list would remember the other structure
        found = plain.get_potential_energy(), plain.get_forces(), plain.get_stress()[0]
        moved = np.abs(atoms.positions - silver.positions).max() if "Ag" in atoms.symbols else 0.0
        return found if moved < 0.2 else (np.nan, *found[1:])

    legs, clock = [Leg("nvt", 0.2, "nvt", 900)], Clockwork(2.0, every=0.02, engine=engine)
    potential = toy(lost_for_silver)
    alone = run(tmp_path / "alone", potential, [copper()], legs, clock)[0]
    beside, bad = run(
        tmp_path / "both", potential, [copper(), Frame(silver, source="silver")], legs, clock
    )
    assert same(alone, beside) and beside.stopped is None
    assert bad.stopped is not None and bad.stopped.kind == "not finite"
    assert 0 < bad.stopped.step < 100 and bad.step[-1] == bad.stopped.step
    assert np.isfinite(bad.total).all()
    assert np.abs(bad.positions[-1] - silver.positions).max() < 0.2  # the last good state
    assert (tmp_path / "both" / "trajectory-r-1.xyz").is_file()


def pulled(strength: float):
    """Two atoms pulled apart along their line with a constant force, or together (< 0)."""

    def function(atoms):
        line = atoms.positions[1] - atoms.positions[0]
        r = np.linalg.norm(line)
        push = strength * line / r
        return -strength * r, np.array([-push, push]), 0.0

    return function


@pytest.mark.parametrize("engine", ENGINES)
def test_hard_signs_end_a_run_where_they_must(engine: str, tmp_path: Path) -> None:
    """Steps by hand: r(t) = r₀ ± f·t²/m of each atom's reduced motion, 1 K start."""
    clock = Clockwork(1.0, every=0.005, friction=1e-6, engine=engine)
    legs = [Leg("nvt", 2.0, "nvt", 1.0)]
    pair = Frame(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.4]]), source="pair")
    (found,) = run(tmp_path / "together", toy(pulled(-0.5)), [pair], legs, clock)
    stop = found.stopped
    assert stop.kind == "overlap" and "Cu0 and Cu1 overlap" in stop.reason
    mass = pair.atoms.get_masses()[0]
    falls = np.sqrt((2.4 - 1.32) * mass / 0.5) / units.fs
    assert stop.step == pytest.approx(falls, abs=15)  # looked for every ten steps

    def hot(atoms):
        away = atoms.positions - atoms.positions.mean(axis=0)
        return -2.0 * np.sum(away**2), 4.0 * away, 0.0

    (found,) = run(tmp_path / "hot", toy(hot), [pair], legs, replace(clock, friction=0.01))
    assert found.stopped.kind == "temperature" and "ran away to" in found.stopped.reason

    def imploding(atoms):
        return 0.0, np.zeros((len(atoms), 3)), 5.0 * GPA

    legs = [Leg("npt", 5.0, "npt", 300)]
    cell = Frame(sites(2), source="cell")
    (found,) = run(tmp_path / "cell", toy(imploding), [cell], legs, replace(clock, friction=0.01))
    assert found.stopped.kind == "volume" and "changed by −5" in found.stopped.reason
    assert found.volume[-1] / found.volume[0] == pytest.approx(0.5, abs=0.02)

    def thrown(atoms):
        return 0.0, np.full((len(atoms), 3), 1e7), 0.0

    (found,) = run(tmp_path / "thrown", toy(thrown), [pair], [Leg("a", 1, "nve", 10)], clock)
    assert found.stopped.kind == "runaway" and found.stopped.step == 1
    (found,) = run(
        tmp_path / "nan", toy(lambda atoms: (np.nan, np.zeros((2, 3)), 0.0)), [pair], legs, clock
    )
    assert found.stopped.kind == "not finite" and found.stopped.step == 0
    said = run_numbers(found, MdSettings())
    assert not said.stable and "not finite" in said.reason


@pytest.mark.parametrize("engine", ENGINES)
def test_charge_and_spin_reach_the_calculator(engine: str, tmp_path: Path) -> None:
    seen = set()

    def charged(atoms):
        seen.add((atoms.info["charge"], atoms.info["spin"]))
        assert atoms.info["total_charge"] == atoms.info["charge"]
        assert atoms.info["total_spin"] == atoms.info["spin"]
        return 0.0, np.zeros((len(atoms), 3)), 0.0

    starts = [
        Frame(molecule("OH"), charge=-1.0, source="a"),
        Frame(molecule("OH"), spin=2.0, source="b"),
    ]
    clock = Clockwork(0.5, every=0.001, engine=engine)
    found = run(tmp_path, toy(charged), starts, [Leg("nvt", 0.002, "nvt", 300)], clock)
    assert seen == {(-1.0, 1.0), (0.0, 2.0)} and all(r.stopped is None for r in found)


def test_a_slab_runs_with_ase(tmp_path: Path) -> None:
    slab = fcc111("Cu", (2, 2, 2), vacuum=5.0)
    starts = [Frame(slab, source="slab"), copper()]
    legs, clock = [Leg("npt", 0.01, "npt", 300)], Clockwork(1.0, every=0.005)
    flat, _ = run(tmp_path / "auto", emt(), starts, legs, clock)
    assert flat.stopped is None and np.ptp(flat.cells, axis=0).max() == 0.0
    with pytest.raises(PestleError, match=r"slab frame 0: .*periodic"):
        run(tmp_path / "ts", emt(), starts, legs, replace(clock, engine="torch-sim"))


# -- what is made of it ---------------------------------------------------------------------------
def test_bonds_are_those_of_molecules() -> None:
    water = molecule("H2O")
    pair = water.copy()
    pair.translate([0, 0, 3.0])
    assert len(bonds_of(water + pair)) == 4
    boxed = water.copy()
    boxed.set_cell([5, 5, 5])
    boxed.pbc = True
    boxed.positions[:, 2] -= 0.3  # cut by the boundary
    boxed.wrap()
    assert sorted(bonds_of(boxed).length) == pytest.approx([0.9686, 0.9686], abs=1e-3)
    ions = water + Atoms("NaCl", positions=[[0, 0, 2.4], [0, 0, 4.8]])
    assert len(bonds_of(ions)) == 2
    assert len(bonds_of(bulk("C", "diamond", a=3.57))) == 0  # a network
    assert len(bonds_of(bulk("NaCl", "rocksalt", a=5.64))) == 0
    assert len(bonds_of(bulk("Cu"))) == 0
    chain = Atoms("C2", positions=[[0, 0, 0], [1.4, 0, 0]], cell=[2.8, 9, 9], pbc=True)
    assert len(bonds_of(chain)) == 0


def test_a_bond_breaks_when_it_is_long_twice(tmp_path: Path) -> None:
    """Pulled apart by 0.2 eV/Å: r = r₀ + f·t²/m reaches 1.5·r₀ at a time by hand."""
    start = Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), source="h2")
    clock = Clockwork(0.1, every=0.0005, friction=1e-6)
    (found,) = run(tmp_path, toy(pulled(0.2)), [start], [Leg("nve", 0.03, "nve", 1.0)], clock)
    broken, _ = lost_bond(found, 1.5)
    expected = np.sqrt(0.37 * 1.008 / 0.2) / units.fs / 1e3
    assert found.time[broken.frame] == pytest.approx(expected, abs=0.0008)
    assert broken.name == "H0–H1" and broken.before == pytest.approx(0.74, abs=1e-6)
    assert broken.after == pytest.approx(1.11, abs=0.08)
    assert lost_bond(found, 5.0) == (None, [])
    # A blink, one frame long, is no break.
    positions = np.repeat(found.positions[:1], 5, axis=0)
    positions[2, 1, 2] = 3.0
    blink = replace(found, positions=positions, step=np.arange(5), cells=found.cells[:5])
    assert lost_bond(blink, 1.5) == (None, [])
    positions[3, 1, 2] = 3.0
    assert lost_bond(blink, 1.5)[0].frame == 2


def course(symbols: str, still: list[float], places: list[float], cell: float | None = None) -> Run:
    """A hydrogen atom, the last one, on a line through atoms that stand still."""
    positions = np.zeros((len(places), len(still) + 1, 3), dtype=np.float32)
    positions[:, :-1, 2] = still
    positions[:, -1, 2] = places
    zero = np.zeros(len(places))
    return Run(
        numbers=Atoms(symbols).numbers,
        pbc=np.array([cell is not None] * 3),
        legs=("steady",),
        step=np.arange(len(places)),
        time=zero + 1e-3 * np.arange(len(places)),
        leg=zero.astype(int),
        thermostat=zero,
        temperature=zero,
        potential=zero,
        total=zero,
        volume=zero + np.nan,
        stress=zero,
        cells=np.repeat(np.eye(3)[None] * (cell or 0.0), len(places), axis=0),
        positions=positions,
        stopped=None,
    )


@pytest.mark.parametrize("cell", [None, 12.0])
def test_a_proton_that_moves_to_a_new_partner_has_lost_no_bond(cell: float | None) -> None:
    """O–H···O as in the enol of acetylacetone; with a cell the acceptor is an image below."""
    side = 1.0 if cell is None else -1.0
    far = 2.55 if cell is None else cell - 2.55
    there = [0.96, 0.96, 1.25, 1.55, 1.6, 1.57, 1.0, 0.95]
    moved = course("O2H", [0.0, far], [side * z for z in there], cell)
    # The bonds are those of the first frame: the two oxygen atoms are 2.55 Å apart.
    broken, transfers = lost_bond(moved, 1.5)
    assert broken is None
    assert [t.name for t in transfers] == ["H2 moved from O0 to O1", "H2 moved from O1 to O0"]
    (found,) = measured([run_numbers(moved, MdSettings())]).numbers.potentials.values()
    assert found.n_unstable == 0
    finding = judged([run_numbers(moved, MdSettings())])[0]
    assert finding.level == "pass" and "H2 moved from O0 to O1" in finding.sentence


@pytest.mark.parametrize(
    ("symbols", "still", "places", "frame"),
    [
        ("O2H", [0.0, 6.0], [0.96, 0.96, 2.0, 2.5, 3.0], 2),  # no partner
        ("O2H", [0.0, 2.55], [0.96, 1.6, 1.6, 3.8, 4.5, 5.0], 4),  # the new partner loses it
        ("C2H", [0.0, 2.6], [1.09, 1.09, 1.7, 1.7, 1.6], 2),  # no proton of an acid
        ("COH", [0.0, 2.6], [1.09, 1.09, 1.7, 1.7, 1.6], 2),
    ],
)
def test_hydrogen_that_leaves_for_good_is_a_lost_bond(
    symbols: str, still: list[float], places: list[float], frame: int
) -> None:
    broken, _ = lost_bond(course(symbols, still, places), 1.5)
    assert broken is not None and broken.frame == frame


def test_drift_is_the_slope_of_a_line_through_block_means() -> None:
    rng = np.random.default_rng(0)
    time = np.linspace(3, 8, 100)
    energy = 5.0 + 1.7 * time + rng.normal(scale=0.2, size=100)
    slope, width = drift(time, energy)
    expected = linregress(*(x.reshape(10, 10).mean(axis=1) for x in (time, energy)))
    assert slope == pytest.approx(expected.slope)
    assert width == pytest.approx(expected.stderr * student.ppf(0.975, 8))
    slope, width = drift(time[:7], 5.0 + 1.7 * time[:7])
    assert slope == pytest.approx(1.7) and width < 1e-9
    assert drift(time[:4], energy[:4]) is None


def test_correlated_energies_are_no_drift() -> None:
    """Energies with a memory of three frames and no drift: one in twenty is beyond the interval,
    where a line through all points, as if they were independent, finds one in three."""
    rng, n = np.random.default_rng(1), 400
    time = np.arange(100.0)
    noise = rng.normal(size=(n, 150))
    for k in range(1, 150):
        noise[:, k] += np.exp(-1 / 3) * noise[:, k - 1]
    energies = noise[:, 50:]
    beyond = [abs(slope) > width for slope, width in (drift(time, e) for e in energies)]
    naive = [abs(line.slope) > 2 * line.stderr for line in (linregress(time, e) for e in energies)]
    assert np.mean(beyond) < 0.1 and np.mean(naive) > 0.25


SHORT = {
    "md.structures": 2,
    "md.time": 0.06,
    "md.nve_time": 0.04,
    "md.ramp_time": 0.05,
    "md.every": 0.005,
    "md.segment": 0.03,
    "md.timestep": 1.0,
}


def write(path: Path, structures: list[Atoms]) -> str:
    write_frames(path, [Frame(atoms, energy=0.0) for atoms in structures])
    return str(path)


def test_stable_dynamics_pass_and_the_figures_are_there(tmp_path: Path) -> None:
    data = write(tmp_path / "cu.xyz", [copper(k).atoms for k in range(5)])
    asked = {"data": [data], "out": tmp_path / "o"}
    probed = probe("md", "calculator:ase.calculators.emt:EMT", settings=SHORT, **asked)
    found = probed.measured.numbers.potentials["EMT"]
    assert [run.where for run in found.runs] == ["cu.xyz frame 0", "cu.xyz frame 2"] * 2
    assert found.n_runs == 4 and found.n_unstable == 0
    assert found.simulated == pytest.approx(2 * 0.15)
    steady = found.runs[0]
    assert steady.density == pytest.approx(8.9, rel=0.1)
    assert steady.volume == pytest.approx(3.65**3 / 4, rel=0.1)
    assert abs(steady.drift) < 1.0 + steady.drift_error
    assert {f.level for f in probed.findings} == {"pass"}
    said = probed.findings[0].sentence
    for fact in (
        "All 4 runs",
        "2 structures",
        "0.06 ps at 300 K",
        "0.04 ps",
        "0.05 ps from 50 to 800 K",
    ):
        assert fact in said
    assert "250 ps" in said and "not excluded" in said
    assert set(found.curves) == {"temperature", "volume", "energy", "ramp"}
    assert not (tmp_path / "o" / "flagged.xyz").exists()
    assert {chart.title for chart in PROTOCOL.charts(probed.measured)} == {
        "Temperature, steady part",
        "Temperature, ramp",
        "Total energy without thermostat",
        "Volume, steady part",
    }
    assert len(PROTOCOL.tables(probed.measured)[0].rows) == 4


def test_the_extent_names_the_ensembles_that_run() -> None:
    """A molecule in vacuum has no pressure; where both are there, both are named."""
    crystal = Frame(bulk("Cu", cubic=True))
    vacuum = Frame(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.8]]))

    def extent(*frames: Frame) -> str:
        return PROTOCOL.extent(Inputs((1,), {"data": list(frames)}), MdSettings())

    assert extent(crystal) == (
        "1 structure: 250 ps npt at 300 K, 5 ps nve, ramp 50 → 800 K over 50 ps"
    )
    assert "250 ps nvt at" in extent(vacuum) and "npt" not in extent(vacuum)
    assert "npt (nvt where not periodic)" in extent(vacuum, crystal)


MODULE = """
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

class Weak(Calculator):
    '''Two hydrogen atoms that nothing holds together.'''
    implemented_properties = ["energy", "forces"]
    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        line = atoms.positions[1] - atoms.positions[0]
        r = np.linalg.norm(line)
        f = 0.2 * line / r
        self.results = {"energy": -0.2 * r, "forces": np.array([-f, f])}
"""


def test_an_unstable_potential_is_called_so_and_limits_need_no_new_run(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weak.py").write_text(MODULE)
    data = write(tmp_path / "h2.xyz", [Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]])] * 2)
    asked = {"data": [data], "out": tmp_path / "o"}
    probed = probe("md", "calculator:weak:Weak", settings=SHORT | {"md.hot": 50.0}, **asked)
    found = probed.measured.numbers.potentials["Weak"]
    assert found.n_unstable == 4
    bad = found.runs[0]
    assert bad.kind == "bond" and bad.leg == "steady" and bad.step == 1e3 * bad.time
    worst = probed.findings[0]
    assert worst.level == "fail" and worst.value == 1.0
    assert worst.sentence.startswith("4 of 4 runs") and "structure 0 (h2.xyz" in worst.sentence
    assert "lost its bond H0–H1" in worst.sentence
    at = f"at {bad.time:.4g} ps (step {bad.step}) in the steady part at 300 K"
    assert at in worst.sentence
    assert (tmp_path / "o" / "flagged.xyz").read_text().count("lost its bond") == 4
    assert "atoms" in PROTOCOL.tables(probed.measured)[0].note.lower()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "raw").rglob("*.npz")}
    wide = SHORT | {"md.hot": 50.0, "md.bond_stretch": 100.0}
    probed = probe("md", "calculator:weak:Weak", settings=wide, **asked)
    assert probed.measured.numbers.potentials["Weak"].n_unstable < 4
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "raw").rglob("*.npz")}


def told(kind: str | None = None, part: str = "steady", **figures) -> RunNumbers:
    """What became of a run."""
    names = {"bond": "it lost its bond C0–F5 (1.40 → 2.31 Å)", "volume": "its volume changed"}
    found = {"part": part, "structure": 3, "where": "ts.xyz frame 3", "stable": kind is None}
    found |= {"formula": "CH3ClF", "atoms": 6, "simulated": 0.05, "thermostat": 300.0}
    found |= {"kind": kind, "reason": names.get(kind or ""), "leg": part, "time": 0.05, "step": 100}
    return RunNumbers(**(found | figures))


def drifting(slope: float | None, width: float | None, structure: int = 0) -> RunNumbers:
    left = None if slope is None or width is None else max(0.0, abs(slope) - width)
    return told(drift=slope, drift_error=width, drift_judged=left, structure=structure)


def measured(
    runs: list[RunNumbers], base: list[RunNumbers] | None = None, **settings
) -> Measured[MdNumbers]:
    def potential(runs: list[RunNumbers]) -> PotentialNumbers:
        bad = sum(not run.stable for run in runs)
        return PotentialNumbers(
            runs=runs,
            n_runs=len(runs),
            n_unstable=bad,
            unstable_share=bad / len(runs),
            simulated=0.05 * len(runs),
            curves={},
        )

    about = About(
        protocol="md",
        question=PROTOCOL.question,
        settings=MdSettings(**settings).model_dump(),
        models=("a", "b") if base else ("a",),
        candidate="a",
        baseline="b" if base else None,
        labels={},
        elements=("C",),
    )
    potentials = {"a": potential(runs)} | ({"b": potential(base)} if base else {})
    return Measured.of(about, MdNumbers(potentials=potentials))


def judged(runs: list[RunNumbers], base: list[RunNumbers] | None = None, **settings):
    """Findings on these runs: unstable runs, and the drift where there is one."""
    found = assess(measured(runs, base, **settings), read_thresholds()["md"])
    by_quantity = {f.quantity: f for f in found}
    return by_quantity["unstable runs"], by_quantity.get("energy drift")


def test_the_surest_drift_is_judged_not_the_largest() -> None:
    noisy, sure = drifting(12.0, 11.5, 1), drifting(-3.0, 0.2, 2)
    _, found = judged([noisy, sure, drifting(0.1, 0.2, 4)])
    assert (found.level, found.value) == ("concern", pytest.approx(2.8))
    assert re.search("structure 2 .*−3 ± 0.2 meV/atom/ps", found.sentence)
    assert "shorter time step" in found.sentence
    assert "1 of 3 tails" in found.sentence
    _, found = judged([drifting(12.0, 10.9), drifting(-3.0, 0.2)])
    assert found.value == pytest.approx(2.8) and "the worst of 2 tails" in found.sentence
    _, found = judged([drifting(12.0, 0.5)], [drifting(0.0, 0.1)])
    assert (found.level, found.value) == ("fail", 11.5)
    _, found = judged([drifting(0.5, 0.4)])
    assert (found.level, found.value) == ("pass", pytest.approx(0.1))
    assert "too short" not in found.sentence


@pytest.mark.parametrize("tails", [[drifting(12.0, 12.5)], [drifting(None, None)]])
def test_a_tail_too_short_to_tell_is_no_fault_and_no_figure(tails) -> None:
    stability, found = judged(tails, nve_time=0.1)
    assert (found.level, found.value) == ("pass", None)
    assert re.search(r"\b0\.1 ps .*too short .*1 meV/atom/ps", found.sentence)
    assert "md.nve_time" in found.sentence
    said = conclude("narrow", "a", [stability, found], ("md",), [])
    assert said.verdict == "pass"
    assert judged(tails, nve_time=0.0)[1] is None
    assert judged([told("volume")])[1] is None  # nothing came to its tail


def test_a_concern_is_a_use_with_care_and_a_failure_none() -> None:
    """The verdict says the same of this use."""
    few, _ = judged([told("volume"), *(told() for _ in range(7))])
    assert few.level == "concern" and "With care for dynamics" in few.sentence
    many, _ = judged([told("volume"), told()])
    assert many.level == "fail" and "Not for dynamics" in many.sentence


def test_a_bond_that_broke_may_be_a_reaction() -> None:
    found, _ = judged([told("bond"), told(), told(), told()], [told("bond"), told("volume")])
    assert found.level == "fail"
    assert found.sentence.startswith("1 of 4 runs lost a bond")
    assert "foundation: 2 of 2, 1 of them by a bond" in found.sentence
    assert "structure 3 (ts.xyz frame 3)" in found.sentence
    assert re.search(r"bond C0–F5 \(1\.40 → 2\.31 Å\) at 0\.05 ps", found.sentence)
    assert re.search("reaction: .*trajectory-steady-3.xyz", found.sentence)
    # Beside results that were just calculated: the file as it would be typed.
    there = replace(measured([told("bond"), told()]), raws={"a": Path("my runs/raw/a")})
    (typed, *_) = assess(there, read_thresholds()["md"])
    assert "'my runs/raw/a'/trajectory-steady-3.xyz" in typed.sentence
    assert "Not for dynamics" not in found.sentence and "reference en" not in found.sentence
    # Something worse beside it is named first, and the bond is told apart.
    found, _ = judged([told("bond"), told("volume", "ramp"), told()], [told(), told("bond")])
    assert re.match("2 of 3 runs .*1 of them by a bond", found.sentence)
    assert re.search(r"foundation: 1 of 2.*structure 3 \(ts\.xyz frame 3\).*volume", found.sentence)
    assert "check the reference energies" in found.sentence
    assert re.search("reaction: .*trajectory-steady-3.xyz", found.sentence)


def test_a_pass_says_what_was_simulated() -> None:
    full, _ = judged([told(), told(part="ramp")], [told(), told(part="ramp")])
    assert re.match("All 2 runs .*with the foundation none of 2", full.sentence)
    for fact in ("1 structure over 250 ps at 300 K", "5 ps without thermostat", "50 to 800 K"):
        assert fact in full.sentence
    assert "not excluded" in full.sentence and "the paper" not in full.sentence
    some, _ = judged([told()], time=100.0, temperature=450.0, ramp_time=0.0)
    assert re.search("1 structure over 100 ps at 450 K .*100 ps: the paper", some.sentence)
    ramp, _ = judged([told(part="ramp")], time=0.0, nve_time=0.0)
    assert re.search("50 ps from 50 to 800 K.*Nothing .*steady temperature", ramp.sentence)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_volume_that_runs_away_tells_the_stress_at_the_start(engine, tmp_path: Path) -> None:
    def swelling(atoms):
        return 0.0, np.zeros((len(atoms), 3)), -6.0 * GPA

    legs, clock = [Leg("steady", 5.0, "npt", 300)], Clockwork(1.0, every=0.005, engine=engine)
    (found,) = run(tmp_path, toy(swelling), [Frame(sites(2), source="cell")], legs, clock)
    assert found.stress[0] == pytest.approx(-6.0)
    said = run_numbers(found, MdSettings())
    assert said.kind == "volume" and said.stress == pytest.approx(-6.0)
    assert "volume changed by +5" in said.reason
    assert "−6 GPa" in story(said)


WITHOUT_STRESS = """
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

class Free(Calculator):
    implemented_properties = ["energy", "forces"]
    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_constant_pressure_needs_a_stress(engine: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("free.py").write_text(WITHOUT_STRESS)
    pair = Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 3.8]])
    data = write(tmp_path / "ar.xyz", [sites(2), pair])
    asked = {"data": [data], "out": tmp_path / "o"}
    chosen = SHORT | {"md.engine": engine}
    for npt in ({}, {"md.ensemble": "nvt", "md.ramp_ensemble": "npt"}):
        with pytest.raises(PestleError, match="Free gives no stress") as caught:
            probe("md", "calculator:free:Free", settings=chosen | npt, **asked)
        assert "\n" not in caught.value.line and "nvt" in caught.value.line
        assert not (tmp_path / "o").exists()
    probed = probe("md", "calculator:free:Free", settings=chosen | {"md.ensemble": "nvt"}, **asked)
    assert probed.measured.numbers.potentials["Free"].n_unstable == 0
    # A molecule has no stress, and needs none.
    gas = write(tmp_path / "gas.xyz", [pair])
    probe("md", "calculator:free:Free", settings=chosen, data=[gas], out=tmp_path / "gas")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stress_that_is_no_number_ends_a_run(engine: str, tmp_path: Path) -> None:
    potential = toy(lambda atoms: (0.0, np.zeros((len(atoms), 3)), np.nan))
    clock = Clockwork(1.0, every=0.005, engine=engine)
    start = Frame(sites(2), source="cell")
    (found,) = run(tmp_path / "p", potential, [start], [Leg("npt", 0.02, "npt", 300)], clock)
    assert found.stopped.kind == "not finite" and found.stopped.step == 0
    (found,) = run(tmp_path / "v", potential, [start], [Leg("nvt", 0.02, "nvt", 300)], clock)
    assert found.stopped is None and np.isnan(found.stress).all()


def test_starts_are_evenly_taken_and_single_atoms_left_out() -> None:
    frames = [Frame(molecule("H2O"), index=k) for k in range(9)]
    atoms = [Frame(Atoms("O")), Frame(Atoms("O"), config_type="IsolatedAtom")]
    found = starting_structures(frames + atoms, 3, "md")
    assert [f.index for f in found] == [0, 3, 6]
    assert len(starting_structures(frames + atoms, 50, "md")) == 9
    inputs = Inputs((1, 8), {"a": frames[:5] + atoms, "b": frames[5:]})
    starts = PROTOCOL.structures(inputs, MdSettings(structures=3))
    assert [f.index for f in starts] == [0, 3, 6]  # raw results depend on no other


def test_some_frames_are_the_first_the_last_and_some_between() -> None:
    assert some_frames(10, 4) == [0, 3, 6, 9]
    assert some_frames(3, 5) == [0, 1, 2] and some_frames(1, 5) == [0]
    assert len(some_frames(1000, 300)) == 300 and some_frames(1000, 300)[-1] == 999


@pytest.mark.parametrize(
    ("atoms", "time", "match"),
    [
        (Atoms("Cu"), 1.0, "planted frame 0: .*single atom"),
        (Atoms("Cu2", positions=[[0, 0, 0], [2, 0, 0]], pbc=True), 1.0, "planted frame 0: .*cell"),
        (molecule("CO"), 0.0, "nothing to run"),
        (None, 1.0, "no structure"),
    ],
)
def test_what_cannot_be_run_is_said(atoms, time: float, match: str, tmp_path: Path) -> None:
    starts = [] if atoms is None else [Frame(atoms, source="planted")]
    with pytest.raises(PestleError, match=match):
        run(tmp_path, emt(), starts, [Leg("nvt", time, "nvt", 300)], Clockwork(1.0))


@pytest.mark.parametrize(
    ("structures", "settings", "match"),
    [
        ([], {}, "no structure .*Give --data"),
        ([Atoms("O")], {}, "but single atoms"),
        (
            [molecule("H2O")],
            {"md.time": 0.0, "md.nve_time": 0.0, "md.ramp_time": 0.0},
            r"md: .*Set md\.time",
        ),
        ([molecule("H2O")], {"md.engine": "lammps"}, "engine"),
    ],
)
def test_mistakes_are_one_line(structures, settings, match: str, tmp_path: Path) -> None:
    data = [write(tmp_path / "d.xyz", structures)] if structures else []
    with pytest.raises(PestleError, match=match):
        probe(
            "md",
            "calculator:ase.calculators.emt:EMT",
            data=data,
            elements=["O"],
            settings=settings,
            out=tmp_path / "o",
        )
    assert not (tmp_path / "o").exists()


def test_atoms_that_overlap_before_anything_has_moved_are_the_users(tmp_path: Path) -> None:
    """Not the model's fault, so no finding against it."""
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 0.1]])
    write_frames(tmp_path / "start.xyz", [Frame(atoms)])
    with pytest.raises(PestleError, match=r"frame 0: .*C0 and O1 .*0\.10 Å"):
        probe("md", "pestle-seed0", data=[str(tmp_path / "start.xyz")], out=tmp_path / "o")
    assert not (tmp_path / "o").exists()
