"""From rows and figures to the text of a page: template, style, scripts, plotting library."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from pestle import __version__
from pestle.report.colours import DARK


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pestle.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, *, draws: bool, **content: Any) -> str:
    """A page as text.

    Args:
        template: its file.
        draws: whether there is something to draw. The library is 4.8 MB.
        content: what the template names.
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
