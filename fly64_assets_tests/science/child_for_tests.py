"""A child process for the tests: does what the request says."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fly64_assets.science.child_process import Message, serve


def work(request: Message, directory: Path, send: Callable[[Message], None]) -> None:
    """Count, fail, die or sleep."""
    match request["do"]:
        case "count":
            for step in range(request["to"]):
                print("noise on the standard output")
                send({"step": step})
            np.save(directory / "result.npy", [request["to"]])
        case "environment":
            send({"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]})
        case "fail":
            message = "the child's own reason"
            raise ValueError(message)
        case "kill_itself":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            send({"pid": os.getpid()})
            time.sleep(60)


if __name__ == "__main__":
    serve(work)
