"""The graph of a study, written once: its assets, who reads what, what each may know of the study, what judges it.

Dagster's inputs, partition mappings, checks and code versions, the freshness walk, jobs and priorities all come from
the nodes here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.science.methods.record import METHOD_KINDS
from fly64_assets.science.metrics.record import METRICS
from fly64_assets.science.networks.record import NETWORKS
from fly64_assets.science.options import CheckOptions, TrainingOptions
from fly64_assets.storage import digest_of
from fly64_assets.study import Study, split_partition
from fly64_assets.study.parameters import (
    Parameters,
    comparison_parameters,
    dataset_parameters,
    input_digest,
    probe_training_parameters,
    reconstruction_parameters,
    report_parameters,
    scan_parameters,
    training_parameters,
    view_parameters,
)

SCAN = "scan"
DATASET = "simulated_dataset"
VIEW = "overlap_view"
BUNDLE = "trained_bundle"
TRAINING = "training"
RECONSTRUCTION = "reconstruction"
COMPARISON = "comparison_metrics"
REPORT = "study_report"

_RECONSTRUCTION_MODULES = (
    "fly64_assets.science.methods.following",
    "fly64_assets.science.metrics.explanation",
    "fly64_assets.science.interop.ptychodus",
)
_COMPARISON_MODULES = (
    "fly64_assets.science.metrics.scoring",
    "fly64_assets.science.metrics.trace",
    "fly64_assets.science.metrics.costs",
    "fly64_assets.science.figures.comparison",
)

Partitioning = Literal["whole", "dose", "cell"]


@dataclass(frozen=True)
class Read:
    """One asset that another reads.

    Attributes:
        asset: the upstream asset.
        how: "whole" (it has no partitions), "dose" (that of the reader's dose), "cell" (one of the same dose), or
            "all" (every partition that has been made).
        views: for "cell": the reader's view to the view that it reads; a view that is absent reads nothing.
        file: the one file that it reads, whose content alone decides freshness, "{view}" standing for the view of the
            partition that is read; None: the whole partition.
    """

    asset: str
    how: Literal["whole", "dose", "cell", "all"]
    views: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None


@dataclass(frozen=True)
class AssetNode:
    """One asset of the graph.

    Attributes:
        name: Dagster's key, with "/" between its parts.
        partitioning: along what it is divided.
        reads: what it reads.
        entries: modules whose code, with all that it imports, decides the code version.
        parameters: record of a partition's parameters, by dose and view ("" where there is none).
        method: the method that it trains or runs; None for the others.
        views: views in which it has a place; elsewhere it only says why not, and is never asked for.
    """

    name: str
    partitioning: Partitioning
    reads: tuple[Read, ...]
    entries: tuple[str, ...]
    parameters: Callable[[float, str], Parameters]
    method: str | None = None
    views: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The asset's sort: the first part of its name."""
        return self.name.split("/")[0]

    @property
    def trains(self) -> bool:
        """Whether it holds trained networks."""
        return self.family in (BUNDLE, TRAINING)


class StudyGraph:
    """The nodes of a study, upstream before downstream, and its partitions."""

    def __init__(self, study: Study) -> None:
        """Lay the graph out."""
        self.study = study
        self.nodes: dict[str, AssetNode] = {node.name: node for node in _nodes(study)}

    def node(self, asset: str) -> AssetNode:
        """The node of an asset.

        Raises:
            KeyError: the study has no such asset.
        """
        return self.nodes[asset]

    @cached_property
    def cell_assets(self) -> tuple[str, ...]:
        """The assets of one cell, that is of one dose and view, upstream first."""
        return tuple(node.name for node in self.nodes.values() if node.partitioning == "cell")

    @cached_property
    def probe_trainings(self) -> tuple[str, ...]:
        """Assets that train a network for the probe, once per study."""
        return tuple(node.name for node in self.nodes.values() if node.trains and node.partitioning == "whole")

    @cached_property
    def shared_views(self) -> frozenset[str]:
        """The views whose networks are applied to other views too."""
        pairs = (pair for node in self.nodes.values() for read in node.reads for pair in read.views.items())
        return frozenset(used for view, used in pairs if view != used)

    @cached_property
    def views_in_order(self) -> list[str]:
        """The views, first those whose networks other views apply."""
        return sorted(self.study.views, key=lambda view: view not in self.shared_views)

    def partitions(self, asset: str) -> list[PartitionId]:
        """All partitions of an asset that have a place in the study."""
        node = self.nodes[asset]
        match node.partitioning:
            case "whole":
                return [PartitionId(asset)]
            case "dose":
                return [PartitionId(asset, dose) for dose in self.study.dose_keys]
        views = [view for view in self.views_in_order if view in node.views]
        return [PartitionId(asset, f"{dose}|{view}") for dose in self.study.dose_keys for view in views]

    def upstream(self, item: PartitionId) -> tuple[PartitionId, ...]:
        """The partitions that one partition reads."""
        return self._upstream.setdefault(item, tuple(self._read_by(item)))

    def file_read(self, reader: str, source: PartitionId) -> str | None:
        """The one file of an upstream partition that an asset reads; None: all of it."""
        file = next((read.file for read in self.nodes[reader].reads if read.asset == source.asset), None)
        return file and file.format(view=split_partition(source.partition)[1])

    def downstream(self, item: PartitionId) -> tuple[PartitionId, ...]:
        """The partitions that read one partition."""
        return self._downstream.get(item, ())

    def parameters(self, item: PartitionId) -> Parameters:
        """Everything that a partition may know of the study."""
        dose, view = split_partition(item.partition)
        return self.nodes[item.asset].parameters(self.study.dose_of(dose) if dose else 0.0, view)

    def parameter_digest(self, item: PartitionId) -> str:
        """Digest of :meth:`parameters`; the scan's is asked for anew, as its input file may change."""
        if item.asset == SCAN:
            return self.parameters(item).digest
        return self._digests.setdefault(item, self.parameters(item).digest)

    @cached_property
    def study_hash(self) -> str:
        """Digest of the whole study, for the tags of runs."""
        return digest_of(self.study.model_dump(mode="json"))

    def input_digest(self) -> str | None:
        """Digest of the scan's input file; None for a synthetic scan."""
        return input_digest(self.study)

    @property
    def thresholds(self) -> CheckOptions:
        """What checks allow."""
        return self.study.checks

    def walk_order(self) -> list[PartitionId]:
        """All partitions, upstream first: scan, datasets, then cell by cell, then the report."""
        return list(self._walk_order)

    def select(self, doses: list[str], views: list[str]) -> list[PartitionId]:
        """Partitions that a request covers, upstream first, with all that they need, and the report."""
        needed: set[PartitionId] = {PartitionId(REPORT)}
        waiting = [PartitionId(COMPARISON, f"{dose}|{view}") for dose in doses for view in views]
        while waiting:
            item = waiting.pop()
            if item not in needed:
                needed.add(item)
                waiting.extend(self.upstream(item))
        return [item for item in self._walk_order if item in needed]

    @cached_property
    def _walk_order(self) -> tuple[PartitionId, ...]:
        for_the_probe = [item for node in self.probe_trainings for item in self.partitions(node)]
        shared = [*self.partitions(SCAN), *for_the_probe, *self.partitions(DATASET)]
        by_asset = {asset: set(self.partitions(asset)) for asset in self.cell_assets}
        cells = [
            item
            for cell in self.partitions(VIEW)
            for asset in self.cell_assets
            if (item := PartitionId(asset, cell.partition)) in by_asset[asset]
        ]
        return (*shared, *cells, *self.partitions(REPORT))

    @cached_property
    def _upstream(self) -> dict[PartitionId, tuple[PartitionId, ...]]:
        return {}

    @cached_property
    def _digests(self) -> dict[PartitionId, str]:
        return {}

    @cached_property
    def _downstream(self) -> dict[PartitionId, tuple[PartitionId, ...]]:
        found: dict[PartitionId, list[PartitionId]] = {}
        for item in self._walk_order:
            for source in self.upstream(item):
                found.setdefault(source, []).append(item)
        return {source: tuple(items) for source, items in found.items()}

    def _read_by(self, item: PartitionId) -> Iterator[PartitionId]:
        dose, view = split_partition(item.partition)
        for read in self.nodes[item.asset].reads:
            match read.how:
                case "whole":
                    yield PartitionId(read.asset)
                case "dose":
                    yield PartitionId(read.asset, dose)
                case "all":
                    yield from self.partitions(read.asset)
                case "cell":
                    if view in read.views:
                        yield PartitionId(read.asset, f"{dose}|{read.views[view]}")


def _nodes(study: Study) -> Iterator[AssetNode]:
    views = tuple(study.views)
    same = {view: view for view in views}
    own_view = Read(VIEW, "cell", same)
    learned_from = Read(VIEW, "cell", same, files.TRAIN_VIEW) if len(study.scan.samples) > 1 else own_view
    reference = ("fly64_assets.science.methods.reference",) if study.scan.source == "measured" else ()
    yield AssetNode(
        SCAN, "whole", (), ("fly64_assets.science.scan", *reference), lambda dose, view: scan_parameters(study)
    )
    yield AssetNode(
        DATASET,
        "dose",
        (Read(SCAN, "whole"),),
        ("fly64_assets.science.simulation",),
        lambda dose, view: dataset_parameters(study, dose),
    )
    yield AssetNode(
        VIEW,
        "cell",
        (Read(DATASET, "dose"),),
        ("fly64_assets.science.views.view",),
        lambda dose, view: view_parameters(study, view),
        views=views,
    )
    yield AssetNode(
        BUNDLE,
        "cell",
        (learned_from,),
        _modules(study, [method for view in views if (method := study.trains(view))]),
        lambda dose, view: training_parameters(study, dose, view, study.trains(view)),
        views=views,
    )
    for method in study.methods:
        if _trains_for_the_probe(study, method):
            yield AssetNode(
                f"{TRAINING}/{method}",
                "whole",
                (Read(SCAN, "whole", file=files.ILLUMINATION),),
                _modules(study, [method]),
                lambda dose, view, method=method: probe_training_parameters(study, method),
                method=method,
            )
        elsewhere = tuple(view for view in study.training_views(method) if study.trains(view) != method)
        if elsewhere:
            yield AssetNode(
                f"{TRAINING}/{method}",
                "cell",
                (learned_from,),
                _modules(study, [method]),
                lambda dose, view, method=method: training_parameters(study, dose, view, method),
                method=method,
                views=elsewhere,
            )
    for method in _starts_first(study):
        yield _reconstruction(study, method, own_view)
    results = tuple(Read(f"{RECONSTRUCTION}/{method}", "cell", same) for method in study.methods)
    yield AssetNode(
        COMPARISON,
        "cell",
        (own_view, *results),
        (*_COMPARISON_MODULES, *(METRICS.entry_point(name).module for name in study.scoring.metrics)),
        lambda dose, view: comparison_parameters(study, dose, view),
        views=views,
    )
    yield AssetNode(
        REPORT,
        "whole",
        (Read(SCAN, "whole"), Read(VIEW, "all"), Read(COMPARISON, "all")),
        ("fly64_assets.science.report",),
        lambda dose, view: report_parameters(study),
    )


def _reconstruction(study: Study, method: str, own_view: Read) -> AssetNode:
    entry = study.methods[method]
    views = tuple(study.views)
    here = {view: view for view in views if study.skip_reason(method, view) is None}
    reads = [own_view]
    if METHOD_KINDS.get(entry.kind).trains == "view":
        trained_on = {view: study.training_view(method, view) for view in here}
        in_bundle = {view: used for view, used in trained_on.items() if study.trains(used) == method}
        apart = {view: used for view, used in trained_on.items() if view not in in_bundle}
        reads += [Read(BUNDLE, "cell", in_bundle)] if in_bundle else []
        reads += [Read(f"{TRAINING}/{method}", "cell", apart)] if apart else []
    elif _trains_for_the_probe(study, method):
        reads.append(Read(f"{TRAINING}/{method}", "whole"))
    if entry.starts_from is not None:
        reads.append(Read(f"{RECONSTRUCTION}/{entry.starts_from}", "cell", here))
    return AssetNode(
        f"{RECONSTRUCTION}/{method}",
        "cell",
        tuple(reads),
        (*_RECONSTRUCTION_MODULES, *_modules(study, [method])),
        lambda dose, view: reconstruction_parameters(study, dose, view, method),
        method=method,
        views=views,
    )


def _trains_for_the_probe(study: Study, method: str) -> bool:
    """Whether this study trains a method's network for the probe, and names no bundle that was trained elsewhere."""
    entry = study.methods[method]
    return entry.record.trains == "probe" and entry.record.bundle_of(entry.options) is None


def _starts_first(study: Study) -> list[str]:
    """The methods, each after the one that it starts from, otherwise in the study's order."""
    order: list[str] = []
    for method in study.methods:
        order += [each for each in reversed(study.chain_of(method)) if each not in order]
    return order


def _modules(study: Study, methods: list[str]) -> tuple[str, ...]:
    """The modules of the methods' kinds, and of the networks that they build."""
    entries = [study.methods[method] for method in methods]
    networks = {entry.options.network for entry in entries if isinstance(entry.options, TrainingOptions)}
    found = {METHOD_KINDS.entry_point(entry.kind).module for entry in entries}
    return tuple(sorted(found | {NETWORKS.entry_point(network).module for network in networks}))
