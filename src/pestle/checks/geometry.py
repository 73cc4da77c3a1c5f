"""Checks of structures without labels: finite numbers, known elements, valid cells, distances."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ase.data import chemical_symbols

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.structures.frame import Frame
from pestle.structures.pairs import SEARCH_FRACTION, Pairs
from pestle.structures.soundness import (
    MIN_VOLUME_PER_ATOM,
    cell_is_flat,
    has_unknown_element,
    not_finite_parts,
)

# Distances are judged against the sum of covalent radii (Cordero 2008, as in ASE). Below this share
# atoms lie in each other's cores: H–H below 0.22 Å, C–C below 0.53 Å. No electronic-structure
# code gives a meaningful label there; a file in nm lands here as a whole.
OVERLAP_FRACTION = 0.35

# Below this share a bond is compressed beyond what MD and strained crystals show (the shortest
# pairs of high-temperature and high-pressure sets lie near 0.6), but dimer scans do get there.
SHORT_FRACTION = 0.50

# Share of frames without any bonded pair from which the whole file looks like Bohr.
UNBONDED_SHARE = 0.9

_NOBLE_GASES = {2, 10, 18, 36, 54, 86}


def sound_frames(
    frames: Sequence[Frame], supported: Collection[int] | None
) -> tuple[list[Frame], list[CheckFinding]]:
    """Separate frames that the other checks can process from the rest.

    Args:
        frames: the frames.
        supported: atomic numbers that the model knows; `None` if unknown.

    Returns:
        The valid frames, and findings on the others.
    """
    broken: dict[str, list[Frame]] = {}
    unknown: list[Frame] = []
    flat: list[Frame] = []
    unsupported: dict[int, list[Frame]] = {}
    sound: list[Frame] = []
    known = None if supported is None else {int(z) for z in supported}
    for frame in frames:
        bad = not_finite_parts(frame)
        for name in bad:
            broken.setdefault(name, []).append(frame)
        no_element = has_unknown_element(frame)
        if no_element:
            unknown.append(frame)
        elif known is not None:
            for z in set(frame.numbers.tolist()) - known:
                unsupported.setdefault(int(z), []).append(frame)
        no_cell = "cell" not in bad and cell_is_flat(frame)
        if no_cell:
            flat.append(frame)
        if not (bad or no_element or no_cell):
            sound.append(frame)
    total = len(frames)
    findings = [
        finding(
            "error",
            "non-finite",
            f"{count_of(group, total)} hold NaN, infinite or misshapen {name}",
            group,
            fix="Remove these frames or repeat their calculations; a single NaN ruins training.",
        )
        for name, group in broken.items()
    ]
    if unknown:
        findings.append(
            finding(
                "error",
                "unknown-element",
                f"{count_of(unknown, total)} hold atoms without an element (Z = 0, 'X') or no atom",
                unknown,
                fix="Give every atom its element; ghost atoms and dummies must go.",
            )
        )
    for z, group in sorted(unsupported.items()):
        findings.append(
            finding(
                "error",
                "unsupported-element",
                f"the foundation does not know {chemical_symbols[z]}, which "
                f"{count_of(group, total)} hold",
                group,
                fix="Choose a foundation that covers this element (`pestle models`) or leave the "
                "frames out.",
            )
        )
    if flat:
        findings.append(
            finding(
                "error",
                "flat-cell",
                f"{count_of(flat, total)} are marked periodic but have a cell of (nearly) no "
                f"volume, below {MIN_VOLUME_PER_ATOM} Å³ per atom along their periodic directions",
                flat,
                fix='Write the right Lattice, or pbc="F F F" for molecules.',
            )
        )
    return sound, findings


def distance_findings(frames: Sequence[Frame], pairs: Sequence[Pairs]) -> list[CheckFinding]:
    """Find overlapping atoms, very short pairs, and coordinates that seem to be in Bohr.

    Args:
        frames: valid frames.
        pairs: neighbour pairs of each frame.
    """
    groups: dict[str, list[tuple[float, Frame, str]]] = {"overlap": [], "short": []}
    unbonded: list[Frame] = []
    considered = 0
    for frame, near in zip(frames, pairs, strict=True):
        if len(frame) > 1 and not _NOBLE_GASES.issuperset(frame.numbers.tolist()):
            considered += 1
            if not (near.ratio < SEARCH_FRACTION).any():
                unbonded.append(frame)
        if not len(near.ratio):
            continue
        k = int(near.ratio.argmin())
        ratio = float(near.ratio[k])
        if ratio < SHORT_FRACTION:
            i, j = int(near.first[k]), int(near.second[k])
            symbols = [chemical_symbols[frame.numbers[a]] for a in (i, j)]
            text = (
                f"{symbols[0]}–{symbols[1]} {near.distance[k]:.2f} Å, atoms {i} and {j}, "
                f"{frame.where}"
            )
            name = "overlap" if ratio < OVERLAP_FRACTION else "short"
            groups[name].append((ratio, frame, text))
    findings = []
    for name, severity, code, bound, fix in (
        (
            "overlap",
            "error",
            "overlapping-atoms",
            OVERLAP_FRACTION,
            "Check for doubled atoms, a wrong cell, or coordinates that are not in Å.",
        ),
        (
            "short",
            "warning",
            "short-distance",
            SHORT_FRACTION,
            "Keep them if they are meant (dimer scans); else leave these frames out.",
        ),
    ):
        if groups[name]:
            worst = min(groups[name], key=lambda item: item[0])
            concerned = [frame for _, frame, _ in groups[name]]
            findings.append(
                finding(
                    severity,
                    code,
                    f"{count_of(concerned, len(frames))} have atoms closer than {bound:g} of the "
                    f"sum of covalent radii; closest: {worst[2]}",
                    concerned,
                    fix=fix,
                )
            )
    if considered and len(unbonded) >= UNBONDED_SHARE * considered:
        findings.append(
            finding(
                "warning",
                "no-bonds",
                f"{count_of(unbonded, considered)} have no pair of atoms within "
                f"{SEARCH_FRACTION:g} of the sum of covalent radii: are the coordinates in Bohr "
                "(1.89 times too long)?",
                unbonded,
                fix="Write coordinates and cell in Å.",
            )
        )
    return findings
