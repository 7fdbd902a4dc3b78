"""Atomic files, content digests and locks. Every file that the platform keeps passes through here.

A partition's files are staged in a hidden folder beside their final place, digested, flushed to
disk and renamed one by one; a reader never sees a half-written file, and a killed writer leaves
only a hidden folder that the next writer removes. Nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import filelock
import psutil

_STAGING_PREFIX = ".staging-"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the catalog knows of one file.

    Attributes:
        sha256: 64 lower-case hex digits of the content.
        size_bytes: length of the content.
    """

    sha256: str
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-ready data."""
        return {"sha256": self.sha256, "size_bytes": self.size_bytes}


def sha256_of(path: Path) -> str:
    """SHA256 of a file's content, as 64 lower-case hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def record_of(path: Path) -> FileRecord:
    """Digest and size of a file as it is on disk now."""
    return FileRecord(sha256=sha256_of(path), size_bytes=path.stat().st_size)


def digest_of(value: Any) -> str:
    """SHA256 of JSON-ready data in canonical form: sorted keys, no white space.

    >>> digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def content_digest(files: Mapping[str, FileRecord], volatile: frozenset[str] = frozenset()) -> str:
    """One digest for a set of files: their relative names and contents, in any order.

    Args:
        files: relative name to record.
        volatile: names left out because they hold measurements of the run itself (costs, logs),
            which differ between two runs that compute the same result.

    Raises:
        ValueError: only volatile files are left.
    """
    contents = {name: record.sha256 for name, record in files.items() if Path(name).name not in volatile}
    if not contents:
        message = f"no file with lasting content among {sorted(files)}"
        raise ValueError(message)
    return digest_of(contents)


def safe_relative_path(name: str) -> PurePosixPath:
    """A relative path that stays inside its folder.

    Raises:
        ValueError: the name is absolute, empty, or climbs out by "..".
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        message = f"not a relative path inside its folder: {name!r}"
        raise ValueError(message)
    return path


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace a small file as a whole: temporary name in the same folder, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        _flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_to_disk(path.parent)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it becomes ``path`` when the body ends well.

    Raises:
        FileExistsError: ``path`` exists; nothing is overwritten.
    """
    if path.exists():
        message = f"{path} exists and is not overwritten: name another output"
        raise FileExistsError(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_to_disk(path.parent)


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
            _flush_to_disk(self.staging / name)
        for name in records:
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.staging / name).replace(target)
            _flush_to_disk(target.parent)
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON-ready data atomically, readable and with a final newline."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def update_json(path: Path, change: Any) -> None:
    """Apply ``change(value) -> value`` to a JSON file under a lock; a missing file starts as ``{}``.

    Concurrent runs keep each other's entries.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        value = read_json(path) if path.exists() else {}
        write_json(path, change(value))


class DataRootBusyError(RuntimeError):
    """Another process works on the same data root."""


@contextlib.contextmanager
def data_root_lock(data_root: Path) -> Iterator[None]:
    """Hold the data root for one ``fly64 study``; released by the system when the process dies.

    Raises:
        DataRootBusyError: another process holds it; the message says which.
    """
    data_root.mkdir(parents=True, exist_ok=True)
    holder = data_root / ".fly64-study.pid"
    lock = filelock.FileLock(data_root / ".fly64-study.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        pid = holder.read_text().strip() if holder.exists() else "unknown"
        message = f"{data_root} is in use by another `fly64 study` (process {pid}): wait for it or stop it"
        raise DataRootBusyError(message) from None
    try:
        holder.write_text(f"{os.getpid()}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
