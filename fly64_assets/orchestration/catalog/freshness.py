"""One function decides whether a partition is fresh; the study command, the schedule and the sensor all ask it.

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
from fly64_assets.orchestration.catalog.gate import BLOCKING_CHECKS, changed_files
from fly64_assets.orchestration.graph.partitions import CELL_ASSETS, GRAPH, PartitionId, partitions_of, upstream_of
from fly64_assets.study import Study

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
        study: what is asked.
        instance: the catalog.
        data_root: where the files are.
        code_versions: asset name to its current code version.
        sizes_only: compare sizes of files instead of contents; for ticks over many partitions.
    """

    study: Study
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
            _entries={asset: latest_entries(self.instance, asset) for asset in GRAPH},
            _vouched={asset: vouched_versions(self.instance, asset, names) for asset, names in BLOCKING_CHECKS.items()},
        )

    def entry(self, item: PartitionId) -> CatalogEntry | None:
        """Latest catalog entry of a partition."""
        if self._entries:
            return self._entries[item.asset].get(item.partition)
        return latest_entry(self.instance, item)

    def _check_faults(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        if entry.storage_id in self._vouched.get(item.asset, {}).get(item.partition, ()):
            return []
        return check_faults(self.instance, item, entry, BLOCKING_CHECKS.get(item.asset, ()))

    def state(self, item: PartitionId) -> PartitionState:
        """The verdict on one partition, from what is in the catalog and on disk now."""
        entry = self.entry(item)
        if entry is None:
            return PartitionState(item, "missing")
        reasons = self._parameter_reasons(item, entry) + self._upstream_reasons(item, entry)
        if not reasons and entry.skip_reason is None:
            reasons = changed_files(self.data_root / item.folder, entry, sizes_only=self.sizes_only)
            reasons += self._check_faults(item, entry)
        if reasons:
            return PartitionState(item, "stale", tuple(reasons))
        if entry.skip_reason is not None:
            return PartitionState(item, "skipped", (entry.skip_reason,))
        return PartitionState(item, "fresh")

    def _parameter_reasons(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        reasons = []
        if entry.parameter_hash != self.study.parameter_hash(item.asset, item.partition):
            reasons.append("its parameters changed")
        current = self.code_versions.get(item.asset, "")
        if entry.code_version != current:
            reasons.append(f"its code version changed from {entry.code_version} to {current}")
        return reasons

    def _upstream_reasons(self, item: PartitionId, entry: CatalogEntry) -> list[str]:
        reasons = []
        present = {}
        for source in upstream_of(self.study, item):
            made = self.entry(source)
            if made is not None:
                present[str(source)] = made.data_version
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
            rebuilt = [source for source in upstream_of(freshness.study, item) if source in states]
            rebuilt = [source for source in rebuilt if states[source].status in carried]
            if rebuilt:
                names = ", ".join(str(source) for source in rebuilt)
                state = PartitionState(item, "stale", (f"if {names} changes when it is rebuilt",))
        states[item] = state
    return list(states.values())


def select_partitions(
    study: Study,
    *,
    doses: list[str] | None = None,
    views: list[str] | None = None,
    gridsize: int | None = None,
) -> list[PartitionId]:
    """Partitions that a request covers, upstream first, with all that they need.

    The baseline cell of a requested dose is always included: its bundle is compared in every cell.
    """
    wanted_doses = doses or study.dose_keys
    wanted_views = [
        view
        for view, options in study.views.items()
        if (views is None or view in views) and (gridsize is None or options.gridsize == gridsize)
    ]
    needed: set[PartitionId] = {PartitionId("study_report")}
    frontier = [PartitionId("comparison_metrics", f"{dose}|{view}") for dose in wanted_doses for view in wanted_views]
    while frontier:
        item = frontier.pop()
        if item not in needed:
            needed.add(item)
            frontier.extend(upstream_of(study, item))
    return [item for item in walk_order(study) if item in needed]


def walk_order(study: Study) -> list[PartitionId]:
    """All partitions, upstream first: scan, datasets, then cell by cell, the baseline cell of a dose first."""
    shared = [*partitions_of(study, "scan"), *partitions_of(study, "simulated_dataset")]
    cells = [
        PartitionId(asset, cell.partition) for cell in partitions_of(study, "overlap_view") for asset in CELL_ASSETS
    ]
    return [*shared, *cells, *partitions_of(study, "study_report")]
