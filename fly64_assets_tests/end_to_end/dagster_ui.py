"""Starts `dagster dev` as `make ui` does, and drives its pages in a headless browser."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
GROUPS = ("simulation", "views", "training", "reconstruction", "comparison", "report")
START_SECONDS = 300  # half a minute on an idle machine
RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId status startTime endTime tags { key value } } } } }"
BACKFILLS = "{ partitionBackfillsOrError(limit: 5) { ... on PartitionBackfills { results { id status } } } }"


@functools.cache
def study_environment(root: Path, study: str) -> Mapping[str, str]:
    """The variables that `make ui` runs under: those that `fly64 environment` prints."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLY64_", "DAGSTER_"))}
    variables = {**kept, "FLY64_DATA_ROOT": str(root), "FLY64_STUDY": study, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "fly64_assets.cli", "environment"]
    printed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    return {**variables, **dict(re.findall(r"^export (\w+)='(.*)'$", printed, flags=re.MULTILINE))}


@dataclass(frozen=True)
class DagsterServer:
    """A running webserver and daemon."""

    url: str
    port: int
    pid: int

    def query(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the webserver's GraphQL endpoint."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def runs(self) -> list[dict[str, Any]]:
        """The latest runs, newest first."""
        return self.query(RUNS)["runsOrError"]["results"]

    def wait_for_runs(self, count: int, seconds: float) -> list[dict[str, Any]]:
        """Wait until there are so many runs and all of them have ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            runs = self.runs()
            if len(runs) >= count and all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in runs):
                return runs
            time.sleep(1)
        raise AssertionError(f"after {seconds} s the runs are {self.runs()}")

    def wait_for_backfill(self, seconds: float) -> str:
        """Wait until the latest backfill has ended, and return its status."""
        deadline = time.monotonic() + seconds
        status = "none"
        while time.monotonic() < deadline:
            found = self.query(BACKFILLS)["partitionBackfillsOrError"]["results"]
            status = found[0]["status"] if found else "none"
            if status in ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED"):
                return status
            time.sleep(1)
        raise AssertionError(f"after {seconds} s the backfill's status is {status}")

    def listening_addresses(self) -> set[str]:
        """Addresses on which the webserver, the daemon and their children accept connections."""
        family = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
        return {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }


@contextlib.contextmanager
def dagster_dev(root: Path, study: str, log: Path) -> Iterator[DagsterServer]:
    """The webserver and the daemon of a study on a free port of 127.0.0.1; ended on leaving, whatever happened."""
    variables = dict(study_environment(root, study))
    dagster = [sys.executable, "-m", "dagster"]
    subprocess.run(
        [*dagster, "instance", "concurrency", "set", "training", "1"], env=variables, check=True, capture_output=True
    )
    port = _free_port()
    # `dagster dev` calls its children by name: they must come from this environment.
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    command = [*dagster, "dev", "--port", str(port)]  # bare, as in an activated shell
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, env=variables, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = DagsterServer(f"http://127.0.0.1:{port}", port, process.pid)
    try:
        _wait_until_up(server, process, log)
        yield server
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(server: DagsterServer, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.query("{ version }")
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"the webserver did not come up on {server.url}:\n{log.read_text()}")


def _end(process: subprocess.Popen) -> None:
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(family, timeout=10)
    for left in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.wait()


def open_graph(page: "Page", server: DagsterServer, assets: Iterable[str]) -> None:
    """The asset graph with every group unfolded."""
    unfolded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"{server.url}/asset-groups?expanded={quote(unfolded)}")
    for group in GROUPS:
        shown(page, group).last.wait_for()
    for asset in assets:
        in_graph(page, asset).last.wait_for()
    page.wait_for_timeout(1500)  # the graph moves into place


def in_graph(page: "Page", asset: str) -> "Locator":
    """An asset's node, which shows the last part of its name; the graph shortens long ones in the middle."""
    asset = asset.rpartition("/")[2]
    pattern = re.compile(f"^({asset}|{asset[:4]}\\w*…\\w*{asset[-4:]})$")
    return page.get_by_text(pattern).filter(visible=True)


def shown(page: "Page", text: str) -> "Locator":
    """Visible elements with exactly this text (names are also kept in hidden elements that measure them)."""
    return page.get_by_text(text, exact=True).filter(visible=True)


def open_asset(page: "Page", server: DagsterServer, asset: str, view: str, partition: str | None = None) -> None:
    """A tab of an asset's page, and there a partition."""
    chosen = "" if partition is None else f"&partition={partition.replace('|', '%7C')}"
    page.goto(f"{server.url}/assets/{asset}?view={view}{chosen}")
    page.get_by_role("tab", name="Checks").or_(page.get_by_text("Checks", exact=True)).first.wait_for()


def choose_partitions(page: "Page", wanted: dict[str, list[str]]) -> None:
    """Tick partition keys of each dimension in the Materialize dialog, and nothing else."""
    dialog = page.get_by_role("dialog").first
    for _, keys in sorted(wanted.items()):
        dialog.get_by_text("Select a partition or create one").first.click()
        filter_box = page.get_by_placeholder("Filter partitions")
        filter_box.wait_for()
        menu = page.get_by_role("menu").filter(has=filter_box)  # the page behind shows the same keys
        for key in keys:
            menu.get_by_text(key, exact=True).first.click()
        dialog.get_by_text("Launch runs to materialize").click()  # closes the list
        filter_box.wait_for(state="detached")


def materialize(page: "Page", server: DagsterServer, asset: str, wanted: dict[str, list[str]]) -> None:
    """Launch a run, or a backfill over several partitions, from an asset's Materialize dialog."""
    open_asset(page, server, asset, "overview")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("dialog").wait_for()
    choose_partitions(page, wanted)
    page.get_by_role("dialog").get_by_role("button", name=re.compile(r"^Launch (1 run|backfill)$")).click()
    page.get_by_role("dialog").wait_for(state="detached")
