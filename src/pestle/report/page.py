"""The page of one run: rows and plots poured into the template."""

from __future__ import annotations

from pathlib import Path

from pestle.files import write_text
from pestle.records.ending import WORSE_BY
from pestle.report import adaptation, energies, facts
from pestle.report.asked import asked
from pestle.report.curves import learning_curves, replay_watched
from pestle.report.drift import drift_section
from pestle.report.epochs import nothing_trained
from pestle.report.error_tables import error_tables
from pestle.report.figures import Figure
from pestle.report.flagged import flagged_section
from pestle.report.model_files import model_files
from pestle.report.models import Models, models_of
from pestle.report.notices import check_notes, notices
from pestle.report.overview import overview
from pestle.report.rendering import render_page
from pestle.report.run_folder import RunFolder, read_run_folder
from pestle.report.sections import figures_in, protocol_sections
from pestle.report.verdict import how_to_qualify, verdict


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write the report of a run, or of tests of a model, as one HTML file that needs nothing else.

    Args:
        run_dir: the folder; whatever it lacks is said on the page.
        out: the file; `None`: RUN_DIR/report.html.

    Returns:
        The file that was written.

    Raises:
        PestleError: there is no such folder.
    """
    folder = read_run_folder(Path(run_dir))
    target = Path(out) if out is not None else Path(run_dir) / "report.html"
    write_text(target, render(folder, models_of(folder)))
    return target


def render(folder: RunFolder, models: Models) -> str:
    """The page as text."""
    found = notices(folder, models)
    curves = learning_curves(folder)
    drift = drift_section(folder)
    sections = protocol_sections(folder, models)
    flagged = flagged_section(folder.protocols, models)
    figures: list[Figure] = [*curves, *figures_in(sections)]
    figures += [drift["figure"]] if drift and drift["figure"] else []
    return render_page(
        "report.html.j2",
        draws=bool(figures) or bool(flagged and flagged.viewer),
        head=overview(folder, models),
        is_run=folder.is_run,
        missing=folder.missing,
        verdict=verdict(folder),
        how_to_qualify=how_to_qualify(folder),
        asked=asked(folder, models),
        notices=found,
        n_warnings=sum(n["severity"] != "note" for n in found),
        # Without a manifest "no warnings" would be a guess.
        checked=bool(folder.manifest),
        worse_by=f"{WORSE_BY * 100:.0f} %",
        sections=sections,
        error_tables=error_tables(folder, models),
        flagged=flagged,
        curves=curves,
        from_foundation=nothing_trained(folder),
        replay_watched=replay_watched(folder),
        own_labels=adaptation.own_labels(folder),
        drift=drift,
        e0_table=energies.e0_table(folder),
        e0_diagnostics=energies.e0_diagnostics(folder),
        e0_comparison=energies.e0_comparison(folder),
        data=facts.data_table(folder),
        held_out=bool(folder.part("data").get("held_out")),
        files=facts.data_files(folder),
        check_notes=check_notes(folder),
        method=str(folder.part("method").get("name") or ""),
        low_rank=folder.method is not None and folder.method.low_rank,
        choice=adaptation.choice(folder),
        heads=adaptation.heads(folder),
        replay=adaptation.replay(folder),
        model_files=model_files(folder),
        blocks=facts.blocks(folder),
        foundation=facts.foundation(folder),
        settings=facts.settings(folder),
        commands=facts.commands(folder),
        provenance=facts.provenance(folder),
        versions=facts.versions(folder),
    )
