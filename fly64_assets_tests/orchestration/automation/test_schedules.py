"""The schedule requests what is missing or stale, and says why it leaves the rest alone."""

import time
from datetime import UTC, datetime

import dagster as dg
import pytest

from fly64_assets.orchestration.automation.schedules import decide, requests_of
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.orchestration.graph.jobs import CELL_JOB, REPORT_JOB
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder
from fly64_assets_tests.orchestration.conftest import CELLS


def test_it_requests_exactly_the_cells_that_are_left(four_cells: CatalogBuilder) -> None:
    running, failing = CELLS[4], CELLS[5]
    four_cells.start_run(PartitionId("trained_bundle", running), dg.DagsterRunStatus.STARTED)
    for _ in range(3):
        four_cells.start_run(PartitionId("trained_bundle", failing), dg.DagsterRunStatus.FAILURE)
    decision = decide(four_cells.freshness(), max_failures=3)
    assert [unit.partition for unit in decision.requested if unit.job == CELL_JOB] == [CELLS[6], CELLS[7], CELLS[8]]
    assert any(running in text and "in progress" in text for text in decision.left_alone)
    assert any(failing in text and "3 times in a row" in text for text in decision.left_alone)
    requests = [request for request in requests_of(decision, "hash", "tick") if request.partition_key in CELLS]
    assert [request.partition_key for request in requests] == CELLS[6:]
    assert all(
        {key.to_user_string() for key in request.asset_selection or ()} == set(four_cells.graph.cell_assets)
        for request in requests
    )


def test_a_run_of_a_whole_job_counts_for_all_its_assets(four_cells: CatalogBuilder) -> None:
    item = PartitionId("overlap_view", CELLS[6])
    four_cells.start_run(item, dg.DagsterRunStatus.STARTED, job=CELL_JOB)  # as `dagster job backfill` makes them
    decision = decide(four_cells.freshness(), max_failures=3)
    assert CELLS[6] not in [unit.partition for unit in decision.requested]
    assert f"{CELL_JOB}[{CELLS[6]}] is in progress" in decision.left_alone


@pytest.mark.filterwarnings("ignore:Non-compliant tag keys")
def test_the_schedule_itself_asks_for_runs_that_dagster_accepts(four_cells: CatalogBuilder) -> None:
    repository = build_definitions(four_cells.study, four_cells.data_root).get_repository_def()
    schedule = repository.get_schedule_def("nightly_dose_backfill")
    now = datetime(2026, 1, 1, 2, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=four_cells.instance, repository_def=repository, scheduled_execution_time=now
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests
    assert [request.partition_key for request in requests or []] == [*CELLS[6:7], *CELLS[4:6], *CELLS[7:], None]


def test_a_success_after_failures_counts_again_from_zero(four_cells: CatalogBuilder) -> None:
    item = PartitionId("trained_bundle", CELLS[8])
    for status in (*[dg.DagsterRunStatus.FAILURE] * 3, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
        four_cells.start_run(item, status)
    assert CELLS[8] in [unit.partition for unit in decide(four_cells.freshness(), max_failures=3).requested]


def test_upstream_units_leave_the_queue_first(catalog: CatalogBuilder) -> None:
    decision = decide(catalog.freshness(), max_failures=3)
    priorities = [unit.priority for unit in decision.requested]
    assert priorities == sorted(priorities, reverse=True)
    assert decision.requested[0].name == "scan_of_study"
    assert decision.requested[-1].job == REPORT_JOB


def test_a_tick_with_nothing_to_do_requests_nothing_and_says_why(filled: CatalogBuilder) -> None:
    definitions = build_definitions(filled.study, filled.data_root)
    repository = definitions.get_repository_def()
    schedule = repository.get_schedule_def("nightly_dose_backfill")
    now = datetime(2026, 1, 1, 2, tzinfo=UTC)
    with dg.build_schedule_context(
        instance=filled.instance, repository_def=repository, scheduled_execution_time=now
    ) as context:
        result = schedule.evaluate_tick(context)
    assert not result.run_requests
    assert "nothing is missing or stale" in (result.skip_message or "")


def test_a_tick_that_gives_up_says_so(filled: CatalogBuilder) -> None:
    item = PartitionId("study_report")
    filled.materialize(item, content=b"report")
    (filled.data_root / item.folder / "file.bin").unlink()
    for _ in range(3):
        filled.start_run(item, dg.DagsterRunStatus.FAILURE)
    decision = decide(filled.freshness(), max_failures=3)
    assert decision.requested == ()
    assert decision.why_nothing.startswith("nothing to request: report_of_study failed 3 times in a row: given up")


def test_a_tick_over_five_hundred_cells_takes_seconds(catalog: CatalogBuilder) -> None:
    study = catalog.study.with_changes(doses=tuple(float(100 + k) for k in range(167)), default_doses=None)
    begun = time.process_time()
    decide(catalog.freshness(study), max_failures=3)
    assert time.process_time() - begun < 5
