"""Which partitions are fresh, stale or missing, and why: ``fly64 study``, the schedule and the sensor all ask it.

A partition is fresh when its catalog entry was made under the current parameters, by the current
code, from the current content of every upstream partition, its files are as they were written,
and its blocking checks passed on this very version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import dagster as dg

from fly64_assets.orchestration.catalog.entries import (
    CatalogEntry,
    check_faults,
    latest_entries,
    latest_entry,
    vouched_versions,
)
from fly64_assets.orchestration.catalog.gate import changed_files
from fly64_assets.orchestration.graph.checks import blocking_checks
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph

Status = Literal["fresh", "skipped", "missing", "stale"]


@dataclass(frozen=True)
class PartitionState:
    """Verdict on one partition.

    Attributes:
        item: which partition.
        status: fresh and skipped need nothing; missing and stale must run.
        reasons: why it is stale or skipped, one clause each.
    """

    item: PartitionId
    status: Status
    reasons: tuple[str, ...] = ()

    @property
    def must_run(self) -> bool:
        """Whether there is work to do."""
        return self.status in ("missing", "stale")


@dataclass
class Freshness:
    """Judges partitions of a study against a catalog; entries may be read in bulk beforehand.

    Attributes:
        graph: who reads what, and under which parameters.
        instance: the catalog.
        data_root: where the files are.
        code_versions: asset name to its current code version.
        sizes_only: compare sizes of files instead of contents; for ticks over many partitions.
    """

    graph: StudyGraph
    instance: dg.DagsterInstance
    data_root: Path
    code_versions: Mapping[str, str]
    sizes_only: bool = False
    _entries: dict[str, dict[str | None, CatalogEntry]] = field(default_factory=dict)
    _vouched: dict[str, dict[str | None, set[int]]] = field(default_factory=dict)

    def snapshot(self) -> "Freshness":
        """The same judge over the catalog as it is now, read in bulk: for plans over many partitions."""
        return replace(
            self,
            _entries={asset: latest_entries(self.instance, asset) for asset in self.graph.nodes},
            _vouched={
                asset: vouched_versions(self.instance, asset, names)
                for asset in self.graph.nodes
                if (names := blocking_checks(asset))
            },
        )

    def entry(self, item: PartitionId) -> CatalogEntry | None:
        """Latest catalog entry of a partition."""
        if self._entries:
            return self._entries[item.asset].get(item.partition)
        return latest_entry(self.instance, item)

    def _check_faults(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        if entry.storage_id in self._vouched.get(item.asset, {}).get(item.partition, ()):
            return []
        return check_faults(self.instance, item, entry, blocking_checks(item.asset))

    def state(self, item: PartitionId) -> PartitionState:
        """The verdict on one partition, from what is in the catalog and on disk now."""
        entry = self.entry(item)
        if entry is None:
            return PartitionState(item, "missing")
        reasons = self._parameter_reasons(item, entry) + self._upstream_reasons(item, entry)
        if not reasons:
            reasons = changed_files(self.data_root / item.folder, entry, sizes_only=self.sizes_only)
            if entry.skip_reason is None:
                reasons += self._check_faults(item, entry)
        if reasons:
            return PartitionState(item, "stale", tuple(reasons))
        if entry.skip_reason is not None:
            return PartitionState(item, "skipped", (entry.skip_reason,))
        return PartitionState(item, "fresh")

    def _parameter_reasons(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        reasons = []
        if entry.parameter_hash != self.graph.parameter_digest(item):
            reasons.append("its parameters changed")
        if entry.code_version != self.code_versions.get(item.asset, ""):
            reasons.append("its code changed")
        return reasons

    def _upstream_reasons(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        present = {}
        for source in self.graph.upstream(item):
            made = self.entry(source)
            if made is not None:
                present[str(source)] = made.version_of(self.graph.file_read(item.asset, source))
        reasons = []
        for name, version in present.items():
            if name not in entry.upstream:
                reasons.append(f"{name} is new")
            elif entry.upstream[name] != version:
                reasons.append(f"{name} changed")
        return reasons


def plan(
    freshness: Freshness, selected: list[PartitionId], *, carried: tuple[Status, ...] = ("missing", "stale")
) -> list[PartitionState]:
    """States of the selected partitions, upstream first, with staleness carried downstream.

    A fresh partition below one that must run is listed as stale "if" its upstream changes: after the
    upstream's run its content digest decides.

    Args:
        freshness: judges each partition.
        selected: partitions, upstream first.
        carried: states of upstream partitions that make what is below them stale.
    """
    states: dict[PartitionId, PartitionState] = {}
    freshness = freshness.snapshot()
    for item in selected:
        state = freshness.state(item)
        if not state.must_run:
            rebuilt = [source for source in freshness.graph.upstream(item) if source in states]
            rebuilt = [source for source in rebuilt if states[source].status in carried]
            if rebuilt:
                names = ", ".join(str(source) for source in rebuilt)
                state = PartitionState(item, "stale", (f"if {names} changes when it is rebuilt",))
        states[item] = state
    return list(states.values())
