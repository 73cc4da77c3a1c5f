"""Preflight checks: what is in the data, what is wrong with it, what it implies.

`check_frames` needs the data alone, and weighs what predictions say of units where it is given
them; against_foundation.py adds what else they show. Each file is one subject; its thresholds are
named constants with reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pestle.checks.duplicates import duplicate_findings
from pestle.checks.geometry import distance_findings, sound_frames
from pestle.checks.labels import label_findings
from pestle.checks.levels import level_findings
from pestle.checks.mixed_units import mixed_unit_findings
from pestle.checks.placeholders import placeholder_findings
from pestle.checks.reference_atoms import reference_findings
from pestle.checks.report import CheckFinding, CheckReport, finding, sorted_findings
from pestle.checks.summary import summary_of
from pestle.checks.surfaces import surface_findings
from pestle.checks.units.evidence import Opinion
from pestle.checks.units.findings import unit_findings
from pestle.checks.unread import note_findings, unread_findings
from pestle.progress import stage
from pestle.structures.frame import Frame
from pestle.structures.pairs import bonded_pairs
from pestle.structures.readers.notes import Notes

__all__ = ["CheckFinding", "CheckReport", "check_frames"]


@stage("checking the data")
def check_frames(
    splits: Mapping[str, Sequence[Frame]],
    *,
    keys: Mapping[str, Any] | None = None,
    supported_elements: Collection[int] | None = None,
    notes: Notes | None = None,
    e0_method: str = "reestimate",
    given_e0s: Collection[int] = (),
    cutoff: float | None = None,
    embeds: Collection[str] = (),
    mixed: bool = False,
    opinion: Callable[[], Opinion] | None = None,
    shown: Mapping[str, Sequence[Frame]] | None = None,
    held_out: bool = False,
) -> CheckReport:
    """Everything that can be said about the data without a model, or with its opinion on units.

    Args:
        splits: frames by `train`, `valid`, `test`, or just `data`.
        keys: label keys that the reader found; goes into the summary as it is.
        supported_elements: atomic numbers of the foundation; others are errors.
        notes: what the readers left out or read as something else.
        e0_method: where E0s come from that are neither given nor isolated atoms' (reestimate,
            average or foundation).
        given_e0s: atomic numbers whose E0 the user gave.
        cutoff: of the foundation, Å.
        embeds: what the foundation is told of a frame: `charge`, `spin`.
        mixed: whether the user said that all frames are of one potential-energy surface.
        opinion: gives what a foundation says of the units; asked where the structures are sound.
        shown: what the summary is about instead of the splits: the same frames by file.
        held_out: whether `valid` was drawn from the files of `train`: what is wrong with labels is
            then said once.
    """
    findings: list[CheckFinding] = []
    sound: dict[str, list[Frame]] = {}
    everything = [frame for frames in splits.values() for frame in frames]
    if not everything:
        findings.append(finding("error", "no-frames", "there is no frame in the data"))
    _, broken = sound_frames(everything, supported_elements)
    findings += broken
    findings += surface_findings(everything, embeds=embeds, asked=mixed)
    for name, frames in splits.items():
        sound[name], _ = sound_frames(frames, None)
    flat = [frame for frames in sound.values() for frame in frames]
    near = {id(frame): bonded_pairs(frame) for frame in flat}
    findings += distance_findings(flat, [near[id(f)] for f in flat])
    findings += placeholder_findings(sound)
    mixed_units, alike = mixed_unit_findings(flat)
    findings += mixed_units
    fatal = any(f.severity == "error" for f in findings)
    unit_problems, units = unit_findings(alike, None if opinion is None or fatal else opinion())
    findings += label_findings(
        {name: [units.in_eV(f) for f in frames] for name, frames in sound.items()},
        held_out=held_out,
    )
    findings += [*unread_findings(everything), *note_findings(notes or Notes())]
    findings += duplicate_findings(
        sound, {name: [near[id(f)] for f in frames] for name, frames in sound.items()}
    )
    findings += unit_problems
    findings += level_findings([units.in_eV(f) for f in alike])
    findings += reference_findings(sound, method=e0_method, given=given_e0s, cutoff=cutoff)
    return CheckReport(summary_of(shown or splits, near, keys), sorted_findings(findings), units)
