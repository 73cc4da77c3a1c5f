"""Numbers of reactions on potentials: along the given images, and of the relaxed band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from pestle.protocols.base import Inputs
from pestle.protocols.neb.ends import changes, lost, merged
from pestle.protocols.neb.path import path_length
from pestle.protocols.neb.reactions import Reaction, reactions
from pestle.protocols.raw import RawFolder
from pestle.records.wording import figure
from pestle.settings.probe import NebSettings

ENDS = ("reactant", "product")


def analyse(raws: Mapping[str, RawFolder], inputs: Inputs, settings: NebSettings) -> dict[str, Any]:
    """Barriers and reaction energies of every potential and reaction.

    Returns:
        `reactions`: name → `length` (Å along the given images) and `reference` (`profile` of the
        labels, or `None`); `potentials`: name → `reactions`: name → `reaction_numbers`.
    """
    given = reactions(inputs)
    found = {
        name: {"reactions": {r.name: reaction_numbers(r, raw, settings) for r in given}}
        for name, raw in raws.items()
    }
    return {"reactions": {r.name: _given(r) for r in given}, "potentials": found}


def profile(
    energy: np.ndarray, labels: np.ndarray | None = None, *, gaps: bool = False
) -> dict[str, Any]:
    """Numbers of energies along a path.

    Args:
        energy: [n_images] eV relative to the first image; NaN where not known.
        labels: [n_images] eV, the reference relative to its first image; NaN where not known.
        gaps: whether the highest of the known images counts, where some are not; else there is no
            barrier.

    Returns:
        `energy`; `barrier` (eV, of the highest image above the first; `None` without one between
        the ends), `reverse_barrier` (above the last), `reaction_energy` (eV, the last above the
        first), `saddle` (whether an image between is higher than both ends), `rmse_mev` (against
        the labels). What is not known is `None`.
    """
    known = np.isfinite(energy)
    between = energy[1:-1][known[1:-1]]
    end = float(energy[-1]) if known[-1] else None
    result: dict[str, Any] = {"energy": energy.tolist(), "barrier": None, "reverse_barrier": None}
    result |= {"reaction_energy": end, "saddle": False, "rmse_mev": None}
    if len(between) and (gaps or known.all()):
        top = float(energy[known].max())
        result["barrier"] = top
        result["reverse_barrier"] = None if end is None else top - end
        result["saddle"] = bool(between.max() > max(0.0, 0.0 if end is None else end))
    if labels is not None:
        error = (energy - labels)[np.isfinite(labels)]
        if np.isfinite(error).all():
            result["rmse_mev"] = float(1e3 * np.sqrt(np.mean(error**2)))
    return result


def relaxed_end(reaction: Reaction, which: str, raw: RawFolder) -> Atoms:
    """The relaxed reactant or product."""
    atoms = reaction.end(which)
    content = raw.read(f"{which}-{reaction.slug}")
    atoms.set_positions(content["positions"], apply_constraint=False)
    return atoms


def end_numbers(reaction: Reaction, raw: RawFolder) -> dict[str, Any]:
    """What became of the ends.

    Returns:
        `ends`: name → `changes`, and `steps`, `converged`, `fmax` (eV/Å); `failed`: what kept one
        from being relaxed; `lost`: why one is not the minimum that was given; `late`: which ran out
        of steps; in words, `None` or empty where nothing is to be said. `blocked`: whether there is
        nothing for a band to begin or end with. Ends that fell apart and came to rest are
        something: the separated fragments.
    """
    found = _nothing()
    for which in ENDS:
        content = raw.read(f"{which}-{reaction.slug}")
        if "failed" in content:
            return found | {"failed": str(content["failed"]), "blocked": True}
        change = changes(reaction.end(which), relaxed_end(reaction, which, raw))
        force = float(np.linalg.norm(content["forces"], axis=1).max())
        steps, converged = int(content["steps"]), bool(content["converged"])
        found["ends"][which] = change | {"steps": steps, "converged": converged, "fmax": force}
        found["lost"] = found["lost"] or lost(change, which)
        other = bool(change["formed"] or change["broken"])
        found["blocked"] |= other or (change["apart"] is not None and not converged)
        if not converged:
            found["late"].append(_ran_out(f"the {which}", steps, force))
    if not found["blocked"] and merged(*(relaxed_end(reaction, w, raw) for w in ENDS)):
        found["lost"] = found["lost"] or "reactant and product relax to one minimum"
        found["blocked"] = True
    return found


def reaction_numbers(reaction: Reaction, raw: RawFolder, settings: NebSettings) -> dict[str, Any]:
    """Numbers of one reaction on one potential.

    Returns:
        `path`: `profile` on the given images; `band`: that of the band, with `length` (Å),
        `converged`, `fmax` (eV/Å) and `steps`, or `None`; `ends`, `failed`, `lost`, `late` as in
        `end_numbers`; `judged`: `band` where it and its ends converged, else `path`; `barrier`,
        `reaction_energy` (eV) and `saddle` from there, with `barrier_error` and
        `reaction_energy_error`; `remarks`.
    """
    labels = reaction.reference
    energy = raw.read(f"path-{reaction.slug}")["energy"]
    path = profile(energy - energy[0], labels)
    found, band = _nothing(), None
    if settings.method != "path":
        found = end_numbers(reaction, raw)
        if raw.has(f"band-{reaction.slug}"):
            state = raw.read(f"band-{reaction.slug}")
            if "failed" in state:
                found["failed"] = str(state["failed"])
            else:
                band = _band(reaction, state)
                if not band["converged"]:
                    words = _ran_out("the band", band["steps"], band["fmax"])
                    found["late"].append(words)
    bad = np.flatnonzero(~np.isfinite(energy))
    if len(bad):
        first = reaction.images[bad[0]].where
        text = f"not finite on {len(bad)} of {len(energy)} given images (first {first})"
        found["failed"] = f"{text}; {found['failed']}" if found["failed"] else text
    judged = path if band is None or found["late"] else band
    truth = profile(labels, gaps=True) if labels is not None else {}
    for name in ("barrier", "reaction_energy"):
        value, true = judged[name], truth.get(name)
        found[name] = value
        found[f"{name}_error"] = None if value is None or true is None else value - true
    remarks = [text for text in (found["failed"], found["lost"], *found["late"]) if text]
    if judged["barrier"] is not None and not judged["saddle"]:
        remarks.append("no image between is higher than both ends: no saddle")
    where = "path" if judged is path else "band"
    found |= {"path": path, "band": band, "judged": where, "saddle": judged["saddle"]}
    return found | {"remarks": remarks}


def _given(reaction: Reaction) -> dict[str, Any]:
    labels = reaction.reference
    return {
        "length": path_length(reaction.structures()).tolist(),
        "reference": None if labels is None else profile(labels, gaps=True),
    }


def _band(reaction: Reaction, state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    numbers = profile(state["energy"] - state["energy"][0])
    return numbers | {
        "length": path_length(reaction.at(state["positions"])).tolist(),
        "converged": bool(state["converged"]),
        "fmax": float(state["fmax"]),
        "steps": int(state["steps"]),
    }


def _nothing() -> dict[str, Any]:
    """What is known of ends before they are looked at."""
    return {"ends": {}, "failed": None, "lost": None, "late": [], "blocked": False}


def _ran_out(what: str, steps: int, force: float) -> str:
    return f"{what} ran out of steps after {steps} (largest force {figure(force)} eV/Å)"
