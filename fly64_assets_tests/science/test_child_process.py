import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fly64_assets.science.child_process import ChildProcessFailedError, available_memory_bytes, run_child

CHILD = "fly64_assets_tests.science.child_for_tests"


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


def test_messages_arrive_in_order_and_prints_do_not_disturb_them(tmp_path: Path) -> None:
    messages = []
    run_child(CHILD, {"do": "count", "to": 3}, tmp_path, on_message=messages.append)
    assert messages == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert np.load(tmp_path / "result.npy", allow_pickle=False).tolist() == [3]


def test_threads_are_limited(tmp_path: Path) -> None:
    messages = []
    run_child(CHILD, {"do": "environment"}, tmp_path, on_message=messages.append, threads=3)
    assert messages == [{"OMP_NUM_THREADS": "3"}]


def test_a_failing_child_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessFailedError, match="exit code 1: ValueError: the child's own reason"):
        run_child(CHILD, {"do": "fail"}, tmp_path, on_message=print)


def test_a_killed_child_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessFailedError, match=r"killed by SIGKILL .*memory"):
        run_child(CHILD, {"do": "kill_itself"}, tmp_path, on_message=print)


def test_a_raising_listener_kills_the_child(tmp_path: Path) -> None:
    found = []

    def listener(message: dict) -> None:
        found.append(message["pid"])
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        run_child(CHILD, {"do": "sleep"}, tmp_path, on_message=listener)
    assert gone(found[0])


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_dies_with_its_parent(tmp_path: Path, end: signal.Signals) -> None:
    program = (
        "import pathlib; from fly64_assets.science.child_process import run_child\n"
        f"run_child({CHILD!r}, {{'do': 'sleep'}}, pathlib.Path({str(tmp_path)!r}), "
        "on_message=lambda message: print(message['pid'], flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.send_signal(end)
        parent.wait()
    assert gone(child)


def test_the_child_dies_when_its_pipe_closes_although_nobody_kills_it(tmp_path: Path) -> None:
    """What ends it where the system sends no signal on the parent's death."""
    (tmp_path / "request.json").write_text('{"do": "sleep"}', encoding="utf-8")
    command = [sys.executable, "-m", CHILD, str(tmp_path), str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=10) == 1


def test_available_memory_is_a_sensible_number() -> None:
    available = available_memory_bytes()
    assert available is None or 2**20 < available < 2**50
