"""Links between the pages of the repository lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md"), *ROOT.glob("docs/**/*.ipynb")]
    if not {"site-packages", "_build", "runs"} & set(path.parts)
]
#: Pages that are made when the site is built (docs/conf.py).
MADE = {ROOT / "docs" / "commands.md"}


def text_of(page: Path) -> str:
    """Text of a page without its code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    targets = {
        link: (page.parent / link.partition("#")[0]).resolve()
        for link in links
        if not re.match(r"[a-z]+:|#", link)
    }
    assert [link for link, path in targets.items() if not path.exists() and path not in MADE] == []


def test_the_walk_sees_the_pages() -> None:
    assert {ROOT / "README.md", ROOT / "docs" / "python.md"} <= set(PAGES)
    assert any(page.suffix == ".ipynb" for page in PAGES)
