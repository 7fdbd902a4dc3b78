"""What killed processes leave behind: runs that stand as started, trainings that stand as running."""

from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.catalog.ledger import TrainingLedger
from fly64_assets.orchestration.catalog.run_history import RunHistory
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.orchestration.study_run.runs import settle_dead_runs
from fly64_assets.study import dose_key

_SENSOR_SECONDS = 60


def settle_interrupted(instance: dg.DagsterInstance, data_root: Path) -> list[str]:
    """Mark runs and trainings of dead processes as failed, so that nothing waits for them.

    Returns:
        Ids of the runs that were marked.
    """
    settled = settle_dead_runs(instance)

    def in_progress(dose: float, view: str) -> bool:  # as of now: a training may have begun since the line above
        item = PartitionId("trained_bundle", f"{dose_key(dose)}|{view}")
        return RunHistory(instance, item).in_progress(item)

    TrainingLedger(data_root).settle_interrupted(in_progress)
    return settled


def interrupted_runs_sensor(workspace: Workspace) -> dg.SensorDefinition:
    """Does it every minute beside the UI, where a killed run would keep its place in the queue for ever."""

    @dg.sensor(
        name="interrupted_runs",
        minimum_interval_seconds=_SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process was killed as failed, so that the queue goes on. Requests nothing.",
    )
    def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settled = settle_interrupted(context.instance, workspace.data_root)
        if not settled:
            return dg.SkipReason("every unfinished run has a living process")
        names = ", ".join(run_id[:8] for run_id in settled)
        return dg.SkipReason(f"marked as failed, their processes are gone: {names}")

    return interrupted_runs
