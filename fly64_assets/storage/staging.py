"""Files on their way into a partition's folder: staged beside it, digested, flushed, renamed one by one.

A reader never sees a half-written file, and a killed writer leaves only a hidden folder that the next writer removes.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from fly64_assets.storage.digests import FileRecord, record_of
from fly64_assets.storage.files import flush_to_disk, safe_relative_path

_STAGING_PREFIX = ".staging-"


class StagedFolder:
    """Files on their way into a partition's folder.

    Science functions write to :meth:`path`; :meth:`publish` digests, flushes and renames them.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare a hidden staging folder inside ``folder``; remove those of dead writers."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder.glob(f"{_STAGING_PREFIX}*"))
        self.staging = folder / f"{_STAGING_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self.staging.mkdir()
        self._records: dict[str, FileRecord] = {}

    def path(self, name: str) -> Path:
        """Where to write the file that will be called ``name`` (relative, may have folders)."""
        path = self.staging / safe_relative_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def records(self) -> dict[str, FileRecord]:
        """Digest and size of everything staged so far; taken once, from what was written."""
        for path in sorted(self.staging.rglob("*")):
            name = path.relative_to(self.staging).as_posix()
            if path.is_file() and name not in self._records:
                self._records[name] = record_of(path)
        return dict(self._records)

    def publish(self) -> dict[str, FileRecord]:
        """Move everything to its final place and remove what an earlier version left there."""
        records = self.records()
        for name in records:
            flush_to_disk(self.staging / name)
        for name in records:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.staging / name).replace(target)
            flush_to_disk(target.parent)
        shutil.rmtree(self.staging)
        self._remove_superseded(set(records))
        return records

    def discard(self) -> None:
        """Remove what was staged; the partition stays as it was."""
        shutil.rmtree(self.staging, ignore_errors=True)

    def _remove_superseded(self, current: set[str]) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):
            relative = path.relative_to(self.folder)
            if relative.parts[0].startswith(_STAGING_PREFIX):
                continue
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            elif path.is_file() and relative.as_posix() not in current:
                path.unlink()


def remove_abandoned_staging(data_root: Path) -> None:
    """Remove what writers that were killed had staged anywhere under a data root."""
    _remove_abandoned(data_root.glob(f"[!.]*/**/{_STAGING_PREFIX}*"))


def _remove_abandoned(staging: Iterable[Path]) -> None:
    for path in staging:
        pid = path.name.removeprefix(_STAGING_PREFIX).split("-")[0]
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[StagedFolder]:
    """A staged folder that is discarded if the body raises before publishing."""
    stage = StagedFolder(folder)
    try:
        yield stage
    except BaseException:
        stage.discard()
        raise
