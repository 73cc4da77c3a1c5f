"""The comparison of a foundation with the data in `pestle check -f`: errors, offset, levels of
theory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ase.data import chemical_symbols

from pestle.checks.dispersion import dispersion_of_labels
from pestle.checks.report import AgainstFoundation
from pestle.checks.surfaces import THEORY_KEYS
from pestle.energies.reference_energies import ReferenceEnergies
from pestle.foundations.dispersion import dispersion_of
from pestle.foundations.interface import Foundation
from pestle.foundations.prediction import KnownPredictions, predict_frames
from pestle.metrics import FrameErrors, errors_by_group
from pestle.progress import progress
from pestle.structures.frame import Frame, elements_of
from pestle.structures.reading import is_reference_atom
from pestle.structures.selection import ABSENT, word_of

#: Largest number of different values of one key that are named.
WORDS = 4


def described(
    splits: Mapping[str, Sequence[Frame]],
    foundation: Foundation,
    head: str,
    known: KnownPredictions,
    *,
    stated: str,
    compared: Mapping[str, ReferenceEnergies] | None,
) -> AgainstFoundation:
    """Compare a foundation with the data and calculate the errors of its predictions.

    Args:
        splits: frames by split.
        foundation: the model.
        head: head of the foundation.
        known: predictions of this head that exist already.
        stated: whether the labels include dispersion, as the user said: included, none or unknown.
        compared: method → E0s in eV; the reestimated ones give the offset. `None` if the checks
            found an error; nothing is predicted then.

    Returns:
        The comparison: offsets in eV, errors in meV/atom, meV/Å and meV/Å³.
    """
    everything = [frame for frames in splits.values() for frame in frames]
    have = set(foundation.elements)
    elements = [z for z in elements_of(everything) if z]
    names = {z: chemical_symbols[z] for z in elements}
    offset: dict[int, float] = {}
    undetermined: set[str] = set()
    errors: dict[str, FrameErrors] = {}
    frames = [frame for frame in everything if not frame.is_isolated_atom]
    if compared is not None and frames:
        with progress("predicting with the foundation", len(frames)) as bar:
            said = predict_frames(
                foundation, frames, head=head, known=known, on_progress=bar.to, finite=True
            )
        if "reestimate" in compared:  # it is missing if no frame has an energy
            offset = compared["reestimate"].shift
            settled = {str(f.atoms.symbols) for f in everything if is_reference_atom(f)}
            sums = compared["reestimate"].null_space
            undetermined = {symbol for one in sums for symbol in one} - settled
        moved = [
            replace(p, energy=p.energy + sum(offset.get(int(z), 0.0) for z in f.numbers))
            for f, p in zip(frames, said, strict=True)
        ]
        errors = errors_by_group(frames, moved)
    return AgainstFoundation(
        name=foundation.provenance.name,
        head=head,
        licence=foundation.provenance.licence,
        level_of_theory=foundation.provenance.level_of_theory,
        level_of_labels=level_of_labels(everything),
        dispersion=dispersion_of(foundation, head),
        dispersion_of_labels=dispersion_of_labels(everything, stated),
        covered=tuple(names[z] for z in elements if z in have),
        not_covered=tuple(names[z] for z in elements if z not in have),
        offset={names[z]: value for z, value in offset.items()},
        offset_undetermined=tuple(
            chemical_symbols[z] for z in elements if chemical_symbols[z] in undetermined
        ),
        errors=errors,
    )


def level_of_labels(frames: Sequence[Frame]) -> str:
    """Return the level of theory that the files state, e.g. `functional=PBE, basis=def2-SVP`; empty
    if they state none.

    Args:
        frames: frames as read.
    """
    found = []
    for key in THEORY_KEYS:
        words = dict.fromkeys(word_of(f, key) for f in frames if not f.is_isolated_atom)
        named = [word for word in words if word != ABSENT]
        if named:
            more = f" and {len(named) - WORDS} more" if len(named) > WORDS else ""
            found.append(f"{key}={' or '.join(named[:WORDS])}{more}")
    return ", ".join(found)
