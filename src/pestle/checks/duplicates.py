"""Duplicate structures within a split, or in training and in validation or test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.structures.copies import TOLERANCE, same_groups
from pestle.structures.frame import Frame
from pestle.structures.pairs import Pairs
from pestle.wording import figure

# Energies of one structure that differ by more than this (eV/atom) contradict each other; below
# lies the noise of convergence settings.
CONTRADICTION = 2e-3


def duplicate_findings(
    splits: Mapping[str, Sequence[Frame]], pairs: Mapping[str, Sequence[Pairs]]
) -> list[CheckFinding]:
    """Find duplicates across splits (errors), within a split (warnings), and contradicting
    energies.

    Args:
        splits: frames by split.
        pairs: neighbour pairs of each frame, by split.
    """
    split_of = [name for name, frames in splits.items() for _ in frames]
    frames = [f for group in splits.values() for f in group]
    near = [p for name in splits for p in pairs[name]]
    groups = same_groups(frames, near)
    findings: list[CheckFinding] = []
    names = list(splits)
    for i, one in enumerate(names):
        for two in names[i + 1 :]:
            shared = [g for g in groups if {one, two} <= {split_of[k] for k in g}]
            if not shared:
                continue
            leaked = sorted(k for g in shared for k in g if split_of[k] == two)
            group = next(g for g in shared if leaked[0] in g)
            twin = next(k for k in group if split_of[k] == one)
            findings.append(
                finding(
                    "error" if "train" in (one, two) else "warning",
                    "leak-between-splits",
                    f"{count_of(leaked, len(splits[two]))} of '{two}' are also in '{one}' (same "
                    f"structure within {TOLERANCE:g} Å), e.g. {frames[leaked[0]].where} = "
                    f"{frames[twin].where}",
                    [frames[k] for k in leaked],
                    fix=f"Remove them from '{two}' or split again: errors on them say nothing.",
                )
            )
    for name in names:
        inside = [[k for k in g if split_of[k] == name] for g in groups]
        copies = sorted(k for g in inside for k in g[1:])
        if copies:
            first = next(g for g in inside if copies[0] in g)
            findings.append(
                finding(
                    "warning",
                    "duplicates",
                    f"{count_of(copies, len(splits[name]))} of '{name}' repeat an earlier frame of "
                    f"it (same structure within {TOLERANCE:g} Å), e.g. {frames[copies[0]].where} = "
                    f"{frames[first[0]].where}",
                    [frames[k] for k in copies],
                    fix="Remove the copies, or give config_weight if the weight is meant.",
                )
            )
    findings += _contradictions(frames, groups)
    return findings


def _contradictions(frames: Sequence[Frame], groups: Sequence[Sequence[int]]) -> list[CheckFinding]:
    concerned: list[Frame] = []
    worst, example = 0.0, ""
    for group in groups:
        labelled = [(frames[k].energy, k) for k in group if frames[k].energy is not None]
        if len(labelled) < 2:
            continue
        (low, a), (high, b) = min(labelled), max(labelled)
        gap = (high - low) / len(frames[a])  # type: ignore[operator]
        if gap > CONTRADICTION:
            concerned += [frames[k] for _, k in labelled]
            if gap > worst:
                worst, example = gap, f"{frames[a].where} and {frames[b].where}"
    if not concerned:
        return []
    return [
        finding(
            "warning",
            "contradicting-energies",
            f"{len(concerned)} frames show a structure that other frames give another energy, by "
            f"up to {figure(worst)} eV/atom ({example}): labels of different calculations?",
            concerned,
            fix="Keep the labels of one level of theory, or give each its own head.",
        )
    ]
