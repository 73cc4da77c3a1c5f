"""Energy profiles along a path: every model against the reference, and barriers as rows."""

from __future__ import annotations

from typing import Any

from pestle.report.colours import REFERENCE_COLOUR
from pestle.report.figures import Figure, empty_plot, rounded, shown
from pestle.report.models import Models
from pestle.report.run_folder import RunFolder, nested
from pestle.report.wording import fixed, number

_DASHES = ("solid", "dash", "dot", "dashdot")


def profile(folder: RunFolder, models: Models) -> dict[str, Any] | None:
    """The plot and the table of a path; `None` where the protocol was not run."""
    path = folder.path or {}
    curves = {k: v for k, v in nested(path, "curves").items() if isinstance(v, list)}
    if not curves:
        return None
    reference = path.get("reference")
    plot = empty_plot(
        shown(path.get("x_label") or "path"), shown(path.get("y_label") or "energy (eV)")
    )
    order = sorted(curves, key=lambda m: (m != reference, *_place(m, models)))
    for k, model in enumerate(order):
        known = model == reference
        colour = REFERENCE_COLOUR if known else models.colours.get(model, REFERENCE_COLOUR)
        plot.add_scatter(
            x=path.get("x") or list(range(len(curves[model]))),
            y=rounded(curves[model]),
            name=shown(f"{model} (reference)" if known else model),
            mode="lines+markers",
            # Shapes of lines as well as colours: the page must survive a grey printer.
            line={"color": colour, "width": 2, "dash": _DASHES[k % len(_DASHES)]},
            marker={
                "color": colour,
                "size": 8 if known else 6,
                "symbol": "circle-open" if known else "circle",
            },
            hovertemplate="%{y:.3f}",
        )
    plot.update_layout(hovermode="x", showlegend=True)
    rows = [
        {
            "model": str(row.get("model")),
            "colour": models.colours.get(str(row.get("model")), REFERENCE_COLOUR),
            "barrier": fixed(row.get("barrier_ev"), 3),
            "reaction": fixed(row.get("reaction_energy_ev"), 3, sign=True),
            "rmse": number(row.get("rmse_mev")),
        }
        for row in path.get("summary") or []
        if isinstance(row, dict)
    ]
    title = str(path.get("title") or "Energy profile")
    return {"figure": Figure("path-profile", title, "", plot, shape="wide"), "rows": rows}


def _place(model: str, models: Models) -> tuple[int]:
    names = models.names
    return (names.index(model) if model in names else len(names),)
