"""The tables of a report that are about views: overlap and fluence."""

from collections.abc import Mapping
from typing import Any

from fly64_assets.science.records import SPLITS
from fly64_assets.science.report.charts import cell_fluence
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.scores import Scores
from fly64_assets.science.report.tables import Table, TableCell, number_or_dash
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text

_OVERLAP_COLUMNS = (
    ("requested overlap", "requested_overlap"),
    ("measured overlap", "measured_overlap"),
    ("metric 1, groups", "metric_1_group_based_avg"),
    ("metric 2, positions", "metric_2_image_based_avg"),
    ("metric 3, centroids", "metric_3_group_to_group_avg"),
    ("probe diameter, px", "probe_diameter_px"),
    ("acceptance rate", "acceptance_rate"),
    ("geometric bound", "geometry_acceptance_bound"),
)


def overlap(data: ReportData) -> Table:
    """Requested and measured overlap of each view and split; doses share positions, so the first with a record."""
    rows = []
    for view, options in data.views.items():
        for split in SPLITS:
            summary = next(
                (c.view_summary[split] for c in data.cells if c.view == view and c.view_summary.get(split)), None
            )
            if summary:
                kept = _kept(summary)
                requested = summary.get("requested_overlap", options.overlap)
                values = [TableCell(number_or_dash(summary.get(key))) for _, key in _OVERLAP_COLUMNS[1:]]
                rows.append(
                    (TableCell(view), TableCell(split), TableCell(kept), _requested(requested, options.s_img), *values)
                )
    headers = ("view", "split", "positions kept", "requested", *(name for name, _ in _OVERLAP_COLUMNS[1:]))
    return Table(headers, tuple(rows), 2)


def _requested(overlap_fraction: float | None, s_img: float | None) -> TableCell:
    if overlap_fraction is not None:
        return TableCell(f"overlap {fixed_text(float(overlap_fraction))}")
    return TableCell(f"fraction {fixed_text(s_img)}" if s_img is not None else "all positions")


def _kept(summary: Mapping[str, Any]) -> str:
    kept = next((summary[k] for k in ("n_kept", "n_images_subsampled") if summary.get(k) is not None), None)
    total = summary.get("n_images_total")
    if kept is None:
        return "–"
    return f"{kept:,} of {total:,}" if total is not None else f"{kept:,}"


def fluence(data: ReportData, scores: Scores) -> Table:
    """Photons per object pixel: a row per view, a column per dose."""
    doses = sorted(data.doses)
    rows = []
    for view in data.views:
        values = [cell_fluence(data, scores, dose, view) for dose in doses]
        if any(v > 0 for v in values):
            rows.append((TableCell(view), *(TableCell(number_text(v)) for v in values)))
    return Table(("view", *(f"{dose_text(d)} per pattern" for d in doses)), tuple(rows))
