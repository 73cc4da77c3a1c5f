"""What a verdict advises: commands that can be typed as they stand."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_next import next_step
from pestle.jobs.qualify_request import Request
from pestle.records.manifest import Manifest
from pestle.records.verdict import CountedFinding, NotTested, TestedProtocol, Verdict
from pestle.settings.run_file import from_names

OLD = Path(__file__).parent / "old_runs" / "naive"


def found(*levels: tuple[str, str], counts: bool = True) -> tuple[CountedFinding, ...]:
    return tuple(
        CountedFinding(name, level, "figure", 1.0, "", "", "It says so.", counts)  # type: ignore[arg-type]
        for name, level in levels
    )


def verdict(**entries: object) -> Verdict:
    plain = {"verdict": "pass", "sentence": "", "scope": "broad", "candidate": "mine"}
    return Verdict.model_validate(plain | entries)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OfRun:
    """A run whose folder and data have blanks in their names, seen from the folder above."""
    monkeypatch.chdir(tmp_path)
    settings = from_names(
        {
            "foundation": "pestle-seed0",
            "method": "naive",
            "data.train": [str(tmp_path / "my data" / "train.xyz")],
            "data.energy_key": "E0",
        }
    )
    manifest = Manifest.read(OLD / "manifest.json")
    return OfRun(Path("my runs/one"), settings, manifest.with_entries(ending=None), {}, [])


ASKED = Request("my runs/one", scope="broad")


def test_a_failure_names_a_run_that_would_mend_it(run: OfRun) -> None:
    words = shlex.split(next_step(verdict(findings=found(("rss", "fail"))), ASKED, run))
    assert words[:4] == ["pestle", "finetune", "-f", "pestle-seed0"]
    assert words[words.index("--data") + 1] == "my data/train.xyz", "relative, and quoted"
    assert words[words.index("--energy-key") + 1] == "E0"
    assert words[words.index("--set") + 1] == "method=pseudolabel"
    assert words[words.index("-o") + 1] == "my runs/one-next"


def test_a_run_with_replay_is_not_advised_to_replay(run: OfRun) -> None:
    again = replace(run, settings=from_names({"method": "pseudolabel"}))
    said = next_step(verdict(findings=found(("rss", "fail"))), ASKED, again)
    assert "replay.count" in said and "pestle finetune" not in said


def test_trouble_of_the_run_comes_first(run: OfRun) -> None:
    manifest = Manifest.read(OLD / "manifest.json")
    assert manifest.ending is not None and manifest.ending.trouble is not None
    said = next_step(
        verdict(findings=found(("rss", "fail"))), ASKED, replace(run, manifest=manifest)
    )
    assert said == manifest.ending.next(run.folder)


def test_what_is_missing_then_what_was_quick_then_the_use(run: OfRun) -> None:
    missing = (NotTested("md", True, "there is no structure", "--structures FILES"),)
    quick = {"md": TestedProtocol(level="pass", needed=True, full_extent="more")}
    bad = found(("md", "concern"))
    command = "pestle qualify 'my runs/one' --scope broad"
    assert next_step(verdict(not_tested=missing, protocols=quick), ASKED, run).startswith(
        f"{command} --structures FILES "
    )
    assert next_step(verdict(protocols=quick, findings=bad), ASKED, run).startswith(
        f"{command} --full "
    )
    typed = "pestle qualify 'my runs/one' --path 'a b.xyz'"
    again = next_step(verdict(protocols=quick), replace(ASKED, command=typed), run)
    assert again.startswith(f"{typed} --full ")
    assert "near the failures" in next_step(verdict(findings=bad), ASKED, run)
    done = next_step(verdict(findings=found(("rss", "fail"), counts=False)), ASKED, run)
    assert done.startswith("pestle export 'my runs/one' --to ase ")
