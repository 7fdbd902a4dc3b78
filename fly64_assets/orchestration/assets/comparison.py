"""comparison_metrics: every method of a cell scored by one function."""

import numpy as np
import pandas as pd

from fly64_assets.orchestration.assets.places import untrainable_reason
from fly64_assets.orchestration.assets.scored_cell import ScoredCell
from fly64_assets.orchestration.catalog.metadata import Metadata, optional_picture, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun, UntrainableError
from fly64_assets.orchestration.graph import files
from fly64_assets.science.figures import ComparisonPanels, comparison_figure
from fly64_assets.science.metrics.cell_scores import CellScores
from fly64_assets.science.metrics.tables import TRACE, TRACE_COSTS
from fly64_assets.science.report import WIDE_MEANINGS, wide_table
from fly64_assets.science.report.scores import standing_first
from fly64_assets.study.parameters import ComparisonParameters

PREVIEW_BYTES = 60_000


def comparison_metrics(run: PartitionRun[ComparisonParameters]) -> Metadata:
    """Every method of a cell scored alike against the object: table, FRC curves and a figure.

    Rows for a flat object and for the truth itself stand beside the methods as a sanity check. What the methods had on
    their way is scored too, so that they can be compared at equal CPU time (trace.csv).
    """
    reason = untrainable_reason(run.files("overlap_view"))
    if reason is not None:
        raise UntrainableError(reason)
    cell = ScoredCell.of(run.parameters, run.inputs)
    metrics = cell.metrics()
    _write_tables(run, cell, metrics)
    pictures = optional_picture(run.log, lambda: _draw(run, cell), f"{files.TRACED} split")
    run.write_json(files.CELL, cell.describe(next((text for text in pictures.values() if isinstance(text, str)), "")))
    names = [method.name for method in run.parameters.methods]
    wide = wide_table(pd.concat([metrics, cell.costs()]), names)
    return {
        **pictures,
        "scores": table(wide.to_dict("records"), WIDE_MEANINGS),
        **key_scores(metrics, names),
        "registration_failures": sum(len(part.failures) for part in cell.scores.values()),
    }


def _write_tables(run: PartitionRun[ComparisonParameters], cell: ScoredCell, metrics: pd.DataFrame) -> None:
    """Scores and traces; the times that were measured stand in files of their own."""
    metrics.to_csv(run.path(files.SCORES), index=False)
    cell.frc_curves().to_csv(run.path(files.FRC_CURVES), index=False)
    cell.costs().to_csv(run.path(files.COST_TABLE), index=False)
    trace = cell.trace()
    trace[list(TRACE.names)].to_csv(run.path(files.TRACE), index=False)
    trace[list(TRACE_COSTS.names)].to_csv(run.path(files.TRACE_COSTS), index=False)


def key_scores(metrics: pd.DataFrame, methods: list[str]) -> dict[str, float]:
    """Scores of the test split that the catalog plots over partitions, averaged over objects or seeds."""
    shown = {("ssim", "phase"), ("pearson", "phase"), ("psnr", "phase"), ("frc50", "complex"), ("excess_nll", "")}
    rows = metrics[(metrics["split"] == "test") & metrics["method"].isin(methods)].fillna({"part": ""})
    rows = standing_first(pd.DataFrame(rows))
    means = pd.DataFrame(rows.groupby(["method", "metric", "part"])["value"].mean()).reset_index()
    return {
        f"{row['method']} {row['part']} {row['metric']}".replace("  ", " "): float(row["value"])
        for row in means.to_dict("records")
        if (row["metric"], row["part"]) in shown and np.isfinite(row["value"])
    }


def _draw(run: PartitionRun[ComparisonParameters], cell: ScoredCell) -> bytes:
    """Write the cell's figure and return a small one for the catalog."""
    scores, dataset = cell.scores[cell.first, files.TRACED], cell.dataset(cell.first, files.TRACED)
    first = next(iter(scores.pairs.values()))
    x0, y0 = first.corner_xy_px
    panels = ComparisonPanels(
        methods=tuple(method.name for method in run.parameters.methods),
        truth=first.truth,
        mask=first.mask,
        aligned={method: pair.image for method, pair in scores.pairs.items()},
        origin_yx_px=(y0, x0),
        positions_xy_px=dataset.measurement.positions_xy_px,
        failures=scores.failures,
        captions=_captions(scores),
        title=f"{run.parameters.dose:,g} photons per pattern, {run.parameters.view_name}, {files.TRACED} split",
        truth_label="truth" if dataset.metadata.get("object_origin", "truth") == "truth" else "reference",
    )
    run.path(files.COMPARISON_FIGURE).write_bytes(comparison_figure(panels))
    return comparison_figure(panels, panel_in=1.2, max_bytes=PREVIEW_BYTES)


def _captions(scores: CellScores) -> dict[str, str]:
    metrics = scores.table
    phase = metrics[(metrics["part"] == "phase") & metrics["metric"].isin(["ssim", "pearson"])]
    phase = standing_first(pd.DataFrame(phase))
    captions = {}
    for method, rows in phase.groupby("method"):
        values = rows.set_index("metric")["value"]
        if np.isfinite(values["ssim"]):
            captions[str(method)] = f"SSIM {values['ssim']:.2f}, r {values['pearson']:.2f}"
    return captions
