"""Walks the missing and stale partitions of a study, upstream first, as real Dagster runs."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from fly64_assets.orchestration.catalog.freshness import Freshness, PartitionState
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import REPORT
from fly64_assets.orchestration.study_run.pool import Task, Worker, WorkerPool
from fly64_assets.orchestration.study_run.runs import RunOutcome
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
        tags: of every run.
    """

    freshness: Freshness
    selected: list[PartitionId]
    pool: WorkerPool
    display: WalkDisplay
    tags: dict[str, str] = field(default_factory=dict)
    outcomes: dict[PartitionId, RunOutcome] = field(default_factory=dict)
    done: set[PartitionId] = field(default_factory=set)
    failed: dict[PartitionId, str] = field(default_factory=dict)
    _started: dict[PartitionId, float] = field(default_factory=dict)
    _unmet: dict[PartitionId, int] = field(default_factory=dict)
    _ready: deque[PartitionId] = field(default_factory=deque)

    def run(self) -> None:
        """Execute everything that must run; failures are kept, the others go on."""
        chosen = set(self.selected)
        self.display.begin(len(chosen))
        for item in self.selected:
            self._unmet[item] = sum(source in chosen for source in self.freshness.graph.upstream(item))
        self._ready.extend(item for item in self.selected if not self._unmet[item])
        while self._ready or self._started:
            self._assign(len(chosen))
            if self._started:
                for worker, message in self.pool.messages(POLL_SECONDS):
                    self._hear(worker, message)

    def _assign(self, total: int) -> None:
        """Hand ready partitions to idle workers; those that need no run are settled on the way."""
        while self._ready and (idle := self.pool.idle()):
            item = self._ready.popleft()
            cause = self._blocking_cause(item)
            if cause is not None:
                self.failed[item] = cause
                self.display.blocked(item, cause)
                self._release(item)
            else:
                self._decide(item, idle[0], total)

    def _decide(self, item: PartitionId, worker: Worker, total: int) -> None:
        state = self.freshness.state(item)
        tells_of_failures = item.asset == REPORT and bool(self.failed)
        if not state.must_run and not tells_of_failures:
            self.done.add(item)
            self.display.settled(state)
            self._release(item)
            return
        self._started[item] = time.monotonic()
        self.display.started(item, len(self.done) + len(self.failed) + len(self._started), total)
        worker.start(Task(item, {}, self.tags))

    def _hear(self, worker: Worker, message: dict[str, Any]) -> None:
        item = worker.task.item if worker.task is not None else None
        if "died" in message:  # perhaps after its last outcome: it must not be given another task
            worker.forget()
        if item is None:
            return
        if "progress" in message:
            self.display.progress(item, Progress(**message["progress"]))
            return
        seconds = time.monotonic() - self._started.pop(item)
        if "died" in message:
            outcome = RunOutcome(item, "", success=False, cause=f"its process {message['died']}", seconds=seconds)
        else:
            worker.task = None
            outcome = RunOutcome(item, seconds=seconds, **message["outcome"])
        self._ended(item, outcome)
        self._release(item)

    def _ended(self, item: PartitionId, outcome: RunOutcome) -> None:
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

    def _release(self, item: PartitionId) -> None:
        """Let go what waited for a partition; each waiting one is counted down once per upstream partition.

        What becomes ready goes first, so that a cell that was begun is finished before the next.
        """
        released = []
        for below in self.freshness.graph.downstream(item):
            if below in self._unmet:
                self._unmet[below] -= 1
                if not self._unmet[below]:
                    released.append(below)
        self._ready.extendleft(reversed(released))

    def _blocking_cause(self, item: PartitionId) -> str | None:
        if item.asset == REPORT:  # reports on failed cells too
            return None
        for source in self.freshness.graph.upstream(item):
            if source in self.failed:
                return f"waits for {source}, which failed"
        return None
