"""Runs calls of a kind in a fresh watched process."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fly64_assets.conformance import watched
from fly64_assets.conformance.scan import Place
from fly64_assets.science.child_process import Child, Message, hear

LIMIT_S = 600.0
_CHILD = "fly64_assets.conformance.child"

Call = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came back from one process.

    Attributes:
        results: one per call.
        opened: files under the data root that it or its children opened.
    """

    results: list[dict[str, Any]]
    opened: list[str]


@dataclass
class Trials:
    """Processes of one kind, each in a folder of its own."""

    kind: str
    options: dict[str, Any]
    folder: Path
    _number: itertools.count = field(default_factory=itertools.count)

    def new_folder(self) -> Path:
        """A private folder."""
        folder = self.folder / f"process_{next(self._number)}"
        folder.mkdir(parents=True)
        return folder

    def run(self, calls: Sequence[Call], place: Place, *, wrong_clock: bool = False) -> Outcome:
        """Carry calls out, one after the other, in one process.

        Args:
            calls: see ``child``; the folder of a training is made here.
            place: whose data root the process is told.
            wrong_clock: whether its clocks are shifted and too fast.
        """
        folder = self.new_folder()
        elsewhere = folder / "cwd"
        elsewhere.mkdir()
        calls = [call | {"work_dir": str(folder / f"work_{n}")} for n, call in enumerate(calls)]
        environment = watched.environment(folder, place.data_root, wrong_clock=wrong_clock)
        child = Child(_CHILD, folder / "said.txt", threads=1, environment=environment, folder=elsewhere)
        try:
            child.send({"kind": self.kind, "options": self.options, "calls": calls})
            results, failure = _results(child)
        finally:
            child.close()
        results += [{"error": failure, "cancelled": False}] * (len(calls) - len(results))
        return Outcome(results, watched.opened(folder))


def _results(child: Child) -> tuple[list[Message], str]:
    """What a child answers until it ends, and what is wrong with how it ended."""
    results: list[Message] = []
    until = time.monotonic() + LIMIT_S
    while said := hear([child], max(until - time.monotonic(), 0.0)):
        for _, message in said:
            if message is None:
                return results, f"its process {child.how_it_ended()}" if child.exit_code() else ""
            results.append(message)
    return results, f"it took more than {LIMIT_S:g} s"
