"""Atomic reference energies (E0s) for the data's level of theory, with diagnostics.

There are four methods (paper, section 2.6). `isolated` takes them from calculations of single
atoms. `average` fits the total energies by composition only (Eq. 5). `reestimate` fits the
difference between labels and the foundation's predictions by composition (Eq. 6): the shift ΔE0
fits E_ft − E_pre, and E0_new = E0_pre + ΔE0. `foundation` keeps the foundation's E0s.

Fits are minimum-norm least squares by SVD, in float64. If the energies do not determine a
reestimated E0, it stays as near as possible to the isolated atom in the data or, without one, to
the foundation's E0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

from pestle.errors import PestleError
from pestle.progress import progress
from pestle.structures.composition import null_space_of
from pestle.structures.frame import Frame, composition_matrix, elements_of
from pestle.structures.reading import is_reference_atom

if TYPE_CHECKING:
    from pestle.foundations.interface import Foundation
    from pestle.foundations.prediction import KnownPredictions

METHODS = ("isolated", "reestimate", "average", "foundation")

#: Singular values below this fraction of the largest count as zero: atom counts are integers, so
#: that nonzero ones are far above rounding errors.
RANK_TOLERANCE = 1e-10


#: A single-atom energy counts as equal to its E0 if they differ by less (eV).
SINGLE_ATOM_TOLERANCE = 1e-4
#: Two energies of the same isolated atom count as different if they differ by more (eV).
SAME_ATOM = 1e-3
#: Isolated atoms are doubtful as E0s if the foundation's starting error with them is at least this
#: large (meV/atom), and larger than with reestimated E0s by this factor.
SUSPECT_ERROR, SUSPECT_RATIO = 100.0, 5.0


@dataclass
class ReferenceEnergies:
    """E0s from one method, with diagnostics. Energies are in eV unless stated otherwise.

    Attributes:
        method: how they were found: one of `METHODS`, or `given` by the user.
        e0s: atomic number → E0.
        kept: elements (of the data or of the foundation) that keep the foundation's E0.
        shift: element of the data → E0 minus the foundation's E0.
        rank, n_elements: rank and number of columns of the composition matrix.
        condition_number: condition number of the composition matrix on its row space.
        null_space: combinations of E0s (symbol → coefficient) that the energies do not determine.
        null_space_text: the same in words; empty at full rank.
        spread_before, spread_after: standard deviation over frames of the foundation's energy error
            per atom, with its own E0s and with these (meV/atom).
        zero_step_error: RMSE of the foundation's energies with these E0s (meV/atom), with which
            training starts; `None` without a foundation.
        single_atoms: element of the data → energy of a single atom of the model with these E0s
            (eV). It differs from the E0 if the network adds to it (paper, 3.2.2).
        reason: why this method was chosen.
        warnings: warnings for the user.
    """

    method: str
    e0s: dict[int, float]
    kept: tuple[int, ...] = ()
    shift: dict[int, float] = field(default_factory=dict)
    rank: int = 0
    n_elements: int = 0
    condition_number: float = float("nan")
    null_space: list[dict[str, float]] = field(default_factory=list)
    null_space_text: str = ""
    spread_before: float | None = None
    spread_after: float | None = None
    zero_step_error: float | None = None
    single_atoms: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain data, with element symbols as keys."""

        def named(table: Mapping[int, float]) -> dict[str, float]:
            return {chemical_symbols[z]: float(e) for z, e in sorted(table.items())}

        return {
            "method": self.method,
            "reason": self.reason,
            "e0s": named(self.e0s),
            "shift": named(self.shift),
            "kept_from_foundation": [chemical_symbols[z] for z in self.kept],
            "elements": [chemical_symbols[z] for z in sorted(self.e0s)],
            "rank": self.rank,
            "n_elements": self.n_elements,
            "condition_number": self.condition_number,
            "null_space": self.null_space,
            "null_space_text": self.null_space_text,
            "spread_before_mev_per_atom": self.spread_before,
            "spread_after_mev_per_atom": self.spread_after,
            "zero_step_error_mev_per_atom": self.zero_step_error,
            "single_atoms": named(self.single_atoms),
            "warnings": self.warnings,
        }

    @property
    def single_atom_offset(self) -> float:
        """Largest |single atom − E0| over the elements of the data, eV; 0 without a foundation."""
        return max((abs(e - self.e0s[z]) for z, e in self.single_atoms.items()), default=0.0)


@dataclass
class EnergyProblem:
    """The input of the methods: energies and compositions of frames, and predictions.

    Attributes:
        frames: frames with an energy, without isolated atoms, which do not interact.
        atoms: labelled IsolatedAtom frames.
        elements: atomic numbers in frames and atoms.
        counts: [n_frames, n_elements] number of atoms of each element.
        energy: [n_frames] eV, labels.
        interaction: [n_frames] eV, the foundation's energies without its E0s; `None` without one.
        foundation_e0s: atomic number → E0 of the foundation's head in eV.
        self_energies: atomic number → energy that the network adds to the E0 of a single atom, eV.
    """

    frames: list[Frame]
    atoms: list[Frame]
    elements: tuple[int, ...]
    counts: np.ndarray
    energy: np.ndarray
    interaction: np.ndarray | None = None
    foundation_e0s: dict[int, float] = field(default_factory=dict)
    self_energies: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        frames: Sequence[Frame],
        foundation: Foundation | None = None,
        head: str | None = None,
        *,
        max_edges: int | None = None,
        known: KnownPredictions | None = None,
    ) -> EnergyProblem:
        """Collect the energies of frames and predict them once with the foundation.

        Args:
            frames: frames of the data.
            foundation: the foundation; `None` for methods that need none.
            head: head of the foundation.
            max_edges: largest number of edges in a batch; by default the model's `edges_at_once`.
            known: earlier predictions of that head.

        Raises:
            PestleError: the foundation does not know an element or has no such head.
        """
        atoms = [f for f in frames if is_reference_atom(f)]
        labelled = [f for f in frames if f.energy is not None and not f.is_isolated_atom]
        elements = elements_of(frames)
        problem = cls(
            frames=labelled,
            atoms=atoms,
            elements=elements,
            counts=composition_matrix(labelled, elements),
            energy=np.array([f.energy for f in labelled], dtype=float),
        )
        if foundation is not None:
            # Imported here, because averaging needs no model and therefore no torch.
            from pestle.foundations.prediction import predict_frames

            require_elements(frames, foundation)
            with progress("predicting energies", max(1, len(labelled))) as bar:
                predictions = predict_frames(
                    foundation,
                    labelled,
                    head=head,
                    max_edges=max_edges,
                    on_progress=bar.to,
                    known=known,
                    finite=True,
                )
            problem.interaction = np.array([p.interaction_energy for p in predictions])
            name = foundation.heads[foundation.head_index(head)]
            problem.foundation_e0s = dict(foundation.reference_energies[name])
            alone = foundation.isolated_atom_energies(name)
            problem.self_energies = {z: e - problem.foundation_e0s[z] for z, e in alone.items()}
        return problem

    def error_per_atom(self, e0s: Mapping[int, float]) -> np.ndarray:
        """Calculate the foundation's energy error per atom with given E0s.

        Args:
            e0s: atomic number → E0, eV.

        Returns:
            [n_frames] eV/atom, prediction minus label.
        """
        assert self.interaction is not None
        reference = self.counts @ np.array([e0s[z] for z in self.elements])
        return (self.interaction + reference - self.energy) / self.counts.sum(axis=1)


def require_elements(frames: Sequence[Frame], foundation: Foundation) -> None:
    """Check that the foundation knows every element of the frames.

    Raises:
        PestleError: it does not; names the element and the first frame with it.
    """
    known = set(foundation.elements)
    for frame in frames:
        for z in frame.numbers:
            if int(z) not in known:
                raise PestleError(
                    f"{chemical_symbols[int(z)]} is not among the {len(known)} elements of "
                    f"{foundation.provenance.name}",
                    where=frame.where,
                    fix="Choose a foundation that covers it, or leave those frames out.",
                )


def estimate(
    problem: EnergyProblem, method: str, table: Mapping[int, float] | None = None
) -> ReferenceEnergies:
    """Determine E0s with one method.

    Args:
        problem: energies and compositions.
        method: one of `METHODS`.
        table: atomic number → E0 in eV, given by the user for `isolated`; takes precedence over
            IsolatedAtom frames.

    Returns:
        The E0s with diagnostics.

    Raises:
        PestleError: the method is unknown, or the data do not permit it.
    """
    if method == "isolated":
        result = _isolated(problem, table or {})
    elif method == "average":
        result = _average(problem)
    elif method == "reestimate":
        result = _reestimate(problem)
    elif method == "foundation":
        if not problem.foundation_e0s:
            _need_foundation(problem, method)
        result = ReferenceEnergies("foundation", dict(problem.foundation_e0s))
        result.kept = tuple(sorted(problem.foundation_e0s))
    else:
        raise PestleError(
            f"unknown method '{method}'", where="e0s", fix=f"Choose one of {', '.join(METHODS)}."
        )
    return _diagnose(result, problem)


def _need_foundation(problem: EnergyProblem, method: str) -> None:
    if problem.interaction is None:
        raise PestleError(
            f"'{method}' needs a foundation model to predict the energies",
            where="e0s",
            fix="Give --foundation, or choose isolated or average.",
        )


def _need_energies(problem: EnergyProblem, method: str) -> None:
    if not problem.frames:
        raise PestleError(
            f"no frame besides isolated atoms has an energy: '{method}' has nothing to fit",
            where="e0s",
        )


def minimum_norm(counts: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Solve a least-squares problem with minimum norm by SVD: the limit λ → 0⁺ of Eq. 5 and 6.

    Args:
        counts: [n_frames, n_elements] number of atoms of each element.
        target: [n_frames] energies, eV.

    Returns:
        [n_elements] eV.
    """
    return np.linalg.lstsq(counts, target, rcond=RANK_TOLERANCE)[0]


def _isolated(problem: EnergyProblem, table: Mapping[int, float]) -> ReferenceEnergies:
    e0s: dict[int, float] = {}
    warnings = []
    for frame in problem.atoms:
        z = int(frame.numbers[0])
        energy = float(frame.energy or 0.0)
        if z in e0s and abs(e0s[z] - energy) > SAME_ATOM:
            warnings.append(
                f"two isolated {chemical_symbols[z]} atoms differ by "
                f"{abs(e0s[z] - energy):.4f} eV; the lower one is taken ({frame.where})"
            )
        e0s[z] = min(energy, e0s.get(z, energy))
    e0s.update(table)
    missing = [z for z in elements_of(problem.frames) if z not in e0s]
    if missing:
        names = ", ".join(chemical_symbols[z] for z in missing)
        if table:
            raise PestleError(
                f"the table holds no E0 of {names}, and the data no isolated atom",
                where="e0s",
                fix="Add them to the table.",
            )
        raise PestleError(
            f"no isolated atom for {names}",
            where="e0s",
            fix="Add IsolatedAtom frames, give a table (e0s: {H: -13.6, …}), or use reestimate.",
        )
    return ReferenceEnergies("isolated", e0s, warnings=warnings)


def _average(problem: EnergyProblem) -> ReferenceEnergies:
    _need_energies(problem, "average")
    used = np.flatnonzero(problem.counts.any(axis=0))
    values = minimum_norm(problem.counts[:, used], problem.energy)
    e0s = {problem.elements[k]: float(v) for k, v in zip(used, values, strict=True)}
    e0s |= _atoms_alone(problem, e0s)
    warning = (
        "averaged E0s put the binding energy of the training structures into the atoms: errors two "
        "to three times larger and unstable MD are what the paper finds (Fig. 4, Table 1); prefer "
        "isolated or reestimate"
    )
    return ReferenceEnergies("average", e0s, warnings=[warning])


def _reestimate(problem: EnergyProblem) -> ReferenceEnergies:
    _need_foundation(problem, "reestimate")
    _need_energies(problem, "reestimate")
    assert problem.interaction is not None
    used = np.flatnonzero(problem.counts.any(axis=0))
    start = _start(problem)
    before = problem.counts @ np.array([start[z] for z in problem.elements])
    shift = minimum_norm(problem.counts[:, used], problem.energy - (problem.interaction + before))
    e0s = {}
    for k, delta in zip(used, shift, strict=True):
        z = problem.elements[k]
        e0s[z] = start[z] + float(delta)
    return ReferenceEnergies("reestimate", e0s | _atoms_alone(problem, e0s))


def _start(problem: EnergyProblem) -> dict[int, float]:
    """Return the E0s from which reestimation starts; it shifts them as little as possible.

    If the compositions determine all E0s, the start has no influence. If not, isolated atoms of the
    data are a better start than the foundation's E0s. They are used either unchanged or minus the
    energy that the network adds to a single atom, whichever agrees better with the other frames,
    because E0s of foundations have different meanings (paper, 3.2.2).
    """
    own = problem.foundation_e0s
    atoms = _lowest_atoms(problem)
    as_they_are = own | atoms
    less_self = own | {z: e - problem.self_energies.get(z, 0.0) for z, e in atoms.items()}
    return min(
        (as_they_are, less_self),
        key=lambda e0s: float(np.mean(problem.error_per_atom(e0s) ** 2)),
    )


def _atoms_alone(problem: EnergyProblem, found: Mapping[int, float]) -> dict[int, float]:
    """Return labels of isolated atoms whose element is in no other frame to fit."""
    return {z: e for z, e in _lowest_atoms(problem).items() if z not in found}


def _lowest_atoms(problem: EnergyProblem) -> dict[int, float]:
    """Return the lowest energy of the isolated atoms of each element, eV."""
    atoms: dict[int, float] = {}
    for frame in problem.atoms:
        z = int(frame.numbers[0])
        if frame.energy is not None:
            atoms[z] = min(frame.energy, atoms.get(z, frame.energy))
    return atoms


def _diagnose(result: ReferenceEnergies, problem: EnergyProblem) -> ReferenceEnergies:
    """Add rank, null space, shifts, spreads and the zero-step error to a result."""
    used = np.flatnonzero(problem.counts.any(axis=0))
    counts = problem.counts[:, used]
    elements = [problem.elements[k] for k in used]
    if len(elements):
        space = null_space_of(counts, elements)
        result.rank, result.n_elements = space.rank, len(elements)
        result.null_space = space.vectors
        result.null_space_text = space.sentence() if space.vectors else ""
        singular = np.linalg.svd(counts, compute_uv=False)[: space.rank]
        result.condition_number = float(singular[0] / singular[-1])
        if space.vectors and result.method in ("average", "reestimate"):
            near = "zero"
            if result.method == "reestimate":
                near = "isolated atoms" if problem.atoms else "the foundation's E0s"
            result.warnings.append(
                f"the compositions do not determine every E0: {result.null_space_text}. The "
                f"solution nearest to {near} is taken; energies of the data's compositions are "
                "right, those of other compositions may not be"
            )
    missing = [z for z in problem.elements if z not in result.e0s]
    if problem.foundation_e0s:
        kept = [z for z in problem.foundation_e0s if z not in result.e0s]
        for z in kept:
            result.e0s[z] = problem.foundation_e0s[z]
        result.kept = tuple(sorted({*result.kept, *kept}))
        result.shift = {
            z: result.e0s[z] - problem.foundation_e0s[z]
            for z in problem.elements
            if z in problem.foundation_e0s
        }
    elif missing:
        names = ", ".join(chemical_symbols[z] for z in missing)
        raise PestleError(f"no E0 can be given for {names}", where="e0s")
    if problem.interaction is not None:
        result.single_atoms = {
            z: result.e0s[z] + problem.self_energies[z]
            for z in problem.elements
            if z in problem.self_energies and z in result.e0s
        }
    if problem.interaction is not None and len(problem.frames):
        before = 1e3 * problem.error_per_atom(problem.foundation_e0s)
        after = 1e3 * problem.error_per_atom(result.e0s)
        result.spread_before, result.spread_after = float(before.std()), float(after.std())
        result.zero_step_error = float(np.sqrt(np.mean(after**2)))
    return result


def compare(problem: EnergyProblem) -> dict[str, ReferenceEnergies]:
    """Determine E0s with every method that the data permit.

    Args:
        problem: energies and compositions.

    Returns:
        Method → E0s with diagnostics.
    """
    results = {}
    for method in METHODS:
        try:
            results[method] = estimate(problem, method)
        except PestleError:
            continue
    return results
