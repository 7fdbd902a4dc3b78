"""Local files written whole or not at all, and locks. Nothing is ever unpickled."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import filelock


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


def flush_to_disk(path: Path) -> None:
    """Wait until a file or a folder's entries are on disk."""
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
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_to_disk(path.parent)


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
        flush_to_disk(temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush_to_disk(path.parent)


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
