"""Barriers against potentials whose saddles are known in closed form, and against ASE alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, fcc100
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixedLine
from ase.mep import NEB
from ase.optimize import BFGS

import pestle
from pestle.errors import PestleError
from pestle.foundations.calculator import FoundationCalculator
from pestle.jobs.probe import probe
from pestle.protocols.base import Inputs
from pestle.protocols.neb import band
from pestle.protocols.neb.image_calculator import BatchCalculator
from pestle.protocols.neb.numbers import NebNumbers, ReactionNumbers
from pestle.protocols.neb.path import resampled
from pestle.protocols.neb.protocol import PROTOCOL, analyse, calculate
from pestle.protocols.neb.raw_results import Band
from pestle.protocols.neb.reactions import has_reference, reactions
from pestle.protocols.potential import CalculatorPotential, ModelPotential
from pestle.protocols.raw import RawFolder
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import About, Measured
from pestle.settings.probe import NebSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames

DEMO = Path(pestle.__file__).parent / "demo" / "data" / "neb_mp2.xyz"
EMT_NAME = "calculator:ase.calculators.emt:EMT"
HEIGHT, TILT, BEND = 0.6, 0.15, 0.5  # eV, eV, Å


class Toy(Calculator):
    """A function of the positions with forces by hand; counts its calls."""

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        self.offset, self.calls, self.seen = offset, 0, []

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        raise NotImplementedError

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.seen.append(dict(atoms.info))
        energy, gradient = self.surface(atoms.positions)
        energy += self.offset
        self.results = {"energy": energy, "free_energy": energy, "forces": -gradient}


class Valley(Toy):
    """One atom in a bent, tilted double well:
    h (x² − 1)² + t x + 2 (y − b (1 − x²))² + z². Along the valley y = b (1 − x²), z = 0 only the
    quartic is left, so minima and saddle lie at the roots of 4 h x (x² − 1) + t."""

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        x, y, z = r[0]
        off = y - BEND * (1 - x * x)
        energy = quartic(x) + 2 * off**2 + z**2
        slope = 4 * HEIGHT * x * (x * x - 1) + TILT + 8 * off * BEND * x
        return energy, np.array([[slope, 4 * off, 2 * z]])


def quartic(x: float) -> float:
    return HEIGHT * (x * x - 1) ** 2 + TILT * x


def stationary() -> tuple[float, float, float]:
    """Reactant, saddle and product of the quartic."""
    roots = np.sort(np.roots([4 * HEIGHT, 0.0, -4 * HEIGHT, TILT]).real)
    return tuple(roots.tolist())


class Exchange(Toy):
    """Three atoms of which the middle one changes its partner; the same after any rotation and
    shift. u = (r01 − r12)/0.8: h (u² − 1)² + 5 (r01 + r12 − 3.2)² + 2 (r02 − 3.2)². Collinear at
    minima and saddle, so the barrier is h."""

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        pairs = ((0, 1), (1, 2), (0, 2))
        vectors = [r[j] - r[i] for i, j in pairs]
        d01, d12, d02 = (float(np.linalg.norm(v)) for v in vectors)
        u, total, open_ = (d01 - d12) / 0.8, d01 + d12 - 3.2, d02 - 3.2
        energy = HEIGHT * (u * u - 1) ** 2 + 5 * total**2 + 2 * open_**2
        bend = 4 * HEIGHT * u * (u * u - 1) / 0.8
        gradient = np.zeros_like(r)
        for (i, j), v, d, s in zip(
            pairs,
            vectors,
            (d01, d12, d02),
            (bend + 10 * total, -bend + 10 * total, 4 * open_),
            strict=True,
        ):
            gradient[j] += s * v / d
            gradient[i] -= s * v / d
        return energy, gradient


class Repulsive(Toy):
    """Two atoms that only repel, down to nothing 5 Å apart."""

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        v = r[1] - r[0]
        d = float(np.linalg.norm(v))
        left = max(0.0, 5.0 - d)
        push = -2 * 0.2 * left * v / d
        return 0.2 * left**2, np.array([-push, push])


class Harmonic(Toy):
    """One well only."""

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        return float((r**2).sum()), 2 * r


class Broken(Toy):
    """NaN where `bad` says so."""

    def __init__(self, bad) -> None:
        super().__init__()
        self.bad, self.inner = bad, Valley()

    def surface(self, r: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = self.inner.surface(r)
        return (np.nan if self.bad(r[0]) else energy), gradient


def atom(x: float, y: float = 0.0, **labels) -> Frame:
    return Frame(Atoms("H", positions=[[x, y, 0.05]]), source="toy.xyz", **labels)


def ends_of_valley(**labels) -> list[Frame]:
    return [atom(-1.1, 0.1, **labels), atom(1.05, -0.1, **labels)]


def run(make, frames, folder: Path, also=None, **settings):
    """Results and raw folders of a candidate and further potentials."""
    chosen = NebSettings(**({"fmax": 0.002, "images": 7} | settings))
    inputs = Inputs((1,), {"toy": frames}, candidate="toy")
    potentials = {"toy": make, **(also or {})}
    raws = {}
    for name, maker in potentials.items():
        raws[name] = RawFolder(folder / name, {"of": name, **chosen.model_dump()})
        if not raws[name].finished:
            calculate(CalculatorPotential(name, maker), inputs, chosen, raws[name])
    about = About(
        protocol="neb",
        question=PROTOCOL.question,
        settings=chosen.model_dump(),
        models=tuple(potentials),
        candidate="toy",
        baseline=None,
        labels={},
        elements=("H",),
    )
    return Measured.of(about, analyse(raws, inputs, chosen)), raws


def of(metrics: Measured[NebNumbers], name: str = "toy") -> ReactionNumbers:
    return metrics.numbers.potentials[name].reactions["toy"]


def levels(metrics) -> dict[str, str]:
    findings = PROTOCOL.assess(metrics, read_thresholds()["neb"])
    return {f.quantity: f.level for f in findings}


def words(metrics) -> str:
    return " ".join(f.sentence for f in PROTOCOL.assess(metrics, read_thresholds()["neb"]))


@pytest.mark.parametrize("method", ["neb", "autoneb"])
@pytest.mark.parametrize("between", [False, True])
def test_barrier_of_a_bent_valley(method, between, tmp_path: Path) -> None:
    """Minima, saddle and energies against the roots of the quartic."""
    left, top, right = stationary()
    frames = ends_of_valley()
    if between:
        frames[1:1] = [atom(-0.4, 0.2), atom(0.5, 0.6)]
    metrics, raws = run(Valley, frames, tmp_path, method=method)
    found = of(metrics)
    assert found.judged == "band" and found.band.converged and found.remarks == []
    assert found.barrier == pytest.approx(quartic(top) - quartic(left), abs=1e-3)
    assert found.reaction_energy == pytest.approx(quartic(right) - quartic(left), abs=1e-4)
    reverse = quartic(top) - quartic(right)
    assert found.band.reverse_barrier == pytest.approx(reverse, abs=1e-3)
    positions = raws["toy"].read("band-toy", Band).positions
    assert len(positions) == 7
    highest = positions[np.argmax(found.band.energy)][0]
    assert highest == pytest.approx([top, BEND * (1 - top**2), 0.0], abs=0.02)
    assert positions[0][0] == pytest.approx([left, BEND * (1 - left**2), 0.0], abs=2e-3)


def test_energies_along_the_given_images_are_the_potentials_own(tmp_path: Path) -> None:
    """Labels planted 0.1 x eV above the potential: errors by hand."""
    x = np.linspace(-1, 1, 5)
    energy = [Valley().surface(np.array([[v, 0.3, 0.05]]))[0] for v in x]
    frames = [atom(v, 0.3, energy=e + 0.1 * v) for v, e in zip(x, energy, strict=True)]
    metrics, _ = run(Valley, frames, tmp_path, method="path")
    found = of(metrics)
    own = np.array(energy) - energy[0]
    assert found.path.energy == pytest.approx(own, abs=1e-12)
    assert found.judged == "path" and found.band is None and found.ends == {}
    labels = own + 0.1 * (x + 1)
    assert found.path.rmse_mev == pytest.approx(100 * np.sqrt(np.mean((x + 1) ** 2)))
    assert found.barrier_error == pytest.approx(own.max() - labels.max())
    assert found.reaction_energy_error == pytest.approx(-0.2)
    assert metrics.numbers.reactions["toy"].reference.barrier == pytest.approx(labels.max())
    assert metrics.numbers.reactions["toy"].length == pytest.approx(np.linspace(0, 2, 5))


def test_the_product_may_lie_in_any_orientation(tmp_path: Path) -> None:
    """The middle atom changes its partner; the product is turned by 1 rad and shifted by 7 Å. The
    straight way in between is right only once it has been turned back."""
    start = Atoms("HHH", positions=[[0, 0, 0], [1.2, 0, 0], [3.2, 0, 0]])
    end = Atoms("HHH", positions=[[0, 0, 0], [2.0, 0, 0], [3.2, 0, 0]])
    end.rotate(57.3, (1, 2, 3))
    end.translate([3, 5, -4])
    metrics, _ = run(Exchange, [Frame(start), Frame(end)], tmp_path, images=5)
    found = of(metrics)
    assert found.band.converged
    assert found.barrier == pytest.approx(HEIGHT, abs=1e-3)
    assert found.reaction_energy == pytest.approx(0.0, abs=1e-4)
    # The middle atom moves by 0.8 Å, the others against it so that the centre stays.
    assert found.band.length[-1] == pytest.approx(0.8 * np.sqrt(2 / 3), abs=0.01)


def test_an_adatom_hops_across_the_cell_with_fixed_atoms(tmp_path: Path) -> None:
    """EMT, hollow to hollow over the bridge, which is the saddle by symmetry: its energy is had
    without a band, with the adatom free to move up and down only. The product is given one cell
    further, as a wrapped file gives it."""

    def slab(x: float, y: float) -> Atoms:
        made = fcc100("Al", size=(3, 2, 2), vacuum=6.0)
        add_adsorbate(made, "Au", 1.7, position=(x, y))
        made.pbc = True
        made.set_constraint(FixAtoms(indices=range(12)))
        return made

    side = 4.05 / np.sqrt(2)
    start, end = slab(side / 2, side / 2), slab(side / 2 + side, side / 2)
    wrapped = end.copy()
    wrapped.positions[12] -= wrapped.cell[0]
    heights = {}
    for name, x in (("hollow", side / 2), ("bridge", side)):
        atoms = slab(x, side / 2)
        atoms.set_constraint([FixAtoms(indices=range(12)), FixedLine(12, (0, 0, 1))])
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=1e-3)
        heights[name] = atoms.get_potential_energy()
    barrier = heights["bridge"] - heights["hollow"]
    assert 0.1 < barrier < 1.0
    metrics, _ = run(EMT, [Frame(start), Frame(wrapped)], tmp_path, images=5, fmax=0.02)
    assert of(metrics).barrier == pytest.approx(barrier, abs=2e-3)
    assert of(metrics).band.length[-1] < 1.3 * side


def test_images_predicted_together_are_those_predicted_one_by_one(seed0) -> None:
    """Forces of a band by one batch against ASE's own band with a calculator for each image."""
    frames = read_frames([str(DEMO)]).frames
    given = reactions(Inputs((), {"sn2": frames}))[0].structures()

    def band_of(images: list[Atoms]) -> NEB:
        return NEB(images, k=0.1, climb=True, method="improvedtangent")

    alone = [image.copy() for image in given[:6]]
    for image in alone:
        image.calc = FoundationCalculator(seed0)
    together = [image.copy() for image in given[:6]]
    BatchCalculator.attach(ModelPotential("seed0", seed0), together)
    ours, theirs = band_of(together), band_of(alone)
    assert ours.get_forces() == pytest.approx(theirs.get_forces(), abs=1e-9)
    assert ours.energies == pytest.approx(theirs.energies, abs=1e-9)
    # Moved again: nothing is left over from before.
    for one, other in zip(together[1:3], alone[1:3], strict=True):
        one.rattle(0.02, seed=3)
        other.rattle(0.02, seed=3)
    assert ours.get_forces() == pytest.approx(theirs.get_forces(), abs=1e-9)


def test_a_step_is_one_batch(monkeypatch) -> None:
    """All images that have moved, and none that has not."""
    images = [Atoms("H", positions=[[x, 0.2, 0.1]]) for x in np.linspace(-1, 1, 6)]
    potential, sizes = CalculatorPotential("toy", Valley), []
    predict = potential.predict
    monkeypatch.setattr(potential, "predict", lambda f: sizes.append(len(f)) or predict(f))
    BatchCalculator.attach(potential, images)
    whole = NEB(images, method="improvedtangent")
    whole.get_forces()
    whole.get_forces()
    images[2].positions += 0.1
    images[4].positions += 0.1
    whole.get_forces()
    assert sizes == [6, 2]
    alone = [Valley().surface(image.positions)[0] for image in images]
    assert whole.energies == pytest.approx(alone, abs=1e-12)


def test_the_saddle_of_a_network_is_one(seed0, tmp_path: Path) -> None:
    """Of the embedded foundation: at the top of the band ASE finds no force and one downhill
    direction. The file of the band holds no labels."""
    model = "pestle-seed0"
    probed = probe("neb", model, data=[f"sn2={DEMO}"], out=tmp_path, settings={"neb.fmax": 0.02})
    found = probed.measured.numbers.potentials[model].reactions["sn2"]
    assert found.judged == "band"
    (file,) = tmp_path.glob("raw/*/*/band-sn2.xyz")
    images = read_frames([str(file)])
    assert not any(images.keys[label] for label in images.keys)
    top = max(images.frames, key=lambda f: f.atoms.info["model_energy"])
    atoms = top.atoms
    atoms.calc = FoundationCalculator(seed0)
    first = images.frames[0].atoms.info["model_energy"]
    assert atoms.get_potential_energy() - first == pytest.approx(found.barrier, abs=1e-9)
    assert np.linalg.norm(atoms.get_forces(), axis=1).max() < 0.05
    hessian, step = np.zeros((18, 18)), 0.01
    for k in range(18):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[k // 3, k % 3] += sign * step
            moved.calc = atoms.calc
            hessian[k] -= sign * moved.get_forces().ravel() / (2 * step)
    curvature = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    assert (
        curvature[0] < -1.0 and curvature[1] > -0.3
    )  # rotations are soft, not zero, off a minimum


def test_a_constant_changes_nothing(tmp_path: Path) -> None:
    """Reference energies of all-electron size."""
    metrics, _ = run(Valley, ends_of_valley(), tmp_path, also={"far": lambda: Valley(-17372.0)})
    near, far = of(metrics), of(metrics, "far")
    for name in ("barrier", "reaction_energy"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), abs=1e-9)


def test_too_few_steps_are_said_and_the_given_images_judged(tmp_path: Path) -> None:
    left, _, right = stationary()
    frames = [atom(x, BEND * (1 - x * x), energy=quartic(x)) for x in (left, 0.5, right)]
    metrics, _ = run(Valley, frames, tmp_path, max_steps=3)
    found = of(metrics)
    assert found.judged == "path" and not found.band.converged
    assert found.band.steps == 3
    assert any(re.search(r"out of steps .*\b3\b", text) for text in found.remarks)
    assert levels(metrics)["unfinished bands"] == "concern"
    assert "raise neb.max_steps" in words(metrics)
    assert "(given images)" in words(metrics)


def test_ends_that_are_no_minima(tmp_path: Path) -> None:
    """Fragments that drift off; one minimum where two were given; a bond that breaks."""
    pair = [Frame(Atoms("HF", positions=[[0, 0, 0], [0, 0, d]])) for d in (1.5, 2.5)]
    apart, _ = run(Repulsive, pair, tmp_path / "apart")
    assert re.match("the reactant falls apart.* 5.0 Å", of(apart).lost)
    # Without labels nobody says that the given ends are minima.
    assert levels(apart) == {"ends that are no minima": "concern"}
    assert "falls apart" in words(apart)
    for frame in pair:
        frame.energy = 0.0
    told, _ = run(Repulsive, pair, tmp_path / "told")
    assert levels(told)["ends that are no minima"] == "fail"
    one, _ = run(Harmonic, ends_of_valley(), tmp_path / "one")
    assert "one minimum" in of(one).lost
    assert of(one).band is None and "There is no band" in words(one)
    start = Atoms("HHH", positions=[[0, 0, 0], [0.7, 0, 0], [3.2, 0, 0]])
    end = Atoms("HHH", positions=[[0, 0, 0], [2.5, 0, 0], [3.2, 0, 0]])
    other, _ = run(Exchange, [Frame(start), Frame(end)], tmp_path / "other")
    assert "H0-H1 broken" in of(other).lost and of(other).band is None
    assert of(other).blocked


def test_without_a_reference_nothing_is_right(tmp_path: Path) -> None:
    """A band that is had, and ends that are minima, say nothing on whether the barrier is right."""
    metrics, _ = run(Valley, ends_of_valley(), tmp_path / "bare")
    assert of(metrics).band.converged and levels(metrics) == {}
    # Labels of the images between alone: nothing to take them relative to.
    between = ends_of_valley()
    between[1:1] = [atom(0.0, 0.5, energy=1.0)]
    metrics, _ = run(Valley, between, tmp_path / "between")
    assert levels(metrics) == {} and not has_reference({"toy": between})
    assert not has_reference({}) and not has_reference({"toy": []})
    assert has_reference({"bare": ends_of_valley(), "toy": ends_of_valley(energy=0.0)})


def test_no_saddle_is_said(tmp_path: Path) -> None:
    """Uphill all the way: the highest image is the product."""

    class Slope(Toy):
        def surface(self, r):
            return float(r[0, 0] + (r[0, 1:] ** 2).sum()), np.array([[1.0, *(2 * r[0, 1:])]])

    frames = [atom(x, energy=e) for x, e in ((0.0, 0.0), (0.5, 1.0), (1.0, 0.5))]
    metrics, _ = run(Slope, frames, tmp_path, method="path")
    found = of(metrics)
    assert found.barrier == pytest.approx(1.0) and not found.saddle
    assert "no saddle" in found.remarks[0] and "no saddle" in words(metrics)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (lambda r: True, "not finite on 2 of 2 given images (first toy.xyz frame 0)"),
        (lambda r: r[0] > 0.5, "the product cannot"),
        (lambda r: abs(r[0]) < 0.3, "the band failed"),
    ],
)
def test_a_model_that_gives_nan_is_named_and_the_others_go_on(bad, match, tmp_path: Path) -> None:
    frames = ends_of_valley(energy=0.0)
    metrics, _ = run(lambda: Broken(bad), frames, tmp_path, also={"good": Valley})
    assert match in of(metrics).failed and match.split(" (")[0] in words(metrics)
    assert levels(metrics)["reactions that fail"] == "fail"
    assert of(metrics, "good").failed is None and of(metrics, "good").barrier > 0.5
    json.dumps(PROTOCOL.tables(metrics)[0].rows)
    titles = [chart.title for chart in PROTOCOL.charts(metrics)]
    assert titles == ["toy: along the given images", "toy: relaxed with each model"]
    assert [s.name for s in PROTOCOL.charts(metrics)[1].series] == ["reference", "good"]


@pytest.mark.parametrize("method", ["neb", "autoneb"])
def test_a_stop_at_any_point_changes_no_number(method, tmp_path: Path, monkeypatch) -> None:
    """Stopped after so many predictions and started again, with another calculator each time."""
    monkeypatch.setattr(band, "PIECE", 4)
    frames = [*ends_of_valley(energy=0.0)]
    settings = {"method": method, "images": 4, "fmax": 0.03}
    whole, raws = run(Valley, frames, tmp_path / "whole", **settings)
    total = 0
    predict = CalculatorPotential.predict

    def counted(self, images, on_progress=None):
        nonlocal total
        total += 1
        return predict(self, images, on_progress)

    with monkeypatch.context() as patch:
        patch.setattr(CalculatorPotential, "predict", counted)
        run(Valley, frames, tmp_path / "counted", **settings)
    assert total > 15
    for stop in (1, 9, total // 2, total - 2):
        folder = tmp_path / f"stopped {stop}"
        left = stop

        def stopping(self, images, on_progress=None):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return predict(self, images, on_progress)

        with monkeypatch.context() as patch:
            patch.setattr(CalculatorPotential, "predict", stopping)
            with pytest.raises(KeyboardInterrupt):
                run(Valley, frames, folder, **settings)
        parts, mine = run(Valley, frames, folder, **settings)
        assert parts.numbers == whole.numbers
        state, same = (folders["toy"].read("band-toy", Band) for folders in (raws, mine))
        assert (state.positions == same.positions).all()


@pytest.mark.parametrize("method", ["neb", "autoneb"])
@pytest.mark.parametrize("key", ["total_charge", "charge"])
def test_the_total_charge_reaches_every_calculation(method, key, tmp_path: Path) -> None:
    """Under ASE's two names for it, from a file with either."""
    frames = ends_of_valley()
    for frame in frames:
        frame.atoms.info[key] = -1
    ase.io.write(tmp_path / "toy.xyz", [frame.atoms for frame in frames])
    made = []

    def make() -> Valley:
        made.append(Valley())
        return made[-1]

    read = read_frames([str(tmp_path / "toy.xyz")]).frames
    for frame in read:
        frame.config_type = ""  # one atom in a valley of its own is no isolated atom
    run(make, read, tmp_path, method=method, images=5, fmax=0.05)
    seen = [info for calculator in made for info in calculator.seen]
    assert len(seen) > 20
    assert all(info["total_charge"] == info["charge"] == -1 for info in seen)


def test_sentences_tables_and_charts(tmp_path: Path) -> None:
    """A potential of which the barrier is known to be off by 0.3 eV beside one that is right."""
    left, top, right = stationary()
    labels = [quartic(x) - 0.3 * (x == top) for x in (left, top, right)]
    frames = [
        atom(x, BEND * (1 - x * x), energy=e)
        for x, e in zip((left, top, right), labels, strict=True)
    ]
    isolated = Frame(Atoms("H"), energy=-13.6, config_type="IsolatedAtom")
    metrics, _ = run(Valley, [*frames, isolated], tmp_path)
    (worst, *rest) = PROTOCOL.assess(metrics, read_thresholds()["neb"])
    assert worst.level == "fail" and worst.value == pytest.approx(0.3, abs=1e-3)
    barrier = quartic(top) - quartic(left)
    assert f"barrier {barrier:.2f} eV" in worst.sentence
    assert "0.30 eV too high" in worst.sentence
    # exp(0.3 eV / kT) at 300 K is 1.1e5.
    assert re.search(r"300 K .*10\^5 times too slow", worst.sentence)
    assert [f.level for f in rest] == ["pass", "pass"]
    (table,) = PROTOCOL.tables(metrics)
    assert [row[0] for row in table.rows] == ["reference", "toy"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "not relaxed again" in table.note
    along, relaxed = PROTOCOL.charts(metrics)
    assert [s.name for s in along.series] == ["reference", "toy"] and along.series[0].dashed
    assert along.series[0].y == pytest.approx(np.array(labels) - labels[0])
    assert len(relaxed.series[1].x) == 7 and relaxed.series[1].x[-1] > 2.0


def h(x: float, **labels) -> Frame:
    return Frame(Atoms("HF", positions=[[0, 0, 0], [0, 0, x]]), **labels)


def moved(frame: Frame, **changes) -> Frame:
    for name, value in changes.items():
        setattr(frame.atoms, name, value)
    return frame


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        ([h(1.0)], r"two\.xyz frame 0: .*'two' holds 1"),
        ([h(1.0), moved(h(2.0), numbers=[9, 1])], "frame 1: .*another order"),
        ([h(1.0), moved(h(2.0), numbers=[1, 1])], "frame 1: holds H2, the first .* HF.*own"),
        ([h(1.0), h(np.nan)], "frame 1: the positions"),
        ([h(1.0), h(2.0, energy=np.nan)], "frame 1: the energy"),
        ([h(1.0), h(2.0, charge=-1)], "frame 1: has charge -1.0, the first structure .* None"),
        ([h(1.0), moved(h(2.0), cell=[9, 9, 9], pbc=True)], "frame 1: has another cell"),
        ([h(1.0), h(2.0), h(1.0)], "frame 2: .*'two'"),
    ],
)
def test_mistakes_are_one_line(frames, match, tmp_path: Path) -> None:
    write_frames(tmp_path / "two.xyz", frames)
    with pytest.raises(PestleError, match=match) as caught:
        probe("neb", EMT_NAME, data=[str(tmp_path / "two.xyz")], out=tmp_path / "o")
    assert "\n" not in str(caught.value) and not (tmp_path / "o").exists()


def test_no_reaction_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match=r"neb: no reaction.*--data"):
        probe("neb", EMT_NAME, elements=["H"], out=tmp_path / "o")


def test_images_lie_evenly_on_the_given_path() -> None:
    """On an L of two pieces, 3 and 1 Å long."""
    corner = [atom(0.0), atom(3.0), atom(3.0, 1.0)]
    images = resampled([frame.atoms for frame in corner], 5)
    places = np.array([image.positions[0, :2] for image in images])
    assert places == pytest.approx(np.array([[0, 0], [1, 0], [2, 0], [3, 0], [3, 1.0]]))


def test_fixed_atoms() -> None:
    """Other ones are another question; they may not lie elsewhere in the product."""

    def fixed(index: int) -> Inputs:
        frames = [h(1.0, source="a.xyz"), h(2.0, source="a.xyz", index=1)]
        for frame in frames:
            frame.atoms.set_constraint(FixAtoms([index]))
        return Inputs((), {"a": frames})

    free = PROTOCOL.structures(Inputs((), {"a": [h(1.0), h(2.0)]}))
    held = PROTOCOL.structures(fixed(0))
    assert held[0].config_type != free[0].config_type
    with pytest.raises(PestleError, match=r"a\.xyz frame 1: .*fixed"):
        reactions(fixed(1))
