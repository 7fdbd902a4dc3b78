"""Digests, staged folders, atomic writes, locks. Every file that the platform keeps passes through here.

Nothing here knows what a file holds (formats stand in ``science.contract``, ``science.interop`` and
``science.networks``) or whether it may be used (``orchestration.catalog``).
"""

from fly64_assets.storage.digests import FileRecord, cached_sha256_of, content_digest, digest_of, record_of, sha256_of
from fly64_assets.storage.files import (
    DataRootBusyError,
    data_root_lock,
    new_file,
    read_json,
    safe_relative_path,
    update_json,
    write_atomically,
    write_json,
)
from fly64_assets.storage.staging import StagedFolder, remove_abandoned_staging, staged

__all__ = [
    "DataRootBusyError",
    "FileRecord",
    "StagedFolder",
    "cached_sha256_of",
    "content_digest",
    "data_root_lock",
    "digest_of",
    "new_file",
    "read_json",
    "record_of",
    "remove_abandoned_staging",
    "safe_relative_path",
    "sha256_of",
    "staged",
    "update_json",
    "write_atomically",
    "write_json",
]
