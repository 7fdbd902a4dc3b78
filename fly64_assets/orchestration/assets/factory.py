"""Turns a node of the graph and a body into a Dagster asset: inputs, partition mappings, configuration, publishing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from fly64_assets.orchestration.assets.launchpad import NO_OVERRIDES, Overrides
from fly64_assets.orchestration.catalog.io_manager import OPTIONAL
from fly64_assets.orchestration.catalog.publishing import Metadata, PartitionRun, Publication
from fly64_assets.orchestration.graph.columns import described
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.study_graph import AssetNode, Read
from fly64_assets.orchestration.graph.workspace import Workspace

Body = Callable[[PartitionRun[Any]], Metadata]


@dataclass(frozen=True)
class Made:
    """How an asset is made.

    Attributes:
        body: computes it; its docstring is the asset's description.
        group: shelf in the catalog.
        kinds: marks in the catalog.
        overrides: what a single run may change; none by default.
        pool: Dagster pool that limits how many run at once.
    """

    body: Body
    group: str
    kinds: frozenset[str]
    overrides: Overrides = NO_OVERRIDES
    pool: str | None = None


def study_asset(node: AssetNode, made: Made, partitions: StudyPartitions, code_version: str) -> dg.AssetsDefinition:
    """The asset of a node."""
    definitions = {"whole": None, "dose": partitions.dose, "cell": partitions.dose_and_view}
    sources = {_argument(read): read.asset for read in node.reads}

    @dg.asset(
        key=node.name.split("/"),
        ins={name: _asset_in(read) for name, read in zip(sources, node.reads, strict=True)},
        partitions_def=definitions[node.partitioning],
        group_name=made.group,
        kinds=set(made.kinds),
        code_version=code_version,
        io_manager_key="files",
        config_schema=made.overrides.schema,
        pool=made.pool,
        output_required=False,
        description=made.body.__doc__,
        metadata=described(node),
    )
    def asset(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        **inputs: Any,
    ) -> Iterator[dg.Output]:
        item = workspace.item(context, node.name)
        config = context.op_execution_context.op_config or {}
        parameters = made.overrides.applied(workspace.graph.parameters(item), config)
        found = {sources[name]: files for name, files in inputs.items()}
        publication = Publication(context, workspace, item, parameters, found)
        with publication.run() as (run, publish):
            publish(made.body(run))
            yield from publication.outputs  # in here, so that a failed publication discards what was staged
            return
        yield from publication.outputs

    return asset


def _argument(read: Read) -> str:
    return read.asset.replace("/", "__")


def _asset_in(read: Read) -> dg.AssetIn:
    key = read.asset.split("/")
    match read.how:
        case "whole":
            return dg.AssetIn(key=key)
        case "dose":
            return dg.AssetIn(key=key, partition_mapping=dg.MultiToSingleDimensionPartitionMapping("dose"))
        case "all":
            return dg.AssetIn(key=key, partition_mapping=dg.AllPartitionMapping(), metadata={OPTIONAL: True})
        case "cell":
            return dg.AssetIn(key=key, partition_mapping=_cells(read.views))


def _cells(views: Mapping[str, str]) -> dg.PartitionMapping:
    """From the reader's views to those that it reads, at the same dose."""
    readers: dict[str, set[str]] = {}
    for reader, read in views.items():
        readers.setdefault(read, set()).add(reader)
    return dg.MultiPartitionMapping(
        {
            "dose": dg.DimensionPartitionMapping("dose", dg.IdentityPartitionMapping()),
            "view": dg.DimensionPartitionMapping("view", dg.StaticPartitionMapping(readers)),
        }
    )
