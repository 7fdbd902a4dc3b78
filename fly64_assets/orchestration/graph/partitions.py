"""Partitions of the graph: one asset partition, and Dagster's definitions of a study's doses and views."""

from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from fly64_assets.study import Study, split_partition


@dataclass(frozen=True, order=True)
class PartitionId:
    """One asset partition; ``partition`` is None where the asset is not partitioned."""

    asset: str
    partition: str | None = None

    def __str__(self) -> str:
        """The way messages name it, e.g. ``trained_bundle[1000|dense]``."""
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"

    @property
    def asset_key(self) -> dg.AssetKey:
        """Dagster's key."""
        return dg.AssetKey(self.asset.split("/"))

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
