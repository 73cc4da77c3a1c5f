"""Barriers and reaction energies along the given images and along the relaxed band."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms

from pestle.protocols.base import Inputs
from pestle.protocols.neb.ends import changes, lost, merged
from pestle.protocols.neb.numbers import (
    BandNumbers,
    EndNumbers,
    Ends,
    GivenReaction,
    NebNumbers,
    PotentialNumbers,
    Profile,
    ReactionNumbers,
)
from pestle.protocols.neb.path import path_length
from pestle.protocols.neb.raw_results import (
    ENDS,
    End,
    Failure,
    GivenImages,
    RelaxedEnd,
    name_of_images,
    read_band,
    read_end,
)
from pestle.protocols.neb.reactions import Reaction, reactions
from pestle.protocols.raw import RawFolder
from pestle.settings.probe import NebSettings
from pestle.wording import figure


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: NebSettings) -> NebNumbers:
    """Calculate barriers and reaction energies of every reaction on every potential.

    Args:
        raws: name of the potential → its raw results.
        inputs: gives the reactions.
        settings: settings of the protocol.
    """
    given = reactions(inputs)
    described = {
        r.name: GivenReaction(
            length=path_length(r.structures()).tolist(),
            reference=None if r.reference is None else profile(r.reference, gaps=True),
        )
        for r in given
    }
    found = {
        name: PotentialNumbers(
            reactions={r.name: reaction_numbers(r, raw, settings) for r in given}
        )
        for name, raw in raws.items()
    }
    return NebNumbers(reactions=described, potentials=found)


def profile(energy: np.ndarray, labels: np.ndarray | None = None, *, gaps: bool = False) -> Profile:
    """Calculate barrier and reaction energy from the energies along a path.

    Args:
        energy: [n_images] eV relative to the first image; NaN where unknown.
        labels: [n_images] eV, reference energies relative to the first image; NaN where unknown.
        gaps: whether a barrier is given even if some images are unknown. It is then the highest
            known image.
    """
    known = np.isfinite(energy)
    between = energy[1:-1][known[1:-1]]
    end = float(energy[-1]) if known[-1] else None
    barrier, reverse, saddle, rmse = None, None, False, None
    if len(between) and (gaps or known.all()):
        barrier = float(energy[known].max())
        reverse = None if end is None else barrier - end
        saddle = bool(between.max() > max(0.0, 0.0 if end is None else end))
    if labels is not None:
        error = (energy - labels)[np.isfinite(labels)]
        if np.isfinite(error).all():
            rmse = float(1e3 * np.sqrt(np.mean(error**2)))
    return Profile(
        energy=[None if np.isnan(value) else value for value in energy.tolist()],
        barrier=barrier,
        reverse_barrier=reverse,
        reaction_energy=end,
        saddle=saddle,
        rmse_mev=rmse,
    )


def relaxed_atoms(reaction: Reaction, which: End, relaxed: RelaxedEnd) -> Atoms:
    """Return the relaxed reactant or product as a structure.

    Args:
        reaction: the reaction.
        which: `reactant` or `product`.
        relaxed: the result of the relaxation.
    """
    atoms = reaction.end(which)
    atoms.set_positions(relaxed.positions, apply_constraint=False)
    return atoms


def end_numbers(reaction: Reaction, raw: RawFolder) -> Ends:
    """Describe the relaxation of reactant and product.

    Args:
        reaction: the reaction.
        raw: raw results of the potential.
    """
    ends: dict[str, EndNumbers] = {}
    relaxed: list[Atoms] = []
    late: list[str] = []
    reason, blocked = None, False
    for which in ENDS:
        found = read_end(reaction, which, raw)
        if isinstance(found, Failure):
            return Ends(ends=ends, failed=found.failed, lost=reason, late=late, blocked=True)
        relaxed.append(relaxed_atoms(reaction, which, found))
        change = changes(reaction.end(which), relaxed[-1])
        force = float(np.linalg.norm(found.forces, axis=1).max())
        ends[which] = EndNumbers(
            **change.model_dump(), steps=found.steps, converged=found.converged, fmax=force
        )
        reason = reason or lost(change, which)
        other = bool(change.formed or change.broken)
        blocked |= other or (change.apart is not None and not found.converged)
        if not found.converged:
            late.append(_ran_out(f"the {which}", found.steps, force))
    if not blocked and merged(*relaxed):
        reason, blocked = reason or "reactant and product relax to one minimum", True
    return Ends(ends=ends, lost=reason, late=late, blocked=blocked)


def reaction_numbers(reaction: Reaction, raw: RawFolder, settings: NebSettings) -> ReactionNumbers:
    """Calculate all numbers of one reaction on one potential.

    Args:
        reaction: the reaction with its images.
        raw: raw results of the potential.
        settings: settings of the protocol.
    """
    labels = reaction.reference
    energy = raw.read(name_of_images(reaction), GivenImages).energy
    path = profile(energy - energy[0], labels)
    found, band = Ends(), None
    failed = None
    if settings.method != "path":
        found = end_numbers(reaction, raw)
        failed = found.failed
        relaxed = read_band(reaction, raw)
        if isinstance(relaxed, Failure):
            failed = relaxed.failed
        elif relaxed is not None:
            band = BandNumbers(
                **profile(relaxed.energy - relaxed.energy[0]).model_dump(),
                length=path_length(reaction.at(relaxed.positions)).tolist(),
                converged=relaxed.converged,
                fmax=relaxed.fmax,
                steps=relaxed.steps,
            )
    late = list(found.late)
    if band is not None and not band.converged:
        late.append(_ran_out("the band", band.steps, band.fmax))
    bad = np.flatnonzero(~np.isfinite(energy))
    if len(bad):
        first = reaction.images[bad[0]].where
        text = f"not finite on {len(bad)} of {len(energy)} given images (first {first})"
        failed = f"{text}; {failed}" if failed else text
    judged = path if band is None or late else band
    truth = profile(labels, gaps=True) if labels is not None else Profile(energy=[])
    remarks = [text for text in (failed, found.lost, *late) if text]
    if judged.barrier is not None and not judged.saddle:
        remarks.append("no image between is higher than both ends: no saddle")
    return ReactionNumbers(
        ends=found.ends,
        failed=failed,
        lost=found.lost,
        late=late,
        blocked=found.blocked,
        barrier=judged.barrier,
        barrier_error=_less(judged.barrier, truth.barrier),
        reaction_energy=judged.reaction_energy,
        reaction_energy_error=_less(judged.reaction_energy, truth.reaction_energy),
        path=path,
        band=band,
        judged="path" if judged is path else "band",
        saddle=judged.saddle,
        remarks=remarks,
    )


def _less(value: float | None, true: float | None) -> float | None:
    return None if value is None or true is None else value - true


def _ran_out(what: str, steps: int, force: float) -> str:
    return f"{what} ran out of steps after {steps} (largest force {figure(force)} eV/Å)"
