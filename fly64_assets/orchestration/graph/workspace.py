"""Resources that assets receive: the study, the data root, and where progress goes."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.science.records import Progress, ProgressListener, ignore_progress
from fly64_assets.storage import StagedFolder
from fly64_assets.study import Study

LOG_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Workspace:
    """A study, its data root, and a listener outside the run (the progress bar of ``fly64 study``).

    Attributes:
        study: the study that the definitions were built for.
        data_root: absolute folder that holds its files.
        listener: told of all progress, besides the run log.
    """

    study: Study
    data_root: Path
    listener: ProgressListener = ignore_progress

    def item(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, asset: str) -> PartitionId:
        """The partition that a run works on."""
        return PartitionId(asset, context.partition_key if context.has_partition_key else None)  # pyright: ignore[reportArgumentType]

    def stage(self, item: PartitionId) -> StagedFolder:
        """A staged folder for a partition's new files."""
        return StagedFolder(self.data_root / item.folder)

    def work_dir(self, item: PartitionId, parameter_hash: str) -> Path:
        """A folder that survives a killed run, for checkpoints of the same parameters."""
        folder = self.data_root / ".work" / item.folder / parameter_hash[:16]
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
