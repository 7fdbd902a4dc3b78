"""How ``fly64 study`` looks: a live bar per running partition on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fly64_assets.orchestration.catalog.freshness import PartitionState
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.study_run.runs import RunOutcome
from fly64_assets.science.records import Progress as WorkProgress

PLAIN_LINE_SECONDS = 15.0


@dataclass
class TerminalDisplay:
    """Shows a walk; on a terminal with live bars, elsewhere with one line every few seconds."""

    console: Console
    _bars: Progress | None = None
    _tasks: dict[PartitionId, TaskID] = field(default_factory=dict)
    _last_line: dict[PartitionId, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _ended: int = 0
    _total: int = 0

    @contextmanager
    def live(self) -> Iterator["TerminalDisplay"]:
        """Show live bars while the body runs, if there is a terminal."""
        if not self.console.is_terminal:
            yield self
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:g}/{task.total:g}"),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as self._bars:
            yield self

    def begin(self, total: int) -> None:
        """So many partitions are to be looked at."""
        self._total = total

    def started(self, item: PartitionId, number: int, total: int) -> None:
        """A partition's run has begun."""
        if self._bars is None:
            self.console.print(f"[{number}/{total}] {item} ...", markup=False, highlight=False)
            self._last_line[item] = time.monotonic()
        else:
            self._tasks[item] = self._bars.add_task(f"{number}/{total} {item}".replace("[", r"\["), total=1, loss="")

    def progress(self, item: PartitionId, progress: WorkProgress) -> None:
        """A running partition advanced."""
        loss = "" if progress.loss is None else f"loss {progress.loss:.5g}"
        if self._bars is not None and item in self._tasks:
            self._bars.update(self._tasks[item], completed=progress.done, total=progress.total or None, loss=loss)
        elif time.monotonic() - self._last_line.get(item, 0.0) > PLAIN_LINE_SECONDS:
            self._last_line[item] = time.monotonic()
            text = f"      {item}: {progress.stage} {progress.done}/{progress.total or '?'} {loss}{self._time_left()}"
            self.console.print(text, markup=False, highlight=False)

    def ended(self, outcome: RunOutcome) -> None:
        """A partition's run has ended."""
        self._ended += 1
        if self._bars is not None and outcome.item in self._tasks:
            self._bars.remove_task(self._tasks.pop(outcome.item))
        if outcome.success:
            line = f"  done   {outcome.item} in {outcome.seconds:.1f} s{self._time_left()}"
        else:
            line = f"  FAILED {outcome.item}: {outcome.cause}\n         retry with: {outcome.item.command}"
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def settled(self, state: PartitionState) -> None:
        """A partition needed no run."""
        self._ended += 1
        if state.status == "skipped":
            reason = "; ".join(state.reasons)
            self.console.print(f"  skip   {state.item}: {reason}", markup=False, highlight=False, soft_wrap=True)

    def blocked(self, item: PartitionId, cause: str) -> None:
        """A partition cannot run because of a failure upstream."""
        self._ended += 1
        self.console.print(f"  NOT RUN {item}: {cause}", markup=False, highlight=False, soft_wrap=True)

    def _time_left(self) -> str:
        if not self._ended or self._ended >= self._total:
            return ""
        seconds = (time.monotonic() - self._began) / self._ended * (self._total - self._ended)
        return f"; about {max(1, round(seconds / 60))} min left"
