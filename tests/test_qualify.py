"""`pestle qualify` as a whole, on potentials and runs whose behaviour is known."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk

import pestle
from pestle.errors import PestleError
from pestle.files import read_json
from pestle.jobs.finetune.resuming import resume_settings
from pestle.jobs.probe import probe
from pestle.jobs.qualify import qualify
from pestle.jobs.qualify_plan import settings_for
from pestle.records.card import Card
from pestle.records.verdict import Verdict
from pestle.reports.reading import read_results
from pestle.settings.probe import ProbeSettings
from pestle.typed import parts_of

SMALL = {
    "md.structures": 1,
    "md.time": 0.05,
    "md.ramp_time": 0.05,
    "md.nve_time": 0.05,
    "md.every": 0.01,
    "md.segment": 0.05,
    "rss.n_compositions": 1,
    "rss.structures": 2,
    "rss.max_steps": 20,
    "rss.cycles": 1,
    "dimers.points": 20,
    "forgetting.count": 10,
    "neb.images": 3,
    "neb.max_steps": 2,
}
EMT = "calculator:ase.calculators.emt:EMT"


@pytest.fixture
def copper(tmp_path: Path) -> str:
    """Rattled copper with EMT's own labels."""
    from ase.calculators.emt import EMT as Calculator

    frames = []
    for seed in range(3):
        atoms: Atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
        atoms.rattle(0.05, seed=seed)
        atoms.calc = Calculator()
        plain = atoms.copy()
        plain.info["REF_energy"] = atoms.get_potential_energy()
        plain.arrays["REF_forces"] = atoms.get_forces()
        frames.append(plain)
    path = tmp_path / "copper.xyz"
    ase.io.write(path, frames, format="extxyz")
    return str(path)


def test_a_sound_potential_passes_on_its_own_labels(copper: str, tmp_path: Path) -> None:
    result = qualify(
        EMT, scope="narrow", data=[copper], settings=SMALL, out=tmp_path / "out"
    ).to_json()
    levels = {finding["protocol"]: finding["level"] for finding in result["findings"]}
    assert levels["errors"] == "pass" and levels["md"] == "pass"
    assert result["verdict"] == "pass" and result["quick"]
    written = read_json(tmp_path / "out" / "verdict.json")
    assert written == {k: v for k, v in result.items() if k not in ("report", "out")}
    assert Path(result["report"]).is_file()
    untested = {entry["protocol"]: entry for entry in result["not_tested"]}
    assert {"zero_step", "forgetting", "dimers", "rss", "neb", "torsion"} <= set(untested)
    assert not any(entry["needed"] for entry in untested.values())


def test_what_was_calculated_apart_from_the_verdict_is_marked(copper: str, tmp_path: Path) -> None:
    asked = {"data": [copper], "out": tmp_path / "out"}
    qualify(EMT, scope="narrow", settings=SMALL, run_too=["dimers"], **asked)
    marks = ("Not part of the verdict", "Calculated anew since the verdict")
    page = (tmp_path / "out" / "report.html").read_text()
    assert not any(mark in page for mark in marks)
    probe("dimers", EMT, elements=["Cu"], out=tmp_path / "out" / "protocols" / "dimers")
    assert marks[1] in pestle.report(tmp_path / "out").read_text()
    qualify(EMT, scope="narrow", settings=SMALL, **asked)
    assert marks[0] in (tmp_path / "out" / "report.html").read_text()


def test_a_needed_test_that_judges_nothing_is_no_pass(copper: str, tmp_path: Path) -> None:
    """Energies alone, of no foundation's level, or a path without energies: nothing to judge."""
    path = tmp_path / "path.xyz"
    bare = [atoms.copy() for atoms in ase.io.read(copper, index=":2")]
    for atoms in bare:
        atoms.info.clear()
        del atoms.arrays["REF_forces"]
    ase.io.write(path, bare, format="extxyz")
    result = qualify(
        EMT, scope="narrow", data=[copper], path=[str(path)], settings=SMALL, out=tmp_path / "out"
    ).to_json()
    assert "md" in result["protocols"] and result["protocols"]["md"]["needed"]
    assert not any(f["protocol"] == "neb" and f["level"] == "pass" for f in result["findings"])


def test_what_the_scope_needs_and_lacks_makes_it_incomplete(copper: str, tmp_path: Path) -> None:
    asked = {"scope": "narrow", "data": [copper], "settings": SMALL}
    result = qualify(EMT, **asked, leave_out=["md"], out=tmp_path / "out").to_json()
    assert result["verdict"] == "incomplete"
    (entry,) = [e for e in result["not_tested"] if e["needed"]]
    assert entry["protocol"] == "md" and "left out" in entry["why"]
    # Without a foundation nothing says what was forgotten.
    broad = qualify(
        EMT, **(asked | {"scope": "broad"}), leave_out=["rss"], out=tmp_path / "b"
    ).to_json()
    missing = {e["protocol"] for e in broad["not_tested"] if e["needed"]}
    assert missing == {"rss", "forgetting"}


def test_wrong_labels_fail_and_the_sentence_says_so(copper: str, tmp_path: Path) -> None:
    frames = ase.io.read(copper, index=":")
    for atoms in frames:
        atoms.arrays["REF_forces"] = -atoms.arrays["REF_forces"]
    wrong = tmp_path / "wrong.xyz"
    ase.io.write(wrong, frames, format="extxyz")
    result = qualify(
        EMT, scope="narrow", data=[str(wrong)], settings=SMALL, out=tmp_path / "out"
    ).to_json()
    assert result["verdict"] == "fail" and result["findings"][0]["protocol"] == "errors"
    assert "not fit for" in result["sentence"]


def test_a_run_folder_brings_its_own_foundation_data_and_gate(
    demo_files: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "naive"
    pestle.finetune(
        {
            "foundation": "pestle-seed0",
            "scope": "narrow",
            "data.train": [demo_files["train"]],
            "data.valid": [demo_files["valid"]],
            "data.test": [demo_files["test"]],
            "train.epochs": 1,
            "train.threads": 1,
        },
        run,
    )
    result = qualify(
        str(run),
        path=[f"SN2={demo_files['neb_mp2']}"],
        run_too=["forgetting", "dimers"],
        leave_out=["rss", "md"],
        settings=SMALL,
    ).to_json()
    assert result["candidate"] == "naive" and result["baseline"] == "pestle-seed0"
    levels = {finding["protocol"] for finding in result["findings"]}
    assert {"zero_step", "errors", "neb", "forgetting", "dimers", "atoms"} <= levels
    counted = {f["protocol"] for f in result["findings"] if f["counts"]}
    assert counted == {"zero_step", "errors", "neb"}
    errors = json.loads((run / "protocols" / "errors" / "metrics.json").read_text())
    assert set(errors["sets"]) == {"test", "valid"}
    manifest = json.loads((run / "manifest.json").read_text())
    own = manifest["errors"]["test"]["fine-tuned"]["all"]["forces_rmse"]
    assert errors["sets"]["test"]["naive"]["all"]["forces_rmse"] == pytest.approx(own, rel=1e-5)
    before = manifest["errors"]["test"]["foundation"]["all"]["energy_rmse"]
    again = errors["sets"]["test"]["pestle-seed0"]["all"]["energy_rmse"]
    assert again == pytest.approx(before, rel=1e-4), "the foundation with the E0s of the run"
    page = (run / "report.html").read_text()
    assert result["findings"][0]["sentence"][:40] in page
    use = Verdict.read(run / "verdict.json").use
    assert use is not None and use.next.startswith("pestle finetune --resume"), "one epoch"
    card = Card.read(run / "model" / "card.json").verdict
    assert card is not None and (card.use_for, card.not_for) == (use.use_for, use.not_for)
    assert all(html.escape(line) in page for line in (use.use_for, use.not_for))
    (typed, remark), *_ = parts_of(use.next)
    assert f"<code>{html.escape(typed)}</code> <small>({remark})</small>" in page
    counts = [finding["counts"] for finding in result["findings"]]
    assert counts == sorted(counts, reverse=True), "what counts stands first"

    # The run goes on: its verdict and tests are about another model, and are not shown as its own.
    assert pestle.Run(run).verdict is not None
    pestle.finetune(resume_settings(run, {"train.epochs": 2}), run, resume=True)
    assert pestle.Run(run).verdict is None
    page = (run / "report.html").read_text()
    assert result["findings"][0]["sentence"][:40] not in page
    assert f"pestle qualify {run}" in page and f"pestle probe TEST {run}" in page
    assert re.search(r"tests are of this model before it was trained further.*: .*neb", page)
    kept = set(read_results(run).protocols)
    assert kept == {"errors"}, "the run itself measures its errors anew"


def test_settings_full_quick_and_asked_for() -> None:
    quick, full = settings_for({}, full=False), settings_for({}, full=True)
    assert full == ProbeSettings()
    assert quick.rss.structures < full.rss.structures and quick.md.time < full.md.time
    assert settings_for({"md.time": 7.0}, full=False).md.time == 7.0


def test_an_option_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="structure"):
        qualify(EMT, structure=["start.xyz"])


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"scope": "wide"}, "unknown scope 'wide'"),
        ({"scope": None}, "scope: .*not known.*--scope narrow"),
        ({"model": "nowhere"}, "model: .*'nowhere'"),
        ({"data": ["nowhere.xyz"]}, "nowhere.xyz"),
        ({"run_too": ["rs"]}, "no protocol 'rs'"),
        ({"run_too": ["md"], "leave_out": ["md"]}, r"--with and --without: md\b"),
        ({"data": ["=copper.xyz"]}, r"=copper\.xyz: .*NAME=FILES"),
        ({"leave_out": ["mds"]}, "no protocol 'mds'"),
        ({"settings": {"md.tim": 1}}, "no such setting"),
        ({"thresholds": "nowhere.yaml"}, "nowhere.yaml"),
        ({"against": "nowhere"}, "foundation: .*'nowhere'"),
        ({"elements": ["Xx"]}, "'Xx' is no element"),
    ],
)
def test_mistakes_are_one_line(changed, match: str, copper: str, tmp_path: Path) -> None:
    asked = {"model": EMT, "scope": "narrow", "data": [copper], "out": tmp_path / "out"}
    with pytest.raises(PestleError, match=match) as error:
        qualify(**(asked | changed))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_nowhere_is_said_before_the_scope_is_asked_for() -> None:
    with pytest.raises(PestleError, match="'runs/none'"):
        qualify("runs/none")
