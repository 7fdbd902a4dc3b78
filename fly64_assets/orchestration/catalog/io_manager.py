"""Publishes staged files on output and lets nothing through the gate unverified on input."""

from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.catalog.entries import latest_entry
from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles, open_partition
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.storage import StagedFolder

OPTIONAL = "optional"
"""Metadata of an input that opens only the partitions that have been made."""


class VerifiedFilesIOManager(dg.IOManager):
    """Values are folders of files: a :class:`StagedFolder` going out, verified files coming in, by partition."""

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

    def load_input(self, context: dg.InputContext) -> dict[str | None, PartitionFiles]:
        """Verified files of the upstream partitions that the graph names, keyed by partition."""
        try:
            return self._load(context)
        except GateRefusedError as refusal:
            repeat_at_the_end(str(refusal))
            raise

    def _load(self, context: dg.InputContext) -> dict[str | None, PartitionFiles]:
        asset = context.asset_key.to_user_string()
        keys = list(context.asset_partition_keys) if context.has_asset_partitions else [None]
        items = [PartitionId(asset, key) for key in keys]
        if (context.definition_metadata or {}).get(OPTIONAL):
            items = [item for item in items if latest_entry(context.instance, item) is not None]
        return {item.partition: open_partition(context.instance, self.data_root, item) for item in items}
