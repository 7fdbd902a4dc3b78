"""Worker processes that execute partitions for ``fly64 study``, and tell of their progress.

A worker imports torch and Dagster once and then takes partitions until it is told to stop. If its
parent dies, it dies; if it dies itself (out of memory, say), the parent names the partition.
"""

import os
import time
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.science.child_process import Child, Message, hear
from fly64_assets.study import Study

STOP_SECONDS = 5.0
_WORKER_MODULE = "fly64_assets.orchestration.study_run.worker"


@dataclass(frozen=True)
class Task:
    """One partition to execute, with its run configuration and tags."""

    item: PartitionId
    run_config: dict[str, Any]
    tags: dict[str, str]


@dataclass
class Worker:
    """A worker as its parent sees it; the process starts with its first task."""

    pool: "WorkerPool"
    task: Task | None = None
    child: Child | None = None

    def start(self, task: Task) -> None:
        """Hand over a task."""
        if self.child is None:
            self.child = self.pool.start_child()
        self.task = task
        self.child.send(asdict(task))

    def forget(self) -> None:
        """Give up a dead process; the next task starts another."""
        if self.child is not None:
            self.child.close()
        self.task, self.child = None, None


class WorkerPool:
    """So many workers as partitions may run side by side."""

    def __init__(self, study: Study, data_root: Path, jobs: int, *, module: str = _WORKER_MODULE) -> None:
        """Prepare ``jobs`` workers that run ``module``; none is started yet."""
        self.workers = [Worker(self) for _ in range(jobs)]
        self._module, self._logs, self._numbers = module, data_root / "logs", count(1)
        self._introduction = {"study": study.model_dump_json(), "data_root": str(data_root)}

    def start_child(self) -> Child:
        """A new process that knows the study; it prints to a log: the terminal belongs to the progress display."""
        self._logs.mkdir(parents=True, exist_ok=True)
        child = Child(self._module, self._logs / f"worker-{os.getpid()}-{next(self._numbers)}.log")
        child.send(self._introduction)
        return child

    def idle(self) -> list[Worker]:
        """Workers without a task."""
        return [worker for worker in self.workers if worker.task is None]

    def messages(self, timeout_seconds: float) -> list[tuple[Worker, Message]]:
        """What workers said; a dead worker says ``{"died": how}``."""
        busy = {worker.child: worker for worker in self.workers if worker.task is not None and worker.child}
        return [
            (busy[child], {"died": child.how_it_ended()} if message is None else message)
            for child, message in hear(busy, timeout_seconds)
        ]

    def close(self) -> None:
        """Stop all workers, together."""
        children = [worker.child for worker in self.workers if worker.child is not None]
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            child.close(deadline - time.monotonic())
