"""What the platform costs beside the science: seconds per partition, loading a large graph, a schedule's tick.

Run: ``OMP_NUM_THREADS=1 python -m fly64_assets_tests.benchmarks.bench_orchestration [--filled] [--skip-study]``.

Overhead is all that a walk over the tiny study takes outside of the functions of ``fly64_assets.science``
(gate, staging, fsync, catalog, checks, plans), from a profile of the same run; its worker runs in this
process, so the one-off start of ``fly64 study``'s worker stands beside it. CPU-seconds are given
too, because other load on the machine lengthens the clock. ``--filled`` also times the tick over a complete
catalog, which takes minutes to write.
"""

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap

from fly64_assets.orchestration.catalog.freshness import Freshness
from fly64_assets.orchestration.catalog.instance import limit_training, study_instance
from fly64_assets.orchestration.code_location import build_definitions, code_versions
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.pool import Task
from fly64_assets.orchestration.study_run.runs import execute_partition
from fly64_assets.orchestration.study_run.walk import Walk
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
DOSES, VIEWS = 100, 5
SCIENCE, PLATFORM = "/fly64_assets/science/", "/fly64_assets/orchestration/"


@contextmanager
def temporary_instance(study: Study) -> Iterator[tuple[dg.DagsterInstance, Path]]:
    """A data root and its instance, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench_orchestration") as folder:
        root = Path(folder)
        with study_instance(root, study.name) as instance:
            limit_training(instance)
            yield instance, root


@dataclass
class WorkerHere:
    """Executes a walk's partitions in this process."""

    study: Study
    root: Path
    instance: dg.DagsterInstance
    task: Task | None = None
    _said: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.definitions = build_definitions(self.study, self.root)

    def start(self, task: Task) -> None:
        """Execute at once; the outcome is the next message."""
        self.task = task
        outcome = execute_partition(
            self.definitions, self.instance, task.item, run_config=task.run_config, tags=task.tags
        )
        fields = {"success": outcome.success, "cause": outcome.cause, "run_id": outcome.run_id}
        self._said.append({"outcome": fields})

    def idle(self) -> list["WorkerHere"]:
        """Itself, unless its outcome has not been heard."""
        return [] if self.task is not None else [self]

    def messages(self, _seconds: float) -> list[tuple["WorkerHere", dict[str, Any]]]:
        """What it has to say."""
        said, self._said = self._said, []
        return [(self, message) for message in said]


@dataclass
class Ends:
    """A display that notes how long each partition took."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def ended(self, outcome: Any) -> None:
        """A partition has ended."""
        if not outcome.success:
            raise RuntimeError(f"{outcome.item}: {outcome.cause}")
        self.seconds[outcome.item.asset].append(outcome.seconds)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def science_seconds(profile: cProfile.Profile) -> float:
    """Seconds inside science functions, counted where orchestration calls them."""
    entries: dict[Any, Any] = pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]
    return sum(
        call[3]
        for (callee, _, _), (_, _, _, _, callers) in entries.items()
        if SCIENCE in callee
        for (caller, _, _), call in callers.items()
        if PLATFORM in caller
    )


def overhead() -> None:
    """Print what the tiny study takes outside of the science."""
    study = load_study(str(TINY))
    with temporary_instance(study) as (instance, root):
        worker = WorkerHere(study, root, instance)
        graph = StudyGraph(study)
        selected = graph.select(["1000"], list(study.views))
        freshness = Freshness(graph, instance, root, code_versions(graph))
        ends = Ends()
        walk = Walk(freshness, selected, worker, ends)  # pyright: ignore[reportArgumentType]
        profile = cProfile.Profile()
        wall, cpu = time.perf_counter(), time.process_time()
        profile.runcall(walk.run)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        count = len(walk.done)
        assert not walk.failed, walk.failed
        science = science_seconds(profile)
        print(f"tiny study: {count} partitions in {wall:.1f} s ({cpu:.1f} CPU-s), of which science {science:.1f} s")
        print(f"overhead per partition: {(wall - science) / count:.2f} s (limit 2 s)")
        again = time.perf_counter()
        Walk(freshness, selected, worker, Ends()).run()  # pyright: ignore[reportArgumentType]
        print(f"the same again, all fresh: {(time.perf_counter() - again) / count:.2f} s per partition")
    code = "import fly64_assets.orchestration.code_location, fly64_assets.science.networks.training"
    wall, cpu = in_new_process(code)
    print(f"start of a worker, once per study command: {wall:.1f} s ({cpu:.1f} CPU-s)")


def in_new_process(code: str, **variables: str) -> tuple[float, float]:
    """Wall and CPU-seconds of a Python program."""
    before, begun = os.times(), time.perf_counter()
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    subprocess.run([sys.executable, "-c", code], env={**kept, **variables}, check=True)
    wall, after = time.perf_counter() - begun, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def large_study(folder: Path) -> Study:
    """The tiny study with 100 doses and 5 views, as a file and loaded."""
    content = yaml.safe_load(TINY.read_text())
    content["doses"] = [float(100 + 10 * k) for k in range(DOSES)]
    content["default_doses"] = None
    content["views"] |= {f"view_{k}": {"gridsize": 2, "overlap": 0.1 * k} for k in range(VIEWS - 3)}
    (folder / "large.yaml").write_text(yaml.safe_dump(content))
    return load_study(str(folder / "large.yaml"))


def loading(study: Study, folder: Path) -> None:
    """Print how long the code location of the large study takes, in this process and in a new one."""
    begun = time.perf_counter()
    repository = build_definitions(study, folder).get_repository_def()
    RepositorySnap.from_def(repository)
    print(f"graph of {DOSES} doses x {VIEWS} views: definitions and snapshot {time.perf_counter() - begun:.2f} s")
    code = (
        "from fly64_assets.definitions import defs\n"
        "from dagster._core.remote_representation.external_data import RepositorySnap\n"
        "RepositorySnap.from_def(defs.get_repository_def())"
    )
    wall, cpu = in_new_process(code, FLY64_STUDY=str(folder / "large.yaml"), FLY64_DATA_ROOT=str(folder / "root"))
    print(f"the same in a new process, imports included: {wall:.2f} s ({cpu:.2f} CPU-s, limit 5 s)")


def tick(study: Study, *, filled: bool) -> None:
    """Print how long the schedule's tick takes on an empty and, if asked, on a complete catalog."""
    now = datetime(2026, 1, 1, 2, tzinfo=UTC)
    with temporary_instance(study) as (instance, root):
        repository = build_definitions(study, root).get_repository_def()
        schedule = repository.get_schedule_def("nightly_dose_backfill")

        def evaluate(catalog: str) -> None:
            with dg.build_schedule_context(
                instance=instance, repository_def=repository, scheduled_execution_time=now
            ) as context:
                wall, cpu = time.perf_counter(), time.process_time()
                found = schedule.evaluate_tick(context)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(
                f"tick over {DOSES * VIEWS} cells, {catalog} catalog: {wall:.2f} s ({cpu:.2f} CPU-s, limit 5 s), "
                f"{len(found.run_requests or [])} requests"
            )

        evaluate("empty")
        if filled:
            builder = CatalogBuilder(study, instance, root)
            for item in StudyGraph(study).walk_order():
                builder.materialize(item)
            evaluate("complete")
            builder.materialize(PartitionId("simulated_dataset", study.dose_keys[-1]), content=b"other photons")
            evaluate("nearly complete")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--filled", action="store_true", help="time the tick over a complete catalog too")
    parser.add_argument("--skip-study", action="store_true", help="leave out the tiny study")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = large_study(Path(folder))
        loading(study, Path(folder))
        tick(study, filled=options.filled)
    if not options.skip_study:
        overhead()


if __name__ == "__main__":
    main()
