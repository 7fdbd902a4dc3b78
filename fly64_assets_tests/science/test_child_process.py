import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fly64_assets.science.child_process import (
    Child,
    ChildProcessFailedError,
    available_memory_bytes,
    hear,
    run_child,
)

CHILD = "fly64_assets_tests.science.child_for_tests"
Start = Callable[[], Child]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int, within_s: float = 10.0) -> bool:
    end = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def start_one() -> Child:
        children.append(Child(CHILD, tmp_path / f"{len(children)}.log"))
        return children[-1]

    yield start_one
    for child in children:
        child.close()


def next_of(child: Child) -> dict:
    (message,) = child.hear()
    return message


def test_messages_arrive_in_order_and_prints_do_not_disturb_them(tmp_path: Path) -> None:
    request = {"do": "count", "to": 3, "folder": str(tmp_path)}
    assert list(run_child(CHILD, request, tmp_path / "log")) == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert np.load(tmp_path / "result.npy", allow_pickle=False).tolist() == [3]
    assert (tmp_path / "log").read_text().count("noise on the standard output") == 3


def test_messages_go_both_ways_whatever_their_length(start: Start) -> None:
    child = start()
    for text in ("first", "second\nline, ü", "long" * 500_000):
        child.send({"do": "echo", "text": text})
        heard: list[dict] = []
        while not heard:
            heard = child.hear()
        assert [message["echo"] for message in heard] == [text]


def test_several_children_are_waited_for_together(start: Start) -> None:
    slow, quick = start(), start()
    slow.send({"do": "echo", "text": "here"})
    assert next_of(slow)["echo"] == "here"
    assert hear([slow, quick], timeout_s=0.0) == []
    quick.send({"do": "exit", "code": 0})
    assert hear([slow, quick], timeout_s=30.0) == [(quick, None)]
    slow.send({"do": "echo", "text": "still here"})
    assert [(child, message["echo"]) for child, message in hear([slow], timeout_s=30.0)] == [(slow, "still here")]


def test_a_child_that_has_ended_is_sent_to_in_vain_and_its_end_is_heard(start: Start) -> None:
    child = start()
    child.send({"do": "exit", "code": 3})
    assert child.exit_code() == 3
    child.send({"do": "echo", "text": "too late"})
    assert child.hear() is None


def test_standard_input_is_empty(tmp_path: Path) -> None:
    assert list(run_child(CHILD, {"do": "read_standard_input"}, tmp_path / "log")) == [{"read": ""}]


def test_an_interruption_of_the_group_is_left_to_the_parent(start: Start) -> None:
    child = start()
    child.send({"do": "echo", "text": ""})
    assert next_of(child)["interrupts"] == str(signal.SIG_IGN)


def test_threads_are_limited(tmp_path: Path) -> None:
    assert list(run_child(CHILD, {"do": "environment"}, tmp_path / "log", threads=3)) == [{"OMP_NUM_THREADS": "3"}]


def test_a_failing_child_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessFailedError, match="exit code 1: ValueError: the child's own reason"):
        list(run_child(CHILD, {"do": "fail"}, tmp_path / "log"))


@pytest.mark.parametrize(
    ("by", "says"), [("SIGKILL", r"killed by SIGKILL .*memory"), ("SIGABRT", r"killed by SIGABRT\n")]
)
def test_a_killed_child_names_its_signal(tmp_path: Path, by: str, says: str) -> None:
    with pytest.raises(ChildProcessFailedError, match=says):
        list(run_child(CHILD, {"do": "kill_itself", "by": by}, tmp_path / "log"))


def test_closing_the_iterator_kills_the_child(tmp_path: Path) -> None:
    messages = run_child(CHILD, {"do": "sleep"}, tmp_path / "log")
    pid = next(messages)["pid"]
    assert alive(pid)
    messages.close()
    assert not alive(pid)


def test_an_exception_in_the_loop_kills_the_child(tmp_path: Path) -> None:
    pids = []
    with (
        pytest.raises(KeyError, match="cancelled"),
        closing(run_child(CHILD, {"do": "sleep"}, tmp_path / "log")) as messages,
    ):
        for message in messages:
            pids.append(message["pid"])
            raise KeyError("cancelled")
    assert not alive(pids[0])


def test_asked_to_stop_it_ends_by_itself_and_else_it_is_killed(start: Start) -> None:
    child = start()
    child.send({"do": "sleep"})
    next_of(child)
    child.ask_to_stop()
    assert child.how_it_ended() == "was killed by SIGTERM"
    stubborn = start()
    stubborn.send({"do": "sleep"})
    next_of(stubborn)
    stubborn.close(within_s=0.1)
    assert stubborn.exit_code() == -signal.SIGKILL


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, None], ids=["SIGKILL", "SIGTERM", "exception"])
def test_the_child_dies_with_its_parent(tmp_path: Path, end: signal.Signals | None) -> None:
    program = (
        "import pathlib, sys; from fly64_assets.science.child_process import Child\n"
        f"child = Child({CHILD!r}, pathlib.Path({str(tmp_path)!r}) / 'log'); child.send({{'do': 'sleep'}})\n"
        "print(child.hear()[0]['pid'], flush=True); sys.stdin.readline(); raise KeyError('an exception')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        if end is None:
            parent.stdin.write("\n")
            parent.stdin.flush()
        else:
            parent.send_signal(end)
        parent.wait()
    assert gone(child)


def test_the_child_dies_when_its_pipe_closes_although_nobody_kills_it() -> None:
    """What ends it where the system sends no signal on the parent's death."""
    command = [sys.executable, "-m", CHILD, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b'{"do": "sleep"}\n')
        process.stdin.flush()
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=10) == 1


def test_the_child_dies_when_it_is_adopted_although_its_pipe_stays_open() -> None:
    """Another process holds the pipe, and the parent that it was told of is not its parent."""
    command = [sys.executable, "-m", CHILD, str(os.getpid() + 1)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=30) == 1
        process.stdin.close()


def test_available_memory_is_a_sensible_number() -> None:
    available = available_memory_bytes()
    assert available is None or 2**20 < available < 2**50
