"""The browser of a study of 50,000 examples, ten architectures and twenty epochs, in a headless Chromium."""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from timing import PROJECT, Row, progress

from memflow.browser import stage

sys.path.append(str(PROJECT / "tests/browser"))
import browser_studies

ROUNDS = 5
CHROMIUM = shutil.which("chromium")
SHOWN = "document.querySelectorAll('.tile').length > 0 && !busy"
# Milliseconds from a change of the form until its effect is laid out; on a page that has finished what was before.
CHANGE = """async ([name, value]) => {
  await new Promise((resolve) => setTimeout(() => requestIdleCallback(resolve), 200));
  const field = form.elements[name], original = go;
  let shown;
  go = (...given) => (shown = original(...given));
  const started = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("change", {bubbles: true}));
  await shown;
  document.body.offsetHeight;
  go = original;
  return performance.now() - started;
}"""
FILTERS = [("class", "3"), ("flag:label_noise", "only"), ("from", "0.3"), ("type", "width:constant"), ("class", "")]
SORTS = [("sort", "index"), ("sort", "proxy:aum"), ("sort", "minus:net-0:one-hot"), ("sort", "ranks:aum")]


def measure() -> list[Row]:
    """Seconds of building, of the first view, and of a filter and a sort whose data is there."""
    with tempfile.TemporaryDirectory(prefix="memflow-") as scratch:
        folder = Path(scratch)
        progress("  writing a study")
        spec = browser_studies.big(folder)
        results = folder / "results/big"
        started = time.monotonic()
        stage.run(spec, results, browser_studies.PAGE, results / "browser/index.html")
        built = time.monotonic() - started
        progress("  opening it")
        first, filters, sorts, detail = visit((results / "browser/index.html").as_uri())
    terms = "50,000 × 10 × 20; wall"
    return [
        Row("browser, building", terms, "s", [built], None),
        Row("browser, first view", terms, "s", first, 2),
        Row("browser, a filter", terms, "s", filters, 0.1),
        Row("browser, a sort", terms, "s", sorts, 0.1),
        Row("browser, first detail view", terms, "s", detail, None),
    ]


def visit(address: str) -> tuple[list[float], list[float], list[float], list[float]]:
    """Seconds of each first view, filter, sort and detail view."""
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        raise RuntimeError("no Chromium on the PATH (Debian: apt-get install chromium)")
    first, filters, sorts, detail = [], [], [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page()
            started = time.monotonic()
            page.goto(address)
            wait(page, SHOWN)
            first.append(time.monotonic() - started)
            filters += [page.evaluate(CHANGE, [*one]) / 1000 for one in FILTERS]
            page.evaluate("clear()")
            wait(page, "!busy")
            for one in SORTS:
                page.evaluate(CHANGE, [*one])  # loads what it needs
                page.evaluate(CHANGE, ["sort", "score"])
                sorts.append(page.evaluate(CHANGE, [*one]) / 1000)
            started = time.monotonic()
            page.click(".tile >> nth=0")
            wait(page, "document.querySelectorAll('#parts .chart svg').length === 2")
            detail.append(time.monotonic() - started)
            page.close()
        browser.close()
    return first, filters, sorts, detail


def wait(page: Any, condition: str) -> None:
    """Until a condition holds."""
    while not page.evaluate(f"Boolean({condition})"):
        time.sleep(0.005)


if __name__ == "__main__":
    for row in measure():
        worst = max(row.values)
        print(f"{row.name:28} {row.median:8.3f} {row.unit}  (worst {worst:.3f}, target {row.target}, {row.verdict})")
