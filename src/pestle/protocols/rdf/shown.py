"""What protocol `rdf` shows and says of its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pestle.protocols.results import LEVELS, Chart, Column, Finding, Series, Table
from pestle.protocols.thresholds import Threshold


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
    found = metrics["potentials"][metrics["candidate"]]["pairs"]
    judged = {p: c for p, c in found.items() if c["judged"] and c["emd"] is not None}
    # Beyond a limit, and yet no further from the reference than chance would have it.
    unclear = {
        p
        for p, c in judged.items()
        if limit.level(c["emd"]) != "pass"
        and (c["emd_noise"] is None or c["emd"] <= c["emd_noise"])
    }
    clear = [p for p in judged if p not in unclear]
    left_out = [p for p in found if p not in clear]
    reference = f"The reference is {metrics['reference']['text']}."
    if not clear:
        text = (
            f"No pair can be judged ({', '.join(left_out[:6])}): the runs or the reference are too "
            f"short to tell a difference from chance. {reference} Give more with rdf.time, "
            "rdf.seeds or rdf.reference."
        )
        return Finding("rdf", "concern", "distance to the reference", None, "Å", limit.words, text)
    pair = max(clear, key=lambda p: found[p]["emd"])
    value = found[pair]["emd"]
    level = limit.level(value)
    error = found[pair]["emd_error"]
    base = metrics["potentials"].get(metrics["baseline"], {"pairs": {}})["pairs"].get(pair)
    text = f"{pair} is {value:.2g} Å from the reference by earth mover's distance"
    text += f" (± {error:.1g})" if error is not None else ""
    text += f", the worst of {len(clear)} pairs" if len(clear) > 1 else ""
    if base is not None and base["emd"] is not None:
        text += f"; the foundation {base['emd']:.2g} Å"
    text += f". {_peaks(found[pair], metrics['reference']['pairs'][pair])}{reference} "
    text += {
        "pass": "By this measure the structure is that of the reference.",
        "concern": "Near, but not the same: label frames of the run and train on them too, or run "
        "longer to see whether it stays.",
        "fail": "Not for the structure of this material: label frames of the run and train on them "
        "too.",
    }[level]
    if left_out:
        text += f" Not judged, too rare or the runs too short: {', '.join(left_out[:6])}"
        text += " and others." if len(left_out) > 6 else "."
    return Finding("rdf", level, f"distance of {pair}", value, limit.unit, limit.words, text)


def _peaks(mine: Mapping[str, Any], reference: Mapping[str, Any]) -> str:
    """Where the first peaks are, in words."""
    if not mine["first_peak"] or not reference["first_peak"]:
        return ""
    (r, g), (r_ref, g_ref) = mine["first_peak"], reference["first_peak"]
    return (
        f"Its first peak lies at {r:.2f} Å and is {g:.2g} high, that of the reference at "
        f"{r_ref:.2f} Å and {g_ref:.2g}. "
    )
