"""Errors on held-out sets, on predictions whose errors are known beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import foundation_factory
import pestle
from pestle.errors import PestleError
from pestle.foundations.interface import REPLAY_HEAD, Foundation
from pestle.foundations.prediction import FramePrediction, predict_frames
from pestle.jobs.potentials import Contenders
from pestle.jobs.probe import probe
from pestle.jobs.protocol_run import run_protocol
from pestle.metrics import FrameErrors, errors_by_group
from pestle.protocols import predictions
from pestle.protocols.base import Inputs
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.errors.parity import MAX_PARITY_POINTS, parity_charts, parity_points
from pestle.protocols.errors.protocol import PROTOCOL
from pestle.protocols.potential import ModelPotential, Potential
from pestle.protocols.predictions import NotFinite
from pestle.protocols.thresholds import read_thresholds
from pestle.records.results import Making, Measured
from pestle.settings.probe import ErrorSettings
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames

LIMITS = read_thresholds()["errors"]
E0S = {1: -13.0, 6: -1030.0, 8: -2040.0}


class Planted(Potential):
    """Says what it is told to say.

    Args:
        name: of the potential.
        say: frame → (interaction energy in eV, forces in eV/Å).
        e0s: its reference energies.
    """

    elements = (1, 6, 8)

    def __init__(self, name: str, say: Callable[[Frame], tuple[float, Any]], e0s=None) -> None:
        self.name, self.fingerprint, self.reference_energies = name, name, e0s
        self._say, self.calls = say, 0

    def predict(self, frames: Sequence[Frame], on_progress=None) -> list[FramePrediction]:
        self.calls += 1
        found = []
        for frame in frames:
            energy, forces = self._say(frame)
            shift = sum((self.reference_energies or {}).get(z, 0.0) for z in frame.numbers.tolist())
            stress = np.full((3, 3), 0.01) if frame.is_periodic else None
            found.append(FramePrediction(energy + shift, energy, np.array(forces), stress))
        return found

    def calculator(self):
        raise NotImplementedError

    def batched(self, charge=0.0, spin=1.0):
        raise NotImplementedError


def labelled(count: int = 6, seed: int = 0, config_type: str = "Default") -> list[Frame]:
    """Rattled waters and methanols with random labels that hold the E0s."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(count):
        atoms = molecule(("H2O", "CH3OH")[k % 2])
        atoms.rattle(0.1, seed=seed + k)
        total = sum(E0S[z] for z in atoms.numbers) - 5 + rng.normal()
        forces = rng.normal(size=(len(atoms), 3))
        frames.append(
            Frame(atoms, total, forces, config_type=config_type, source="made.xyz", index=k)
        )
    return frames


def interaction(frame: Frame) -> float:
    """Energy of the label without E0s."""
    return frame.energy - sum(E0S[z] for z in frame.numbers.tolist())


def off(energy: float, forces: float, e0s=E0S, name: str = "model") -> Planted:
    """Errors of `energy` eV per atom, and of `forces` eV/Å with signs in turn in each component."""

    def say(frame: Frame) -> tuple[float, Any]:
        signs = (-1.0) ** np.arange(frame.forces.size).reshape(frame.forces.shape)
        return interaction(frame) + energy * len(frame), frame.forces + forces * signs

    return Planted(name, say, e0s)


def energies_off(name: str, error: float) -> Planted:
    """Errors of so many eV per atom, for frames whose forces nobody knows."""
    return Planted(name, lambda f: (interaction(f) + error * len(f), np.zeros((len(f), 3))), E0S)


def run(potential, sets, tmp_path: Path, baseline=None, others=()) -> Measured[ErrorsNumbers]:
    elements = (1, 6, 8)
    inputs = Inputs(elements, sets, 0, potential.name, baseline.name if baseline else None)
    loaded = Contenders(potential, baseline, tuple(others))
    return run_protocol(PROTOCOL, loaded, inputs, ErrorSettings(), tmp_path, "float64")


def test_planted_errors_come_out_by_set_and_group(tmp_path: Path) -> None:
    near = labelled(4, config_type="near")
    far = labelled(4, seed=10, config_type="far")
    sets = {"mixed": [*near, *far], "other": labelled(2, seed=20)}

    def say(frame: Frame) -> tuple[float, Any]:
        error = 0.3 if frame.config_type == "far" else 0.1
        signs = (-1.0) ** np.arange(frame.forces.size).reshape(frame.forces.shape)
        return interaction(frame) + 0.02 * len(frame), frame.forces + error * signs

    measured = run(Planted("model", say, E0S), sets, tmp_path)
    errors = measured.numbers.sets["mixed"]["model"]
    assert list(errors) == ["all", "near", "far"]
    assert errors["near"].forces_rmse == pytest.approx(100.0)
    assert errors["far"].forces_mae == pytest.approx(300.0)
    # Equally many components of both.
    assert errors["all"].forces_rmse == pytest.approx(1e3 * np.sqrt((0.1**2 + 0.3**2) / 2))
    assert errors["all"].energy_rmse == pytest.approx(20.0, rel=1e-6)
    assert errors["all"].stress_rmse is None
    assert measured.numbers.sets["other"]["model"]["all"].n_frames == 2
    # Figures for the violins and the size of the forces by hand.
    found = measured.numbers.distribution["mixed"]["model"]
    assert found.forces == pytest.approx([100.0] * 4 + [300.0] * 4)
    assert found.forces_mae == pytest.approx([100.0] * 4 + [300.0] * 4)
    assert found.energy == pytest.approx([20.0] * 8, rel=1e-6)
    assert found.group == ["near"] * 4 + ["far"] * 4
    every = np.concatenate([f.forces.ravel() for f in far])
    assert measured.numbers.forces_rms["mixed"]["far"] == pytest.approx(
        1e3 * np.sqrt((every**2).mean())
    )


def test_the_foundation_is_compared_with_the_candidates_e0s(tmp_path: Path) -> None:
    """Its own are those of another level of theory; others keep theirs."""
    elsewhere = {z: e / 100 for z, e in E0S.items()}
    measured = run(
        off(0.0, 0.05),
        {"test": labelled()},
        tmp_path,
        baseline=off(0.010, 0.5, elsewhere, name="base"),
        others=[off(0.010, 0.5, elsewhere, name="third")],
    )
    of_set = measured.numbers.sets["test"]
    assert list(of_set) == ["base", "third", "model"]
    assert of_set["base"]["all"].energy_rmse == pytest.approx(10.0, rel=1e-6)
    assert of_set["third"]["all"].energy_rmse > 1e5
    assert of_set["model"]["all"].energy_rmse == pytest.approx(0.0, abs=1e-6)
    assert re.search("base .*E0s of model", measured.numbers.notes[0])
    energies, forces = json.loads((tmp_path / "charts.json").read_text())[-2:]
    assert [s["name"] for s in energies["series"]] == ["base", "third", "model"]
    base = energies["series"][0]
    # The label of a frame is one, also beside a potential with other E0s.
    assert len({tuple(one["x"]) for one in energies["series"]}) == 1
    assert np.subtract(base["y"], base["x"]) == pytest.approx(0.010, abs=2e-6)
    assert (
        forces["diagonal"] and forces["kind"] == "points" and "model 50 meV/Å" in forces["caption"]
    )


def test_a_candidate_without_e0s_leaves_energies_as_they_are(tmp_path: Path) -> None:
    frames = labelled()
    candidate = Planted("model", lambda f: (f.energy, f.forces))
    measured = run(candidate, {"test": frames}, tmp_path, baseline=off(0.01, 0.1, name="base"))
    assert measured.numbers.sets["test"]["base"]["all"].energy_rmse == pytest.approx(10.0, rel=1e-6)
    assert (
        measured.numbers.sets["test"]["model"]["all"].energy_rmse == 0.0
        and not measured.numbers.notes
    )


def test_charts_hold_what_was_measured(tmp_path: Path) -> None:
    sets = {"a": labelled(4), "b": labelled(3, seed=5)}
    run(off(0.02, 0.1), sets, tmp_path, baseline=off(0.03, 0.2, name="base"))
    forces, energy, *parity = json.loads((tmp_path / "charts.json").read_text())
    assert forces["kind"] == energy["kind"] == "violin" and len(parity) == 4
    base, model = forces["series"]
    assert model["x"] == ["a"] * 4 + ["b"] * 3
    assert model["y"] == pytest.approx([100.0] * 7) and base["y"] == pytest.approx([200.0] * 7)
    assert energy["series"][1]["y"] == pytest.approx([20.0] * 7, rel=1e-6)
    one = run(off(0.02, 0.1), {"a": labelled(2) + labelled(2, config_type="g")}, tmp_path / "one")
    assert PROTOCOL.charts(one)[0].series[0].x == ["Default", "Default", "g", "g"]


def test_thinning_keeps_outliers() -> None:
    frames, said = [], []
    rng = np.random.default_rng(1)
    for k in range(40):
        atoms = Atoms("H50", positions=rng.normal(size=(50, 3)))
        forces = rng.normal(size=(50, 3))
        frames.append(Frame(atoms, 0.0, forces))
        wrong = forces + 0.01
        wrong[7, 1] += 50.0 if k == 33 else 0.0
        said.append(FramePrediction(1.0, 1.0, wrong, None))
    points = parity_points(frames, said)
    assert len(points.forces_ref) == len(points.forces_pred) == MAX_PARITY_POINTS
    error = np.subtract(points.forces_pred, points.forces_ref)
    assert error.max() == pytest.approx(50.01) and np.median(error) == pytest.approx(0.01, abs=1e-6)
    said[3].forces[0, 0] = np.nan
    assert np.isfinite(parity_points(frames, said).forces_pred).all()


def test_a_foundations_offset_is_taken_off_its_parity_plot_and_said() -> None:
    """Two compositions of another level of theory: constants of thousands of eV for two elements,
    beside errors of 10 meV/atom."""
    rng = np.random.default_rng(3)
    frames, far, near = [], [], []
    for k in range(40):
        atoms = Atoms(f"H{1 + k % 3}O{1 + k % 2}")
        n, energy = len(atoms), -3.0 * len(atoms) - 0.1 * k
        frames.append(Frame(atoms, energy, None))
        shift = 13.0 * (atoms.numbers == 1).sum() + 2040.0 * (atoms.numbers == 8).sum()
        wrong = energy + 0.01 * n * rng.normal()
        far.append(FramePrediction(wrong + shift, wrong + shift, None, None))
        near.append(FramePrediction(wrong, wrong, None, None))
    points = {"base": parity_points(frames, far), "own": parity_points(frames, near)}
    errors = {name: {"all": FrameErrors(n_frames=40, energy_rmse=1.0)} for name in points}
    chart = parity_charts("test", points, errors, {})[0]
    base, own = chart.series
    off = np.subtract(base.y, base.x)
    assert 0.002 < np.sqrt(np.mean(off**2)) < 0.02
    # A frame has one label, whichever potential predicts it.
    assert base.x == own.x == points["own"].energy_ref
    assert own.y == points["own"].energy_pred
    # The most is that of HO2: (13 + 2 · 2040) / 3 = 1364.3 eV/atom.
    assert "to 1.36×10⁶ meV/atom" in chart.caption
    # What is no offset stays.
    [plain] = parity_charts("test", {"base": points["own"]}, errors, {})
    assert plain.series[0].y == points["own"].energy_pred and "constant" not in plain.caption


def test_labels_that_are_missing_are_left_out(tmp_path: Path) -> None:
    frames = labelled(6)
    frames[0].energy = None
    frames[1].forces = None
    frames[2] = replace(frames[2], energy=None, forces=None)
    potential = Planted("model", lambda f: (1.0, np.zeros((len(f), 3))), E0S)
    measured = run(potential, {"test": frames}, tmp_path)
    expected = errors_by_group(frames, potential.predict(frames))
    assert measured.numbers.sets["test"]["model"] == expected
    found = measured.numbers.distribution["test"]["model"]
    assert [v is None for v in found.energy] == [True, False, True, False, False, False]
    assert [v is None for v in found.forces] == [False, True, True, False, False, False]
    energy_only = [replace(f, forces=None) for f in labelled(4)]
    base, model = energies_off("base", 0.1), energies_off("model", 0.3)
    measured = run(model, {"test": energy_only}, tmp_path / "energy", baseline=base)
    found = {f.quantity: f for f in PROTOCOL.assess(measured, LIMITS)}
    assert set(found) == {
        "energy error on test",
        "energy error on test, against the foundation",
    }
    finding = found["energy error on test, against the foundation"]
    assert finding.level == "fail" and finding.value == pytest.approx(3.0)
    assert not any("force" in f.sentence.split("Fine-")[0] for f in found.values())


def test_findings_name_figure_worst_group_and_worst_set(tmp_path: Path) -> None:
    sets = {
        "good": labelled(8),
        "bad": labelled(4, seed=1, config_type="a") + labelled(4, seed=2, config_type="b"),
    }

    def candidate(frame: Frame) -> tuple[float, Any]:
        error = {"a": 0.3, "b": 0.9}.get(frame.config_type, 0.05)
        return interaction(frame), frame.forces + error * np.sign(frame.forces)

    measured = run(
        Planted("model", candidate, E0S), sets, tmp_path, baseline=off(0.0, 0.5, name="base")
    )
    findings = PROTOCOL.assess(measured, LIMITS)
    assert [f.level for f in findings] == ["fail", "fail", "pass", "pass", "pass", "pass"]
    against, relative = findings[:2]
    rmse = np.sqrt((0.3**2 + 0.9**2) / 2)
    assert against.value == pytest.approx(rmse / 0.5) and "bad" in against.quantity
    assert "671 meV/Å" in against.sentence
    assert re.search(r"worst of 2 groups .*b \(1\.8\)", against.sentence)
    assert "made it worse" in against.sentence and "Train on structures like these" in (
        against.sentence
    )
    size = measured.numbers.forces_rms["bad"]["all"]
    assert relative.value == pytest.approx(1e3 * rmse / size) and relative.value > 0.5
    # Energies without error, of the foundation too: nothing to take a multiple of.
    assert {round(f.value, 6) for f in findings[2:]} == {
        0.0,
        0.1,
        round(50 / measured.numbers.forces_rms["good"]["all"], 6),
    }
    base = off(0.01, 0.5, name="base")
    equal = run(off(0.01 + 1e-9, 0.5), {"x": labelled()}, tmp_path / "equal", base)
    against = [f for f in PROTOCOL.assess(equal, LIMITS) if "foundation" in f.quantity]
    assert [f.level for f in against] == ["concern"] * 2
    assert all("gained nothing" in f.sentence for f in against)


def test_what_helps_is_said_with_the_worst_set_alone(tmp_path: Path) -> None:
    sets = {"one": labelled(4), "two": labelled(4, seed=1)}
    measured = run(off(0.0, 0.9), sets, tmp_path, baseline=off(0.0, 0.5, name="base"))

    def against(making: Making | None) -> list[str]:
        found = PROTOCOL.assess(replace(measured, making=making), LIMITS)
        return [f.sentence for f in found if "force error" in f.quantity and "fou" in f.quantity]

    worst, other = against(None)
    assert "pseudolabel" in worst and "pseudolabel" not in other and "made it worse" in other
    assert "replay.count" in against(Making(replays=True))[0]
    assert "Fine-tuning" not in against(Making(from_scratch=True))[0]


def test_energies_are_judged_beside_good_forces(tmp_path: Path) -> None:
    """Forces without fault, energies off by more than an eV/atom; whatever it is compared with."""
    measured = run(off(1.5, 0.0), {"x": labelled()}, tmp_path / "alone")
    energy, forces = PROTOCOL.assess(measured, LIMITS)
    assert energy.level == "fail" and energy.value == pytest.approx(1500.0)
    assert "energy" in energy.quantity and energy.unit == "meV/atom"
    assert "1,500 meV/atom" in energy.sentence and forces.level == "pass"
    measured = run(off(0.03, 0.0), {"x": labelled()}, tmp_path / "b", off(0.01, 0.5, name="base"))
    found = {f.quantity: f for f in PROTOCOL.assess(measured, LIMITS)}
    ratio = found["energy error on x, against the foundation"]
    assert ratio.level == "fail" and ratio.value == pytest.approx(3.0)
    assert "30 meV/atom, the foundation's 10" in ratio.sentence
    assert found["energy error on x"].level == "concern"
    assert found["force error on x, against the foundation"].level == "pass"


def test_single_atoms_do_not_hide_the_energies_of_the_others(tmp_path: Path) -> None:
    """E0s that are no energies of atoms: off by eV there, for the foundation with the same E0s too;
    on molecules 2 meV/atom against 10."""
    atoms = [
        Frame(Atoms([z]), e0 + 3.0, config_type="IsolatedAtom", source="a.xyz", index=k)
        for k, (z, e0) in enumerate(E0S.items())
    ]

    def saying(error: float) -> Callable[[Frame], tuple[float, Any]]:
        return lambda f: (
            0.0 if f.is_isolated_atom else interaction(f) + error * len(f),
            np.zeros((len(f), 3)),
        )

    for atom in atoms:
        atom.forces = np.zeros((1, 3))
    base = Planted("base", saying(0.010), E0S)
    model = Planted("model", saying(0.002), E0S)
    measured = run(model, {"x": [*labelled(), *atoms]}, tmp_path, base)
    assert measured.numbers.sets["x"]["model"]["all"].energy_rmse > 1000
    found = {f.quantity: f for f in PROTOCOL.assess(measured, LIMITS)}
    assert found["energy error on x"].value == pytest.approx(2.0)
    assert found["energy error on x, against the foundation"].value == pytest.approx(0.2)


def test_energies_alone_are_judged_without_a_foundation(tmp_path: Path) -> None:
    frames = [replace(frame, forces=None) for frame in labelled(4)]
    for error, level in ((0.005, "pass"), (0.05, "concern"), (0.5, "fail")):
        measured = run(energies_off("model", error), {"x": frames}, tmp_path / level)
        (finding,) = PROTOCOL.assess(measured, LIMITS)
        assert (finding.level, finding.value) == (level, pytest.approx(1e3 * error))


def test_energies_of_another_level_fail_the_candidate_alone(tmp_path: Path) -> None:
    """All-electron labels against a pseudopotential's E0s: off by keV, whatever the model is."""
    elsewhere = {z: e / 100 for z, e in E0S.items()}
    measured = run(off(0.0, 0.1, elsewhere), {"x": labelled()}, tmp_path / "own")
    error = measured.numbers.sets["x"]["model"]["all"].energy_rmse
    assert error > 1e5
    energy, forces = PROTOCOL.assess(measured, LIMITS)
    assert energy.level == "fail" and "E0s" in energy.sentence
    assert f"{error / 1e3:.0f} eV/atom" in energy.sentence and forces.level == "pass"
    # A calculator says no E0s that could be replaced: its energies are no measure.
    frames = labelled()
    base = Planted("base", lambda f: (interaction(f), f.forces + 1.0))
    measured = run(off(0.001, 0.1), {"x": frames}, tmp_path / "base", base)
    found = {f.quantity: f for f in PROTOCOL.assess(measured, LIMITS)}
    assert set(found) == {
        "energy error on x",
        "force error on x, against the foundation",
        "force error on x, against the forces",
    }
    assert found["energy error on x"].level == "pass"
    assert "the foundation's E0s" in found["energy error on x"].sentence


def test_labels_of_the_foundation_itself_are_told(tmp_path: Path) -> None:
    """A multiple of rounding says nothing."""
    measured = run(off(0.0, 0.1), {"x": labelled()}, tmp_path, baseline=off(0.0, 1e-9, name="base"))
    finding, energy = PROTOCOL.assess(measured, LIMITS)
    assert finding.unit == "of the RMS force" and "own predictions" in finding.sentence
    assert energy.level == "pass" and "against" not in energy.quantity
    frames = [replace(frame, forces=None) for frame in labelled()]
    model, base = (energies_off("model", 0.01), energies_off("base", 1e-9))
    (energy,) = PROTOCOL.assess(run(model, {"x": frames}, tmp_path / "e", base), LIMITS)
    assert energy.unit == "meV/atom" and energy.value == pytest.approx(10.0)


def test_a_model_that_is_not_finite_fails_by_name(tmp_path: Path) -> None:
    frames = labelled(6)

    def say(frame: Frame) -> tuple[float, Any]:
        lost = frame.index in (3, 5)
        return interaction(frame), frame.forces + (np.nan if lost else 0.1)

    measured = run(Planted("model", say, E0S), {"test": frames}, tmp_path, off(0, 0.1, name="base"))
    assert measured.numbers.sets["test"]["model"]["all"].forces_rmse is None
    assert measured.numbers.sets["test"]["base"]["all"].forces_rmse == pytest.approx(100.0)
    assert measured.numbers.not_finite["test"] == {
        "model": NotFinite(count=2, first="made.xyz frame 3")
    }
    (finding,) = PROTOCOL.assess(measured, LIMITS)
    assert finding.level == "fail" and finding.value is None
    assert re.search(r"\b2 frames of 6\b.*made\.xyz frame 3\b", finding.sentence)
    text = (tmp_path / "metrics.json").read_text()
    assert "NaN" not in text and "NaN" not in (tmp_path / "charts.json").read_text()


def test_a_stop_loses_no_piece_and_changes_no_number(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(predictions, "PIECE_ATOMS", 12)  # molecules have 3 and 6
    sets = {"a": labelled(5), "b": labelled(4, seed=3)}
    whole = off(0.01, 0.1)
    expected = run(whole, sets, tmp_path / "whole")
    # One piece runs over the border of the two sets.
    assert [p.start for p in predictions.pieces([*sets["a"], *sets["b"]])] == [0, 3, 6, 8]
    assert whole.calls == 4

    class Stopped(Planted):
        def predict(self, frames, on_progress=None):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().predict(frames, on_progress)

    with pytest.raises(KeyboardInterrupt):
        run(Stopped("model", off(0.01, 0.1)._say, E0S), sets, tmp_path / "parts")
    again = off(0.01, 0.1)
    assert run(again, sets, tmp_path / "parts") == expected and again.calls == 2
    third = off(0.01, 0.1)
    # The same structures in other sets: nothing is predicted again.
    regrouped = run(third, {"all": [*sets["a"], *sets["b"]]}, tmp_path / "parts")
    assert third.calls == 0 and regrouped.numbers.sets["all"]["model"]["all"].n_frames == 9


def test_a_network_by_metrics_directly(seed0: Foundation, demo_files, tmp_path: Path) -> None:
    """`probe`, `evaluate` and plain `errors_by_group` on plain predictions: the same figures."""
    frames = read_frames([demo_files["valid"]]).frames[:12]
    write_frames(tmp_path / "few.xyz", frames)
    expected = errors_by_group(frames, predict_frames(seed0, frames))
    few = str(tmp_path / "few.xyz")
    probed = probe("errors", "pestle-seed0", data=[f"few={few}"], out=tmp_path / "o")
    of_probe = probed.to_json()["sets"]["few"]["pestle-seed0"]
    evaluated = pestle.evaluate(
        "pestle-seed0", [few], out=tmp_path / "e", max_edges=500, dtype="float64"
    ).to_json()
    for group, errors in expected.items():
        for name, value in errors.model_dump().items():
            for found in (of_probe, evaluated):
                wanted = None if value is None else pytest.approx(value, rel=1e-9)
                assert found[group][name] == wanted, (group, name)
    written = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert written["sets"]["data"]["model"] == evaluated
    assert (tmp_path / "e" / "charts.json").is_file()


def test_isolated_atoms_count_in_the_errors_and_not_in_the_plots(
    seed0: Foundation, demo_files
) -> None:
    """As `pestle evaluate` always did: they have a row of their own."""
    frames = read_frames([demo_files["train"]]).frames
    evaluated = pestle.evaluate("pestle-seed0", [demo_files["train"]], dtype="float64").to_json()
    expected = errors_by_group(frames, predict_frames(seed0, frames))
    assert list(evaluated) == list(expected) and "IsolatedAtom" in evaluated
    assert evaluated["all"]["energy_rmse"] == pytest.approx(expected["all"].energy_rmse)
    points = parity_points(frames, predict_frames(seed0, frames))
    assert len(points.energy_ref) == len(frames) - evaluated["IsolatedAtom"]["n_frames"]


def test_of_two_heads_the_target_head_is_judged(tmp_path: Path) -> None:
    model = foundation_factory.foundation("two heads")
    frames = foundation_factory.frames()[:2]
    for frame, said in zip(frames, predict_frames(model, frames, head="Default"), strict=True):
        frame.energy, frame.forces = said.energy, said.forces
    target = ModelPotential("model", model)
    other = ModelPotential("replay", model, REPLAY_HEAD)
    inputs = Inputs(foundation_factory.ELEMENTS, {"x": frames}, 0, "model")
    measured = run_protocol(
        PROTOCOL, Contenders(target, None, (other,)), inputs, ErrorSettings(), tmp_path, "float64"
    )
    assert measured.numbers.sets["x"]["model"]["all"].forces_rmse < 1e-6
    assert measured.numbers.sets["x"]["replay"]["all"].forces_rmse > 1.0
    assert not PROTOCOL.replay_head


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        ({}, "errors: .*Give --data"),
        ({"test": []}, "test: it holds no structure"),
        (
            {"a": labelled(2), "b": [replace(f, energy=None, forces=None) for f in labelled(2)]},
            "^b: .*REF_energy",
        ),
    ],
)
def test_nothing_to_compare_with_is_one_line(sets, match: str, tmp_path: Path) -> None:
    with pytest.raises(PestleError, match=match) as error:
        run(off(0.0, 0.1), sets, tmp_path / "o")
    assert "\n" not in error.value.line and not (tmp_path / "o").exists()
