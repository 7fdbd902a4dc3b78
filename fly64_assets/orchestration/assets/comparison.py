"""comparison_metrics and study_report: every method scored by one function, and the page that answers the question."""

import io
import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from fly64_assets.orchestration.assets.report_inputs import report_data
from fly64_assets.orchestration.assets.scored_cell import Cell
from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.io_manager import published_output, record_skip
from fly64_assets.orchestration.catalog.metadata import optional_picture, table
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.figures import ComparisonPanels, comparison_figure
from fly64_assets.science.metrics.cell_scores import CellScores
from fly64_assets.science.records import METHODS, SPLITS, Split
from fly64_assets.science.report import WIDE_MEANINGS, render_report, wide_table
from fly64_assets.storage import StagedFolder, staged
from fly64_assets.study import split_partition

METRICS_FILE = "comparison_metrics.csv"
CURVES_FILE = "frc_curves.csv"
FRONTIER_FILE = "frontier.csv"
FIGURE_FILE = "comparison.png"
CELL_FILE = "cell.json"
PREVIEW_BYTES = 60_000


def comparison_assets(partitions: StudyPartitions) -> list[dg.AssetsDefinition]:
    """Scores per cell, and the report over all cells."""

    @dg.asset(
        partitions_def=partitions.dose_and_view,
        group_name="comparison",
        code_version="2",
        io_manager_key="files",
        kinds={"pandas"},
        output_required=False,
    )
    def comparison_metrics(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        overlap_view: PartitionFiles,
        network_reconstruction: PartitionFiles,
        pty_chi_reconstruction: PartitionFiles,
    ) -> Iterator[dg.Output]:
        """Every method of a cell scored alike against the object: table, FRC curves and a figure.

        Rows for a flat object and for the truth itself stand beside the methods as a sanity check. What pty-chi had on
        its way is scored too, so that methods can be compared at equal CPU time (frontier.csv).
        """
        item = workspace.item(context, "comparison_metrics")
        study = workspace.study
        parameter_hash = study.parameter_hash("comparison_metrics", item.partition)
        upstream = [overlap_view, network_reconstruction, pty_chi_reconstruction]
        reason = next((source.skip_reason for source in upstream if source.skip_reason is not None), None)
        if reason is not None:
            record_skip(context, reason, parameter_hash=parameter_hash, upstream=upstream)
            return
        dose, view = split_partition(item.partition)
        cell = Cell(study, study.dose_of(dose), view, overlap_view, network_reconstruction, pty_chi_reconstruction)
        scores: dict[tuple[int, Split], CellScores] = {
            (seed, split): cell.score(seed, split) for seed in study.seeds for split in SPLITS
        }
        shown = scores[study.seeds[0], "test"]
        with staged(workspace.data_root / item.folder) as stage:
            metrics = pd.concat([cell.with_provenance(part.table, *key) for key, part in scores.items()])
            metrics.to_csv(stage.path(METRICS_FILE), index=False)
            curves = pd.concat([part.frc_curves for part in scores.values()])
            curves.to_csv(stage.path(CURVES_FILE), index=False)
            cell.frontier().to_csv(stage.path(FRONTIER_FILE), index=False)
            metadata = optional_picture(context, lambda: _draw(stage, cell, shown), "test split")
            figure_note = next((value for value in metadata.values() if isinstance(value, str)), "")
            _write_json(stage, CELL_FILE, cell.describe(scores, figure_note))
            metadata |= {
                "scores": table(wide_table(metrics).to_dict("records"), WIDE_MEANINGS),
                **key_scores(metrics),
                "registration_failures": sum(len(part.failures) for part in scores.values()),
            }
            yield published_output(context, stage, parameter_hash=parameter_hash, upstream=upstream, metadata=metadata)

    every_cell = dg.AssetIn(partition_mapping=dg.AllPartitionMapping(), metadata={"many": True, "optional": True})

    @dg.asset(
        ins={"comparison_metrics": every_cell},
        group_name="report",
        code_version="2",
        io_manager_key="files",
        kinds={"html"},
    )
    def study_report(
        context: dg.AssetExecutionContext,
        workspace: dg.ResourceParam[Workspace],
        comparison_metrics: dict[str, PartitionFiles],
    ) -> dg.Output:
        """The answer as one self-contained HTML page, with metrics.csv, metrics.parquet and frontier.csv of all cells.

        Cells that are missing, skipped or failed are shown as such, with their reasons.
        """
        data = report_data(context.instance, workspace, comparison_metrics)
        item = workspace.item(context, "study_report")
        with staged(workspace.data_root / item.folder) as stage:
            html = render_report(data)
            stage.path("report.html").write_text(html, encoding="utf-8")
            data.metrics.to_csv(stage.path("metrics.csv"), index=False)
            data.metrics.to_parquet(stage.path("metrics.parquet"), index=False)
            if data.frontier is not None and not data.frontier.empty:
                data.frontier.to_csv(stage.path(FRONTIER_FILE), index=False)
            states = [
                {"dose": c.dose, "view": c.view, "status": c.status, "reason": c.reason} for c in data.all_cells()
            ]
            metadata = {
                "report": dg.MetadataValue.path(str(workspace.data_root / item.folder / "report.html")),
                "cells": table(states),
                "scores": table(wide_table(data.metrics).to_dict("records"), WIDE_MEANINGS),
                "report_bytes": len(html.encode()),
            }
            return published_output(
                context,
                stage,
                parameter_hash=workspace.study.parameter_hash("study_report"),
                upstream=list(comparison_metrics.values()),
                metadata=metadata,
            )

    return [comparison_metrics, study_report]


def key_scores(metrics: pd.DataFrame) -> dict[str, float]:
    """Scores of the test split that the catalog plots over partitions, averaged over seeds."""
    shown = {("ssim", "phase"), ("pearson", "phase"), ("psnr", "phase"), ("frc50", "complex"), ("excess_nll", "")}
    rows = metrics[(metrics["split"] == "test") & metrics["method"].isin(METHODS)].fillna({"part": ""})
    means = pd.DataFrame(rows.groupby(["method", "metric", "part"])["value"].mean()).reset_index()
    return {
        f"{row['method']} {row['part']} {row['metric']}".replace("  ", " "): float(row["value"])
        for row in means.to_dict("records")
        if (row["metric"], row["part"]) in shown and np.isfinite(row["value"])
    }


def _draw(stage: StagedFolder, cell: Cell, scores: CellScores) -> bytes:
    """Write the cell's figure and return a small one for the catalog."""
    seed = cell.study.seeds[0]
    dataset = cell.dataset(seed, "test")
    first = next(iter(scores.aligned.values()))
    x0, y0 = first.corner_xy_px
    panels = ComparisonPanels(
        truth=first.truth,
        mask=first.mask,
        aligned={method: pair.image for method, pair in scores.aligned.items()},
        origin_yx_px=(y0, x0),
        positions_xy_px=dataset.measurement.positions_xy_px,
        failures=scores.failures,
        captions=_captions(scores),
        title=f"{cell.dose:,g} photons per pattern, {cell.view}, test split",
        truth_label="truth" if dataset.metadata.get("object_origin", "truth") == "truth" else "pty-chi reference",
    )
    stage.path(FIGURE_FILE).write_bytes(comparison_figure(panels))
    return comparison_figure(panels, panel_in=1.2, max_bytes=PREVIEW_BYTES)


def _captions(scores: CellScores) -> dict[str, str]:
    metrics = scores.table
    phase = metrics[(metrics["part"] == "phase") & metrics["metric"].isin(["ssim", "pearson"])]
    captions = {}
    for method, rows in phase.groupby("method"):
        values = rows.set_index("metric")["value"]
        captions[str(method)] = f"SSIM {values['ssim']:.2f}, r {values['pearson']:.2f}"
    return captions


def _write_json(stage: StagedFolder, name: str, value: Any) -> None:
    buffer = io.StringIO()
    json.dump(value, buffer, indent=2, sort_keys=True)
    stage.path(name).write_text(buffer.getvalue() + "\n")
