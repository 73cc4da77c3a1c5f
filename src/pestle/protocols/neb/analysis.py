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
from pestle.protocols.neb.reactions import Reaction, reactions
from pestle.protocols.raw import RawFolder
from pestle.settings.probe import NebSettings
from pestle.wording import figure

ENDS = ("reactant", "product")


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: NebSettings) -> NebNumbers:
    """Calculate barriers and reaction energies of every reaction on every potential.

    Args:
        raws: name of the potential → its raw results.
        inputs: gives the reactions.
        settings: settings of the protocol.
    """
    given = reactions(inputs)
    found = {
        name: PotentialNumbers(
            reactions={r.name: reaction_numbers(r, raw, settings) for r in given}
        )
        for name, raw in raws.items()
    }
    return NebNumbers(reactions={r.name: _given(r) for r in given}, potentials=found)


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


def relaxed_end(reaction: Reaction, which: str, raw: RawFolder) -> Atoms:
    """Return the relaxed reactant or product.

    Args:
        reaction: the reaction.
        which: `reactant` or `product`.
        raw: raw results of the potential.
    """
    atoms = reaction.end(which)
    content = raw.read(f"{which}-{reaction.slug}")
    atoms.set_positions(content["positions"], apply_constraint=False)
    return atoms


def end_numbers(reaction: Reaction, raw: RawFolder) -> Ends:
    """Describe the relaxation of reactant and product.

    Args:
        reaction: the reaction.
        raw: raw results of the potential.
    """
    ends: dict[str, EndNumbers] = {}
    late: list[str] = []
    reason, blocked = None, False
    for which in ENDS:
        content = raw.read(f"{which}-{reaction.slug}")
        if "failed" in content:
            failed = str(content["failed"])
            return Ends(ends=ends, failed=failed, lost=reason, late=late, blocked=True)
        change = changes(reaction.end(which), relaxed_end(reaction, which, raw))
        force = float(np.linalg.norm(content["forces"], axis=1).max())
        steps, converged = int(content["steps"]), bool(content["converged"])
        ends[which] = EndNumbers(
            **change.model_dump(), steps=steps, converged=converged, fmax=force
        )
        reason = reason or lost(change, which)
        other = bool(change.formed or change.broken)
        blocked |= other or (change.apart is not None and not converged)
        if not converged:
            late.append(_ran_out(f"the {which}", steps, force))
    if not blocked and merged(*(relaxed_end(reaction, w, raw) for w in ENDS)):
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
    energy = raw.read(f"path-{reaction.slug}")["energy"]
    path = profile(energy - energy[0], labels)
    found, band = Ends(), None
    failed = None
    if settings.method != "path":
        found = end_numbers(reaction, raw)
        failed = found.failed
        if raw.has(f"band-{reaction.slug}"):
            state = raw.read(f"band-{reaction.slug}")
            if "failed" in state:
                failed = str(state["failed"])
            else:
                band = _band(reaction, state)
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


def _given(reaction: Reaction) -> GivenReaction:
    labels = reaction.reference
    return GivenReaction(
        length=path_length(reaction.structures()).tolist(),
        reference=None if labels is None else profile(labels, gaps=True),
    )


def _band(reaction: Reaction, state: Mapping[str, np.ndarray]) -> BandNumbers:
    return BandNumbers(
        **profile(state["energy"] - state["energy"][0]).model_dump(),
        length=path_length(reaction.at(state["positions"])).tolist(),
        converged=bool(state["converged"]),
        fmax=float(state["fmax"]),
        steps=int(state["steps"]),
    )


def _ran_out(what: str, steps: int, force: float) -> str:
    return f"{what} ran out of steps after {steps} (largest force {figure(force)} eV/Å)"
