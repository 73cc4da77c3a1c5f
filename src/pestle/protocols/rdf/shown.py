"""What protocol `rdf` shows and says of its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pestle.protocols.results import Chart, Column, Series, Table
from pestle.protocols.thresholds import Threshold
from pestle.records.verdict import LEVELS, Finding, Level
from pestle.records.wording import listed


def charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """One overlay for each pair, and the distances of all."""
    caption = f"The reference is {metrics['reference']['text']}. Bands: one standard deviation."
    potentials, pairs = metrics["potentials"], metrics["pairs"]
    found = []
    for pair in pairs:
        curves = {"reference": metrics["reference"], **potentials}
        series = [
            Series(name, mine["r"], mine["g"], mine["error"])
            for name, curve in curves.items()
            if (mine := curve["pairs"].get(pair)) is not None
        ]
        size = "half" if len(pairs) <= 4 else "small"
        found.append(
            Chart(f"{pair}", "distance (Å)", "g(r)", series, caption=caption, size=size)  # type: ignore[arg-type]
        )
    bars = []
    for name, potential in potentials.items():
        mine = potential["pairs"]
        if mine:
            errors = [mine[pair]["emd_error"] or 0.0 for pair in mine]
            bars.append(Series(name, list(mine), [mine[pair]["emd"] for pair in mine], errors))
    if bars:
        found.append(
            Chart(
                "Distance to the reference",
                "pair",
                "earth mover's distance (Å)",
                bars,
                kind="bar",
                caption=f"Up to {metrics['r_max']:.3g} Å. {caption.replace('Bands', 'Bars')}",
                size="wide",
            )
        )
    return found


def tables(metrics: Mapping[str, Any]) -> list[Table]:
    """A row for each pair and potential, those of the reference first."""
    columns = [
        Column("pair"),
        Column("model"),
        Column("distance", "Å", 2),
        Column("±", "Å", 2),
        Column("by chance", "Å", 2),
        Column("first peak", "Å", 3),
        Column("height", "", 3),
    ]
    rows = []
    for pair in metrics["pairs"]:
        for name, found in {"reference": metrics["reference"], **metrics["potentials"]}.items():
            mine = found["pairs"].get(pair)
            if mine is not None:
                peak = mine["first_peak"] or [None, None]
                figures = [mine.get(key) for key in ("emd", "emd_error", "emd_noise")]
                rows.append([pair, name, *figures, *peak])
    note = f"Earth mover's distance up to {metrics['r_max']:.3g} Å; by chance two samples of one "
    note += "liquid are apart by less than that in 95 of 100 cases. The reference is "
    note += ". ".join([metrics["reference"]["text"], *metrics["notices"]])
    return [Table("Radial distribution functions", columns, rows, f"{note}.")]


def assess(metrics: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> list[Finding]:
    """Whether the runs held, and the worst pair that can be judged."""
    found = metrics["potentials"][metrics["candidate"]]
    findings = []
    if found["unstable"]:
        findings.append(_unstable(found, thresholds["unstable_runs"]))
    if found["pairs"]:
        findings.append(_worst(metrics, thresholds["emd"]))
    return sorted(findings, key=lambda f: -LEVELS.index(f.level))


def _unstable(found: Mapping[str, Any], limit: Threshold) -> Finding:
    lost, runs = found["unstable"], found["n_runs"]
    text = f"{len(lost)} of {runs} runs became unstable: {lost[0]}"
    text += f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    text += (
        ". What is shown is what there was up to then"
        if found["pairs"]
        else "; nothing was left to compare"
    )
    text += ": not for molecular dynamics; label frames from before it broke and train on them too."
    return Finding(
        "rdf", limit.level(len(lost)), "unstable runs", len(lost), limit.unit, limit.words, text
    )


def _worst(metrics: Mapping[str, Any], limit: Threshold) -> Finding:
    """The worst pair that can be told from chance; one that cannot, and may be worse, is said."""
    found = metrics["potentials"][metrics["candidate"]]["pairs"]
    judged = {pair: curve for pair, curve in found.items() if curve["judged"]}
    # Beyond a limit, and yet no further from the reference than chance would have it.
    unclear = [pair for pair, curve in judged.items() if _is_unclear(curve, limit)]
    unclear.sort(key=lambda pair: found[pair]["emd"] or 0.0, reverse=True)
    clear = [pair for pair in judged if pair not in unclear]
    rare = [pair for pair in found if pair not in judged]
    reference = f"The reference is {metrics['reference']['text']}."
    value, pair = None, ""
    level: Level = "concern"
    if clear:
        pair = max(clear, key=lambda p: found[p]["emd"])
        value, level = found[pair]["emd"], limit.level(found[pair]["emd"])
        text = _told(metrics, pair, len(clear)) + reference
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
            value, pair, level = found[unclear[0]]["emd"], unclear[0], "concern"
            text = f"{doubt} {text}"
    if rare and judged:
        text += f" Not judged, too rare: {', '.join(rare[:6])}"
        text += " and others." if len(rare) > 6 else "."
    elif rare:
        text += f" These are rare: {', '.join(rare[:6])}. Name those that matter with rdf.pairs."
    quantity = f"distance of {pair}" if pair else "distance to the reference"
    return Finding("rdf", level, quantity, value, limit.unit, limit.words, text)


_ADVICE = {
    "pass": " By this measure the structure is that of the reference.",
    "concern": " Near, but not the same: label frames of the run and train on them too, or run "
    "longer to see whether it stays.",
    "fail": " Not for the structure of this material: label frames of the run and train on them "
    "too.",
}


def _is_unclear(curve: Mapping[str, Any], limit: Threshold) -> bool:
    if curve["emd"] is None:
        return True
    chance = curve["emd_noise"]
    return limit.level(curve["emd"]) != "pass" and (chance is None or curve["emd"] <= chance)


def _told(metrics: Mapping[str, Any], pair: str, pairs: int) -> str:
    """How far a pair is from the reference, and its foundation."""
    curve = metrics["potentials"][metrics["candidate"]]["pairs"][pair]
    base = metrics["potentials"].get(metrics["baseline"], {"pairs": {}})["pairs"].get(pair)
    text = _far(pair, curve)
    text += f", the worst of {pairs} pairs" if pairs > 1 else ""
    if base is not None and base["emd"] is not None:
        text += f"; the foundation {base['emd']:.2g} Å"
    return f"{text}. {_peaks(curve, metrics['reference']['pairs'][pair])}"


def _far(pair: str, curve: Mapping[str, Any]) -> str:
    text = f"{pair} is {curve['emd']:.2g} Å from the reference by earth mover's distance"
    return text + (f" (± {curve['emd_error']:.1g})" if curve["emd_error"] is not None else "")


def _doubt(found: Mapping[str, Any], unclear: Sequence[str], limit: Threshold) -> str:
    """Why a pair cannot be judged, and what to do about it."""
    pair, more = unclear[0], unclear[1:]
    curve = found[pair]
    if curve["emd"] is None:
        text = f"{pair} has no distance to the reference: one of the two has no such pair in reach"
    else:
        bound = limit.fail if limit.level(curve["emd"]) == "fail" else limit.concern
        text = f"{_far(pair, curve)}, beyond the limit of {bound:g} Å, and "
        if curve["emd_noise"] is None:
            text += "there is too little to say what chance can make"
        else:
            text += f"chance alone can make {curve['emd_noise']:.2g} Å"
    text += ": it cannot be judged"
    text += f", nor can {listed(more[:6])}{' and others' * (len(more) > 6)}" if more else ""
    return f"{text}. Give more with rdf.time, rdf.seeds or rdf.reference."


def _peaks(mine: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """Where the first peaks are, in words."""
    if not mine["first_peak"] or not reference["first_peak"]:
        return ""
    (r, g), (r_ref, g_ref) = mine["first_peak"], reference["first_peak"]
    return (
        f"Its first peak lies at {r:.2f} Å and is {g:.2g} high, that of the reference at "
        f"{r_ref:.2f} Å and {g_ref:.2g}. "
    )
