"""Charts, table and findings of the protocol `rdf`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pestle.protocols.rdf.numbers import (
    ComparedFunction,
    Function,
    PotentialNumbers,
    RdfNumbers,
)
from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.records.results import Measured
from pestle.records.verdict import LEVELS, Finding, Level
from pestle.wording import counted, figure, listed


def charts(measured: Measured[RdfNumbers]) -> list[Chart]:
    """Draw the functions of each pair in one chart, and the distances of all pairs."""
    numbers = measured.numbers
    caption = f"The reference is {numbers.reference.text}. Bands: one standard deviation."
    found = []
    for pair in numbers.pairs:
        series = [
            Series(name, one.r, one.g, one.error) for name, one in _functions(numbers, pair).items()
        ]
        found.append(
            Chart(
                pair,
                "distance (Å)",
                "g(r)",
                series,
                caption=caption,
                size="half" if len(numbers.pairs) <= 4 else "small",
            )
        )
    bars = []
    for name, potential in numbers.potentials.items():
        mine = potential.pairs
        if mine:
            errors = [function.emd_error or 0.0 for function in mine.values()]
            distances = [function.emd for function in mine.values()]
            bars.append(Series(name, list(mine), distances, errors))
    if bars:
        found.append(
            Chart(
                "Distance to the reference",
                "pair",
                "earth mover's distance (Å)",
                bars,
                kind="bar",
                caption=f"Up to {figure(numbers.r_max)} Å. {caption.replace('Bands', 'Bars')}",
                size="wide",
            )
        )
    return found


def _functions(numbers: RdfNumbers, pair: str) -> dict[str, Function]:
    """Return source → function of one pair, the reference first, without sources that lack it."""
    found = {"reference": numbers.reference.pairs[pair]}
    for name, potential in numbers.potentials.items():
        if pair in potential.pairs:
            found[name] = potential.pairs[pair]
    return found


def tables(measured: Measured[RdfNumbers]) -> list[Table]:
    """Make a table with a row for each pair and potential, the reference first."""
    columns = [
        Column("pair"),
        Column("model"),
        Column("distance", "Å", 2),
        Column("±", "Å", 2),
        Column("by chance", "Å", 2),
        Column("first peak", "Å", 3),
        Column("height", "", 3),
    ]
    numbers = measured.numbers
    rows = []
    for pair in numbers.pairs:
        for name, one in _functions(numbers, pair).items():
            figures: list[float | None] = [None, None, None]
            if isinstance(one, ComparedFunction):
                figures = [one.emd, one.emd_error, one.emd_noise]
            rows.append([pair, name, *figures, *(one.first_peak or (None, None))])
    note = f"Earth mover's distance up to {figure(numbers.r_max)} Å; by chance two samples of one "
    note += "liquid differ by less than that in 95 of 100 cases. The reference is "
    note += ". ".join([numbers.reference.text, *numbers.notices])
    return [Table("Radial distribution functions", columns, rows, f"{note}.")]


def assess(measured: Measured[RdfNumbers], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Judge runs that became unstable, and the worst pair that can be judged.

    Args:
        measured: the results.
        thresholds: thresholds of this protocol.
    """
    found = measured.numbers.potentials[measured.about.candidate]
    findings = []
    if found.unstable:
        findings.append(_unstable(found, thresholds["unstable_runs"]))
    if found.pairs:
        findings.append(_worst(measured, thresholds["emd"]))
    return sorted(findings, key=lambda f: -LEVELS.index(f.level))


def _unstable(found: PotentialNumbers, limit: Threshold) -> Finding:
    lost, runs = found.unstable, found.n_runs
    text = f"{len(lost)} of {counted(runs, 'run')} became unstable: {lost[0]}"
    text += f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    text += (
        ". The results are from the time before" if found.pairs else "; no frame is left to compare"
    )
    text += ": not for molecular dynamics; label frames from before it broke and train on them too."
    return Finding(
        "rdf", limit.level(len(lost)), "unstable runs", len(lost), limit.unit, limit.words, text
    )


def _worst(measured: Measured[RdfNumbers], limit: Threshold) -> Finding:
    """Judge the worst pair whose distance chance cannot explain.

    A pair whose distance chance can explain is named too, because it may be worse.
    """
    found = measured.numbers.potentials[measured.about.candidate].pairs
    judged = {pair: function for pair, function in found.items() if function.judged}
    # Pairs beyond a limit whose distance to the reference may be due to chance.
    unclear = [pair for pair, function in judged.items() if _is_unclear(function, limit)]
    unclear.sort(key=lambda pair: found[pair].emd or 0.0, reverse=True)
    clear = {
        pair: function.emd
        for pair, function in judged.items()
        if pair not in unclear and function.emd is not None
    }
    rare = [pair for pair in found if pair not in judged]
    reference = f"The reference is {measured.numbers.reference.text}."
    value, pair = None, ""
    level: Level = "concern"
    if clear:
        pair = max(clear, key=lambda p: clear[p])
        value, level = clear[pair], limit.level(clear[pair])
        text = _told(measured, pair, len(clear)) + reference
        if level != "pass" or not unclear:
            text += _ADVICE[level]
    elif unclear:
        text = reference
    else:
        text = f"No pair can be judged: there are too few atoms of each. {reference}"
    if unclear:
        doubt = _doubt(found, unclear, limit)
        if level == "fail":
            text += f" {doubt}"
        else:
            value, pair, level = found[unclear[0]].emd, unclear[0], "concern"
            text = f"{doubt} {text}"
    if rare and judged:
        text += f" Not judged, too rare: {', '.join(rare[:6])}"
        text += " and others." if len(rare) > 6 else "."
    elif rare:
        text += f" These are rare: {', '.join(rare[:6])}. Name those that matter with rdf.pairs."
    quantity = f"distance of {pair}" if pair else "distance to the reference"
    limits = limit.words_for(level, value, "it is more than chance")
    return Finding("rdf", level, quantity, value, limit.unit, limits, text)


_ADVICE = {
    "pass": " By this measure the structure is that of the reference.",
    "concern": " Near, but not the same: label frames of the run and train on them too, or run "
    "longer to see whether it stays.",
    "fail": " Not for the structure of this material: label frames of the run and train on them "
    "too.",
}


def _is_unclear(function: ComparedFunction, limit: Threshold) -> bool:
    """Whether chance may explain why a pair is beyond the limit, or there is no distance."""
    if function.emd is None:
        return True
    chance = function.emd_noise
    return limit.level(function.emd) != "pass" and (chance is None or function.emd <= chance)


def _told(measured: Measured[RdfNumbers], pair: str, pairs: int) -> str:
    """State how far the candidate and its foundation are from the reference."""
    potentials = measured.numbers.potentials
    function = potentials[measured.about.candidate].pairs[pair]
    foundation = potentials.get(measured.about.baseline or "")
    base = foundation.pairs.get(pair) if foundation else None
    text = _far(pair, function)
    text += f", the worst of {pairs} pairs" if pairs > 1 else ""
    if base is not None and base.emd is not None:
        text += f"; the foundation {figure(base.emd, 2)} Å"
    return f"{text}. {_peaks(function, measured.numbers.reference.pairs[pair])}"


def _far(pair: str, function: ComparedFunction) -> str:
    text = f"{pair} is {figure(function.emd, 2)} Å from the reference by earth mover's distance"
    return text + (f" (± {function.emd_error:.1g})" if function.emd_error is not None else "")


def _doubt(found: Mapping[str, ComparedFunction], unclear: Sequence[str], limit: Threshold) -> str:
    """Explain why a pair cannot be judged, and what to do."""
    pair, more = unclear[0], unclear[1:]
    function = found[pair]
    if function.emd is None:
        text = f"{pair} has no distance to the reference: one of the two has no such pair in reach"
    else:
        bound = limit.fail if limit.level(function.emd) == "fail" else limit.concern
        text = f"{_far(pair, function)}, beyond the limit of {bound:g} Å, and "
        if function.emd_noise is None:
            text += "there is too little to say what chance can make"
        else:
            text += f"chance alone can make {figure(function.emd_noise, 2)} Å"
    text += ": it cannot be judged"
    text += f", nor can {listed(more[:6])}{' and others' * (len(more) > 6)}" if more else ""
    return f"{text}. Give more with rdf.time, rdf.seeds or rdf.reference."


def _peaks(mine: Function, reference: Function) -> str:
    """State the positions of the first peaks in words."""
    if not mine.first_peak or not reference.first_peak:
        return ""
    (r, g), (r_ref, g_ref) = mine.first_peak, reference.first_peak
    return (
        f"Its first peak lies at {r:.2f} Å and is {figure(g, 2)} high, that of the reference at "
        f"{r_ref:.2f} Å and {figure(g_ref, 2)}. "
    )
