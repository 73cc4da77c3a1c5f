"""Pseudolabels: whose they are, that no other label survives, and that a stop loses nothing."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

import pestle
from foundation_factory import foundation, frames
from pestle import cli
from pestle.errors import Interrupted, PestleError
from pestle.files import sha256
from pestle.foundations import load_foundation
from pestle.foundations.mace.foundation import MaceFoundation
from pestle.labels.labelling import FoundationLabeller, label_frames
from pestle.labels.partial import PartialLabels
from pestle.labels.signatures import Labels, labels_by, structure_id
from pestle.structures.frame import Frame
from pestle.structures.reading import read_frames
from pestle.structures.writing import write_frames


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


LOADED: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _load_each_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a network takes a second, and labelling does not change it."""

    def load(name: str, **options: Any) -> Any:
        weights = Path(name) / "weights.safetensors"
        if not weights.exists():
            return load_foundation(name, **options)
        key = sha256(weights)
        if key not in LOADED:
            LOADED[key] = load_foundation(name, **options)
        return LOADED[key]

    monkeypatch.setattr("pestle.jobs.label.load_foundation", load)


@pytest.fixture
def command(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`pestle label WORDS`: (exit code, standard output, standard error)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pestle", "label", *map(str, words)])
        capsys.readouterr()
        code = cli._run()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def model() -> str:
    """A model folder with one head."""
    foundation("residual").save(Path("model"))
    return "model"


@pytest.fixture
def count_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Graphs in each batch that a model predicts."""
    counts: list[int] = []
    predict = MaceFoundation.predict

    def counting(self: Any, graphs: Any, **options: Any) -> Any:
        counts.append(graphs.n_graphs)
        return predict(self, graphs, **options)

    monkeypatch.setattr(MaceFoundation, "predict", counting)
    return counts


def varied(count: int = 6, seed: int = 5) -> list[Atoms]:
    """Crystals, molecules and slabs with all 16 digits, and labels that are not the model's."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        atoms = [
            bulk("NaCl", "rocksalt", a=5.4),
            molecule("CH3CH2OH"),
            bulk("NaCl", "rocksalt", a=5),
        ][number % 3].copy()
        if number % 3 == 2:
            atoms.pbc = (True, True, False)
        if atoms.cell.rank:
            atoms.set_cell(
                atoms.cell.array @ (np.eye(3) + generator.normal(scale=0.02, size=(3, 3))),
                scale_atoms=True,
            )
        atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
        atoms.positions[0] = [-1e-12, -0.0, 1 / 3]
        atoms.info |= {
            "REF_energy": 1e3 + number,
            "config_type": "foreign",
            "name": f"number {number}",
        }
        atoms.arrays["REF_forces"] = generator.normal(size=(len(atoms), 3))
        made.append(atoms)
    return made


def write(path: str, structures: list[Atoms]) -> str:
    ase.io.write(path, structures, format="extxyz")
    return path


def as_frames(structures: list[Atoms]) -> list[Frame]:
    return [Frame(atoms, index=k) for k, atoms in enumerate(structures)]


# -- the labels ---------------------------------------------------------------------------------
@pytest.mark.parametrize("head", ["pbe", "r2scan"])
def test_labels_are_those_of_mace_torchs_own_calculator(head: str) -> None:
    from mace.calculators import MACECalculator

    three_heads = foundation("nonlinear")
    three_heads.save(Path("three"))
    three_heads.export(Path("one.model"), head=head)
    own = MACECalculator("one.model", device="cpu", default_dtype="float64")
    data = write("data.xyz", varied())
    facts = pestle.label([data], "out.xyz", model="three", head=head, max_edges=60).to_json()
    assert facts["frames"] == facts["made"] == 6
    assert facts["with_energy"] == facts["with_forces"] == 6 and facts["with_stress"] == 2
    written = ase.io.read("out.xyz", index=":")
    for atoms, given in zip(written, varied(), strict=True):
        assert np.abs(atoms.positions - given.positions).max() < 1e-8
        atoms.calc = own
        assert atoms.info["REF_energy"] == pytest.approx(atoms.get_potential_energy(), abs=2e-8)
        assert np.abs(atoms.arrays["REF_forces"] - atoms.get_forces()).max() < 2e-8
        assert np.abs(atoms.get_forces()).max() > 1e-3
        if atoms.pbc.all():
            assert np.abs(atoms.info["REF_stress"] - atoms.get_stress()).max() < 2e-8
        else:
            assert "REF_stress" not in atoms.info


def test_charge_and_spin_reach_the_model() -> None:
    model = foundation("charged")
    atoms = molecule("CH3CH2OH")
    states = [Frame(atoms, charge=q, spin=s) for q, s in ((None, None), (1.0, None), (1.0, 2.0))]
    labelled = label_frames(states, model, "omol").frames
    calculator = model.calculator(head="omol")
    for frame, info in zip(labelled, ({}, {"charge": 1}, {"charge": 1, "spin": 2}), strict=True):
        atoms.info = info
        assert frame.energy == pytest.approx(calculator.get_potential_energy(atoms), abs=2e-8)
    assert len({round(f.energy, 6) for f in labelled}) == 3
    assert len({structure_id(f) for f in labelled}) == 3


def test_the_precision_is_as_asked_and_part_of_the_identity(model: str) -> None:
    data = write("data.xyz", varied(2))
    double = pestle.label([data], "double.xyz", model=model).to_json()
    single = pestle.label([data], "single.xyz", model=model, dtype="float32").to_json()
    fingerprint = foundation("residual").fingerprint()
    assert double["labelled_by"] == f"model:{fingerprint}:Default:float64"
    assert single["labelled_by"] == f"model:{fingerprint}:Default:float32"
    energies = [f.energy for f in read_frames(["double.xyz", "single.xyz"]).frames]
    assert energies[0] != energies[2]
    assert energies[:2] == pytest.approx(energies[2:], abs=1e-3)


# -- nothing else survives ----------------------------------------------------------------------
def test_no_foreign_label_survives(model: str) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.4)
    forces = np.full((2, 3), 77.0)
    atoms.info |= {
        "REF_energy": 77.0, "REF_stress": np.full(6, 77.0), "dft_energy": 77.0, "levels": [77.0],
        "config_weight": 3.0, "config_energy_weight": 77.0, "config_forces_weight": 0.0,
        "head": "r2scan", "config_type": "bulk", "name": "halite", "pestle_labels": "model:0/1/2",
    }  # fmt: skip
    atoms.arrays |= {"REF_forces": forces, "dft_forces": forces}
    atoms.calc = SinglePointCalculator(atoms, energy=77.0, forces=forces, stress=np.full(6, 77.0))
    facts = pestle.label([write("data.xyz", [atoms])], "out.xyz", model=model).to_json()
    assert facts["replaced"] == facts["made"] == 1
    assert "77" not in Path("out.xyz").read_text()
    (frame,) = read_frames(["out.xyz"]).frames
    expected = label_frames([Frame(bulk("NaCl", "rocksalt", a=5.4))], foundation("residual"))
    assert frame.energy == expected.frames[0].energy
    assert np.array_equal(frame.forces, expected.frames[0].forces)
    assert np.array_equal(frame.stress, expected.frames[0].stress)
    assert (frame.config_type, frame.atoms.info["name"], frame.weight) == ("bulk", "halite", 3.0)
    weights = (frame.energy_weight, frame.forces_weight, frame.stress_weight)
    assert weights == (1.0, 1.0, 1.0) and frame.head is None


def test_frames_given_are_not_changed() -> None:
    given = as_frames(varied(3))
    before = [(f.atoms.positions.copy(), dict(f.atoms.info)) for f in given]
    label_frames(given, foundation("residual"))
    for frame, (positions, info) in zip(given, before, strict=True):
        assert np.array_equal(frame.atoms.positions, positions)
        assert frame.atoms.info.keys() == info.keys() and frame.energy is None


# -- signatures ---------------------------------------------------------------------------------
@pytest.fixture
def labelled() -> list[Frame]:
    return label_frames(as_frames(varied()), foundation("residual")).frames


def identity() -> str:
    return FoundationLabeller(foundation("residual")).id


def test_signatures_survive_files_of_pestle_and_of_ase(labelled: list[Frame]) -> None:
    write_frames("pestle.xyz", labelled)
    write("ase.xyz", ase.io.read("pestle.xyz", index=":"))
    for path in ("pestle.xyz", "ase.xyz"):
        for made, read in zip(labelled, read_frames([path]).frames, strict=True):
            assert read.labelled_by == made.labelled_by and made.labelled_by is not None
            assert labels_by(identity(), read) is not None
            assert np.array_equal(made.atoms.positions, read.atoms.positions)


def test_a_structure_has_one_identity_however_its_zeros_are_written() -> None:
    atoms = Atoms("Na", [[0.0, 0.0, 1e-10]], cell=np.diag([3.0, 3.0, 3.0]), pbc=True)
    other = Atoms("Na", [[-0.0, -1e-10, 0.0]], cell=-np.diag([-3.0, -3.0, -3.0]), pbc=True)
    assert np.signbit(other.cell.array).any()
    assert structure_id(Frame(atoms)) == structure_id(Frame(other))


def test_what_is_labelled_already_is_not_predicted_again(
    labelled: list[Frame], count_frames: list[int]
) -> None:
    write_frames("a.xyz", labelled[:2])
    write_frames("b.xyz", labelled[:1:-1])
    shuffled = read_frames(["b.xyz", "a.xyz"]).frames
    again = label_frames(shuffled, foundation("residual"))
    assert (again.reused, again.made, again.replaced, count_frames) == (6, 0, 0, [])
    fresh = label_frames(as_frames(varied()), foundation("residual"), known=shuffled)
    assert (fresh.reused, fresh.made, count_frames) == (6, 0, [])
    for frames_, expected in ((again.frames, shuffled), (fresh.frames, labelled)):
        for frame, other in zip(frames_, expected, strict=True):
            assert frame.energy == other.energy and np.array_equal(frame.forces, other.forces)
            assert frame.labelled_by == other.labelled_by


@pytest.mark.parametrize(
    "change",
    [
        "position",
        "cell",
        "element",
        "periodicity",
        "charge",
        "energy",
        "forces",
        "no stress",
        "text",
    ],
)
def test_a_changed_frame_is_labelled_again(
    labelled: list[Frame], count_frames: list[int], change: str
) -> None:
    frame = labelled[0]
    if change == "position":
        frame.atoms.positions[1, 2] += 1e-7
    elif change == "cell":
        frame.atoms.cell[0, 0] += 1e-9
    elif change == "element":
        frame.atoms.numbers[0] = 1
    elif change == "periodicity":
        frame.atoms.pbc = False
    elif change == "charge":
        frame.charge = 1.0
    elif change == "energy":
        frame.energy += 1e-6
    elif change == "forces":
        frame.forces = frame.forces[:, ::-1]
    elif change == "no stress":
        frame.stress = None
    else:
        frame.labelled_by = labelled[1].labelled_by
    again = label_frames(labelled, foundation("residual"))
    assert (again.reused, again.made, again.replaced, count_frames) == (5, 1, 1, [1])
    bare = Frame(frame.atoms, charge=frame.charge)
    alone = label_frames([bare], foundation("residual")).frames[0]
    assert again.frames[0].energy == pytest.approx(alone.energy, abs=2e-8)
    assert again.frames[0].labelled_by.split("/")[1] == structure_id(bare)


def test_another_model_labels_anew(labelled: list[Frame], count_frames: list[int]) -> None:
    model = foundation("residual")
    shifted = model.with_reference_energies("Default", {11: -100.0})
    other = label_frames(labelled, shifted, known=labelled)
    assert (other.reused, other.made, other.replaced) == (0, 6, 6) and sum(count_frames) == 6
    assert other.frames[0].energy == pytest.approx(
        labelled[0].energy - 100.0 - model.reference_energies["Default"][11], abs=2e-8
    )
    two = label_frames(labelled, foundation("two heads"), "pt_head")
    heads = label_frames(two.frames, foundation("two heads"), "Default")
    assert (heads.reused, heads.made, heads.replaced) == (0, 6, 6)


def test_the_fingerprint_is_that_of_the_model_as_it_was_loaded(labelled: list[Frame]) -> None:
    loaded = foundation("residual", dtype=torch.float32)
    cast = loaded.with_dtype(torch.float64)
    assert cast.fingerprint() != loaded.fingerprint()
    own = label_frames(labelled[:1], cast, fingerprint=loaded.fingerprint())
    assert own.labelled_by == f"model:{loaded.fingerprint()}:Default:float64"


def test_equal_structures_are_predicted_once(count_frames: list[int]) -> None:
    twice = as_frames([*varied(2), *varied(2)])
    done: list[int] = []
    result = label_frames(twice, foundation("residual"), max_edges=1, on_progress=done.append)
    assert count_frames == [1, 1] and done == [2, 4] and result.made == 4
    assert result.frames[0].energy == result.frames[2].energy
    assert result.frames[0].forces is not result.frames[2].forces


# -- stops --------------------------------------------------------------------------------------
@pytest.mark.parametrize("batches", [1, 2, 3])
def test_stopped_and_resumed_is_the_same_to_the_last_byte(
    model: str, command: Any, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    data = write("data.xyz", varied(9))
    options = [data, "-m", model, "--max-edges", "80"]
    assert command(*options, "-o", "whole.xyz")[0] == 0
    predict, calls = MaceFoundation.predict, [0]

    def stopped_by_user(self: Any, graphs: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] > batches:
            raise KeyboardInterrupt
        return predict(self, graphs, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MaceFoundation, "predict", stopped_by_user)
        code, out, err = command(*options, "-o", "out.xyz")
    assert code == 130 and out == "" and "goes on from out.xyz.partial" in err
    assert err.strip().count("\n") == 0
    assert not Path("out.xyz").exists()
    assert len(Path("out.xyz.partial").read_text().splitlines()) == batches + 1
    code, out, err = command(*options, "-o", "out.xyz", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["resumed"] + facts["made"] == 9 and 0 < facts["resumed"] < 9
    assert "going on from out.xyz.partial" in err
    assert Path("out.xyz").read_bytes() == Path("whole.xyz").read_bytes()
    assert not Path("out.xyz.partial").exists()


def test_stopped_before_the_first_batch(
    model: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Any, graphs: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    data = write("data.xyz", varied(2))
    monkeypatch.setattr(MaceFoundation, "predict", stopped)
    code, _, err = command(data, "-m", model, "-o", "out.xyz")
    assert code == 130 and "before the first batch" in err
    assert not Path("out.xyz").exists() and not Path("out.xyz.partial").exists()


@pytest.fixture
def half_done(model: str, count_frames: list[int], monkeypatch: pytest.MonkeyPatch) -> list[Atoms]:
    """data.xyz, labelled in part: out.xyz.partial holds two batches of one structure each."""
    data = varied(4)
    write("data.xyz", data)
    pestle.label(["data.xyz"], "whole.xyz", model=model, max_edges=1)
    predict = MaceFoundation.predict
    count_frames.clear()

    def fails(self: Any, graphs: Any, **named: Any) -> Any:
        if len(count_frames) == 2:
            raise KeyboardInterrupt
        return predict(self, graphs, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MaceFoundation, "predict", fails)
        with pytest.raises(Interrupted):
            pestle.label(["data.xyz"], "out.xyz", model=model, max_edges=1)
    count_frames.clear()
    return data


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_torn_last_record_is_made_again(
    half_done: list[Atoms], count_frames: list[int], cut: int
) -> None:
    partial = Path("out.xyz.partial")
    partial.write_bytes(partial.read_bytes()[:-cut])
    facts = pestle.label(["data.xyz"], "out.xyz", model="model", max_edges=1).to_json()
    assert facts["resumed"] == 1 and facts["made"] == 3 and count_frames == [1, 1, 1]
    assert Path("out.xyz").read_bytes() == Path("whole.xyz").read_bytes()


def test_a_torn_header_is_no_beginning(half_done: list[Atoms], count_frames: list[int]) -> None:
    partial = Path("out.xyz.partial")
    partial.write_bytes(partial.read_bytes()[:20])
    assert pestle.label(["data.xyz"], "out.xyz", model="model", max_edges=1).to_json()["made"] == 4
    assert Path("out.xyz").read_bytes() == Path("whole.xyz").read_bytes()


def test_labels_changed_in_the_partial_file_are_not_used(
    half_done: list[Atoms], capsys: pytest.CaptureFixture
) -> None:
    partial = Path("out.xyz.partial")
    header, first, second = partial.read_text().splitlines()
    records = json.loads(first)
    records[0][2] += 1.0  # the energy
    partial.write_text("\n".join([header, json.dumps(records), second, ""]))
    facts = pestle.label(["data.xyz"], "out.xyz", model="model", max_edges=1).to_json()
    assert facts["resumed"] == 0 and facts["made"] == 4
    assert "damaged" in capsys.readouterr().err
    assert Path("out.xyz").read_bytes() == Path("whole.xyz").read_bytes()


def test_what_follows_a_damage_is_gone_once_the_file_is_written_again() -> None:
    path, labels = Path("partial"), Labels.rounded(1.0, np.ones((2, 3)), None)
    header = json.dumps({"format": 1, "labelled_by": "me"})
    path.write_text(f"{header}\n[[damaged]]\n{'more of it ' * 100}\n")
    damaged = PartialLabels(path, "me")
    assert damaged.note and not damaged.labels
    damaged.append({"a": labels})
    damaged.close()
    again = PartialLabels(path, "me")
    assert not again.note and again.labels.keys() == {"a"}
    assert again.labels["a"].digest == labels.digest


def test_the_partial_file_of_another_model_is_not_used(
    half_done: list[Atoms], count_frames: list[int], capsys: pytest.CaptureFixture
) -> None:
    foundation("density").save(Path("other"))
    facts = pestle.label(["data.xyz"], "out.xyz", model="other").to_json()
    assert facts["resumed"] == 0 and facts["made"] == 4 and sum(count_frames) == 4
    assert "of another model" in capsys.readouterr().err
    pestle.label(["data.xyz"], "direct.xyz", model="other")
    assert Path("out.xyz").read_bytes() == Path("direct.xyz").read_bytes()


def test_other_structures_in_the_partial_file_are_not_used(
    half_done: list[Atoms], capsys: pytest.CaptureFixture
) -> None:
    write("data.xyz", half_done[1:])
    facts = pestle.label(["data.xyz"], "out.xyz", model="model", max_edges=1).to_json()
    assert facts["resumed"] == 1 and facts["made"] == 2
    assert re.search("out.xyz.partial: 1 of its structures", capsys.readouterr().err)
    pestle.label(["data.xyz"], "direct.xyz", model="model", max_edges=1)
    assert Path("out.xyz").read_bytes() == Path("direct.xyz").read_bytes()


def test_a_finished_file_is_recognised_and_any_other_is_left_alone(
    model: str, command: Any, count_frames: list[int]
) -> None:
    data = write("data.xyz", varied(2))
    more = write("more.xyz", varied(3))
    assert command(data, "-m", model, "-o", "out.xyz")[0] == 0
    written = Path("out.xyz").read_bytes()
    count_frames.clear()
    code, out, _ = command(data, "-m", model, "-o", "out.xyz")
    assert code == 0 and "already labelled" in out and count_frames == []
    foundation("density").save(Path("other"))
    for words in (
        (more, "-m", model),
        (data, "-m", "other"),
        (data, "-m", model, "--dtype=float32"),
    ):
        code, out, err = command(*words, "-o", "out.xyz")
        assert code == 2 and out == "" and "exists already" in err and err.count("\n") == 1
    assert command(data, "-m", model, "-o", data)[0] == 2
    assert Path("out.xyz").read_bytes() == written and count_frames == []


# -- any ASE calculator -------------------------------------------------------------------------
def metals() -> list[Atoms]:
    generator = np.random.default_rng(8)
    made = [bulk("Cu", cubic=True), bulk("Au", cubic=True), molecule("CO"), bulk("Pt", cubic=True)]
    for atoms in made:
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
        atoms.info["REF_energy"] = 5.0
    return made


@pytest.mark.parametrize(
    ("spec", "make"),
    [
        ("ase.calculators.emt:EMT", EMT),
        ("mine:lj", lambda: LennardJones(sigma=2.2, rc=6.0)),
        ("mine:ready", lambda: LennardJones(sigma=2.2, rc=6.0)),
    ],
)
def test_any_calculator_labels(spec: str, make: Any) -> None:
    Path("mine.py").write_text(
        "from ase.calculators.lj import LennardJones\n"
        "def lj():\n    return LennardJones(sigma=2.2, rc=6.0)\n"
        "ready = lj()\n"
    )
    path = list(sys.path)
    sys.modules.pop("mine", None)
    facts = pestle.label([write("data.xyz", metals())], "out.xyz", calculator=spec).to_json()
    assert facts["made"] == facts["with_forces"] == 4 and facts["with_stress"] == 3
    assert facts["labelled_by"].startswith(f"calculator:{spec}:") and sys.path == path
    for atoms, frame in zip(
        ase.io.read("out.xyz", index=":"), read_frames(["out.xyz"]).frames, strict=True
    ):
        atoms.calc = make()
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
        assert np.abs(frame.forces - atoms.get_forces()).max() < 1e-8
        if atoms.pbc.all():
            assert np.abs(frame.stress - atoms.get_stress(voigt=False)).max() < 1e-9
        assert labels_by(facts["labelled_by"], frame) is not None
    assert pestle.label(["data.xyz"], "out.xyz", calculator=spec).to_json()["finished_before"]
    assert pestle.label(["out.xyz"], "again.xyz", calculator=spec).to_json()["reused"] == 4


@pytest.mark.parametrize("name", ["Energies", "Claims"])
def test_what_a_calculator_does_not_give_is_no_label(name: str) -> None:
    Path("partly.py").write_text(
        "from ase.calculators.calculator import Calculator, all_changes\n"
        "class Energies(Calculator):\n"
        "    implemented_properties = ['energy']\n"
        "    def calculate(self, atoms, properties, changes=all_changes):\n"
        "        super().calculate(atoms, properties, changes)\n"
        "        self.results = {'energy': atoms.info.get('charge', 0.0) + 2.0}\n"
        "class Claims(Energies):\n"
        "    implemented_properties = ['energy', 'forces', 'stress']\n"
    )
    atoms = metals()[0]
    charged = atoms.copy()
    charged.info["total_charge"] = 3.0
    facts = pestle.label(
        [write("d.xyz", [atoms, charged])], "o.xyz", calculator=f"partly:{name}"
    ).to_json()
    assert (facts["with_energy"], facts["with_forces"], facts["with_stress"]) == (2, 0, 0)
    text = Path("o.xyz").read_text()
    assert "REF_forces" not in text and "REF_stress" not in text
    # Nothing but the charge differs: a result that is kept from the first would be wrong.
    assert [f.energy for f in read_frames(["o.xyz"]).frames] == [2.0, 5.0]


def test_other_parameters_or_weights_are_another_calculator() -> None:
    Path("tuned.py").write_text(
        "from pathlib import Path\nfrom ase.calculators.lj import LennardJones\n"
        "def make():\n    return LennardJones(sigma=float(Path('sigma').read_text()))\n"
    )
    data, ids = write("data.xyz", metals()[:1]), []
    for sigma in ("2.2", "2.3", "2.2"):
        Path("sigma").write_text(sigma)
        out = f"{len(ids)}.xyz"
        ids.append(pestle.label([data], out, calculator="tuned:make").to_json()["labelled_by"])
    assert ids[0] == ids[2] != ids[1]
    foundation("residual").save(Path("weights"))
    Path("learned.py").write_text(
        "import pestle\ndef make():\n    return pestle.load('weights').calculator()\n"
    )
    crystal = write("crystal.xyz", varied(1))
    before = pestle.label([crystal], "before.xyz", calculator="learned:make").to_json()[
        "labelled_by"
    ]
    same = pestle.label([crystal], "same.xyz", calculator="learned:make").to_json()["labelled_by"]
    foundation("density").save(Path("weights"))
    after = pestle.label([crystal], "after.xyz", calculator="learned:make").to_json()["labelled_by"]
    assert before == same != after


KILLED = """
import os, shutil, signal
from ase.calculators.emt import EMT

class Calculator(EMT):
    def calculate(self, atoms, *args, **named):
        if "Pt" in atoms.symbols and os.path.exists("stop"):
            shutil.copy("out.xyz.partial", "killed")  # what a kill without warning leaves
            os.remove("stop")
            os.kill(os.getpid(), signal.{signal})
        super().calculate(atoms, *args, **named)
"""


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C works; a shell that starts the tests in the background has switched it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_calculator_goes_on_after_a_signal_and_after_a_kill(
    command: Any, ctrl_c: None, name: str
) -> None:
    module = f"stopped_by_{name.lower()}"
    Path(f"{module}.py").write_text(KILLED.format(signal=name))
    options = [write("data.xyz", metals()), "--calculator", f"{module}:Calculator"]
    assert command(*options, "-o", "whole.xyz")[0] == 0
    Path("stop").touch()
    handler = signal.getsignal(signal.SIGTERM)
    code, _, err = command(*options, "-o", "out.xyz")
    assert code == 130 and "goes on from out.xyz.partial" in err
    assert ("SIGTERM" in err) == (name == "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert len(Path("killed").read_text().splitlines()) == 1 + 3
    Path("killed").replace("out.xyz.partial")
    code, out, _ = command(*options, "-o", "out.xyz", "--json")
    facts = json.loads(out)
    assert (code, facts["resumed"], facts["made"]) == (0, 3, 1)
    assert Path("out.xyz").read_bytes() == Path("whole.xyz").read_bytes()


# -- mistakes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data.xyz", "-o", "out.xyz"], "--model M or --calculator"),
        (["data.xyz", "-m", "model", "--calculator", "a:b", "-o", "out.xyz"], "name one of them"),
        (["data.xyz", "-m", "model"], "-o"),
        (["data.xyz", "-m", "model", "-o", "out.db"], "extended XYZ"),
        (["data.xyz", "-m", "model", "-o", "folder.xyz"], "folder.xyz: is a folder"),
        (["data.xyz", "-m", "model", "-o", "data.xyz/out.xyz"], "data.xyz: is a file"),
        (["nope.xyz", "-m", "model", "-o", "out.xyz"], "no such file"),
        (["data.xyz", "-m", "modle", "-o", "out.xyz"], "folder 'modle'"),
        (["data.xyz", "-m", "model", "--head", "pbe", "-o", "out.xyz"], "no head 'pbe'"),
        (["data.xyz", "-m", "model", "--dtype", "half", "-o", "out.xyz"], "unknown dtype"),
        (["data.xyz", "-m", "model", "--device", "gpu", "-o", "out.xyz"], "unknown device"),
        (["data.xyz", "-m", "model", "--max-edges", "0", "-o", "out.xyz"], "--max-edges"),
        (
            ["metal.xyz", "-m", "model", "-o", "out.xyz"],
            "metal.xyz frame 1: residual does not know Cu",
        ),
        (["nan.xyz", "-m", "model", "-o", "out.xyz"], "nan.xyz frame 0"),
        (["flat.xyz", "-m", "model", "-o", "out.xyz"], "flat.xyz frame 0"),
        (["data.xyz", "--calculator", "emt", "-o", "out.xyz"], "not MODULE:NAME"),
        (
            ["data.xyz", "--calculator", "nowhere:EMT", "-o", "out.xyz"],
            "nowhere cannot be imported",
        ),
        (["data.xyz", "--calculator", "broken:EMT", "-o", "out.xyz"], "ZeroDivisionError"),
        (["data.xyz", "--calculator", "ase.calculators.emt:EMT2", "-o", "out.xyz"], "mean 'EMT'"),
        (["data.xyz", "--calculator", "json:dumps", "-o", "out.xyz"], "gives no calculator"),
        (["data.xyz", "--calculator", "os:getcwd", "-o", "out.xyz"], "not an ASE calculator"),
        (
            ["data.xyz", "--calculator", "ase.calculators.emt:EMT", "-o", "out.xyz"],
            "data.xyz frame 0",
        ),
        (
            ["data.xyz", "--calculator", "ase.calculators.emt:EMT", "--head", "x", "-o", "out.xyz"],
            "is for models",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    model: str, command: Any, words: list[str], expected: str
) -> None:
    write("data.xyz", varied(2))
    write("metal.xyz", [*varied(1), bulk("Cu")])
    broken, flat = varied(2)
    broken.positions[0, 0] = np.nan
    flat.pbc = True
    write("nan.xyz", [broken])
    flat.write("flat.xyz", format="extxyz")
    Path("broken.py").write_text("1 / 0\n")
    Path("folder.xyz").mkdir()
    before = sorted(p.name for p in Path().iterdir())
    code, out, err = command(*words)
    assert code == 2 and out == "" and expected in err
    assert err.startswith("error: ") and err.strip().count("\n") == 0
    after = {p.name for p in Path().iterdir()} - {"__pycache__"}
    assert sorted(after) == before


def test_labels_that_are_not_numbers_name_their_frames(
    model: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = MaceFoundation.predict

    def spoilt(self: Any, graphs: Any, **named: Any) -> Any:
        prediction = predict(self, graphs, **named)
        prediction.forces[int(graphs.ptr[1])] = torch.nan
        return prediction

    monkeypatch.setattr(MaceFoundation, "predict", spoilt)
    code, _, err = command(write("data.xyz", varied(3)), "-m", model, "-o", "out.xyz")
    assert code == 2 and "data.xyz frame 1: " in err and "not finite" in err
    assert not Path("out.xyz").exists() and not Path("out.xyz.partial").exists()
    with pytest.raises(PestleError, match="frame 1"):
        label_frames(as_frames(varied(3)), foundation("residual"))


def test_structures_without_labels_and_without_neighbours() -> None:
    result = label_frames(frames(), foundation("residual"))
    assert result.replaced == 0
    alone = result.frames[2]
    expected = foundation("residual").isolated_atom_energies()[8]
    assert alone.energy == pytest.approx(expected, abs=1e-8) and not alone.forces.any()
    assert label_frames([], foundation("residual")).frames == []
