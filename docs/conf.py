"""The documentation as a site: `pip install -e ".[docs]" && sphinx-build -W docs docs/_build`.

Sphinx, as ASE, torch-sim and metatrain use it; with MyST, because the sources then are plain
Markdown that is read on GitHub, too; and the theme furo, whose side bar shows every page. Warnings
are errors. Notebooks run when the site is built, so that no tutorial shows what the code does not
do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

import pestle

project = "Pestle"
author = "The Pestle developers"
version = release = pestle.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = "Pestle"
html_show_sourcelink = False
html_theme_options = {"source_repository": "https://github.com/pestle-mlip/pestle/"}
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_in_temp = True
nb_merge_streams = True
nb_output_stderr = "remove"
# A notebook shows the plot; the site shows the picture of the run.
suppress_warnings = ["mystnb.unknown_mime_type"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_use_ivar = True
napoleon_numpy_docstring = False

REPOSITORY = "https://github.com/pestle-mlip/pestle/blob/main/"
#: A link to a file of the repository that is no page: it leaves the folder docs/.
OUTSIDE = re.compile(r"\]\(((?:\.\./)+)([^)#]+)(#[^)]*)?\)")


def to_repository(app: Any, name: str, source: list[str]) -> None:
    """Links that leave the folder docs/ go to the repository."""
    depth = name.count("/") + 1

    def target(link: re.Match[str]) -> str:
        if link.group(1).count("../") < depth:
            return link.group(0)
        return f"]({REPOSITORY}{link.group(2)}{link.group(3) or ''})"

    source[0] = OUTSIDE.sub(target, source[0])


def commands_page() -> str:
    """The help of every command, as the terminal shows it."""
    from pestle.cli import app

    group = typer.main.get_command(app)
    lines = ["# Commands", "", "What `pestle COMMAND --help` says.", ""]
    lines += _help(group, "pestle", group.make_context("pestle", [], resilient_parsing=True))
    return "\n".join(lines)


def _help(command: Any, name: str, context: Any) -> list[str]:
    """Help of a command and of those below it."""
    context.max_content_width = context.terminal_width = 100
    lines = [f"## {name}", "", "```text", command.get_help(context), "```", ""]
    for below, one in getattr(command, "commands", {}).items():
        inner = type(context)(one, info_name=below, parent=context)
        lines += _help(one, f"{name} {below}", inner)
    return lines


def setup(app: Any) -> None:
    """Called by Sphinx."""
    (Path(__file__).parent / "commands.md").write_text(commands_page(), encoding="utf-8")
    app.connect("source-read", to_repository)
