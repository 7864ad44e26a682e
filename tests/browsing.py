"""Pages in a real browser: Debian's Chromium, driven by Playwright's Python package.

Where they are not the tests skip, but not in CI (`CI` is set). Pictures of the pages lie in build/screens afterwards.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

SCREENS = Path(__file__).parents[1] / "build" / "screens"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--disable-extensions"]
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
#: Grid of the photographs, unless a test says another.
ROWS, COLUMNS = 8, 12


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if not CHROMIUM or sync_playwright is None:
        missing = "Chromium" if sync_playwright else "Playwright's Python package"
        assert not os.environ.get("CI"), f"in CI the pages are tested in a browser, and there is no {missing}"
        pytest.skip(f"no {missing} here: install Debian's chromium, and requirements-dev.txt")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


def private_mb(process):
    """Megabytes that no other process shares with it."""
    said = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("Private_")) / 1e3


class Opened:
    """A page in the browser, and what it said and asked for since it was opened. `grid`: of the photograph on it."""

    grid = ROWS, COLUMNS

    def __init__(self, browser, file, size, **context):
        self.context = browser.new_context(viewport=dict(zip(("width", "height"), size, strict=True)), **context)
        self.context.set_default_timeout(120_000)  # where other tests use the cores too
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]")
        self.asked[:] = [url for url in self.asked if not url.startswith("data:") and url != file.as_uri()]

    def close(self, name):
        """Leaves a picture of the page; there was no error, and nothing is beside the screen."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name.replace('[', '-').rstrip(']')}.png", full_page=True)
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= self.page.viewport_size["width"]
        self.context.close()
        assert self.said == []

    def memory(self):
        """What the page holds once what nobody needs is gone: megabytes of numbers and texts (`heap`), of all that its
        process has for itself (`process`: also arrays of numbers, pictures, the browser's own), and `nodes`.
        """
        session = self.context.new_cdp_session(self.page)
        session.send("Performance.enable")
        session.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        system = self.context.browser.new_browser_cdp_session()
        known = system.send("SystemInfo.getProcessInfo")["processInfo"]
        system.detach()
        own = [private_mb(one["id"]) for one in known if one["type"] == "renderer"]
        return {"heap": found["JSHeapUsedSize"] / 1e6, "process": max(own), "nodes": found["Nodes"]}

    def painted_ms(self):
        """When the page's first picture was there."""
        return self.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")

    def choice(self):
        self.settle()
        return self.page.evaluate("whatwhere.state.choice")

    def settle(self):
        """Until what was chosen is drawn."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def drawn(self, canvas):
        """What a canvas holds."""
        self.settle()
        return self.page.evaluate("(id) => document.getElementById(id).toDataURL()", canvas)

    def place(self, canvas, row, column):
        """Where the middle of a patch is, once it is in view."""
        self.page.locator(f"#{canvas}").scroll_into_view_if_needed()
        box = self.page.locator(f"#{canvas}").bounding_box()
        return box["x"] + (column + 0.5) / self.grid[1] * box["width"], box["y"] + (row + 0.5) / self.grid[0] * box[
            "height"
        ]

    def point(self, canvas, row, column):
        self.page.mouse.move(*self.place(canvas, row, column))

    def numbers(self, call):
        return np.array(self.page.evaluate(f"Array.from(whatwhere.numbers.{call})"))

    def slide(self, name, key, times=1):
        self.page.focus(f"#{name}")
        for _ in range(times):
            self.page.keyboard.press(key)
