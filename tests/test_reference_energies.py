"""E0s come back from planted shifts, by every method, with the right diagnostics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

import nequip_factory
import pestle
from pestle.checks import check_frames
from pestle.energies.methods import compare, estimate
from pestle.energies.problem import EnergyProblem
from pestle.energies.setting import fallback, from_setting
from pestle.errors import PestleError
from pestle.foundations import load_foundation
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import predict_frames
from pestle.settings.run_file import build, dump, parse_overrides, read_run_file
from pestle.structures.frame import Frame

#: All-electron atoms (paper, Table 2): what a shift looks like in practice.
PLANTED = {1: -13.572, 6: -1030.567, 7: -1486.375, 8: -2043.934, 35: -70045.284}
MOLECULES = ["H2O", "CH4", "NH3", "CO2", "HCN", "CH3OH", "N2", "C2H6", "H2CO"]


def frames_with(foundation: Foundation, e0s: dict[int, float], names: list[str]) -> list[Frame]:
    """Frames whose labels are the foundation's interaction energy over other E0s."""
    frames = [Frame(molecule(name), source="made", index=k) for k, name in enumerate(names)]
    for frame, prediction in zip(frames, predict_frames(foundation, frames), strict=True):
        frame.energy = prediction.interaction_energy + sum(e0s[int(z)] for z in frame.numbers)
        frame.forces = prediction.forces
    return frames


def atom_frames(e0s: dict[int, float]) -> list[Frame]:
    return [Frame(Atoms(numbers=[z]), energy=e, config_type="IsolatedAtom") for z, e in e0s.items()]


def test_reestimation_recovers_a_planted_shift(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, MOLECULES)
    bromine = molecule("CH3Cl")
    bromine.numbers[bromine.numbers == 17] = 35
    extra = Frame(bromine)
    (prediction,) = predict_frames(seed0, [extra])
    extra.energy = prediction.interaction_energy + sum(PLANTED[int(z)] for z in bromine.numbers)
    result = estimate(EnergyProblem.of([*frames, extra], seed0), "reestimate")
    for z, energy in PLANTED.items():
        assert result.e0s[z] == pytest.approx(energy, abs=1e-6)
    assert result.rank == result.n_elements == 5
    assert result.zero_step_error == pytest.approx(0, abs=1e-4)
    assert result.spread_before is not None and result.spread_before > 1e3
    own = seed0.reference_energies[seed0.heads[0]]
    assert result.shift[35] == pytest.approx(PLANTED[35] - own[35], abs=1e-6)


def test_reestimation_equals_mace_torch(seed0: Foundation, tmp_path: Path) -> None:
    """mace's own `estimate_e0s_from_foundation` on the same frames, which hold noise besides the
    shift."""
    from mace.calculators import MACECalculator
    from mace.data import config_from_atoms
    from mace.data.utils import KeySpecification, estimate_e0s_from_foundation
    from mace.tools import AtomicNumberTable, torch_tools

    frames = frames_with(seed0, PLANTED, MOLECULES)
    for frame, noise in zip(
        frames, np.random.default_rng(0).normal(0, 0.3, len(frames)), strict=True
    ):
        frame.energy = float(frame.energy or 0) + noise
        frame.atoms.info["REF_energy"] = frame.energy
    ours = estimate(EnergyProblem.of(frames, seed0), "reestimate").e0s
    seed0.export(tmp_path / "seed0.model")
    network = MACECalculator(
        model_paths=str(tmp_path / "seed0.model"), device="cpu", default_dtype="float64"
    ).models[0]
    keys = KeySpecification(info_keys={"energy": "REF_energy"}, arrays_keys={})
    with torch_tools.default_dtype("float64"):
        theirs = estimate_e0s_from_foundation(
            network,
            seed0.reference_energies["Default"],
            [config_from_atoms(f.atoms, key_specification=keys) for f in frames],
            AtomicNumberTable([1, 6, 7, 8]),
        )
    assert set(theirs) == {1, 6, 7, 8}
    for z, energy in theirs.items():
        assert ours[z] == pytest.approx(energy, abs=1e-6)


def test_average_is_the_composition_fit(seed0: Foundation) -> None:
    """Against numpy's normal equations; and it misses what reestimation finds."""
    frames = frames_with(seed0, PLANTED, MOLECULES)
    result = estimate(EnergyProblem.of(frames), "average")
    counts = np.array([[np.sum(f.numbers == z) for z in (1, 6, 7, 8)] for f in frames], float)
    energy = np.array([f.energy for f in frames])
    expected = np.linalg.solve(counts.T @ counts, counts.T @ energy)
    assert [result.e0s[z] for z in (1, 6, 7, 8)] == pytest.approx(expected, abs=1e-6)
    assert abs(result.e0s[6] - PLANTED[6]) > 1
    assert "paper" in result.warnings[0]


def test_one_composition_names_its_null_space(seed0: Foundation) -> None:
    rng = np.random.default_rng(0)
    base = molecule("CH3OH")
    frames = []
    for _ in range(6):
        atoms = base.copy()
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        frames.append(Frame(atoms))
    for frame, p in zip(frames, predict_frames(seed0, frames), strict=True):
        frame.energy = p.interaction_energy + sum(PLANTED[int(z)] for z in frame.numbers)
    result = estimate(EnergyProblem.of(frames, seed0), "reestimate")
    assert (result.rank, result.n_elements) == (1, 3)
    assert len(result.null_space) == 2
    counts = {"C": 1, "H": 4, "O": 1}
    for vector in result.null_space:  # no direction of it changes the energy of CH3OH
        assert sum(counts[s] * v for s, v in vector.items()) == 0
    for symbol in counts:
        assert symbol in result.null_space_text
    # The total offset is right, and the correction is the smallest that gives it.
    offset = sum(n * result.shift[z] for z, n in ((6, 1), (1, 4), (8, 1)))
    own = seed0.reference_energies[seed0.heads[0]]
    planted = sum(n * (PLANTED[z] - own[z]) for z, n in ((6, 1), (1, 4), (8, 1)))
    assert offset == pytest.approx(planted, abs=1e-6)
    composition = np.array([1, 4, 1])
    smallest = planted * composition / (composition @ composition)
    assert [result.shift[z] for z in (6, 1, 8)] == pytest.approx(smallest, abs=1e-6)


def test_defaults_and_elements_that_the_data_lack(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, MOLECULES)
    auto = from_setting(EnergyProblem.of(frames, seed0), "auto")
    assert auto.method == "reestimate" and "no isolated atom for" in auto.reason
    own = seed0.reference_energies[seed0.heads[0]]
    assert auto.e0s[17] == own[17] and 17 in auto.kept and 6 not in auto.kept
    atoms = atom_frames({z: PLANTED[z] for z in (1, 6, 7, 8)})
    auto = from_setting(EnergyProblem.of([*frames, *atoms], seed0), "auto")
    assert auto.method == "isolated"
    assert {z: auto.e0s[z] for z in (1, 6, 7, 8)} == {z: PLANTED[z] for z in (1, 6, 7, 8)}


def test_incomplete_atoms_cannot_be_isolated(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, ["H2O", "CO2"]) + atom_frames({1: -13.6})
    problem = EnergyProblem.of(frames, seed0)
    with pytest.raises(PestleError, match="C, O"):
        estimate(problem, "isolated")
    assert set(compare(problem)) == {"reestimate", "average", "foundation"}


def test_tables_and_files(seed0: Foundation, tmp_path: Path) -> None:
    problem = EnergyProblem.of(frames_with(seed0, PLANTED, ["H2O"]), seed0)
    table = {"H": -13.572, "O": -2043.934}
    path = tmp_path / "e0s.json"
    path.write_text(json.dumps({"e0s": table}))
    for setting in (table, str(path)):
        result = from_setting(problem, setting)
        assert (result.e0s[1], result.e0s[8]) == (-13.572, -2043.934)
        assert result.zero_step_error == pytest.approx(0, abs=1e-6)
    with pytest.raises(PestleError, match="'Hx' is no element"):
        from_setting(problem, {"Hx": 1.0})
    with pytest.raises(PestleError, match=r"'reestimated'.*Did you mean"):
        from_setting(problem, "reestimated")


@pytest.mark.parametrize(
    "text",
    [
        "{1:-13.572,8:-2043.934}",
        "{1: -13.572, 8: -2043.934}",
        "{ H:-13.572 , O : -2.043934e3}",
        "{'H': -13.572, \"O\": -2043.934}",
        '{"1": -13.572, "8": -2043.934}',
        "H:-13.572,8:-2043.934",
    ],
)
def test_tables_as_mace_writes_them(seed0: Foundation, tmp_path: Path, text: str) -> None:
    """On the command line, in a run file (quoted or not) and in a file of their own."""
    wanted = {"H": -13.572, "O": -2043.934}
    assert build({}, parse_overrides([f"e0s={text}"])).e0s == wanted
    quoted = "'" + text.replace("'", "''") + "'"
    for written in [text, quoted] if text.startswith("{") else [quoted]:
        path = tmp_path / "run.yaml"
        path.write_text(f"foundation: x\ne0s: {written}\n")
        settings = build(read_run_file(path))
        assert settings.e0s == wanted
        path.write_text(dump(settings))  # the complete run file of the run folder
        assert build(read_run_file(path)).e0s == wanted
    table = tmp_path / "e0s.json"
    table.write_text(text)
    problem = EnergyProblem.of(frames_with(seed0, PLANTED, ["H2O"]), seed0)
    for setting in (text, str(table)):
        result = from_setting(problem, setting)
        assert (result.e0s[1], result.e0s[8]) == (-13.572, -2043.934)
        assert result.method == "given" and "by the user" in result.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{1:-13.6,Hx:-2}", "'Hx' is no element"),
        ("{1:-13.6,H:-2}", "H stands twice"),
        ("{1:-13.6,8:low}", "8: 'low'"),
        ("{1:-13.6,8}", "'8' is not ELEMENT:ENERGY"),
        ("{1:-13.6", "no closing brace"),
        ("{}", "the table is empty"),
    ],
)
def test_a_wrong_table_is_named(text: str, message: str) -> None:
    with pytest.raises(PestleError, match=message):
        build({}, parse_overrides([f"e0s={text}"]))


def test_given_energies_and_what_they_leave_open(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, ["H2O", "CO2"]) + atom_frames({8: PLANTED[8] + 0.5})
    problem = EnergyProblem.of(frames, seed0)
    with pytest.raises(PestleError, match="no E0 of C"):
        from_setting(problem, {"H": PLANTED[1], "O": PLANTED[8]})
    result = from_setting(problem, {"H": PLANTED[1], "C": PLANTED[6]})
    assert result.e0s[8] == PLANTED[8] + 0.5 and "O from isolated atoms" in result.reason
    all_of_them = {"H": PLANTED[1], "C": PLANTED[6], "O": PLANTED[8]}
    (warning,) = from_setting(problem, all_of_them).warnings
    assert re.search(r"\bO\b.* −2,043\.9340 eV.* −2,043\.4340", warning)
    # The checks speak of reestimation only where something is left to reestimate.
    for given, left in (((1, 6, 8), None), ((1, 6), None), ((6,), "no given E0 of H")):
        found = check_frames({"train": frames}, given_e0s=given).findings
        about = ("no-isolated-atoms", "composition-rank")
        messages = [f.message for f in found if f.code in about and f.severity == "warning"]
        assert not any("reestimated" in f.message for f in found) or left is not None
        assert [left in m for m in messages] == ([True] if left else [])


def test_the_fallback_is_named_by_what_it_is() -> None:
    assert fallback("auto", from_scratch=False) == "reestimate"
    assert fallback("auto", from_scratch=True) == "average"
    frames = [Frame(molecule("H2O"), energy=-2080.0, source="a.xyz")]
    for method, word in (("average", "averaged over"), ("foundation", "are the foundation's")):
        assert fallback(method, from_scratch=False) == method
        found = check_frames({"train": frames}, e0_method=method).findings
        assert any(
            word in f.message for f in found if f.code in ("no-isolated-atoms", "composition-rank")
        )


def test_unknown_element_is_named_with_its_frame(seed0: Foundation) -> None:
    frame = Frame(Atoms("Po2", positions=[[0, 0, 0], [0, 0, 3]]), energy=-1.0, source="a.xyz")
    with pytest.raises(PestleError, match=r"a\.xyz frame 0: Po "):
        EnergyProblem.of([frame], seed0)


def test_an_element_only_isolated_atoms_hold_takes_their_energy(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, MOLECULES) + atom_frames({35: PLANTED[35]})
    result = estimate(EnergyProblem.of(frames, seed0), "reestimate")
    assert result.e0s[35] == PLANTED[35] and 35 not in result.kept


def test_forces_alone_keep_the_foundation(seed0: Foundation) -> None:
    frames = frames_with(seed0, PLANTED, ["H2O"])
    frames[0].energy = None
    result = from_setting(EnergyProblem.of(frames, seed0), "auto")
    assert result.method == "foundation" and "no frame has an energy" in result.reason


def test_single_atoms_are_said_where_they_are_not_the_e0s(seed0: Foundation) -> None:
    """What a single atom of the model with these E0s really gives (paper 3.2.2)."""
    frames = frames_with(seed0, PLANTED, MOLECULES)
    result = estimate(EnergyProblem.of(frames, seed0), "reestimate")
    model = seed0.with_reference_energies(seed0.heads[0], result.e0s)
    real = model.isolated_atom_energies()
    assert set(result.single_atoms) == {1, 6, 7, 8}
    for z, energy in result.single_atoms.items():
        assert energy == pytest.approx(real[z], abs=1e-6)
    assert result.single_atom_offset > 1.0
    assert result.to_json()["single_atoms"]["H"] == result.single_atoms[1]


def test_isolated_atoms_that_start_far_off_are_suspect(seed0: Foundation) -> None:
    """A foundation whose own E0s are no energies of isolated atoms starts eV off with those of the
    data; one that means the same by its E0s does not."""
    frames = frames_with(seed0, PLANTED, MOLECULES)
    atoms = atom_frames({z: PLANTED[z] for z in (1, 6, 7, 8)})
    fits = from_setting(EnergyProblem.of([*frames, *atoms], seed0), "isolated")
    assert not fits.warnings
    shifted = atom_frames({z: PLANTED[z] + 2.0 for z in (1, 6, 7, 8)})
    off = from_setting(EnergyProblem.of([*frames, *shifted], seed0), "isolated")
    assert off.method == "isolated" and "starts 2000 meV/atom off" in off.warnings[0]


def test_auto_reestimates_only_where_e0s_are_no_single_atoms(seed0: Foundation) -> None:
    """Isolated atoms that start far off mean different E0s (seed0: single atoms are 2.9 eV off
    theirs), or a foundation that binds wrongly (seed1: single atoms are its E0s; they stay)."""
    chosen = {}
    for model in (seed0, load_foundation("pestle-seed1", dtype=torch.float64)):
        frames = frames_with(model, PLANTED, MOLECULES)
        shifted = atom_frames({z: PLANTED[z] + 2.0 for z in (1, 6, 7, 8)})
        problem = EnergyProblem.of([*frames, *shifted], model)
        chosen[model.provenance.name] = from_setting(problem, "auto")
    assert chosen["pestle-seed0"].method == "reestimate"
    assert "2000 meV/atom off" in chosen["pestle-seed0"].reason
    for z in (1, 6, 7, 8):
        assert chosen["pestle-seed0"].e0s[z] == pytest.approx(PLANTED[z], abs=1e-6)
    assert chosen["pestle-seed1"].method == "isolated"
    assert "starts 2000 meV/atom off" in chosen["pestle-seed1"].warnings[0]


@pytest.mark.parametrize("kind", ["E0", "single atom"])
def test_isolated_atoms_settle_what_compositions_leave_open(kind: str) -> None:
    """One composition and the isolated atoms of its elements, in a model whose single atoms are not
    at their E0s: whichever of the two the data's atoms are, the planted E0s come back."""
    model = nequip_factory.foundation().with_dtype(torch.float64)
    planted = {1: -13.6, 6: -1027.6, 8: -2039.1}
    frames = frames_with(model, planted, ["CH3OH", "CH3OH"])
    own = model.reference_energies["Default"]
    added = {z: e - own[z] for z, e in model.isolated_atom_energies().items()}
    assert max(abs(added[z]) for z in planted) > 0.01
    atoms = {z: e + (added[z] if kind == "single atom" else 0.0) for z, e in planted.items()}
    result = estimate(EnergyProblem.of([*frames, *atom_frames(atoms)], model), "reestimate")
    assert result.null_space and "nearest to isolated atoms" in result.warnings[0]
    for z, energy in planted.items():
        assert result.e0s[z] == pytest.approx(energy, abs=1e-6)


def test_compositions_that_leave_e0s_open_are_warned_of_once(
    seed0: Foundation, tmp_path: Path
) -> None:
    file, rng = tmp_path / "one.xyz", np.random.default_rng(0)
    for k in range(6):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(0, 0.03, (3, 3))
        (label,) = predict_frames(seed0, [Frame(atoms)])
        atoms.info["REF_energy"] = label.energy + 1.0
        atoms.arrays["REF_forces"] = label.forces
        ase.io.write(file, atoms, append=k > 0)
    report = pestle.check(file, foundation="pestle-seed0")
    about = [f for f in report.warnings if "E0(H)" in f.message]
    assert [f.code for f in about] == ["composition-rank"]
    assert "no isolated atom" in about[0].message
