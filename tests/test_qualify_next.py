"""What a verdict advises: commands that can be typed as they stand."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from ase import Atoms

from pestle.jobs.qualify_inputs import OfRun
from pestle.jobs.qualify_next import next_step
from pestle.jobs.qualify_request import Request
from pestle.protocols.atoms.protocol import AtomsNumbers, PotentialNumbers, assess
from pestle.protocols.thresholds import read_thresholds
from pestle.records.manifest import Manifest
from pestle.records.results import About, Measured
from pestle.records.verdict import CountedFinding, NotTested, TestedProtocol, Verdict
from pestle.settings.run_file import from_names
from pestle.structures.frame import Frame

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


@pytest.mark.parametrize(
    ("isolated", "repeats", "advised"),
    [
        (False, 0, ("e0s=isolated", "train on the isolated atoms")),
        (True, 0, ("train on the isolated atoms",)),
        (True, 10, ("more often than 10 times",)),
    ],
)
def test_advice_on_atoms_fits_what_the_run_did(
    run: OfRun, isolated: bool, repeats: int, advised: tuple[str, ...]
) -> None:
    e0s = run.manifest.reference_energies.model_copy(update={"e0s": {"H": -13.6}})
    energy = -13.6 if isolated else -12.6
    atom = Frame(Atoms("H"), energy=energy, config_type="IsolatedAtom")
    settings = from_names({"method": "naive", "data.isolated_atom_repeats": repeats})
    manifest = run.manifest.with_entries(reference_energies=e0s)
    made = replace(run, settings=settings, manifest=manifest, isolated=[atom])
    said = next_step(verdict(findings=found(("atoms", "fail"))), ASKED, made)
    assert all(text in said for text in advised) and ("e0s" in said) == (not isolated)
    number = PotentialNumbers(energies={"H": 1.0}, errors={"H": 1.0}, rmse=1e3, flags=[])
    about = About(
        protocol="atoms",
        question="",
        settings={},
        models=("mine",),
        candidate="mine",
        baseline=None,
        labels={},
        elements=("H",),
    )
    numbers = AtomsNumbers(references={"H": energy}, potentials={"mine": number})
    limits = read_thresholds(None)["atoms"]
    (finding,) = assess(Measured(about, numbers, making=made.making), limits)
    assert said in finding.sentence


def test_a_test_that_was_left_out_is_named_once(run: OfRun) -> None:
    left = (NotTested("md", True, "it was left out", "leave out --without md"),)
    asked = replace(ASKED, leave_out=["md", "rss"])
    typed = "pestle qualify 'my runs/one' --scope broad --without rss"
    assert next_step(verdict(not_tested=left), asked, run) == f"{typed}   # it was left out"
    command = "pestle qualify 'my runs/one' --without md --scope broad --without rss"
    asked = replace(asked, command=command)
    assert next_step(verdict(not_tested=left), asked, run) == f"{typed}   # it was left out"
