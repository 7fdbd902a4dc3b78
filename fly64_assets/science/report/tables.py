"""The tables of a report, as rows of text ready to be laid out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fly64_assets.science.records import METHODS, SPLITS
from fly64_assets.science.report.charts import cell_fluence
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.ranking import cells_text, leaders
from fly64_assets.science.report.scores import HEADLINE, Estimate, Scores, is_registered, wide_records
from fly64_assets.science.report.wording import dose_text, fixed_text, listed, number_text


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
    """Headers and rows; the first ``n_keys`` columns are row headings, the others numbers.

    Attributes:
        headers: column names; a method's name takes its colour.
        rows: cells, as many as headers.
        n_keys: leading columns that head the row.
        groups: a heading over several columns each, as (text, number of columns), key columns included.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    n_keys: int = 1
    groups: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.rows)


def states(data: ReportData) -> Table:
    """What became of each cell: a row per view, a column per dose."""
    doses = sorted(data.doses)
    found = {(c.dose, c.view): c for c in data.all_cells()}
    rows = tuple(
        (TableCell(v), *(TableCell(found[d, v].status, css=f"status {found[d, v].status}") for d in doses))
        for v in data.views
    )
    return Table(("view", *(dose_text(d) for d in doses)), rows, 1, (("", 1), ("photons per pattern", len(doses))))


def reasons(data: ReportData) -> list[tuple[str, str, str]]:
    """State, cells and reason of what is not done; cells with the same reason together."""
    cells = data.all_cells()
    everything = [(c.dose, c.view) for c in cells]
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for cell in cells:
        if cell.status != "done":
            found.setdefault((cell.status, cell.reason), []).append((cell.dose, cell.view))
    return [(status, cells_text(mine, everything), reason) for (status, reason), mine in found.items()]


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
    return Table(("view", "dose", *methods), tuple(rows), 2)


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
    return f"{fixed_text(estimate.low, decimals)}–{fixed_text(estimate.high, decimals)}"


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
    return _score_table(_records(data, scores, METHODS, (split,)), "method")


def sanity(data: ReportData, scores: Scores) -> Table:
    """What a flat object and the object itself score: the ends of every scale."""
    return _score_table(_records(data, scores, ("flat", "truth"), ("test",)), "row")


def _records(data: ReportData, scores: Scores, methods: Sequence[str], splits: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the wide table, by view in the study's order."""
    order = {view: index for index, view in enumerate(data.views)}
    chosen = [r for r in wide_records(scores) if r["method"] in methods and r["split"] in splits and r["view"] in order]
    return sorted(chosen, key=lambda record: order[record["view"]])


def _score_table(records: Sequence[Mapping[str, Any]], row_name: str) -> Table:
    columns = [c for c in _SCORE_COLUMNS if any(math.isfinite(r[c]) for r in records)]
    rows = []
    for record in records:
        keys = (record["view"], dose_text(record["dose"]))
        method = TableCell(record["method"], method=record["method"])
        values = [_scored(record, column) for column in columns]
        rows.append((*map(TableCell, keys), method, *values, TableCell(number_text(record["excess_nll"]))))
    headers = ("view", "dose", row_name, *(_SCORE_COLUMNS[c][0] for c in columns), "excess NLL")
    return Table(headers, tuple(rows), 3)


def _scored(record: Mapping[str, Any], column: str) -> TableCell:
    text = fixed_text(record[column], _SCORE_COLUMNS[column][1])
    if column == "frc50_cycles_per_px" and "no crossing" in record["note"]:
        return TableCell(f"≥ {text}", note=record["note"])
    if record["method"] in METHODS and not record["registration_ok"]:
        return TableCell(text, css="bad", note=record["note"] or "registration failed")
    return TableCell(text)


def sanity_verdict(data: ReportData, scores: Scores) -> tuple[bool, str]:
    """Whether the ends of the scale are where they must be, in words; true where there is nothing to judge."""
    flat = _records(data, scores, ("flat",), SPLITS)
    truth = _records(data, scores, ("truth",), SPLITS)
    if not flat or not truth:
        return True, "The table has no sanity rows."
    faults = []
    if not all(abs(r["phase_pearson"]) < 0.01 for r in flat):
        faults.append("a flat object does not score Pearson 0 everywhere")
    if not all(r["phase_ssim"] > 0.999 for r in truth):
        faults.append("the object itself does not score SSIM 1 everywhere")
    if not all(abs(r["excess_nll"]) < 1e-6 for r in truth):
        faults.append("the object itself does not have excess NLL 0 everywhere")
    if faults:
        return False, f"The scale itself is in doubt: {listed(faults)}. Do not trust the scores before this is cleared."
    return (
        True,
        "In every cell and split a flat object scores Pearson 0, and the object itself SSIM 1 and excess NLL 0.",
    )


def cost(data: ReportData, scores: Scores) -> Table:
    """CPU-seconds to reconstruct and to train, and training patterns: a row per cell, columns per method."""
    methods = scores.methods()
    trained = [m for m in methods if m in ("pinn", "baseline")]
    rows = []
    for view in data.views:
        for dose in sorted(data.doses):
            times = [scores.get(dose, view, m, "cpu_seconds_reconstruct") for m in methods]
            training = [scores.get(dose, view, m, "cpu_seconds_train") for m in trained]
            patterns = [scores.get(dose, view, m, "patterns_trained_on") for m in trained]
            if any((*times, *training)):
                values = map(_quantity, (*times, *training, *patterns))
                rows.append((TableCell(view), TableCell(dose_text(dose)), *values))
    groups = [("", 2), ("reconstruction, CPU-s", len(methods))]
    if trained:
        groups += [("training, CPU-s", len(trained)), ("patterns trained on", len(trained))]
    return Table(("view", "dose", *methods, *trained, *trained), tuple(rows), 2, tuple(groups))


def _quantity(estimate: Estimate | None) -> TableCell:
    if estimate is None or estimate.value == 0:
        return TableCell("–", css="muted")
    ends = {number_text(v) for v in (estimate.low, estimate.high) if math.isfinite(v)}
    small = f"{number_text(estimate.low)}–{number_text(estimate.high)}" if len(ends) > 1 else ""
    return TableCell(number_text(estimate.value), small)


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
    order = {view: index for index, view in enumerate(data.views)}
    records: list[dict[Any, Any]] = data.metrics.to_dict("records")
    shown = [r for r in records if r["split"] == "test" and r["method"] in METHODS and r["view"] in order]
    shown = [r for r in shown if (r["metric"], r["part"]) == HEADLINE]
    found = sorted(shown, key=lambda r: (order[r["view"]], r["dose"], r["seed"], METHODS.index(r["method"])))
    table = []
    for record in found:
        ok, note = is_registered(record.get("registration_ok")), record.get("note")
        keys = (TableCell(str(record["view"])), TableCell(dose_text(record["dose"])), TableCell(str(record["seed"])))
        values = [TableCell(_number_or_dash(record[key])) for _, key in columns]
        verdict = TableCell("yes") if ok else TableCell("no", str(note) if isinstance(note, str) else "", css="bad")
        table.append((*keys, TableCell(record["method"], method=record["method"]), *values, verdict))
    return Table(("view", "dose", "seed", "method", *(name for name, _ in columns), "registered"), tuple(table), 4)
