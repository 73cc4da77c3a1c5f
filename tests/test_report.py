"""The report: right numbers in right rows, one file, nothing fetched, nothing unescaped."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pestle.errors import PestleError
from pestle.metrics import FrameErrors
from pestle.protocols.results import Chart, Series
from pestle.records.data import DataFacts, DataFinding, Range, Ranges, SplitSummary
from pestle.records.ending import Ending, Trouble
from pestle.records.manifest import Hardware, Manifest, Setting
from pestle.records.method import Block, DriftFacts, MethodChoice, MethodFacts, ReplayFacts
from pestle.records.metrics import Drift, EvaluatedErrors, MetricsLine, Update
from pestle.records.parts import AtomicEnergies, File, FoundationFacts
from pestle.records.set_errors import SetErrors
from pestle.records.training import DriftBudget, Gate, KeptModel, Plan, TrainingFacts
from pestle.reports import write_report
from pestle.reports.figures import (
    BUDGET_COLOUR,
    DARK,
    INK,
    OTHER_COLOURS,
    PAPER,
    REPLAY_COLOUR,
    TUNED_COLOUR,
)
from pestle.wording import figure, number, percent_of, plain
from report_folders import changed, dump, finding, verdict, write_protocol
from report_page import Page

MODELS = ("foundation", "fine-tuned", "scratch")
EVIL = '<script>alert("x")</script>&amp.xyz'


# -- a run folder as finetune leaves it ----------------------------------------------------------
def _errors(scale: float, groups: dict[str, int]) -> dict[str, FrameErrors]:
    found = {}
    for k, (group, n) in enumerate(groups.items()):
        factor = scale * (1 + 0.1 * k)
        found[group] = FrameErrors(
            n_frames=n,
            energy_rmse=2.5 * factor,
            energy_mae=1.9 * factor,
            forces_rmse=32.34 * factor,
            forces_mae=21.7 * factor,
        )
    return found


def _e0s(method: str, offset: float, error: float, *warnings: str) -> AtomicEnergies:
    base = {"H": -1.1172, "C": -1.2609, "N": -3.1229, "O": -1.5486}
    used = {"H": -13.5871, "C": -1027.6122, "N": -1483.9911, "O": -2039.7343}
    e0s = {s: e + offset for s, e in used.items()} if method != "foundation" else dict(base)
    return AtomicEnergies(
        method=method,
        reason="the data hold an isolated atom of every element (paper 2.6)",
        e0s={**e0s, "Si": -0.8, "Fe": -3.4},
        shift={s: e0s[s] - base[s] for s in base},
        kept_from_foundation=("Si", "Fe") if method != "foundation" else (*base, "Si", "Fe"),
        elements=(*base, "Si", "Fe"),
        rank=3,
        n_elements=4,
        condition_number=41.7,
        null_space=({"C": 1.0, "O": -2.0},),
        null_space_text="E0(C) and E0(O) may be moved against each other (C + 1, O − 2).",
        spread_before_mev_per_atom=812.4,
        spread_after_mev_per_atom=63.2,
        zero_step_error_mev_per_atom=error,
        warnings=warnings,
    )


def _metrics(epochs: int) -> list[MetricsLine]:
    rng = random.Random(1)
    lines = []
    for epoch in range(epochs + 1):
        fall = math.exp(-epoch / 14) + 0.06 + 0.004 * rng.random()
        watched = EvaluatedErrors(
            n_frames=6,
            energy_rmse=63.0 * fall,
            energy_mae=50.0 * fall,
            forces_rmse=480 * fall,
            forces_mae=300 * fall,
            loss=1.1 * fall,
        )
        lines.append(
            MetricsLine(
                epoch=epoch,
                step=12 * epoch,
                seconds=7.4 * epoch,
                lr=1e-3 * 0.97**epoch,
                train=Update(loss=0.9 * fall if epoch else None, gradient_norm=3.1),
                valid=watched,
                best=epoch == 87,
            )
        )
    return lines


def _split(**more: Any) -> SplitSummary:
    split = SplitSummary(
        n_frames=64,
        n_isolated_atoms=4,
        n_atoms=Range(min=9, median=14.2, max=24),
        elements={"H": 480, "C": 240, "N": 60, "O": 90},
        config_types={"md300": 34, "md600": 20, "scan": 6, "IsolatedAtom": 4},
        labels={"energy": 64, "forces": 56, "stress": 0},
        periodicity={"0D": 64},
        ranges=Ranges(
            energy_per_atom_eV=Range(min=-212.31, median=-180.0, max=-148.07),
            force_max_eV_per_A=7.3112,
        ),
        isolated_atoms={"H": -13.5871, "C": -1027.6122},
    )
    return changed(split, **more)


def _data() -> DataFacts:
    return DataFacts(
        files={
            "train": (File(path="data/train.xyz", sha256="9f" * 32),),
            "valid": (),
            "test": (File(path=f"data/{EVIL}", sha256="1b" * 32),),
        },
        held_out=True,
        keys={"train": {"energy": {"REF_energy": 60}, "forces": {"REF_forces": 56}}},
        summary={
            "train": _split(),
            "valid": SplitSummary(n_frames=6, n_atoms=Range(min=9, median=9, max=9)),
            "test": _split(n_frames=40, config_types={"md300": 20, "md600": 20}),
        },
        findings=(
            DataFinding(
                severity="warning",
                code="duplicates",
                message="3 frames of 'test' are also in 'train': test errors are flattered",
                frames=tuple(f"{EVIL}:{k}" for k in range(2)),
                n_frames=3,
                fix="Remove them from data.test.",
            ),
            DataFinding(severity="note", code="few-frames", message="only 6 frames in 'valid'"),
        ),
    )


def _manifest(**more: Any) -> Manifest:
    settings = {
        "train.lr": (0.001, "naive fine-tuning (paper, Table 7)"),
        "train.epochs": (100, "asked for"),
        "train.dtype": ("float64", "default"),
        "data.train": (["data/train.xyz", EVIL], "asked for"),
        "loss.energy": (10.0, "default (paper 3.3)"),
        "data.test": ([], "default"),
    }
    blocks = {
        "embedding": 10496,
        "interaction 1": 200000,
        "product 1": 309000,
        "readout 1": 608,
    }
    found = Manifest(
        pestle="0.1.0",
        command="pestle finetune --foundation pestle-seed0 --data data/train.xyz --method naive "
        '-o runs/"a & b"',
        started="2025-03-02T14:05:11+00:00",
        finished="2025-03-02T14:17:49+00:00",
        status="finished",
        status_detail="all 100 epochs done",
        versions={"torch": "2.9.0", "mace-torch": "0.3.16", "numpy": "2.3.1"},
        hardware=Hardware(cpu="x86_64", cores=8, threads=4, device="cpu"),
        data=_data(),
        foundation=FoundationFacts(
            name="pestle-seed0",
            licence="MIT",
            level_of_theory="PBE(+U), OMat24 (labels by nequix-omat-1)",
            fingerprint="c4" * 32,
            elements=("H", "C", "N", "O", "Si", "Fe"),
            heads=("Default",),
            head="Default",
            n_parameters=520104,
            cutoff=5.0,
            dtype="float64",
        ),
        reference_energies=_e0s("isolated", 0.0, 63.4, "the E0 warning"),
        reference_energies_compared={
            "isolated": _e0s("isolated", 0.0, 63.4),
            "reestimate": _e0s("reestimate", -0.31, 41.2),
            "average": _e0s("average", -4.2, 96.0),
            "foundation": _e0s("foundation", 0.0, 198123.0),
        },
        method=MethodFacts(
            name="naive",
            notes=("every parameter is trained",),
            blocks={part: Block(trainable=n, total=n) for part, n in blocks.items()},
            n_trainable=520104,
            n_parameters=520104,
        ),
        settings={k: Setting(value=v, reason=r) for k, (v, r) in settings.items()},
        plan=Plan(
            steps_per_epoch=12,
            epochs=100,
            steps=1200,
            seconds_per_step=0.58,
            estimated_seconds=720.0,
            memory_mib=913.0,
        ),
        gate=Gate(n_frames=60, energy=3.1e-12, forces=4.4e-11, stress=0.0),
        training=TrainingFacts(
            best_epoch=87,
            best_update=1044,
            best_metric="loss",
            best_value=0.0662,
            epochs=100,
            steps=1200,
            seconds=741.0,
            finished="all 100 epochs done",
        ),
        warnings=("the E0 warning", "validation frames are few"),
    )
    return found.with_entries(**more)


def _sets() -> dict[str, dict[str, dict[str, FrameErrors]]]:
    groups = {"all": 40, "md300": 20, "md600": 20}
    return {
        name: {
            "foundation": _errors(12.75 * scale, groups),
            "fine-tuned": _errors(scale, groups),
            "scratch": _errors(5.3 * scale, groups),
        }
        for name, scale in (("train", 0.6), ("valid", 0.9), ("test", 1.0))
    }


def _write_errors(run: Path, sets: dict[str, dict[str, dict[str, FrameErrors]]]) -> None:
    rng = random.Random(0)
    write_protocol(
        run,
        "errors",
        [_parity(rng, name) for name in sets if name != "replay"],
        sets=sets,
        models=MODELS,
        candidate="fine-tuned",
        baseline="foundation",
        labels={"foundation": "foundation (with the E0s of this run)"},
    )


def make_run(run: Path) -> Path:
    """A whole run folder."""
    run.mkdir(parents=True)
    _manifest().write(run / "manifest.json", sealed=True)
    _write_metrics(run, _metrics(100))
    _write_errors(run, _sets())
    return run


def _parity(rng: random.Random, name: str) -> Chart:
    """Force components of a set by three models."""
    label = [rng.gauss(0, 1.4) for _ in range(30)]
    spread = {"foundation": 0.41, "fine-tuned": 0.03, "scratch": 0.17}
    series = [Series(m, label, [x + rng.gauss(0, s) for x in label]) for m, s in spread.items()]
    title = f"Force components, {name}"
    axes = ("reference (eV/Å)", "predicted (eV/Å)")
    return Chart(title, *axes, series, kind="points", diagonal=True)


def _write_metrics(run: Path, records: list[MetricsLine]) -> None:
    (run / "metrics.jsonl").write_text("".join(record.line + "\n" for record in records))


def _change(run: Path, **entries: Any) -> Page:
    """The page after a change of the manifest."""
    path = run / "manifest.json"
    Manifest.read(path).with_entries(**entries).write(path, sealed=True)
    return Page(write_report(run).read_text())


# -- the page -----------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing 4.8 MB in every test takes time; the page that all share has the true bundle."""
    monkeypatch.setattr("pestle.reports.page.get_plotlyjs", lambda: "/* plotly */")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = make_run(tmp_path_factory.mktemp("runs") / "methanol & co")
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text()


@pytest.fixture(scope="module")
def page(written: str) -> Page:
    return Page(written)


# -- the whole page ------------------------------------------------------------------------------
def test_the_head_says_it_in_one_sentence(page: Page) -> None:
    head = page.text("head")
    assert re.search("Naive fine-tuning of pestle-seed0 .*60 frames: .*test frames", head)
    assert re.search(r"32\.3 meV/Å, foundation .*412\.", head)
    assert "methanol & co finished" in head
    assert "13 × smaller" in head
    assert re.search("Licence .*MIT, .*pestle-seed0", head)
    assert "commercial" not in head


def test_errors_stand_in_the_right_rows(page: Page) -> None:
    rows = [r for r in page.rows if r["table"] == "test" and r["model"]]
    assert [(r["group"], r["model"]) for r in rows] == [
        (g, m) for g in ("all", "md300", "md600") for m in MODELS
    ]
    found = {(r["group"], r["model"]): [c["text"] for c in r["cells"][1:]] for r in rows}
    assert found["all", "fine-tuned"] == ["2.50", "1.90", "32.3", "21.7"]
    assert found["all", "foundation"][2] == "412"
    assert found["md300", "fine-tuned"][2] == "35.6"
    assert "foundation (with the E0s of this run)" in rows[0]["cells"][0]["text"]
    # Nobody has a stress: no such column.
    assert "Stress" not in page.text("protocol-errors")


def test_the_best_of_a_group_is_emphasised(page: Page) -> None:
    for row in page.rows:
        if row["section"] == "protocol-errors" and row["model"]:
            best = {"best" in c["class"] for c in row["cells"][1:]}
            assert best == {row["model"] == "fine-tuned"}


def test_one_group_is_told_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    groups = {"all": 40, "md300": 40}
    _write_errors(run, {"test": {"fine-tuned": _errors(1.0, groups)}})
    page = Page(write_report(run).read_text())
    rows = [r for r in page.rows if r["table"] == "test"]
    assert [r["group"] for r in rows if r["model"]] == ["all"]
    assert "all: md300 40 frames" in page.text("protocol-errors")


def test_sets_come_in_order(page: Page) -> None:
    sets = [a["data-set"] for _, a in page.tags if "data-set" in a]
    assert sets == ["test", "valid", "train"]


def test_the_e0s(page: Page) -> None:
    assert page.cells("e0-table", "H") == ["H", "−13.5871", "−1.1172", "−12.4699", "this run"]
    assert "Si" not in [r["cells"][0]["text"] for r in page.rows if r["table"] == "e0-table"]
    text = page.text("e0s")
    assert "2 more elements of the foundation" in text
    assert "3 of 4 elements" in text
    assert "812 → 63.2 meV/atom" in text
    assert page.cells("e0-methods", "reestimate")[-1] == "41.2"
    assert page.cells("e0-methods", "isolated")[0] == "isolated used"


def test_warnings_are_all_there_and_once(page: Page) -> None:
    text = page.text("warnings")
    assert "3 frames of 'test' are also in 'train'" in text
    assert "and 1 more" in text
    assert text.count("the E0 warning") == 1
    assert "validation frames are few" in text
    assert "every parameter is trained" in text
    assert "only 6 frames in 'valid'" not in text
    assert "only 6 frames in 'valid'" in page.text("data")


def test_data_method_settings_and_provenance(page: Page) -> None:
    assert page.cells("data-table", "Frames")[1:] == ["64", "6", "40"]
    assert page.cells("data-table", "Atoms per frame")[1:3] == ["9–24 (median 14.2)", "9"]
    assert page.cells("data-table", "Energy (eV/atom)")[1] == "−212.3 – −148.1 (median −180)"
    assert page.cells("data-table", "Energies of isolated")[1] == "H −13.5871, C −1,027.6122"
    assert page.cells("data-table", "Largest force")[1:] == ["7.311", "—", "7.311"]
    assert "energy ← REF_energy (60)" in page.text("data")
    assert page.cells("blocks", "all") == ["all", "520,104", "520,104", "100 %"]
    assert page.cells("blocks", "readout 1")[1] == "608"
    assert "train.lr 0.001 naive fine-tuning (paper, Table 7)" in page.text("settings")
    provenance = page.text("provenance")
    assert "pestle finetune --foundation pestle-seed0 --data data/train.xyz" in provenance
    assert "passed on 60 frames" in provenance
    assert "9f" * 32 in page.text("data")


def test_plots_hold_the_data(page: Page) -> None:
    names = {a["data-plot"] for _, a in page.tags if "data-plot" in a}
    assert {
        "curve-energy-rmse",
        "curve-forces-rmse",
        "curve-loss",
        "curve-lr",
    } < names
    assert len(page.drawn("errors")) == 3
    assert names == {a["id"] for _, a in page.tags if a.get("class") == "plot"}
    curve = page.data["curve-forces-rmse"]
    assert len(curve["data"][0]["y"]) == 101
    assert curve["layout"]["yaxis"]["type"] == "log"
    assert "kept: epoch 87" in json.dumps(curve)
    parity = page.drawn("errors")[0]
    assert parity["layout"]["xaxis"]["range"] == parity["layout"]["yaxis"]["range"]
    colours = {
        trace["marker"]["color"]
        for k in range(3)
        for trace in page.drawn("errors")[k]["data"]
        if trace.get("name") == "fine-tuned"
    }
    assert colours == {TUNED_COLOUR}


def test_a_very_long_run_is_thinned(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    records = _metrics(6000)
    high = changed(records[3210].watched, forces_rmse=7000.0)
    records[3210] = changed(records[3210], valid=high)
    _write_metrics(run, records)
    curve = Page(write_report(run).read_text()).data["curve-forces-rmse"]["data"][0]
    assert len(curve["x"]) <= 2000
    assert max(curve["y"]) == 7000.0
    assert (curve["x"][0], curve["x"][-1]) == (0, 6000)


def test_one_file_that_fetches_nothing(page: Page, written: str) -> None:
    assert not re.search(r'src\s*=\s*["\']?\s*(https?:)?//', written)
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "base")
        for name in ("src", "href"):
            assert name not in attributes or attributes[name].startswith("#")
    assert written.count("plotly.js v") == 1


def test_names_are_escaped(page: Page, written: str) -> None:
    assert "<script>alert" not in written
    assert EVIL in page.text("data")
    assert EVIL in page.text("warnings")
    assert EVIL in page.text("settings")


def test_no_nan_and_no_none(page: Page) -> None:
    assert not re.search(r"\b(nan|None|null|inf)\b", page.text())
    assert "—" in page.text()


# -- what is missing -----------------------------------------------------------------------------
def test_an_empty_folder_still_gives_a_page(tmp_path: Path) -> None:
    text = write_report(tmp_path).read_text()
    page = Page(text)
    for name in ("manifest.json", "metrics.jsonl", "protocols/errors/metrics.json"):
        assert f"{name} is missing" in page.text("head")
    for section in (
        "asked",
        "warnings",
        "protocol-errors",
        "e0s",
        "data",
        "method",
        "settings",
        "provenance",
    ):
        assert "Not available" in page.text(section)
    assert "Not available" in page.text("curves")
    assert "Plotly" not in text  # nothing to draw
    assert len(text) < 100_000


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "metrics.jsonl",
        "protocols/errors/metrics.json",
        "verdict.json",
        "protocols/errors/charts.json",
    ],
)
def test_any_file_may_be_missing_or_broken(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run")
    (run / name).write_text('{"half": ')
    assert name in Page(write_report(run).read_text()).text("head")
    (run / name).unlink()
    page = Page(write_report(run).read_text())
    optional = ("verdict.json", "protocols/errors/charts.json")
    assert (name in page.text("head")) == (name not in optional)


@pytest.mark.parametrize("name", ["training", "gate", "plan", "hardware", "settings", "ending"])
def test_a_broken_part_of_the_manifest_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str
) -> None:
    run = make_run(tmp_path / "run")
    content = _manifest().to_json()
    dump(run / "manifest.json", content | {name: {"half": 1}})
    page = Page(write_report(run).read_text())
    assert f"manifest.json: {name}" in page.text("head")
    assert "Naive fine-tuning of pestle-seed0 on 60 frames" in page.text("head")
    assert not re.search(r"\b(nan|None)\b", page.text().replace("None: the checks", ""))


@pytest.mark.parametrize("name", ["data", "method", "foundation", "reference_energies"])
def test_a_manifest_without_a_part_that_every_run_has(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "run")
    dump(run / "manifest.json", _manifest().to_json() | {name: None})
    page = Page(write_report(run).read_text())
    assert f"manifest.json: {name}" in page.text("head") and "unknown" in page.text("head")
    assert page.cells("test", "fine-tuned")[1] == "2.50"
    assert not re.search(r"\b(nan|None)\b", page.text())


def test_a_run_that_was_stopped_has_no_training_yet(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    later = ("training", "gate", "plan", "hardware", "finished", "errors", "ending", "timings")
    page = _change(run, status="interrupted", **dict.fromkeys(later))
    assert "interrupted" in page.text("head")
    assert "Best update" not in page.text("head")
    assert "no result" in page.text("provenance")
    assert not re.search(r"\b(nan|None)\b", page.text().replace("None: the checks", ""))


def test_an_aborted_run_gives_its_reason(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 101, "valid": {"forces_rm')
    (run / "protocols/errors/metrics.json").unlink()
    why = "the loss is NaN at step 120"
    head = _change(run, status="aborted", status_detail=why, finished=None, training=None).text(
        "head"
    )
    assert "aborted" in head
    assert "the loss is NaN at step 120" in head
    assert "1 broken line left out" in head
    assert "force error on the validation frames" in head


def test_nan_in_a_file_is_a_dash(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    nan = float("nan")
    write_protocol(run, "errors", sets={"test": {"fine-tuned": {"all": FrameErrors(n_frames=2)}}})
    path = run / "protocols/errors/metrics.json"
    path.write_text(path.read_text().replace('"energy_rmse": null', '"energy_rmse": NaN'))
    assert "NaN" in path.read_text()
    chart = Chart("parity", "x", "y", [Series("fine-tuned", [0.5, 1.0], [nan, 2.0])])
    dump(run / "protocols/errors/charts.json", [asdict(chart)])
    text = write_report(run).read_text()
    assert "NaN" not in "".join(json.dumps(d) for d in Page(text).data.values())
    assert Page(text).drawn("errors")[0]["data"][0]["y"] == [None, 2.0]
    assert not re.search(r"\b(nan|None)\b", Page(text).text())


# -- judgements ----------------------------------------------------------------------------------
def test_worse_than_the_foundation_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    sets = _sets()
    tuned = sets["test"]["fine-tuned"]
    tuned["md600"] = changed(tuned["md600"], forces_rmse=900.0)
    _write_errors(run, sets)
    page = Page(write_report(run).read_text())
    assert re.search("test frames, md600: .*900 meV/Å ?, foundation", page.text("warnings"))
    row = next(
        r
        for r in page.rows
        if (r["table"], r["group"], r["model"]) == ("test", "md600", "fine-tuned")
    )
    assert [("best" in c["class"], "worse" in c["class"]) for c in row["cells"][1:]] == [
        (True, False),
        (True, False),
        (False, True),
        (True, False),
    ]


def test_an_ending_that_the_verdict_judges_is_told_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    what = "the loss was still improving"
    trouble = Trouble(kind="unfinished", what=what, reason="it ended", advice="train on")
    sets = (SetErrors(name="test", forces=32.3, foundation_forces=412.0),)
    ending = Ending(
        method="naive", foundation="pestle-seed0", best_epoch=87, sets=sets, trouble=trouble
    )
    page = _change(run, ending=ending)
    # Where a sentence begins with it, it has a capital.
    told = what.removeprefix("the ")
    assert page.text("head").count(told) == page.text().count(told) == 1
    judged = finding("errors", "concern", None, sentence=f"NOT CONVERGED: {what}.")
    verdict(verdict="concern", findings=(judged,)).write(run / "verdict.json")
    page = Page(write_report(run).read_text())
    assert told not in page.text("head") and page.text().count(told) == 1
    assert "finished: not converged" in page.text("head")


def test_non_commercial_licence_is_noticed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    foundation = changed(_manifest().foundation, licence="Academic Software Licence")
    assert "Not for commercial use" in _change(run, foundation=foundation).text("head")


def test_scratch_inherits_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page = _change(run, gate=None, method=changed(_manifest().method, name="scratch"))
    assert re.search("Training from scratch .*pestle-seed0", page.text("head"))
    assert "32.3 meV/Å, the foundation 412." in page.text("head")
    assert "no foundation licence applies" in page.text("head")
    assert "does not apply" in page.text("provenance")
    assert "random weights" in page.text("curves")


def test_nothing_to_warn_of_is_said(tmp_path: Path) -> None:
    found = _manifest()
    page = _change(
        make_run(tmp_path / "run"),
        warnings=(),
        data=changed(found.data, findings=()),
        reference_energies=changed(found.reference_energies, warnings=()),
        method=changed(found.method, notes=()),
    )
    assert "None." in page.text("warnings")


def test_no_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(PestleError, match="no such run folder"):
        write_report(tmp_path / "nowhere")


def test_another_place(tmp_path: Path) -> None:
    out = tmp_path / "pages" / "one.html"
    (tmp_path / "run").mkdir()
    assert write_report(tmp_path / "run", out) == out
    assert out.is_file()


# -- words ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (32.34, "32.3"),
        (412.4, "412"),
        (1234.5, "1,234"),
        (0.04123, "0.0412"),
        (-9.999, "−10.0"),
        (3.1e-12, "3.10×10⁻¹²"),
        (0, "0"),
        (None, "—"),
        (float("nan"), "—"),
        (True, "—"),
    ],
)
def test_numbers(value: Any, text: str) -> None:
    assert number(value) == text


def test_small_words() -> None:
    assert percent_of(1, 3) == "33 %"
    assert percent_of(26, 10000) == "0.26 %"
    assert percent_of(1, 0) == "—"
    assert (percent_of(9999, 10000), percent_of(0, 5), percent_of(5, 5)) == (
        "more than 99 %",
        "0 %",
        "100 %",
    )
    assert [figure(v) for v in (50.0, 2.5, 1500.4, -2.0, 3e-7)] == [
        "50",
        "2.5",
        "1,500",
        "−2",
        "less than 0.001",
    ]
    assert plain({"H": 12, "C": 3}) == "H 12, C 3"


def test_the_checks_own_summary_is_read_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    old = _manifest().to_json()
    del old["format"]
    old["data"]["summary"] = {"splits": old["data"]["summary"], "keys": {}}
    dump(run / "manifest.json", old)
    page = Page(write_report(run).read_text())
    assert page.cells("data-table", "Frames")[1:] == ["64", "6", "40"]
    assert "on 60 frames" in page.text("head")


# -- replay, drift and the automatic choice ------------------------------------------------------
BUDGET, KEPT, UNBOUND = 50.0, 12, 87
MODEL_FILES = {
    "model/weights.safetensors": "all heads",
    "model/architecture.json": "elements, heads and layers",
    "model/card.json": "licence",
    "model/pestle.model": "only the target head",
    "model/pestle-heads.model": "all heads, for MACECalculator",
    "model/adapter.safetensors": "only the LoRA update",
    "replay/train.xyz": "trained on",
    "replay/valid.xyz": "held out",
}


def _drift(epoch: float) -> dict[str, Drift]:
    """4.1 meV/Å more in each epoch: the budget of 50 holds up to epoch 12."""
    moved = 4.1 * epoch or 3e-11
    return {
        "Default": Drift(energy_rmse=0.2 * moved, forces_rmse=moved),
        "pt_head": Drift(energy_rmse=0.02 * moved, forces_rmse=0.1 * moved),
    }


def _replay_errors(epoch: float) -> dict[str, float]:
    """Errors of the replay head on the foundation's own labels: its drift."""
    moved = 0.41 * epoch or 3e-12
    return {"energy_rmse": 0.2 * moved, "forces_rmse": moved, "loss": 1e-2 * moved}


def _with_replay(record: MetricsLine) -> MetricsLine:
    replay = changed(record.watched, **_replay_errors(record.epoch))
    best = record.epoch == KEPT
    return changed(record, best=best, drift=_drift(record.epoch), replay=replay)


def make_replay_run(run: Path) -> Path:
    """A run with pseudolabelled replay and LoRA, chosen by auto, with a forgetting budget."""
    make_run(run)
    found = _manifest()
    assert found.training is not None
    method = changed(
        found.method,
        name="pseudolabel-lora",
        heads=("pt_head", "Default"),
        choice=MethodChoice(
            method="pseudolabel-lora",
            reasons=("scope broad: replay keeps the <breadth>", "8 frames are few"),
            would_change=("more than 10 training frames: pseudolabel",),
        ),
    )
    outcome = DriftBudget(
        max_drift=BUDGET,
        metric="loss",
        within=KeptModel(epoch=KEPT, value=0.512),
        without=KeptModel(epoch=UNBOUND, value=0.0662),
    )
    settings = {"train.best_head": Setting(value="Default"), "replay.ratio": Setting(value=1.0)}
    _manifest(
        method=method,
        replay=ReplayFacts(
            labels="pseudolabels by pestle-seed0, head Default (c4c4)",
            n_train=1800,
            n_valid=100,
            notes=("2,000 of 5,317 chosen at random", "100 left out for a force above 50 eV/Å"),
        ),
        drift=DriftFacts(n_frames=64),
        training=changed(found.training, best_epoch=KEPT, best_value=0.512, drift_budget=outcome),
        settings={**found.settings, **settings},
    ).write(run / "manifest.json", sealed=True)
    _write_metrics(run, [_with_replay(record) for record in _metrics(100)])
    sets = _sets()
    sets["replay"] = {
        "foundation": _errors(1e-12, {"all": 100}),
        "fine-tuned": _errors(0.15, {"all": 100}),
    }
    _write_errors(run, sets)
    for name in MODEL_FILES:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("")
    return run


def _traces(page: Page, plot: str) -> dict[str, dict[str, Any]]:
    return {t["name"]: t for t in page.data[plot]["data"]}


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = make_replay_run(tmp_path_factory.mktemp("replayed") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pestle.reports.page.get_plotlyjs", lambda: "/* plotly */")
        return Page(write_report(run).read_text())


@pytest.mark.parametrize("key", ["energy_rmse", "forces_rmse"])
def test_the_replay_heads_error_stands_beside_the_targets(replayed: Page, key: str) -> None:
    name = f"curve-{key.replace('_', '-')}"
    traces = _traces(replayed, name)
    target, replay = traces["target head"], traces["replay head"]
    records = _metrics(100)
    assert target["y"] == pytest.approx([getattr(r.watched, key) for r in records], rel=1e-5)
    assert replay["x"] == list(range(1, 101))  # epoch 0 is exact: no place on a logarithmic axis
    assert replay["y"] == pytest.approx([_replay_errors(k)[key] for k in range(1, 101)])
    assert target["line"]["color"] != replay["line"]["color"]
    assert target["line"]["dash"] != replay["line"]["dash"]
    layout = replayed.data[name]["layout"]
    assert layout["showlegend"]
    assert layout["yaxis"]["type"] == "log"
    assert "its error is zero at epoch 0" in replayed.text("curves")


def test_losses_of_both_heads(replayed: Page) -> None:
    assert set(_traces(replayed, "curve-loss")) == {"training", "target head", "replay head"}
    assert "The training loss" in replayed.text("curves")


def test_the_replay_heads_error_counts_from_epoch_0_with_original_labels(tmp_path: Path) -> None:
    run = make_replay_run(tmp_path / "run")
    records = [
        changed(record, replay=changed(record.watched, forces_rmse=300.0 + record.epoch))
        for record in _metrics(100)
    ]
    _write_metrics(run, records)
    page = _change(run, method=changed(_manifest().method, name="multihead"))
    assert _traces(page, "curve-forces-rmse")["replay head"]["y"][0] == 300.0
    assert "its error is zero at epoch 0" not in page.text("curves")


def test_drift_stands_beside_the_targets_force_error(replayed: Page) -> None:
    traces = _traces(replayed, "drift-forces")
    for head, name in (("Default", "target head"), ("pt_head", "replay head")):
        trace = traces[f"drift of the {name}"]
        assert trace["x"] == list(range(1, 101))
        expected = [_drift(k)[head].forces_rmse for k in trace["x"]]
        assert trace["y"] == pytest.approx(expected, rel=1e-5)
    error = traces["force error of the target, validation"]
    expected = [r.watched.forces_rmse for r in _metrics(100)]
    assert error["y"] == pytest.approx(expected, rel=1e-5)
    assert replayed.data["drift-forces"]["layout"]["yaxis"]["type"] == "log"
    assert "on 64 broad structures" in replayed.text("drift")


def test_the_budget_is_a_line_and_the_epochs_beyond_it_are_crossed_out(replayed: Page) -> None:
    traces = _traces(replayed, "drift-forces")
    assert traces["budget 50 meV/Å"]["y"] == [BUDGET, BUDGET]
    beyond = traces["beyond the budget, not kept"]
    assert beyond["x"] == [k for k in range(101) if 4.1 * k > BUDGET]
    assert beyond["mode"] == "markers"
    assert "88 of 101 evaluations" in replayed.text("drift")
    low, high = replayed.data["drift-forces"]["layout"]["yaxis"]["range"]
    shades = [s for s in replayed.data["drift-forces"]["layout"]["shapes"] if s["type"] == "rect"]
    assert [(s["y0"], s["y1"]) for s in shades] == [(BUDGET, pytest.approx(10**high))]
    assert low < math.log10(0.41) and high > math.log10(4.1 * 100)


def test_what_the_budget_cost_is_said(replayed: Page, tmp_path: Path) -> None:
    cost = r"budget of 50 meV/Å .*epoch 12 \(validation loss 0\.512\); .*epoch 87 \(0\.0662\)"
    assert re.search(cost, replayed.text("drift"))
    head = replayed.text("head")
    assert "49.2 meV/Å" in head
    assert "budget 50 meV/Å" in head
    run = make_replay_run(tmp_path / "run")
    found = Manifest.read(run / "manifest.json")
    outcome = found.of_training.drift_budget
    assert outcome is not None
    outcome = changed(outcome, metric="forces_rmse", without=outcome.within)
    text = _change(
        run,
        training=changed(found.of_training, drift_budget=outcome),
        settings={**found.settings, "train.best_head": Setting(value="pt_head")},
    ).text("drift")
    best = r"epoch 12 \(replay head force RMSE 0\.512 meV/Å\).*budget of 50 meV/Å.*cost nothing"
    assert re.search(best, text)


def test_drift_as_numbers(replayed: Page) -> None:
    rows = [r["cells"] for r in replayed.rows if r["table"] == "drift-table"]
    assert [[c["text"] for c in row] for row in rows[1:]] == [
        ["target head", "12, kept", "49.2", "9.84", "within"],
        ["target head", "100, last", "410", "82.0", "beyond"],
        ["replay head", "12, kept", "4.92", "0.984", "—"],
        ["replay head", "100, last", "41.0", "8.20", "—"],
    ]


def test_drift_without_budget_or_replay(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    records = [
        changed(record, drift={"Default": _drift(record.epoch)["Default"]})
        for record in _metrics(100)
    ]
    _write_metrics(run, records)
    page = _change(run, drift=DriftFacts(n_frames=64), replay=None)
    assert set(_traces(page, "drift-forces")) == {
        "drift of the model",
        "force error of the target, validation",
    }
    assert "budget" not in page.text("drift").lower()
    assert "replay head" not in page.text()
    assert not [t for t, a in page.tags if a.get("id") == "replay"]


def test_gaps_and_nan_in_the_new_figures(tmp_path: Path) -> None:
    run = make_replay_run(tmp_path / "run")
    nan = float("nan")
    drifts: list[dict[str, Drift] | None] = [
        None,
        {},
        {"Default": Drift()},
        {"Default": Drift(forces_rmse=nan, energy_rmse=nan)},
        {"Default": Drift(forces_rmse=0.0)},
        {"pt_head": Drift(forces_rmse=3.0)},
        {"Default": Drift(forces_rmse=7.0)},
    ]
    records = [
        changed(record, drift=drift, best=record.epoch == 3)
        for record, drift in zip(_metrics(6), drifts, strict=True)
    ]
    records[5] = changed(records[5], replay=EvaluatedErrors(n_frames=6, energy_rmse=nan))
    _write_metrics(run, records)
    found = Manifest.read(run / "manifest.json")
    outcome = found.of_training.drift_budget
    assert outcome is not None
    lost = KeptModel(epoch=-1, value=nan)
    outcome = changed(outcome, within=lost)
    training = changed(found.of_training, best_epoch=3, drift_budget=outcome)
    page = _change(run, training=training)
    assert _traces(page, "drift-forces")["drift of the target head"]["y"] == [7.0]
    assert re.search("budget of 50 meV/Å no model", page.text("drift"))
    assert not re.search(r"\b(nan|None|null|inf)\b", page.text())
    # Watched, but killed before the first evaluation.
    _write_metrics(run, [])
    assert "no drift was recorded" in Page(write_report(run).read_text()).text("drift")


def test_the_choice_is_explained(replayed: Page, page: Page) -> None:
    text = replayed.text("method")
    assert "pseudolabel-lora , chosen by auto" in text
    assert "scope broad: replay keeps the <breadth>" in text
    assert "8 frames are few" in text
    assert text.index("What would change the choice") < text.index("more than 10 training frames")
    assert "Heads: pt_head (replay head), Default (target head)" in text
    assert "chosen by auto" not in page.text("method")
    assert "Pseudolabelled replay fine-tuning with LoRA of pestle-seed0" in replayed.text("head")


def test_the_replay_set(replayed: Page) -> None:
    text = replayed.text("replay")
    assert "Labels pseudolabels by pestle-seed0, head Default (c4c4)" in text
    assert "Structures in training 1,800" in text
    assert "Structures held out 100" in text
    assert "100 left out for a force above 50 eV/Å" in text


def test_errors_on_the_replay_set_are_named_and_not_ranked(replayed: Page, tmp_path: Path) -> None:
    text = replayed.text("protocol-errors")
    assert "held-out replay structures" in text
    assert "its errors are rounding" in text
    rows = [r for r in replayed.rows if r["table"] == "replay" and r["model"]]
    labels = ["foundation itself", "fine-tuned, replay head"]
    assert [r["cells"][0]["text"] for r in rows] == labels
    assert rows[1]["cells"][3]["text"] == "4.85"
    assert not any({"best", "worse"} & set(c["class"]) for r in rows for c in r["cells"])
    sets = [a["data-set"] for _, a in replayed.tags if "data-set" in a]
    assert sets == ["test", "valid", "train", "replay"]
    # With labels that are not the foundation's own the two can be compared.
    run = make_replay_run(tmp_path / "run")
    page = _change(run, method=changed(_manifest().method, name="multihead"))
    rows = [r for r in page.rows if r["table"] == "replay" and r["model"]]
    assert "best" in rows[0]["cells"][3]["class"]
    assert "worse" in rows[1]["cells"][3]["class"]
    assert "errors are rounding" not in page.text("protocol-errors")


def test_forgetting_is_no_failure_on_the_data(tmp_path: Path) -> None:
    run = make_replay_run(tmp_path / "run")
    replay = {
        "foundation": _errors(0.01, {"all": 100}),
        "fine-tuned": _errors(0.15, {"all": 100}),
    }
    _write_errors(run, {"train": _sets()["train"], "replay": replay})
    page = Page(write_report(run).read_text())
    assert "is worse than the foundation by more" not in page.text("warnings")
    assert "force error on the training frames" in page.text("head")


def test_the_files_of_the_model(replayed: Page, tmp_path: Path) -> None:
    for name, purpose in MODEL_FILES.items():
        assert purpose in replayed.cells("files-table", name)[1]
    run = make_replay_run(tmp_path / "run")
    for name in ("adapter.safetensors", "pestle-heads.model"):
        (run / "model" / name).unlink()
    text = Page(write_report(run).read_text()).text("files")
    assert "adapter.safetensors" not in text
    assert "pestle-heads.model" not in text
    assert "pestle.model" in text


# -- dark screens --------------------------------------------------------------------------------
def _contrast(one: str, other: str) -> float:
    """WCAG 2.1 contrast ratio of two #rrggbb colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _colours(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set().union(*map(_colours, tree.values()))
    if isinstance(tree, list):
        return set().union(*map(_colours, tree))
    return {tree} if isinstance(tree, str) and re.fullmatch(r"#[0-9a-f]{6}|rgba.*", tree) else set()


def test_every_colour_of_a_plot_has_a_counterpart_that_can_be_seen(
    replayed: Page, page: Page
) -> None:
    used = _colours([replayed.data, page.data])
    assert len(used) > 8
    assert used <= set(DARK)
    lines = {TUNED_COLOUR, REPLAY_COLOUR, BUDGET_COLOUR, INK, *OTHER_COLOURS}
    for colour in lines:
        assert _contrast(colour, PAPER) >= 4.5
        assert _contrast(DARK[colour], DARK[PAPER]) >= 4.5
    swatches = {a["style"] for _, a in page.tags if a.get("class") == "swatch"}
    assert f"--light:{TUNED_COLOUR};--dark:{DARK[TUNED_COLOUR]}" in swatches
