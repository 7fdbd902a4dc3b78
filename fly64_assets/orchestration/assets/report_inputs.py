"""Collects from the catalog and the cells' files what the report is made from."""

import platform
from importlib import metadata

import dagster as dg
import pandas as pd

from fly64_assets.orchestration.catalog.entries import latest_entry
from fly64_assets.orchestration.catalog.gate import GateRefusedError, PartitionFiles, open_partition
from fly64_assets.orchestration.catalog.run_history import RunHistory
from fly64_assets.orchestration.graph.partitions import CELL_ASSETS, PartitionId, partitions_of
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.figures import scan_preview
from fly64_assets.science.report import CellRecord, ReportData
from fly64_assets.science.scan import read_scan
from fly64_assets.storage import read_json
from fly64_assets.study import Study, split_partition

VERSIONED_PACKAGES = ("fly64_assets", "torch", "lightning", "ptychi", "dagster", "numpy", "scipy", "scikit-image")


def report_data(instance: dg.DagsterInstance, workspace: Workspace, scored: dict[str, PartitionFiles]) -> ReportData:
    """Everything that the report shows, read through the same gate as any other input."""
    study = workspace.study
    done = {key: files for key, files in scored.items() if files.skip_reason is None}
    scan = read_scan(open_partition(instance, workspace.data_root, PartitionId("scan")).path("scan.npz"))
    return ReportData(
        study_name=study.name,
        title=study.report.title,
        question=study.report.question,
        doses=study.doses,
        views=study.views,
        seeds=study.seeds,
        study_hash=study.study_hash(),
        object_origin=scan.object_origin,
        cells=tuple(
            _cell(instance, workspace, str(item.partition), scored)
            for item in partitions_of(study, "comparison_metrics")
        ),
        metrics=_tables(done, "comparison_metrics.csv"),
        frc=_tables(done, "frc_curves.csv"),
        frontier=_tables(done, "frontier.csv"),
        scan_png=scan_preview(scan),
        versions={**{name: metadata.version(name) for name in VERSIONED_PACKAGES}, "python": platform.python_version()},
        commands=(f"make study STUDY={study.name} DOSES=all",),
        dose_method=study.dose.method,
        settings=_settings(study),
    )


def _settings(study: Study) -> dict[str, str]:
    """What was fixed in the study file before anything was scored, in words."""
    iterative, refine = study.pty_chi, study.refine
    trained = {options.network: study.training_of(view) for view, options in study.views.items()}
    return {
        "pty_chi": (
            f"{iterative.algorithm}, {iterative.epochs} epochs of {iterative.batching} batches of "
            f"{iterative.batch_size}, {iterative.noise_model} noise model, "
            f"{'refined' if iterative.refine_probe else 'known'} probe, start: {iterative.start}"
        ),
        "pinn_refined": f"{refine.passes} passes over the data",
        **{
            f"training of {network}": f"at most {options.epochs} epochs, batches of {options.batch_size}"
            for network, options in sorted(trained.items())
        },
    }


def _tables(cells: dict[str, PartitionFiles], name: str) -> pd.DataFrame:
    parts = [pd.read_csv(files.path(name), keep_default_na=True) for files in cells.values() if name in files.files]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _cell(
    instance: dg.DagsterInstance, workspace: Workspace, partition: str, scored: dict[str, PartitionFiles]
) -> CellRecord:
    dose_text, view = split_partition(partition)
    dose = workspace.study.dose_of(dose_text)
    files = scored.get(partition)
    if files is not None and files.skip_reason is None:
        described = read_json(files.path("cell.json"))
        figure = files.path("comparison.png").read_bytes() if "comparison.png" in files.files else None
        notes = [f"{where}: {reason}" for where, reason in described["failures"].items()]
        summary = described["view_summary"]
        return CellRecord(
            dose,
            view,
            "done",
            view_summary={split: summary[split] for split in ("train", "test")},
            figure_png=figure,
            figure_note="; ".join([*notes, described["figure_note"]]).strip("; "),
            digests=described["digests"],
        )
    if files is not None:
        return CellRecord(dose, view, "skipped", files.skip_reason or "", _view_summary(instance, workspace, partition))
    for asset in CELL_ASSETS:
        item = PartitionId(asset, partition)
        if latest_entry(instance, item) is None:
            cause = RunHistory(instance, item).last_failure(item)
            if cause is not None:
                return CellRecord(dose, view, "failed", f"{item}: {cause}")
    return CellRecord(dose, view, "missing", "It has not been run.")


def _view_summary(instance: dg.DagsterInstance, workspace: Workspace, partition: str) -> dict:
    try:
        view = open_partition(instance, workspace.data_root, PartitionId("overlap_view", partition))
    except GateRefusedError:
        return {}
    summary = read_json(view.path("metrics_bundle.json"))
    return {split: summary[split] for split in ("train", "test")}
