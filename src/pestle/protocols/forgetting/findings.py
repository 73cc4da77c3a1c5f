"""Findings on the errors and deviations on the pretraining distribution."""

from __future__ import annotations

from collections.abc import Mapping

from pestle.metrics import ALL
from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.forgetting.numbers import (
    ForgettingNumbers,
    GroupErrors,
    Moved,
    PotentialNumbers,
)
from pestle.protocols.predictions import NotFinite
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import Finding, Level, limited
from pestle.wording import counted, figure, percent


def assess(
    measured: Measured[ForgettingNumbers], thresholds: Mapping[str, Threshold]
) -> list[Finding]:
    """Judge the candidate with one finding.

    With labels, the figure is the candidate's error divided by the foundation's error. Without
    labels, it is the deviation from the foundation. With labels but without a foundation, there is
    no finding.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    numbers, about = measured.numbers, measured.about
    own = numbers.potentials[about.candidate]
    if own.not_finite is not None:
        return [_not_finite(own.not_finite, numbers.n_frames, thresholds["forces_moved"])]
    base = numbers.potentials.get(about.baseline or "")
    if base is None:
        return []
    head = numbers.potentials.get(f"{about.candidate}, replay head")
    if base.against_labels is not None and not labels_are_its_own(
        base.against_labels[ALL], numbers.forces_rms[ALL]
    ):
        return _against_labels(numbers, own, base, head, thresholds["forces_ratio"])
    # There is a foundation, and the candidate is another potential.
    assert own.moved is not None and own.against_foundation is not None
    moved, groups = own.moved, own.against_foundation
    return [_moved(numbers, own, moved, groups, head, thresholds["forces_moved"])]


def _not_finite(lost: NotFinite, frames: int, limit: Threshold) -> Finding:
    text = (
        "On the pretraining distribution the model is not finite on "
        f"{counted(lost.count, 'structure')} of {frames}, the first is {lost.first}: it "
        "cannot be used beyond its data. Replay (method pseudolabel) would keep it finite there."
    )
    quantity = "forces on the pretraining distribution"
    return Finding("forgetting", "fail", quantity, None, limit.unit, limit.words, text)


def _against_labels(
    numbers: ForgettingNumbers,
    own: PotentialNumbers,
    base: PotentialNumbers,
    head: PotentialNumbers | None,
    limit: Threshold,
) -> list[Finding]:
    """Judge the forces; if they have no labels, judge the energies."""
    assert own.against_labels is not None and base.against_labels is not None
    mine, before = own.against_labels[ALL], base.against_labels[ALL]
    of_head = head.against_labels[ALL] if head and head.against_labels else None
    beside = []
    if mine.forces_rmse is not None:
        what, unit, error, old = "force", "meV/Å", mine.forces_rmse, before.forces_rmse
        again = of_head.forces_rmse if of_head else None
        if own.median is not None and base.median is not None:
            beside.append(
                f"median structure {figure(own.median)} against {figure(base.median)} meV/Å"
            )
        if mine.energy_rmse is not None and before.energy_rmse:
            beside.append(
                f"energies {figure(mine.energy_rmse)} against {figure(before.energy_rmse)} meV/atom"
            )
    elif mine.energy_rmse is not None:
        what, unit, error, old = "energy", "meV/atom", mine.energy_rmse, before.energy_rmse
        again = of_head.energy_rmse if of_head else None
    else:
        return []
    if not old:
        return []
    ratio = error / old
    level = limit.level(ratio)
    text = (
        f"On {counted(numbers.n_frames, 'labelled structure')} of the pretraining distribution "
        f"the {what} error is {figure(error)} {unit}, {figure(ratio)} times the foundation's "
        f"{figure(old)}"
    )
    text += f" ({'; '.join(beside)})" if beside else ""
    text += "." + _advice(level, head is not None, again, unit)
    quantity = f"{what} error on the pretraining distribution"
    return [Finding("forgetting", level, quantity, ratio, limit.unit, limit.words, text)]


def _moved(
    numbers: ForgettingNumbers,
    own: PotentialNumbers,
    moved: Moved,
    groups: Mapping[str, GroupErrors],
    head: PotentialNumbers | None,
    limit: Threshold,
) -> Finding:
    share = moved.share
    level = limit.level(share)
    kind = "labelled" if numbers.reference == "labels" else "generated"
    text = (
        f"Fine-tuning moved the forces on {counted(numbers.n_frames, f'{kind} structure')} by "
        f"{percent(share)} of their size (each structure weighing the same)"
    )
    if numbers.reference != "labels" and own.median is not None:
        text += f", those of the median structure by {figure(own.median)} meV/Å"
    energy = groups[ALL].energy_rmse
    text += f" (energies by {figure(energy)} meV/atom RMS)." if energy is not None else "."
    families = {
        group: errors.forces_share
        for group, errors in groups.items()
        if group != ALL and errors.forces_share is not None
    }
    if moved.beyond and moved.worst_forces is not None:
        text += (
            f" Moved by more than its own forces: {counted(moved.beyond, 'structure')}, most of "
            f"all {moved.worst}, by {figure(moved.worst_forces)} meV/Å."
        )
    elif len(families) > 1 and share > 0:
        worst = max(families, key=lambda group: families[group])
        text += f" Most of all: {worst}, by {percent(families[worst])}."
    again = head.against_foundation if head else None
    of_head = again[ALL].forces_rmse if again else None
    text += _advice(level, head is not None, of_head, "meV/Å")
    quantity = "deviation of the forces from the foundation"
    return Finding("forgetting", level, quantity, share, limit.unit, limit.words, text)


def _advice(level: Level, with_head: bool, of_head: float | None, unit: str) -> str:
    """Advise what to do, and report the error of the replay head.

    Args:
        level: level of the finding; with a pass nothing has to be done.
        with_head: whether the model has a replay head.
        of_head: error of the replay head.
        unit: unit of this error.
    """
    text = f" Its replay head: {figure(of_head)} {unit}." if of_head is not None else ""
    if level == "pass":
        return text
    use = limited(level, "structures unlike the data")
    text += f" {use[:1].upper()}{use[1:]};"
    if not with_head:
        return (
            f"{text} replay (method pseudolabel) would keep "
            "what the foundation knew, LoRA or a lower train.lr more of it."
        )
    return (
        f"{text} more replay (replay.count, replay.ratio), "
        "LoRA (method pseudolabel-lora) or a lower train.lr would keep more."
    )
