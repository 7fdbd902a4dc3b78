"""Workers are told the study once, take tasks one after the other, and are named when they die."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.study_run.pool import Task, Worker, WorkerPool
from fly64_assets.science.child_process import Message
from fly64_assets.study import Study, load_study

MODULE = "fly64_assets_tests.orchestration.study_run.worker_for_tests"
TINY = Path(__file__).parents[2] / "studies" / "tiny.yaml"
PATIENCE_S = 30.0


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    made = WorkerPool(load_study(str(TINY)), tmp_path, jobs=2, module=MODULE)
    yield made
    made.close()


def task(asset: str) -> Task:
    return Task(PartitionId(asset, "1000|dense"), {"ops": {asset: {"config": {"a": 1}}}}, {"tag": "ü"})


def hear(pool: WorkerPool, count: int) -> list[tuple[Worker, Message]]:
    """So many messages, however they are bundled; who has died is forgotten, as a walk does."""
    said: list[tuple[Worker, Message]] = []
    end = time.monotonic() + PATIENCE_S
    while len(said) < count and time.monotonic() < end:
        heard = pool.messages(0.1)
        for worker, message in heard:
            if "died" in message:
                worker.forget()
        said += heard
    return said


def pid_of(pool: WorkerPool) -> int:
    ((_, message),) = hear(pool, 1)
    return message["progress"]["pid"]


def test_a_worker_is_introduced_to_the_study_and_does_its_tasks_one_after_the_other(
    pool: WorkerPool, tmp_path: Path
) -> None:
    pids = set()
    for _ in range(2):
        worker = pool.idle()[0]
        worker.start(task("succeed"))
        assert worker not in pool.idle()
        (_, progress), (speaker, answer) = hear(pool, 2)
        assert speaker is worker
        pids.add(progress["progress"]["pid"])
        outcome = answer["outcome"]
        assert Study.model_validate_json(outcome["study"]) == load_study(str(TINY))
        assert outcome["data_root"] == str(tmp_path)
        assert outcome["item"] == {"asset": "succeed", "partition": "1000|dense"}
        assert (outcome["run_config"], outcome["tags"]) == (task("succeed").run_config, task("succeed").tags)
        worker.task = None
    assert len(pids) == 1
    (log,) = (tmp_path / "logs").iterdir()
    assert log.read_text().count("noise of a library") == 2


def test_no_message_comes_from_idle_workers_and_waiting_ends(pool: WorkerPool) -> None:
    assert len(pool.idle()) == 2
    assert pool.messages(0.0) == []


def test_a_worker_that_dies_says_by_which_signal_and_its_successor_works(pool: WorkerPool) -> None:
    dying, other = pool.idle()
    dying.start(task("die"))
    other.start(task("succeed"))
    said = hear(pool, 3)
    assert [message for worker, message in said if worker is dying] == [
        {"died": "was killed by SIGKILL (the system does so when memory runs out)"}
    ]
    assert "outcome" in [message for worker, message in said if worker is other][-1]
    assert dying in pool.idle()
    dying.start(task("succeed"))
    other.task = None
    assert [worker for worker, _ in hear(pool, 2)] == [dying, dying]


def test_closing_stops_busy_workers_and_lets_them_finish_what_an_interruption_asks_for(
    pool: WorkerPool, tmp_path: Path
) -> None:
    pool.idle()[0].start(task("sleep"))
    sleeping = pid_of(pool)
    pool.idle()[0].start(task("finish"))
    finishing = pid_of(pool)
    pool.close()
    assert not psutil.pid_exists(sleeping)
    assert not psutil.pid_exists(finishing)
    assert "finished in peace" in "".join(log.read_text() for log in (tmp_path / "logs").iterdir())
