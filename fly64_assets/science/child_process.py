"""Work in child processes that end with their parent, exchange messages with it and say why they failed.

A spawned ``python -m module`` and its parent send each other JSON lines through two private pipes: nothing is pickled
in either direction. What the child prints goes to a log. The child dies with its parent in three ways that back each
other up: the parent kills it on any exception, Linux sends SIGKILL when the parent's thread ends (even by SIGKILL),
and threads of the child end it when the pipe from the parent closes or the process is adopted by another parent.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import fly64_assets

_PR_SET_PDEATHSIG = 1
_WATCHDOG_PERIOD_S = 0.5
_READ_BYTES = 1 << 16
_LAST_LINES = 25
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Message = dict[str, Any]
Send = Callable[[Message], None]


class ChildProcessFailedError(RuntimeError):
    """The child ended without finishing its work; the message holds its own last words."""


class Child:
    """A child process as its parent sees it."""

    def __init__(
        self,
        module: str,
        log: Path,
        *,
        threads: int | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start ``python -m module``.

        Args:
            module: importable module that calls :func:`serve` when it is run.
            log: file for what it prints; an existing one is replaced.
            threads: threads that numerical libraries in the child may use; None: as in this process.
            environment: its environment variables; None: those of this process.
            folder: where it works; None: where this process does.
        """
        variables = dict(os.environ if environment is None else environment)
        if threads is not None:
            variables |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
        package_root = str(Path(fly64_assets.__file__).resolve().parents[1])
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, variables.get("PYTHONPATH")]))
        command = [sys.executable, "-P", "-m", module, str(os.getpid())]
        self.module, self.log = module, log
        with log.open("wb") as printed:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, env=variables, cwd=folder
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to_child, self._from_child = self._process.stdin, self._process.stdout
        self._unfinished_line = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._from_child.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; to a child that has ended, nothing: its end is heard."""
        with contextlib.suppress(BrokenPipeError):
            _write(self._to_child.fileno(), message)

    def hear(self) -> list[Message] | None:
        """What has arrived, in order; waits if nothing has. None: the child has ended."""
        arrived = os.read(self.fileno(), _READ_BYTES)
        *lines, self._unfinished_line = (self._unfinished_line + arrived).split(b"\n")
        return [json.loads(line) for line in lines] if arrived else None

    def exit_code(self) -> int:
        """Wait until it has ended; minus the signal's number if a signal ended it."""
        return self._process.wait()

    def how_it_ended(self) -> str:
        """Wait until it has ended, and say how: the signal's name, or the last line that it printed."""
        code = self.exit_code()
        if code < 0:
            name = _signal_name(-code)
            memory = " (the system does so when memory runs out)" if name == "SIGKILL" else ""
            return f"was killed by {name}{memory}"
        lines = self.last_lines()
        return f"failed with exit code {code}: {lines[-1] if lines else 'it said nothing'}"

    def last_lines(self) -> list[str]:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]

    def ask_to_stop(self) -> None:
        """Send SIGTERM, which lets it finish what it does on an interruption."""
        self._process.terminate()

    def close(self, within_s: float = 0.0) -> None:
        """Wait so long for it to end, then kill it."""
        try:
            self._process.wait(timeout=max(within_s, 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._to_child.close()
        self._from_child.close()


def hear(children: Iterable[Child], timeout_s: float | None = None) -> list[tuple[Child, Message | None]]:
    """Wait until one of several children says something.

    Args:
        children: whom to listen to.
        timeout_s: the longest wait; None: however long it takes.

    Returns:
        Who said what, each child's messages in order; None in place of a message: this child has ended.
    """
    said: list[tuple[Child, Message | None]] = []
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child, selectors.EVENT_READ, child)
        for key, _ in selector.select(timeout_s):
            messages = key.data.hear()
            said += [(key.data, None)] if messages is None else [(key.data, message) for message in messages]
    return said


def run_child(
    module: str, request: Mapping[str, Any], log: Path, *, threads: int = 1
) -> Generator[Message, None, None]:
    """Run ``python -m module`` for one request, and yield what it says until it has ended.

    Closing the iterator kills the child: use it within ``contextlib.closing``.

    Args:
        module: importable module that calls :func:`serve` when it is run.
        request: JSON-serialisable arguments of the work.
        log: file for what it prints.
        threads: threads that numerical libraries in the child may use.

    Raises:
        ChildProcessFailedError: the child failed or was killed; with the end of what it printed.
    """
    child = Child(module, log, threads=threads)
    try:
        child.send(request)
        while (messages := child.hear()) is not None:
            yield from messages
        if child.exit_code() != 0:
            printed = "\n".join(child.last_lines())
            message = f"{module} {child.how_it_ended()}\nEnd of its error output:\n{printed}"
            raise ChildProcessFailedError(message)
    finally:
        child.close()


def serve(work: Callable[[Iterator[Message], Send], None]) -> None:
    """The child's side: run ``work(requests, send)`` under the parent's eye.

    ``requests`` yields what the parent sends and waits in between; it never ends, since the process ends with it.
    What the work prints goes to the log, so that it cannot disturb the messages.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _die_with_parent(int(sys.argv[1]))
    requests, answers = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    inbox: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, inbox), daemon=True).start()
    work(iter(inbox.get, None), lambda message: _write(answers, message))


def _receive(pipe: int, inbox: SimpleQueue[Message]) -> None:
    """Put what the parent sends into the inbox; when the pipe closes, end this process."""
    unfinished = b""
    with contextlib.suppress(OSError):
        while arrived := os.read(pipe, _READ_BYTES):
            *lines, unfinished = (unfinished + arrived).split(b"\n")
            for line in lines:
                inbox.put(json.loads(line))
    os._exit(1)


def _write(pipe: int, message: Mapping[str, Any]) -> None:
    line = memoryview(json.dumps(dict(message)).encode() + b"\n")
    while line:
        line = line[os.write(pipe, line) :]


def _die_with_parent(parent_pid: int) -> None:
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


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have numbers only
        return f"signal {number}"


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
