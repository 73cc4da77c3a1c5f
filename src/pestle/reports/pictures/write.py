"""Pictures of one run or several in a folder: SVG, PDF and CSV of each plot, and captions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context

from pestle.files import write_bytes, write_text
from pestle.reports import charts
from pestle.reports.comparison import figures_of_runs
from pestle.reports.curves import learning_curves
from pestle.reports.drift import drift_section
from pestle.reports.figures import Figure
from pestle.reports.models import models_of
from pestle.reports.pictures.data import csv_of
from pestle.reports.pictures.draw import STYLE, draw
from pestle.reports.reading import read_results

#: File with the captions.
CAPTIONS = "captions.md"


def pictures_of_run(folder: Path) -> list[Figure]:
    """Return all plots of the page of a run.

    Args:
        folder: folder of the run.

    Raises:
        PestleError: the folder does not exist.
    """
    results = read_results(folder)
    models, drift = models_of(results), drift_section(results)
    figures = learning_curves(results)
    figures += [drift["figure"]] if drift and drift["figure"] else []
    for name, protocol in results.protocols.items():
        figures += charts.figures_of(protocol.charts, models, name)
    return figures


def pictures_of_comparison(folders: Sequence[Path]) -> list[Figure]:
    """Return all plots of the page of several runs.

    Args:
        folders: folders of the runs.

    Raises:
        PestleError: a folder does not exist.
    """
    return figures_of_runs([read_results(folder, drawn=False) for folder in folders])


def picture_of(figure: Figure, suffix: str) -> bytes:
    """Return the content of a picture file; the same data give the same bytes.

    Args:
        figure: the plot.
        suffix: svg or pdf.
    """
    drawn = io.BytesIO()
    undated = {"Date": None} if suffix == "svg" else {"CreationDate": None}
    with rc_context(STYLE):
        draw(figure).savefig(drawn, format=suffix, dpi=600, metadata=undated)
    return drawn.getvalue()


def write_pictures(figures: Sequence[Figure], out: Path) -> list[Path]:
    """Write each plot as SVG, PDF and CSV under its name, and captions.md.

    Args:
        figures: the plots.
        out: folder for the files; it is made if it does not exist.

    Returns:
        Paths of the files.

    Raises:
        CannotWrite: the system refuses to write a file, or the disk is full.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    lines = ["# What each picture shows", ""]
    for figure in figures:
        for suffix in ("svg", "pdf"):
            written.append(out / f"{figure.name}.{suffix}")
            write_bytes(written[-1], picture_of(figure, suffix))
        written.append(out / f"{figure.name}.csv")
        write_text(written[-1], csv_of(figure))
        lines += [f"**{figure.name}** {figure.title}. {figure.caption}".rstrip(), ""]
    written.append(out / CAPTIONS)
    write_text(written[-1], "\n".join(lines))
    return written
