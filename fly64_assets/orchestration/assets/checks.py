"""Asset checks: each judges the files of one partition and says in its description what it found.

Blocking checks stop downstream assets in the same run; in any later run the gate asks the catalog
for their verdicts. The others warn. Each is partitioned like its asset and can be run alone from
the UI.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg
import numpy as np

from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles, open_partition
from fly64_assets.orchestration.catalog.metadata import table
from fly64_assets.orchestration.graph import files as names
from fly64_assets.orchestration.graph.checks import advisory_checks, blocking_checks
from fly64_assets.orchestration.graph.jobs import CELL_CHECKS_JOB, DATASET_CHECKS_JOB
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.study_graph import AssetNode, StudyGraph
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.contract import read_metadata, validate_dataset
from fly64_assets.science.interop.ptychodus import read_product
from fly64_assets.science.metrics.explanation import Explanation
from fly64_assets.science.metrics.record import scored_metrics
from fly64_assets.science.metrics.table import table_faults
from fly64_assets.science.options import CheckOptions
from fly64_assets.science.physics.diffraction import require_inside
from fly64_assets.science.records import Fault
from fly64_assets.science.scan import read_scan
from fly64_assets.storage import read_json
from fly64_assets.study.parameters import ComparisonParameters, Parameters, ReconstructionParameters

SHOWN_FAULTS = 20

Row = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What a judge looks at.

    Attributes:
        files: verified files of the partition.
        parameters: under which the study asks for it.
        thresholds: what is allowed.
    """

    files: PartitionFiles
    parameters: Parameters
    thresholds: CheckOptions


Judge = Callable[[Judged], list[Fault]]
Evidence = Callable[[Judged], list[Row]]


def study_checks(graph: StudyGraph, partitions: StudyPartitions) -> list[dg.AssetChecksDefinition]:
    """All checks, partitioned like their assets."""
    return [
        _check(node, name, blocking, partitions)
        for node in graph.nodes.values()
        for blocking, found in ((True, blocking_checks(node.name)), (False, advisory_checks(node.name)))
        for name in found
    ]


def _check(node: AssetNode, name: str, blocking: bool, partitions: StudyPartitions) -> dg.AssetChecksDefinition:
    judge = JUDGES[name]
    along = {"whole": None, "dose": partitions.dose, "cell": partitions.dose_and_view}[node.partitioning]

    @dg.asset_check(
        asset=dg.AssetKey(node.name.split("/")),
        name=name,
        blocking=blocking,
        description=judge.__doc__,
        partitions_def=along,
    )
    def check(context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        if along is not None and not context.has_partition_key:
            job = DATASET_CHECKS_JOB if node.partitioning == "dose" else CELL_CHECKS_JOB
            message = f"{name} judges one partition, and this run has none: launch the job {job} for the partition"
            raise GateRefusedError(message)
        item = workspace.item(context, node.name)
        result = judgement(context.instance, workspace, item, name, blocking=blocking)
        if blocking and not result.passed:
            repeat_at_the_end(f"{item}: blocking check {name} failed: {result.description}")
        return result

    return check


def judgement(
    instance: dg.DagsterInstance, workspace: Workspace, item: PartitionId, name: str, *, blocking: bool = True
) -> dg.AssetCheckResult:
    """What a check says of a partition."""
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    try:
        files = open_partition(instance, workspace.data_root, item, require_checks=False)
    except GateRefusedError as error:
        return dg.AssetCheckResult(passed=False, description=str(error), severity=severity)
    if files.skip_reason is not None:
        return dg.AssetCheckResult(passed=True, description=f"skipped: {files.skip_reason}", severity=severity)
    judged = Judged(files, workspace.graph.parameters(item), workspace.graph.thresholds)
    faults = JUDGES[name](judged)
    seen = EVIDENCE.get(name, _files_seen)(judged)
    return _result(files, faults, {"judged": JUDGES[name].__doc__ or name, "seen": table(seen)}, severity)


def _result(
    files: PartitionFiles, faults: list[Fault], metadata: Row, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    item = files.item
    if not faults:
        said = f"{len(files.files)} files of {item} are as they should be"
        return dg.AssetCheckResult(
            passed=True, description=said, metadata={**metadata, "files": len(files.files)}, severity=severity
        )
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    rows = [
        {"rule": f.rule, "where": f.where, "expected": f.expected, "actual": f.actual, "remedy": f.remedy}
        for f in faults[:SHOWN_FAULTS]
    ]
    return dg.AssetCheckResult(
        passed=False,
        description=f"{faults[0]}{more}",
        metadata={**metadata, "faults": table(rows), "fault_count": len(faults), "rebuild": item.command},
        severity=severity,
    )


def scan_is_usable(judged: Judged) -> list[Fault]:
    """Object and probe are finite, and every patch lies inside the object."""
    scan = read_scan(judged.files.path(names.SCAN))
    remedy = "Check the scan's input and rebuild it."
    arrays = {"object": scan.object, **scan.replicates, "probe": scan.probe, "positions": scan.positions_xy_px}
    faults = [
        Fault("scan-finite", f"{names.SCAN}: {name}", "finite values", "NaN or infinity", remedy)
        for name, array in arrays.items()
        if not np.isfinite(array).all()
    ]
    try:
        require_inside(scan.positions_xy_px, scan.object.shape, scan.patch_size_px)
    except ValueError as error:
        inside = "every patch inside the object"
        faults.append(Fault("scan-inside", names.SCAN, inside, str(error), "Enlarge the object."))
    return faults


def files_follow_data_001(judged: Judged) -> list[Fault]:
    """Every dataset file follows the DATA-001 contract (docs/contracts.md)."""
    return [
        fault if name in fault.where else replace(fault, where=f"{name}: {fault.where}")
        for name in sorted(judged.files.files)
        if names.is_dataset(name)
        for fault in validate_dataset(judged.files.path(name))
    ]


def dose_within_tolerance(judged: Judged) -> list[Fault]:
    """The photons that were counted agree with the dose that was asked for."""
    remedy = "Rebuild the dataset; if it stays, the noise or its scale is wrong."
    return [
        Fault(
            "dose-tolerance",
            f"{row['file']}, {row['part']}",
            f"{row['expected']:.6g} photons per pattern within {row['allowed_deviation']:.3g}",
            f"{row['measured']:.6g}",
            remedy,
        )
        for row in _doses(judged)
        if not abs(row["measured"] - row["expected"]) <= row["allowed_deviation"]
    ]


def _doses(judged: Judged) -> list[Row]:
    rows = []
    for name in sorted(name for name in judged.files.files if names.is_dataset(name)):
        recorded = read_metadata(judged.files.path(name))
        compared = {
            "whole scan": ("requested_photons_per_pattern", "measured_photons_per_pattern", "n_scan"),
            "this split": ("split_expected_photons_per_pattern", "split_measured_photons_per_pattern", "n_patterns"),
        }
        for part, (expected_key, measured_key, number_key) in compared.items():
            expected, measured = recorded[expected_key], recorded[measured_key]
            noise = 5 * np.sqrt(expected / max(recorded[number_key], 1))
            allowed = float(max(judged.thresholds.dose_tolerance * expected, noise))
            found = {"expected": expected, "measured": measured, "allowed_deviation": allowed}
            rows.append({"file": name, "part": part, **found})
    return rows


def overlap_between_zero_and_one(judged: Judged) -> list[Fault]:
    """Every overlap metric is a fraction between 0 and 1."""
    return [
        Fault("overlap-range", row["metric"], "a fraction in [0, 1]", repr(row["value"]), "Rebuild the view.")
        for row in _overlaps(judged)
        if row["value"] is not None and not 0 <= row["value"] <= 1
    ]


def _overlaps(judged: Judged) -> list[Row]:
    bundle = read_json(judged.files.path(names.OVERLAP_METRICS))
    return [
        {"metric": f"{split}.{key}", "value": value}
        for split in ("train", "test")
        for key, value in bundle[split].items()
        if key.startswith("metric_")
    ]


def bundle_matches_catalog(judged: Judged) -> list[Fault]:
    """Every wts.h5.zip has the SHA256 of the catalog and loads strictly, without unpickling anything."""
    from fly64_assets.science.networks.bundle import read_bundle  # imports torch

    faults = []
    bundles = sorted(name for name in judged.files.files if names.is_bundle(name))
    if not bundles:
        faults.append(Fault("bundle-present", names.BUNDLE, "at least one bundle", "none", "Train it again."))
    for name in bundles:
        try:
            read_bundle(judged.files.path(name))
        except ValueError as error:
            faults.append(Fault("bundle-intact", name, "a bundle that loads strictly", str(error), "Train it again."))
    return faults


def weights_are_finite(judged: Judged) -> list[Fault]:
    """No weight is NaN or infinite."""
    return _failed_verdicts(judged, "finite_weights")


def weights_changed(judged: Judged) -> list[Fault]:
    """Training moved the weights from where they were initialised."""
    return _failed_verdicts(judged, "weights_changed")


def network_learned(judged: Judged) -> list[Fault]:
    """The trained network explains held-out counts better than a flat object does."""
    return _failed_verdicts(judged, "learned")


def _failed_verdicts(judged: Judged, name: str) -> list[Fault]:
    remedy = "Train longer or check the dataset's scale and probe."
    return [
        Fault(f"training-{name}", row["file"], f"{name} holds", row["details"], remedy)
        for row in _verdicts(judged, name)
        if not row["passed"]
    ]


def _verdicts(judged: Judged, name: str) -> list[Row]:
    paths = sorted(path for path in judged.files.files if path.endswith(names.VERDICTS))
    verdicts = {path: read_json(judged.files.path(path))[name] for path in paths}
    return [
        {
            "file": path,
            "passed": bool(verdict["passed"]),
            "details": json.dumps(verdict.get("details", {}), sort_keys=True),
        }
        for path, verdict in verdicts.items()
    ]


def products_are_finite(judged: Judged) -> list[Fault]:
    """Every reconstructed object is finite and not zero everywhere; what diverged may hold anything, and says so."""
    diverged = {_product_of(judged, row) for row in _explanations(judged) if row["verdict"] == "diverged"}
    faults = []
    for name in sorted(name for name in judged.files.files if names.is_product(name)):
        estimate = read_product(judged.files.path(name)).object
        if (np.isfinite(estimate).all() and np.any(estimate)) or name in diverged:
            continue
        bad = int((~np.isfinite(estimate)).sum())
        found = f"{bad} non-finite pixels" if bad else "zeros everywhere"
        faults.append(Fault("product-finite", name, "a finite object", found, "Reconstruct it again."))
    return faults


def explains_counts(judged: Judged) -> list[Fault]:
    """The result explains the counts that it was made from better than a flat object does."""
    remedy = "See its loss; another seed, fewer or gentler steps may help. Nothing is stopped by this."
    return [
        Fault(
            f"explains-{row['verdict'].replace(' ', '-')}",
            f"{_of(row)}, {row['split']} split",
            f"at most {row['flat_nll_per_photon']:.6g} nats per photon, that of a flat object",
            f"{row['nll_per_photon']} ({row['verdict']})",
            remedy,
        )
        for row in _explanations(judged)
        if row["verdict"] != "explained"
    ]


def _of(row: Row) -> str:
    """The seed, or the object beyond the first, that a row is of."""
    key = row["object or seed"]
    return f"seed {key}" if key.isdigit() else key


def _explanations(judged: Judged) -> list[Row]:
    found = read_json(judged.files.path(names.EXPLANATIONS))
    return [
        {"object or seed": key, "split": split, **Explanation.from_dict(explained).to_dict()}
        for key, splits in found.items()
        for split, explained in splits.items()
    ]


def _product_of(judged: Judged, row: Row) -> str:
    parameters = judged.parameters
    if not isinstance(parameters, ReconstructionParameters):
        message = f"{judged.files.item} has no reconstruction's parameters"
        raise TypeError(message)
    (folder,) = (each.folder for each in parameters.repetitions if each.key == row["object or seed"])
    return names.product_file(str(parameters.method), row["split"], folder)


def metrics_table_is_complete(judged: Judged) -> list[Fault]:
    """The table follows its schema: every method, split, seed and score once, and the truth scores as the truth."""
    parameters = judged.parameters
    if not isinstance(parameters, ComparisonParameters):
        message = f"{judged.files.item} has no comparison's parameters"
        raise TypeError(message)
    absent = read_json(judged.files.path(names.CELL))["not_here"]
    methods = [method.name for method in parameters.methods]
    return table_faults(
        judged.files.path(names.SCORES),
        methods=methods,
        skipped=set(absent),
        dose=parameters.dose,
        view=parameters.view_name,
        seeds=parameters.seeds,
        objects={
            name: {method.name for method in parameters.methods if index and method.first_object_alone}
            for index, name in enumerate(parameters.objects)
        },
        metrics=scored_metrics(parameters.scoring.metrics),
    )


def _files_seen(judged: Judged) -> list[Row]:
    return [{"file": name, **record.to_dict()} for name, record in sorted(judged.files.files.items())]


JUDGES: dict[str, Judge] = {
    "scan_is_usable": scan_is_usable,
    "datasets_follow_data_001": files_follow_data_001,
    "dose_within_tolerance": dose_within_tolerance,
    "view_follows_data_001": files_follow_data_001,
    "overlap_between_zero_and_one": overlap_between_zero_and_one,
    "bundle_matches_catalog": bundle_matches_catalog,
    "weights_are_finite": weights_are_finite,
    "weights_changed": weights_changed,
    "network_learned": network_learned,
    "products_are_finite": products_are_finite,
    "explains_counts": explains_counts,
    "metrics_table_is_complete": metrics_table_is_complete,
}

EVIDENCE: dict[str, Evidence] = {
    "dose_within_tolerance": _doses,
    "overlap_between_zero_and_one": _overlaps,
    "weights_are_finite": lambda judged: _verdicts(judged, "finite_weights"),
    "weights_changed": lambda judged: _verdicts(judged, "weights_changed"),
    "network_learned": lambda judged: _verdicts(judged, "learned"),
    "explains_counts": _explanations,
}
"""What a check looked at, for its metadata: measured values where there are some, else files and digests."""
