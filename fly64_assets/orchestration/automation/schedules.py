"""nightly_dose_backfill and base_file_changed: request what is missing or stale, in order, and say why not when not.

Both are off until they are switched on in the UI.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from fly64_assets.orchestration.catalog.freshness import Freshness, PartitionState, plan
from fly64_assets.orchestration.catalog.run_history import RunHistory
from fly64_assets.orchestration.dagster_internals import IMPLICIT_ASSET_JOB_NAME
from fly64_assets.orchestration.graph.jobs import DATASET_JOB, PROBE_JOB, REPORT_JOB, SCAN_JOB, job_of
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.orchestration.study_run.runs import PARTITION_TAG, STUDY_TAG
from fly64_assets.study import split_partition

TickContext = dg.ScheduleEvaluationContext | dg.SensorEvaluationContext
PRIORITY_TAG = "dagster/priority"
SENSOR_SECONDS = 300


_PRIORITIES = {SCAN_JOB: 30, PROBE_JOB: 25, DATASET_JOB: 20, REPORT_JOB: 0}


@dataclass(frozen=True)
class Unit:
    """What one run covers: a dataset, a cell from its view to its scores, the scan or the report."""

    job: str
    partition: str | None
    priority: int
    states: tuple[PartitionState, ...]

    @property
    def name(self) -> str:
        """The way messages name it."""
        return self.job if self.partition is None else f"{self.job}[{self.partition}]"


@dataclass(frozen=True)
class Decision:
    """What a tick requests, and what it leaves alone with the reason."""

    requested: tuple[Unit, ...]
    left_alone: tuple[str, ...]

    @property
    def why_nothing(self) -> str:
        """Why a tick requests nothing."""
        if not self.left_alone:
            return "nothing is missing or stale"
        return f"nothing to request: {'; '.join(self.left_alone)}"


def decide(freshness: Freshness, max_failures: int) -> Decision:
    """Units with missing or stale partitions, upstream first, without those in progress or given up."""
    graph = freshness.graph
    selected = graph.select(graph.study.dose_keys, list(graph.study.views))
    units = _units(plan(freshness, selected), graph)
    history = RunHistory(freshness.instance, graph)
    requested, left_alone = [], []
    for unit in sorted(units, key=lambda unit: -unit.priority):
        todo = [state.item for state in unit.states if state.must_run]
        if not todo:
            continue
        if any(history.in_progress(item) for item in todo):
            left_alone.append(f"{unit.name} is in progress")
            continue
        failures = max(history.consecutive_failures(item) for item in todo)
        if failures >= max_failures:
            left_alone.append(f"{unit.name} failed {failures} times in a row: given up until it is run by hand")
            continue
        requested.append(unit)
    return Decision(tuple(requested), tuple(left_alone))


def _units(states: list[PartitionState], graph: StudyGraph) -> list[Unit]:
    grouped: dict[tuple[str, str | None], list[PartitionState]] = {}
    for state in states:
        grouped.setdefault((job_of(state.item.asset, graph), state.item.partition), []).append(state)
    return [
        Unit(job, partition, _priority(job, partition, graph), tuple(members))
        for (job, partition), members in grouped.items()
    ]


def _priority(job: str, partition: str | None, graph: StudyGraph) -> int:
    """Upstream runs leave the queue first; of a dose's cells those whose networks the others apply."""
    if job in _PRIORITIES:
        return _PRIORITIES[job]
    return 10 if split_partition(partition)[1] in graph.shared_views else 5


def requests_of(decision: Decision, study_hash: str, cause: str) -> Iterator[dg.RunRequest]:
    """One run per unit, covering exactly its missing and stale assets; asked for once per cause (a tick, a digest)."""
    for unit in decision.requested:
        todo = [state.item for state in unit.states if state.must_run]
        yield dg.RunRequest(
            run_key=f"{unit.name} {cause}",
            partition_key=unit.partition,
            asset_selection=[item.asset_key for item in todo],
            tags={PRIORITY_TAG: str(unit.priority), STUDY_TAG: study_hash, PARTITION_TAG: unit.name},
        )


def study_automation(
    workspace: Workspace, code_versions: Mapping[str, str]
) -> tuple[list[dg.ScheduleDefinition], list[dg.SensorDefinition]]:
    """The schedule and the sensor of a study."""
    graph = workspace.graph
    study = graph.study

    def evaluate(context: TickContext, cause: str) -> list[dg.RunRequest] | dg.SkipReason:
        freshness = Freshness(graph, context.instance, workspace.data_root, code_versions, sizes_only=True)
        decision = decide(freshness, study.schedule.max_failures)
        for text in decision.left_alone:  # a tick that requests something shows its log, but no reason
            context.log.warning(f"left alone: {text}")
        if decision.requested:
            return list(requests_of(decision, graph.study_hash, cause))
        return dg.SkipReason(decision.why_nothing)

    @dg.schedule(
        name="nightly_dose_backfill",
        job_name=IMPLICIT_ASSET_JOB_NAME,  # the one job that holds assets of different partitions
        cron_schedule=study.schedule.cron,
        description="Requests the missing and stale partitions of all doses, upstream first.",
    )
    def nightly_dose_backfill(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        return evaluate(context, f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}")

    @dg.sensor(
        name="base_file_changed",
        asset_selection=dg.AssetSelection.all(),
        minimum_interval_seconds=SENSOR_SECONDS,
        description="Does the same when the content of the scan's input file changes.",
    )
    def base_file_changed(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        digest = graph.input_digest()
        if digest is None:
            return dg.SkipReason("the scan is synthetic: it has no input file")
        if digest == context.cursor:
            return dg.SkipReason("the input file is unchanged")
        found = evaluate(context, digest)
        if isinstance(found, dg.SkipReason):
            return dg.SensorResult(skip_reason=found, cursor=digest)
        return dg.SensorResult(run_requests=found, cursor=digest)

    return [nightly_dose_backfill], [base_file_changed]
