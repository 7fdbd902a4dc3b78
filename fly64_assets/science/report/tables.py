"""The tables of a report, as rows of text ready to be laid out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fly64_assets.science.records import METHODS, SPLITS
from fly64_assets.science.report.charts import cell_fluence
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.ranking import leaders
from fly64_assets.science.report.scores import Estimate, Scores, is_registered, wide_table
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell.

    Attributes:
        text: what it says.
        small: a second, smaller line, for example an interval.
        css: classes: "best", "tied", "muted", "bad".
        method: whose colour it takes, or "".
        note: tooltip.
    """

    text: str
    small: str = ""
    css: str = ""
    method: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Headers and rows; the first ``n_keys`` columns are row headings, the others numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    n_keys: int = 1
    header_methods: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.rows)


def headline(data: ReportData, scores: Scores) -> Table:
    """Phase SSIM on the test split: a row per scored cell, a column per method, the best one marked."""
    methods = scores.methods()
    rows = []
    present = set(scores.cells())
    for view in data.views:
        for dose in sorted(data.doses):
            if (dose, view) in present:
                first = leaders(scores, (dose, view))
                values = [_score_cell(scores.get(dose, view, m, "ssim", "phase"), m, first) for m in methods]
                rows.append((TableCell(view), TableCell(dose_text(dose)), *values))
    return Table(("view", "photons per pattern", *methods), tuple(rows), 2, ("", "", *methods))


def _score_cell(estimate: Estimate | None, method: str, first: Sequence[str]) -> TableCell:
    if estimate is None:
        return TableCell("–", css="muted", note="not scored")
    css = ("best" if len(first) == 1 else "tied") if method in first else ""
    note = {"best": "highest, its interval apart from the others'", "tied": "not distinguishable from the highest"}.get(
        css, ""
    )
    if not estimate.registered:
        css, note = "bad", "registration failed: not ranked"
    return TableCell(fixed_text(estimate.value), _interval(estimate, 2), css, note=note)


def _interval(estimate: Estimate, decimals: int) -> str:
    if not math.isfinite(estimate.low):
        return ""
    return f"{fixed_text(estimate.low, decimals)} – {fixed_text(estimate.high, decimals)}"


_SCORE_COLUMNS: dict[str, tuple[str, int]] = {
    "phase_ssim": ("phase SSIM", 3),
    "phase_psnr_db": ("phase PSNR, dB", 1),
    "phase_pearson": ("phase r", 3),
    "phase_rmse_rad": ("phase RMSE, rad", 3),
    "phase_ms_ssim": ("phase MS-SSIM", 3),
    "amplitude_ssim": ("amplitude SSIM", 3),
    "amplitude_pearson": ("amplitude r", 3),
    "complex_nrmse": ("complex NRMSE", 3),
    "frc50_cycles_per_px": ("FRC50, cycles/px", 3),
}


def all_scores(data: ReportData, scores: Scores, split: str) -> Table:
    """Key scores of every cell and method of one split; columns that nobody has are left out."""
    wide = wide_table(data.metrics)
    wide = wide[(wide["split"] == split) & wide["method"].isin(METHODS)]
    columns = [c for c in _SCORE_COLUMNS if wide[c].notna().any()]
    with_nll = bool(wide["excess_nll"].notna().any())
    rows = []
    for view in data.views:
        for record in wide[wide["view"] == view].to_dict("records"):
            values = [TableCell(fixed_text(record[c], _SCORE_COLUMNS[c][1])) for c in columns]
            if with_nll:
                values.append(TableCell(number_text(record["excess_nll"])))
            keys = (
                TableCell(view),
                TableCell(dose_text(record["dose"])),
                TableCell(record["method"], method=record["method"]),
            )
            rows.append((*keys, *values))
    headers = (
        "view",
        "dose",
        "method",
        *(_SCORE_COLUMNS[c][0] for c in columns),
        *(["excess NLL"] if with_nll else []),
    )
    return Table(headers, tuple(rows), 3)


def sanity(data: ReportData, scores: Scores) -> Table:
    """What a flat object and the object itself score: the ends of every scale."""
    wide = wide_table(data.metrics)
    wide = wide[(wide["split"] == "test") & wide["method"].isin(("flat", "truth"))]
    columns = [c for c in _SCORE_COLUMNS if wide[c].notna().any()]
    rows = []
    for view in data.views:
        for record in wide[wide["view"] == view].to_dict("records"):
            values = [TableCell(fixed_text(record[c], _SCORE_COLUMNS[c][1])) for c in columns]
            keys = (
                TableCell(view),
                TableCell(dose_text(record["dose"])),
                TableCell(record["method"], method=record["method"]),
            )
            rows.append((*keys, *values, TableCell(number_text(record["excess_nll"]))))
    return Table(("view", "dose", "row", *(_SCORE_COLUMNS[c][0] for c in columns), "excess NLL"), tuple(rows), 3)


def cost(data: ReportData, scores: Scores) -> Table:
    """CPU-seconds and training patterns of every cell and method, and whether the truth was seen."""
    rows = []
    for view in data.views:
        for dose in sorted(data.doses):
            for method in METHODS:
                found = [
                    scores.get(dose, view, method, name)
                    for name in ("cpu_seconds_train", "patterns_trained_on", "cpu_seconds_reconstruct")
                ]
                if any(found):
                    training, patterns, reconstruct = found
                    rows.append(
                        (
                            TableCell(view),
                            TableCell(dose_text(dose)),
                            TableCell(method, method=method),
                            _quantity(training),
                            _quantity(patterns),
                            TableCell({"baseline": "counts and truth", "pty_chi": "–"}.get(method, "counts")),
                            _quantity(reconstruct),
                        )
                    )
    headers = (
        "view",
        "dose",
        "method",
        "training, CPU-s",
        "patterns trained on",
        "learned from",
        "reconstruction, CPU-s",
    )
    return Table(headers, tuple(rows), 3)


def _quantity(estimate: Estimate | None) -> TableCell:
    if estimate is None or estimate.value == 0:
        return TableCell("–", css="muted")
    small = f"{number_text(estimate.low)} – {number_text(estimate.high)}" if estimate.interval == "seeds" else ""
    return TableCell(number_text(estimate.value), small if estimate.low != estimate.high else "")


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
                values = [TableCell(_number_or_dash(summary.get(key))) for _, key in _OVERLAP_COLUMNS[1:]]
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


def _number_or_dash(value: object) -> str:
    return number_text(float(value)) if isinstance(value, int | float | np.number) else "–"


def fluence(data: ReportData, scores: Scores) -> Table:
    """Photons per object pixel: a row per view, a column per dose."""
    doses = sorted(data.doses)
    rows = []
    for view in data.views:
        values = [cell_fluence(data, scores, dose, view) for dose in doses]
        if any(v > 0 for v in values):
            rows.append((TableCell(view), *(TableCell(number_text(v)) for v in values)))
    return Table(("view", *(f"{dose_text(d)} per pattern" for d in doses)), tuple(rows))


_ALIGNMENT_COLUMNS = (
    ("shift x, px", "shift_x_px"),
    ("shift y, px", "shift_y_px"),
    ("ramp x, rad/px", "ramp_x_rad_per_px"),
    ("ramp y, rad/px", "ramp_y_rad_per_px"),
    ("scale", "scale_abs"),
    ("phase, rad", "scale_phase_rad"),
)


def alignment(data: ReportData) -> Table:
    """What was taken out of each reconstruction before scoring, and whether registration succeeded."""
    columns = [(name, key) for name, key in _ALIGNMENT_COLUMNS if key in data.metrics]
    if not columns or data.metrics.empty:
        return Table((), ())
    rows = data.metrics[(data.metrics["split"] == "test") & data.metrics["method"].isin(METHODS)]
    rows = rows[(rows["metric"] == "ssim") & (rows["part"] == "phase")]
    order = {view: index for index, view in enumerate(data.views)}
    found = sorted(
        rows.to_dict("records"),
        key=lambda r: (order.get(r["view"], 99), r["dose"], r["seed"], METHODS.index(r["method"])),
    )
    table = []
    for record in found:
        ok = is_registered(record.get("registration_ok"))
        keys = (TableCell(str(record["view"])), TableCell(dose_text(record["dose"])), TableCell(str(record["seed"])))
        values = [TableCell(_number_or_dash(record[key])) for _, key in columns]
        verdict = TableCell("yes") if ok else TableCell("failed", css="bad")
        table.append((*keys, TableCell(record["method"], method=record["method"]), *values, verdict))
    return Table(("view", "dose", "seed", "method", *(name for name, _ in columns), "registered"), tuple(table), 4)
