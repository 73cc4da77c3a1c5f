"""The plan of a run as text: all decisions before the first update."""

from __future__ import annotations

import re
from typing import Any

from ase.data import atomic_numbers

from pestle.adaptation import METHODS
from pestle.jobs.finetune.data_lines import reading_notes, split_line
from pestle.jobs.finetune.keepers import KEEPERS
from pestle.progress import duration
from pestle.records.manifest import Manifest
from pestle.records.method import MethodFacts, ReplayFacts
from pestle.records.training import Gate, Plan, RateProbe
from pestle.wording import counted, figure, number, percent


def plan_lines(manifest: Manifest) -> list[str]:
    """Return the whole plan as text, for `--dry-run --verbose` and for the start of the log.

    Args:
        manifest: the manifest before training.
    """
    lines: list[str] = []
    foundation, method = manifest.foundation, manifest.method
    ancestors = [ancestor.name for ancestor in manifest.ancestry[:-1]]
    lines += [
        f"Foundation  {foundation.name}  ({foundation.level_of_theory}; licence "
        f"{foundation.licence})",
        f"            {counted(len(foundation.elements), 'element')}, {foundation.n_parameters:,} "
        f"parameters, cutoff {foundation.cutoff:g} Å, head {foundation.head}, "
        f"{foundation.dtype}",
        f"            runs with {foundation.arithmetic}",
        *([f"            made from {' → '.join(ancestors)}"] if ancestors else []),
        "",
        "Data",
    ]
    for split, summary in manifest.data.summary.items():
        lines.append(f"  {split:<6} {split_line(summary)}")
    if manifest.data.held_out:
        lines.append("  validation frames are a seeded fraction of the training frames")
    if (drawn := manifest.data.subset) is not None:
        lines.append(
            f"  {drawn.n_frames} of {drawn.n_given} training frames are used (data.subset_seed "
            f"{drawn.seed})"
        )
    notes = [item for item in manifest.data.findings if item.severity == "note"]
    lines += [f"  {line}" for line in reading_notes(notes)]
    if "valid" not in manifest.data.summary:
        lines.append("  no validation frames, as asked: the last model is kept")
    if manifest.continued is not None:
        old = manifest.continued
        lines.append(
            f"  {old.n_frames} of the training frames are those of "
            f"{' and '.join(run.name for run in old.runs)}, each with weight {figure(old.weight)}"
        )
    lines.append(f"  {dispersion_line(manifest)}")
    if manifest.offer:
        lines.append(f"  {manifest.offer}")
    lines += ["", "Warnings"]
    lines += [f"  {text}" for text in manifest.warnings] or ["  none"]

    e0s = manifest.reference_energies
    lines += ["", f"Reference energies: {e0s.method} ({e0s.reason})"]
    in_data = [s for s in e0s.e0s if s in e0s.shift] or list(e0s.e0s)
    for symbol in sorted(in_data, key=lambda s: atomic_numbers[s]):
        shift = e0s.shift.get(symbol)
        kept = "  (the foundation's)" if symbol in e0s.kept_from_foundation else ""
        change = "" if shift is None else f"  shift {shift:+14.4f}"
        lines.append(f"  {symbol:<3}{e0s.e0s[symbol]:16.6f} eV{change}{kept}")
    if e0s.zero_step_error_mev_per_atom is not None:
        lines.append(
            f"  energy error before the first update "
            f"{e0s.zero_step_error_mev_per_atom:.2f} meV/atom (RMSE, training frames)"
        )

    lines += ["", *_method_lines(method)]
    for part, count in method.blocks.items():
        share = count.trainable / count.total if count.total else 0.0
        lines.append(
            f"  {part:<15}{count.trainable:>12,} of {count.total:>12,}  {percent(share):>8}"
        )
    share = method.n_trainable / max(1, method.n_parameters)
    lines.append(
        f"  {'all':<15}{method.n_trainable:>12,} of {method.n_parameters:>12,}  {percent(share):>8}"
    )

    if manifest.replay is not None:
        lines += ["", *_replay_lines(manifest.replay)]

    lines += ["", f"Settings (tables, equations and sections are of {PAPER})"]
    for name, entry in manifest.settings.items():
        if entry.value in ([], None) and entry.reason == "default":
            continue
        if name.startswith(_unused_groups(manifest)) and entry.reason != "asked for":
            continue
        unit = f" {entry.unit}" if entry.unit and entry.value is not None else ""
        lines.append(f"  {name:<28} {_short(entry.value)}{unit}  — {entry.reason}")

    plan = manifest.plan
    assert plan is not None
    lines += [
        "",
        f"Length: {counted(plan.steps, 'update')} at most ({counted(plan.epochs, 'epoch')} of "
        f"{plan.steps_per_epoch:,}), {evaluations(plan)}",
        f"  {plan.passes}",
        f"  {plan.ends_earlier}",
        f"  time: {cost(plan)}",
        *probe_lines(manifest.rate_probe, plan),
        *([f"Files: {manifest.files_not_given}"] if manifest.files_not_given else []),
        "",
        gate_line(manifest.gate),
    ]
    return lines


#: What reasons of settings cite.
PAPER = (
    "Tompa et al., Fine-tuning MLIP foundation models: strategies for accuracy and transferability"
)

#: Settings whose values are in other lines of the short plan.
SHOWN_ELSEWHERE = (
    "foundation", "method", "data.train", "data.valid", "data.test", "train.lr", "e0s"
)  # fmt: skip


def short_plan(manifest: Manifest) -> list[str]:
    """Return what a user must know before training, in at most 15 lines.

    Args:
        manifest: the manifest before training. `plan_lines` returns everything.
    """
    foundation, method, e0s = manifest.foundation, manifest.method, manifest.reference_energies
    plan = manifest.plan
    assert plan is not None
    why = "; ".join(method.choice.reasons) if method.choice is not None else ""
    share = method.n_trainable / max(1, method.n_parameters)
    lines = {
        "foundation": f"{foundation.name} ({foundation.level_of_theory}; licence "
        f"{foundation.licence}), head {foundation.head}, {foundation.dtype}",
        "method": f"{method.name}: trains {method.n_trainable:,} of {method.n_parameters:,} "
        f"parameters ({percent(share)})",
        "because": why,
        "E0s": f"{e0s.method}: {e0s.reason}",
    }
    if e0s.zero_step_error_mev_per_atom is not None:
        lines["E0s"] += (
            f"; leave {figure(e0s.zero_step_error_mev_per_atom)} meV/atom (RMSE) to learn"
        )
    if manifest.replay is not None:
        replay = manifest.replay
        # The hash of the labeller is for records.
        labels = re.sub(r" \(\S*:\S*\)$", "", replay.labels)
        lines["replay"] = (
            f"{counted(replay.n_train, 'structure')}, {replay.n_valid} held out; labels: {labels}"
        )
    rate = manifest.settings["train.lr"]
    asked = [
        f"{name}={_short(entry.value)}" + (" (epochs)" if name == "train.eval_interval" else "")
        for name, entry in manifest.settings.items()
        if entry.reason == "asked for" and name not in SHOWN_ELSEWHERE
    ]
    lines |= {
        "rate": f"{_short(rate.value)}, {rate.reason}",
        "asked for": ", ".join(asked),
        "length": f"{counted(plan.steps, 'update')} at most ({counted(plan.epochs, 'epoch')} of "
        f"{plan.steps_per_epoch:,}), {evaluations(plan)}",
        "time": cost(plan),
        "files": manifest.files_not_given,
        "gate": gate_line(manifest.gate)
        .removeprefix("Zero-step gate: ")
        .removeprefix("Zero-step gate "),
    }
    return [f"{name:<12}{text}" for name, text in lines.items() if text]


def evaluations(plan: Plan) -> str:
    """Return how often the model is evaluated, in updates and epochs."""
    between = plan.updates_between_evaluations
    epochs = between / max(1, plan.steps_per_epoch)
    return f"an evaluation every {counted(between, 'update')} ({counted(epochs, 'epoch')})"


def cost(plan: Plan) -> str:
    """Describe the time of an update and of all that are left, and the memory.

    Args:
        plan: the plan of the run.
    """
    if plan.seconds_per_step is None or plan.estimated_seconds is None:
        return f"not known: {plan.untimed}"
    left = "in all"
    if plan.updates_done:
        left = f"for the {counted(plan.steps - plan.updates_done, 'update')} left"
    memory = "" if plan.memory_mib is None else f"; memory {plan.memory_mib:,.0f} MiB"
    return (
        f"{_short_time(plan.seconds_per_step)} an update, at most "
        f"{duration(plan.estimated_seconds)} {left}, with evaluations{memory}"
    )


def _short_time(seconds: float) -> str:
    """Format the time of an update: `414 ms`, `7.61 s`."""
    return f"{number(seconds)} s" if seconds >= 1 else f"{number(seconds * 1e3)} ms"


def dispersion_line(manifest: Manifest) -> str:
    """Describe whether the labels and the foundation's training data include dispersion.

    Args:
        manifest: the manifest before training.
    """
    data, foundation = manifest.data, manifest.foundation
    words = {
        "included": "the foundation holds it",
        "none": "the foundation holds none",
        "unknown": "of the foundation unknown",
    }
    labels = {
        "included": "the labels hold it",
        "none": "the labels hold none",
        "unknown": "of the labels unknown (data.dispersion says it, and the card keeps it)",
    }[data.dispersion]
    if data.dispersion_removed:
        labels = f"{data.dispersion_removed} was taken from the labels"
    return f"dispersion: {words[foundation.dispersion]}; {labels}"


def probe_lines(probe: RateProbe | None, plan: Plan) -> list[str]:
    """Describe the cost of the search for a learning rate; empty if there was none.

    Args:
        probe: result of the search; `None` if there was none.
        plan: the plan of the run.
    """
    if probe is None:
        return []
    rates = ", ".join(f"{trial.rate:g}" for trial in probe.trials)
    spent = sum(trial.updates for trial in probe.trials)
    return [
        f"  before, the learning rates {rates} were tried in {counted(spent, 'update')}, "
        f"which took {duration(probe.seconds)}: {percent(spent / plan.steps)} of the updates that "
        "follow at most"
    ]


def _method_lines(method: MethodFacts) -> list[str]:
    """Describe the method, the reason for it, and the changes to the model."""
    choice = method.choice
    if choice is None:
        return [f"Method: {method.name}", *(f"  {note}" for note in method.notes)]
    return [
        f"Method: {method.name}, chosen because",
        *(f"  {reason}" for reason in choice.reasons),
        "  What would change the choice:",
        *(f"  - {change}" for change in choice.would_change),
        *(f"  {note}" for note in method.notes),
    ]


def _unused_groups(manifest: Manifest) -> tuple[str, ...]:
    """Return prefixes of settings that this run does not use."""
    unused = {
        "lora.": not METHODS[manifest.method.name].low_rank,
        "replay.": manifest.replay is None,
        "drift.": manifest.drift is None,
        "parent.": manifest.continued is None,
        "keep.": all(manifest.value(f"keep.{name}") is None for name in KEEPERS),
    }
    return tuple(prefix for prefix, without in unused.items() if without)


def _replay_lines(replay: ReplayFacts) -> list[str]:
    """Return the number of replay structures, the origin of their labels, and notes."""
    return [
        f"Replay: {counted(replay.n_train, 'structure')}, {replay.n_valid} more held out to watch",
        f"  labels: {replay.labels}",
        *(f"  {note}" for note in replay.notes),
    ]


def gate_line(gate: Gate | None) -> str:
    """Describe the result of the zero-step gate."""
    if gate is None:
        return "Zero-step gate: not applied to random weights"
    return (
        f"Zero-step gate passed on {counted(gate.n_frames, 'frame')}: largest deviation from the "
        f"foundation {_deviation(gate.energy)} eV/atom, {_deviation(gate.forces)} eV/Å, "
        f"{_deviation(gate.stress)} eV/Å³"
    )


def _deviation(value: float) -> str:
    """Return a deviation as text; rounding errors differ by orders of magnitude."""
    return number(value, 2)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) if value else "—"
    return str(value)
