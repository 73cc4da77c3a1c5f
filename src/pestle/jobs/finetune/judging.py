"""Errors of foundation and best model on every set of a finished run, by the protocol `errors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pestle.foundations.interface import REPLAY_HEAD, TARGET_HEAD, Foundation
from pestle.jobs.finetune.preparation import Prepared
from pestle.jobs.potentials import Contenders
from pestle.jobs.protocol_run import measured, write_results
from pestle.metrics import ALL
from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.base import Inputs
from pestle.protocols.errors.numbers import ErrorsNumbers
from pestle.protocols.errors.offset import energy_rmse_without, offset_by_element
from pestle.protocols.errors.protocol import PROTOCOL
from pestle.protocols.potential import ModelPotential
from pestle.protocols.predictions import read_predictions
from pestle.protocols.raw import RawFolder
from pestle.records.folder import RunFolder
from pestle.records.manifest import SetsOfErrors
from pestle.records.old_sets import is_old
from pestle.records.results import Measured
from pestle.records.set_errors import SetErrors
from pestle.settings.probe import ErrorSettings
from pestle.structures.frame import Frame, elements_of, is_labelled, thinned

#: Number of training frames that are evaluated at the end; more would not change the errors much.
MAX_TRAIN_EVALUATED = 500
#: Names of the judged model and of its foundation in every report.
FINE_TUNED, FOUNDATION = "fine-tuned", "foundation"


@dataclass(frozen=True)
class Judged:
    """The errors by which a run is judged.

    Attributes:
        errors: set → model → group → errors (meV/atom, meV/Å, meV/Å³); the set `replay` is for the
            replay heads.
        sets: errors on all frames of each set of the target head, beside those of the foundation
            without its constant energy offset.
        replay_forces: RMS of the labelled force components of the replay set, meV/Å; `None`
            without it.
    """

    errors: SetsOfErrors
    sets: tuple[SetErrors, ...]
    replay_forces: float | None = None


def judge(prepared: Prepared, best: Foundation, folder: RunFolder) -> Judged:
    """Calculate the errors of the foundation (with the run's E0s) and of the best model on every
    set.

    They are written to the folder of the protocol `errors`. If a run was stopped here, the resumed
    run reuses its raw results.

    Args:
        prepared: the run.
        best: the model that the run kept, on the device of the run.
        folder: folder of the run.

    Returns:
        The errors on every set.
    """
    train = thinned(prepared.splits.train, MAX_TRAIN_EVALUATED, prepared.settings.train.seed)
    sets = {**prepared.data.judged, "train": train}
    max_edges = prepared.settings.train.eval_batch_edges
    out = folder.protocol(PROTOCOL.name)

    if prepared.data.continued is None or prepared.parent is None:
        before = "foundation (with the E0s of this run)"
    else:
        before = f"before (the model of {prepared.parent.name})"
    target = Contenders(
        ModelPotential(FINE_TUNED, best, TARGET_HEAD, max_edges=max_edges),
        ModelPotential(FOUNDATION, prepared.start, TARGET_HEAD, max_edges=max_edges),
        labels={FOUNDATION: before, FINE_TUNED: FINE_TUNED},
    )
    found, raws = _measured(target, sets, prepared, out)
    of_replay = None
    if prepared.replay is not None:
        # The replay head is compared with the unchanged foundation: both have the same E0s.
        head = prepared.foundation_head
        replay = Contenders(
            ModelPotential(FINE_TUNED, best, REPLAY_HEAD, max_edges=max_edges),
            ModelPotential(FOUNDATION, prepared.foundation, head, max_edges=max_edges),
        )
        held = {"replay": prepared.replay.valid}
        of_replay = _measured(replay, held, prepared, out / "replay")[0].numbers
    held_out = [name for name in prepared.data.judged if name in found.numbers.sets]
    numbers = found.numbers.judged_on(held_out, of_replay)
    write_results(PROTOCOL, replace(found, numbers=numbers), raws, out)
    sizes = numbers.forces_rms.get("replay", {})
    return Judged(numbers.sets, _of_sets(found.numbers, raws, sets), sizes.get(ALL))


def _of_sets(
    numbers: ErrorsNumbers,
    raws: Mapping[str, RawFolder],
    sets: Mapping[str, Sequence[Frame]],
) -> tuple[SetErrors, ...]:
    """Compare the kept model with the foundation on each set.

    The foundation's energy offset on the training frames is subtracted from its errors, except on
    the sets of continued runs: the foundation has learned the offset there.
    """
    there = {name: frames for name, frames in sets.items() if name in numbers.sets}
    said, start = {}, 0
    everything = read_predictions(raws[FOUNDATION], [f for part in there.values() for f in part])
    for name, frames in there.items():
        said[name] = everything[start : start + len(frames)]
        start += len(frames)
    offset = offset_by_element(there["train"], said["train"]) if "train" in there else {}
    found = []
    for name, frames in there.items():
        own = numbers.sets[name][FINE_TUNED][ALL]
        base = numbers.sets[name][FOUNDATION][ALL]
        # The foundation has no error on labels that it made itself, so every other model is worse.
        compared = not labels_are_its_own(base, numbers.forces_rms[name][ALL])
        lost = numbers.not_finite[name].get(FINE_TUNED)
        found.append(
            SetErrors(
                name=name,
                energy=numbers.energy_rmse[name][FINE_TUNED],
                forces=own.forces_rmse,
                stress=own.stress_rmse,
                foundation_energy=energy_rmse_without(
                    {} if is_old(name) else offset, frames, said[name]
                )
                if compared
                else None,
                foundation_energy_with_offset=numbers.energy_rmse[name][FOUNDATION]
                if compared
                else None,
                foundation_forces=base.forces_rmse if compared else None,
                foundation_stress=base.stress_rmse if compared else None,
                n_frames=len(frames),
                lost=lost.count if lost else 0,
            )
        )
    return tuple(found)


def _measured(
    loaded: Contenders, sets: Mapping[str, Sequence[Frame]], prepared: Prepared, folder: Path
) -> tuple[Measured[ErrorsNumbers], dict[str, RawFolder]]:
    """Run the protocol `errors` on all sets with labels."""
    there = {name: frames for name, frames in sets.items() if any(map(is_labelled, frames))}
    elements = elements_of(frame for frames in there.values() for frame in frames)
    settings = prepared.settings.train
    inputs = Inputs(elements, there, settings.seed, FINE_TUNED, FOUNDATION)
    return measured(PROTOCOL, loaded, inputs, ErrorSettings(), folder, settings.dtype)
