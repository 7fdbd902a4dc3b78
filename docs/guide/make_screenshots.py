"""Makes the pictures of first_hour.md: FLY64_DATA_ROOT=copy/of/data/quick python -m docs.guide.make_screenshots.

The data root must hold the study `quick`, finished at 1,000 photons per pattern.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from fly64_assets_tests.end_to_end.dagster_ui import (
    CHROMIUM,
    DagsterServer,
    choose_partitions,
    dagster_dev,
    open_asset,
    open_graph,
    shown,
)

IMAGES = Path(__file__).parent / "images"
SETTLED_MS = 3500


def pages(page: Page, server: DagsterServer) -> Iterator[str]:
    """Open one page after the other; each yields the name of its picture."""
    open_graph(page, server)
    yield "graph"
    open_asset(page, server, "trained_bundle", "overview")
    page.wait_for_timeout(SETTLED_MS)
    yield "asset"
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("dialog").wait_for()
    choose_partitions(page, {"dose": ["1000"], "view": ["dense"]})
    yield "materialize"
    open_asset(page, server, "trained_bundle", "partitions", "1000|dense")
    page.wait_for_timeout(SETTLED_MS)
    yield "partition"
    page.get_by_text("Show markdown").or_(page.get_by_text("[Show Markdown]")).first.click()
    page.get_by_role("dialog").wait_for()
    yield "picture"
    open_asset(page, server, "trained_bundle", "checks")
    page.wait_for_timeout(SETTLED_MS)
    yield "checks"
    open_asset(page, server, "comparison_metrics", "partitions", "1000|dense")
    page.wait_for_timeout(SETTLED_MS)
    page.get_by_text("Show markdown").or_(page.get_by_text("[Show Markdown]")).first.click()
    page.get_by_role("dialog").wait_for()
    yield "comparison"
    open_asset(page, server, "study_report", "overview")
    page.wait_for_timeout(SETTLED_MS)
    shown(page, "Metadata").last.evaluate("title => title.scrollIntoView()")
    yield "report"
    page.goto(f"{server.url}/automation")
    page.get_by_text("nightly_dose_backfill").first.wait_for()
    yield "automation"


def main() -> None:
    """Write every picture as a palette PNG."""
    IMAGES.mkdir(exist_ok=True)
    root = Path(os.environ["FLY64_DATA_ROOT"])
    with (
        tempfile.TemporaryDirectory() as scratch,
        dagster_dev(root, "quick", Path(scratch) / "dagster_dev.log") as server,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.set_default_timeout(45_000)
        for name in pages(page, server):
            page.wait_for_timeout(1000)
            taken = Path(scratch) / f"{name}.png"
            page.screenshot(path=taken)
            Image.open(taken).convert("RGB").quantize(64).save(IMAGES / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
