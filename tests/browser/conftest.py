"""A headless Chromium that opens the browser of a small study from disk. Skipped where there is none."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser_studies
import pytest

CHROMIUM = shutil.which("chromium")
PATIENCE = 20  # seconds, on a busy machine


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the small study with its browser."""
    folder = tmp_path_factory.mktemp("browser")
    browser_studies.small(folder)
    return folder / "results/small"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """One reader of the page, who notes what it asks for and what goes wrong."""

    def __init__(self, chromium: Any, index: Path, **options: Any) -> None:
        self.context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.page, self.address = self.context.new_page(), index.as_uri()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def open(self, state: str = "") -> Any:
        """Open a view by its address; the page once it is shown."""
        self.page.goto("about:blank")
        self.page.goto(self.address + state)
        return self.settled()

    def settled(self) -> Any:
        """The page, once it shows what was last asked for."""
        self.until("document.getElementById('notice').textContent || document.getElementById('count').textContent")
        self.until("!busy")
        return self.page

    def until(self, condition: str) -> None:
        """Wait for a condition; Playwright's own way needs ``eval``, which the page forbids."""
        end = time.monotonic() + PATIENCE
        while not self.page.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, f"never: {condition}"
            time.sleep(0.02)

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visitor(chromium: Any, results: Path) -> Iterator[Visitor]:
    """A visitor of the small study, whose visit must ask for nothing but files and end without errors."""
    visitor = Visitor(chromium, results / "browser/index.html")
    yield visitor
    visitor.close()
    assert not visitor.errors
    assert all(url.startswith(("file://", "data:", "about:")) for url in visitor.requests)


@pytest.fixture
def open_as(chromium: Any) -> Iterator[Any]:
    """Visitors with other screens, schemes or copies of the study; nothing is asked of how their visits end."""
    visitors: list[Visitor] = []

    def opened(index: Path, **options: Any) -> Visitor:
        visitors.append(Visitor(chromium, index, **options))
        return visitors[-1]

    yield opened
    for visitor in visitors:
        visitor.close()
