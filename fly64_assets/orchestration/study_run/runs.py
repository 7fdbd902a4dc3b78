"""Executes one partition as a real Dagster run, and settles runs whose process died."""

from dataclasses import dataclass
from typing import Any

import dagster as dg
import psutil

from fly64_assets.orchestration.catalog.run_history import failure_text
from fly64_assets.orchestration.graph.partitions import PartitionId

PROCESS_TAG = "fly64/process"
STUDY_TAG = "fly64/study_hash"
PARTITION_TAG = "fly64/partition"

CLOCK_SLACK_SECONDS = 2.0

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


@dataclass(frozen=True)
class RunOutcome:
    """How a partition's run ended.

    Attributes:
        item: which partition.
        run_id: Dagster's run.
        success: whether it ended well, checks included.
        cause: the failure in one line; empty if it succeeded.
        seconds: wall time.
    """

    item: PartitionId
    run_id: str
    success: bool
    cause: str
    seconds: float = 0.0


def process_tag() -> str:
    """This process, so that a later one can tell whether it still lives: pid and start time."""
    process = psutil.Process()
    return f"{process.pid}@{process.create_time():.0f}"


def process_lives(tag: str) -> bool:
    """Whether a process is alive: ``pid@start time``, or ``pid@before time``; a reused pid started at another time."""
    pid, _, started = tag.partition("@")
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if started.startswith("before "):
            return process.create_time() <= float(started.removeprefix("before ")) + CLOCK_SLACK_SECONDS
        return f"{process.create_time():.0f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False


def execute_partition(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    item: PartitionId,
    *,
    run_config: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
) -> RunOutcome:
    """Materialize one partition, its checks included, as a run on the instance."""
    repository = definitions.get_repository_def()
    job = repository.get_implicit_job_def_for_assets([item.asset_key])
    if job is None:
        message = f"the code location has no asset {item.asset!r}"
        raise ValueError(message)
    result = job.execute_in_process(
        asset_selection=[item.asset_key],
        instance=instance,
        partition_key=item.partition,
        run_config=run_config or {},
        tags={PROCESS_TAG: process_tag(), PARTITION_TAG: str(item), **(tags or {})},
        raise_on_error=False,
    )
    return RunOutcome(item, result.run_id, result.success, "" if result.success else failure_cause(result))


def failure_cause(result: dg.ExecuteInProcessResult) -> str:
    """The first failure of a run, in one line."""
    for event in result.all_events:
        if event.is_step_failure:
            return failure_text(event.step_failure_data)
    for event in result.all_events:
        if event.is_failure:
            return (event.message or "the run failed").splitlines()[0]
    return "the run failed without an event that says why; see its log"


def settle_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark unfinished runs of dead processes as failed, so that nothing waits for them.

    Returns:
        Ids of the runs that were marked.
    """
    settled = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run = record.dagster_run
        process = run.tags.get(PROCESS_TAG) or _process_in_log(instance, run.run_id)
        if process is not None and not process_lives(process) and not _finished_by_now(instance, run.run_id):
            instance.report_run_failed(run, f"its process ({process}) is gone; the partition can be run again")
            settled.append(run.run_id)
    return settled


def _finished_by_now(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run ended, and its process with it, since it was listed as unfinished."""
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _process_in_log(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """The process that Dagster logged for a run from the UI, the daemon or its command line."""
    for record in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = record.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event is not None else None
        if pid is not None:
            return f"{pid.value}@before {record.timestamp}"
    return None
