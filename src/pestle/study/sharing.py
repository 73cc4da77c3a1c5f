"""What cells share, so that it is calculated once: pseudolabels and tests of foundations.

Both are content that says what it is of: a label names model and structure, raw results of a test
lie in a folder named after a hash of everything they depend on. So a cell is handed what may be of
use, and its commands take of it what is theirs and calculate the rest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pestle.files import write_text
from pestle.locks import InUse, locked_file

#: Letters of a key in the name of what is shared.
KEY_LENGTH = 16


def labels_out(study: Path, key: str) -> Path:
    """Run folder of the dry run that makes shared pseudolabels; it is never made itself."""
    return study / "shared" / f"labels-{key[:KEY_LENGTH]}"


def labels_of(out: Path) -> Path:
    """Where a run keeps pseudolabels before its first update (`labels.resumable.labels_of_run`)."""
    return out.with_name(f"{out.name}.labels.partial")


def hand_labels(study: Path, key: str, run: Path) -> None:
    """Give a run that has not begun the pseudolabels of its group."""
    shared, own = labels_of(labels_out(study, key)), labels_of(run)
    if key and shared.is_file() and not own.exists() and not (run / "run.yaml").exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        temporary = own.with_name(f".{own.name}.{os.getpid()}.part")
        shutil.copyfile(shared, temporary)
        temporary.replace(own)


def _finished(protocols: Path) -> Iterator[Path]:
    """Folders of raw results below a folder of protocols that are complete."""
    return (done.parent for done in protocols.glob("*/raw/*/*/done.json"))


def baseline_of(study: Path, key: str) -> Path:
    """Folder of what tests of a group of cells ask of their foundation."""
    return study / "shared" / f"baseline-{key[:KEY_LENGTH]}"


def _baseline_end(study: Path, key: str) -> Path:
    """A file that says that a cell of the group has been tested."""
    home = baseline_of(study, key)
    return home.with_name(f"{home.name}.done")


@contextmanager
def may_test(study: Path, key: str, *, wait: bool) -> Iterator[bool]:
    """Whether a cell may be tested now: one cell of a group is tested alone until its end, and
    calculates what all ask of the foundation; the others then find that done.

    Args:
        study: folder of the study.
        key: of the group; empty for none.
        wait: wait for the cell that is tested now.
    """
    end = _baseline_end(study, key)
    with ExitStack() as held:
        if key and not end.exists():
            try:
                waiting = "tests the same foundation" if wait else ""
                held.enter_context(locked_file(end, waiting=waiting))
            except InUse:
                yield False
                return
            if end.exists():
                held.close()
        yield True


def end_baseline(study: Path, key: str) -> None:
    """Let the cells of a group be tested side by side: one has been."""
    end = _baseline_end(study, key)
    if key and not end.exists():
        write_text(end, "")


def hand_baseline(study: Path, key: str, run: Path) -> None:
    """Give a run the raw results of its foundation that another cell has calculated."""
    home = baseline_of(study, key)
    for found in _finished(home):
        _link(found, run / "protocols" / found.relative_to(home))


def keep_baseline(study: Path, key: str, run: Path) -> None:
    """Keep the raw results of the foundation that a cell has calculated."""
    home = baseline_of(study, key)
    for found in _finished(run / "protocols"):
        potential = found.parent.name
        # The run's own model is called as its folder, also by its replay head.
        if potential.startswith((run.name, "fine-tuned")):
            continue
        _link(found, home / found.relative_to(run / "protocols"))


def _link(source: Path, target: Path) -> None:
    """The same files in another folder, whole or not at all. Files are never changed in place, so
    that links are enough; where there are none, copies."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
    try:
        for file in source.iterdir():
            if file.is_file() and not file.name.startswith("."):
                try:
                    os.link(file, temporary / file.name)
                except OSError:
                    shutil.copy2(file, temporary / file.name)
        temporary.chmod(0o755)
        with suppress(OSError):  # another cell was faster
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
