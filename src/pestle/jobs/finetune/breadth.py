"""What a run lost of the foundation's breadth, as far as it was measured, and when that is much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pestle.adaptation import Method
from pestle.metrics import ALL, FrameErrors
from pestle.protocols.declaration import REPLAY
from pestle.protocols.thresholds import Threshold, read_thresholds
from pestle.records.ending import Breadth
from pestle.wording import counted, figure, percent


@dataclass(frozen=True)
class Broad:
    """Measurements on broad structures.

    Attributes:
        drift: RMS difference between forces of the kept model and of the foundation, meV/Å; `None`
            if drift was not monitored.
        drift_structures: number of structures of which this is told.
        drift_forces: RMS of the foundation's force components there, meV/Å.
        replay: model → group → errors on the held-out replay structures; `None` without replay.
        replay_forces: RMS of the labelled force components there, meV/Å.
        own_labels: whether the foundation made the labels of the replay structures.
    """

    drift: float | None = None
    drift_structures: int = 0
    drift_forces: float | None = None
    replay: Mapping[str, Mapping[str, FrameErrors]] | None = None
    replay_forces: float | None = None
    own_labels: bool = False


def breadth_of(broad: Broad, method: Method) -> Breadth:
    """Return what a run lost of the foundation's breadth.

    A change is much, and said as a warning, where the protocol `forgetting` would have a concern:
    by its limit for errors as a multiple of the foundation's where the replay structures have
    labels of their own, and otherwise by its limit for forces that moved.

    Args:
        broad: what was measured.
        method: method of the run.
    """
    limits = read_thresholds()["forgetting"]
    moved, ratio = limits["forces_moved"], limits["forces_ratio"]
    found = Breadth(
        drift=broad.drift,
        drift_structures=broad.drift_structures or None,
        replay=_forces(broad.replay, "fine-tuned"),
        replay_foundation=None if broad.own_labels else _forces(broad.replay, "foundation"),
        replay_structures=broad.replay["fine-tuned"][ALL].n_frames if broad.replay else None,
    )
    said = []
    on = counted(found.replay_structures or 0, "held-out replay structure")
    if found.replay is not None and found.replay_foundation:
        times = found.replay / found.replay_foundation
        if ratio.level(times) != "pass":
            said.append(
                f"the force error of the replay head is {figure(times)} times the foundation's on "
                f"{on} (forgetting: {ratio.words})"
            )
    elif found.replay is not None and broad.replay_forces:
        said += _moved("the replay head", found.replay / broad.replay_forces, on, moved)
    if found.drift is not None and broad.drift_forces and not method.from_scratch:
        on = counted(broad.drift_structures, "broad structure")
        said += _moved("the model", found.drift / broad.drift_forces, on, moved)
    if not said:
        return found
    text = "; ".join(said)
    promised = "replay should have kept what the foundation knows, but " if method.replays else ""
    helps = REPLAY.with_replay if method.replays else f"{REPLAY.words} ({REPLAY.settings[0]})"
    text = f"{promised}{text}. {helps[:1].upper()}{helps[1:]}."
    return found.model_copy(update={"warning": text})


def _moved(what: str, share: float, on: str, limit: Threshold) -> list[str]:
    """Say that forces moved by a share of their size, if that is much."""
    if limit.level(share) == "pass":
        return []
    by = f"by {percent(share)} of their size on {on}"
    return [f"forces of {what} moved {by} (forgetting: {limit.words})"]


def _forces(by_model: Mapping[str, Mapping[str, FrameErrors]] | None, model: str) -> float | None:
    return None if by_model is None else by_model[model][ALL].forces_rmse
