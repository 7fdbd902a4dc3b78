"""What killed processes leave behind: runs that stand as started, trainings that stand as running."""

import dagster as dg

from fly64_assets.orchestration.catalog.interrupted import settle_interrupted
from fly64_assets.orchestration.graph.workspace import Workspace

_SENSOR_SECONDS = 60


def interrupted_runs_sensor(workspace: Workspace) -> dg.SensorDefinition:
    """Settles them every minute beside the UI, where a killed run would keep its place in the queue for ever."""

    @dg.sensor(
        name="interrupted_runs",
        minimum_interval_seconds=_SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process was killed as failed, so that the queue goes on. Requests nothing.",
    )
    def interrupted_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settled = settle_interrupted(context.instance, workspace.graph, workspace.data_root)
        if not settled:
            return dg.SkipReason("every unfinished run has a living process")
        names = ", ".join(run_id[:8] for run_id in settled)
        return dg.SkipReason(f"marked as failed, their processes are gone: {names}")

    return interrupted_runs
