"""The resource that assets and checks receive: the study's graph, where its files are, and where progress goes."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.science.records import Progress, ProgressListener, ignore_progress

LOG_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Workspace:
    """A study's graph, its data root, and a listener outside the run (the progress bar of ``fly64 study``).

    Attributes:
        graph: of the study that the definitions were built for.
        data_root: absolute folder that holds its files.
        listener: told of all progress, besides the run log.
    """

    graph: StudyGraph
    data_root: Path
    listener: ProgressListener = ignore_progress

    def item(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, asset: str) -> PartitionId:
        """The partition that a run works on."""
        return PartitionId(asset, context.partition_key if context.has_partition_key else None)

    def work_dir(self, item: PartitionId, digest: str) -> Path:
        """A folder that survives a killed run, for checkpoints of the same parameters."""
        folder = self.data_root / ".work" / item.folder / digest[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def progress(self, log: logging.Logger | dg.DagsterLogManager) -> ProgressListener:
        """A listener that writes to the run log every few seconds and tells the outside one at once."""
        return _LoggedProgress(log.info, self.listener)


@dataclass
class _LoggedProgress:
    write: Callable[[str], object]
    listener: ProgressListener
    last_written: float = field(default_factory=time.monotonic)

    def __call__(self, progress: Progress) -> None:
        self.listener(progress)
        now = time.monotonic()
        if now - self.last_written >= LOG_EVERY_SECONDS or progress.done == progress.total:
            self.last_written = now
            loss = "" if progress.loss is None else f", loss {progress.loss:.6g}"
            self.write(f"{progress.stage}: {progress.done} of {progress.total or '?'}{loss}")
