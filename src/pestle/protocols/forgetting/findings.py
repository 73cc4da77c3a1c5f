"""What errors and deviations on the pretraining distribution say of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.protocols.against_labels import labels_are_its_own
from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import Finding
from pestle.records.wording import counted, figure, percent


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """One finding: the error against labels as a multiple of the foundation's, or without labels
    the deviation from the foundation. Nothing where there are labels and no foundation."""
    potentials = metrics["potentials"]
    own = potentials[metrics["candidate"]]
    lost = own["not_finite"]
    if lost:
        return [_not_finite(lost, metrics["n_frames"], thresholds["forces_moved"])]
    base = potentials.get(metrics["baseline"])
    if base is None:
        return []
    if metrics["reference"] == "labels" and not labels_are_its_own(
        base["against_labels"]["all"], metrics["forces_rms"]["all"]
    ):
        return _against_labels(metrics, own, base, thresholds["forces_ratio"])
    return _moved(metrics, own, thresholds["forces_moved"])


def _not_finite(lost: Mapping[str, Any], frames: int, limit: Threshold) -> Finding:
    text = (
        "On the pretraining distribution the model is not finite on "
        f"{counted(lost['count'], 'structure')} of {frames}, the first is {lost['first']}: it "
        "cannot be used beyond its data. Replay (method pseudolabel) would keep it finite there."
    )
    quantity = "forces on the pretraining distribution"
    return Finding("forgetting", "fail", quantity, None, limit.unit, limit.words, text)


def _against_labels(
    metrics: Mapping[str, Any], own: Mapping[str, Any], base: Mapping[str, Any], limit: Threshold
) -> list[Finding]:
    mine, before = own["against_labels"]["all"], base["against_labels"]["all"]
    key, unit = "forces_rmse", "meV/Å"
    if mine[key] is None:
        key, unit = "energy_rmse", "meV/atom"
    if mine[key] is None or not before[key]:
        return []
    ratio = mine[key] / before[key]
    level = limit.level(ratio)
    what = "force" if key == "forces_rmse" else "energy"
    text = (
        f"On {counted(metrics['n_frames'], 'labelled structure')} of the pretraining distribution "
        f"the {what} error is {figure(mine[key])} {unit}, {figure(ratio)} times the foundation's "
        f"{figure(before[key])}"
    )
    beside = []
    if key == "forces_rmse":
        beside.append(
            f"median structure {figure(own['median'])} against {figure(base['median'])} meV/Å"
        )
    if key == "forces_rmse" and mine["energy_rmse"] is not None and before["energy_rmse"]:
        beside.append(
            f"energies {figure(mine['energy_rmse'])} against {figure(before['energy_rmse'])} "
            "meV/atom"
        )
    text += f" ({'; '.join(beside)})" if beside else ""
    text += "." + _advice(metrics, level == "pass", "against_labels", key, unit)
    quantity = f"{what} error on the pretraining distribution"
    return [Finding("forgetting", level, quantity, ratio, limit.unit, limit.words, text)]


def _moved(metrics: Mapping[str, Any], own: Mapping[str, Any], limit: Threshold) -> list[Finding]:
    moved, groups = own["moved"], own["against_foundation"]
    share = moved["share"]
    level = limit.level(share)
    kind = "labelled" if metrics["reference"] == "labels" else "generated"
    text = (
        f"Fine-tuning moved the forces on {counted(metrics['n_frames'], f'{kind} structure')} by "
        f"{percent(share)} of their size (each structure weighing the same)"
    )
    if metrics["reference"] != "labels":
        text += f", those of the median structure by {figure(own['median'])} meV/Å"
    text += f" (energies by {figure(groups['all']['energy_rmse'])} meV/atom RMS)."
    families = {
        group: errors["forces_share"]
        for group, errors in groups.items()
        if group != "all" and errors["forces_share"] is not None
    }
    if moved["beyond"]:
        text += (
            f" Moved by more than its own forces: {counted(moved['beyond'], 'structure')}, most of "
            f"all {moved['worst']}, by {figure(moved['worst_forces'])} meV/Å."
        )
    elif len(families) > 1 and share > 0:
        worst = max(families, key=lambda group: families[group])
        text += f" Most of all: {worst}, by {percent(families[worst])}."
    text += _advice(metrics, level == "pass", "against_foundation", "forces_rmse", "meV/Å")
    quantity = "deviation of the forces from the foundation"
    return [Finding("forgetting", level, quantity, share, limit.unit, limit.words, text)]


def _advice(metrics: Mapping[str, Any], passed: bool, against: str, key: str, unit: str) -> str:
    """What to do, and what the replay head says where there is one."""
    name = f"{metrics['candidate']}, replay head"
    head = metrics["potentials"].get(name)
    text = ""
    if head is not None and head[against] and head[against]["all"][key] is not None:
        text = f" Its replay head: {figure(head[against]['all'][key])} {unit}."
    if passed:
        return text
    if head is None:
        return (
            f"{text} Not for structures unlike the data; replay (method pseudolabel) would keep "
            "what the foundation knew, LoRA or a lower train.lr more of it."
        )
    return (
        f"{text} Not for structures unlike the data; more replay (replay.count, replay.ratio), "
        "LoRA (method pseudolabel-lora) or a lower train.lr would keep more."
    )
