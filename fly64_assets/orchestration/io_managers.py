"""Publishes staged files on output and lets nothing through the gate unverified on input."""

import atexit
import sys
from pathlib import Path

import click
import dagster as dg
from dagster_shared.utils.warnings import disable_dagster_warnings

from fly64_assets.orchestration.catalog import PROVENANCE, CatalogEntry, latest_entry
from fly64_assets.orchestration.gates import GateRefusedError, PartitionFiles, open_partition
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
        try:
            return self._load(context)
        except GateRefusedError as refusal:
            _repeat_at_the_end(str(refusal))
            raise

    def _load(self, context: dg.InputContext) -> PartitionFiles | dict[str, PartitionFiles]:
        asset = context.asset_key.to_user_string()
        if not context.has_asset_partitions:
            return open_partition(context.instance, self.data_root, PartitionId(asset))  # pyright: ignore[reportArgumentType]
        wanted = context.definition_metadata or {}
        items = [PartitionId(asset, key) for key in context.asset_partition_keys]  # pyright: ignore[reportArgumentType]
        if wanted.get("optional"):
            items = [item for item in items if latest_entry(context.instance, item) is not None]
        opened = {str(item.partition): open_partition(context.instance, self.data_root, item) for item in items}
        return opened if wanted.get("many") else next(iter(opened.values()))


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
    with disable_dagster_warnings():  # data_version is a beta parameter
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


def _repeat_at_the_end(message: str) -> None:
    """On ``dagster asset materialize``, say why once more after the stack traces that Dagster prints."""
    if "materialize" in sys.argv[1:3]:
        atexit.register(click.echo, f"fly64: {message}", err=True)
