"""A child process for the tests: does what each request says."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fly64_assets.science.child_process import Message, Send, serve


def work(requests: Iterator[Message], send: Send) -> None:
    """Count, fail, die or sleep; whoever echoes takes further requests."""
    for request in requests:
        match request["do"]:
            case "count":
                for step in range(request["to"]):
                    print("noise on the standard output")
                    send({"step": step})
                np.save(Path(request["folder"]) / "result.npy", [request["to"]])
            case "environment":
                send({"OMP_NUM_THREADS": os.environ["OMP_NUM_THREADS"]})
            case "exit":
                sys.exit(request["code"])
            case "kill_itself":
                os.kill(os.getpid(), signal.Signals[request["by"]])
            case "sleep":
                send({"pid": os.getpid()})
                time.sleep(60)
            case "read_standard_input":
                send({"read": sys.stdin.read()})
            case "echo":
                send({"echo": request["text"], "interrupts": str(signal.getsignal(signal.SIGINT))})
                continue
            case _:
                message = "the child's own reason"
                raise ValueError(message)
        return


if __name__ == "__main__":
    serve(work)
