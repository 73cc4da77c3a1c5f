"""Look at a report in headless Chromium: click through it, in light, dark and print.

    python recipes/check_report.py runs/mine/report.html -o shots

Needs Chromium with its driver (Debian: chromium, chromium-driver) and the extra `browser`. Fails
with the first thing that is wrong; FOLDER/*.png and FOLDER/print.pdf are for the eye.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

#: CSS pixels of a desktop and of a phone.
DESKTOP, PHONE = (1280, 800), (390, 844)
#: Height of a picture.
PART = 2000
#: Seconds that a page may take to draw everything.
PATIENCE = 60.0
_SILENT = (
    "headless=new", "no-sandbox", "no-first-run", "disable-background-networking",
    "disable-component-update", "disable-sync", "hide-scrollbars", "disable-dev-shm-usage",
)  # fmt: skip
#: Draws WebGL without a graphics card.
_SOFTWARE_3D = ("use-angle=swiftshader", "enable-unsafe-swiftshader", "ignore-gpu-blocklist")


class Wrong(AssertionError):
    """Something on the page is not as it should be."""


def browser_path() -> str | None:
    """Chromium or Chrome on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


class Browser:
    """A page in headless Chromium."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Open a file and wait until all of it is drawn."""
        self.driver.get(page.resolve().as_uri())
        self.drawn()
        # A click must not chase what is still on its way.
        self.run("document.documentElement.style.scrollBehavior = 'auto';")

    def drawn(self) -> None:
        """Wait until every plot of an open section is drawn."""
        self.wait(
            "typeof Plotly === 'undefined' || document.documentElement.dataset.drawn === 'yes'",
            "the plots are not drawn",
        )

    def open_all(self) -> None:
        """Open every section and wait for its plots."""
        self.run("document.querySelectorAll('details').forEach(part => { part.open = true; });")
        # A plot is drawn once the browser has told of the opening.
        time.sleep(0.2)
        self.drawn()

    def run(self, script: str, *values: Any) -> Any:
        """Value of a JavaScript function's body."""
        return self.driver.execute_script(script, *values)

    def wait(self, condition: str, problem: str) -> None:
        """Wait for a JavaScript expression to be true."""
        end = time.monotonic() + PATIENCE
        while not self.run(f"return Boolean({condition});"):
            if time.monotonic() > end:
                raise Wrong(problem)
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """Bring an element into sight and click on it."""
        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'});", element)
        element.click()

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Size of the screen in CSS pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        time.sleep(0.5)

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the system would ask for it."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.command("Emulation.setEmulatedMedia", features=features)
        time.sleep(1.0)

    def command(self, name: str, **values: Any) -> Any:
        """One of Chromium's own commands."""
        return self.driver.execute_cdp_cmd(name, values)

    def pictures(self, folder: Path, name: str) -> None:
        """The whole page, in parts: Chromium paints no more than 16384 pixels at once."""
        height = self.run("return document.documentElement.scrollHeight;")
        width = self.run("return document.documentElement.clientWidth;")
        for old in folder.glob(f"{name}-*.png"):
            old.unlink()
        for k, top in enumerate(range(0, height, PART)):
            clip = {"x": 0, "y": top, "width": width, "height": min(PART, height - top), "scale": 1}
            found = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
            (folder / f"{name}-{k + 1:02d}.png").write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """The page on paper."""
        found = self.command("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        return base64.b64decode(found["data"])

    def complaints(self) -> list[str]:
        """Errors in the console since the last time."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last time, but for files and data in the page."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [url for url in found if not url.startswith(("file:", "data:", "blob:", "chrome"))]


@contextmanager
def browser(*, webgl: bool = True) -> Iterator[Browser]:
    """Headless Chromium with a profile of its own."""
    options = Options()
    options.binary_location = browser_path() or ""
    with tempfile.TemporaryDirectory() as profile:
        flags = [*_SILENT, f"user-data-dir={profile}"]
        flags += _SOFTWARE_3D if webgl else ("disable-gpu", "disable-3d-apis")
        for flag in flags:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(shutil.which("chromedriver") or "chromedriver")
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def check(page: Path, shots: Path) -> list[str]:
    """All checks of a page.

    Args:
        page: report or comparison.
        shots: folder for pictures.

    Returns:
        What was checked, a line each.

    Raises:
        Wrong: something is not as it should be.
    """
    shots.mkdir(parents=True, exist_ok=True)
    done = []
    steps: tuple[Callable[[Browser, Path], str], ...] = (
        first_look, follow_links, print_it, look_at_it, sort_tables, view_structures, darken,
        hold_it_in_a_hand,
    )  # fmt: skip
    with browser() as chromium:
        chromium.size(*DESKTOP)
        chromium.open(page)
        for step in steps:
            done.append(step(chromium, shots))
            nothing_wrong(chromium, step.__name__)
    with browser(webgl=False) as chromium:
        chromium.size(*DESKTOP)
        chromium.open(page)
        chromium.open_all()
        done.append(view_without_webgl(chromium, shots))
        nothing_wrong(chromium, "view_without_webgl")
    return [line for line in done if line]


def nothing_wrong(chromium: Browser, step: str) -> None:
    complaints, requests = chromium.complaints(), chromium.requests()
    if complaints:
        raise Wrong(f"{step}: the console says: {complaints[0]}")
    if requests:
        raise Wrong(f"{step}: the page asked for {requests[0]}")


def first_look(chromium: Browser, shots: Path) -> str:
    """What is seen before anything is opened."""
    closed = chromium.run("return document.querySelectorAll('details:not([open])').length;")
    height = chromium.run("return document.documentElement.scrollHeight;")
    chromium.pictures(shots, "first")
    return f"{height} pixels high, {closed} sections closed"


def follow_links(chromium: Browser, _shots: Path) -> str:
    """A link into a closed section opens it and leads there."""
    links = chromium.run(
        "return Array.from(document.querySelectorAll('a[href^=\"#\"]:not([data-place])'), "
        "link => link.getAttribute('href'));"
    )
    for target in dict.fromkeys(links):
        chromium.run("document.querySelectorAll('details').forEach(d => { d.open = false; });")
        chromium.run(
            "var links = document.querySelectorAll('a[href^=\"#\"]');"
            "Array.from(links).find(a => a.getAttribute('href') === arguments[0]).click();",
            target,
        )
        time.sleep(0.1)
        seen = chromium.run(
            "var place = document.querySelector(arguments[0]);"
            "return Boolean(place) && place.checkVisibility({ contentVisibilityAuto: true }) "
            "&& !place.querySelector(':scope > details:not([open])');",
            target,
        )
        if not seen:
            raise Wrong(f"a link leads to nothing that can be seen: {target}")
    chromium.run("document.querySelectorAll('details').forEach(d => { d.open = false; });")
    chromium.drawn()
    return f"{len(set(links))} places are reached by links" if links else ""


def look_at_it(chromium: Browser, shots: Path) -> str:
    """Everything is drawn, and nothing stands out of the page or is cut off."""
    chromium.open_all()
    _no_sideways_scrolling(chromium, "desktop")
    empty = chromium.run(
        "return Array.from(document.querySelectorAll('figure .plot')).filter("
        "place => !place.querySelector('.main-svg')).map(place => place.id);"
    )
    if empty:
        raise Wrong(f"no plot in {empty[0]}")
    _plots_can_be_read(chromium, "desktop")
    clipped = chromium.run(
        "return Array.from(document.querySelectorAll('body.run .box')).filter("
        "box => box.scrollWidth > box.clientWidth + 1).map(box => box.getAttribute('aria-label'));"
    )
    if clipped:
        raise Wrong(f"a table is wider than its box: {clipped[0]}")
    chromium.pictures(shots, "light")
    plots = len(chromium.driver.find_elements(By.CSS_SELECTOR, "figure .plot"))
    return f"light: {plots} plots drawn, no errors, no requests"


#: Texts of plots that stand out of them, and axes whose labels tell no scale.
_CUT = """
return Array.from(document.querySelectorAll('figure .plot')).flatMap(function (place) {
  var box = place.getBoundingClientRect();
  return Array.from(place.querySelectorAll('.main-svg text')).filter(function (text) {
    var r = text.getBoundingClientRect();
    return text.textContent.trim() && r.width > 0 && (r.left < box.left - 1.5
      || r.right > box.right + 1.5 || r.top < box.top - 1.5 || r.bottom > box.bottom + 1.5);
  }).map(function (text) { return place.id + ': ' + text.textContent; });
});"""
_BARE = """
return Array.from(document.querySelectorAll('figure .plot')).flatMap(function (place) {
  return ['xaxis', 'yaxis'].filter(function (axis) {
    return place._fullLayout[axis].type === 'log'
      && place.querySelectorAll('.' + axis[0] + 'tick text').length < 3;
  }).map(function (axis) { return place.id + ', ' + axis; });
});"""


def _plots_can_be_read(chromium: Browser, where: str) -> None:
    cut, bare = chromium.run(_CUT), chromium.run(_BARE)
    if cut:
        raise Wrong(f"{where}: a text is cut off in {cut[0]}")
    if bare:
        raise Wrong(f"{where}: fewer than three labels in {bare[0]}")


def _no_sideways_scrolling(chromium: Browser, where: str) -> None:
    wide, page = chromium.run(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth];"
    )
    if wide > page:
        raise Wrong(f"{where}: the page is {wide} pixels wide on a screen of {page}")


def sort_tables(chromium: Browser, _shots: Path) -> str:
    """Every heading sorts its column, by mouse and by keyboard, and lets go again."""
    heads = chromium.driver.find_elements(By.CSS_SELECTOR, "table.sortable th .sort")
    if not heads:
        return ""
    for place, button in enumerate(heads):
        head = button.find_element(By.XPATH, "..")
        table = button.find_element(By.XPATH, "ancestor::table")
        before = _rows(table)
        _press(chromium, button, by_key=place % 2 == 1)
        if head.get_attribute("aria-sort") != "ascending":
            raise Wrong(f"a heading does not sort: {button.text}")
        up = _rows(table)
        _press(chromium, button, by_key=False)
        down = _rows(table)
        if head.get_attribute("aria-sort") != "descending" or sorted(up) != sorted(down):
            raise Wrong(f"a heading does not sort downwards: {button.text}")
        _press(chromium, button, by_key=True)
        if _rows(table) != before:
            raise Wrong(f"the order of the page does not come back: {button.text}")
    return f"{len(heads)} headings sort by mouse and keyboard"


def _press(chromium: Browser, button: Any, *, by_key: bool) -> None:
    if by_key:
        button.send_keys(Keys.ENTER)
    else:
        chromium.run("arguments[0].click();", button)


def _rows(table: Any) -> list[str]:
    return table.parent.execute_script(
        "return Array.from(arguments[0].tBodies).flatMap(body => Array.from(body.rows, "
        "row => row.innerText));",
        table,
    )


def view_structures(chromium: Browser, shots: Path) -> str:
    """The viewer opens, goes on to another structure, and is opened from the table."""
    if not chromium.driver.find_elements(By.ID, "viewer"):
        return ""
    if chromium.driver.find_elements(By.CSS_SELECTOR, "#viewer-plot canvas"):
        raise Wrong("the viewer is drawn before anybody asked for it")
    choice = Select(chromium.driver.find_element(By.ID, "viewer-choice"))
    chromium.click("#viewer-show")
    chromium.wait("document.querySelector('#viewer-plot canvas')", "the viewer draws nothing in 3D")
    first = chromium.driver.find_element(By.ID, "viewer-caption").text
    time.sleep(1.0)
    _part(chromium, "#viewer", shots / "viewer.png")
    if len(choice.options) > 1:
        choice.select_by_index(len(choice.options) - 1)
        time.sleep(1.0)
        _part(chromium, "#viewer", shots / "viewer-last.png")
        chromium.click("#viewer-before")
        chromium.click("a[data-place='0']")
        if chromium.driver.find_element(By.ID, "viewer-caption").text != first:
            raise Wrong("the table does not open its structure")
    if not first:
        raise Wrong("the viewer says nothing of the structure")
    return f"{len(choice.options)} structures in the 3D viewer: {first}"


def view_without_webgl(chromium: Browser, shots: Path) -> str:
    """Without WebGL the viewer draws a projection."""
    if not chromium.driver.find_elements(By.ID, "viewer"):
        return ""
    chromium.click("#viewer-show")
    points = "#viewer-plot .scatterlayer .point"
    chromium.wait(f"document.querySelector('{points}')", "no projection without WebGL")
    chromium.run(
        "var turn = document.getElementById('viewer-turn'); turn.value = 120;"
        "turn.dispatchEvent(new Event('input'));"
    )
    time.sleep(1.0)
    _part(chromium, "#viewer", shots / "viewer-flat.png")
    return "without WebGL: a projection that can be turned"


def _part(chromium: Browser, selector: str, file: Path) -> None:
    element = chromium.driver.find_element(By.CSS_SELECTOR, selector)
    chromium.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'});", element)
    time.sleep(0.3)
    file.write_bytes(element.screenshot_as_png)


def darken(chromium: Browser, shots: Path) -> str:
    """A dark screen: the page and its plots turn dark, and light again."""
    chromium.scheme("dark")
    chromium.drawn()
    light = [
        colour
        for colour in chromium.run(
            "return [getComputedStyle(document.body).backgroundColor].concat(Array.from("
            "document.querySelectorAll('figure .main-svg'), svg => svg.style.background))"
            ".filter(Boolean);"
        )
        if _brightness(colour) > 128
    ]
    if light:
        raise Wrong(f"dark: a background is {light[0]}")
    chromium.pictures(shots, "dark")
    chromium.scheme("light")
    chromium.drawn()
    return "dark: page and plots follow the system"


def _brightness(colour: str) -> float:
    """Mean of red, green and blue; 0 for what is transparent."""
    parts = [float(part) for part in colour.partition("(")[2].rstrip(")").split(",")]
    return 0.0 if len(parts) == 4 and parts[3] == 0 else sum(parts[:3]) / 3


def print_it(chromium: Browser, shots: Path) -> str:
    """On paper: everything is there without controls, and the screen comes back afterwards."""
    closed = "document.querySelectorAll('details:not([open])').length"
    before = chromium.run(f"return {closed};")
    # What the page is like once its own scripts have made it ready.
    chromium.run(
        "window.addEventListener('beforeprint', function () { window.onPaper = ["
        f"{closed}, document.querySelectorAll('figure .plot:not(:has(.main-svg))').length];"
        "}, { once: true });"
    )
    content = chromium.pdf()
    (shots / "print.pdf").write_bytes(content)
    if not content.startswith(b"%PDF"):
        raise Wrong("no PDF was printed")
    shut, empty = chromium.run("return window.onPaper;")
    if shut or empty:
        raise Wrong(f"print: {shut} sections are closed, {empty} plots are not drawn")
    if chromium.run(f"return {closed};") != before:
        raise Wrong("print: sections stay open afterwards")
    chromium.command("Emulation.setEmulatedMedia", media="print")
    seen = chromium.run(
        "return Array.from(document.querySelectorAll('nav, .viewer, .all, button[data-copy]'))"
        ".filter(part => part.offsetParent !== null).length;"
    )
    chromium.command("Emulation.setEmulatedMedia", media="")
    if seen:
        raise Wrong("controls are printed")
    return f"print: {content.count(b'/Type /Page') - content.count(b'/Type /Pages')} pages"


def hold_it_in_a_hand(chromium: Browser, shots: Path) -> str:
    """A phone: nothing scrolls sideways but tables in their boxes."""
    chromium.size(*PHONE, phone=True)
    time.sleep(1.0)
    _no_sideways_scrolling(chromium, "phone")
    chromium.open_all()
    _no_sideways_scrolling(chromium, "phone")
    _plots_can_be_read(chromium, "phone")
    chromium.pictures(shots, "phone")
    chromium.size(*DESKTOP)
    return f"phone: {PHONE[0]} pixels wide without scrolling sideways"


def main() -> int:
    """Check the pages that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path, help="report.html")
    parser.add_argument("-o", "--out", type=Path, default=Path("shots"), help="folder for pictures")
    asked = parser.parse_args()
    try:
        for line in check(asked.page, asked.out):
            print(line)
    except Wrong as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
