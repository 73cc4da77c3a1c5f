"""The page of one run: its rows and plots in the template."""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from pestle import __version__
from pestle.files import write_text
from pestle.records.set_errors import WORSE_BY
from pestle.reports import charts, contents, facts
from pestle.reports.asked import asked
from pestle.reports.curves import learning_curves, replay_watched
from pestle.reports.data import data_files, data_table
from pestle.reports.drift import drift_section
from pestle.reports.e0s import e0_comparison, e0_diagnostics, e0_table
from pestle.reports.error_tables import error_tables
from pestle.reports.figures import DARK, limit_for
from pestle.reports.flagged import flagged_section
from pestle.reports.models import REFERENCE, Models, models_of
from pestle.reports.notices import check_notes, notices
from pestle.reports.overview import overview
from pestle.reports.reading import ProtocolResults, Results, read_results
from pestle.reports.tables import table_rows
from pestle.reports.verdict import badge, findings, how_to_qualify, verdict
from pestle.typed import parts_of


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write the report of a run, or of tests of a model, as one HTML file that needs no other file.

    Args:
        run_dir: the folder; the page says which files are missing.
        out: path of the page; `None` for RUN_DIR/report.html.

    Returns:
        The file that was written.

    Raises:
        PestleError: the folder does not exist.
    """
    folder = read_results(Path(run_dir))
    target = Path(out) if out is not None else Path(run_dir) / "report.html"
    write_text(target, render(folder, models_of(folder)))
    return target


def render(folder: Results, models: Models) -> str:
    """Return the page as text.

    Args:
        folder: results of the run.
        models: names and styles of the potentials.
    """
    found, manifest = notices(folder, models), folder.manifest
    curves = learning_curves(folder)
    drift = drift_section(folder)
    sections = protocol_sections(folder, models)
    flagged = flagged_section(folder.protocols, models)
    judged, replay, settings = verdict(folder), facts.replay(folder), facts.settings(folder)
    figures = curves + [f for s in sections for group in s["groups"] for f in group["figures"]]
    figures += [drift["figure"]] if drift and drift["figure"] else []
    return render_page(
        "report.html.j2",
        index=contents.index(
            folder, judged, sections, flagged, drift=drift is not None, replay=replay is not None
        ),
        briefs=contents.briefs(folder, models, judged, settings, found),
        draws=bool(figures) or bool(flagged and flagged.viewer),
        head=overview(folder, models),
        is_run=folder.is_run,
        missing=folder.missing,
        verdict=judged,
        how_to_qualify=how_to_qualify(folder),
        asked=asked(folder, models),
        notices=found,
        # Without a manifest "no warnings" would be a guess.
        checked=manifest is not None,
        worse_by=f"{WORSE_BY * 100:.0f} %",
        sections=sections,
        error_tables=error_tables(folder, models),
        flagged=flagged,
        curves=curves,
        from_foundation=not folder.from_scratch,
        replay_watched=replay_watched(folder),
        own_labels=facts.own_labels(folder),
        drift=drift,
        e0_table=e0_table(folder),
        e0_diagnostics=e0_diagnostics(folder),
        e0_comparison=e0_comparison(folder),
        data=data_table(folder),
        held_out=manifest is not None and manifest.data.held_out,
        files=data_files(folder),
        check_notes=check_notes(folder),
        method=folder.method_name,
        low_rank=folder.method is not None and folder.method.low_rank,
        choice=manifest.method.choice if manifest is not None else None,
        heads=facts.heads(folder),
        replay=replay,
        model_files=facts.model_files(folder),
        blocks=facts.blocks(folder),
        foundation=facts.foundation(folder),
        settings=settings,
        commands=facts.commands(folder),
        provenance=facts.provenance(folder),
        versions=facts.versions(folder),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pestle.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole_units"] = whole_units
    environment.filters["advised"] = parts_of
    return environment


#: A unit with a slash, and the number before it.
_UNIT = re.compile(r"(?:[\d.,]+ )?\b(?:[mk]?eV|kcal|ps)/(?:atom|mol|Å[²³]?|h)")


def whole_units(text: object) -> Markup:
    """Return text of a page in which no line breaks within a unit, nor before it.

    Args:
        text: any text; `Markup` is left as it is.
    """
    if isinstance(text, Markup):
        return text
    return Markup(_UNIT.sub(r'<span class="nb">\g<0></span>', str(escape(text))))


def render_page(template: str, *, draws: bool, **content: Any) -> str:
    """Return a page as text.

    Args:
        template: file of the template.
        draws: whether the page has plots; only then it includes the plotting library (4.8 MB).
        content: the variables of the template.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            plotly=Markup(get_plotlyjs()) if draws else None,
            dark=DARK,
            **content,
        )
    )


def protocol_sections(folder: Results, models: Models) -> list[dict[str, Any]]:
    """Return the sections of the protocols with results, in the order of the page.

    Args:
        folder: results of the run.
        models: names and styles of the potentials.

    Returns:
        The variables of the template `protocol.html.j2`, for each protocol.
    """
    limit = limit_for([chart for p in folder.protocols.values() for chart in p.charts])
    found = []
    for name, results in folder.protocols.items():
        judged = folder.verdict.protocols.get(name) if folder.verdict is not None else None
        figures = charts.figures_of(results.charts, models, name, limit)
        # Figures of one size stand beside each other, in the order in which they came.
        groups = [
            {"size": shape, "figures": list(group)}
            for shape, group in groupby(figures, key=lambda figure: figure.shape)
        ]
        # Notes that no caption and no shown table repeats.
        said = [chart.caption for chart in results.charts]
        said += [] if name == "errors" else [table.note for table in results.tables]
        found.append(
            {
                "name": name,
                "title": results.title,
                "question": results.about.question if results.about is not None else "",
                "standing": _standing(folder, results),
                "notes": [n for n in results.notes if not any(n in text for text in said)],
                "badge": badge(judged.level) if judged is not None and judged.level else None,
                "extent": judged.extent if judged is not None else "",
                "full_extent": judged.full_extent if judged is not None else None,
                "found": findings(folder, name),
                "groups": groups,
                "legend": _legend(results.charts, models),
                "left_out": charts.left_out(results.charts),
                "tables": table_rows(results.tables, models, results.labels),
                "n_flagged": len(results.flagged),
            }
        )
    return found


def _standing(folder: Results, results: ProtocolResults) -> str:
    """Return a sentence if the verdict is not about these results; otherwise nothing."""
    if folder.verdict is None or not folder.verdict.protocols:
        return ""
    part = folder.verdict.protocols.get(results.name)
    if part is None:
        return "Not part of the verdict: calculated at another time."
    if part.metrics and part.metrics != results.digest:
        return "Calculated anew since the verdict, whose findings are about earlier results."
    return ""


def _legend(shown: list[Any], models: Models) -> list[dict[str, str]]:
    """Return the entries of the legend that small charts share."""
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
