"""The structures on which forgetting is measured: given structures with labels, or generated ones.

Half of the generated structures contain only elements of the data, because a user will simulate
these first. The other half contain one to three elements each, from all elements that the models
under test know, with all pairs covered evenly, because a foundation is made for a broad range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from ase.data import chemical_symbols

from pestle.checks.geometry import sound_frames
from pestle.errors import PestleError
from pestle.foundations.prediction import FramePrediction
from pestle.progress import progress
from pestle.protocols.base import Inputs
from pestle.structures.frame import Frame, split_isolated_atoms
from pestle.structures.generation import generate
from pestle.structures.generation.spacing import HEAVIEST
from pestle.wording import counted

#: Makes these structures different from those of replay and drift, which are made from the seed of
#: the run and from the next seed. A run may have been trained or chosen on those.
STREAM = 10


def labels_are_given(inputs: Inputs) -> bool:
    """Whether structures with labels were given, so that none are generated."""
    return any(inputs.sets.values())


def labelled_structures(inputs: Inputs) -> list[Frame]:
    """Return the given structures whose elements are known to every potential.

    Isolated atoms are left out, because they test only the E0s. Broken structures are left out too.
    """
    return _sorted_out(inputs)[0]


def left_out(inputs: Inputs) -> str:
    """Describe the structures that `labelled_structures` leaves out; empty if there are none."""
    return _sorted_out(inputs)[1]


def _sorted_out(inputs: Inputs) -> tuple[list[Frame], str]:
    rest, isolated = split_isolated_atoms(inputs.frames)
    sound, _ = sound_frames(rest, None)
    known = None if inputs.known is None else frozenset(inputs.known)
    kept, missing = [], Counter[str]()
    for frame in sound:
        unknown = set() if known is None else set(frame.numbers.tolist()) - known
        missing.update(chemical_symbols[z] for z in unknown)
        if not unknown:
            kept.append(frame)
    parts = []
    if isolated:
        parts.append(counted(len(isolated), "isolated atom"))
    if len(sound) < len(rest):
        parts.append(f"{len(rest) - len(sound)} broken (`pestle check` names them)")
    if len(kept) < len(sound):
        named = ", ".join(f"{symbol} {n}" for symbol, n in sorted(missing.items()))
        parts.append(f"{len(sound) - len(kept)} with elements that not every model knows ({named})")
    return kept, f"Left out: {'; '.join(parts)}." if parts else ""


def elements_to_generate(inputs: Inputs) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the elements of the two halves of the generated structures.

    Returns:
        Atomic numbers of the data, and atomic numbers that every potential knows. If a potential
        does not declare its elements, the second are those of the data too.
    """
    own = tuple(sorted(z for z in inputs.elements if z <= HEAVIEST))
    known = tuple(sorted(z for z in inputs.known or () if z <= HEAVIEST))
    return own, known if set(known) > set(own) else own


def generated_structures(inputs: Inputs, count: int) -> tuple[list[Frame], list[bool]]:
    """Generate structures, half of them with the elements of the data.

    Args:
        inputs: gives elements and seed.
        count: number of structures.

    Returns:
        The structures, and for each whether it belongs to the half with the data's elements.
    """
    own, known = elements_to_generate(inputs)
    return _generated(own, known, count, inputs.seed)


# Generated once: all potentials of a test and the analysis use the same structures.
@lru_cache(maxsize=2)
def _generated(
    own: Sequence[int], known: Sequence[int], count: int, seed: int
) -> tuple[list[Frame], list[bool]]:
    first, second = np.random.SeedSequence([seed, STREAM]).generate_state(2).tolist()
    half = count if known == own else count - count // 2
    with progress("generating structures", count) as bar:
        frames = generate(own, half, first, on_progress=bar.to)
        if half < count:
            more = generate(
                known, count - half, second, on_progress=lambda done: bar.to(half + done)
            )
            for k, frame in enumerate(more):
                frame.index = half + k
            frames = frames + more
    return frames, [k < half for k in range(count)]


def moderate(base: Sequence[FramePrediction], max_force: float) -> tuple[list[int], str]:
    """Select the structures on which the foundation's forces are moderate.

    Args:
        base: predictions of the foundation, one for each structure.
        max_force: largest force that is allowed, eV/Å.

    Returns:
        Indices of the selected structures, and a note on the others.

    Raises:
        PestleError: fewer than two structures are left.
    """
    finite = [k for k, p in enumerate(base) if p.finite]
    kept = [
        k for k in finite if np.linalg.norm(base[k].forces, axis=1).max(initial=0.0) <= max_force
    ]
    if len(kept) < 2:
        raise PestleError(
            f"the foundation's forces are below {max_force:g} eV/Å on {len(kept)} of {len(base)} "
            "structures",
            where="forgetting.max_force",
            fix="Allow larger forces, or give labelled structures with --data.",
        )
    strong, lost = len(finite) - len(kept), len(base) - len(finite)
    parts = []
    if strong:
        parts.append(
            f"{strong} on which the foundation has a force above {max_force:g} eV/Å, where it "
            "extrapolates itself"
        )
    if lost:
        parts.append(f"{lost} on which it is not finite")
    return kept, f"Left out: {'; '.join(parts)}." if parts else ""
