"""The page: rows and plots poured into the template."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pestle import __version__
from pestle.files import write_text
from pestle.report import adaptation, energies, facts
from pestle.report.colours import DARK
from pestle.report.curves import learning_curves, replay_watched
from pestle.report.drift import drift_section
from pestle.report.epochs import nothing_trained
from pestle.report.error_tables import WORSE_BY, error_tables
from pestle.report.figures import Figure
from pestle.report.model_files import model_files
from pestle.report.models import Models, models_of
from pestle.report.notices import check_notes, notices
from pestle.report.overview import overview
from pestle.report.parity import parity_plots
from pestle.report.profile import profile
from pestle.report.run_folder import RunFolder, read_run_folder


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write the report of a run as one HTML file that needs nothing else to be read.

    Args:
        run_dir: the run folder; whatever it lacks is said on the page.
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
    environment = Environment(
        loader=PackageLoader("pestle.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parity = parity_plots(folder, models)
    curves = learning_curves(folder, models)
    path = profile(folder, models)
    drift = drift_section(folder)
    figures: list[Figure] = [*([path["figure"]] if path else []), *curves]
    figures += [drift["figure"]] if drift and drift["figure"] else []
    figures += [figure for section in parity for figure in section["figures"]]
    return environment.get_template("report.html.j2").render(
        version=__version__,
        # 4.8 MB, so only where there is something to draw.
        plotly=Markup(get_plotlyjs()) if figures else None,
        dark=DARK,
        head=overview(folder, models),
        missing=folder.missing,
        notices=notices(folder, models),
        # Without a manifest "no warnings" would be a guess.
        checked=bool(folder.manifest),
        worse_by=f"{WORSE_BY * 100:.0f} %",
        error_tables=error_tables(folder, models),
        profile=path,
        curves=curves,
        from_foundation=nothing_trained(folder),
        replay_watched=replay_watched(folder),
        own_labels=adaptation.own_labels(folder),
        drift=drift,
        parity=parity,
        e0_table=energies.e0_table(folder),
        e0_diagnostics=energies.e0_diagnostics(folder),
        e0_comparison=energies.e0_comparison(folder),
        data=facts.data_table(folder),
        held_out=bool(folder.part("data").get("held_out")),
        files=facts.data_files(folder),
        check_notes=check_notes(folder),
        method=str(folder.part("method").get("name") or ""),
        choice=adaptation.choice(folder),
        heads=adaptation.heads(folder),
        replay=adaptation.replay(folder),
        model_files=model_files(folder),
        blocks=facts.blocks(folder),
        foundation=facts.foundation(folder),
        settings=facts.settings(folder),
        command=str(folder.manifest.get("command") or ""),
        provenance=facts.provenance(folder),
        versions=facts.versions(folder),
    )
