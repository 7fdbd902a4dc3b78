"""Settles what killed processes leave behind: runs that stand as started, trainings that stand as running."""

from pathlib import Path

import dagster as dg
import psutil

from fly64_assets.orchestration.catalog.ledger import TrainingLedger
from fly64_assets.orchestration.catalog.run_history import RunHistory
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import dose_key

PROCESS_TAG = "fly64/process"

CLOCK_SLACK_SECONDS = 2.0

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING]


def settle_interrupted(instance: dg.DagsterInstance, graph: StudyGraph, data_root: Path) -> list[str]:
    """Mark runs and trainings of dead processes as failed, so that nothing waits for them.

    Returns:
        Ids of the runs that were marked.
    """
    settled = settle_dead_runs(instance)

    def in_progress(dose: float | None, view: str | None) -> bool:  # as of now: one may have begun since the line above
        cell = None if dose is None else f"{dose_key(dose)}|{view}"
        assets = (
            graph.probe_trainings if cell is None else [name for name in graph.cell_assets if graph.node(name).trains]
        )
        trainings = [PartitionId(asset, cell) for asset in assets]
        if not trainings:
            return False
        history = RunHistory(instance, graph, trainings[0])
        return any(history.in_progress(item) for item in trainings)

    TrainingLedger(data_root).settle_interrupted(in_progress)
    return settled


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
