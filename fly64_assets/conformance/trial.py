"""Runs calls of a kind in a fresh watched process."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fly64_assets.conformance import watched
from fly64_assets.conformance.scan import Place

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
        calls = [call | {"work_dir": str(folder / f"work_{n}")} for n, call in enumerate(calls)]
        request = {"kind": self.kind, "options": self.options, "calls": calls}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        elsewhere = folder / "cwd"
        elsewhere.mkdir()
        command = [sys.executable, "-P", "-m", _CHILD, str(folder), str(os.getpid())]
        environment = watched.environment(folder, place.data_root, wrong_clock=wrong_clock)
        failure = ""
        with (folder / "said.txt").open("wb") as said:
            try:
                code = subprocess.run(
                    command, cwd=elsewhere, env=environment, stdout=said, stderr=said, timeout=LIMIT_S, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                failure = f"it took more than {LIMIT_S:g} s"
            else:
                failure = f"its process ended with status {code}" if code else ""
        result = folder / "result.json"
        if failure or not result.is_file():
            lines = (folder / "said.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            failure += f": {lines[-1]}" if lines else ""
            results = [{"error": failure, "cancelled": False} for _ in calls]
        else:
            results = json.loads(result.read_text(encoding="utf-8"))
        return Outcome(results, watched.opened(folder))
