"""Preflight checks: what is in the data, what is wrong with it, what it implies.

`check_frames` needs the data alone, and weighs what predictions say of units where it is given
them; foundations/label_checks.py adds what else they show. Each file is one subject; its thresholds
are named constants with reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ase.data import chemical_symbols

from pestle.structures.checks.duplicates import duplicate_findings
from pestle.structures.checks.geometry import bonded_pairs, distance_findings, sound_frames
from pestle.structures.checks.labels import label_findings
from pestle.structures.checks.levels import level_findings
from pestle.structures.checks.report import CheckReport, Finding, finding, sorted_findings
from pestle.structures.checks.summary import summary_of
from pestle.structures.checks.units.evidence import Opinion
from pestle.structures.checks.units.findings import unit_findings
from pestle.structures.composition import null_space_of
from pestle.structures.frame import Frame, composition_matrix, elements_of, split_isolated_atoms

__all__ = ["CheckReport", "Finding", "check_frames"]


def check_frames(
    splits: Mapping[str, Sequence[Frame]],
    *,
    keys: Mapping[str, Any] | None = None,
    supported_elements: Collection[int] | None = None,
    opinion: Callable[[], Opinion] | None = None,
) -> CheckReport:
    """Everything that can be said about the data without a model, or with its opinion on units.

    Args:
        splits: frames by `train`, `valid`, `test`, or just `data`.
        keys: label keys that the reader found; goes into the summary as it is.
        supported_elements: atomic numbers of the foundation; others are errors.
        opinion: gives what a foundation says of the units; asked where the structures are sound.
    """
    findings: list[Finding] = []
    sound: dict[str, list[Frame]] = {}
    everything = [frame for frames in splits.values() for frame in frames]
    if not everything:
        findings.append(finding("error", "no-frames", "there is no frame in the data"))
    _, broken = sound_frames(everything, supported_elements)
    findings += broken
    for name, frames in splits.items():
        sound[name], _ = sound_frames(frames, None)
    flat = [frame for frames in sound.values() for frame in frames]
    near = {id(frame): bonded_pairs(frame) for frame in flat}
    findings += distance_findings(flat, [near[id(f)] for f in flat])
    fatal = any(f.severity == "error" for f in findings)
    unit_problems, units = unit_findings(flat, None if opinion is None or fatal else opinion())
    findings += label_findings(
        {name: [units.in_eV(f) for f in frames] for name, frames in sound.items()}
    )
    findings += duplicate_findings(
        sound, {name: [near[id(f)] for f in frames] for name, frames in sound.items()}
    )
    findings += unit_problems
    findings += level_findings([units.in_eV(f) for f in flat])
    findings += _reference_energy_findings(sound)
    return CheckReport(summary_of(splits, near, keys), sorted_findings(findings), units)


def _reference_energy_findings(splits: Mapping[str, Sequence[Frame]]) -> list[Finding]:
    """What isolated atoms and compositions imply for the reference energies (E0s)."""
    training = list(splits.get("train", splits.get("data", ())))
    frames, atoms = split_isolated_atoms(training)
    frames = [f for f in frames if f.energy is not None]
    if not frames:
        return []
    findings: list[Finding] = []
    elements = elements_of(frames)
    given = {int(f.numbers[0]) for f in atoms if f.energy is not None}
    missing = [chemical_symbols[z] for z in elements if z not in given]
    null = null_space_of(composition_matrix(frames, elements), elements)
    if missing:
        whose = "any element" if len(missing) == len(elements) else ", ".join(missing)
        findings.append(
            finding(
                "warning",
                "no-isolated-atoms",
                f"no isolated atom of {whose}: reference energies (E0s) are reestimated from the "
                "frames and the foundation, so energies of dissociation are those of the "
                "foundation, not of your method",
                fix="Add a one-atom frame with config_type=IsolatedAtom for each element, from the "
                "method of the frames.",
            )
        )
    if not null.is_full_rank:
        findings.append(
            finding(
                "warning" if missing else "note",
                "composition-rank",
                f"{null.sentence()} (rank {null.rank} of {len(elements)})"
                + ("" if missing else "; the isolated atoms settle what the frames leave open"),
                fix=""
                if not missing
                else "Give isolated atoms, or frames of other compositions; until then the split "
                "between these elements follows the foundation.",
            )
        )
    return findings
