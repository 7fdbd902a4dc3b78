"""Asset checks: each judges the files of one partition and says in its description what it found.

Blocking checks stop downstream assets in the same run; in any later run the gate asks the catalog
for their verdicts (see ``gates.py``). Each is partitioned like its asset and can be run alone from
the UI.
"""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import numpy as np

from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.catalog.gate import BLOCKING_CHECKS, GateRefusedError, PartitionFiles, open_partition
from fly64_assets.orchestration.catalog.metadata import table
from fly64_assets.orchestration.graph.jobs import CELL_CHECKS_JOB, DATASET_CHECKS_JOB
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.contract import read_metadata, validate_dataset
from fly64_assets.science.interop.ptychodus import read_product
from fly64_assets.science.metrics.table import table_faults
from fly64_assets.science.physics.diffraction import require_inside
from fly64_assets.science.records import Fault
from fly64_assets.science.scan import read_scan
from fly64_assets.storage import read_json

SHOWN_FAULTS = 20

Row = dict[str, Any]
Judge = Callable[[Workspace, PartitionFiles], list[Fault]]
Evidence = Callable[[Workspace, PartitionFiles], list[Row]]


def study_checks(partitions: StudyPartitions) -> list[dg.AssetChecksDefinition]:
    """All checks, partitioned like their assets."""
    judges: dict[str, Judge] = {
        "scan_is_usable": _scan_is_usable,
        "datasets_follow_data_001": _files_follow_data_001,
        "dose_within_tolerance": _dose_within_tolerance,
        "view_follows_data_001": _files_follow_data_001,
        "overlap_between_zero_and_one": _overlap_between_zero_and_one,
        "bundle_matches_catalog": _bundle_matches_catalog,
        "weights_are_finite": _verdict("finite_weights"),
        "weights_changed": _verdict("weights_changed"),
        "network_learned": _verdict("learned"),
        "network_products_are_finite": _products_are_finite,
        "pty_chi_products_are_finite": _products_are_finite,
        "metrics_table_is_complete": _metrics_table_is_complete,
    }
    partitioned = {"scan": None, "simulated_dataset": partitions.dose}
    return [
        _check(asset, name, judges[name], partitioned.get(asset, partitions.dose_and_view))
        for asset, names in BLOCKING_CHECKS.items()
        for name in names
    ]


def _check(
    asset: str, name: str, judge: Judge, partitions_def: dg.PartitionsDefinition | None
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, blocking=True, description=judge.__doc__, partitions_def=partitions_def)
    def check(context: dg.AssetCheckExecutionContext, workspace: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        if partitions_def is not None and not context.has_partition_key:
            job = DATASET_CHECKS_JOB if asset == "simulated_dataset" else CELL_CHECKS_JOB
            message = f"{name} judges one partition, and this run has none: launch the job {job} for the partition"
            raise GateRefusedError(message)
        item = workspace.item(context, asset)
        result = judged(context.instance, workspace, item)
        if not result.passed:
            repeat_at_the_end(f"{item}: blocking check {name} failed: {result.description}")
        return result

    def judged(instance: dg.DagsterInstance, workspace: Workspace, item: PartitionId) -> dg.AssetCheckResult:
        try:
            files = open_partition(instance, workspace.data_root, item, require_checks=False)
        except GateRefusedError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        if files.skip_reason is not None:
            return dg.AssetCheckResult(passed=True, description=f"skipped: {files.skip_reason}")
        faults = judge(workspace, files)
        seen = _evidence(name)(workspace, files)
        return _result(files, faults, {"judged": judge.__doc__ or name, "seen": table(seen)})

    return check


def _result(files: PartitionFiles, faults: list[Fault], metadata: Row) -> dg.AssetCheckResult:
    item = files.item
    if not faults:
        said = f"{len(files.files)} files of {item} are as they should be"
        return dg.AssetCheckResult(passed=True, description=said, metadata={**metadata, "files": len(files.files)})
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    rows = [
        {"rule": f.rule, "where": f.where, "expected": f.expected, "actual": f.actual, "remedy": f.remedy}
        for f in faults[:SHOWN_FAULTS]
    ]
    return dg.AssetCheckResult(
        passed=False,
        description=f"{faults[0]}{more}",
        metadata={**metadata, "faults": table(rows), "fault_count": len(faults), "rebuild": item.command},
    )


def _scan_is_usable(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """Object and probe are finite, and every patch lies inside the object."""
    scan = read_scan(files.path("scan.npz"))
    where = "scan.npz"
    faults = [
        Fault(
            "scan-finite",
            f"{where}: {name}",
            "finite values",
            "NaN or infinity",
            "Check the scan's input and rebuild it.",
        )
        for name, array in (("object", scan.object), ("probe", scan.probe), ("positions", scan.positions_xy_px))
        if not np.isfinite(array).all()
    ]
    try:
        require_inside(scan.positions_xy_px, scan.object.shape, scan.patch_size_px)
    except ValueError as error:
        faults.append(Fault("scan-inside", where, "every patch inside the object", str(error), "Enlarge the object."))
    return faults


def _files_follow_data_001(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """Every dataset file follows the DATA-001 contract (docs/contracts.md)."""
    return [
        fault for name in sorted(files.files) if name.endswith(".npz") for fault in validate_dataset(files.path(name))
    ]


def _dose_within_tolerance(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
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
        for row in _doses(workspace, files)
        if not abs(row["measured"] - row["expected"]) <= row["allowed_deviation"]
    ]


def _doses(workspace: Workspace, files: PartitionFiles) -> list[Row]:
    rows = []
    for name in sorted(name for name in files.files if name.endswith(".npz")):
        recorded = read_metadata(files.path(name))
        compared = {
            "whole scan": ("requested_photons_per_pattern", "measured_photons_per_pattern", "n_scan"),
            "this split": ("split_expected_photons_per_pattern", "split_measured_photons_per_pattern", "n_patterns"),
        }
        for part, (expected_key, measured_key, number_key) in compared.items():
            expected, measured = recorded[expected_key], recorded[measured_key]
            noise = 5 * np.sqrt(expected / max(recorded[number_key], 1))
            allowed = float(max(workspace.study.dose.tolerance * expected, noise))
            found = {"expected": expected, "measured": measured, "allowed_deviation": allowed}
            rows.append({"file": name, "part": part, **found})
    return rows


def _overlap_between_zero_and_one(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """Every overlap metric is a fraction between 0 and 1."""
    return [
        Fault("overlap-range", row["metric"], "a fraction in [0, 1]", repr(row["value"]), "Rebuild the view.")
        for row in _overlaps(workspace, files)
        if row["value"] is not None and not 0 <= row["value"] <= 1
    ]


def _overlaps(_: Workspace, files: PartitionFiles) -> list[Row]:
    bundle = read_json(files.path("metrics_bundle.json"))
    return [
        {"metric": f"{split}.{key}", "value": value}
        for split in ("train", "test")
        for key, value in bundle[split].items()
        if key.startswith("metric_")
    ]


def _bundle_matches_catalog(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """Every wts.h5.zip has the SHA256 of the catalog and loads strictly, without unpickling anything."""
    from fly64_assets.science.networks.bundle import read_bundle  # imports torch

    faults = []
    for name in sorted(name for name in files.files if name.endswith("wts.h5.zip")):
        try:
            read_bundle(files.path(name))
        except ValueError as error:
            faults.append(Fault("bundle-intact", name, "a bundle that loads strictly", str(error), "Train it again."))
    return faults


def _verdict(name: str) -> Judge:
    def judge(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
        remedy = "Train longer or check the dataset's scale and probe."
        return [
            Fault(f"training-{name}", row["file"], f"{name} holds", row["details"], remedy)
            for row in _training_verdicts(name)(workspace, files)
            if not row["passed"]
        ]

    judge.__doc__ = {
        "finite_weights": "No weight is NaN or infinite.",
        "weights_changed": "Training moved the weights from where they were initialised.",
        "learned": "The trained network explains held-out counts better than a flat object does.",
    }[name]
    return judge


def _training_verdicts(name: str) -> Evidence:
    def seen(_: Workspace, files: PartitionFiles) -> list[Row]:
        paths = sorted(path for path in files.files if path.endswith("verdicts.json"))
        verdicts = {path: read_json(files.path(path))[name] for path in paths}
        return [
            {
                "file": path,
                "passed": bool(verdict["passed"]),
                "details": json.dumps(verdict.get("details", {}), sort_keys=True),
            }
            for path, verdict in verdicts.items()
        ]

    return seen


def _files_seen(_: Workspace, files: PartitionFiles) -> list[Row]:
    return [{"file": name, **record.to_dict()} for name, record in sorted(files.files.items())]


def _evidence(name: str) -> Evidence:
    """What a check looked at, for its metadata: measured values where there are some, else files and digests."""
    measured: dict[str, Evidence] = {
        "dose_within_tolerance": _doses,
        "overlap_between_zero_and_one": _overlaps,
        "weights_are_finite": _training_verdicts("finite_weights"),
        "weights_changed": _training_verdicts("weights_changed"),
        "network_learned": _training_verdicts("learned"),
    }
    return measured.get(name, _files_seen)


def _products_are_finite(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """Every reconstructed object is finite and not zero everywhere."""
    faults = []
    for name in sorted(name for name in files.files if name.endswith(".h5")):
        estimate: Any = read_product(files.path(name)).object
        if not np.isfinite(estimate).all() or not np.any(estimate):
            bad = int((~np.isfinite(estimate)).sum())
            faults.append(
                Fault("product-finite", name, "a finite object", f"{bad} non-finite pixels", "Reconstruct it again.")
            )
    return faults


def _metrics_table_is_complete(workspace: Workspace, files: PartitionFiles) -> list[Fault]:
    """The table has its fixed columns, every method and split, and the truth scores as the truth."""
    return table_faults(files.path("comparison_metrics.csv"))
