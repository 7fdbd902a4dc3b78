"""The platform as a person uses it: Dagster's pages in a real browser, on the tiny study."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.storage import sha256_of
from fly64_assets.study import load_study
from fly64_assets_tests.end_to_end.dagster_ui import (
    CHROMIUM,
    DagsterServer,
    dagster_dev,
    in_graph,
    materialize,
    open_asset,
    open_graph,
    shown,
    study_environment,
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (Debian: apt-get install chromium)"),
]

PROJECT = Path(__file__).parents[2]
TINY = str(PROJECT / "fly64_assets_tests" / "studies" / "tiny.yaml")
SCREENSHOTS = PROJECT / "data" / "screenshots"
UPSTREAM = """
import dagster as dg
from pathlib import Path
from fly64_assets.definitions import defs
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.study_run.runs import execute_partition
with dg.DagsterInstance.get() as instance:
    for item in (("scan", None), ("simulated_dataset", "1000"), ("overlap_view", "1000|dense")):
        outcome = execute_partition(defs, instance, PartitionId(*item), run_config={}, tags={})
        assert outcome.success, outcome.cause
"""
RUN_SECONDS = 150


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DagsterServer, Path]]:
    """Webserver and daemon on a data root that holds what one training needs."""
    root = tmp_path_factory.mktemp("ui") / "root"
    subprocess.run([sys.executable, "-c", UPSTREAM], env=study_environment(root, TINY), check=True, timeout=200)
    with dagster_dev(root, TINY, root.parent / "dagster_dev.log") as running:
        yield running, root


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator:
    """A page of a headless chromium; a screenshot of its last state is kept."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 850})
        opened.set_default_timeout(45_000)
        yield opened
        opened.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
        browser.close()


def test_one_partition_from_the_graph_to_its_verdicts(server, page) -> None:
    running, root = server
    assets = StudyGraph(load_study(TINY)).nodes
    open_graph(page, running, assets)
    assert all(in_graph(page, asset).count() for asset in assets)
    page.screenshot(path=SCREENSHOTS / "graph.png")

    before = len(running.runs())
    materialize(page, running, "trained_bundle", {"dose": ["1000"], "view": ["dense"]})
    assert running.wait_for_runs(before + 1, RUN_SECONDS)[0]["status"] == "SUCCESS"

    open_asset(page, running, "trained_bundle", "partitions", "1000|dense")
    shown(page, "bundle_sha256").first.wait_for()
    digest = sha256_of(root / "trained_bundle/dose_1000/dense/gs2/wts.h5.zip")
    shown(page, digest).first.wait_for()
    page.screenshot(path=SCREENSHOTS / "metadata.png")

    open_asset(page, running, "trained_bundle", "checks")
    for check in ("bundle_matches_catalog", "network_learned", "weights_are_finite", "weights_changed"):
        page.get_by_text(check, exact=True).first.wait_for()
    shown(page, "Passed").first.wait_for()
    assert page.get_by_text("Succeeded", exact=True).count() == 4


def test_a_backfill_over_two_doses_completes(server, page) -> None:
    running, root = server
    before = len(running.runs())
    materialize(page, running, "simulated_dataset", {"dose": ["1000", "10000"]})
    assert running.wait_for_backfill(RUN_SECONDS) == "COMPLETED_SUCCESS"
    runs = running.wait_for_runs(before + 2, RUN_SECONDS)[: len(running.runs()) - before]
    assert [run["status"] for run in runs] == ["SUCCESS", "SUCCESS"]
    assert (root / "simulated_dataset/dose_10000/patched_train.npz").is_file()
    page.goto(f"{running.url}/runs?view=backfills")
    shown(page, "2 partitions").first.wait_for()
    shown(page, "Success").first.wait_for()


def test_nobody_outside_this_machine_can_reach_it(server) -> None:
    running, _ = server
    assert running.listening_addresses() == {"127.0.0.1"}
