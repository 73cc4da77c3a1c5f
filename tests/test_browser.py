"""The report in headless Chromium: what a reader clicks, in light, dark, print and on a phone."""

from __future__ import annotations

import csv
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import pestle
from pestle.reports import write_report
from report_folders import make_results, points_chart, verdict, write_protocol
from several_runs import make_run

RECIPE = Path(__file__).parents[1] / "recipes" / "check_report.py"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    """recipes/check_report.py, where there is a browser for it."""
    pytest.importorskip("selenium", reason="selenium is not installed: pip install pestle[browser]")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("no Chromium on the PATH")
    if shutil.which("chromedriver") is None:
        pytest.skip("no chromedriver on the PATH")
    spec = importlib.util.spec_from_file_location("check_report", RECIPE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with charts of every kind and flagged structures."""
    return make_results(tmp_path_factory.mktemp("results") / "qualify-naive")


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return write_report(folder)


def test_a_report(recipe: ModuleType, page: Path, tmp_path: Path) -> None:
    done = " ".join(recipe.check(page, tmp_path / "shots"))
    for said in (
        "8 plots drawn",
        "headings sort",
        "4 structures in the 3D viewer",
        "dark",
        "print",
    ):
        assert said in done
    assert "without WebGL: a projection" in done
    assert "390 pixels wide" in done
    assert "places are reached by links" in done
    # One screen of verdict and figures, and a line for each section.
    assert int(done.split()[0]) < 2200
    pictures = {path.name for path in (tmp_path / "shots").iterdir()}
    wanted = {"first-01.png", "light-01.png", "dark-01.png", "phone-01.png", "print.pdf"}
    assert wanted | {"viewer.png"} <= pictures


@pytest.mark.parametrize("several", [False, True], ids=["a run", "means over seeds"])
def test_a_plot_is_saved_as_picture_and_as_the_data_of_the_pictures_on_disk(
    folder: Path, page: Path, chromium, tmp_path: Path, several: bool
) -> None:
    if several:
        made = tmp_path / "made"
        runs = [make_run(made / f"naive-{seed}", 50.0 + seed, seed=seed) for seed in (0, 1)]
        runs.append(make_run(made / "lora", 60.0, method="lora"))
        page = pestle.report(runs, made / "page.html")
        pestle.write_figures(runs, tmp_path)
        bars = (tmp_path / "compared-force-rmse-test-frames.csv").read_text().splitlines()
        assert [line.rpartition(",")[2] for line in bars] == ["n", "", "", "2", "1"]
    else:
        pestle.write_figures(folder, tmp_path)
    chromium.size(1200, 900)
    chromium.open(page)
    chromium.run(
        """
        window.saved = {};
        HTMLAnchorElement.prototype.click = function () {
          var name = this.download, href = this.href;
          fetch(href).then(function (answer) { return answer.text(); })
            .then(function (text) { window.saved[name] = text; });
        };
        document.querySelectorAll('.save button').forEach(function (button) { button.click(); });
        """
    )
    wanted = {path.name for path in tmp_path.iterdir() if path.suffix in (".svg", ".csv")}
    chromium.wait(f"Object.keys(window.saved).length >= {len(wanted)}", "not all was saved")
    saved = chromium.run("return window.saved;")
    assert set(saved) == wanted
    for name, text in saved.items():
        if name.endswith(".svg"):
            assert text.startswith("<svg") and "</svg>" in text
            continue
        rows, own = list(csv.reader(text.splitlines())), (tmp_path / name).read_text()
        for row, other in zip(rows, csv.reader(own.splitlines()), strict=True):
            for cell, value in zip(row, other, strict=True):
                assert cell == value or float(cell) == pytest.approx(float(value), abs=1e-9), name
    assert chromium.complaints() == []
    assert chromium.requests() == []


@pytest.fixture
def chromium(recipe: ModuleType) -> Iterator[object]:
    with recipe.browser() as found:
        yield found


def test_a_comparison(recipe: ModuleType, folder: Path, chromium, tmp_path: Path) -> None:
    other = write_protocol(tmp_path / "other", "errors", [points_chart()]).parents[1]
    verdict(verdict="pass", candidate="lora").write(other / "verdict.json")
    chromium.size(*recipe.DESKTOP)
    chromium.open(pestle.report([folder, other], tmp_path / "comparison.html"))
    chromium.open_all()
    assert "headings sort" in recipe.sort_tables(chromium, tmp_path)
    recipe.hold_it_in_a_hand(chromium, tmp_path)
    assert chromium.complaints() == []
    assert chromium.requests() == []


def test_numbers_are_sorted_by_value_and_nothing_stays_below(
    recipe: ModuleType, page: Path, chromium
) -> None:
    chromium.size(*recipe.DESKTOP)
    chromium.open(page)
    chromium.open_all()
    column = (
        "return Array.from(document.querySelectorAll('#protocol-rss tbody tr'), "
        "row => row.cells[2].textContent);"
    )
    heading = "#protocol-rss th:nth-child(3) .sort"
    chromium.click(heading)
    up = chromium.run(column)
    chromium.click(heading)
    down = chromium.run(column)
    assert up[-1] == down[-1] == "—"
    values = [float(text.replace("−", "-").replace(",", "")) for text in up[:-1]]
    assert values == sorted(values)
    assert len(values) == 39
    assert down[:-1] == up[:-1][::-1]


def test_a_plot_that_was_closed_fills_its_place(recipe: ModuleType, page: Path, chromium) -> None:
    """Drawn at once it would have no size: it waits for its section, and for a new width."""
    chromium.size(*recipe.DESKTOP)
    chromium.open(page)
    drawn = "return document.querySelectorAll('#protocol-neb .main-svg').length;"
    widths = (
        "var place = document.querySelector('#protocol-neb .plot');"
        "var plot = place.querySelector('.main-svg');"
        "return [place.clientWidth, Number(plot.getAttribute('width'))];"
    )
    assert chromium.run(drawn) == 0
    for width in (1280, 390):
        chromium.size(width, 800)
        chromium.run("document.querySelector('#protocol-neb > details').open = true;")
        chromium.wait("document.querySelector('#protocol-neb .main-svg')", "no plot")
        chromium.wait(f"(function () {{ {widths} }})().reduce((a, b) => a === b)", "another width")
        chromium.run("document.querySelector('#protocol-neb > details').open = false;")
    assert chromium.run(widths)[1] < 390


def test_a_phone_shows_verdict_and_sections(recipe: ModuleType, page: Path, chromium) -> None:
    chromium.size(*recipe.PHONE, phone=True)
    chromium.open(page)
    assert chromium.run("return document.documentElement.scrollHeight;") < 3500
    chromium.open_all()
    # Each row of the tests is a block of name and value: nothing is wider than the phone.
    cells = chromium.run(
        "return Array.from(document.querySelectorAll('#tested td'), cell => "
        "[cell.getBoundingClientRect().right, getComputedStyle(cell, '::before').content]);"
    )
    assert cells and all(right <= 390 for right, _ in cells)
    assert {label for _, label in cells} >= {'"Outcome"', '"Calculated"', '"Time"'}


def test_everything_is_reached_without_scripts(recipe: ModuleType, page: Path, chromium) -> None:
    chromium.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.driver.get(page.resolve().as_uri())
        chromium.click("#protocol-dimers summary")
        found = chromium.driver.find_element("css selector", "#protocol-dimers table")
        assert found.is_displayed() and "Cu-X0" in found.text
    finally:
        chromium.command("Emulation.setScriptExecutionDisabled", value=False)


def test_the_check_sees_what_is_wrong(
    recipe: ModuleType, page: Path, chromium, tmp_path: Path
) -> None:
    """A page that asks for something, complains or is too wide does not pass."""
    text = page.read_text()
    broken = tmp_path / "broken.html"
    for addition, words in (
        ("<script>fetch('http://127.0.0.1:9/x').catch(() => 0)</script>", "127.0.0.1"),
        ("<script>missing()</script>", "missing"),
        ("<div style='width: 4000px'>wide</div>", "4000|wide on a screen"),
    ):
        broken.write_text(text.replace("<footer>", f"{addition}<footer>"))
        chromium.size(*recipe.DESKTOP)
        chromium.open(broken)
        with pytest.raises(recipe.Wrong, match=words):
            recipe.look_at_it(chromium, tmp_path)
            recipe.nothing_wrong(chromium, "look_at_it")
        chromium.complaints(), chromium.requests()
