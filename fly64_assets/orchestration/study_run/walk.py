"""Walks the missing and stale partitions of a study, upstream first, as real Dagster runs."""

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from fly64_assets.orchestration.catalog.freshness import Freshness, PartitionState, plan
from fly64_assets.orchestration.graph.partitions import PartitionId, upstream_of
from fly64_assets.orchestration.study_run.pool import Task, Worker, WorkerPool
from fly64_assets.orchestration.study_run.runs import STUDY_TAG, RunOutcome
from fly64_assets.science.records import Progress

POLL_SECONDS = 0.5


class WalkDisplay(Protocol):
    """What a walk tells its display."""

    def begin(self, total: int) -> None:
        """So many partitions are to be looked at."""

    def started(self, item: PartitionId, number: int, total: int) -> None:
        """A partition's run has begun."""

    def progress(self, item: PartitionId, progress: Progress) -> None:
        """A running partition advanced."""

    def ended(self, outcome: RunOutcome) -> None:
        """A partition's run has ended."""

    def settled(self, state: PartitionState) -> None:
        """A partition needed no run."""

    def blocked(self, item: PartitionId, cause: str) -> None:
        """A partition cannot run because of a failure upstream."""


@dataclass
class Walk:
    """One pass over the selected partitions.

    Attributes:
        freshness: judges each partition when its upstream is done.
        selected: partitions, upstream first.
        pool: workers that execute them.
        display: told what happens.
        run_config: by asset, the op configuration of a run.
    """

    freshness: Freshness
    selected: list[PartitionId]
    pool: WorkerPool
    display: WalkDisplay
    run_config: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[PartitionId, RunOutcome] = field(default_factory=dict)
    done: set[PartitionId] = field(default_factory=set)
    failed: dict[PartitionId, str] = field(default_factory=dict)
    _started: dict[PartitionId, float] = field(default_factory=dict)

    def run(self) -> None:
        """Execute everything that must run; failures are kept, the others go on."""
        waiting = [state.item for state in plan(self.freshness, self.selected)]
        total = len(waiting)
        self.display.begin(total)
        while waiting or self._started:
            waiting = self._assign(waiting, total)
            for worker, message in self.pool.messages(POLL_SECONDS):
                self._hear(worker, message)

    def _assign(self, waiting: list[PartitionId], total: int) -> list[PartitionId]:
        left = []
        for item in waiting:
            cause = self._blocking_cause(item)
            if cause is not None:
                self.failed[item] = cause
                self.display.blocked(item, cause)
            elif self._ready(item) and self.pool.idle():
                self._decide(item, self.pool.idle()[0], total)
            else:
                left.append(item)
        return left

    def _decide(self, item: PartitionId, worker: Worker, total: int) -> None:
        state = self.freshness.state(item)
        tells_of_failures = item.asset == "study_report" and bool(self.failed)
        if not state.must_run and not tells_of_failures:
            self.done.add(item)
            self.display.settled(state)
            return
        self._started[item] = time.monotonic()
        self.display.started(item, len(self.done) + len(self.failed) + len(self._started), total)
        config = self.run_config.get(item.asset)
        run_config = {"ops": {item.asset: {"config": config}}} if config else {}
        worker.start(Task(item, run_config, {STUDY_TAG: self.freshness.study.study_hash()}))

    def _hear(self, worker: Worker, message: dict[str, Any]) -> None:
        item = worker.task.item if worker.task is not None else None
        if item is None:
            return
        if "progress" in message:
            self.display.progress(item, Progress(**message["progress"]))
            return
        seconds = time.monotonic() - self._started.pop(item)
        if "died" in message:
            worker.forget()
            cause = f"its process {message['died']}"
            outcome = RunOutcome(item, "", success=False, cause=cause, seconds=seconds)
        else:
            worker.task = None
            outcome = RunOutcome(item, seconds=seconds, **message["outcome"])
        self.outcomes[item] = outcome
        if outcome.success:
            self.done.add(item)
            entry = self.freshness.entry(item)
            if entry is not None and entry.skip_reason is not None:
                self.display.settled(PartitionState(item, "skipped", (entry.skip_reason,)))
                return
        else:
            self.failed[item] = outcome.cause
        self.display.ended(outcome)

    def _ready(self, item: PartitionId) -> bool:
        selected = set(self.selected)
        settled = self.done | set(self.failed)
        return all(source in settled for source in upstream_of(self.freshness.study, item) if source in selected)

    def _blocking_cause(self, item: PartitionId) -> str | None:
        if item.asset == "study_report":  # reports on failed cells too
            return None
        for source in upstream_of(self.freshness.study, item):
            if source in self.failed:
                return f"waits for {source}, which failed"
        return None
