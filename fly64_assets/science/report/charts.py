"""The charts of a report: which quantity against which, from the scores, as groups of small panels."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from fly64_assets.science.palette import DASHES, MARKER_GLYPHS, Marker, MethodStyle
from fly64_assets.science.records import ALIGNMENTS, BOUND_METHOD
from fly64_assets.science.report.data import CellRecord, ReportData
from fly64_assets.science.report.markers import marker_shape
from fly64_assets.science.report.reported_metric import ReportedMetric
from fly64_assets.science.report.scores import HEADLINE, Estimate, Scores
from fly64_assets.science.report.svg import Axis, Chart, Point, Rule, Series, draw
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text

DOSE_LABEL = "photons per pattern"
MAX_CURVE_POINTS = 64
_MARK_EVERY = 20
_VIEW_MARKERS: tuple[Marker, ...] = tuple(marker for marker in MARKER_GLYPHS if marker not in ("cross", "dash"))


def quality_against_dose(data: ReportData, scores: Scores, metric: ReportedMetric) -> list[Markup]:
    """One panel per view: each method's score over the doses, with intervals, and the bound for the phase error."""
    charts = []
    limits = _shared_limits(data, scores, metric)
    x_axis = _dose_axis(sorted({dose for dose, _ in scores.cells()} & set(data.doses)))
    for view in data.views:
        series = [_dose_series(data, scores, metric, view, style) for style in _drawn(data)]
        scored = any(s.points for s in series)
        if _has_bound(metric):
            series.append(_bound_series(data, scores, view))
        if scored:
            rules = (Rule(0.0, ""),) if metric.direction == "zero" else ()
            text = f"{metric.heading} of each method against dose, view {view}, test split. {metric.better}"
            y_axis = Axis(metric.heading, log=_has_bound(metric), limits=limits)
            shown = tuple(s for s in series if s.points)
            charts.append(draw(Chart(_view_title(data, view), text, x_axis, y_axis, shown, rules)))
    return charts


def _has_bound(metric: ReportedMetric) -> bool:
    """Whether the Cramer-Rao bound is a bound of this metric, which then spans decades."""
    return (metric.name, metric.part) == ("rmse", "phase")


def _drawn(data: ReportData) -> list[MethodStyle]:
    """The looks of the study's methods, in its order."""
    styles = data.styles
    return [styles[name] for name in data.names]


def quality_against_overlap(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per dose: phase SSIM over the measured overlap of the views."""
    overlaps = {(c.dose, c.view): measured_overlap(c) for c in data.cells}
    charts = []
    for dose in sorted(data.doses):
        known = sorted((o, view) for (d, view), o in overlaps.items() if d == dose and math.isfinite(o))
        series = []
        for style in _drawn(data):
            found = [(o, scores.get(dose, v, style.label, *HEADLINE), v) for o, v in known]
            points = tuple(_point(o, e, f"{style.label}, {v} (overlap {fixed_text(o)})") for o, e, v in found if e)
            series.append(Series(style.label, style.css, points, style.marker, style.dash))
        shown = tuple(s for s in series if s.points)
        if shown:
            title = f"{dose_text(dose)} per pattern"
            text = f"Phase SSIM against the measured overlap at {dose:g} photons per pattern, test split."
            x_axis = Axis("measured overlap", limits=(min(0.0, *(o for o, _ in known)), 1.0))
            charts.append(draw(Chart(title, text, x_axis, Axis("phase SSIM", limits=(0.0, 1.0)), shown)))
    return charts


def quality_against_fluence(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per method: phase SSIM over photons per object pixel, one line per view."""
    charts = []
    for style in _drawn(data):
        method, series = style.label, []
        for index, view in enumerate(data.views):
            points = []
            for dose in sorted(data.doses):
                fluence = cell_fluence(data, scores, dose, view)
                estimate = scores.get(dose, view, method, *HEADLINE)
                if estimate and fluence > 0:
                    note = f"{method}, {view}, {dose_text(dose)} per pattern: {number_text(fluence)} per object pixel"
                    points.append(_point(fluence, estimate, note))
            marker, dash = _VIEW_MARKERS[index % len(_VIEW_MARKERS)], DASHES[index % len(DASHES)]
            series.append(Series(view, style.css, tuple(sorted(points, key=lambda p: p.x)), marker, dash))
        shown = tuple(s for s in series if s.points)
        if shown:
            text = f"Phase SSIM of {method} against photons per object pixel, one line per view, test split."
            x_axis = Axis("photons per object pixel", log=True)
            charts.append(draw(Chart(method, text, x_axis, Axis("", limits=(0.0, 1.0)), shown)))
    return charts


def quality_against_cost(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per cell: phase SSIM over CPU-seconds; filled points reconstruct, hollow ones include training."""
    charts, traces = [], _traces(data.trace)
    for cell in data.all_cells():
        series = [
            s
            for style in _drawn(data)
            for s in _cost_series(scores, cell, style, traces.get((cell.dose, cell.view, style.label), ()))
        ]
        if series:
            title = f"{cell.view}, {dose_text(cell.dose)}"
            text = f"Phase SSIM against CPU-seconds, {cell.view} at {cell.dose:g} photons per pattern, test split."
            x_axis = Axis("CPU-seconds", log=True)
            chart = Chart(
                title, text, x_axis, Axis("", limits=(0.0, 1.0)), tuple(series), direct_labels=False, dodge=False
            )
            charts.append(draw(chart))
    return charts


def frc_charts(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per cell: ring correlation with the first object, test split, mean over seeds, and its bound."""
    curves = _mean_curves(data.of_first_object(data.frc), scores)
    charts = []
    for cell in data.all_cells():
        found = [(style, curves.get((cell.dose, cell.view, style.label))) for style in _drawn(data)]
        mine = [(s, points) for s, points in found if points and not scores.diverged(cell.dose, cell.view, s.label)]
        if mine:
            series = tuple(
                Series(s.label, s.css, points, s.marker, s.dash, mark_every=_MARK_EVERY, first_mark=place * 2 + 3)
                for place, (s, points) in enumerate(mine)
            )
            bound = curves.get((cell.dose, cell.view, BOUND_METHOD), ())
            series += (Series(BOUND_METHOD, data.styles["bound"].css, bound, None, data.styles["bound"].dash),) * bool(
                bound
            )
            floor = min(0.0, *(math.floor(p.y * 5) / 5 for _, points in mine for p in points))
            text = f"Ring correlation with the object, bound dashed, {cell.view} at {cell.dose:g} photons per pattern."
            x_axis = Axis("spatial frequency, cycles/px", limits=(0.0, 0.5))
            y_axis = Axis("FRC", limits=(floor, 1.0))
            title = f"{cell.view}, {dose_text(cell.dose)}"
            charts.append(
                draw(Chart(title, text, x_axis, y_axis, series, (Rule(0.5, ""),), direct_labels=False, dodge=False))
            )
    return charts


def measured_overlap(cell: CellRecord, split: str = "test") -> float:
    """The measured overlap of a cell's split, NaN if unknown."""
    value = cell.view_summary.get(split, {}).get("measured_overlap")
    return float(value) if value is not None else math.nan


def cell_fluence(data: ReportData, scores: Scores, dose: float, view: str) -> float:
    """Photons per object pixel of a cell's test split, from the scores or else the view's record; NaN if unknown."""
    estimate = scores.of_cell(dose, view, "photons_per_object_pixel")
    if estimate:
        return estimate.value
    records = (c.view_summary.get("test", {}) for c in data.cells if (c.dose, c.view) == (dose, view))
    values = [r["photons_per_object_pixel"] for r in records if r.get("photons_per_object_pixel") is not None]
    return float(values[0]) if values else math.nan


def _view_title(data: ReportData, view: str) -> str:
    overlaps = [o for o in map(measured_overlap, (c for c in data.cells if c.view == view)) if math.isfinite(o)]
    return f"{view}, overlap {fixed_text(statistics.median(overlaps))}" if overlaps else view


def _dose_axis(doses: Sequence[float]) -> Axis:
    """All scored doses, the same in every panel; a single one stands in the middle."""
    if len(doses) < 2:
        centre = doses[0] if doses else 1.0
        return Axis(DOSE_LABEL, log=True, limits=(centre / 2, centre * 2), ticks=((centre, dose_text(centre)),))
    reach = (doses[-1] / doses[0]) ** 0.07
    every = math.ceil(len(doses) / 6)
    ticks = tuple((d, dose_text(d)) for d in doses[::every])
    return Axis(DOSE_LABEL, log=True, limits=(doses[0] / reach, doses[-1] * reach), ticks=ticks)


def _dose_series(data: ReportData, scores: Scores, metric: ReportedMetric, view: str, style: MethodStyle) -> Series:
    points = []
    for dose in sorted(data.doses):
        estimate = _charted(scores, dose, view, style.label, metric)
        if estimate:
            points.append(_point(dose, estimate, f"{style.label}, {view}, {dose_text(dose)}"))
    return Series(style.label, style.css, tuple(points), style.marker, style.dash)


def _charted(scores: Scores, dose: float, view: str, method: str, metric: ReportedMetric) -> Estimate | None:
    """A score that may be drawn: none of a method that diverged, whose likelihood would stretch every axis."""
    if scores.diverged(dose, view, method):
        return None
    return scores.get(dose, view, method, metric.name, metric.part)


def _bound_series(data: ReportData, scores: Scores, view: str) -> Series:
    found = [(dose, scores.of_cell(dose, view, "phase_bound_rms")) for dose in sorted(data.doses)]
    points = tuple(_point(dose, e, f"bound, {view}, {dose_text(dose)}") for dose, e in found if e)
    style = data.styles["bound"]
    return Series("bound", style.css, points, None if len(points) > 1 else style.marker, style.dash)


def _point(x: float, estimate: Estimate, note: str) -> Point:
    text = f"{note}: {interval_text(estimate)}" + ("" if estimate.registered else " (registration failed)")
    return Point(x, estimate.value, estimate.low, estimate.high, text, hollow=not estimate.registered)


def interval_text(estimate: Estimate, decimals: int | None = None) -> str:
    """Value with its interval in brackets, if it has one.

    >>> interval_text(Estimate(0.5, 0.45, 0.55), 2)
    '0.50 [0.45, 0.55]'
    """
    text = number_text if decimals is None else lambda v: fixed_text(v, decimals)
    if not math.isfinite(estimate.low):
        return text(estimate.value)
    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"


def _shared_limits(data: ReportData, scores: Scores, metric: ReportedMetric) -> tuple[float, float] | None:
    """The same y limits in every panel of a group; fixed ones widened where values lie outside."""
    cells = [(dose, view) for dose in data.doses for view in data.views]
    found = [_charted(scores, *cell, method, metric) for cell in cells for method in data.names]
    if _has_bound(metric):
        found += [scores.of_cell(*cell, "phase_bound_rms") for cell in cells]
    values = [v for e in found if e for v in (e.value, e.low, e.high) if math.isfinite(v)]
    if not values:
        return metric.limits
    low, high = min(values), max(values)
    if metric.limits:
        return min(metric.limits[0], low), max(metric.limits[1], high)
    if _has_bound(metric):
        positive = min((v for v in values if v > 0), default=1e-3)
        return positive / 1.25, max(high, positive) * 1.25
    pad = (high - low) * 0.08 or max(abs(high) * 0.1, 0.1)
    return max(low - pad, 0.0) if low >= 0 else low - pad, high + pad


def _cost_series(scores: Scores, cell: CellRecord, style: MethodStyle, trace: tuple[Point, ...]) -> Iterable[Series]:
    method = style.label
    quality = scores.get(cell.dose, cell.view, method, *HEADLINE)
    cost = scores.get(cell.dose, cell.view, method, "cpu_seconds_reconstruct")
    if quality is None or cost is None or cost.value <= 0:
        return
    where = f"{method}, {cell.view}, {dose_text(cell.dose)}"
    if len(trace) > 1:
        yield Series(method, style.css, trace, None, style.dash)
    points = [_point(cost.value, quality, f"{where}, {number_text(cost.value)} CPU-s")]
    training = scores.get(cell.dose, cell.view, method, "cpu_seconds_train")
    if training and training.value > 0:
        total = cost.value + training.value
        note = f"{where}, with training {number_text(total)} CPU-s: {fixed_text(quality.value)}"
        points.append(Point(total, quality.value, note=note, hollow=True))
    yield Series(method, style.css, tuple(points), style.marker, "1 3")


def _traces(trace: pd.DataFrame | None) -> dict[tuple[float, str, str], tuple[Point, ...]]:
    """What each method had on its way by dose, view and method, of its first seed, test split.

    A start at time 0 has no place on a logarithmic axis.
    """
    records: list[dict[Any, Any]] = [] if trace is None else trace.to_dict("records")
    found: dict[tuple[float, str, str], dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for r in records:
        if r["split"] == "test" and r["cpu_seconds"] > 0 and math.isfinite(r["value"]):
            key = float(r["dose"]), r["view"], r["method"]
            found[key][r["seed"]].append((float(r["cpu_seconds"]), float(r["value"])))
    return {key: tuple(Point(x, y) for x, y in sorted(by_seed[min(by_seed)])) for key, by_seed in found.items()}


def _mean_curves(frc: pd.DataFrame, scores: Scores) -> dict[tuple[float, str, str], tuple[Point, ...]]:
    """Test-split curves that stand first, by dose, view and method, mean over seeds, at ``MAX_CURVE_POINTS`` points."""
    values: dict[tuple[float, str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    records: list[dict[Any, Any]] = frc.to_dict("records")
    for row in records:
        first = scores.alignment(row["dose"], row["view"], row["method"])
        shown = row.get("alignment") not in ALIGNMENTS or row["alignment"] == first
        if shown and row["split"] == "test" and math.isfinite(row["frc"]):
            values[row["dose"], row["view"], row["method"]][row["frequency_cycles_per_px"]].append(row["frc"])
    curves = {}
    for key, by_frequency in values.items():
        points = [Point(float(f), statistics.fmean(v)) for f, v in sorted(by_frequency.items())]
        curves[key] = tuple(points[:: max(1, math.ceil(len(points) / MAX_CURVE_POINTS))])
    return curves


def legend(styles: Iterable[MethodStyle]) -> Mapping[str, Markup]:
    """A small line with the method's marker, by method, for legends and tables."""
    keys = {}
    for style in styles:
        dash = Markup(' stroke-dasharray="{}"').format(style.dash) if style.dash else ""
        keys[style.label] = Markup(
            '<svg class="key {}" viewBox="0 0 28 14" aria-hidden="true"><path class="line" d="M1 7H27"{}/>{}</svg>'
        ).format(style.css, dash, marker_shape(style.marker, 14.0, 7.0))
    return keys
