"""How results reach the catalog, in real runs: markers, skips, failures, and a cell in which nothing is trained."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from fly64_assets.orchestration.assets import views
from fly64_assets.orchestration.catalog.entries import CatalogEntry, latest_entry
from fly64_assets.orchestration.catalog.freshness import Freshness
from fly64_assets.orchestration.catalog.gate import open_partition
from fly64_assets.orchestration.catalog.instance import study_instance
from fly64_assets.orchestration.code_location import build_definitions, code_versions
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.jobs import CELL_JOB
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.runs import RunOutcome, execute_partition
from fly64_assets.storage import read_json
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.conftest import TINY

TINY_STUDY = load_study(str(TINY))
CLASSICAL = TINY_STUDY.with_changes(methods={name: TINY_STUDY.methods[name] for name in ("map", "pty_chi")})
ONE_HAS_NO_PLACE = TINY_STUDY.with_changes(
    methods={name: TINY_STUDY.methods[name] for name in ("pinn", "pinn_refined", "map")},
    views={"baseline": TINY_STUDY.views["baseline"]},
)
UNTRAINABLE = TINY_STUDY.with_changes(methods={"map": TINY_STUDY.methods["map"]})
"""With the view "sparse", which keeps fewer train positions than it asks for."""


@dataclass(frozen=True)
class Root:
    """A data root that holds a study's dataset at its first dose, and the study's code location."""

    study: Study
    instance: dg.DagsterInstance
    folder: Path

    @property
    def graph(self) -> StudyGraph:
        return StudyGraph(self.study)

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.study, self.folder)

    def run_cell(self, cell: str) -> dg.ExecuteInProcessResult:
        job = self.definitions.get_repository_def().get_job(CELL_JOB)
        return job.execute_in_process(instance=self.instance, partition_key=cell, raise_on_error=False)

    def run(self, item: PartitionId) -> RunOutcome:
        return execute_partition(self.definitions, self.instance, item)

    def entry(self, item: PartitionId) -> CatalogEntry:
        found = latest_entry(self.instance, item)
        assert found is not None
        return found

    def states(self, cell: str) -> dict[str, str]:
        freshness = Freshness(self.graph, self.instance, self.folder, code_versions(self.graph))
        return {asset: freshness.state(PartitionId(asset, cell)).status for asset in self.graph.cell_assets}

    def staged(self) -> list[Path]:
        return list(self.folder.rglob(".staging-*"))


@pytest.fixture(scope="module")
def dataset_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scan and dataset, which are the same for all studies here; tests work on copies."""
    folder = tmp_path_factory.mktemp("dataset")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        with study_instance(folder, CLASSICAL.name) as instance:
            made = Root(CLASSICAL, instance, folder)
            for item in (PartitionId("scan"), PartitionId("simulated_dataset", "1000")):
                assert made.run(item).success
    return folder


@pytest.fixture
def root(dataset_made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Study], Root]]:
    folder = tmp_path / "root"
    shutil.copytree(dataset_made, folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    with study_instance(folder, CLASSICAL.name) as instance:
        yield lambda study: Root(study, instance, folder)


@pytest.mark.slow
def test_a_cell_in_which_nothing_is_trained_is_one_run_with_all_its_methods(root: Callable[[Study], Root]) -> None:
    found = root(CLASSICAL)
    result = found.run_cell("1000|dense")
    assert result.success
    assert set(found.states("1000|dense").values()) <= {"fresh", "skipped"}
    bundle = found.entry(PartitionId("trained_bundle", "1000|dense"))
    assert "trains nothing" in str(bundle.skip_reason)
    folder = found.folder / PartitionId("comparison_metrics", "1000|dense").folder
    scores = pd.read_csv(folder / files.SCORES)
    assert {"map", "pty_chi", "truth", "flat"} <= set(scores["method"])
    assert read_json(folder / files.CELL)["not_here"] == {}
    runs = {found.entry(PartitionId(asset, "1000|dense")).run_id for asset in found.graph.cell_assets}
    assert runs == {result.run_id}
    assert found.staged() == []


def test_a_method_without_a_place_leaves_a_marker_and_the_others_go_on(root: Callable[[Study], Root]) -> None:
    found, cell = root(ONE_HAS_NO_PLACE), "1000|baseline"
    result = found.run_cell(cell)
    assert result.success
    for method in ("pinn", "pinn_refined"):
        item = PartitionId(f"reconstruction/{method}", cell)
        entry = found.entry(item)
        assert list(entry.files) == [files.NOT_HERE], "it is materialized: what is below reads it as anything else"
        written = read_json(found.folder / item.folder / files.NOT_HERE)
        assert written == {"reason": entry.skip_reason}
        assert "gridsize" in str(entry.skip_reason)
        assert open_partition(found.instance, found.folder, item).skip_reason == entry.skip_reason
    assert read_json(found.folder / PartitionId("comparison_metrics", cell).folder / files.CELL)["not_here"].keys() == {
        "pinn",
        "pinn_refined",
    }
    states = found.states(cell)
    assert states.pop("overlap_view") == states.pop("reconstruction/map") == states.pop("comparison_metrics") == "fresh"
    assert set(states.values()) == {"skipped"}
    evaluations = result.get_asset_check_evaluations()
    skipped = [each for each in evaluations if each.asset_key.path[-1] == "pinn"]
    assert skipped
    assert all(each.passed and str(each.description).startswith("skipped: ") for each in skipped)


def test_an_untrainable_cell_is_recorded_as_skipped_for_all_that_the_run_was_to_make_and_no_more(
    root: Callable[[Study], Root],
) -> None:
    found, cell = root(UNTRAINABLE), "1000|sparse"
    below = [asset for asset in found.graph.cell_assets if asset != "overlap_view"]
    assert found.run(PartitionId("overlap_view", cell)).success
    assert found.run(PartitionId("trained_bundle", cell)).success
    assert found.states(cell) == {
        **dict.fromkeys(below, "missing"),
        "overlap_view": "fresh",
        "trained_bundle": "skipped",
    }
    assert found.run_cell(cell).success
    assert found.states(cell) == {**dict.fromkeys(below, "skipped"), "overlap_view": "fresh"}
    reasons = {found.entry(PartitionId(asset, cell)).skip_reason for asset in below}
    assert len(reasons) == 1
    comparison = found.entry(PartitionId("comparison_metrics", cell))
    assert set(comparison.upstream) == {f"overlap_view[{cell}]", f"reconstruction/map[{cell}]"}
    assert comparison.files == {}
    assert not any((found.folder / PartitionId(asset, cell).folder / files.NOT_HERE).exists() for asset in below)
    assert found.staged() == []


@pytest.mark.parametrize("error", [RuntimeError("the disk is full"), KeyboardInterrupt()])
def test_a_body_that_raises_leaves_nothing_staged_and_what_was_there_as_it_was(
    root: Callable[[Study], Root], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    found, item = root(UNTRAINABLE), PartitionId("overlap_view", "1000|dense")
    assert found.run(item).success
    before = found.entry(item)
    make_view, written = views.make_view, []

    def half_a_view(*arguments: Any, out: Path, **options: Any) -> Any:
        if written:
            raise error
        written.append(out)
        summary = make_view(*arguments, out=out, **options)
        assert out.exists()
        assert found.staged() != []
        return summary

    monkeypatch.setattr(views, "make_view", half_a_view)
    outcome = found.run(item)
    assert not outcome.success
    assert outcome.cause
    assert written
    assert found.staged() == []
    assert found.entry(item) == before
    assert open_partition(found.instance, found.folder, item).files == before.files


def test_a_result_takes_the_place_of_a_marker(root: Callable[[Study], Root]) -> None:
    """Its view is changed so that the method has a place: no marker may stay beside the result."""
    found, item = root(ONE_HAS_NO_PLACE), PartitionId("trained_bundle", "1000|baseline")
    marker = found.folder / item.folder / files.NOT_HERE
    assert found.run(PartitionId("overlap_view", item.partition)).success
    assert found.run(item).success
    assert marker.exists()
    study = ONE_HAS_NO_PLACE.with_changes(
        methods={"baseline": TINY_STUDY.methods["baseline"], "map": TINY_STUDY.methods["map"]}
    )
    changed = Root(study, found.instance, found.folder)
    assert changed.states(str(item.partition))["trained_bundle"] == "stale"
    assert changed.run(item).success
    assert changed.entry(item).skip_reason is None
    assert not marker.exists()
