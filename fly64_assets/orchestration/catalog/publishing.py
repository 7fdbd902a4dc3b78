"""How an asset's files reach the catalog: one context stages them, and publishes, skips or discards.

A body receives a :class:`PartitionRun`: its parameters, its verified inputs, and names to write to. It returns what the
catalog shows of the result, or raises :class:`NotHereError` or :class:`UntrainableError` with the reason.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import dagster as dg

from fly64_assets.orchestration.catalog.entries import PROVENANCE, CatalogEntry, latest_entry
from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.ledger import TrainingLedger
from fly64_assets.orchestration.catalog.metadata import Metadata
from fly64_assets.orchestration.catalog.run_history import why_missing
from fly64_assets.orchestration.dagster_internals import disable_dagster_warnings
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.options import ExecutionOptions
from fly64_assets.science.records import ProgressListener
from fly64_assets.storage import FileRecord, StagedFolder, content_digest, digest_of, staged
from fly64_assets.study.parameters import Parameters

Read = TypeVar("Read", bound=Parameters, covariant=True)


class NotHereError(Exception):
    """A method has no place in this cell; the others go on. The message is the reason."""


class UntrainableError(Exception):
    """The cell's data cannot carry what was asked; nothing below is made either. The message is the reason."""


@dataclass(frozen=True)
class PartitionRun(Generic[Read]):
    """What the body of an asset works with.

    Attributes:
        item: the partition.
        parameters: all that it may know of the study.
        inputs: upstream asset to its verified files, by partition.
        log: the run's log.
        progress: listener for long work.
        execution: how long work is executed; changes no result.
        code_version: of the asset.
        ledger: the manifest of trainings.
        why_missing: why a cell has no scores, as far as its runs tell: "failed" or "missing", and the reason.
    """

    item: PartitionId
    parameters: Read
    inputs: Mapping[str, Mapping[str | None, PartitionFiles]]
    log: dg.DagsterLogManager
    progress: ProgressListener
    execution: ExecutionOptions
    code_version: str
    ledger: TrainingLedger
    why_missing: Callable[[str], tuple[str, str]]
    _stage: StagedFolder
    _work_dir: Callable[[str], Path]

    def files(self, asset: str) -> PartitionFiles:
        """The one partition of an asset that this one reads."""
        (found,) = self.inputs[asset].values()
        return found

    def path(self, name: str) -> Path:
        """Where to write a file of this partition."""
        return self._stage.path(name)

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON-ready data, the same bytes for the same value."""
        self.path(name).write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def records(self) -> dict[str, FileRecord]:
        """Digest and size of everything written so far."""
        return self._stage.records()

    def work_dir(self, identity: Any) -> Path:
        """A folder that outlives a killed run of the same identity."""
        return self._work_dir(digest_of(identity))

    @property
    def folder(self) -> str:
        """The partition's folder, relative to the data root."""
        return self.item.folder


@dataclass
class Publication:
    """One run of a partition on its way into the catalog."""

    context: dg.AssetExecutionContext
    workspace: Workspace
    item: PartitionId
    parameters: Parameters
    inputs: Mapping[str, Mapping[str | None, PartitionFiles]]
    outputs: list[dg.Output] = field(default_factory=list)

    @contextlib.contextmanager
    def run(self) -> Iterator[tuple[PartitionRun, Callable[[Metadata], None]]]:
        """The run for a body, and what to call with its metadata; the staged files are discarded if the body raises."""
        with staged(self.workspace.data_root / self.item.folder) as stage:
            run = PartitionRun(
                item=self.item,
                parameters=self.parameters,
                inputs=self.inputs,
                log=self.context.log,
                progress=self.workspace.progress(self.context.log),
                execution=self.workspace.graph.study.execution,
                code_version=self._code_version(self.item),
                ledger=TrainingLedger(self.workspace.data_root),
                why_missing=lambda cell: why_missing(self.context.instance, self.workspace.graph, cell),
                _stage=stage,
                _work_dir=lambda digest: self.workspace.work_dir(self.item, digest),
            )
            try:
                yield run, lambda metadata: self.outputs.append(self._output(stage, metadata))
            except NotHereError as reason:
                run.write_json(files.NOT_HERE, {"reason": str(reason)})
                self.context.log.info(f"not here: {reason}")
                self.outputs.append(self._output(stage, {"skip_reason": str(reason)}, str(reason)))
            except UntrainableError as reason:
                stage.discard()
                self._record_skip(str(reason))

    def _output(self, stage: StagedFolder, metadata: Metadata, skip_reason: str | None = None) -> dg.Output:
        records = stage.records()
        version = content_digest(records, files.VOLATILE)
        entry = self._entry(self.item, version, self.parameters.digest, self._read_versions(), records, skip_reason)
        provenance = {PROVENANCE: dg.MetadataValue.json(entry.provenance)}
        with disable_dagster_warnings():  # data_version is a beta parameter
            return dg.Output(stage, data_version=dg.DataVersion(version), metadata={**metadata, **provenance})

    def _read_versions(self) -> dict[str, str]:
        read = self.workspace.graph.file_read
        return {
            str(found.item): found.version_of(read(self.item.asset, found.item))
            for each in self.inputs.values()
            for found in each.values()
        }

    def _entry(
        self,
        item: PartitionId,
        version: str,
        parameter_digest: str,
        upstream: dict[str, str],
        records: dict[str, FileRecord],
        skip_reason: str | None,
    ) -> CatalogEntry:
        return CatalogEntry(
            storage_id=0,
            run_id=self.context.run.run_id,
            data_version=version,
            parameter_hash=parameter_digest,
            code_version=self._code_version(item),
            upstream=upstream,
            files=records,
            skip_reason=skip_reason,
        )

    def _code_version(self, item: PartitionId) -> str:
        layer = self.context.op_execution_context.job_def.asset_layer
        return layer.get(item.asset_key).code_version or ""

    def _record_skip(self, reason: str) -> None:
        """Put a skip into the catalog; under the same parameters it counts as done.

        Dagster leaves out the steps below one without output, so the skips of the assets below that the same run was
        to make are recorded here too.
        """
        self.context.log.warning(f"skipped: {reason}")
        self._observe(self.item, reason, self.parameters.digest, self._read_versions())
        graph = self.workspace.graph
        layer = self.context.op_execution_context.job_def.asset_layer
        selected = {key.to_user_string() for key in layer.selected_asset_keys}
        skipped = {self.item}
        for asset in graph.cell_assets:
            below = PartitionId(asset, self.item.partition)
            reads = [PartitionId(read.asset, below.partition) for read in graph.node(asset).reads if read.how == "cell"]
            if asset not in selected or below in skipped or skipped.isdisjoint(reads):
                continue
            skipped.add(below)
            self._observe(below, reason, graph.parameter_digest(below), self._versions_of(below, skipped, reason))

    def _versions_of(self, below: PartitionId, skipped: set[PartitionId], reason: str) -> dict[str, str]:
        """Data versions of what a skipped asset would have read; this run's other skips may not be recorded yet."""
        versions = {}
        for source in self.workspace.graph.upstream(below):
            entry = latest_entry(self.context.instance, source)
            if source in skipped:
                versions[str(source)] = _skip_version(reason)
            elif entry is not None:
                versions[str(source)] = entry.version_of(self.workspace.graph.file_read(below.asset, source))
        return versions

    def _observe(self, item: PartitionId, reason: str, parameter_digest: str, upstream: dict[str, str]) -> None:
        entry = self._entry(item, _skip_version(reason), parameter_digest, upstream, {}, reason)
        self.context.log_event(
            dg.AssetObservation(
                asset_key=item.asset_key,
                partition=item.partition,
                description=f"skipped: {reason}",
                metadata={"skip_reason": reason, PROVENANCE: dg.MetadataValue.json(entry.provenance)},
            )
        )


def _skip_version(reason: str) -> str:
    return f"skipped: {reason}"
