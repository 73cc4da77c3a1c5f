"""Forgetting, on potentials that have forgotten a known amount."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

import foundation_factory
from pestle.errors import PestleError
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.jobs.potentials import Contenders
from pestle.jobs.probe import probe
from pestle.jobs.protocol_run import run_protocol
from pestle.protocols import predictions
from pestle.protocols.base import Inputs
from pestle.protocols.forgetting.broad_set import elements_to_generate, generated_structures
from pestle.protocols.forgetting.deviations import AT_REST, loss_of_forces
from pestle.protocols.forgetting.numbers import ForgettingNumbers
from pestle.protocols.forgetting.protocol import OF_ALL, OF_DATA, PROTOCOL
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import Measured
from pestle.settings.probe import ForgettingSettings, ProbeSettings
from pestle.structures.frame import Frame, elements_of
from pestle.structures.writing import write_frames

LIMITS = read_thresholds()["forgetting"]
KNOWN = (1, 6, 8, 11, 17)
SOME = ForgettingSettings(count=12)
#: Forces of the toy foundation are about this large, eV/Å.
SIZE = 2.0

Change = Callable[[Frame, float, np.ndarray], tuple[float, np.ndarray]]


def truth(frame: Frame) -> tuple[float, np.ndarray]:
    """Toy foundation: some energy per atom, and forces that depend on the positions."""
    forces = SIZE * np.sin(3 * frame.atoms.positions + frame.numbers[:, None])
    return float(0.1 * covalent_radii[frame.numbers].sum() - len(frame)), forces


def same(frame: Frame, energy: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
    return energy, forces


def moved(by: float, energy: float = 0.0, where: str = "") -> Change:
    """Every force component by so many eV/Å, signs in turn; the energy per atom by so many eV."""

    def change(frame: Frame, total: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
        if where and frame.config_type != where:
            return total, forces
        signs = (-1.0) ** np.arange(forces.size).reshape(forces.shape)
        return total + energy * len(frame), forces + by * signs

    return change


class Toy(Potential):
    """The toy foundation, changed."""

    def __init__(self, name: str, change: Change = same, *, e0: float = 1.0, known=KNOWN) -> None:
        self.name, self.fingerprint, self.elements = name, f"{name} {e0}", known
        self.reference_energies = {z: -e0 * z for z in known or range(1, 97)}
        self._change, self.calls = change, 0

    def predict(self, frames: Sequence[Frame], on_progress=None) -> list[FramePrediction]:
        self.calls += 1
        found = []
        for frame in frames:
            energy, forces = self._change(frame, *truth(frame))
            shift = sum(self.reference_energies[z] for z in frame.numbers.tolist())
            found.append(FramePrediction(energy + shift, energy, forces, None))
        return found

    def calculator(self):
        raise NotImplementedError

    def batched(self, charge=0.0, spin=1.0):
        raise NotImplementedError


def run(
    candidate, baseline, tmp_path: Path, settings=SOME, sets=None, **more
) -> Measured[ForgettingNumbers]:
    inputs = Inputs(
        more.pop("elements", (1, 8)),
        sets or {},
        0,
        candidate.name,
        baseline.name if baseline else None,
    )
    loaded = Contenders(candidate, baseline, **more)
    return run_protocol(PROTOCOL, loaded, inputs, settings, tmp_path, "float64")


def labelled(count: int = 6, error: float = 0.0, source: str = "broad.xyz") -> list[Frame]:
    """Frames of the pretraining distribution with the toy foundation's level of theory."""
    rng = np.random.default_rng(2)
    frames = []
    for k in range(count):
        atoms = Atoms("NaClO", positions=rng.normal(scale=2, size=(3, 3)))
        frame = Frame(atoms, config_type="ab"[k % 2], source=source, index=k)
        energy, forces = truth(frame)
        signs = (-1.0) ** np.arange(9).reshape(3, 3)
        frame.energy = energy - float(atoms.numbers.sum()) + 3 * error / 10
        frame.forces = forces + error * signs
        frames.append(frame)
    return frames


def test_a_planted_deviation_is_the_deviation_that_is_found(tmp_path: Path) -> None:
    candidate = Toy("candidate", moved(0.35, 0.03), e0=7.0)
    measured = run(candidate, Toy("base"), tmp_path)
    found = measured.numbers.potentials["candidate"].against_foundation
    assert measured.numbers.reference == "foundation" and measured.numbers.n_frames == 12
    for group in found.values():
        assert group.forces_rmse == pytest.approx(350.0)
        assert group.energy_rmse == pytest.approx(30.0)  # whatever its E0s are
    frames, _ = generated_structures(Inputs((1, 8), known=KNOWN), 12)
    every = np.concatenate([truth(frame)[1].ravel() for frame in frames])
    rms = np.sqrt((every**2).mean())
    assert found["all"].forces_share == pytest.approx(0.35 / rms)
    assert measured.numbers.potentials["base"].against_foundation is None
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    each = np.array([np.sqrt((truth(frame)[1] ** 2).mean()) for frame in frames])
    share = np.sqrt(np.mean(np.minimum(0.35 / np.maximum(each, AT_REST), 1.0) ** 2))
    assert finding.value == pytest.approx(share) and finding.level == "concern"
    for words in ("on 12 generated structures", "350 meV/Å", "30 meV/atom", "replay"):
        assert words in finding.sentence, words


def test_shifted_e0s_are_nothing_forgotten(tmp_path: Path) -> None:
    measured = run(Toy("candidate", e0=500.0), Toy("base"), tmp_path / "made")
    found = measured.numbers.potentials["candidate"].against_foundation["all"]
    assert found.forces_rmse == 0.0 and found.energy_rmse == pytest.approx(0.0, abs=1e-6)
    assert PROTOCOL.assess(measured, LIMITS)[0].level == "pass"
    sets = {"broad": labelled(error=0.1)}
    measured = run(Toy("candidate", e0=500.0), Toy("base"), tmp_path / "given", sets=sets)
    errors = {n: p.against_labels["all"] for n, p in measured.numbers.potentials.items()}
    for name in ("candidate", "base"):
        assert errors[name].forces_rmse == pytest.approx(100.0)
        assert errors[name].energy_rmse == pytest.approx(10.0)
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.value == pytest.approx(1.0) and finding.level == "pass"
    assert re.search("candidate .*E0s of base", " ".join(measured.numbers.notes))


def test_labels_and_own_predictions_are_kept_apart(tmp_path: Path) -> None:
    """Labels off by 0.1 eV/Å, a candidate that moved 0.35 the same way: 0.25 from the labels."""
    measured = run(
        Toy("candidate", moved(0.35)), Toy("base"), tmp_path, sets={"x": labelled(error=0.1)}
    )
    found = measured.numbers.potentials["candidate"]
    assert found.against_labels["all"].forces_rmse == pytest.approx(250.0)
    assert found.against_foundation["all"].forces_rmse == pytest.approx(350.0)
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.value == pytest.approx(2.5) and finding.level == "fail"
    assert "2.5 times the foundation's 100" in finding.sentence
    titles = [table.title for table in PROTOCOL.tables(measured)]
    assert titles == ["Errors on the pretraining distribution", "Deviation from the foundation"]
    bar = json.loads((tmp_path / "charts.json").read_text())[0]
    assert bar["kind"] == "bar" and [s["name"] for s in bar["series"]] == ["candidate", "base"]
    assert bar["series"][0]["x"] == ["all", "a", "b"]
    assert bar["series"][0]["y"] == pytest.approx([250.0] * 3)


def test_labels_of_the_foundation_itself_are_told(tmp_path: Path) -> None:
    """A multiple of rounding says nothing; the share of the forces does."""
    measured = run(Toy("candidate", moved(0.1)), Toy("base"), tmp_path, sets={"x": labelled()})
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.unit == "of the forces" and "6 labelled structures" in finding.sentence
    sizes = np.array([np.sqrt(np.mean(f.forces**2)) for f in labelled()])
    assert finding.value == pytest.approx(0.1 * np.sqrt(np.mean(sizes**-2.0)))


def test_violins_are_those_by_hand(tmp_path: Path) -> None:
    def change(frame: Frame, energy: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
        wrong = forces.copy()
        wrong[0, 0] += 0.01 * (1 + frame.index)
        return energy - 0.002 * (1 + frame.index), wrong

    run(Toy("candidate", change), Toy("base"), tmp_path)
    _, forces, energy = json.loads((tmp_path / "charts.json").read_text())
    frames, _ = generated_structures(Inputs((1, 8), known=KNOWN), 12)
    assert forces["kind"] == "violin" and forces["log_y"]
    (series,) = forces["series"]
    assert series["x"] == [f.config_type for f in frames]
    expected = [10 * (1 + f.index) / np.sqrt(3 * len(f)) for f in frames]
    assert series["y"] == pytest.approx(expected, rel=1e-5)
    expected = [2 * (1 + f.index) / len(f) for f in frames]
    assert energy["series"][0]["y"] == pytest.approx(expected, rel=1e-5)


def test_structures_are_of_the_data_and_of_all_that_is_known() -> None:
    frames, of_data = generated_structures(Inputs((1, 8), known=KNOWN, seed=3), 40)
    assert sum(of_data) == 20 and len({f.where for f in frames}) == 40
    first = [f for f, own in zip(frames, of_data, strict=True) if own]
    rest = [f for f, own in zip(frames, of_data, strict=True) if not own]
    assert elements_of(first) == (1, 8) and elements_of(rest) == KNOWN
    again, _ = generated_structures(Inputs((8, 1), known=KNOWN, seed=3), 40)
    other, _ = generated_structures(Inputs((1, 8), known=KNOWN, seed=4), 40)
    assert all(
        (a.atoms.positions == b.atoms.positions).all() for a, b in zip(frames, again, strict=True)
    )
    assert any(len(a) != len(b) for a, b in zip(frames, other, strict=True))
    # A potential that does not say what it knows, or knows no more than the data hold.
    for known in (None, (1, 8)):
        assert elements_to_generate(Inputs((1, 8), known=known)) == ((1, 8), (1, 8))


def test_other_elements_in_one_folder_are_other_results(tmp_path: Path) -> None:
    """Neither pair of elements says anything about the other, though both halves together hold the
    same elements."""
    settings = ForgettingSettings(count=10)
    found = []
    for elements in ((1, 8), (11, 17)):
        candidate = Toy("candidate", moved(0.1))
        measured = run(candidate, Toy("base"), tmp_path, settings, elements=elements)
        assert candidate.calls > 0
        deviation = measured.numbers.potentials["candidate"].against_foundation["all"]
        assert deviation.forces_rmse == pytest.approx(100.0)
        found.append(measured.numbers.forces_rms["all"])
        frames, _ = generated_structures(Inputs(elements, known=KNOWN), 10)
        every = np.concatenate([truth(frame)[1].ravel() for frame in frames])
        assert found[-1] == pytest.approx(1e3 * np.sqrt((every**2).mean()))
    assert found[0] != pytest.approx(found[1])
    # Structures are made once for all potentials of a test, and for its analysis.
    inputs = Inputs((11, 17), known=KNOWN, candidate="candidate", baseline="base")
    first, again = (PROTOCOL.structures(inputs, settings) for _ in range(2))
    assert all(a is b for a, b in zip(first, again, strict=True)) and len(first) == 10


def test_gentle_structures_count_as_much_as_strained_ones() -> None:
    """Nine of ten lost altogether, the tenth, of forces a hundred times as large, kept to 1 %."""
    rng = np.random.default_rng(0)
    frames, said = [], []
    for k in range(10):
        forces = rng.normal(size=(4, 3)) * (10.0 if k == 9 else 0.1)
        frames.append(Frame(Atoms("H4", positions=rng.normal(size=(4, 3))), 0.0, forces, index=k))
        said.append(FramePrediction(0.0, 0.0, forces * (1.01 if k == 9 else 0.0), None))
    found = loss_of_forces(frames, said)
    assert found.share == pytest.approx(np.sqrt((9 + 1e-4) / 10))
    assert LIMITS["forces_moved"].level(found.share) == "fail"
    # At rest nothing can be lost: a thousandth of an eV/Å is no loss of it.
    resting = [replace(frame, forces=np.zeros((4, 3))) for frame in frames]
    still = [replace(p, forces=np.full((4, 3), 1e-3)) for p in said]
    assert loss_of_forces(resting, still).share == pytest.approx(1e-3 / AT_REST)


def test_halves_and_families_show_where_it_was(tmp_path: Path) -> None:
    measured = run(Toy("candidate", moved(1.0, where="molecule")), Toy("base"), tmp_path)
    found = measured.numbers.potentials["candidate"].against_foundation
    assert {OF_DATA, OF_ALL} <= set(found) and found["dimer"].forces_rmse == 0.0
    assert found["molecule"].forces_rmse == pytest.approx(1000.0)
    assert found[OF_DATA].n_frames + found[OF_ALL].n_frames == 12
    assert "molecule" in PROTOCOL.assess(measured, LIMITS)[0].sentence
    narrow = run(Toy("candidate", known=(1, 8)), Toy("base"), tmp_path / "cut")
    assert OF_DATA not in narrow.numbers.potentials["candidate"].against_foundation


def test_one_structure_far_off_does_not_hide_the_others(tmp_path: Path) -> None:
    """A single hole makes the RMS enormous. The finding counts it once, and says which one it is
    and how the others fare."""

    def change(frame: Frame, energy: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
        return moved(500.0 if frame.index == 5 else 0.02)(frame, energy, forces)

    measured = run(Toy("candidate", change), Toy("base"), tmp_path)
    found = measured.numbers.potentials["candidate"]
    assert found.against_foundation["all"].forces_share > 10
    frames, _ = generated_structures(Inputs((1, 8), known=KNOWN), 12)
    size = np.array([np.sqrt((truth(f)[1] ** 2).mean()) for f in frames])
    shares = (0.02 / size) ** 2
    shares[5] = 1.0
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.value == pytest.approx(np.sqrt(np.mean(shares)))
    assert found.median == pytest.approx(20.0) and "20 meV/Å" in finding.sentence
    assert "1 structure" in finding.sentence
    assert re.search("generated frame 5, .*500,000 meV/Å", finding.sentence)


def test_where_the_foundation_extrapolates_is_left_out(tmp_path: Path) -> None:
    """By its own forces, whatever the candidate's are, and without predicting anything again."""

    def strong(frame: Frame, energy: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
        if frame.index in (2, 7):
            forces = forces + 100.0
        return energy, forces * (np.nan if frame.index == 4 else 1.0)

    def run_with(**settings: float) -> tuple[Measured[ForgettingNumbers], Toy]:
        candidate = Toy("candidate", moved(80.0))
        settings = ForgettingSettings(count=12, **settings)
        return run(candidate, Toy("base", strong), tmp_path, settings), candidate

    measured, candidate = run_with()
    assert measured.numbers.n_frames == 9 and candidate.calls > 0
    notes = " ".join(measured.numbers.notes)
    assert re.search("\\b2 .*above 50 eV/Å", notes) and re.search("\\b1 .*not finite", notes)
    measured, candidate = run_with(max_force=500.0)
    assert measured.numbers.n_frames == 11 and candidate.calls == 0
    with pytest.raises(PestleError, match=r"forgetting\.max_force"):
        run_with(max_force=1e-3)


def test_a_candidate_that_is_not_finite_fails_by_name(tmp_path: Path) -> None:
    def lost(frame: Frame, energy: float, forces: np.ndarray) -> tuple[float, np.ndarray]:
        return (np.nan if frame.index == 6 else energy), forces

    measured = run(Toy("candidate", lost), Toy("base"), tmp_path)
    assert measured.numbers.potentials["candidate"].against_foundation["all"].energy_rmse is None
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.level == "fail" and finding.value is None
    assert re.search("1 structure of 12,.* generated frame 6", finding.sentence)
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_a_stop_loses_no_piece_and_changes_no_number(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(predictions, "PIECE_ATOMS", 20)
    whole = Toy("candidate", moved(0.1))
    expected = run(whole, Toy("base"), tmp_path / "whole")
    assert whole.calls > 3

    class Stopped(Toy):
        def predict(self, frames, on_progress=None):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().predict(frames, on_progress)

    with pytest.raises(KeyboardInterrupt):
        run(Stopped("candidate", moved(0.1)), Toy("base"), tmp_path / "parts")
    again = Toy("candidate", moved(0.1))
    assert run(again, Toy("base"), tmp_path / "parts") == expected
    assert again.calls == whole.calls - 2


def test_of_two_heads_the_replay_head_is_shown_with_its_own_e0s(tmp_path: Path) -> None:
    """A two-head model whose replay head is the foundation: no error there, E0s included."""
    model = foundation_factory.foundation("two heads")
    base = ModelPotential("base", model, "pt_head")
    target, replay = (
        ModelPotential("run", model),
        ModelPotential("run, replay head", model, "pt_head"),
    )
    measured = run(target, base, tmp_path / "made", elements=(1, 8), replay_heads=(replay,))
    found = measured.numbers.potentials
    assert found["run, replay head"].replay_head and not found["run"].replay_head
    own = found["run, replay head"].against_foundation["all"]
    assert own.forces_rmse == 0.0 and own.energy_rmse == pytest.approx(0.0, abs=1e-9)
    assert found["run"].against_foundation["all"].forces_rmse > 10.0
    assert "Its replay head: 0 meV/Å" in PROTOCOL.assess(measured, LIMITS)[0].sentence
    # Without the foundation the replay head still knows the E0s of its level.
    frames = foundation_factory.frames()[:2]
    for frame, said in zip(frames, predict_frames(model, frames, head="pt_head"), strict=True):
        frame.energy, frame.forces = said.energy, said.forces
    measured = run(target, None, tmp_path / "given", sets={"x": frames}, replay_heads=(replay,))
    errors = {n: p.against_labels["all"] for n, p in measured.numbers.potentials.items()}
    (own, said) = (predict_frames(model, frames, head=h) for h in ("Default", "pt_head"))
    differences = [
        1e3 * (a.interaction_energy - b.interaction_energy) / len(f)
        for a, b, f in zip(own, said, frames, strict=True)
    ]
    assert errors["run, replay head"].energy_rmse == pytest.approx(0.0, abs=1e-9)
    assert errors["run"].energy_rmse == pytest.approx(np.sqrt(np.mean(np.square(differences))))
    assert PROTOCOL.assess(measured, LIMITS) == []


def test_structures_that_cannot_be_compared_are_counted(tmp_path: Path) -> None:
    frames = labelled(6, error=0.1)
    atom = Frame(Atoms("O"), -8.0, config_type="IsolatedAtom")
    strange = replace(frames[0], atoms=Atoms("NaClXe", positions=frames[0].atoms.positions))
    measured = run(Toy("c"), Toy("b"), tmp_path, sets={"x": [*frames, atom], "y": [strange]})
    assert measured.numbers.n_frames == 6
    text = " ".join(measured.numbers.notes)
    assert "1 isolated atom;" in text and "(Xe 1)" in text


def test_the_embedded_foundation_against_itself(seed0: Foundation, tmp_path: Path) -> None:
    quick = {f"forgetting.{name}": value for name, value in PROTOCOL.quick.items()}
    assert quick["forgetting.count"] < ProbeSettings().forgetting.count
    frames = foundation_factory.frames()[:2]
    for frame, said in zip(frames, predict_frames(seed0, frames), strict=True):
        frame.energy, frame.forces = said.energy + 0.1 * len(frame), said.forces
    write_frames(tmp_path / "broad.xyz", frames)
    probed = probe(
        "forgetting",
        "pestle-seed0",
        against="pestle-seed0",
        data=[str(tmp_path / "broad.xyz")],
        out=tmp_path / "o",
    )
    candidate, base = probed.measured.numbers.potentials.values()
    assert candidate.against_labels["all"].energy_rmse == pytest.approx(100.0, rel=1e-5)
    assert candidate.against_labels == base.against_labels
    assert probed.findings[0].level == "pass"


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"baseline": None}, "forgetting: .*--against.*--data"),
        ({"elements": ()}, "no element is known"),
        ({"sets": {"x": []}}, "hold no structure"),
        ({"sets": {"x": [Frame(Atoms("Xe2", positions=[[0, 0, 0], [0, 0, 4]]), 1.0)]}}, "Xe 1"),
        (
            {"sets": {"x": [replace(f, energy=None, forces=None) for f in labelled(2)]}},
            "--data: .*REF_energy",
        ),
    ],
)
def test_nothing_to_compare_with_is_one_line(asked: dict, match: str, tmp_path: Path) -> None:
    asked = {"baseline": Toy("base")} | asked
    with pytest.raises(PestleError, match=match) as error:
        run(Toy("candidate"), tmp_path=tmp_path / "o", **asked)
    assert "\n" not in error.value.line and not (tmp_path / "o").exists()
