"""Whether two models were judged on the same frames: by a hash of the frames, or by the hashes of
the files that they were read from."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pestle.metrics import ALL, FrameErrors
from pestle.records.manifest import Manifest
from pestle.reports.reading import FINE_TUNED, Results

#: Settings by which frames and labels are taken from files.
_TAKEN_BY = (
    "data.select",
    "data.energy_key",
    "data.forces_key",
    "data.stress_key",
    "data.virials_key",
    "data.subtract_dispersion",
)
#: Settings by which validation frames are held out of the training files.
_HELD_OUT_BY = ("data.valid_fraction", "data.split_seed")


@dataclass(frozen=True)
class Identity:
    """What tells the frames of a set from others.

    Attributes:
        n_frames: their number.
        frames: hash of frames and labels; empty in results of earlier versions.
        files: hash of the files they were read from, and of how; empty where the set is no split of
            the run.
    """

    n_frames: int
    frames: str = ""
    files: str = ""

    def same_as(self, other: Identity) -> bool:
        """Whether these are surely the same frames."""
        if self.n_frames != other.n_frames:
            return False
        if self.frames and other.frames:
            return self.frames == other.frames
        return bool(self.files) and self.files == other.files

    @property
    def text(self) -> str:
        """The hash that there is; empty where there is none."""
        return f"frames {self.frames}" if self.frames else f"files {self.files}" * bool(self.files)


def identity_of(results: Results, name: str, model: str) -> Identity:
    """What tells the frames of a set from others.

    Args:
        results: of the folder.
        name: of the set.
        model: that the errors are of.
    """
    judged = results.errors[name].get(model, {}).get(ALL)
    found = results.protocols.get("errors")
    return Identity(
        n_frames=judged.n_frames if judged is not None else 0,
        frames=found.frames.get(name, "") if found is not None else "",
        files=_files(results.manifest, name, judged),
    )


def _files(manifest: Manifest | None, name: str, judged: FrameErrors | None) -> str:
    """Hash of the files of a split, and of how frames were taken from them.

    A later qualification may have judged other frames under the same name: then the errors differ
    from those that the run itself found, and nothing is known.
    """
    if manifest is None or judged is None or name not in ("test", "valid"):
        return ""
    own = (manifest.errors or {}).get(name, {}).get(FINE_TUNED, {}).get(ALL)
    if own is None or not _equal(own, judged):
        return ""
    held_out = name == "valid" and manifest.data.held_out
    files = manifest.data.files.get("train" if held_out else name)
    if not files:
        return ""
    how = {setting: manifest.value(setting) for setting in _TAKEN_BY}
    if held_out:
        how |= {setting: manifest.value(setting) for setting in _HELD_OUT_BY}
        if "data.split_seed" not in manifest.settings:  # the seed of the training split them then
            how["train.seed"] = manifest.value("train.seed")
    text = json.dumps([sorted(file.sha256 for file in files), how], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _equal(one: FrameErrors, other: FrameErrors) -> bool:
    """Whether all errors agree but for rounding."""
    pairs = [(one.figures[name], other.figures[name]) for name in one.figures]
    return one.n_frames == other.n_frames and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-3))
        for a, b in pairs
    )


def common(identities: Sequence[Identity | None]) -> Identity | None:
    """The frames of several runs where all have the same; `None` where they differ or one has
    none."""
    first = identities[0] if identities else None
    if first is None or not first.text:
        return None
    return first if all(one is not None and first.same_as(one) for one in identities) else None
