"""A section of the page for each protocol: findings, charts, tables."""

from __future__ import annotations

from typing import Any

from pestle.report import charts, tables
from pestle.report.figures import Figure
from pestle.report.models import REFERENCE, Models
from pestle.report.protocol_results import ProtocolResults
from pestle.report.run_folder import RunFolder, nested
from pestle.report.thinning import limit_for
from pestle.report.verdict import badge, findings


def protocol_sections(folder: RunFolder, models: Models) -> list[dict[str, Any]]:
    """One for each protocol that left results, in order."""
    limit = limit_for([chart for p in folder.protocols.values() for chart in p.charts])
    found = []
    for name, results in folder.protocols.items():
        part = nested(folder.verdict, "protocols", name)
        figures = charts.figures_of(results.charts, models, f"chart-{name}", limit)
        small = [f for f in figures if f.shape == "small"]
        found.append(
            {
                "name": name,
                "title": results.title,
                "question": str(results.metrics.get("question") or ""),
                "standing": _standing(folder, results),
                "notes": _notes(results, own_tables=name == "errors"),
                "badge": badge(part["level"]) if part.get("level") else None,
                "extent": str(part.get("extent") or ""),
                "full_extent": str(part.get("full_extent") or ""),
                "findings": findings(folder, name),
                "groups": _groups(figures),
                "legend": _legend(results.charts, models) if small else [],
                "left_out": charts.left_out(results.charts),
                "tables": tables.table_rows(results.tables, models, results.labels),
                "n_flagged": len(results.flagged),
            }
        )
    return found


def _standing(folder: RunFolder, results: ProtocolResults) -> str:
    """What a reader must know where the verdict does not rest on these very results."""
    if not nested(folder.verdict, "protocols"):
        return ""
    part = nested(folder.verdict, "protocols", results.name)
    if not part:
        return "Not part of the verdict: calculated at another time."
    judged = part.get("metrics")
    if judged and judged != results.digest:
        return "Calculated anew since the verdict, whose findings are about earlier results."
    return ""


def _notes(results: ProtocolResults, *, own_tables: bool) -> list[str]:
    """What a reader of the numbers must know, unless charts or tables say it already."""
    content = results.metrics.get("notes")
    said = [chart.caption for chart in results.charts]
    said += [] if own_tables else [table.note for table in results.tables]
    notes = [str(note) for note in content if note] if isinstance(content, list) else []
    return [note for note in notes if not any(note in text for text in said)]


def figures_in(sections: list[dict[str, Any]]) -> list[Figure]:
    """All figures of the sections."""
    return [f for section in sections for group in section["groups"] for f in group["figures"]]


def _groups(figures: list[Figure]) -> list[dict[str, Any]]:
    """Figures of one size beside each other, in the order they came."""
    groups: list[dict[str, Any]] = []
    for figure in figures:
        if not groups or groups[-1]["size"] != figure.shape:
            groups.append({"size": figure.shape, "figures": []})
        groups[-1]["figures"].append(figure)
    return groups


def _legend(shown: list[Any], models: Models) -> list[dict[str, str]]:
    """The legend that small charts share."""
    small = [chart for chart in shown if chart.size == "small"]
    return [
        {
            "label": "reference" if name == REFERENCE else models.label(name),
            "colour": models.style(name).colour,
            "dash": models.style(name).dash,
            "kind": small[0].kind,
        }
        for name in charts.potentials_in(small, models)
    ]
