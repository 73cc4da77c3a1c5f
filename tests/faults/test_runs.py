"""A run that is killed, finds no room or is damaged goes on to the same model, or says why not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from injection import (
    MOMENTS,
    Faults,
    damage,
    full,
    go_on,
    killed,
    outcome,
    quick_ends,
    settings_of,
    write_data,
    writes_of,
)

import pestle
from pestle.checksums import SUMS, require_sum
from pestle.errors import PestleError
from pestle.files import Damaged, DiskFull, read_json
from pestle.jobs.finetune.resuming import resume_settings
from pestle.jobs.protocol_run import RESULTS
from pestle.jobs.report import report
from pestle.structures.frame import Frame


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quick_ends(patch)
        yield


class Whole:
    """A run that nothing happened to: its folder, its outcome, the files that it wrote in order."""

    def __init__(self, folder: Path) -> None:
        self.asked, self.out = settings_of(folder), folder / "whole"
        self.writes = [
            # What a model exported is remembered in the cache.
            path.relative_to(self.out) if self.out in path.parents else path
            for path in writes_of(lambda: pestle.finetune(self.asked, self.out))
        ]
        self.outcome = outcome(self.out)

    def number_of(self, name: str, which: int = 0) -> int:
        """Number of the write of a file, from 1."""
        return [k for k, path in enumerate(self.writes, 1) if str(path).endswith(name)][which]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, demo_train: list[Frame]) -> Whole:
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder, demo_train)
    return Whole(folder)


def kill_and_go_on(whole: Whole, out: Path, at: int, moment: str) -> bool:
    """Whether the run got as far as that write; if so, it must go on to the same end."""
    if not killed(lambda: pestle.finetune(whole.asked, out), at, moment):
        return False
    go_on(out, whole.asked)
    assert outcome(out) == whole.outcome, (at, moment)
    return True


@pytest.mark.parametrize(
    ("name", "which", "moment"),
    [
        ("architecture.json", 1, "half"),  # new weights with the architecture file of old ones
        pytest.param("last.pt", 2, "whole", marks=pytest.mark.slow),
        ("metrics.jsonl", 2, "half"),
    ],
)
def test_a_killed_run_goes_on_to_the_same_model(
    whole: Whole, tmp_path: Path, name: str, which: int, moment: str
) -> None:
    assert kill_and_go_on(whole, tmp_path / "run", whole.number_of(name, which), moment)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_write_goes_on_to_the_same_model(
    whole: Whole, tmp_path: Path, moment: str
) -> None:
    for at in range(1, len(whole.writes) + 1):
        assert kill_and_go_on(whole, tmp_path / str(at), at, moment)


@pytest.mark.slow
def test_a_resumed_run_killed_at_any_write_goes_on(whole: Whole, tmp_path: Path) -> None:
    """Twice in a row: the second kill meets what the first one left."""
    first = whole.number_of("last.pt", 1)
    for at in range(1, len(whole.writes)):
        out = tmp_path / str(at)
        assert killed(lambda out=out: pestle.finetune(whole.asked, out), first, "named")
        killed(lambda out=out: go_on(out, whole.asked), at, MOMENTS[at % 3])
        go_on(out, whole.asked)
        assert outcome(out) == whole.outcome, at


def fill_and_go_on(whole: Whole, out: Path, at: int) -> None:
    with Faults(at, full).planted() as found, pytest.raises(DiskFull) as caught:
        pestle.finetune(whole.asked, out)
    error = caught.value
    assert str(found.paths[at - 1]) in error.line and " MB are free" in error.line
    assert error.exit_code == 1 and "\n" not in error.line
    if (out / "run.yaml").exists():
        assert f"pestle finetune --resume -o {out}" in error.line
    go_on(out, whole.asked)
    assert outcome(out) == whole.outcome, at


def test_a_full_disk_is_one_line_and_the_run_goes_on(whole: Whole, tmp_path: Path) -> None:
    fill_and_go_on(whole, tmp_path / "run", whole.number_of("last.pt", 1))


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write_is_one_line(whole: Whole, tmp_path: Path) -> None:
    for at in range(1, len(whole.writes) + 1):
        fill_and_go_on(whole, tmp_path / str(at), at)


def copy(whole: Whole, folder: Path) -> Path:
    return Path(shutil.copytree(whole.out, folder / "run"))


def test_a_damaged_folder_is_mended_to_the_last_bit(
    whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Everything at once that can be made again: the newest checkpoint, the history, the manifest,
    raw results and their keys."""
    out = copy(whole, tmp_path)
    damage(out / "checkpoints" / "last.pt", "flipped")
    damage(out / "metrics.jsonl", "cut")
    damage(out / "manifest.json", "cut")
    for name in ("key.json", "done.json", "predictions-00000.npz"):
        damage(next(out.glob(f"protocols/errors/raw/fine-tuned/*/{name}")), "flipped")
    results = out / "protocols" / "errors"
    for name in ("metrics.json", "charts.json"):
        damage(results / name, "flipped")
    with pytest.raises(Damaged):
        require_sum(results / "charts.json", results / SUMS)
    text = (out / "model" / "card.json").read_text()
    (out / "model" / "card.json").write_text(text.replace("0", "1"))
    pestle.load(out)
    assert re.search(r"card\.json: .*damaged", " ".join(capsys.readouterr().err.split()))
    go_on(out, whole.asked)
    assert outcome(out) == whole.outcome
    for name in RESULTS:
        require_sum(results / name, results / SUMS)
    read_json(out / "model" / "card.json")
    said = " ".join(capsys.readouterr().err.split())
    assert "last.pt: is damaged" in said and "previous.pt" in said
    assert "manifest.json: is damaged" in said
    assert re.search(r"predictions-00000\.npz .*damaged", said)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["checkpoints/last.pt", "checkpoints/previous.pt"], "no other checkpoint"),
        # By where the bit lies, it is no YAML any more or another setting.
        (["run.yaml"], r"run\.yaml: .*(damaged or was changed|YAML)"),
    ],
)
def test_what_cannot_be_made_again_is_said(
    whole: Whole, tmp_path: Path, names: list[str], expected: str
) -> None:
    out = copy(whole, tmp_path)
    for name in names:
        damage(out / name, "flipped")
    with pytest.raises(PestleError, match=expected):
        go_on(out, whole.asked)


def harmed(whole: Whole, out: Path, paths: list[Path], how: str) -> None:
    """After any damage a run goes on to the same end, or one line says why not; the model is the
    same or refused; and a report can be written."""
    for path in paths:
        damage(path, how)
    try:
        report(out)
    except PestleError as error:
        assert "\n" not in error.line
    try:
        weights = pestle.load(out).fingerprint()
    except PestleError as error:
        assert "\n" not in error.line
    else:
        assert weights == pestle.load(whole.out).fingerprint(), paths
    try:
        go_on(out, whole.asked)
    except PestleError as error:
        assert "\n" not in error.line
    else:
        assert outcome(out) == whole.outcome, paths


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_any_file_may_be_damaged(whole: Whole, tmp_path: Path, how: str) -> None:
    names = [p.relative_to(whole.out) for p in sorted(whole.out.rglob("*")) if p.is_file()]
    for k, name in enumerate(names):
        out = Path(shutil.copytree(whole.out, tmp_path / str(k)))
        harmed(whole, out, [out / name], how)


@pytest.mark.slow
def test_any_two_neighbours_may_be_damaged(whole: Whole, tmp_path: Path) -> None:
    names = [p.relative_to(whole.out) for p in sorted(whole.out.rglob("*")) if p.is_file()]
    for k, pair in enumerate(pairwise(names)):
        out = Path(shutil.copytree(whole.out, tmp_path / str(k)))
        harmed(whole, out, [out / name for name in pair], "flipped")


@pytest.mark.slow
def test_a_checkpoint_cut_anywhere_falls_back(whole: Whole, tmp_path: Path) -> None:
    content = (whole.out / "checkpoints" / "last.pt").read_bytes()
    for tenth in range(10):
        out = Path(shutil.copytree(whole.out, tmp_path / str(tenth)))
        (out / "checkpoints" / "last.pt").write_bytes(content[: len(content) * tenth // 10])
        go_on(out, whole.asked)
        assert outcome(out) == whole.outcome, tenth


def test_a_folder_removed_during_a_run_is_an_error(whole: Whole, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def remove(now: str, path: Path) -> None:
        if now == "named":
            shutil.rmtree(out)

    with (
        Faults(whole.number_of("last.pt", 1), remove).planted(),
        pytest.raises(PestleError, match="was removed or replaced") as caught,
    ):
        pestle.finetune(whole.asked, out)
    assert caught.value.exit_code == 1 and not out.exists()


def test_a_second_run_in_the_same_folder_is_refused(whole: Whole, tmp_path: Path) -> None:
    """While the first is at its first write, and again on --resume; the first ends as it would."""
    out, refused = tmp_path / "run", []

    def second(now: str, path: Path) -> None:
        for resume in (False, True):
            with pytest.raises(PestleError) as caught:
                pestle.finetune(whole.asked, out, resume=resume)
            refused.append(caught.value.line)

    with Faults(whole.number_of("last.pt"), second).planted():
        pestle.finetune(whole.asked, out)
    assert len(refused) == 6 and all("holds a run already" in line for line in refused[::2])
    assert all("another command" in line for line in refused[1::2])
    assert outcome(out) == whole.outcome


def test_settings_that_were_changed_by_hand_need_a_word(whole: Whole, tmp_path: Path) -> None:
    out = copy(whole, tmp_path)
    text = (out / "run.yaml").read_text()
    (out / "run.yaml").write_text(text.replace("updates: ", "updates: 1", 1))
    with pytest.raises(PestleError, match="remove its last line"):
        resume_settings(out, {})
    lines = text.splitlines(keepends=True)
    (out / "run.yaml").write_text("".join(lines[:-1]))
    assert resume_settings(out, {}) == resume_settings(whole.out, {})
