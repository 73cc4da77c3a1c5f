"""Charts, table and findings of reactions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ase.units import kB

from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import LEVELS, Finding
from pestle.records.wording import counted, fixed

#: K at which an error of a barrier is told as one of a rate.
ROOM = 300.0

Found = Mapping[str, Any]


def charts(metrics: Found) -> list[Chart]:
    """Of each reaction: energies along the given images, and along the bands (Fig. 6c)."""
    found = []
    for name, given in metrics["reactions"].items():
        mine = {m: p["reactions"][name] for m, p in metrics["potentials"].items()}
        known = [Series(m, given["length"], r["path"]["energy"]) for m, r in mine.items()]
        reference = _reference(given)
        found.append(
            Chart(
                f"{name}: along the given images",
                "path length (Å)",
                "energy above the first image (eV)",
                [*reference, *known],
            )
        )
        bands = {m: r["band"] for m, r in mine.items() if r["band"] is not None}
        if not bands:
            continue
        late = [m for m, band in bands.items() if not band["converged"]]
        without = [m for m in mine if m not in bands]
        caption = "Each model's band has its own length; reference: the given images."
        caption += f" Not converged: {', '.join(late)}." if late else ""
        caption += f" Without a band: {', '.join(without)}." if without else ""
        found.append(
            Chart(
                f"{name}: relaxed with each model",
                "path length (Å)",
                "energy above the reactant (eV)",
                [*reference, *(Series(m, b["length"], b["energy"]) for m, b in bands.items())],
                caption=caption,
            )
        )
    return found


def _reference(given: Found) -> list[Series]:
    labels = given["reference"]
    if labels is None:
        return []
    return [Series("reference", given["length"], labels["energy"], dashed=True)]


def tables(metrics: Found) -> list[Table]:
    """A row for each potential and reaction, and one for the labels."""
    several = len(metrics["reactions"]) > 1
    columns = [Column("reaction")] if several else []
    columns += [
        Column("model"),
        Column("barrier, relaxed", "eV", 3),
        Column("barrier, given images", "eV", 3),
        Column("error", "eV", 2),
        Column("reaction energy", "eV", 3),
        Column("error", "eV", 2),
        Column("RMSE, given images", "meV", 3),
        Column("steps", "", 3),
        Column("remark"),
    ]
    rows: list[list[Any]] = []
    for name, given in metrics["reactions"].items():
        first = [name] if several else []
        labels = given["reference"]
        if labels is not None:
            barrier, energy = labels["barrier"], labels["reaction_energy"]
            rows.append([*first, "reference", None, barrier, None, energy, *[None] * 3, ""])
        for model, potential in metrics["potentials"].items():
            r = potential["reactions"][name]
            band = r["band"] or {}
            figures = [band.get("barrier"), r["path"]["barrier"], r["barrier_error"]]
            figures += [r["reaction_energy"], r["reaction_energy_error"], r["path"]["rmse_mev"]]
            rows.append([*first, model, *figures, band.get("steps"), "; ".join(r["remarks"])])
    note = (
        "Errors and reaction energy: of the band where it converged, else of the given images. "
        "Reference: labels of the given images as they are, which nobody has relaxed again."
    )
    return [Table("Reactions", columns, rows, note)]


def assess(metrics: Found, thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Errors of barriers and reaction energies, and bands that could not be had. Without any label
    nothing is found right: what went wrong is said, and no more."""
    mine = metrics["potentials"][metrics["candidate"]]["reactions"]
    base = metrics["potentials"].get(metrics["baseline"], {"reactions": {}})["reactions"]
    found = [
        finding
        for finding in (
            _failed(mine),
            _error("barrier", mine, base, metrics, thresholds["barrier_error_ev"]),
            _error("reaction_energy", mine, base, metrics, thresholds["reaction_error_ev"]),
            _lost(mine, base, metrics, thresholds["lost_share"]),
            _late(mine, thresholds["unfinished_share"]),
        )
        if finding is not None
    ]
    return sorted(found, key=lambda f: -LEVELS.index(f.level))


def _failed(mine: Found) -> Finding | None:
    failed = {name: r["failed"] for name, r in mine.items() if r["failed"]}
    if not failed:
        return None
    name, text = next(iter(failed.items()))
    more = f" ({len(failed)} of {counted(len(mine), 'reaction')} fail)" if len(failed) > 1 else ""
    sentence = f"{name}: {text}{more}. No barrier can be had; look at the structures named."
    return Finding("neb", "fail", "reactions that fail", len(failed), "", "fail from 1", sentence)


def _error(what: str, mine: Found, base: Found, metrics: Found, limit: Threshold) -> Finding | None:
    """The worst error of a barrier or a reaction energy; `None` without labels."""
    errors = {n: r[f"{what}_error"] for n, r in mine.items() if r[f"{what}_error"] is not None}
    if not errors:
        return None
    name = max(errors, key=lambda n: abs(errors[n]))
    error, reaction = errors[name], mine[name]
    label = metrics["reactions"][name]["reference"][what]
    level, words = limit.level(abs(error)), what.replace("_", " ")
    where = "band relaxed with the model" if reaction["judged"] == "band" else "given images"
    text = f"{name}: {words} {_ev(reaction[what])} ({where}) against {_ev(label)} (labels): "
    text += f"{abs(error):.2f} eV too {_side(error)}"
    old = base.get(name, {}).get(f"{what}_error")
    text += "" if old is None else f", the foundation {abs(old):.2f} eV too {_side(old)}"
    if len(errors) > 1:
        mean = sum(abs(e) for e in errors.values()) / len(errors)
        text += f"; the worst of {len(errors)}, on average {mean:.2f} eV"
    text += "."
    if what == "barrier" and not reaction["saddle"]:
        text += " No image between the ends is higher than both: the model has no saddle there."
    if level != "pass":
        if what == "barrier":
            text += f" Rates at 300 K are {_factor(error)} times too {_speed(error)}: train on "
            text += "labelled structures around the saddle"
            text += ", such as those of raw/…/band-*.xyz." if reaction["band"] else "."
        else:
            text += " Train on structures of both ends."
    return Finding("neb", level, f"error of the {words}", abs(error), limit.unit, limit.words, text)


def _lost(mine: Found, base: Found, metrics: Found, limit: Threshold) -> Finding | None:
    """Ends that are no minima; `None` where none was relaxed. Without any label nobody says that
    they are minima of the reference: a concern at most, and no pass."""
    tried = {name: r for name, r in mine.items() if r["ends"] and not r["failed"]}
    if not tried:
        return None
    lost = {name: r["lost"] for name, r in tried.items() if r["lost"]}
    share = len(lost) / len(tried)
    labelled = any(r["reference"] is not None for r in metrics["reactions"].values())
    if not (lost or labelled):
        return None
    text = "Reactant and product that were given are minima of the model."
    if lost:
        name, reason = next(iter(lost.items()))
        text = f"{name}: {reason}"
        text += f" ({len(lost)} of {len(tried)} reactions)" if len(tried) > 1 else ""
        if base.get(name, {}).get("lost"):
            text += ", with the foundation too"
        text += ". There is no band" if mine[name]["blocked"] else ""
        text += (
            ": train on reactant and product with forces, after relaxing them with the reference "
        )
        text += "method if what was given was not."
    level = limit.level(share)
    if level == "fail" and not labelled:
        level = "concern"
    return Finding("neb", level, "ends that are no minima", share, limit.unit, limit.words, text)


def _late(mine: Found, limit: Threshold) -> Finding | None:
    """Relaxations that ran out of steps, where that is all that is wrong."""
    late = {n: r["late"] for n, r in mine.items() if r["late"] and not (r["failed"] or r["lost"])}
    if not late:
        return None
    share = len(late) / len(mine)
    name, reasons = next(iter(late.items()))
    text = f"{name}: {reasons[0]}, so the given images are judged; raise neb.max_steps"
    text += f" ({len(late)} of {len(mine)} reactions)." if len(mine) > 1 else "."
    level = limit.level(share)
    return Finding("neb", level, "unfinished bands", share, limit.unit, limit.words, text)


def _ev(value: float) -> str:
    return f"{fixed(value, 2)} eV"


def _side(error: float) -> str:
    return "low" if error < 0 else "high"


def _speed(error: float) -> str:
    return "fast" if error < 0 else "slow"


def _factor(error: float) -> str:
    """By how much a rate is off (Arrhenius, equal prefactors)."""
    digits = abs(error) / (kB * ROOM) / math.log(10)
    return f"{10**digits:.0f}" if digits < 3 else f"10^{digits:.0f}"
