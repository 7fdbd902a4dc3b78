"""Publishes staged files on output and lets nothing through the gate unverified on input."""

from pathlib import Path

import dagster as dg
from dagster_shared.utils.warnings import disable_dagster_warnings

from fly64_assets.orchestration.catalog.entries import PROVENANCE, CatalogEntry, latest_entry
from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles, open_partition
from fly64_assets.orchestration.graph.partitions import CELL_ASSETS, PartitionId, upstream_of
from fly64_assets.storage import StagedFolder, content_digest
from fly64_assets.study import Study

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
            repeat_at_the_end(str(refusal))
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
        run_id=context.run.run_id,
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
    """Put a skip with its reason into the catalog; under the same parameters it counts as done.

    Dagster leaves out the steps below one without output, so the skips of the assets below that the
    same run was to make are recorded here too.
    """
    item = PartitionId(context.asset_key.to_user_string(), context.partition_key)  # pyright: ignore[reportArgumentType]
    context.log.warning(f"skipped: {reason}")
    versions = {str(source.item): source.data_version for source in upstream}
    _observe_skip(context, item, reason, parameter_hash, versions)
    study: Study = context.resources.workspace.study
    selected = {key.to_user_string() for key in context.op_execution_context.job_def.asset_layer.selected_asset_keys}
    skipped = {item}
    for below in (PartitionId(asset, item.partition) for asset in CELL_ASSETS if asset in selected):
        sources = upstream_of(study, below)
        if skipped.isdisjoint(sources):
            continue
        skipped.add(below)
        hash_below = study.parameter_hash(below.asset, below.partition)
        _observe_skip(context, below, reason, hash_below, _versions_of(context, sources, item, selected, reason))


def _versions_of(
    context: dg.AssetExecutionContext, sources: list[PartitionId], item: PartitionId, selected: set[str], reason: str
) -> dict[str, str]:
    """Data versions of what a skipped asset would have read; this run's other skips may not be recorded yet."""
    versions = {}
    for source in sources:
        entry = latest_entry(context.instance, source)
        if source.partition == item.partition and source.asset in selected and source.asset != "overlap_view":
            versions[str(source)] = _skip_version(reason)
        elif entry is not None:
            versions[str(source)] = entry.data_version
    return versions


def _observe_skip(
    context: dg.AssetExecutionContext, item: PartitionId, reason: str, parameter_hash: str, upstream: dict[str, str]
) -> None:
    entry = CatalogEntry(
        storage_id=0,
        run_id=context.run.run_id,
        data_version=_skip_version(reason),
        parameter_hash=parameter_hash,
        code_version=context.op_execution_context.job_def.asset_layer.get(item.asset_key).code_version or "",
        upstream=upstream,
        files={},
        skip_reason=reason,
    )
    context.log_event(
        dg.AssetObservation(
            asset_key=item.asset_key,
            partition=item.partition,
            description=f"skipped: {reason}",
            metadata={"skip_reason": reason, PROVENANCE: dg.MetadataValue.json(entry.provenance)},
        )
    )


def _skip_version(reason: str) -> str:
    return f"skipped: {reason}"


def code_version_of(context: dg.AssetExecutionContext) -> str:
    """The running asset's own code version."""
    return context.assets_def.code_versions_by_key[context.asset_key] or ""
