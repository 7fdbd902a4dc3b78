"""A worker without Dagster for the tests: does what the task's asset name says."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from fly64_assets.science.child_process import Message, Send, serve

_interrupted: list[int] = []


def work(requests: Iterator[Message], send: Send) -> None:
    """Report what it was introduced to; sleep, finish in peace when asked to stop, die, or succeed."""
    introduction = next(requests)
    for task in requests:
        match task["item"]["asset"]:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                send({"progress": {"pid": os.getpid()}})
                time.sleep(60)
            case "finish":
                signal.signal(signal.SIGTERM, note)
                send({"progress": {"pid": os.getpid()}})
                while not _interrupted:
                    time.sleep(0.01)
                print("finished in peace", flush=True)
                return
            case "succeed":
                print("noise of a library", flush=True)
                send({"progress": {"pid": os.getpid()}})
                send({"outcome": {**introduction, **task}})


def note(number: int, _frame: Any) -> None:
    """Remember an interruption."""
    _interrupted.append(number)


if __name__ == "__main__":
    serve(work)
