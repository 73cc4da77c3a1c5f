"""Random edits of extended XYZ: the reader gives finite shapes or one line, and never hangs.

The long part: `PESTLE_XYZ_MINUTES=5 pytest --run-slow tests/faults/test_xyz_edits.py`.
"""

from __future__ import annotations

import os
import random
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pestle.errors import PestleError
from pestle.structures.reading import read_frames

SAMPLE = """3
Lattice="5.0 0.0 0.0 0.0 5.0 0.0 0.0 0.0 5.0" Properties=species:S:1:pos:R:3:REF_forces:R:3 \
REF_energy=-12.5 REF_stress="0.1 0.2 0.3 0.0 0.0 0.0" config_type=a config_weight=2.0 pbc="T T T"
O 0.0 0.0 0.0 0.1 0.2 0.3
H 0.9 0.0 0.0 0.0 0.0 0.0
H 0.0 0.9 0.0 -0.1 -0.2 -0.3
1
Properties=species:S:1:pos:R:3 REF_energy=-1.0 config_type=IsolatedAtom total_charge=0 pbc="F F F"
H 0.0 0.0 0.0
"""
#: What is put in, besides single characters: each has broken a reader somewhere.
PIECES = [
    "99999999999999", "-1", "0", "1e9", "nan", "inf", "-inf", "1e400", "1.0D-03", "999999999", ":",
    "=", '"', "'", "{", "}", "[", "]", "\\", "\n", "\r\n", "\0", "\t", "\x85", "é", "𝔘",
    "Properties=", "species:S:1:pos:R:3:REF_forces:R:999999999", "pos:R:0", "pos:R:-3",
    'Lattice="', "pbc=", "REF_energy=", "REF_forces=", "config_weight=-1", "T", "F", "Xx", "#",
    "_JSON [[[", "VEC1 1 0 0", "@0:2",
]  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "insert", "replace", "repeat", "delete line"]),
        st.integers(0, len(SAMPLE)),
        st.integers(1, 30),
        st.one_of(st.sampled_from(PIECES), st.text(max_size=3)),
    ),
    min_size=1,
    max_size=4,
)
Edit = tuple[str, int, int, str]


def edited(edits: list[Edit]) -> str:
    text = SAMPLE
    for kind, place, length, piece in edits:
        place = min(place, len(text))
        if kind == "cut":
            text = text[:place]
        elif kind == "insert":
            text = text[:place] + piece + text[place:]
        elif kind == "replace":
            text = text[:place] + piece + text[place + length :]
        elif kind == "repeat":
            text = text[:place] + 2 * text[place : place + length] + text[place + length :]
        else:
            end = text.find("\n", place)
            text = text[:place] + (text[end:] if end >= 0 else "")
    return text


def read_edited(path: Path, edits: list[Edit]) -> bool:
    """Whether the file is refused; what is read has the shapes of its atoms."""
    path.write_text(edited(edits), encoding="utf-8", errors="surrogatepass", newline="")
    started = time.process_time()
    try:
        frames = read_frames([str(path)]).frames
    except PestleError as error:
        assert "\n" not in error.line and str(path) in error.line
        return True
    finally:
        assert time.process_time() - started < 5
    for frame in frames:
        assert frame.atoms.positions.shape == (len(frame), 3)
        assert frame.forces is None or frame.forces.shape == (len(frame), 3)
        assert frame.stress is None or frame.stress.shape == (3, 3)
        assert frame.weight >= 0 and isinstance(frame.energy, float | None)
        assert np.asarray(frame.numbers).dtype.kind in "iu"
    return False


@pytest.fixture
def _little_memory() -> None:
    """A reader that believes a number takes gigabytes; here it fails in place of the machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.usefixtures("_little_memory")
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=EDITS)
def test_an_edited_file_is_read_or_refused(tmp_path: Path, edits: list[Edit]) -> None:
    read_edited(tmp_path / "edited.xyz", edits)


@pytest.mark.slow
@pytest.mark.usefixtures("_little_memory")
def test_many_edited_files_are_read_or_refused(tmp_path: Path) -> None:
    """With the same edits, drawn at random: faster than hypothesis, which shrinks what it finds."""
    seed = int(os.environ.get("PESTLE_XYZ_SEED", "0"))
    rng = random.Random(seed)
    kinds = ["cut", "insert", "replace", "repeat", "delete line"]
    weights = [1, 5, 5, 2, 2]
    tried = refused = 0
    end = time.monotonic() + 60 * float(os.environ.get("PESTLE_XYZ_MINUTES", "1"))
    while time.monotonic() < end:
        edits = [
            (
                rng.choices(kinds, weights)[0],
                rng.randrange(len(SAMPLE) + 1),
                rng.randint(1, 30),
                rng.choice(PIECES) if rng.random() < 0.7 else chr(rng.randrange(0xD800)),
            )
            for _ in range(rng.randint(1, 4))
        ]
        try:
            refused += read_edited(tmp_path / "edited.xyz", edits)
        except BaseException:
            print(f"seed {seed}, edits {edits!r}")
            raise
        tried += 1
    print(f"{tried:,} files, {refused:,} refused, the others read")
    assert 0 < refused < tried
