"""Whether two models were judged on the same frames.

The hashes of the frames are compared or, in results of old versions, the hashes of the files.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pestle.metrics import ALL, FrameErrors
from pestle.records.manifest import Manifest
from pestle.reports.reading import FINE_TUNED, Results

#: Settings that decide which frames and labels are read from files.
_TAKEN_BY = (
    "data.select",
    "data.energy_key",
    "data.forces_key",
    "data.stress_key",
    "data.virials_key",
    "data.subtract_dispersion",
)
#: Settings that decide which frames of the training files are held out for validation.
_HELD_OUT_BY = ("data.valid_fraction", "data.split_seed")


@dataclass(frozen=True)
class Identity:
    """Identity of the frames of a set.

    Attributes:
        n_frames: number of frames.
        frames: hash of frames and labels; empty in results of old versions.
        files: hash of the files and of the settings for reading them; empty if the set is not a
            split of the run.
    """

    n_frames: int
    frames: str = ""
    files: str = ""

    def same_as(self, other: Identity) -> bool:
        """Whether two identities are certainly of the same frames."""
        if self.n_frames != other.n_frames:
            return False
        if self.frames and other.frames:
            return self.frames == other.frames
        return bool(self.files) and self.files == other.files

    @property
    def text(self) -> str:
        """The known hash; empty if there is none."""
        return f"frames {self.frames}" if self.frames else f"files {self.files}" * bool(self.files)


def identity_of(results: Results, name: str, model: str) -> Identity:
    """Return the identity of the frames of a set.

    Args:
        results: results of the folder.
        name: name of the set.
        model: name of the model that was judged on it.
    """
    judged = results.errors[name].get(model, {}).get(ALL)
    found = results.protocols.get("errors")
    return Identity(
        n_frames=judged.n_frames if judged is not None else 0,
        frames=found.frames.get(name, "") if found is not None else "",
        files=_files(results.manifest, name, judged),
    )


def _files(manifest: Manifest | None, name: str, judged: FrameErrors | None) -> str:
    """Return the hash of the files of a split and of the settings for reading them.

    A later qualification may have judged other frames under the same name. The errors then differ
    from those of the run itself, and the hash is empty, as it is for unknown files.
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
        if (
            "data.split_seed" not in manifest.settings
        ):  # the frames were then split with the seed of the training
            how["train.seed"] = manifest.value("train.seed")
    text = json.dumps([sorted(file.sha256 for file in files), how], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _equal(one: FrameErrors, other: FrameErrors) -> bool:
    """Whether two models have the same errors, except for rounding."""
    pairs = [(one.figures[name], other.figures[name]) for name in one.figures]
    return one.n_frames == other.n_frames and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, rel_tol=1e-3))
        for a, b in pairs
    )


def common(identities: Sequence[Identity | None]) -> Identity | None:
    """Return the common identity of several sets; `None` if they differ or one is unknown.

    Args:
        identities: identity of the frames of each run.
    """
    first = identities[0] if identities else None
    if first is None or not first.text:
        return None
    return first if all(one is not None and first.same_as(one) for one in identities) else None
