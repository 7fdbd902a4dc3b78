"""Executes one partition as a real Dagster run."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from fly64_assets.orchestration.catalog.interrupted import PROCESS_TAG, process_tag
from fly64_assets.orchestration.catalog.run_history import failure_text
from fly64_assets.orchestration.graph.partitions import PartitionId

STUDY_TAG = "fly64/study_hash"
PARTITION_TAG = "fly64/partition"


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
