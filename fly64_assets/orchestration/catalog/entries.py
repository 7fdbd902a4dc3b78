"""Reads what Dagster's catalog knows of a partition: files and digests, provenance, skips, check verdicts.

The catalog is the event log of the instance; no sidecar file is trusted.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import AssetRecordsFilter, DagsterInstance, EventLogRecord

from fly64_assets.orchestration.dagster_internals import AssetCheckExecutionRecordStatus, PartitionKeyFilter
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.storage import FileRecord

PROVENANCE = "provenance"
"""Metadata key of the JSON that freshness and the gates read."""

PAGE_RECORDS = 1000

_JUDGED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


@dataclass(frozen=True)
class CatalogEntry:
    """The latest word on a partition: a materialization, or a recorded skip.

    Attributes:
        storage_id: position in the event log; later entries have larger ones.
        run_id: run that wrote it.
        data_version: digest of the content; of the reason for a skip.
        parameter_hash: hash of the parameters in force when it was made.
        code_version: the asset's code version then.
        upstream: data version of each upstream partition then.
        files: relative name to digest and size; of a skip, at most its marker.
        skip_reason: why nothing was made; None for a materialization.
    """

    storage_id: int
    run_id: str
    data_version: str
    parameter_hash: str
    code_version: str
    upstream: dict[str, str]
    files: dict[str, FileRecord]
    skip_reason: str | None = None

    def version_of(self, file: str | None) -> str:
        """What a reader of the partition, or of one file of it, depends on."""
        return self.data_version if file is None or file not in self.files else self.files[file].sha256

    @property
    def provenance(self) -> dict[str, Any]:
        """What goes into the event's metadata."""
        return {
            "data_version": self.data_version,
            "parameter_hash": self.parameter_hash,
            "code_version": self.code_version,
            "upstream": self.upstream,
            "files": {name: record.to_dict() for name, record in sorted(self.files.items())},
            "skip_reason": self.skip_reason,
        }


def latest_entry(instance: DagsterInstance, item: PartitionId) -> CatalogEntry | None:
    """The latest materialization or skip of a partition; None if there is neither."""
    partitions = None if item.partition is None else [item.partition]
    query = AssetRecordsFilter(asset_key=item.asset_key, asset_partitions=partitions)
    records = [
        *instance.fetch_materializations(query, limit=1).records,
        *instance.fetch_observations(query, limit=1).records,
    ]
    entries = [entry for record in records if (entry := _entry_of(record)) is not None]
    return max(entries, key=lambda entry: entry.storage_id, default=None)


def latest_entries(instance: DagsterInstance, asset: str) -> dict[str | None, CatalogEntry]:
    """The latest entry of every partition of an asset, read in bulk."""
    latest: dict[str | None, CatalogEntry] = {}
    for fetch in (instance.fetch_materializations, instance.fetch_observations):
        seen: set[str | None] = set()
        for record in _all_records(fetch, dg.AssetKey(asset.split("/"))):  # newest first
            if record.partition_key in seen:
                continue
            entry = _entry_of(record)
            if entry is None:
                continue
            seen.add(record.partition_key)
            known = latest.get(record.partition_key)
            if known is None or entry.storage_id > known.storage_id:
                latest[record.partition_key] = entry
    return latest


def _all_records(fetch: Callable[..., Any], key: dg.AssetKey) -> Iterator[EventLogRecord]:
    cursor, has_more = None, True
    while has_more:
        page = fetch(key, limit=PAGE_RECORDS, cursor=cursor)
        yield from page.records
        cursor, has_more = page.cursor, page.has_more


def _entry_of(record: EventLogRecord) -> CatalogEntry | None:
    event = record.asset_materialization or record.asset_observation
    stored = event.metadata.get(PROVENANCE) if event is not None else None
    if stored is None:
        return None
    value: Any = stored.value
    provenance = json.loads(value) if isinstance(value, str) else value
    files = {name: FileRecord(**fields) for name, fields in provenance["files"].items()}
    return CatalogEntry(storage_id=record.storage_id, run_id=record.run_id, **{**provenance, "files": files})


def check_faults(
    instance: DagsterInstance, item: PartitionId, entry: CatalogEntry, check_names: tuple[str, ...]
) -> list[str]:
    """Why the blocking checks do not vouch for an entry; empty if every one passed on this very version."""
    if not check_names:
        return []
    partition_filter = PartitionKeyFilter(key=item.partition)
    faults = []
    for key in (dg.AssetCheckKey(item.asset_key, name) for name in check_names):
        # A later run that failed before its checks has left them planned: that takes nothing from the version here.
        history = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=1, status=_JUDGED, partition_filter=partition_filter
        )
        record = history[0] if history else None
        if record is None or record.evaluation is None:
            faults.append(f"blocking check {key.name} has not run")
        elif not _judges(record, entry):
            faults.append(f"blocking check {key.name} is stale: it judged an earlier version")
        elif not record.evaluation.passed:
            why = (record.evaluation.description or "no description").removesuffix(".")
            faults.append(f"blocking check {key.name} failed: {why}")
    return faults


def vouched_versions(instance: DagsterInstance, asset: str, check_names: tuple[str, ...]) -> dict[str | None, set[int]]:
    """Per partition, the storage ids of the materializations that every one of the checks passed on; read in bulk."""
    passed: dict[str | None, dict[int, set[str]]] = {}
    keys = [dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name) for name in check_names]
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        target = info.latest_target_materialization_storage_id
        if info.latest_execution_status == AssetCheckExecutionRecordStatus.SUCCEEDED and target is not None:
            passed.setdefault(info.partition_key, {}).setdefault(target, set()).add(info.check_key.name)
    return {
        partition: {target for target, names in targets.items() if names == set(check_names)}
        for partition, targets in passed.items()
    }


def _judges(record: Any, entry: CatalogEntry) -> bool:
    target = record.evaluation.target_materialization_data
    return target.storage_id == entry.storage_id if target is not None else record.run_id == entry.run_id
