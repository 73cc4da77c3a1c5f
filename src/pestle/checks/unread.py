"""Content of the files that did not become labels.

It covers unknown keys, parts that the readers left out, and the choice between VASP's two energies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.structures.frame import Frame, is_labelled
from pestle.structures.readers.lammps import FORCES
from pestle.structures.readers.notes import Notes, note_lines
from pestle.structures.two_energies import SMEARING_LIMIT
from pestle.structures.unread import Unread
from pestle.wording import counted, figure

#: Kind of numbers → (the option that reads them, on what condition).
_OPTIONS = {
    "energy": ("--energy-key", "If this is the total energy in eV"),
    "forces": ("--forces-key", "If these are forces in eV/Å"),
    "stress": ("--stress-key", "If this is a stress in eV/Å³ with ASE's sign"),
    "virials": ("--virials-key", "If these are virials in eV"),
}
_PLACES = {"info": "comment line", "arrays": "columns", "calculator": "calculator of ASE"}
_OF_LAMMPS = "They are forces of the potential that ran in LAMMPS, labels of nothing else."
# Names listed in one line of numbers that no name tells anything of.
_MAX_NAMED = 12


def note_findings(notes: Notes) -> list[CheckFinding]:
    """What the readers left out, read as something else, or have doubts about."""
    return [
        *(finding("warning", "left-out", line) for line in note_lines(notes.left_out)),
        *(finding("warning", "doubtful", line) for line in note_lines(notes.doubts)),
        *(finding("note", "read-as", line) for line in note_lines(notes.read_as)),
    ]


def unread_findings(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Each key of numbers that was not read, once, with the option that would read it."""
    holders: dict[Unread, list[Frame]] = {}
    if not any(is_labelled(frame) for frame in frames):
        return []  # the error that no frame has a label names them
    for frame in frames:
        for item in frame.unread:
            holders.setdefault(item, []).append(frame)
    findings = _two_energies(frames)
    others: Counter[tuple[str, str, str]] = Counter()
    named: dict[tuple[str, str, str], list[Frame]] = {}
    lacking: dict[tuple[str, str, str], list[Frame]] = {}
    for item, having in holders.items():
        what = (item.key, item.place, item.kind)
        if item.kind in ("number", "tensor", "vectors"):
            others[what] += len(having)
            continue
        named.setdefault(what, []).extend(having)
        if item.lacking:
            lacking.setdefault(what, []).extend(having)
    for what, having in named.items():
        findings.append(_named(*what, having, lacking.get(what, [])))
    if others:
        findings.append(_others(others))
    return findings


def _named(
    key: str, place: str, kind: str, having: Sequence[Frame], lacking: Sequence[Frame]
) -> CheckFinding:
    """One key whose name says what it is."""
    label = {"gradients": "forces", "virials": "stress", "per-atom energy": "energy"}.get(
        kind, kind
    )
    there = f"'{key}' ({_PLACES[place]}, {counted(len(having), 'frame')}) was not read"
    if label in _OPTIONS and lacking:
        there += f": {len(lacking)} of these frames have no {label}"
    elif label in _OPTIONS:
        there += f": these frames have {label} under another key"
    return finding(
        "warning" if lacking else "note", "not-read", there, fix=advice(key, place, kind)
    )


def advice(key: str, place: str, kind: str) -> str:
    """Return what to type, or how to write a key, so that it is read."""
    if kind == "gradients":
        return "Gradients are forces of the opposite sign: write their negative as REF_forces."
    if kind == "per-atom energy":
        return "Energies are total energies: multiply by the number of atoms, write REF_energy."
    if kind == "charge":
        return "If it is the charge of the whole frame, call it total_charge."
    if kind == "spin":
        return "If it is the spin multiplicity 2S+1 of the whole frame, call it total_spin."
    option, condition = _OPTIONS[kind]
    text = f"{condition}: {option} {key}."
    if kind == "forces" and place == "info":
        text += (
            " In extended XYZ forces are columns of the atom lines, as in "
            "Properties=species:S:1:pos:R:3:forces:R:3."
        )
    return text


def _others(others: Counter[tuple[str, str, str]]) -> CheckFinding:
    listed = [f"{key} ({n})" for (key, _, _), n in others.most_common(_MAX_NAMED)]
    more = len(others) - _MAX_NAMED
    kinds = {kind for _, _, kind in others}
    options = [
        option
        for kind, option in (
            ("number", "--energy-key"),
            ("vectors", "--forces-key"),
            ("tensor", "--stress-key or --virials-key"),
        )
        if kind in kinds
    ]
    return finding(
        "note",
        "not-read",
        f"numbers that are there and are not used: {', '.join(listed)}"
        + (f" and {more} more" if more > 0 else ""),
        fix=f"If a label is among them: {', '.join(options)} NAME.",
    )


def options_for(frames: Sequence[Frame]) -> tuple[str, str]:
    """(what frames without labels hold instead, what to type); two empty texts for nothing."""
    counts: dict[str, Counter[Unread]] = {}
    for frame in frames:
        for item in frame.unread:
            if item.lacking and item.kind in (*_OPTIONS, "gradients", "per-atom energy"):
                counts.setdefault(item.kind, Counter())[item] += 1
    if not counts:
        return "", ""
    listed = [f"{i.key} ({_PLACES[i.place]}, {n})" for c in counts.values() for i, n in c.items()]
    best = {
        kind: counts[kind].most_common(1)[0][0] for kind in (*_OPTIONS, *counts) if kind in counts
    }
    typed = [f"{_OPTIONS[k][0]} {i.key}" for k, i in best.items() if k in _OPTIONS]
    told = [advice(i.key, i.place, k) for k, i in best.items() if k not in _OPTIONS]
    in_info = [i for k, i in best.items() if k == "forces" and i.place == "info"]
    told += [_OF_LAMMPS] * any(item.key == FORCES for item in best.values())
    told += ["In extended XYZ forces are columns of the atom lines."] * bool(in_info)
    text = f"Type {' '.join(typed)}, if these are eV and eV/Å." if typed else ""
    return f"there, and not read: {', '.join(listed)}", " ".join([text, *told]).strip()


def _two_energies(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Frames with an energy extrapolated to zero smearing beside the free energy."""
    both = [f for f in frames if f.energy_gap is not None]
    findings = []
    for free in (True, False):
        those = [f for f in both if (f.energy_key == "free_energy") == free]
        if not those:
            continue
        gaps = [abs(f.energy_gap or 0.0) / max(len(f), 1) for f in those]
        taken, other = ("free_energy", "energy") if free else ("energy", "free_energy")
        findings.append(
            finding(
                "note",
                "two-energies",
                f"{count_of(those, len(frames))} hold the energy extrapolated to σ → 0 ('energy') "
                f"beside the free energy ('free_energy'), up to {figure(1000 * np.max(gaps))} "
                f"meV/atom apart: '{taken}' was taken. Forces and stress are "
                "derivatives of the free energy",
                those,
                fix=f"--energy-key {other} takes the other one"
                + (
                    "."
                    if free
                    else ", with which the forces agree."
                    if np.max(gaps) <= SMEARING_LIMIT
                    else "; so far apart it is more than smearing."
                ),
            )
        )
    return findings
