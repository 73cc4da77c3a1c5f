"""How a run ends: a run in vain says so first, everywhere; a sound one ends with three lines."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms

import pestle
from conftest import DATA
from pestle import cli
from pestle.cli.verdict import print_verdict
from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.jobs.finetune.breadth import Broad
from pestle.jobs.finetune.ending import Course, ending_of
from pestle.jobs.qualify import Qualification, qualify
from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_tests import Tested, add_ending
from pestle.metrics import FrameErrors
from pestle.protocols.errors.findings import against_name
from pestle.protocols.errors.offset import energy_rmse_without, offset_by_element
from pestle.protocols.verdict import conclude
from pestle.records.ending import Breadth, Ending, Trouble
from pestle.records.manifest import Manifest
from pestle.records.metrics import Drift, EvaluatedErrors, MetricsLine
from pestle.records.set_errors import SetErrors
from pestle.records.verdict import CountedFinding, Finding, Verdict
from pestle.reports import write_report
from pestle.settings.run import RunSettings
from pestle.structures.frame import Frame
from pestle.training.budget import Budget
from pestle.training.convergence import convergence
from pestle.training.mixing import Position
from pestle.training.state import Counters
from report_page import Page


# -- the constant offset, by hand ------------------------------------------------------------------
def frame(symbols: str, energy: float | None, config_type: str = "x") -> Frame:
    atoms = Atoms(symbols, positions=np.arange(3.0 * len(Atoms(symbols))).reshape(-1, 3))
    return Frame(atoms, energy=energy, config_type=config_type)


def said(symbols: str, energy: float) -> FramePrediction:
    return FramePrediction(energy, 0.0, np.zeros((len(Atoms(symbols)), 3)), None)


def test_the_offset_of_one_composition_is_the_mean_error() -> None:
    """H2: labels exceed predictions by 1.0 and 1.4 eV, so 0.6 eV an atom; of a test frame that is
    off by 1.3 eV are left 0.1 eV, 50 meV an atom."""
    train = [frame("H2", -10.0), frame("H2", -20.0), frame("H2", None)]
    of_train = [said("H2", -11.0), said("H2", -21.4), said("H2", 99.0)]
    offset = offset_by_element(train, of_train)
    assert offset == {1: pytest.approx(0.6)}
    rmse = energy_rmse_without(offset, [frame("H2", -30.0)], [said("H2", -31.3)])
    assert rmse == pytest.approx(50.0)


def test_the_offset_of_two_elements_is_told_apart_and_isolated_atoms_have_no_part() -> None:
    """HO and H2O with 2 eV for each H and −3 eV for each O: nothing is left of a third composition.
    An isolated atom far off changes neither the fit nor the error."""
    atom = (frame("H", -100.0, "IsolatedAtom"), said("H", 0.0))
    pairs = [(frame("HO", -1.0), said("HO", 0.0)), (frame("H2O", 1.0), said("H2O", 0.0)), atom]
    offset = offset_by_element([f for f, _ in pairs], [p for _, p in pairs])
    assert offset == {1: pytest.approx(2.0), 8: pytest.approx(-3.0)}
    # H2O2: 2·2 − 2·3 = −2 eV of offset; the label is −1.6, so 0.4 eV of four atoms are left.
    tests = [(frame("H2O2", -1.6), said("H2O2", 0.0)), atom]
    rmse = energy_rmse_without(offset, [f for f, _ in tests], [p for _, p in tests])
    assert rmse == pytest.approx(100.0)


def test_without_energies_there_is_no_offset() -> None:
    nothing = [frame("H2", None)], [said("H2", 1.0)]
    assert offset_by_element(*nothing) == {}
    assert energy_rmse_without({}, *nothing) is None
    lost = offset_by_element(
        [frame("H2", 1.0), frame("H2", 1.0)], [said("H2", np.nan), said("H2", 0.0)]
    )
    assert lost == {1: pytest.approx(0.5)}


# -- whole runs ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12, 4 and 6 of the embedded frames, and the isolated atoms."""
    folder = tmp_path_factory.mktemp("few")
    for name, count in (("train", 12), ("valid", 4), ("test", 6)):
        frames = ase.io.read(DATA / f"{name}.xyz", index=":")
        kept = [f for f in frames if len(f) == 1] + [f for f in frames if len(f) > 1][:count]
        ase.io.write(folder / f"{name}.xyz", kept, format="extxyz")
    return folder


def words(few: Path, out: Path, *more: str) -> list[str]:
    given = ["finetune", "-f", "pestle-seed0", "-o", str(out), "--set", "elements=data"]
    given += ["--data", str(few / "train.xyz"), "--valid", str(few / "valid.xyz")]
    given += ["--test", str(few / "test.xyz"), "--set", "train.threads=1"]
    return given + [word for text in more for word in ("--set", text)]


def typed(capsys: Any, monkeypatch: pytest.MonkeyPatch, given: list[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["pestle", *given])
    capsys.readouterr()
    code = cli._run()
    return code, capsys.readouterr().err


def test_a_run_that_learned_nothing_says_so_first_and_everywhere(
    few: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bad"
    code, err = typed(
        capsys, monkeypatch, words(few, out, "train.epochs=2", "train.lr=10", "scope=narrow")
    )
    assert code == 0
    again = f"pestle finetune {out}/run.yaml --set train.lr=1 -o {out}-next"
    lines = [line for line in err.splitlines() if line.strip()]
    (first,) = [k for k, line in enumerate(lines) if line.startswith("NOTHING LEARNED: ")]
    before = "\n".join(lines[:first])
    assert "read train:" in before and "epochs of" in before
    assert not re.search("^(model|report|learned):", before, re.MULTILINE)
    assert "train.lr=10 is too high" in lines[first] and "pestle" not in lines[first], (
        "what to do is said once"
    )
    assert [line.partition(":")[0] for line in lines[-3:]] == ["learned", "breadth", "next"]
    assert "starting model" in lines[-3]
    assert f"pestle probe forgetting {out} --against pestle-seed0" in lines[-2]
    assert again in lines[-1]
    log = (out / "log.txt").read_text()
    assert all(line in log for line in (lines[first], *lines[-3:]))

    ending = Manifest.read(out / "manifest.json").ending
    assert ending is not None and ending.trouble is not None and ending.trouble.kind == "start"
    card = json.loads((out / "model" / "card.json").read_text())["ending"]
    assert card["warning"].startswith("NOTHING LEARNED") and str(out) not in json.dumps(card)
    page = Page((out / "report.html").read_text())
    head = page.text("head")
    assert "finished: nothing learned" in head and "badge good" not in str(page.tags)
    assert head.index("train.lr=10 is too high") < head.index("Naive fine-tuning of")

    verdict = qualify(
        str(out), path=[str(DATA / "neb_mp2.xyz")], settings={"neb.method": "path"}
    ).to_json()
    (said_so,) = [f for f in verdict["findings"] if "NOTHING LEARNED" in f["sentence"]]
    assert said_so["level"] == "concern" and said_so["counts"]
    assert verdict["verdict"] in ("concern", "fail")
    level = verdict["protocols"]["errors"]["level"]
    assert level in ("concern", "fail")
    assert f"errors: {level.upper()}, " in capsys.readouterr().err, "the worst under its name"

    # What it says to type is understood, as far as the plan.
    monkeypatch.chdir(tmp_path)
    (given,) = re.findall(r"pestle (finetune .*)", "\n".join(lines))
    code, err = typed(capsys, monkeypatch, [*shlex.split(given, comments=True), "--dry-run"])
    assert code == 0, err


def test_a_run_that_learned_ends_with_three_lines_and_no_trouble(few: Path, tmp_path: Path) -> None:
    out, shown = tmp_path / "good", []

    def show(manifest: Manifest) -> None:
        shown.append((manifest.status, (out / "log.txt").read_text()))

    settings = {
        "foundation": "pestle-seed0",
        "elements": "data",
        "data.train": [str(few / "train.xyz")],
        "data.valid": [str(few / "valid.xyz")],
        "data.test": [str(few / "test.xyz")],
        "train.epochs": 6,
        # Six epochs of a steep fall: enough to learn, if what they gain counts as converged.
        "train.min_improvement": 0.99,
        "train.batch_size": 2,
        "train.threads": 1,
        "drift.structures": ["generated"],
        "drift.count": 8,
    }
    manifest = pestle.finetune(settings, out, show=show).to_json()
    ending = Manifest.of(manifest, "manifest").ending
    assert ending is not None and ending.trouble is None and ending.finding is None
    assert [one.name for one in ending.sets] == ["test", "valid", "train"]
    test = ending.sets[0]
    errors = manifest["errors"]["test"]
    assert test.forces == errors["fine-tuned"]["all"]["forces_rmse"]
    assert test.foundation_forces == errors["foundation"]["all"]["forces_rmse"]
    # The explicit E0s leave the foundation an offset: most of its error is not what is learned.
    assert test.foundation_energy < 0.3 * errors["foundation"]["all"]["energy_rmse"]
    record = next(
        json.loads(line)
        for line in (out / "metrics.jsonl").read_text().splitlines()
        if json.loads(line)["epoch"] == ending.best_epoch
    )
    assert ending.breadth.drift == record["drift"]["Default"]["forces_rmse"] > 0
    log = (out / "log.txt").read_text()
    assert shown[0][0] == "finished" and "learned:" not in shown[0][1]
    assert log.count("learned: ") == 1 and f"pestle qualify {out} --scope narrow  " in log
    assert "on 8 broad structures" in log
    assert not re.search("NOTHING LEARNED|WORSE THAN", log)
    card = json.loads((out / "model" / "card.json").read_text())["ending"]
    # Only that forces on broad structures moved by a fifth, as the drift was watched.
    assert "BREADTH LOST: forces of the model moved" in log
    assert card["warning"].startswith("BREADTH LOST") and card["learned"] == ending.learned
    page = Page((out / "report.html").read_text())
    assert "ending-warning" not in str(page.tags) and "badge good" in str(page.tags)
    # Screen and page give one pair of numbers: that of the table, and what is compared.
    whole = f"{test.foundation_energy_with_offset:.3g}; {test.foundation_energy:.3g} once a"
    assert whole in page.text("head") and whole in ending.learned
    assert test.foundation_energy_with_offset == errors["foundation"]["all"]["energy_rmse"]


# -- judgements ------------------------------------------------------------------------------------
def course(
    figures: list[float], best: int, *, failure: PestleError | None = None, **more: Any
) -> Course:
    """A run with these validation losses from epoch 0 on, and drift of 100 meV/Å an epoch."""
    from pestle.settings.run_file import from_names

    settings = from_names(
        {"foundation": "pestle-seed0", "train.epochs": len(figures) - 1, "train.lr": 1e-3, **more}
    )
    assert isinstance(settings, RunSettings)
    records = [
        MetricsLine(
            epoch=epoch,
            step=10 * epoch,
            seconds=0.0,
            lr=1e-3,
            valid=EvaluatedErrors(n_frames=1, loss=value),
            replay=EvaluatedErrors(n_frames=1, loss=epoch + 1.0),
            drift={"Default": Drift(forces_rmse=100.0 * epoch)},
        )
        for epoch, value in enumerate(figures)
    ]
    free = int(np.argmin(figures))
    last = 10 * (len(figures) - 1)
    counters = Counters(
        position=Position(update=last), best_update=10 * best, best_update_without_budget=10 * free
    )
    evaluations = [(10 * epoch, value) for epoch, value in enumerate(figures)]
    budget = Budget(updates=last, per_epoch=10, interval=10)
    return Course(settings, counters, budget, convergence(evaluations, 1, 0.05), records, failure)


def test_what_a_continued_run_lost_is_said_apart() -> None:
    """The new set is better and an old one 30 % worse: lost, with heavier old frames as advice. If
    a new set is worse as well, this is what is said first."""
    old = SetErrors(name="old test (a)", forces=13.0, foundation_forces=10.0, energy=1.0,
                    foundation_energy=1.0)  # fmt: skip
    more = {"parent.run": "a", "parent.weight": 0.25}
    done = course([1.0, 0.5, 0.49, 0.49], 2, **more)
    found = ending_of(done, [GOOD, old])
    assert found.trouble is not None and found.trouble.kind == "lost"
    assert found.trouble.settings == ("parent.weight=1",)
    assert "13 against 10" in found.warning
    assert found.kept == "old test (a) forces 13 meV/Å, before 10 (30 % larger), energies 1 " \
        "meV/atom, before 1 (the same)"  # fmt: skip
    assert found.learned.startswith("valid") and "old" not in found.learned
    finding = found.finding
    assert finding is not None and finding.value == pytest.approx(1.3)
    bad = GOOD.model_copy(update={"forces": 40.0})
    both = ending_of(done, [bad, old]).trouble
    assert both is not None and both.kind == "worse"
    kept = old.model_copy(update={"forces": 11.0})
    assert ending_of(done, [GOOD, kept]).trouble is None


GOOD = SetErrors(
    name="valid", energy=1.0, forces=10.0, foundation_energy=2.0, foundation_forces=20.0
)


def test_why_the_start_was_kept() -> None:
    def trouble(*args: Any, **more: Any) -> Trouble:
        found = ending_of(course(*args, **more), [GOOD]).trouble
        assert found is not None and found.kind == "start"
        return found

    # As of the run on ten frames: 0.42 → 8.8 → 5.9.
    steep = trouble([0.42, 8.8, 5.9], 0)
    assert steep.settings == ("train.lr=0.0001",)
    assert re.search(r"0\.42 .*5\.9", steep.reason)
    flat = trouble([0.42, 0.43, 0.425], 0)
    assert flat.settings == ("train.updates=80",) and "too few" in flat.reason and flat.goes_on
    lost = trouble([0.42, float("nan")], 0)
    assert lost.settings == ("train.lr=0.0001",) and "no number" in lost.reason
    budget = {"train.max_drift": 50, "drift.structures": ["generated"]}
    beyond = trouble([0.42, 0.3, 0.2], 0, **budget)
    assert (
        beyond.settings == ("train.max_drift=200",) and "after update 20, by 200" in beyond.reason
    )
    replay = trouble([0.42, 0.3], 0, method="multihead", **{"train.best_head": "pt_head"})
    assert replay.settings == ("train.best_head=Default",)
    broken = trouble(
        [0.42, 0.3], 0, failure=PestleError("the loss is not finite", fix="Look there.")
    )
    assert "the loss is not finite" in broken.reason and broken.advice == "Look there"


def test_what_is_worse_than_the_foundation_and_why() -> None:
    def ended(*sets: SetErrors, best: int = 1, **more: Any) -> Ending:
        return ending_of(course([3.0, 1.0, 2.0], best, **more), list(sets))

    assert ended(GOOD).trouble is None
    # Five per cent are scatter.
    assert ended(GOOD.model_copy(update={"forces": 20.9})).trouble is None
    forces = GOOD.model_copy(update={"forces": 21.1})
    worse = ended(forces).trouble
    assert worse is not None and worse.kind == "worse" and worse.settings == ("train.lr=0.0001",)
    assert worse.what == "forces 21.1 against 20 meV/Å" and "taken off" not in worse.what
    finding = ended(GOOD, forces).finding
    assert finding is not None and (finding.level, finding.protocol) == ("concern", "errors")
    assert finding.value == pytest.approx(1.055) and finding.sentence.startswith("WORSE THAN")
    energies = ended(GOOD.model_copy(update={"energy": 3.0})).trouble
    assert energies is not None and energies.settings == ("loss.energy=100",)
    assert "energies 3 against 2 meV/atom" in energies.what and "taken off" in energies.what
    unlike = ended(forces.model_copy(update={"name": "test"}), GOOD).trouble
    assert unlike is not None and not unlike.settings and "pseudolabel" in unlike.advice
    early = ending_of(course([3.0, 2.0, 1.0], 2), [forces]).trouble
    assert early is not None and early.settings == ("train.updates=80",) and early.goes_on
    lost = ended(GOOD.model_copy(update={"lost": 2}))
    assert lost.trouble is not None and "not finite on 2 frames" in lost.trouble.what
    found = lost.finding
    assert found is not None and found.value is None
    # Against labels that the foundation made there is nothing to be worse than.
    own = GOOD.model_copy(update={"foundation_forces": None, "foundation_energy": None})
    assert ended(own).trouble is None


def test_the_title_names_what_is_worse_and_where() -> None:
    """One quantity on one set, with the foundation's error as tables show it; then two sets; then
    stress, which weighs little."""
    steady = course([3.0, 1.0, 2.0], 1)
    energies = GOOD.model_copy(update={"energy": 3.0, "foundation_energy_with_offset": 4.7})
    one = ending_of(steady, [GOOD.model_copy(update={"name": "test"}), energies])
    assert one.title == "worse than the foundation in energies on valid"
    assert one.warning.startswith("WORSE THAN THE FOUNDATION in energies on valid: energies 3 ag")
    assert re.search(r"constant .*taken off.*4\.7\)", one.warning) and "forces 1" not in one.warning
    both = ending_of(steady, [energies.model_copy(update={"name": "test"}), energies])
    assert both.title == "worse than the foundation in energies"
    assert "on test energies 3 " in both.warning and "on valid energies 3 " in both.warning
    assert "4.7 and 4.7" in both.warning
    stress = GOOD.model_copy(update={"stress": 2.0, "foundation_stress": 1.5})
    found = ending_of(steady, [stress])
    assert found.title == "worse than the foundation in stress on valid"
    assert "2 against 1.5 meV/Å³" in found.warning and "offset" not in found.warning
    assert found.trouble is not None and found.trouble.settings == ("loss.stress=10",)
    untaught = ending_of(course([3.0, 1.0, 2.0], 1, **{"loss.stress": 0}), [stress]).trouble
    assert untaught is not None and untaught.settings == ("loss.stress=1",)


def test_a_run_that_still_improves_says_so_and_how_to_go_on() -> None:
    """Better than the foundation, and half of its loss was gained in the last ten updates."""
    ended = ending_of(course([3.0, 2.0, 1.0], 2), [GOOD])
    assert ended.trouble is not None and ended.trouble.kind == "unfinished"
    warning = ended.warning
    assert re.match("NOT CONVERGED: .*validation loss .*50 % over the last 10 updates", warning)
    again = "pestle finetune --resume -o runs/x --set train.updates=80"
    finding = ended.finding
    assert again in ended.next(Path("runs/x")) and "pestle" not in warning, "said once"
    assert finding is not None and (finding.level, finding.value) == ("concern", None)
    assert ending_of(course([3.0, 1.0, 0.99], 2), [GOOD]).trouble is None


def test_errors_in_words() -> None:
    told = SetErrors(
        name="test", forces=50.0, foundation_forces=400.0, energy=9.6, foundation_energy=10.0
    )
    forces, energies = told.words.split(", energies ")
    assert forces == "test forces 50 meV/Å, foundation 400 (8 × smaller)"
    assert re.match(r"9\.6 meV/atom, foundation 10 once a constant .*\(4 % smaller\)", energies)
    pair = told.model_copy(update={"foundation_energy_with_offset": 676.0})
    assert re.search(r"foundation 676; 10 once .* \(4 % smaller\)$", pair.words)
    same = told.model_copy(update={"foundation_energy_with_offset": 10.0})
    assert same.words.endswith("energies 9.6 meV/atom, foundation 10 (4 % smaller)")
    other = SetErrors(name="valid", forces=30.0, foundation_forces=10.0)
    assert other.words == "valid forces 30 meV/Å, foundation 10 (3 × larger)"
    few = SetErrors(name="valid", forces=30.0, foundation_forces=10.0, n_frames=1)
    assert few.words.startswith("valid (1 frame only) forces 30")
    far = SetErrors(name="x", energy=0.145, foundation_energy=42.9)
    assert "(300 × smaller)" in far.words
    assert "(the same)" in SetErrors(name="x", forces=10.02, foundation_forces=10.0).words
    lost = SetErrors(name="x", energy=2.0, lost=1).words
    assert re.match("x energies 2 meV/atom, not finite .*1 frame", lost)


def test_breadth_is_told_or_how_to_measure_it() -> None:
    def cost(**more: Any) -> str:
        fields = {"method": "naive", "foundation": "f o", "best_epoch": 3, "sets": (GOOD,)}
        return Ending(**(fields | more)).cost(Path("runs/x"))

    assert re.match("not measured.*pestle probe forgetting runs/x --against 'f o'$", cost())
    assert cost(method="scratch", from_scratch=True).startswith("none to lose")
    moved = Breadth(drift=237.4, drift_structures=64)
    assert re.match("forces .*237 meV/Å .*64 broad structures$", cost(breadth=moved))
    own = {"replay": 61.2, "replay_structures": 25}
    pseudo = cost(breadth=Breadth(**own))
    assert re.search(r"replay head .*61\.2 meV/Å .*25 held-out", pseudo)
    assert "target head was not measured" in pseudo and "probe forgetting" in pseudo
    labelled = cost(breadth=Breadth(**own, replay_foundation=48.0))
    assert re.search(r"replay head 61\.2 meV/Å, foundation 48\b", labelled)


def test_much_lost_breadth_is_a_warning() -> None:
    """Forces of the replay head that moved by most of their size, where a test has a concern from
    20 %; and errors 1.5 times the foundation's on labels of its pretraining, from 1.1."""

    def ended(moved: float, before: float, *, own: bool, method: str = "pseudolabel") -> Ending:
        errors = {
            name: {"all": FrameErrors(n_frames=25, forces_rmse=value)}
            for name, value in (("fine-tuned", moved), ("foundation", before))
        }
        broad = Broad(replay=errors, replay_forces=980.0, own_labels=own)
        return ending_of(course([3.0, 1.0, 2.0], 1, method=method), [GOOD], broad)

    lost = ended(832.0, 0.0, own=True)
    (said,) = lost.warnings
    assert re.match("BREADTH LOST: .*85 % of their size on 25 held-out", said)
    assert "concern from 20 %" in said and "replay.count" in said and "pseudolabel)" not in said
    assert lost.trouble is None and lost.for_card().warning == said
    assert not ended(120.0, 0.0, own=True).warnings
    labelled = ended(600.0, 400.0, own=False, method="multihead")
    assert "1.5 times the foundation's" in labelled.warnings[0]
    assert not ended(420.0, 400.0, own=False, method="multihead").warnings
    # Drift of the model itself: 100 meV/Å after one epoch.
    for size, much in ((300.0, True), (900.0, False)):
        broad = Broad(drift_structures=8, drift_forces=size)
        drifted = ending_of(course([3.0, 1.0, 2.0], 1, method="naive"), [GOOD], broad)
        assert bool(drifted.warnings) == much
        assert not much or "pseudolabel" in drifted.warnings[0]


def test_the_concern_of_an_ending_makes_a_verdict_one() -> None:
    trouble = Trouble(kind="start", what="w", reason="r", advice="a", settings=("train.lr=1",))
    ending = Ending(method="naive", foundation="f", best_epoch=0, sets=(GOOD,), trouble=trouble)
    finding = ending.finding
    assert finding is not None
    assert "pestle" not in finding.sentence, "the line `next` says what to do"
    needed = ("zero_step", "errors", "md")
    fine = [Finding(name, "pass", "", 0.0, "", "", f"{name}.") for name in needed]
    verdict = conclude("narrow", "x", [finding, *fine], needed, [])
    assert verdict.verdict == "concern" and "NOTHING LEARNED: w." in verdict.sentence


def of_run(ending: Ending) -> OfRun:
    """A run with test frames that ended like this."""
    old = Manifest.read(Path(__file__).parent / "old_runs" / "naive" / "manifest.json")
    settings = course([1.0, 1.0], 1).settings
    held_out = {"test": [frame("H", 0.0)]}
    return OfRun(Path("x"), settings, old.with_entries(ending=ending), held_out, [])


def test_a_verdict_says_once_what_the_ending_and_a_test_found() -> None:
    """Energies twice as bad as the foundation's: one finding, with the reason, and a failure."""
    bad = GOOD.model_copy(update={"name": "test", "energy": 5.0})
    ending = ending_of(course([3.0, 1.0, 2.0], 1), [bad])
    forces = Finding("errors", "pass", against_name("forces", "test"), 0.5, "", "", "Fine.")
    energy = Finding("errors", "fail", against_name("energies", "test"), 2.4, "x", "from 2", "Bad.")
    other = replace(energy, quantity=against_name("energies", "elsewhere"))
    tested = Tested(findings=[energy, other, forces])
    add_ending(tested, of_run(ending), None)
    first, *rest = tested.findings
    assert rest == [other, forces]
    assert first.sentence == ending.warning and "Likely reason" in first.sentence
    assert (first.level, first.value, first.limit) == ("fail", 2.4, "from 2")

    kept = ending_of(course([0.42, 8.8], 0), [GOOD.model_copy(update={"name": "test"})])
    same = replace(forces, level="concern", value=1.0)
    tested = Tested(findings=[same, energy])
    add_ending(tested, of_run(kept), None)
    assert [f.quantity for f in tested.findings] == [energy.quantity]
    assert tested.findings[0].level == "fail" and "NOTHING LEARNED" in tested.findings[0].sentence


def test_the_screen_quotes_no_finding_twice(capsys: Any) -> None:
    sentence = "Forces are off by 51 % of their size."
    found = CountedFinding("errors", "fail", "figure", 0.51, "", "", sentence, True)
    concluded = conclude("narrow", "x", [found], ("errors",), [])
    verdict = Verdict(
        verdict="fail",
        sentence=concluded.sentence,
        scope="narrow",
        candidate="x",
        findings=(found,),
    )
    assert sentence in verdict.sentence
    print_verdict(Qualification(verdict, Path("x"), Path("x/report.html")))
    shown = capsys.readouterr()
    assert (shown.out + shown.err).count(sentence) == 1
    assert "x is not fit for" in shown.err and "1 fail" in shown.err


def test_a_verdict_that_follows_says_the_rest(few: Path, tmp_path: Path, capsys: Any) -> None:
    """As the demo does: breadth is not called unmeasured just before it is measured."""
    asked = {
        "foundation": "pestle-seed0",
        "elements": "data",
        "data.train": [str(few / "train.xyz")],
        "data.valid": [str(few / "valid.xyz")],
        "train.updates": 2,
        "train.threads": 1,
    }
    capsys.readouterr()
    run = pestle.finetune(asked, tmp_path / "run", qualify_follows=True)
    assert run.ending is not None and run.ending.warning
    shown, log = capsys.readouterr().err, (tmp_path / "run" / "log.txt").read_text()
    for words in ("breadth: ", "next: ", run.ending.warning):
        assert words not in shown and words in log
    assert "learned: " in shown


def test_a_broken_record_is_named_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"ending": {"sets": 3}}))
    page = Page(write_report(tmp_path).read_text())
    assert "manifest.json: " in page.text("head")


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [(10.5, 10.0, "5 % larger"), (10.02, 10.0, "the same"), (30.0, 90.0, "3 × smaller")],
)
def test_one_rule_for_ratios_on_terminal_and_page(new: float, old: float, words: str) -> None:
    from pestle.reports.overview import _against

    assert words in SetErrors(name="test", forces=new, foundation_forces=old).words
    assert words in _against(new, old)
