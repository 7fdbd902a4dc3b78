"""Puts partitions into a real instance's catalog without computing them: files, digests, provenance, check verdicts."""

from pathlib import Path

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluation,
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import AssetObservationData, DagsterEvent, StepMaterializationData
from dagster._core.instance.utils import RUNLESS_RUN_ID
from dagster._core.utils import make_new_run_id

from fly64_assets.orchestration.catalog.entries import PROVENANCE, CatalogEntry, latest_entry
from fly64_assets.orchestration.catalog.freshness import Freshness
from fly64_assets.orchestration.code_location import code_versions
from fly64_assets.orchestration.graph.checks import blocking_checks
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.storage import content_digest, record_of, sha256_of
from fly64_assets.study import Study


class CatalogBuilder:
    """Writes catalog entries as a finished run would."""

    def __init__(self, study: Study, instance: dg.DagsterInstance, data_root: Path) -> None:
        self.study, self.instance, self.data_root = study, instance, data_root
        self.graph = StudyGraph(study)
        self.code_versions = code_versions(self.graph)

    def freshness(self, study: Study | None = None) -> Freshness:
        graph = self.graph if study is None else StudyGraph(study)
        return Freshness(graph, self.instance, self.data_root, code_versions(graph))

    def materialize(
        self,
        item: PartitionId,
        content: bytes | dict[str, bytes] | None = None,
        *,
        passed: bool = True,
        upstream: dict[str, str] | None = None,
        skip_reason: str | None = None,
    ) -> CatalogEntry:
        folder = self.data_root / item.folder
        folder.mkdir(parents=True, exist_ok=True)
        contents = content if isinstance(content, dict) else {"file.bin": content or str(item).encode() * 50}
        for name, written in contents.items():
            (folder / name).write_bytes(written)
        files = {name: record_of(folder / name) for name in contents}
        entry = CatalogEntry(
            storage_id=0,
            run_id="",
            data_version=content_digest(files),
            parameter_hash=self.graph.parameter_digest(item),
            code_version=self.code_versions[item.asset],
            upstream=self._versions(item) if upstream is None else upstream,
            files=files,
            skip_reason=skip_reason,
        )
        run_id = make_new_run_id() if latest_entry(self.instance, item) else RUNLESS_RUN_ID
        materialization = dg.AssetMaterialization(
            item.asset_key, partition=item.partition, metadata={PROVENANCE: dg.MetadataValue.json(entry.provenance)}
        )
        self._report(dg.DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(materialization), run_id)
        written = latest_entry(self.instance, item)
        assert written is not None
        self.check(item, written, passed=passed)
        return written

    def skip(self, item: PartitionId, reason: str) -> None:
        """What a run leaves that made nothing, and says why."""
        version, digest = f"skipped: {reason}", self.graph.parameter_digest(item)
        entry = CatalogEntry(0, "", version, digest, self.code_versions[item.asset], self._versions(item), {}, reason)
        observation = dg.AssetObservation(
            item.asset_key, partition=item.partition, metadata={PROVENANCE: dg.MetadataValue.json(entry.provenance)}
        )
        self._report(dg.DagsterEventType.ASSET_OBSERVATION, AssetObservationData(observation), RUNLESS_RUN_ID)

    def _versions(self, item: PartitionId) -> dict[str, str]:
        found = {str(source): latest_entry(self.instance, source) for source in self.graph.upstream(item)}
        return {name: entry.data_version for name, entry in found.items() if entry is not None}

    def check(self, item: PartitionId, entry: CatalogEntry, *, passed: bool, again: bool = False) -> None:
        for name in blocking_checks(item.asset):
            target = AssetCheckEvaluationTargetMaterializationData(
                storage_id=entry.storage_id, run_id=entry.run_id, timestamp=0.0
            )
            evaluation = AssetCheckEvaluation(
                asset_key=item.asset_key,
                check_name=name,
                passed=passed,
                description="made to fail." if not passed else None,
                target_materialization_data=target,
                blocking=True,
                partition=item.partition,
            )
            run_id = make_new_run_id() if entry.run_id or again else RUNLESS_RUN_ID
            self._report(dg.DagsterEventType.ASSET_CHECK_EVALUATION, evaluation, run_id)

    def plan_checks(self, item: PartitionId) -> None:
        """What a run over a cell's asset leaves that failed before its checks."""
        cells = StudyPartitions(self.study).dose_and_view
        for name in blocking_checks(item.asset):
            subset = cells.subset_with_partition_keys([str(item.partition)])
            planned = AssetCheckEvaluationPlanned(asset_key=item.asset_key, check_name=name, partitions_subset=subset)
            self._report(dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED, planned, make_new_run_id())

    def _report(self, kind: dg.DagsterEventType, data: object, run_id: str) -> None:
        event = DagsterEvent(event_type_value=kind.value, event_specific_data=data, job_name="__ASSET_JOB")
        self.instance.report_dagster_event(event, run_id=run_id)

    def start_run(
        self,
        item: PartitionId,
        status: dg.DagsterRunStatus,
        tags: dict[str, str] | None = None,
        job: str | None = None,
    ) -> str:
        partition = {} if item.partition is None else {"dagster/partition": item.partition}
        run = dg.DagsterRun(
            job_name=job or "__ASSET_JOB",
            status=status,
            asset_selection=None if job else frozenset({item.asset_key}),
            tags={**partition, **(tags or {})},
        )
        self.instance.add_run(run)
        return run.run_id


def flip_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    before = sha256_of(path)
    path.write_bytes(bytes(content))
    assert sha256_of(path) != before
