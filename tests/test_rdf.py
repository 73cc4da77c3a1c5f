"""Protocol `rdf` on crystals, gases and potentials whose behaviour is known beforehand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from pestle.errors import PestleError
from pestle.jobs.probe import probe
from pestle.protocols.base import Inputs
from pestle.protocols.potential import CalculatorPotential
from pestle.protocols.raw import RawFolder
from pestle.protocols.rdf.numbers import (
    ComparedFunction,
    Function,
    PotentialNumbers,
    RdfNumbers,
    ReferenceNumbers,
)
from pestle.protocols.rdf.protocol import analyse, assess, calculate, charts, tables
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import About, Measured
from pestle.settings.probe import RdfSettings
from pestle.structures.frame import Frame

A = 3.62  # of copper, Å
RUN_DYNAMICS = "pestle.protocols.rdf.protocol.run_dynamics"
MODEL = "calculator:ase.calculators.emt:EMT"
SHORT = {
    "rdf.time": 0.12,
    "rdf.equilibration": 0.06,
    "rdf.every": 0.01,
    "rdf.segment": 0.05,
    "rdf.timestep": 2.0,
    "rdf.seeds": 2,
    "rdf.samples": 50,
}


def copper(a: float = A) -> Atoms:
    return bulk("Cu", "fcc", a=a, cubic=True).repeat(3)


def gas(symbols: str, seed: int, n_frames: int, side: float = 10.0) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    n = len(Atoms(symbols))
    return [
        Atoms(symbols, rng.uniform(0, side, (n, 3)), cell=[side] * 3, pbc=True)
        for _ in range(n_frames)
    ]


def written(path: Path, frames: list[Atoms] | Atoms) -> str:
    ase.io.write(path, frames, format="extxyz")
    return str(path)


def measured(numbers: RdfNumbers, candidate: str, baseline: str | None) -> Measured[RdfNumbers]:
    about = About(
        protocol="rdf",
        question="",
        settings={},
        models=tuple(numbers.potentials),
        candidate=candidate,
        baseline=baseline,
        labels={},
        elements=("Cu",),
    )
    return Measured.of(about, numbers)


def run_of(make, tmp_path: Path, **changed):
    """Results and findings of a potential that starts from a copper crystal, which stands in."""
    settings = RdfSettings(
        **{key.removeprefix("rdf."): value for key, value in (SHORT | changed).items()}
    )
    raw = RawFolder(tmp_path / "raw", {"of": "test"})
    inputs = Inputs((29,), {"crystal": [Frame(copper(), source="crystal")]}, 0, "toy")
    calculate(CalculatorPotential("toy", make), inputs, settings, raw)
    found = measured(analyse({"toy": raw}, inputs, settings), "toy", None)
    return found, assess(found, read_thresholds()["rdf"])


@pytest.fixture(scope="module")
def independent(tmp_path_factory) -> str:
    """A trajectory of copper at 300 K by ASE's own Langevin dynamics."""
    atoms, rng = copper(), np.random.default_rng(7)
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    dynamics = Langevin(atoms, 2 * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng)
    dynamics.run(50)
    frames = []
    dynamics.attach(lambda: frames.append(atoms.copy()), interval=5)
    dynamics.run(200)
    return written(tmp_path_factory.mktemp("reference") / "langevin.xyz", frames)


def test_a_run_has_the_structure_of_an_independent_one(independent: str, tmp_path: Path) -> None:
    start = written(tmp_path / "start.xyz", copper())
    asked = {"data": [start], "out": tmp_path / "o"}
    near = probe("rdf", MODEL, settings=SHORT | {"rdf.reference": [independent]}, **asked)
    numbers = near.measured.numbers
    found = numbers.potentials["EMT"]
    pair = found.pairs["Cu-Cu"]
    assert (found.n_frames, found.n_runs, found.unstable) == (24, 2, [])
    assert pair.emd < 0.03 and near.findings[0].level == "pass"
    assert pair.first_peak[0] == pytest.approx(A / 2**0.5, abs=0.06)
    r, n = np.array(pair.r), np.array(pair.coordination)
    assert n[np.searchsorted(r, 3.1)] == pytest.approx(12, abs=0.2)
    assert numbers.reference.text == "40 frames of langevin.xyz"
    assert re.search(r"5\.43 Å .*\b6\b", numbers.notices[0])

    # The same run against the same trajectory in a lattice that is 8 % wider, scaled with it.
    wide = ase.io.read(independent, ":")
    for atoms in wide:
        atoms.set_cell(1.08 * atoms.cell.array, scale_atoms=True)
    wider = written(tmp_path / "wide.xyz", wide)
    far = probe("rdf", MODEL, settings=SHORT | {"rdf.reference": [wider]}, **asked)
    shifted = far.measured.numbers.potentials["EMT"].pairs["Cu-Cu"]
    assert shifted.emd > 5 * pair.emd and shifted.emd > shifted.emd_noise
    reference = far.measured.numbers.reference.pairs["Cu-Cu"]
    peaks = reference.first_peak[0] - shifted.first_peak[0]
    assert peaks == pytest.approx(0.08 * A / 2**0.5, abs=0.06)
    assert far.findings[0].level != "pass" and "first peak" in far.findings[0].sentence


class Stopped(EMT):
    """Copper, stopped by the user at its 70th step."""

    calls = 0

    def calculate(self, *args, **kwargs):
        Stopped.calls += 1
        if Stopped.calls == 70:
            raise KeyboardInterrupt
        super().calculate(*args, **kwargs)


def test_a_stop_changes_no_number_and_analysis_no_run(tmp_path: Path) -> None:
    brief = {"rdf.time": 0.06, "rdf.equilibration": 0.04, "rdf.segment": 0.02}
    whole, _ = run_of(EMT, tmp_path / "whole", **brief)
    with pytest.raises(KeyboardInterrupt):
        run_of(Stopped, tmp_path / "parts", **brief)
    at_stop = Stopped.calls
    parts, _ = run_of(Stopped, tmp_path / "parts", **brief)
    assert parts.numbers.potentials == whole.numbers.potentials
    # 50 steps of two runs; what was written was not made again.
    assert at_stop == 70 and Stopped.calls - at_stop < 2 * 50 - 30


def test_analysis_settings_keep_the_run(tmp_path: Path, monkeypatch) -> None:
    start = written(tmp_path / "start.xyz", copper())
    asked = {"data": [start], "out": tmp_path / "o"}
    single = SHORT | {"rdf.seeds": 1, "rdf.time": 0.1, "rdf.equilibration": 0.0}
    first = probe("rdf", MODEL, settings=single, **asked)
    monkeypatch.setattr(RUN_DYNAMICS, lambda *_, **__: pytest.fail("again"))
    other = {"rdf.r_max": 4.0, "rdf.bins": 40, "rdf.pairs": ["Cu-Cu"], "rdf.blocks": 4}
    again = probe("rdf", MODEL, settings=single | other, **asked)
    numbers = again.measured.numbers
    assert numbers.r_max == 4.0 and len(numbers.potentials["EMT"].pairs["Cu-Cu"].g) == 40
    assert first.measured.numbers.r_max > 5


class Breaks(EMT):
    """Copper that returns NaN from some step on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.left -= 1
        if self.left < 0:
            self.results["forces"] = np.full((len(atoms), 3), np.nan)


def test_an_unstable_potential_is_failed_with_its_reason(tmp_path: Path) -> None:
    calm, _ = run_of(EMT, tmp_path / "calm", **{"rdf.seeds": 1})
    broken, findings = run_of(lambda: Breaks(65), tmp_path / "broken", **{"rdf.seeds": 1})
    found = broken.numbers.potentials["toy"]
    # Of 30 steps of equilibration nothing, then a frame each 5 steps: 35, 40 … 60. That of the
    # stop, a little later, is left out.
    assert found.n_frames == 6 and calm.numbers.potentials["toy"].n_frames == 12
    assert np.isfinite(found.pairs["Cu-Cu"].g).all()
    assert (findings[0].level, findings[0].value) == ("fail", 1)
    assert re.match(r"1 of 1 run .*run 1 at 0\.", findings[0].sentence)
    assert "not finite" in findings[0].sentence
    assert any("1 of 1 run of toy" in text for text in broken.numbers.notices)
    nothing, verdict = run_of(lambda: Breaks(0), tmp_path / "nan")
    assert nothing.numbers.potentials["toy"].pairs == {}
    assert len(verdict) == 1 and verdict[0].level == "fail" and "2 of 2 runs" in verdict[0].sentence
    assert charts(nothing)[0].series[0].name == "reference" and tables(nothing)[0].rows


def test_a_table_on_another_grid_is_no_distance(tmp_path: Path) -> None:
    """The table holds the trajectory's own function, three points for each bin, up to r_max."""
    trajectory = written(tmp_path / "gas.xyz", gas("NaCl3Ar9", 1, 40))
    asked = {"data": [trajectory], "settings": {"rdf.trajectory": [trajectory], "rdf.r_max": 4.5}}
    own = probe("rdf", MODEL, elements=["Cu"], out=tmp_path / "a", **asked)
    pairs = own.measured.numbers.potentials["EMT"].pairs
    assert list(pairs) == ["Ar-Ar", "Ar-Cl", "Ar-Na", "Cl-Cl", "Cl-Na"]  # one Na: no Na-Na
    assert all(curve.emd == 0.0 for curve in pairs.values())
    r = np.array(pairs["Ar-Ar"].r)
    fine = r[0] + (r[1] - r[0]) / 3 * np.arange(3 * len(r) - 1)
    columns = [np.interp(fine, r, pairs[name].g) for name in ("Ar-Ar", "Cl-Na")]
    lines = [
        ",".join(f"{x!r}" for x in map(float, row)) for row in zip(fine, *columns, strict=True)
    ]
    table = tmp_path / "reference.csv"
    table.write_text("\n".join(["r_A, Ar-Ar, Na-Cl", *lines]) + "\n")
    asked["settings"] |= {"rdf.reference": [str(table)]}
    found = probe("rdf", MODEL, elements=["Cu"], out=tmp_path / "b", **asked).measured.numbers
    curves = found.potentials["EMT"].pairs
    assert list(curves) == ["Ar-Ar", "Cl-Na"]
    assert found.reference.text == "the table reference.csv"
    assert found.r_max == 4.5 and found.notices == []
    for curve in curves.values():
        assert curve.emd < 1e-12 < curve.emd_noise
    assert found.reference.pairs["Ar-Ar"].error is None
    # Named from the other side, it is the same pair.
    asked["settings"] |= {"rdf.pairs": ["Na-Cl", "Cl-Na"]}
    turned = probe("rdf", MODEL, elements=["Cu"], out=tmp_path / "c", **asked)
    ((name, curve),) = turned.measured.numbers.potentials["EMT"].pairs.items()
    assert name == "Na-Cl" and curve.g == curves["Cl-Na"].g


def test_only_the_candidate_has_the_given_trajectory(tmp_path: Path) -> None:
    files = [written(tmp_path / f"run{k}.xyz", gas("Ar30", k, 10)) for k in (1, 2)]
    data = written(tmp_path / "data.xyz", gas("Ar30", 9, 20))
    found = probe(
        "rdf",
        MODEL,
        against="calculator:ase.calculators.lj:LennardJones",
        data=[data],
        elements=["Cu"],
        settings={"rdf.trajectory": files, "rdf.r_max": 4.0},
        out=tmp_path / "o",
    ).measured.numbers
    assert list(found.potentials) == ["EMT"]
    assert found.potentials["EMT"].n_runs == 2
    assert "LennardJones" in found.notices[0]


def test_given_structures_stand_in_and_that_is_said(tmp_path: Path) -> None:
    """Of the data those of the run's composition: 6 of 10 frames."""
    data = written(tmp_path / "train.xyz", gas("Ar30", 1, 6) + gas("Ar30Ne", 2, 4))
    run = written(tmp_path / "run.xyz", gas("Ar60", 3, 6, side=10 * 2 ** (1 / 3)))
    out = tmp_path / "o"
    found = probe("rdf", MODEL, data=[data], elements=["Cu"], out=out, settings={
        "rdf.trajectory": [run], "rdf.r_max": 4.0
    })  # fmt: skip
    said = (
        "6 frames with the composition of the run among 10 frames of the given data (train), not a "
        "trajectory"
    )
    reference = found.measured.numbers.reference
    assert reference.text == said and reference.stands_in
    assert all(f"The reference is {said}." in f.sentence for f in found.findings)
    drawn = json.loads((out / "charts.json").read_text())
    assert all(f"The reference is {said}." in chart["caption"] for chart in drawn)
    assert [s["name"] for s in drawn[0]["series"]] == ["reference", "EMT"]
    assert drawn[-1]["kind"] == "bar" and drawn[-1]["series"][0]["x"] == ["Ar-Ar"]


def test_what_chance_explains_is_not_held_against_a_model(tmp_path: Path) -> None:
    """Two ideal gases with a handful of pairs are far apart, and nothing can be concluded."""
    data = written(tmp_path / "few.xyz", gas("NaCl2", 1, 5))
    run = written(tmp_path / "run.xyz", gas("NaCl2", 2, 5))
    asked = {"rdf.trajectory": [run], "rdf.r_max": 5.0, "rdf.pairs": ["Na-Cl"]}
    found = probe("rdf", MODEL, data=[data], elements=["Cu"], settings=asked, out=tmp_path / "o")
    pair = found.measured.numbers.potentials["EMT"].pairs["Na-Cl"]
    assert 0.1 < pair.emd < pair.emd_noise and pair.judged
    assert found.findings[0].level == "concern"
    said = found.findings[0].sentence
    assert said.startswith("Na-Cl is ") and "chance alone can make " in said
    assert found.findings[0].value == pair.emd
    # Rare atoms are judged only when asked for.
    everything = probe("rdf", MODEL, data=[data], elements=["Cu"], out=tmp_path / "p", settings={
        "rdf.trajectory": [run], "rdf.r_max": 5.0
    })  # fmt: skip
    pairs = everything.measured.numbers.potentials["EMT"].pairs
    assert not any(curve.judged for curve in pairs.values())


def test_the_sentence_names_the_worst_pair_and_the_foundation() -> None:
    def curve(emd: float | None, noise: float, judged: bool = True) -> ComparedFunction:
        return ComparedFunction(
            r=[0.5, 1.5],
            g=[0.0, 1.0],
            error=[0.0, 0.1],
            coordination=None,
            first_peak=(1.5, 1.0),
            emd=emd,
            emd_error=0.01,
            emd_interval=None if emd is None else (emd - 0.02, emd + 0.02),
            emd_noise=noise,
            judged=judged,
        )

    flat = Function(r=[0.5, 1.5], g=[1.0, 1.0], error=None, coordination=None, first_peak=None)
    names = ["Cl-O", "O-O", "Na-Na"]
    mine = {"Cl-O": curve(0.4, 0.05), "O-O": curve(0.2, 0.05), "Na-Na": curve(0.9, 0.1, False)}
    base = {"Cl-O": curve(0.6, 0.05), "O-O": curve(0.1, 0.05)}

    def results(**changed: ComparedFunction) -> Measured[RdfNumbers]:
        mine.update({name.replace("_", "-"): one for name, one in changed.items()})
        potentials = {
            name: PotentialNumbers(source="", n_frames=9, n_runs=3, unstable=[], pairs=pairs)
            for name, pairs in (("new", dict(mine)), ("old", base))
        }
        reference = ReferenceNumbers(
            text="a table", stands_in=False, pairs=dict.fromkeys(names, flat)
        )
        numbers = RdfNumbers(
            pairs=names, r_max=6.0, notices=[], reference=reference, potentials=potentials
        )
        return measured(numbers, "new", "old")

    limits = read_thresholds()["rdf"]
    (found,) = assess(results(), limits)
    assert (found.level, found.value, found.quantity) == ("fail", 0.4, "distance of Cl-O")
    assert "Cl-O is 0.4 Å" in found.sentence
    assert "the foundation 0.6 Å" in found.sentence and "worst of 2 pairs" in found.sentence
    assert "Not judged, too rare: Na-Na." in found.sentence
    (found,) = assess(results(Cl_O=curve(0.05, 0.01)), limits)
    assert found.level == "concern"  # O-O is the worst now
    assert assess(results(O_O=curve(0.02, 0.01)), limits)[0].level == "pass"
    # Beyond a limit, and yet within chance: nothing can be claimed, whatever the others do.
    (found,) = assess(results(Cl_O=curve(0.5, 0.6)), limits)
    assert (found.level, found.value, found.quantity) == ("concern", 0.5, "distance of Cl-O")
    assert re.match(r"Cl-O is 0\.5 Å .*± 0\.01.*0\.3 Å.*chance .*0\.6 Å: ", found.sentence)
    assert "rdf.time" in found.sentence and "O-O is 0.02 Å" in found.sentence
    assert "is that of the reference" not in found.sentence
    # What can be told and is bad stays so, and is named; the other still stands there.
    (found,) = assess(results(O_O=curve(0.4, 0.05)), limits)
    assert (found.level, found.value, found.quantity) == ("fail", 0.4, "distance of O-O")
    assert re.search(r"Cl-O is 0\.5 Å.*chance .*0\.6 Å", found.sentence)
    # A function that is zero everywhere has no distance, and is no pass.
    (found,) = assess(results(O_O=curve(0.02, 0.01), Cl_O=curve(None, 0.0)), limits)
    assert (found.level, found.value) == ("concern", None)
    assert found.sentence.startswith("Cl-O has no distance")
    bars = charts(results(Cl_O=curve(0.05, 0.01), O_O=curve(0.02, 0.01)))[-1]
    assert bars.series[0].y == [0.05, 0.02, 0.9] and bars.series[0].error == [0.01] * 3


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rdf.pairs": ["CuCu"]}, r"rdf\.pairs: 'CuCu'"),
        ({"rdf.pairs": ["Cu-Au"]}, r"Cu-Au .*There are Cu-Cu"),
        ({"rdf.reference": ["nowhere.xyz"]}, "nowhere.xyz: no such file"),
        ({"rdf.trajectory": ["nowhere.xyz"]}, "nowhere.xyz: no such file"),
        ({"rdf.reference": ["{}/a.csv", "{}/b.csv"]}, r"rdf\.reference: .*one table"),
        ({"rdf.reference": ["{}/header.csv"]}, r"header\.csv: .*r,Cl-O"),
        ({"rdf.reference": ["{}/text.csv"]}, "line 3 is not 2 numbers"),
        ({"rdf.reference": ["{}/falls.csv"]}, "r has to rise"),
        ({"rdf.reference": ["{}/negative.csv"]}, "is never negative"),
        ({"rdf.reference": ["{}/other.csv"]}, "rdf: .*in common"),
        ({"rdf.reference": ["{}/twice.csv"]}, r"twice\.csv: .*two columns"),
        ({"rdf.reference": ["{}/molecule.xyz"]}, "molecule.xyz frame 0: it is not periodic"),
        (
            {"rdf.reference": ["{}/small.xyz"]},
            r"small\.xyz frame 0: .* 1\.8 Å",
        ),
        ({"rdf.trajectory": ["{}/atom.xyz"]}, "holds only single atoms"),
        ({"rdf.bins": 5}, r"rdf\.bins.*\b10\b"),
    ],
)
def test_mistakes_are_one_line(settings, match, tmp_path: Path, monkeypatch) -> None:
    tables_ = {
        "header": "x,Cu-Cu\n1,1\n2,1\n",
        "text": "r,Cu-Cu\n1,1\n2,one\n",
        "falls": "r,Cu-Cu\n2,1\n1,1\n",
        "negative": "r,Cu-Cu\n1,1\n2,-1\n",
        "other": "r,Au-Au\n1,1\n2,1\n",
        "twice": "r,Cu-Au,Au-Cu\n1,1,1\n2,1,1\n",
    }
    for name, text in tables_.items():
        (tmp_path / f"{name}.csv").write_text(text)
    written(tmp_path / "molecule.xyz", Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]]))
    written(tmp_path / "small.xyz", bulk("Cu", "fcc", a=A, cubic=True))
    atom = Atoms("Cu")
    atom.info["config_type"] = "IsolatedAtom"
    written(tmp_path / "atom.xyz", atom)
    data = [written(tmp_path / "start.xyz", copper())]
    monkeypatch.setattr(RUN_DYNAMICS, lambda *_, **__: pytest.fail("run"))
    chosen = {
        key: [v.format(tmp_path) for v in value] if isinstance(value, list) else value
        for key, value in settings.items()
    }
    with pytest.raises(PestleError, match=match) as caught:
        probe("rdf", MODEL, data=data, settings=chosen, out=tmp_path / "o")
    assert "\n" not in caught.value.line
    assert not (tmp_path / "o" / "metrics.json").exists()


def test_what_has_no_density_or_is_not_there_is_named(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(PestleError, match=r"test\.xyz frame 0: .*periodic"):
        probe("rdf", MODEL, data=[demo_files["test"]], out=tmp_path / "o")
    with pytest.raises(PestleError, match=r"no structure .*--data"):
        probe("rdf", MODEL, elements=["Cu"], out=tmp_path / "o")
