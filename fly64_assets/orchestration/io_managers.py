"""Publishes staged files on output and lets nothing through the gate unverified on input."""

from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.catalog import PROVENANCE, CatalogEntry
from fly64_assets.orchestration.gates import PartitionFiles, open_partition
from fly64_assets.orchestration.partitions import PartitionId
from fly64_assets.storage import StagedFolder, content_digest

VOLATILE_FILES = frozenset({"costs.json", "train.log", "history.csv"})
"""Files that record a run's own timing; digested and verified, but no part of the data version."""


class VerifiedFilesIOManager(dg.IOManager):
    """Values are folders of files: a :class:`StagedFolder` going out, verified files coming in."""

    def __init__(self, data_root: Path) -> None:
        """Keep the data root that all partitions live under."""
        self.data_root = data_root

    def handle_output(self, context: dg.OutputContext, obj: StagedFolder) -> None:
        """Publish the staged files; the digests in the catalog were taken from what was written."""
        records = obj.publish()
        main = max(records, key=lambda name: records[name].size_bytes)
        context.add_output_metadata(
            {
                "folder": dg.MetadataValue.path(str(obj.folder)),
                "path": dg.MetadataValue.path(str(obj.folder / main)),
                "sha256": records[main].sha256,
                "size_bytes": sum(record.size_bytes for record in records.values()),
            }
        )

    def load_input(self, context: dg.InputContext) -> PartitionFiles | dict[str, PartitionFiles]:
        """Verified files of one upstream partition, or of several keyed by partition."""
        asset = context.asset_key.to_user_string()
        if not context.has_asset_partitions:
            return open_partition(context.instance, self.data_root, PartitionId(asset))  # pyright: ignore[reportArgumentType]
        keys = context.asset_partition_keys
        opened = {
            key: open_partition(context.instance, self.data_root, PartitionId(asset, key))  # pyright: ignore[reportArgumentType]
            for key in keys
        }
        wants_many = bool((context.definition_metadata or {}).get("many"))
        return opened if wants_many else opened[keys[0]]


def published_output(
    context: dg.AssetExecutionContext,
    stage: StagedFolder,
    *,
    parameter_hash: str,
    upstream: list[PartitionFiles],
    metadata: dict,
) -> dg.Output:
    """The output of a file-backed asset: staged files, content digest as data version, provenance."""
    records = stage.records()
    version = content_digest(records, VOLATILE_FILES)
    entry = CatalogEntry(
        storage_id=0,
        run_id=context.run_id,
        data_version=version,
        parameter_hash=parameter_hash,
        code_version=code_version_of(context),
        upstream={str(item.item): item.data_version for item in upstream},
        files=records,
    )
    provenance = dg.MetadataValue.json(entry.provenance)
    return dg.Output(stage, data_version=dg.DataVersion(version), metadata={**metadata, PROVENANCE: provenance})


def record_skip(
    context: dg.AssetExecutionContext, reason: str, *, parameter_hash: str, upstream: list[PartitionFiles]
) -> None:
    """Put a skip with its reason into the catalog; under the same parameters it counts as done."""
    entry = CatalogEntry(
        storage_id=0,
        run_id=context.run_id,
        data_version=f"skipped: {reason}",
        parameter_hash=parameter_hash,
        code_version=code_version_of(context),
        upstream={str(item.item): item.data_version for item in upstream},
        files={},
        skip_reason=reason,
    )
    context.log.warning(f"skipped: {reason}")
    context.log_event(
        dg.AssetObservation(
            asset_key=context.asset_key,
            partition=context.partition_key if context.has_partition_key else None,
            description=f"skipped: {reason}",
            metadata={"skip_reason": reason, PROVENANCE: dg.MetadataValue.json(entry.provenance)},
        )
    )


def code_version_of(context: dg.AssetExecutionContext) -> str:
    """The running asset's own code version."""
    return context.assets_def.code_versions_by_key[context.asset_key] or ""
