"""Charts, table and findings of reactions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from ase.units import kB

from pestle.protocols.neb.numbers import GivenReaction, NebNumbers, ReactionNumbers
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding
from pestle.wording import counted, fixed

#: Temperature (K) at which the error of a barrier is converted to an error of a rate.
ROOM = 300.0

Reactions = Mapping[str, ReactionNumbers]
Quantity = Literal["barrier", "reaction_energy"]


def charts(measured: Measured[NebNumbers]) -> list[Chart]:
    """Draw the energies of each reaction along the given images and along the bands (Fig. 6c)."""
    numbers = measured.numbers
    found = []
    for name, given in numbers.reactions.items():
        mine = {m: p.reactions[name] for m, p in numbers.potentials.items()}
        known = [Series(m, given.length, r.path.energy) for m, r in mine.items()]
        reference = []
        if given.reference is not None:
            labels = given.reference.energy
            reference = [Series("reference", given.length, labels, dashed=True)]
        found.append(
            Chart(
                f"{name}: along the given images",
                "path length (Å)",
                "energy above the first image (eV)",
                [*reference, *known],
            )
        )
        bands = {m: r.band for m, r in mine.items() if r.band is not None}
        if not bands:
            continue
        late = [m for m, band in bands.items() if not band.converged]
        without = [m for m in mine if m not in bands]
        caption = "Each model's band has its own length; reference: the given images."
        caption += f" Not converged: {', '.join(late)}." if late else ""
        caption += f" Without a band: {', '.join(without)}." if without else ""
        found.append(
            Chart(
                f"{name}: relaxed with each model",
                "path length (Å)",
                "energy above the reactant (eV)",
                [*reference, *(Series(m, b.length, b.energy) for m, b in bands.items())],
                caption=caption,
            )
        )
    return found


def tables(measured: Measured[NebNumbers]) -> list[Table]:
    """Make a table with a row for each potential and reaction, and a row for the labels."""
    numbers = measured.numbers
    several = len(numbers.reactions) > 1
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
    for name, given in numbers.reactions.items():
        first = [name] if several else []
        labels = given.reference
        if labels is not None:
            barrier, energy = labels.barrier, labels.reaction_energy
            rows.append([*first, "reference", None, barrier, None, energy, *[None] * 3, ""])
        for model, potential in numbers.potentials.items():
            r = potential.reactions[name]
            relaxed, steps = (r.band.barrier, r.band.steps) if r.band else (None, None)
            figures = [relaxed, r.path.barrier, r.barrier_error]
            figures += [r.reaction_energy, r.reaction_energy_error, r.path.rmse_mev]
            rows.append([*first, model, *figures, steps, "; ".join(r.remarks)])
    note = (
        "Errors and reaction energy: of the band if it converged, otherwise of the given images. "
        "Reference: labels of the given images, which were not relaxed again."
    )
    return [Table("Reactions", columns, rows, note)]


def assess(measured: Measured[NebNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Judge the errors of barriers and reaction energies, and relaxations that failed.

    If there are no labels, only failed relaxations give findings, and no finding is a pass.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    potentials, given = measured.numbers.potentials, measured.numbers.reactions
    mine = potentials[measured.about.candidate].reactions
    foundation = potentials.get(measured.about.baseline or "")
    base = foundation.reactions if foundation else {}
    bands = measured.typed(measured.about.candidate, "band-*.xyz")
    found = [
        finding
        for finding in (
            _failed(mine),
            _error("barrier", mine, base, given, thresholds["barrier_error_ev"], bands),
            _error("reaction_energy", mine, base, given, thresholds["reaction_error_ev"], bands),
            _lost(mine, base, given, thresholds["lost_share"]),
            _late(mine, thresholds["unfinished_share"]),
        )
        if finding is not None
    ]
    return sorted(found, key=lambda f: -LEVELS.index(f.level))


def _failed(mine: Reactions) -> Finding | None:
    failed = {name: r.failed for name, r in mine.items() if r.failed}
    if not failed:
        return None
    name, text = next(iter(failed.items()))
    more = f" ({len(failed)} of {counted(len(mine), 'reaction')} fail)" if len(failed) > 1 else ""
    sentence = f"{name}: {text}{more}. There is no barrier; look at the named structures."
    return Finding("neb", "fail", "reactions that fail", len(failed), "", "fail from 1", sentence)


def _error(
    what: Quantity,
    mine: Reactions,
    base: Reactions,
    given: Mapping[str, GivenReaction],
    limit: Threshold,
    bands: str,
) -> Finding | None:
    """Judge the largest error of a barrier or a reaction energy.

    Args:
        what: the quantity.
        mine, base: name of the reaction → numbers of the candidate and of the foundation.
        given: name of the reaction → the given reaction.
        limit: threshold of the error.
        bands: files of the relaxed bands.

    Returns:
        The finding; `None` without labels.
    """
    known = {name: _value_and_error(what, r) for name, r in mine.items()}
    errors = {name: pair for name, pair in known.items() if pair is not None}
    if not errors:
        return None
    name = max(errors, key=lambda n: abs(errors[n][1]))
    (value, error), reaction = errors[name], mine[name]
    level, words = limit.level(abs(error)), what.replace("_", " ")
    where = "band relaxed with the model" if reaction.judged == "band" else "given images"
    text = f"{name}: {words} {_ev(value)} ({where}) against {_ev(value - error)} (labels): "
    text += f"{abs(error):.2f} eV too {_side(error)}"
    old = _value_and_error(what, base[name]) if name in base else None
    text += "" if old is None else f", the foundation {abs(old[1]):.2f} eV too {_side(old[1])}"
    if len(errors) > 1:
        mean = sum(abs(e) for _, e in errors.values()) / len(errors)
        text += f"; the worst of {len(errors)}, on average {mean:.2f} eV"
    text += "."
    if what == "barrier" and not reaction.saddle:
        text += " No image between the ends is higher than both: the model has no saddle there."
    if level != "pass":
        if what == "barrier":
            text += f" Rates at 300 K are {_factor(error)} times too "
            text += "fast" if error < 0 else "slow"
            text += ": train on "
            text += "labelled structures around the saddle"
            text += f", such as those of {bands}." if reaction.band else "."
        else:
            text += " Train on structures of both ends."
    return Finding("neb", level, f"error of the {words}", abs(error), limit.unit, limit.words, text)


def _value_and_error(what: Quantity, reaction: ReactionNumbers) -> tuple[float, float] | None:
    """Return a barrier or a reaction energy and its error, eV; `None` if the error is unknown."""
    value, error = reaction.reaction_energy, reaction.reaction_energy_error
    if what == "barrier":
        value, error = reaction.barrier, reaction.barrier_error
    return None if value is None or error is None else (value, error)


def _lost(
    mine: Reactions, base: Reactions, given: Mapping[str, GivenReaction], limit: Threshold
) -> Finding | None:
    """Judge ends that are not minima of the model; `None` if no end was relaxed.

    Without labels it is unknown whether the ends are minima of the reference. The finding is then
    at most a concern, and never a pass.
    """
    tried = {name: r for name, r in mine.items() if r.ends and not r.failed}
    if not tried:
        return None
    lost = {name: r.lost for name, r in tried.items() if r.lost}
    share = len(lost) / len(tried)
    labelled = any(r.reference is not None for r in given.values())
    if not (lost or labelled):
        return None
    text = "Reactant and product that were given are minima of the model."
    if lost:
        name, reason = next(iter(lost.items()))
        text = f"{name}: {reason}"
        text += f" ({len(lost)} of {len(tried)} reactions)" if len(tried) > 1 else ""
        if name in base and base[name].lost:
            text += ", with the foundation too"
        text += ". There is no band" if mine[name].blocked else ""
        text += (
            ": train on reactant and product with forces, after relaxing them with the reference "
        )
        text += "method if what was given was not."
    level = limit.level(share)
    if level == "fail" and not labelled:
        level = "concern"
    limits = limit.words_for(level, share, "the path is labelled")
    return Finding("neb", level, "ends that are no minima", share, limit.unit, limits, text)


def _late(mine: Reactions, limit: Threshold) -> Finding | None:
    """Report relaxations that reached the step limit, if nothing else is wrong."""
    late = {n: r.late for n, r in mine.items() if r.late and not (r.failed or r.lost)}
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


def _factor(error: float) -> str:
    """Return the factor by which a rate is wrong (Arrhenius equation, equal prefactors)."""
    digits = abs(error) / (kB * ROOM) / math.log(10)
    return f"{10**digits:.0f}" if digits < 3 else f"10^{digits:.0f}"
