"""Errors along scans against shifts that are planted."""

from __future__ import annotations

import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from pestle.errors import PestleError
from pestle.jobs.probe import probe
from pestle.protocols import predictions
from pestle.protocols.base import Inputs
from pestle.protocols.potential import CalculatorPotential, ModelPotential
from pestle.protocols.raw import RawFolder
from pestle.protocols.thresholds import read_thresholds
from pestle.protocols.torsion.numbers import TorsionNumbers
from pestle.protocols.torsion.protocol import PROTOCOL, analyse, calculate
from pestle.protocols.torsion.scans import has_reference
from pestle.records.results import About, Measured
from pestle.settings.probe import TorsionSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames

#: eV, from the definition of the thermochemical calorie and the Avogadro and elementary charge.
KCAL = 4184 / 6.02214076e23 / 1.602176634e-19
EMT_NAME = "calculator:ase.calculators.emt:EMT"


class Rotor(Calculator):
    """H2O2 as its dihedral angle tells it: `energy` of the angle in radians, eV."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def __init__(self, energy) -> None:
        super().__init__()
        self.energy = energy

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        value = float(self.energy(np.radians(atoms.get_dihedral(0, 1, 2, 3))))
        self.results = {"energy": value, "free_energy": value, "forces": np.zeros((4, 3))}


def peroxide(degrees: float) -> Atoms:
    atoms = Atoms("HOOH", positions=[[1, 0, 0], [0, 0, 0], [0, 0, 1.45], [1, 0, 1.45]])
    atoms.set_dihedral(0, 1, 2, 3, degrees, indices=[3])
    return atoms


def true(phi):
    """Reference in eV: two minima, of which one is the lower."""
    return 0.2 * np.cos(2 * phi) + 0.03 * np.sin(phi)


#: Twelve angles: discrete sums of sines over them are those of whole periods.
ANGLES = np.arange(0.0, 360.0, 30.0)


def scan(name: str = "turn", angles=ANGLES, offset: float = -4000.0, **info) -> list[Frame]:
    found = []
    for k, degrees in enumerate(angles):
        atoms = peroxide(degrees)
        atoms.info |= {"dihedral_angle": float(degrees), **info}
        energy = float(true(np.radians(degrees))) + offset
        found.append(Frame(atoms, energy=energy, config_type=name, source=f"{name}.xyz", index=k))
    return found


def run(
    energies, sets, folder: Path, baseline: str | None = None, **settings
) -> Measured[TorsionNumbers]:
    """What is measured of potentials, of which the first is the candidate."""
    chosen = TorsionSettings(**settings)
    inputs = Inputs((1, 8), sets, candidate=next(iter(energies)))
    raws = {}
    for name, energy in energies.items():
        raws[name] = RawFolder(folder / name, {"of": name})
        potential = CalculatorPotential(name, lambda energy=energy: Rotor(energy))
        calculate(potential, inputs, chosen, raws[name])
    about = About(
        protocol="torsion",
        question=PROTOCOL.question,
        settings=chosen.model_dump(),
        models=tuple(energies),
        candidate=inputs.candidate,
        baseline=baseline,
        labels={},
        elements=("H", "O"),
    )
    return Measured.of(about, analyse(raws, inputs, chosen))


def test_planted_shifts(tmp_path: Path) -> None:
    """A constant is no error. A sine of amplitude a that vanishes in the reference's minimum is one
    of a/√2 however the curves are put on each other; one that does not, of √(a²/2 + shift²) about
    the minimum and a/√2 about the means."""
    lowest = np.radians(270.0)  # of the twelve
    a, quarter = 0.05, np.pi / 2
    measured = run(
        {
            "same": true,
            "constant": lambda phi: true(phi) + 123.0,
            "node": lambda phi: true(phi) + a * np.sin(phi - lowest),
            "crest": lambda phi: true(phi) + a * np.sin(phi - lowest + quarter),
        },
        {"one": scan()},
        tmp_path,
    )
    found = measured.numbers.potentials
    for name in ("same", "constant"):
        figures = ("rmse", "mean_aligned_rmse", "barrier_error")
        assert [getattr(found[name], key) for key in figures] == pytest.approx([0, 0, 0], abs=1e-8)
    half = a / np.sqrt(2) / KCAL
    assert found["node"].rmse == pytest.approx(half)
    assert found["node"].mean_aligned_rmse == pytest.approx(half)
    assert found["node"].rmse_mev == pytest.approx(1e3 * a / np.sqrt(2))
    assert found["crest"].rmse == pytest.approx(np.sqrt(a**2 / 2 + a**2) / KCAL)
    assert found["crest"].mean_aligned_rmse == pytest.approx(half)
    given = measured.numbers.scans["turn"]
    assert min(given.reference) == 0.0 and given.x[np.argmin(given.reference)] == 270.0


def test_barriers_are_highest_above_lowest(tmp_path: Path) -> None:
    """Twice as high everywhere: an error of one barrier, and its size for one half as high."""
    measured = run(
        {"double": lambda phi: 2 * true(phi), "half": lambda phi: true(phi) / 2},
        {"one": scan()},
        tmp_path,
    )
    values = true(np.radians(ANGLES))
    barrier = (values.max() - values.min()) / KCAL
    assert measured.numbers.scans["turn"].barrier == pytest.approx(barrier)
    double, half = (measured.numbers.potentials[name] for name in ("double", "half"))
    assert double.scans["turn"].barrier_error == pytest.approx(barrier)
    assert half.scans["turn"].barrier_error == pytest.approx(-barrier / 2)
    assert half.barrier_error == pytest.approx(barrier / 2)


def test_scans_are_told_apart_and_averaged(tmp_path: Path) -> None:
    """By config_type, by a key, by file; mean, median and the worst by hand. Each scan is of other
    angles, so that a potential wrong for small ones is wrong for some scans only."""
    parts = {
        "low": (0.0, 30.0, 60.0, 90.0),
        "mid": (120.0, 150.0, 180.0),
        "high": (210.0, 240.0, 270.0),
    }
    frames = [f for name, angles in parts.items() for f in scan(name, angles, molecule=name[0])]
    mixed = [frames[k] for k in np.random.default_rng(0).permutation(len(frames))]

    def wrong(phi):
        return true(phi) + 0.1 * np.cos(phi) * (phi < 1.9) + 0.01 * np.cos(phi) * (phi >= 1.9)

    measured = run({"toy": wrong}, {"all": mixed}, tmp_path / "mixed")
    found = measured.numbers.potentials["toy"]
    by_hand = {}
    for name, angles in parts.items():
        phi = np.radians(np.array(angles))
        error = wrong(phi) - true(phi)
        error = error - error[np.argmin(true(phi))]
        by_hand[name] = float(np.sqrt(np.mean(error**2))) / KCAL
    assert {n: s.rmse for n, s in found.scans.items()} == pytest.approx(by_hand)
    values = list(by_hand.values())
    assert found.rmse == pytest.approx(np.mean(values))
    assert found.median == pytest.approx(np.median(values))
    assert found.worst == "low"
    assert measured.numbers.scans["low"].x == [0.0, 30.0, 60.0, 90.0]  # in order again
    by_key = run({"toy": wrong}, {"all": mixed}, tmp_path / "key", group="molecule")
    assert sorted(by_key.numbers.scans) == ["h", "l", "m"]
    assert by_key.numbers.potentials["toy"].rmse == pytest.approx(found.rmse)
    twice = run({"toy": true}, {"a": scan(), "b": scan()}, tmp_path / "twice")
    assert list(twice.numbers.scans) == ["a: turn", "b: turn"]
    plain = run({"toy": true}, {"a": scan("Default")}, tmp_path / "plain")
    assert list(plain.numbers.scans) == ["a"]


def test_names_of_scans_are_unique(tmp_path: Path) -> None:
    """A set without groups, and a group of another set that is called like it; and a set called as
    the two together."""
    sets = {"a": scan("Default"), "b": scan("a"), "b: a": scan("Default"), "c": scan("d")}
    measured = run({"toy": true}, sets, tmp_path)
    assert list(measured.numbers.scans) == ["a", "b: a", "b: a (2)", "d"]
    assert list(measured.numbers.potentials["toy"].scans) == list(measured.numbers.scans)


def test_a_reference_is_an_energy() -> None:
    bare = [Frame(peroxide(30.0 * k)) for k in range(4)]
    atom = Frame(Atoms("O"), energy=-2000.0, config_type="IsolatedAtom")
    assert not has_reference({}) and not has_reference({"a": []})
    assert not has_reference({"a": [*bare, atom]})
    assert has_reference({"a": bare, "b": scan()})


def test_the_coordinate(tmp_path: Path) -> None:
    frames = scan()
    for k, frame in enumerate(frames):
        frame.atoms.info = {"step": -float(k)}
    named = run({"toy": true}, {"a": frames}, tmp_path / "named", angle="step")
    assert named.numbers.scans["turn"].x == [-11.0 + k for k in range(12)]
    assert named.numbers.scans["turn"].x_label == "step"
    order = run({"toy": true}, {"a": frames}, tmp_path / "order")
    assert order.numbers.scans["turn"].x == [1.0 + k for k in range(12)]
    for measured in (named, order):
        assert measured.numbers.potentials["toy"].rmse == pytest.approx(0, abs=1e-9)


def test_frames_without_energy_are_left_out_and_named(tmp_path: Path) -> None:
    frames = scan()
    frames[2].energy = frames[7].energy = None
    isolated = Frame(Atoms("O"), energy=-2000.0, config_type="IsolatedAtom")
    measured = run({"toy": true}, {"a": [isolated, *frames]}, tmp_path)
    assert measured.numbers.scans["turn"].frames == 10
    assert re.match("2 .*: turn.xyz frame 2, turn.xyz frame 7$", measured.numbers.unlabelled)
    assert "turn.xyz frame 7" in PROTOCOL.tables(measured)[0].note
    assert measured.numbers.potentials["toy"].rmse == pytest.approx(0, abs=1e-9)


def test_a_model_that_gives_nan_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    def broken(phi):
        return np.nan if phi > 5.5 else true(phi)

    measured = run({"bad": broken, "good": true}, {"a": scan()}, tmp_path)
    assert measured.numbers.potentials["bad"].rmse is None
    (finding,) = PROTOCOL.assess(measured, read_thresholds()["torsion"])
    assert finding.level == "fail"
    assert re.search("1 of 12 frames .*turn.xyz frame 11", finding.sentence)
    assert measured.numbers.potentials["good"].rmse == pytest.approx(0, abs=1e-9)
    PROTOCOL.charts(measured)
    rows = PROTOCOL.tables(measured)[0].rows
    assert rows[0][1] is None and "not finite" in rows[0][-1]


def test_findings_charts_and_tables(tmp_path: Path) -> None:
    """Eight scans of which one is wrong by a planted kcal/mol times the square root of two."""
    frames = [f for k in range(8) for f in scan(f"mol{k}", ANGLES + k)]

    def wrong(phi):
        degrees = np.degrees(phi) % 30
        return true(phi) + 8 * KCAL * np.sqrt(2) * np.sin(phi) * (abs(degrees - 3) < 0.1)

    measured = run({"toy": wrong, "good": true}, {"a": frames}, tmp_path, baseline="good")
    toy = measured.numbers.potentials["toy"]
    assert toy.worst == "mol3" and toy.mean_aligned_rmse == pytest.approx(1.0)
    assert toy.median == pytest.approx(0, abs=1e-9)
    findings = PROTOCOL.assess(measured, read_thresholds()["torsion"])
    assert len(findings) == 2
    (errors,) = [f for f in findings if f.quantity == "error of relative energies along scans"]
    worst = toy.scans["mol3"].rmse
    assert re.search(rf"{worst / 8:.2f} kcal/mol, .*\b8\b", errors.sentence)
    assert f"the worst mol3 by {worst:.2f}" in errors.sentence
    assert (
        "(the foundation by 0.00)" in errors.sentence and "such as those of mol3" in errors.sentence
    )
    overview, first, *rest = PROTOCOL.charts(measured)
    assert overview.kind == "violin" and len(overview.series[0].y) == 8
    assert first.title == "mol3: the worst of 8" and len(rest) == 5
    assert first.series[0].name == "reference" and first.series[0].dashed
    summary, each = PROTOCOL.tables(measured)
    assert [row[0] for row in summary.rows] == ["toy", "good"]
    assert len(each.rows) == 3 * 8
    assert all(len(row) == len(table.columns) for table in (summary, each) for row in table.rows)
    good = run({"toy": true}, {"a": scan()}, tmp_path / "good")
    assert [f.level for f in PROTOCOL.assess(good, read_thresholds()["torsion"])] == ["pass"] * 2
    assert PROTOCOL.charts(good)[0].kind == "bar" and len(PROTOCOL.tables(good)) == 1


def test_a_stop_changes_no_number(tmp_path: Path, monkeypatch) -> None:
    """Pieces of two frames, stopped in the third; another group afterwards asks no model again."""
    monkeypatch.setattr(predictions, "PIECE_ATOMS", 8)
    sets = {"a": scan(molecule="x")}
    whole = run({"toy": true}, sets, tmp_path / "whole")
    predict, calls = CalculatorPotential.predict, []

    def stopping(self, frames, on_progress=None):
        calls.append(len(frames))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(self, frames, on_progress)

    monkeypatch.setattr(CalculatorPotential, "predict", stopping)
    with pytest.raises(KeyboardInterrupt):
        run({"toy": true}, sets, tmp_path / "parts")
    assert run({"toy": true}, sets, tmp_path / "parts") == whole
    assert calls == [2, 2, 2, 2, 2, 2, 2]  # two pieces, the stop, the other four
    again = run({"toy": true}, sets, tmp_path / "parts", group="molecule")
    assert list(again.numbers.scans) == ["x"] and len(calls) == 7


def write(path: Path, frames: list[Frame]) -> None:
    for frame in frames:
        frame.atoms.info |= {"config_type": frame.config_type}
        if frame.energy is not None:
            frame.atoms.info["REF_energy"] = frame.energy
    ase.io.write(path, [frame.atoms for frame in frames], format="extxyz")


def other_molecule() -> Frame:
    return Frame(Atoms("H2O", positions=np.eye(3)), energy=0.0, config_type="turn")


def without_angle(frames: list[Frame]) -> list[Frame]:
    del frames[4].atoms.info["dihedral_angle"]
    return frames


@pytest.mark.parametrize(
    ("frames", "settings", "match"),
    [
        (
            scan(angles=[0.0, 30.0]),
            {},
            r"frame 0: .*'turn' .*\b2 .*\b3\b",
        ),
        (
            [*scan(), other_molecule()],
            {},
            "frame 12: holds H2O, the scan 'turn' H2O2.*torsion.group",
        ),
        (scan(), {"group": "molecul"}, "frame 0: has no 'molecul'.*torsion.group names the key"),
        (scan(), {"angle": "phi"}, "frame 0: has no 'phi'.*torsion.angle.*dihedral_angle"),
        (without_angle(scan()), {}, "frame 4: has no 'dihedral_angle'"),
        (
            scan(dihedral_angle="trans"),
            {},
            "frame 0: 'dihedral_angle' is no finite number: 'trans'",
        ),
        ([Frame(peroxide(10.0))], {}, r"one\.xyz: .*REF_energy"),
        ([Frame(peroxide(10.0), energy=np.nan)], {}, "frame 0: the energy"),
        ([Frame(Atoms("H"), energy=0.0, config_type="IsolatedAtom")], {}, "no scan is given"),
    ],
)
def test_mistakes_are_one_line(frames, settings, match, tmp_path: Path) -> None:
    write(tmp_path / "one.xyz", frames)
    asked = {f"torsion.{name}": value for name, value in settings.items()}
    with pytest.raises(PestleError, match=match) as caught:
        probe(
            "torsion",
            EMT_NAME,
            data=[str(tmp_path / "one.xyz")],
            out=tmp_path / "o",
            settings=asked,
        )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o" / "metrics.json").exists()


def test_from_a_file_with_a_network(seed0, tmp_path: Path) -> None:
    """Labels of the embedded foundation itself, from the file: no error."""
    model = ModelPotential("seed0", seed0)
    frames = scan(angles=ANGLES[:4])
    for frame, said in zip(frames, model.predict(frames), strict=True):
        frame.energy = said.energy
    write(tmp_path / "scan.xyz", frames)
    assert len(read_frames([str(tmp_path / "scan.xyz")]).frames) == 4
    probed = probe("torsion", "pestle-seed0", data=[str(tmp_path / "scan.xyz")], out=tmp_path / "o")
    assert probed.measured.numbers.potentials["pestle-seed0"].rmse == pytest.approx(0, abs=1e-4)
    assert [f.level for f in probed.findings] == ["pass", "pass"]
