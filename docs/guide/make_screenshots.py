"""Makes the pictures of first_hour.md: python -m docs.guide.make_screenshots copy/of/data/quick.

The data root must hold a finished study, `quick` unless --study names another; it is changed by what is clicked, so
give it a copy. Shown is one cell, 1000|dense unless --cell names another.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import load_study, split_partition
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


def pages(page: Page, server: DagsterServer, assets: list[str], cell: str) -> Iterator[str]:
    """Open one page after the other; each yields the name of its picture."""
    dose, view = split_partition(cell)
    open_graph(page, server, assets)
    yield "graph"
    open_asset(page, server, "trained_bundle", "overview")
    page.wait_for_timeout(SETTLED_MS)
    yield "asset"
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("dialog").wait_for()
    choose_partitions(page, {"dose": [dose], "view": [view]})
    yield "materialize"
    open_asset(page, server, "trained_bundle", "partitions", cell)
    page.wait_for_timeout(SETTLED_MS)
    yield "partition"
    page.get_by_text("Show markdown").or_(page.get_by_text("[Show Markdown]")).first.click()
    page.get_by_role("dialog").wait_for()
    yield "picture"
    open_asset(page, server, "trained_bundle", "checks")
    page.wait_for_timeout(SETTLED_MS)
    yield "checks"
    open_asset(page, server, "comparison_metrics", "partitions", cell)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--study", default="quick", help="name or path")
    parser.add_argument("--cell", default="1000|dense")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder that the pictures are written to")
    arguments = parser.parse_args()
    assets = list(StudyGraph(load_study(arguments.study)).nodes)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        dagster_dev(arguments.data_root, arguments.study, Path(scratch) / "dagster_dev.log") as server,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.set_default_timeout(45_000)
        for name in pages(page, server, assets, arguments.cell):
            page.wait_for_timeout(1000)
            taken = Path(scratch) / f"{name}.png"
            page.screenshot(path=taken)
            Image.open(taken).convert("RGB").quantize(64).save(arguments.out / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
