"""Reads from the catalog how a partition's last runs ended."""

import dagster as dg

from fly64_assets.orchestration.catalog.entries import latest_entry
from fly64_assets.orchestration.dagster_internals import NOT_FINISHED_STATUSES, PARTITION_NAME_TAG
from fly64_assets.orchestration.graph.jobs import assets_of_job
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph

FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


HISTORY_RUNS = 5_000


class RunHistory:
    """The latest runs of every partition, newest first, read once."""

    def __init__(self, instance: dg.DagsterInstance, graph: StudyGraph, item: PartitionId | None = None) -> None:
        """Read the runs of all partitions, or of the partition key of one item."""
        tags = {PARTITION_NAME_TAG: item.partition} if item is not None and item.partition is not None else {}
        self._instance = instance
        self._runs: dict[PartitionId, list[dg.DagsterRun]] = {}
        for run in instance.get_runs(dg.RunsFilter(tags=tags), limit=HISTORY_RUNS):
            partition = run.tags.get(PARTITION_NAME_TAG)
            for asset in _assets_of(run, graph):
                self._runs.setdefault(PartitionId(asset, partition), []).append(run)

    def in_progress(self, item: PartitionId) -> bool:
        """Whether an unfinished run covers a partition."""
        return any(run.status in NOT_FINISHED_STATUSES for run in self._runs.get(item, ()))

    def consecutive_failures(self, item: PartitionId) -> int:
        """How many of the latest runs of a partition failed in a row."""
        statuses = [run.status in FAILED for run in self._runs.get(item, ())]
        return statuses.index(False) if False in statuses else len(statuses)

    def last_failure(self, item: PartitionId) -> str | None:
        """Why the latest run of a partition failed, in one line; None if it did not fail."""
        runs = self._runs.get(item)
        if not runs or runs[0].status not in FAILED:
            return None
        for record in self._instance.all_logs(runs[0].run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            event = record.dagster_event
            if event is not None and record.step_key == item.asset_key.to_python_identifier():
                return failure_text(event.step_failure_data)
        return "its run ended before it was reached"


def _assets_of(run: dg.DagsterRun, graph: StudyGraph) -> tuple[str, ...]:
    if run.asset_selection is not None:
        return tuple(key.to_user_string() for key in run.asset_selection)
    return assets_of_job(run.job_name, graph)  # a whole job, as `dagster job backfill` asks for it


def why_missing(instance: dg.DagsterInstance, graph: StudyGraph, cell: str) -> tuple[str, str]:
    """Why a cell has no scores: "failed" with the first failure on its way, or "missing"."""
    history = RunHistory(instance, graph, PartitionId(graph.cell_assets[-1], cell))
    for item in (PartitionId(asset, cell) for asset in graph.cell_assets):
        if latest_entry(instance, item) is None:
            cause = history.last_failure(item)
            if cause is not None:
                return "failed", f"{item}: {cause}"
    return "missing", "It has not been run."


def failure_text(data: object) -> str:
    """A step's failure in one line: our own words if it gave any, else the innermost error."""
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    if described:
        return " ".join(described.split())
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return " ".join(error.message.split()) if error is not None else "the step failed"
