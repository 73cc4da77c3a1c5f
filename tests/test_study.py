"""A study is worked through whatever happens to its cells, its workers and itself."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from studies import BASE, TOYS, outcomes, write_study

pytest.importorskip("parsl")

from parsl.jobs.states import JobState, JobStatus

from pestle.errors import PestleError
from pestle.locks import locked_file
from pestle.records.study import CellRecord
from pestle.study.engine import config_of
from pestle.study.idle_jobs import IdleJobs
from pestle.study.job import clean_study, require_done, run_study, state_line, study_status
from pestle.study.plan import plan
from pestle.study.show import study_tables
from pestle.study.study_file import read_study
from pestle.study.worker import Places

#: An engine whose jobs go to SLURM.
SLURM = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import SlurmProvider
provider = SlurmProvider(partition="gpu", init_blocks=1)
executor = HighThroughputExecutor(label="slurm", address="127.0.0.1", provider=provider)
config = Config(executors=[executor], retries=1, strategy_period=0.2)
"""
ENGINES = Path(__file__).parents[1] / "examples" / "engines"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of a study are toys."""
    monkeypatch.setenv("PYTHONPATH", str(TOYS))


def states(study: Path) -> dict[str, int]:
    found = study_status(study)
    return {state: count for state, count in found.counts.items() if count}


@pytest.mark.usefixtures("toys")
def test_a_part_of_a_study_is_the_same_cells_as_in_the_whole(tmp_path: Path) -> None:
    matrix = {"method": ["naive", "lora"], "train.seed": [0, 1, 2]}
    study = write_study(tmp_path / "s.yaml", matrix=matrix)
    part = run_study(study, only=["method=lora", "train.seed=0", "train.seed=2"], workers=2)
    assert {cell.cell.name[:10] for cell in part.of("finished")} == {"lora-seed0", "lora-seed2"}
    assert state_line(part) == "2 of 6 cells: 2 finished"
    require_done(part)
    assert states(study) == {"finished": 2, "waiting": 4}
    assert clean_study(study) == [] and clean_study(study, only=["method=naive"]) == []
    before = ended(tmp_path / "s", "manifest.json")
    run_study(study, workers=2)
    after = ended(tmp_path / "s", "manifest.json")
    assert len(after) == 6 and before.items() <= after.items(), "nothing is done twice"
    gone = clean_study(study, only=["train.seed=0"], everything=True)
    assert {path.name.split("-")[1] for path in gone} == {"seed0"}
    assert states(study) == {"finished": 4, "waiting": 2}


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("seed=0", "--only seed: .*Did you mean 'train.seed'.*method, how, train.seed"),
        ("sead=0", "Did you mean 'train.seed'"),
        ("methd=lora", "Did you mean 'method'"),
        ("method=lroa", "--only method: .*lroa.*Did you mean 'lora'.*naive, lora"),
        ("how=lora-5", "It has lora-4, low"),
        ("train.seed=7", "It has 0, 1"),
        ("lora", "'lora' is not AXIS=VALUE"),
    ],
)
def test_an_axis_or_value_that_is_none_is_named(tmp_path: Path, only: str, words: str) -> None:
    how = {"lora-4": {"lora.rank": 4}, "low": {"train.lr": 1e-5}}
    matrix = {"method": ["naive", "lora"], "how": how, "train.seed": [0, 1]}
    study = write_study(
        tmp_path / "s.yaml", matrix=matrix, exclude=[{"method": "naive", "how": "low"}]
    )
    with pytest.raises(PestleError, match=words):
        study_status(study, only=[only])
    with pytest.raises(PestleError, match="no cell"):
        run_study(study, only=["method=naive", "how=low"])
    assert not (tmp_path / "s" / "runs").exists()


@pytest.mark.usefixtures("toys")
def test_a_cell_that_always_fails_stops_no_other(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "s.yaml", matrix={"train.seed": [0, 1, 2], "train.lr": [0.1, 5.0]}
    )
    assert states(study) == {"waiting": 6}
    state = run_study(study, workers=2)
    assert states(study) == {"finished": 3, "failed": 3}
    with pytest.raises(PestleError, match="3 of 6 cells failed") as error:
        require_done(state)  # as the command does at its end
    assert error.value.exit_code != 0
    failure = study_status(study).of("failed")[0]
    assert failure.step == "finetune" and "the loss is not finite" in failure.last_lines[-1]
    log = Places(tmp_path / "s", failure.cell.name).log
    assert log.read_text().count("$ pestle finetune") == 1
    run_study(study)
    assert log.read_text().count("$ pestle finetune") == 1, "not tried again unasked"
    run_study(study, retry=True)
    assert log.read_text().count("$ pestle finetune") == 2


@pytest.mark.usefixtures("toys")
def test_what_is_finished_is_reused_and_tests_may_be_added(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml", matrix={"train.seed": [0, 1, 2]})
    run_study(study, workers=2)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("manifest.json")}
    assert len(before) == 3
    write_study(study, matrix={"train.seed": [0, 1, 2, 3]}, qualify={"scope": "narrow"})
    assert states(study) == {"trained": 3, "waiting": 1}
    run_study(study, workers=2)
    assert states(study) == {"finished": 4}
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    verdicts = [json.loads(path.read_text()) for path in tmp_path.rglob("verdict.json")]
    # The foundation does not depend on the seed: one cell tests it, the others take the result.
    assert [v["foundation_calculated"] for v in verdicts].count(True) == 1 and len(verdicts) == 4

    for path in tmp_path.rglob("cells/*.json"):  # a record that is lost is made from the run
        path.unlink()
    run_study(study, workers=2)
    assert states(study) == {"finished": 4}
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def ended(folder: Path, file: str) -> dict[str, int]:
    """Run → when it wrote a file."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"runs/*/{file}")}


@pytest.mark.usefixtures("toys")
def test_a_worker_that_ends_a_training_tests_it_at_once(tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "s.yaml", matrix={"train.seed": [0, 1, 2, 3]}, qualify={"scope": "narrow"}
    )
    run_study(study, workers=1)
    trained, tested = ended(tmp_path / "s", "manifest.json"), ended(tmp_path / "s", "verdict.json")
    in_turn = sorted(trained, key=trained.__getitem__)
    assert len(tested) == 4
    for one, following in pairwise(in_turn):
        assert tested[one] < trained[following]


@pytest.mark.usefixtures("toys")
def test_while_a_cell_tests_the_foundation_others_train_and_are_tested_later(
    tmp_path: Path,
) -> None:
    study = write_study(
        tmp_path / "s.yaml", matrix={"train.seed": [0, 1, 2, 3]}, qualify={"scope": "narrow"}
    )
    run_study(study, workers=2)
    trained, tested = ended(tmp_path / "s", "manifest.json"), ended(tmp_path / "s", "verdict.json")
    assert states(study) == {"finished": 4}
    assert sum(when < min(tested.values()) for when in trained.values()) >= 3, "nobody waits"
    verdicts = [json.loads(path.read_text()) for path in tmp_path.rglob("verdict.json")]
    assert [v["foundation_calculated"] for v in verdicts].count(True) == 1


@pytest.mark.usefixtures("toys")
def test_a_cell_is_interrupted_only_where_its_worker_died(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml", qualify={"scope": "narrow"})
    run_study(study)
    (cell,) = study_status(study).cells
    places = Places(tmp_path / "s", cell.cell.name)
    whole = CellRecord.read(places.record)
    only_trained = {"finetune": whole.steps["finetune"]}
    whole.model_copy(update={"steps": only_trained}).write(places.record)
    assert states(study) == {"trained": 1} and study_status(study).cells[0].step == "qualify"
    died = whole.steps["qualify"].model_copy(update={"status": "running"})
    whole.with_step("qualify", died).write(places.record)
    assert states(study) == {"interrupted": 1}
    with locked_file(places.record):
        assert states(study) == {"running": 1}
    run_study(study)
    assert states(study) == {"finished": 1}


@pytest.mark.usefixtures("toys")
def test_pseudolabels_are_made_once_for_cells_that_need_the_same(tmp_path: Path) -> None:
    matrix = {"method": ["pseudolabel"], "train.lr": [1e-3, 2e-3], "train.seed": [0, 1]}
    study = write_study(tmp_path / "s.yaml", matrix=matrix)
    run_study(study, workers=2)
    # Structures depend on the seed, not on the rate.
    assert len(list((tmp_path / "s" / "shared").glob("*.labels.partial"))) == 2
    assert all(run["labels"] for run in outcomes(tmp_path / "s").values())


@pytest.mark.usefixtures("toys")
def test_a_command_that_the_system_kills_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PESTLE_TOY_KILL", "1")
    base = {**BASE, "train": {**BASE["train"], "updates": 10}}
    study = write_study(tmp_path / "s.yaml", base=base)
    run_study(study)
    assert states(study) == {"finished": 1}
    (cell,) = study_status(study).cells
    log = Places(tmp_path / "s", cell.cell.name).log.read_text()
    assert log.count("$ pestle finetune") == 2 and "--resume" in log


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("command", ["finetune", "qualify"])
def test_a_command_that_ends_well_without_doing_anything_is_begun_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    study = write_study(tmp_path / "s.yaml", qualify={"scope": "narrow"})
    if command == "qualify":  # an old verdict is no result of this test
        run_study(study)
        write_study(study, qualify={"scope": "broad"})
    monkeypatch.setenv("PESTLE_TOY_IDLE", command)
    for _ in range(2):  # nor does the next command begin it again
        run_study(study)
        assert states(study) == {"failed": 1}
        (cell,) = study_status(study).cells
        log = Places(tmp_path / "s", cell.cell.name).log.read_text()
        scope = " --scope broad" if command == "qualify" else ""
        begun = [line for line in log.splitlines() if line.startswith(f"$ pestle {command}")]
        assert sum(scope in line for line in begun) == 2
    assert cell.step == command and cell.last_lines[0] == "python: not found"
    assert "--retry" in cell.last_lines[-1] and sys.executable in cell.last_lines[-1]
    monkeypatch.delenv("PESTLE_TOY_IDLE")
    run_study(study, retry=True)
    assert states(study) == {"finished": 1}


def test_a_run_gone_on_with_by_hand_is_no_longer_its_cell(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml")
    run_study(study)
    (run,) = (tmp_path / "s" / "runs").iterdir()
    os.utime(run / "run.yaml")
    assert states(study) == {"finished": 1}, "a copy of a folder has other times"
    go_on = ["finetune", "--resume", "-o", str(run), "--set", "train.updates=4"]
    subprocess.run([sys.executable, "-m", "pestle", *go_on], check=True)
    assert states(study) == {"changed": 1}
    assert study_status(study).to_json()["changes"] == {run.name: ["train.updates"]}
    with pytest.raises(PestleError, match="no run of the study is finished"):
        study_tables(study)
    assert states(study) == {"changed": 1} and clean_study(study) == []
    assert run in clean_study(study, changed=True) and states(study) == {"waiting": 1}


@pytest.mark.usefixtures("toys")
def test_clean_removes_what_the_study_no_longer_holds(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml", matrix={"train.seed": [0, 1]})
    run_study(study, workers=2)
    write_study(study, matrix={"train.seed": [1]})
    would = clean_study(study, dry_run=True)
    assert len(list((tmp_path / "s" / "runs").iterdir())) == 2
    assert clean_study(study) == would
    (left,) = (tmp_path / "s" / "runs").iterdir()
    assert "seed1" in left.name and states(study) == {"finished": 1}
    (tmp_path / "s" / "study.html").touch()
    clean_study(study, everything=True)
    assert not list((tmp_path / "s").iterdir()) and study.exists()


def started(study: Path) -> subprocess.Popen[bytes]:
    """A study with two workers, in a process of its own."""
    script = Path(__file__).with_name("studies.py")
    return subprocess.Popen([sys.executable, str(script), str(study)], start_new_session=True)


def wait_for(folder: Path, *patterns: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not all(list(folder.glob(pattern)) for pattern in patterns):
        assert time.monotonic() < end, f"{patterns} do not come"
        time.sleep(0.02)


#: What is there once two workers are in the middle of their cells.
BOTH = [f"runs/*seed{seed}-*/checkpoints/last.json" for seed in (0, 1)]


def test_a_study_killed_at_any_moment_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    base = {**BASE, "train": {**BASE["train"], "updates": 60}}
    content = {"base": base, "matrix": {"train.seed": list(range(6))}}
    whole = write_study(tmp_path / "whole.yaml", **content)
    killed = write_study(tmp_path / "killed.yaml", **content)
    assert started(whole).wait(120) == 0
    moments = random.Random()
    for _ in range(3):
        process = started(killed)
        wait_for(tmp_path / "killed", "runs/*")
        time.sleep(moments.uniform(0, 1.5))
        process.kill()
        process.wait()
    assert started(killed).wait(120) == 0
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "whole")
    assert states(killed) == {"finished": 6}


def test_nothing_of_a_killed_study_goes_on_and_its_cells_are_interrupted(tmp_path: Path) -> None:
    base = {**BASE, "train": {**BASE["train"], "updates": 100_000}}
    study = write_study(tmp_path / "s.yaml", base=base, matrix={"train.seed": [0, 1, 2]})
    process = started(study)
    wait_for(tmp_path / "s", *BOTH)
    assert states(study) == {"running": 2, "waiting": 1}
    with pytest.raises(PestleError, match="another command"):
        run_study(study)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while states(study).get("running") and time.monotonic() < end:
        time.sleep(0.1)
    assert states(study) == {"interrupted": 2, "waiting": 1}


def test_sigterm_ends_commands_with_a_checkpoint(tmp_path: Path) -> None:
    base = {**BASE, "train": {**BASE["train"], "updates": 100_000}}
    study = write_study(tmp_path / "s.yaml", base=base, matrix={"train.seed": [0, 1, 2]})
    process = started(study)
    wait_for(tmp_path / "s", *BOTH)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) != 0
    records = [CellRecord.read(path) for path in (tmp_path / "s" / "cells").glob("*.json")]
    ended = [record.steps["finetune"] for record in records]
    assert [(step.status, step.code) for step in ended] == [("interrupted", 130)] * 2
    assert states(study) == {"interrupted": 2, "waiting": 1}


@pytest.mark.parametrize("engine", sorted(ENGINES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_of_engines_are_parsl_configurations(engine: Path, tmp_path: Path) -> None:
    config = config_of(engine, tmp_path)
    assert config.run_dir == str(tmp_path / "parsl") and config.retries > 0
    assert [executor.label for executor in config.executors]


@pytest.mark.parametrize(
    ("text", "words"),
    [("config = 1", "defines no `config`"), ("1 / 0", "ZeroDivisionError"), (None, "no such")],
)
def test_an_engine_that_is_none_is_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "engine.py"
    if text is not None:
        file.write_text(text)
    for dry_run in (False, True):
        with pytest.raises(PestleError, match=words):
            run_study(write_study(tmp_path / "s.yaml"), engine=str(file), dry_run=dry_run)


#: A queue whose command fails, or is not there, and what the shell says.
QUEUES = {
    "refuses": ("echo 'sbatch: error: invalid account or partition: gpu' >&2; exit 1", "partition"),
    "absent": (None, "sbatch: not found"),
}


@pytest.mark.parametrize("queue", QUEUES)
def test_a_queue_that_takes_no_job_is_named_and_the_study_is_not_done(
    tmp_path: Path, queue: str
) -> None:
    script, words = QUEUES[queue]
    (tmp_path / "bin").mkdir()
    if script is not None:
        (tmp_path / "bin" / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "sbatch").chmod(0o755)
    engine = tmp_path / "engine.py"
    engine.write_text(SLURM)
    study = write_study(tmp_path / "s.yaml", matrix={"train.seed": [0, 1]})
    done = subprocess.run(
        [sys.executable, "-m", "pestle", "study", str(study), "--engine", str(engine)],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    end = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and end.startswith("error: ") and words in end
    assert "2 of 2 cells" in end
    (log,) = tmp_path.glob("s/parsl/*/parsl.log")
    assert words in log.read_text(), "Parsl's own log says more"


#: An engine whose jobs end well although their workers never begin.
IDLE = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
class Queue(LocalProvider):
    status_polling_interval = 0.2
wrong = "echo 'module: not found' >&2; exit 0"
provider = Queue(init_blocks=1, max_blocks=3, worker_init=wrong)
executor = HighThroughputExecutor(label="queue", address="127.0.0.1", provider=provider)
config = Config(executors=[executor], retries=5, strategy_period=0.2)
"""


def test_jobs_that_end_well_without_a_worker_are_submitted_once_more(tmp_path: Path) -> None:
    engine = tmp_path / "engine.py"
    engine.write_text(IDLE)
    study = write_study(tmp_path / "s.yaml", matrix={"train.seed": [0, 1]})
    state = run_study(study, engine=str(engine))
    assert state.counts["waiting"] == 2
    (why,) = set(state.lost.values())
    assert "module: not found" in why and "worker_init" in why and "exit code 0" in why
    jobs = list((tmp_path / "s" / "parsl").glob("*/submit_scripts/*.sh"))
    # One at first; then one for each of the two cells, at once.
    assert 2 <= len(jobs) <= 3 and str(jobs[0].parent) in why
    with pytest.raises(PestleError, match=r"2 of 2 cells are not done.*worker_init"):
        require_done(state)


class Jobs:
    """An executor of Parsl with jobs whose workers have begun or not."""

    def __init__(self, *states: str, began: str) -> None:
        self.provider = self
        self.max_blocks, self.script_dir = 4, "scripts"
        self.status = {str(k): JobStatus(JobState[name]) for k, name in enumerate(states)}
        self.blocks_to_job_id = {number: f"job {number}" for number in self.status}
        self.began = began.split()
        self.cancelled: list[str] = []
        self.ended: Exception | None = None

    def connected_blocks(self) -> list[str]:
        return self.began

    def cancel(self, jobs: list[str]) -> None:
        self.cancelled = jobs

    def set_bad_state_and_fail_all(self, error: Exception) -> None:
        self.ended = error


@pytest.mark.parametrize(
    ("jobs", "most", "cancelled"),
    [
        # One may fail, also after others worked; the count begins anew with one that works.
        (Jobs("MISSING", "PENDING", began=""), 4, None),
        (Jobs("TIMEOUT", "MISSING", "PENDING", began="0"), 4, None),
        (Jobs("MISSING", "TIMEOUT", "MISSING", began="1"), 4, None),
        (Jobs("MISSING", "MISSING", "RUNNING", began="2"), 4, None),
        # Two in a row: the end, however many waited before them or worked long ago.
        (Jobs("MISSING", "FAILED", "PENDING", began=""), 4, ["job 2"]),
        (Jobs("TIMEOUT", "PENDING", "MISSING", "RUNNING", "MISSING", began="0"), 4,
         ["job 1", "job 3"]),
        # While one works the others are not submitted again.
        (Jobs("RUNNING", "MISSING", "PENDING", "MISSING", began="0"), 2, None),
        # Jobs that Parsl gave back have not failed.
        (Jobs("SCALED_IN", "SCALED_IN", "PENDING", began=""), 4, None),
    ],
)  # fmt: skip
def test_two_jobs_without_work_in_a_row_are_the_end_unless_another_works(
    jobs: Jobs, most: int, cancelled: list[str] | None
) -> None:
    IdleJobs(4)(jobs, jobs.status)  # type: ignore[arg-type]
    assert jobs.max_blocks == most and (jobs.ended is not None) == (cancelled is not None)
    assert jobs.cancelled == (cancelled or [])


@pytest.mark.slow
def test_real_runs_of_a_killed_study_end_like_undisturbed_ones(tmp_path: Path) -> None:
    base = {**BASE, "train": {"updates": 40, "gate_frames": 2, "checkpoint_seconds": 0}}
    content = {"base": base, "matrix": {"train.seed": [0, 1], "method": ["naive", "lora"]}}
    for name in ("whole", "killed"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    run_study(tmp_path / "whole.yaml", workers=2)
    command = [sys.executable, "-m", "pestle", "study", "--workers", "2", "killed.yaml"]
    for _ in range(3):
        process = subprocess.Popen(command, cwd=tmp_path)
        time.sleep(random.uniform(5, 30))
        process.kill()
        process.wait()
    subprocess.run(command, cwd=tmp_path, check=True)

    def errors(name: str) -> dict[str, object]:
        return {
            path.parent.name: json.loads(path.read_text())["errors"]
            for path in sorted((tmp_path / name / "runs").glob("*/manifest.json"))
        }

    assert len(errors("whole")) == 4
    assert errors("killed") == errors("whole")


def test_a_misspelt_command_is_named(capsys: pytest.CaptureFixture, monkeypatch) -> None:
    from pestle import cli

    monkeypatch.setattr(sys, "argv", ["pestle", "study", "statuss", "none.yaml"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "'statuss'" in said and "'status'" in said


def test_the_status_of_a_planned_study_loads_no_reader_of_structures(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s.yaml", qualify={"scope": "narrow"})
    record = plan(read_study(study)).record
    record.write(tmp_path / "s" / "plan.json")
    code = f"from pestle.study.job import study_status; print(study_status({str(study)!r}).counts)"
    code += "; import sys; print({'ase.io', 'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    counts, loaded = done.stdout.splitlines()
    assert "'waiting': 1" in counts and loaded == "set()"


def test_a_dry_run_says_that_parsl_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pestle.study.engine.has_parsl", lambda: False)
    run_study(write_study(tmp_path / "s.yaml"), dry_run=True)
    assert "Parsl" in caplog.text and "pip install" in caplog.text
