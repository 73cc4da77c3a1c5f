"""Consequences of isolated atoms and compositions for the reference energies (E0s)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ase.data import chemical_symbols

from pestle.checks.report import CheckFinding, count_of, finding
from pestle.structures.composition import null_space_of
from pestle.structures.frame import Frame, composition_matrix, elements_of, split_isolated_atoms
from pestle.structures.isolated import TAKEN, image_distance
from pestle.structures.reading import is_reference_atom
from pestle.wording import figure

#: Neighbour cutoff (Å) of most foundations, used if the cutoff of the model is unknown.
USUAL_CUTOFF = 6.0

_WITHOUT = {
    "reestimate": "reference energies (E0s) are reestimated from the frames and the foundation, so "
    "energies of dissociation are those of the foundation, not of your method",
    "average": "reference energies (E0s) are averaged over the frames, so energies of dissociation "
    "mean nothing",
    "foundation": "reference energies (E0s) are the foundation's, which is right only where your "
    "method is the foundation's",
}


def reference_findings(
    splits: Mapping[str, Sequence[Frame]],
    *,
    method: str = "reestimate",
    given: Collection[int] = (),
    cutoff: float | None = None,
) -> list[CheckFinding]:
    """Which frames count as isolated atoms, and how well the E0s are determined.

    Args:
        splits: sound frames by split.
        method: where the E0s come from that are neither given nor isolated atoms': reestimate,
            average or foundation.
        given: atomic numbers whose E0 the user gave.
        cutoff: of the model, Å.
    """
    everything = [frame for frames in splits.values() for frame in frames]
    found = _taken(everything) + _charged(everything) + _small_boxes(everything, cutoff)
    training = list(splits.get("train", splits.get("data", ())))
    frames, atoms = split_isolated_atoms(training)
    frames = [f for f in frames if f.energy is not None]
    if not frames:
        return found
    elements = elements_of(frames)
    have = {int(f.numbers[0]) for f in atoms if is_reference_atom(f)} | set(given)
    missing = [chemical_symbols[z] for z in elements if z not in have]
    null = null_space_of(composition_matrix(frames, elements), elements)
    rank = f"rank {null.rank} of {len(elements)}"
    if missing:
        whose = "any element" if len(missing) == len(elements) else ", ".join(missing)
        kind = "isolated atom" + (" and no given E0" if given else "")
        message = f"no {kind} of {whose}"
        fix = (
            "Add a one-atom frame with config_type=IsolatedAtom for each element, from the "
            "method of the frames"
        )
        if null.is_full_rank:
            said = finding(
                "warning", "no-isolated-atoms", f"{message}: {_WITHOUT[method]}", fix=f"{fix}."
            )
        else:
            split = "is arbitrary" if method == "average" else "follows the foundation"
            said = finding(
                "warning",
                "composition-rank",
                f"{message}, and {null.sentence()} ({rank}): {_WITHOUT[method]}; energies of other "
                "compositions than those of the frames may be off",
                fix=f"{fix}, or frames of other compositions; until then the split between these "
                f"elements {split}.",
            )
        found.append(said)
    elif not null.is_full_rank:
        settled = "the E0s that were given" if given else "isolated atoms"
        text = f"{settled} settle the E0s that the compositions alone leave open ({rank})"
        found.append(finding("note", "composition-rank", text))
    return found


def _taken(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Report single atoms of another name that are treated as isolated atoms."""
    atoms = [f for f in frames if any(note.startswith(TAKEN) for note in f.notes)]
    if not atoms:
        return []
    names = Counter(
        note.removeprefix(f"{TAKEN}: config_type ")
        for f in atoms
        for note in f.notes
        if note.startswith(TAKEN)
    )
    called = ", ".join(names)
    return [
        finding(
            "note",
            "isolated-atoms",
            f"{count_of(atoms, len(frames))} hold one atom without neighbours and are taken as "
            f"isolated atoms, whose energies are E0s, though their config_type is {called}",
            atoms,
            fix="Nothing to do; config_type=IsolatedAtom says the same.",
        )
    ]


def _charged(frames: Sequence[Frame]) -> list[CheckFinding]:
    """Report that the energy of an ion is not an E0."""
    ions = [f for f in frames if f.is_isolated_atom and f.charge]
    if not ions:
        return []
    return [
        finding(
            "warning",
            "charged-atoms",
            f"{count_of(ions, len(frames))} called IsolatedAtom are charged: an E0 is the energy "
            "of a neutral atom, so they are not used",
            ions,
            fix="Calculate the neutral atom.",
        )
    ]


def _small_boxes(frames: Sequence[Frame], cutoff: float | None) -> list[CheckFinding]:
    """Report isolated atoms that are too close to their images to be isolated."""
    reach = USUAL_CUTOFF if cutoff is None else cutoff
    distance = {id(f): image_distance(f.atoms) for f in frames if is_reference_atom(f)}
    near = [f for f in frames if distance.get(id(f), 2 * reach) < 2 * reach]
    if not near:
        return []
    nearest = min(distance[id(f)] for f in near)
    whose = "a cutoff of usually" if cutoff is None else "the model's cutoff,"
    seen = (
        "the model sees the images, and takes these energies for those of a crystal"
        if nearest < reach
        else "the energies may hold what the atom and its images do to each other"
    )
    return [
        finding(
            "warning",
            "small-boxes",
            f"{count_of(near, len(distance)).replace('frame', 'isolated atom')} in a periodic box "
            f"with images as near as {figure(nearest)} Å, less than twice {whose} "
            f"{reach:g} Å: {seen}",
            near,
            fix="Calculate them in a larger box, or give the frames no cell.",
        )
    ]
