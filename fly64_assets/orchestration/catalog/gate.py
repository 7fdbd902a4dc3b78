"""The one gate that every load of a partition passes, in whatever run it happens.

It refuses a partition that is missing, whose files differ from the digests in the catalog, or
whose blocking checks failed or judged an earlier version.
"""

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.catalog.entries import CatalogEntry, check_faults, latest_entry
from fly64_assets.orchestration.graph.checks import blocking_checks
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.storage import FileRecord, record_of, safe_relative_path


class GateRefusedError(dg.Failure):
    """A partition may not be used; never retried, because waiting does not mend it."""

    def __init__(self, message: str) -> None:
        """Keep the message as the failure's description."""
        super().__init__(description=message, allow_retries=False)

    def __str__(self) -> str:
        """The message alone."""
        return self.description or ""


@dataclass(frozen=True)
class PartitionFiles:
    """A verified upstream partition: the value that assets receive.

    Attributes:
        item: which partition.
        data_version: its content digest.
        folder: absolute folder of its files.
        files: relative name to verified digest and size.
        skip_reason: set if the partition was skipped; then there are no files.
    """

    item: PartitionId
    data_version: str
    folder: Path
    files: dict[str, FileRecord] = field(default_factory=dict)
    skip_reason: str | None = None

    def version_of(self, file: str | None) -> str:
        """What a reader of the partition, or of one file of it, depends on."""
        return self.data_version if file is None or file not in self.files else self.files[file].sha256

    def path(self, name: str) -> Path:
        """Absolute path of one verified file.

        Raises:
            GateRefusedError: the catalog lists no such file.
        """
        if name not in self.files:
            message = f"{self.item} holds no file {name!r}; the catalog lists {sorted(self.files)}"
            raise GateRefusedError(message)
        return self.folder / name


def open_partition(
    instance: dg.DagsterInstance, data_root: Path, item: PartitionId, *, require_checks: bool = True
) -> PartitionFiles:
    """Verify a partition against the catalog and return its files.

    Args:
        instance: where the catalog is.
        data_root: where the files are.
        item: which partition.
        require_checks: False only for the checks themselves, which must be able to judge it.

    Raises:
        GateRefusedError: what is wrong, expected and actual digest, and the command that rebuilds it.
    """
    entry = latest_entry(instance, item)
    if entry is None:
        message = f"{item} has not been materialized. Make it with: {item.command}"
        raise GateRefusedError(message)
    folder = data_root / item.folder
    faults = changed_files(folder, entry)
    if faults:
        message = f"{item} does not match the catalog: {'; '.join(faults)}. Rebuild it with: {item.command}"
        raise GateRefusedError(message)
    if entry.skip_reason is not None:
        return PartitionFiles(item, entry.data_version, folder, skip_reason=entry.skip_reason)
    if require_checks:
        faults = check_faults(instance, item, entry, blocking_checks(item.asset))
        if faults:
            message = f"{item} is blocked: {'; '.join(faults)}. Rebuild it with: {item.command}"
            raise GateRefusedError(message)
    return PartitionFiles(item, entry.data_version, folder, entry.files)


def changed_files(folder: Path, entry: CatalogEntry, *, sizes_only: bool = False) -> list[str]:
    """How the files on disk differ from the catalog; empty if they do not.

    Args:
        folder: the partition's folder.
        entry: what the catalog lists.
        sizes_only: compare existence and size, not content: for plans over many partitions.
    """
    return [
        fault for name, expected in entry.files.items() if (fault := _file_fault(folder, name, expected, sizes_only))
    ]


def _file_fault(folder: Path, name: str, expected: FileRecord, sizes_only: bool) -> str | None:
    path = folder / safe_relative_path(name)
    if not path.is_file():
        return f"{path} is missing (expected sha256 {expected.sha256})"
    size = path.stat().st_size
    if size != expected.size_bytes:
        return f"{path} has {size} bytes, expected {expected.size_bytes} (expected sha256 {expected.sha256})"
    if sizes_only:
        return None
    actual = record_of(path).sha256
    return None if actual == expected.sha256 else f"{path} has sha256 {actual}, expected {expected.sha256}"
