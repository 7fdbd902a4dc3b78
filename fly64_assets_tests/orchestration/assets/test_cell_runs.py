"""Cells as one run, as backfills and the schedule ask for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fly64_assets.orchestration.assets import checks, views
from fly64_assets.orchestration.catalog.freshness import Freshness
from fly64_assets.orchestration.catalog.gate import GateRefusedError, open_partition
from fly64_assets.orchestration.catalog.instance import study_instance
from fly64_assets.orchestration.code_location import build_definitions, code_versions
from fly64_assets.orchestration.graph.checks import blocking_checks
from fly64_assets.orchestration.graph.jobs import CELL_CHECKS_JOB, CELL_JOB, DATASET_CHECKS_JOB
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.runs import execute_partition, failure_cause
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import flip_bit
from fly64_assets_tests.orchestration.conftest import TINY

SPARSE = "1000|sparse"


@pytest.fixture
def dataset_made(tmp_path: Path) -> Iterator[tuple[Study, dg.Definitions, dg.DagsterInstance, Path]]:
    """The tiny study with every view untrainable, up to its dataset."""
    views = {name: {"min_train_positions": 1000} for name in ("baseline", "dense", "sparse")}
    study = load_study(str(TINY), {"views": views})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
        with study_instance(tmp_path, study.name) as instance:
            definitions = build_definitions(study, tmp_path)
            for item in (PartitionId("scan"), PartitionId("simulated_dataset", "1000")):
                assert execute_partition(definitions, instance, item).success
            yield study, definitions, instance, tmp_path


def test_a_skip_in_a_run_over_the_whole_cell_is_recorded_for_every_asset_below(dataset_made) -> None:
    study, definitions, instance, root = dataset_made
    job = definitions.get_repository_def().get_job(CELL_JOB)
    for cell in ("1000|baseline", SPARSE):
        assert job.execute_in_process(instance=instance, partition_key=cell, raise_on_error=False).success
    graph = StudyGraph(study)
    freshness = Freshness(graph, instance, root, code_versions(graph))
    states = {asset: freshness.state(PartitionId(asset, SPARSE)) for asset in graph.cell_assets}
    assert states.pop("overlap_view").status == "fresh"
    assert {asset: state.status for asset, state in states.items()} == dict.fromkeys(graph.cell_assets[1:], "skipped")
    assert all("1000 that training needs" in state.reasons[0] for state in states.values())


def test_a_view_that_breaks_data_001_blocks_training_in_the_same_run_in_a_later_one_and_not_after_a_rebuild(
    dataset_made, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, definitions, instance, _ = dataset_made
    make_view = views.make_view

    def make_a_broken_view(*arguments: Any, out: Path, **options: Any) -> Any:
        summary = make_view(*arguments, out=out, **options)
        content = bytearray(out.read_bytes())
        content[-len(content) // 2] ^= 255
        out.write_bytes(content)
        return summary

    bundle, view = PartitionId("trained_bundle", SPARSE), PartitionId("overlap_view", SPARSE)
    with monkeypatch.context() as broken:
        broken.setattr(views, "make_view", make_a_broken_view)
        cell = definitions.get_repository_def().get_job(CELL_JOB)
        same_run = cell.execute_in_process(instance=instance, partition_key=SPARSE, raise_on_error=False)
    assert not same_run.success
    started = {event.step_key for event in same_run.all_events if event.event_type_value == "STEP_START"}
    assert "overlap_view" in started
    assert not started & {
        PartitionId(asset).asset_key.to_python_identifier() for asset in StudyGraph(study).cell_assets[1:]
    }
    later = execute_partition(definitions, instance, bundle)
    assert not later.success
    assert "overlap_view[1000|sparse] is blocked: blocking check view_follows_data_001 failed" in later.cause
    assert f"Rebuild it with: {view.command}" in later.cause
    assert execute_partition(definitions, instance, view).success
    assert execute_partition(definitions, instance, bundle).success


def test_a_check_run_alone_for_one_partition_is_the_verdict_that_counts(
    dataset_made, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_words: list[str] = []
    monkeypatch.setattr(checks, "repeat_at_the_end", last_words.append)
    _, definitions, instance, root = dataset_made
    view, check = PartitionId("overlap_view", SPARSE), "view_follows_data_001"
    for cell in (SPARSE, "1000|baseline"):  # the other partition's materialization is the later one
        assert execute_partition(definitions, instance, PartitionId("overlap_view", cell)).success
    job = definitions.get_repository_def().get_job(CELL_CHECKS_JOB)

    def run_the_check() -> bool:
        result = job.execute_in_process(instance=instance, partition_key=SPARSE, raise_on_error=False)
        (evaluation,) = [found for found in result.get_asset_check_evaluations() if found.check_name == check]
        assert evaluation.partition == SPARSE
        assert evaluation.passed == ("seen" in evaluation.metadata)  # a file that is not as written is not looked into
        return evaluation.passed

    path = root / view.folder / "sparse_train.npz"
    flip_bit(path, 4001)
    assert not run_the_check()
    said = f"{view}: blocking check {check} failed: {view} does not match the catalog"
    assert any(words.startswith(said) for words in last_words)
    flip_bit(path, 4001)
    with pytest.raises(GateRefusedError, match=f"blocking check {check} failed"):
        open_partition(instance, root, view)
    assert run_the_check()
    open_partition(instance, root, view)


def test_checks_without_a_partition_say_which_job_runs_them_for_one(dataset_made) -> None:
    _, definitions, instance, root = dataset_made
    dataset = PartitionId("simulated_dataset", "1000")
    job = definitions.get_repository_def().get_implicit_job_def_for_assets([dataset.asset_key])
    assert job is not None
    keys = {dg.AssetCheckKey(dataset.asset_key, name) for name in blocking_checks(dataset.asset)}
    checks_alone = job.get_subset(asset_selection=frozenset(), asset_check_selection=keys)
    result = checks_alone.execute_in_process(instance=instance, raise_on_error=False)  # as *Execute all* on the page
    assert f"launch the job {DATASET_CHECKS_JOB} for the partition" in failure_cause(result)
    open_partition(instance, root, dataset)
    job = definitions.get_repository_def().get_job(DATASET_CHECKS_JOB)
    found = job.execute_in_process(instance=instance, partition_key="1000").get_asset_check_evaluations()
    assert {(evaluation.check_name, evaluation.passed) for evaluation in found} == {(key.name, True) for key in keys}
