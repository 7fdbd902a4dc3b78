"""Long work in a child process that ends with its parent, reports progress and says why it failed.

A spawned ``python -m module directory`` reads ``directory/request.json``, writes its results into
``directory`` as plain arrays, and sends JSON lines back through a private pipe: nothing is pickled in
either direction. The child dies with its parent in three ways that back each other up: the parent kills
it on any exception, Linux sends SIGKILL when the parent's thread ends (even by SIGKILL), and a watchdog
thread ends the child when the pipe from the parent closes or the process is adopted by another parent.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import fly64_assets

REQUEST_FILE = "request.json"
_STDERR_FILE = "stderr.txt"
_PR_SET_PDEATHSIG = 1
_WATCHDOG_PERIOD_S = 0.5
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Message = dict[str, Any]


class ChildProcessFailedError(RuntimeError):
    """The child ended without finishing its work; the message holds its own last words."""


def run_child(
    module: str,
    request: Mapping[str, Any],
    directory: Path,
    *,
    on_message: Callable[[Message], None],
    threads: int = 1,
) -> None:
    """Run ``python -m module`` on a request and wait for it, forwarding what it says.

    Args:
        module: importable module that calls :func:`serve` when it is run.
        request: JSON-serialisable arguments of the work.
        directory: existing private directory for the request, the inputs and the results.
        on_message: called with each message of the child; if it raises, the child is killed.
        threads: threads that numerical libraries in the child may use.

    Raises:
        ChildProcessFailedError: the child failed or was killed; with the end of its error output.
    """
    (directory / REQUEST_FILE).write_text(json.dumps(dict(request)), encoding="utf-8")
    environment = dict(os.environ) | dict.fromkeys(_THREAD_VARIABLES, str(threads))
    package_root = str(Path(fly64_assets.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", module, str(directory), str(os.getpid())]
    with (
        (directory / _STDERR_FILE).open("wb") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True
        ) as process,
    ):
        try:
            for line in process.stdout or ():
                on_message(json.loads(line))
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
    if code != 0:
        raise ChildProcessFailedError(_failure_message(module, code, directory / _STDERR_FILE))


def serve(work: Callable[[Message, Path, Callable[[Message], None]], None]) -> None:
    """The child's side: run ``work(request, directory, send)`` under the parent's eye.

    What the work prints goes to the error output, so that it cannot disturb the messages.
    """
    directory, parent_pid = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    die_with_parent(parent_pid)
    threading.Thread(target=_exit_when_pipe_closes, daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        request = json.loads((directory / REQUEST_FILE).read_text(encoding="utf-8"))
        work(request, directory, lambda message: _send(channel, message))


def _send(channel: TextIO, message: Message) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def die_with_parent(parent_pid: int) -> None:
    """End this process when its parent ends, however that happens.

    Args:
        parent_pid: the parent, as it was when this process was requested.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the request above could be made
        os._exit(1)
    threading.Thread(target=_exit_when_adopted, args=(parent_pid,), daemon=True).start()


def _exit_when_adopted(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_WATCHDOG_PERIOD_S)
    os._exit(1)


def _exit_when_pipe_closes() -> None:
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os._exit(1)


def _failure_message(module: str, code: int, stderr: Path) -> str:
    lines = stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code < 0:
        name = signal.Signals(-code).name
        reason = f"was killed by {name}" + (" (the system does so when memory runs out)" if name == "SIGKILL" else "")
    else:
        reason = f"failed with exit code {code}: {lines[-1] if lines else 'it said nothing'}"
    tail = "\n".join(lines[-25:])
    return f"{module} {reason}\nEnd of its error output:\n{tail}"


def available_memory_bytes() -> int | None:
    """Memory that a new process may use without swapping, None where the system does not say.

    The smaller of the kernel's estimate and what the control group (a container) still allows.
    """
    limits = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # the limit file says "max" where there is none
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return min(limits, default=None)
