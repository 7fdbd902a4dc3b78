"""Reads from the catalog how a partition's last runs ended."""

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from fly64_assets.orchestration.partitions import PartitionId

FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def runs_of(instance: dg.DagsterInstance, item: PartitionId, limit: int = 20) -> list[dg.DagsterRun]:
    """The latest runs that were to materialize a partition, newest first, however they were launched."""
    tags = {} if item.partition is None else {PARTITION_NAME_TAG: item.partition}
    runs = instance.get_runs(dg.RunsFilter(tags=tags), limit=limit * 10)
    covering = [run for run in runs if run.asset_selection and item.asset_key in run.asset_selection]
    return covering[:limit]


def last_failure(instance: dg.DagsterInstance, item: PartitionId) -> str | None:
    """Why the latest run of a partition failed, in one line; None if it did not fail."""
    runs = runs_of(instance, item, limit=1)
    if not runs or runs[0].status not in FAILED:
        return None
    for record in instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        if record.step_key is not None and record.dagster_event is not None and item.asset in record.step_key:
            return failure_text(record.dagster_event.step_failure_data)
    return "its run ended before it was reached"


def failure_text(data: object) -> str:
    """A step's failure in one line: our own words if it gave any, else the innermost error."""
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    if described:
        return " ".join(described.split())
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split()) if error is not None else "the step failed"


def consecutive_failures(instance: dg.DagsterInstance, item: PartitionId) -> int:
    """How many of the latest runs of a partition failed in a row."""
    count = 0
    for run in runs_of(instance, item):
        if run.status not in FAILED:
            break
        count += 1
    return count
