"""Partitions of the graph, and which partition needs which: dose, and dose x view."""

from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import dagster as dg

from fly64_assets.study import BASELINE_VIEW, AssetName, Study, split_partition

GRAPH: tuple[AssetName, ...] = get_args(AssetName)
"""All assets, upstream before downstream."""

CELL_ASSETS: tuple[AssetName, ...] = GRAPH[2:7]
"""The assets of one cell, that is of one dose and view."""


@dataclass(frozen=True, order=True)
class PartitionId:
    """One asset partition; ``partition`` is None where the asset is not partitioned."""

    asset: AssetName
    partition: str | None = None

    def __str__(self) -> str:
        """The way messages name it, e.g. ``trained_bundle[1000|dense]``."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    @property
    def asset_key(self) -> dg.AssetKey:
        """Dagster's key."""
        return dg.AssetKey(self.asset)

    @property
    def command(self) -> str:
        """The shell command that materializes it; an empty partition overrides the shell's default one."""
        return f"dagster asset materialize --select {self.asset} --partition '{self.partition or ''}'"

    @property
    def folder(self) -> str:
        """Folder under the data root."""
        dose, view = split_partition(self.partition)
        return "/".join(part for part in (self.asset, dose and f"dose_{dose}", view) if part)


@dataclass(frozen=True)
class StudyPartitions:
    """Dagster's partition definitions for a study."""

    study: Study

    @cached_property
    def dose(self) -> dg.StaticPartitionsDefinition:
        """One partition per dose."""
        return dg.StaticPartitionsDefinition(self.study.dose_keys)

    @cached_property
    def dose_and_view(self) -> dg.MultiPartitionsDefinition:
        """One partition per dose and view; every view-level asset shares this definition."""
        return dg.MultiPartitionsDefinition(
            {"dose": self.dose, "view": dg.StaticPartitionsDefinition(list(self.study.views))}
        )

    @cached_property
    def own_and_baseline(self) -> dg.MultiPartitionMapping:
        """From a cell to its own bundle and to the baseline bundle of its dose."""
        users = {view: {view} for view in self.study.views}
        users[BASELINE_VIEW] = set(self.study.views)
        return dg.MultiPartitionMapping(
            {
                "dose": dg.DimensionPartitionMapping("dose", dg.IdentityPartitionMapping()),
                "view": dg.DimensionPartitionMapping("view", dg.StaticPartitionMapping(users)),
            }
        )


def partitions_of(study: Study, asset: AssetName) -> list[PartitionId]:
    """All partitions of an asset; the baseline cell of a dose comes before the others."""
    match asset:
        case "scan" | "study_report":
            return [PartitionId(asset)]
        case "simulated_dataset":
            return [PartitionId(asset, dose) for dose in study.dose_keys]
    views = sorted(study.views, key=lambda view: view != BASELINE_VIEW)
    return [PartitionId(asset, f"{dose}|{view}") for dose in study.dose_keys for view in views]


def upstream_of(study: Study, item: PartitionId) -> list[PartitionId]:
    """The partitions that one partition reads."""
    cell = item.partition
    dose, _ = split_partition(cell)
    match item.asset:
        case "scan":
            return []
        case "simulated_dataset":
            return [PartitionId("scan")]
        case "overlap_view":
            return [PartitionId("simulated_dataset", dose)]
        case "trained_bundle":
            return [PartitionId("overlap_view", cell)]
        case "pty_chi_reconstruction":
            start = [PartitionId("network_reconstruction", cell)] if study.pty_chi.start == "pinn" else []
            return [PartitionId("overlap_view", cell), *start]
        case "network_reconstruction":
            baseline = f"{dose}|{BASELINE_VIEW}"
            bundles = [cell] if cell == baseline else [baseline, cell]
            return [PartitionId("overlap_view", cell), *(PartitionId("trained_bundle", key) for key in bundles)]
        case "comparison_metrics":
            return [PartitionId("overlap_view", cell), *_reconstructions(cell)]
        case "study_report":
            return partitions_of(study, "comparison_metrics")


def _reconstructions(cell: str | None) -> list[PartitionId]:
    return [PartitionId("network_reconstruction", cell), PartitionId("pty_chi_reconstruction", cell)]
