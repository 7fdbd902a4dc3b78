"""Runs of dead processes are settled; runs of living ones are left alone."""

import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, EngineEventData

from fly64_assets.orchestration.partitions import PartitionId
from fly64_assets.orchestration.runs import PROCESS_TAG, process_lives, process_tag, settle_dead_runs
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder

ITEM = PartitionId("trained_bundle", "1000|dense")


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_this_process_lives_and_one_with_its_pid_and_another_start_does_not() -> None:
    assert process_lives(process_tag())
    assert not process_lives(f"{os.getpid()}@12345")
    assert process_lives(f"{os.getpid()}@before {time.time()}")
    assert not process_lives(f"{os.getpid()}@before 1000.0")
    assert not process_lives(f"{dead_process()}@12345")


@pytest.mark.parametrize("lives", [True, False])
def test_tagged_runs(catalog: CatalogBuilder, lives: bool) -> None:
    tag = process_tag() if lives else f"{dead_process()}@12345"
    run_id = catalog.start_run(ITEM, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: tag})
    assert settle_dead_runs(catalog.instance) == ([] if lives else [run_id])
    run = catalog.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status == (dg.DagsterRunStatus.STARTED if lives else dg.DagsterRunStatus.FAILURE)


def test_runs_that_dagster_started_itself(catalog: CatalogBuilder) -> None:
    run_id = catalog.start_run(ITEM, dg.DagsterRunStatus.STARTED)
    assert settle_dead_runs(catalog.instance) == []
    event = DagsterEvent(
        event_type_value=dg.DagsterEventType.ENGINE_EVENT.value,
        event_specific_data=EngineEventData({"pid": dg.MetadataValue.text(str(dead_process()))}),
        job_name="__ASSET_JOB",
    )
    catalog.instance.report_dagster_event(event, run_id=run_id)
    assert settle_dead_runs(catalog.instance) == [run_id]
