"""Runs of dead processes are settled; runs of living ones are left alone."""

import json
import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, EngineEventData

from fly64_assets.orchestration.automation.interrupted import interrupted_runs_sensor
from fly64_assets.orchestration.catalog import interrupted
from fly64_assets.orchestration.catalog.interrupted import PROCESS_TAG, process_lives, process_tag, settle_dead_runs
from fly64_assets.orchestration.catalog.ledger import JobKey, TrainingLedger
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.workspace import Workspace
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


def test_the_sensor_settles_runs_and_trainings_of_dead_processes_and_says_so(catalog: CatalogBuilder) -> None:
    sensor = interrupted_runs_sensor(Workspace(catalog.graph, catalog.data_root))
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    context = dg.build_sensor_context(instance=catalog.instance)
    assert "living process" in str(sensor(context))
    run_id = catalog.start_run(ITEM, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: f"{dead_process()}@12345"})
    ledger = TrainingLedger(catalog.data_root)
    ledger.record_start(JobKey(1000.0, "dense", "pinn", 2, 1, "trained_bundle/dose_1000/dense/gs2"))
    assert run_id[:8] in str(sensor(context))
    (job,) = json.loads(ledger.manifest.read_text())["jobs"]
    assert (job["status"], job["error"]) == ("failed", "interrupted: its process is gone")


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_end(
    catalog: CatalogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = catalog.start_run(ITEM, dg.DagsterRunStatus.STARTED, {PROCESS_TAG: f"{dead_process()}@12345"})
    run = catalog.instance.get_run_by_id(run_id)
    assert run is not None

    def ends_and_is_gone(tag: str) -> bool:
        del tag
        catalog.instance.report_run_canceled(run)
        return False

    monkeypatch.setattr(interrupted, "process_lives", ends_and_is_gone)
    assert settle_dead_runs(catalog.instance) == []


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
