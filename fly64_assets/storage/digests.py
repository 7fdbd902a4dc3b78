"""Content digests: what a file or a set of files holds, as SHA256."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


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


def cached_sha256_of(path: Path) -> str:
    """SHA256 of a file that is asked for again and again, hashed once by this process until it changes.

    A change is seen by the file's size and times, as the system records them; use :func:`sha256_of` where a file may
    be tampered with.
    """
    status = path.stat()
    return _sha256_at(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=64)
def _sha256_at(path: Path, size: int, modified_ns: int, changed_ns: int) -> str:
    del size, modified_ns, changed_ns  # they only tell one state of the file from another
    return sha256_of(path)


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
