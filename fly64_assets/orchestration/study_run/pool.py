"""Worker processes that execute partitions for ``fly64 study``, and report progress as JSON lines over a pipe.

A worker imports torch and Dagster once and then takes partitions until it is told to stop. If its
parent dies, it dies; if it dies itself (out of memory, say), the parent names the partition.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.science.records import Progress
from fly64_assets.study import Study

STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Task:
    """One partition to execute, with its run configuration and tags."""

    item: PartitionId
    run_config: dict[str, Any]
    tags: dict[str, str]


@dataclass
class Worker:
    """A worker as its parent sees it; the process starts with its first task."""

    study_json: str
    data_root: str
    task: Task | None = None
    _process: BaseProcess | None = None
    _pipe: Connection | None = None

    def start(self, task: Task) -> None:
        """Hand over a task."""
        if self._pipe is None:
            self._spawn()
        self.task = task
        self.pipe.send_bytes(json.dumps(asdict(task)).encode())

    @property
    def pipe(self) -> Connection:
        """The connection to the process; only a worker with a task has one for certain."""
        if self._pipe is None:
            message = "this worker has not been started"
            raise RuntimeError(message)
        return self._pipe

    def exit_code(self) -> int | None:
        """Wait for a process whose pipe closed, and say how it ended."""
        if self._process is None:
            return None
        self._process.join()
        return self._process.exitcode

    def forget(self) -> None:
        """Give up a dead process; the next task starts another."""
        self.task, self._process, self._pipe = None, None, None

    def ask_to_stop(self) -> None:
        """Tell the process to stop, busy or not."""
        if self._process is not None:
            self.pipe.close()
            self._process.terminate()

    def close(self, deadline: float) -> None:
        """Wait until ``deadline`` (monotonic) for the process to stop, then kill it."""
        if self._process is None:
            return
        self._process.join(timeout=max(0.0, deadline - time.monotonic()))
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _spawn(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, os.getpid(), self.study_json, self.data_root)
        self._process = context.Process(target=work, args=arguments)
        self._process.start()
        theirs.close()


class WorkerPool:
    """So many workers as partitions may run side by side."""

    def __init__(self, study: Study, data_root: Path, jobs: int) -> None:
        """Prepare ``jobs`` workers; none is started yet."""
        self.workers = [Worker(study.model_dump_json(), str(data_root)) for _ in range(jobs)]

    def idle(self) -> list[Worker]:
        """Workers without a task."""
        return [worker for worker in self.workers if worker.task is None]

    def messages(self, timeout_seconds: float) -> list[tuple[Worker, dict[str, Any]]]:
        """What workers said; a dead worker says ``{"died": exit code}``."""
        busy = {id(worker.pipe): worker for worker in self.workers if worker.task is not None}
        said = []
        for pipe in wait([worker.pipe for worker in busy.values()], timeout=timeout_seconds):
            worker = busy[id(pipe)]
            try:
                said.append((worker, json.loads(worker.pipe.recv_bytes())))
            except (EOFError, ConnectionResetError):
                said.append((worker, {"died": worker.exit_code()}))
        return said

    def close(self) -> None:
        """Stop all workers, together."""
        for worker in self.workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.workers:
            worker.close(deadline)


def work(pipe: Connection, parent_pid: int, study_json: str, data_root: str) -> None:
    """Body of a worker process: execute tasks until the pipe closes."""
    from fly64_assets.science.child_process import die_with_parent

    die_with_parent(parent_pid)
    _silence_standard_output(Path(data_root))
    import dagster as dg

    from fly64_assets.orchestration.catalog.instance import study_instance
    from fly64_assets.orchestration.code_location import build_definitions
    from fly64_assets.orchestration.study_run.runs import execute_partition

    def say(message: dict[str, Any]) -> None:
        pipe.send_bytes(json.dumps(message).encode())

    def listener(progress: Progress) -> None:
        say({"progress": asdict(progress)})

    study = Study.model_validate_json(study_json)
    definitions = build_definitions(study, Path(data_root), listener)
    with study_instance(Path(data_root), study.name) as instance:
        while True:
            try:
                task = json.loads(pipe.recv_bytes())
            except EOFError:
                return
            item = PartitionId(**task["item"])
            try:
                outcome = execute_partition(
                    definitions, instance, item, run_config=task["run_config"], tags=task["tags"]
                )
            except dg.DagsterError as error:
                say({"outcome": {"success": False, "cause": " ".join(str(error).split()), "run_id": ""}})
                continue
            say({"outcome": {"success": outcome.success, "cause": outcome.cause, "run_id": outcome.run_id}})


def _silence_standard_output(data_root: Path) -> None:
    """Send what libraries print to a log file: the terminal belongs to the progress display."""
    log = data_root / "logs"
    log.mkdir(parents=True, exist_ok=True)
    stream = (log / f"worker-{os.getpid()}.log").open("a", buffering=1)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    sys.stdout, sys.stderr = stream, stream
