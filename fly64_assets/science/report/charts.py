"""The charts of a report: which quantity against which, from the scores, as groups of small panels."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from fly64_assets.science.palette import method_style
from fly64_assets.science.records import METHODS
from fly64_assets.science.report.data import CellRecord, ReportData
from fly64_assets.science.report.scores import Estimate, Scores
from fly64_assets.science.report.svg import Axis, Chart, Point, Rule, Series, draw, marker_shape
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text

DOSE_LABEL = "photons per pattern"
MAX_CURVE_POINTS = 64


@dataclass(frozen=True, slots=True)
class Quantity:
    """A score that is charted against dose.

    Attributes:
        metric: name in the table.
        part: part in the table, None for whichever it has.
        label: axis label.
        better: what a reader should look for.
        limits: fixed axis limits, the same for every study.
    """

    metric: str
    part: str | None
    label: str
    better: str
    limits: tuple[float, float] | None = None


QUANTITIES = (
    Quantity("ssim", "phase", "phase SSIM", "Higher is better; 1 is the object itself.", (0.0, 1.0)),
    Quantity("rmse", "phase", "phase RMS error, rad", "Lower is better; the dashed line is the Cramér–Rao bound."),
    Quantity("psnr", "phase", "phase PSNR, dB", "Higher is better."),
    Quantity("pearson", "phase", "phase Pearson r", "Higher is better; a flat result scores 0.", (0.0, 1.0)),
    Quantity("frc50", None, "FRC50, cycles/px", "Higher is better: detail kept at half correlation; blind to blur."),
    Quantity(
        "excess_nll",
        None,
        "excess NLL, nats per pattern",
        "Nearer to 0 is better: above, data unexplained; below, noise fitted.",
    ),
)


def quality_against_dose(data: ReportData, scores: Scores, quantity: Quantity) -> list[Markup]:
    """One panel per view: each method's score over the doses, with intervals, and the bound for the phase error."""
    charts = []
    limits = _shared_limits(data, scores, quantity)
    x_axis = _dose_axis(sorted({dose for dose, _ in scores.cells()} & set(data.doses)))
    for view in data.views:
        series = [_dose_series(data, scores, quantity, view, m, method_style(m).dash) for m in METHODS]
        if quantity.metric == "rmse":
            series.append(_bound_series(data, scores, view))
        shown = tuple(s for s in series if s.points)
        if any(s.method != "bound" for s in shown):
            rules = (Rule(0.0, ""),) if quantity.metric == "excess_nll" else ()
            text = f"{quantity.label} of each method against dose, view {view}, test split. {quantity.better}"
            y_axis = Axis(quantity.label, log=quantity.metric == "rmse", limits=limits)
            charts.append(draw(Chart(_view_title(data, view), text, x_axis, y_axis, shown, rules)))
    return charts


def quality_against_overlap(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per dose: phase SSIM over the measured overlap of the views."""
    overlaps = {(c.dose, c.view): measured_overlap(c) for c in data.cells}
    charts = []
    for dose in sorted(data.doses):
        known = sorted((o, view) for (d, view), o in overlaps.items() if d == dose and math.isfinite(o))
        series = []
        for method in METHODS:
            found = [(o, scores.get(dose, v, method, "ssim", "phase"), v) for o, v in known]
            points = tuple(_point(o, e, f"{method}, {v} (overlap {fixed_text(o)})") for o, e, v in found if e)
            series.append(Series(method, method, points, method_style(method).marker, method_style(method).dash))
        shown = tuple(s for s in series if s.points)
        if shown:
            title = f"{dose_text(dose)} per pattern"
            text = f"Phase SSIM against the measured overlap at {dose:g} photons per pattern, test split."
            x_axis = Axis("measured overlap", limits=(min(0.0, *(o for o, _ in known)), 1.0))
            charts.append(draw(Chart(title, text, x_axis, Axis("phase SSIM", limits=(0.0, 1.0)), shown)))
    return charts


def quality_against_fluence(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per method: phase SSIM over photons per object pixel, one line per view."""
    markers = ("circle", "square", "triangle", "diamond")
    charts = []
    for method in METHODS:
        series = []
        for index, view in enumerate(data.views):
            points = []
            for dose in sorted(data.doses):
                fluence = cell_fluence(data, scores, dose, view)
                estimate = scores.get(dose, view, method, "ssim", "phase")
                if estimate and fluence > 0:
                    note = f"{method}, {view}, {dose_text(dose)} per pattern: {number_text(fluence)} per object pixel"
                    points.append(_point(fluence, estimate, note))
            dash = ("", "6 3", "2 3", "8 3 2 3")[index % 4]
            series.append(Series(view, method, tuple(sorted(points, key=lambda p: p.x)), markers[index % 4], dash))
        shown = tuple(s for s in series if s.points)
        if shown:
            text = f"Phase SSIM of {method} against photons per object pixel, one line per view, test split."
            x_axis = Axis("photons per object pixel", log=True)
            charts.append(draw(Chart(method, text, x_axis, Axis("", limits=(0.0, 1.0)), shown)))
    return charts


def quality_against_cost(data: ReportData, scores: Scores) -> list[Markup]:
    """One panel per cell: phase SSIM over CPU-seconds; filled points reconstruct, hollow ones include training."""
    charts = []
    for cell in data.all_cells():
        series = [s for m in METHODS for s in _cost_series(data, scores, cell, m)]
        if series:
            title = f"{cell.view}, {dose_text(cell.dose)}"
            text = f"Phase SSIM against CPU-seconds, {cell.view} at {cell.dose:g} photons per pattern, test split."
            x_axis = Axis("CPU-seconds", log=True)
            chart = Chart(title, text, x_axis, Axis("", limits=(0.0, 1.0)), tuple(series), direct_labels=False)
            charts.append(draw(chart))
    return charts


def frc_charts(data: ReportData) -> list[Markup]:
    """One panel per cell: Fourier ring correlation with the object, test split, mean over seeds."""
    curves = _mean_curves(data.frc)
    charts = []
    for cell in data.all_cells():
        mine = {m: curves[cell.dose, cell.view, m] for m in METHODS if (cell.dose, cell.view, m) in curves}
        if mine:
            series = tuple(Series(m, m, points, None, method_style(m).dash) for m, points in mine.items())
            floor = min(0.0, *(math.floor(p.y * 5) / 5 for points in mine.values() for p in points))
            text = f"Fourier ring correlation with the object, {cell.view} at {cell.dose:g} photons per pattern."
            x_axis = Axis("spatial frequency, cycles/px", limits=(0.0, 0.5))
            y_axis = Axis("FRC", limits=(floor, 1.0))
            title = f"{cell.view}, {dose_text(cell.dose)}"
            charts.append(draw(Chart(title, text, x_axis, y_axis, series, (Rule(0.5, ""),), direct_labels=False)))
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


def _dose_series(data: ReportData, scores: Scores, quantity: Quantity, view: str, method: str, dash: str) -> Series:
    points = []
    for dose in sorted(data.doses):
        estimate = scores.get(dose, view, method, quantity.metric, quantity.part)
        if estimate:
            points.append(_point(dose, estimate, f"{method}, {view}, {dose_text(dose)}"))
    return Series(method, method, tuple(points), method_style(method).marker, dash)


def _bound_series(data: ReportData, scores: Scores, view: str) -> Series:
    found = [(dose, scores.of_cell(dose, view, "phase_bound_rms")) for dose in sorted(data.doses)]
    points = tuple(_point(dose, e, f"bound, {view}, {dose_text(dose)}") for dose, e in found if e)
    return Series("bound", "bound", points, None if len(points) > 1 else "dash", method_style("bound").dash)


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


def _shared_limits(data: ReportData, scores: Scores, quantity: Quantity) -> tuple[float, float] | None:
    """The same y limits in every panel of a group; fixed ones widened where values lie outside."""
    found = [
        scores.get(dose, view, method, quantity.metric, quantity.part)
        for dose in data.doses
        for view in data.views
        for method in METHODS
    ]
    if quantity.metric == "rmse":
        found += [scores.of_cell(dose, view, "phase_bound_rms") for dose in data.doses for view in data.views]
    values = [v for e in found if e for v in (e.value, e.low, e.high) if math.isfinite(v)]
    if not values:
        return quantity.limits
    low, high = min(values), max(values)
    if quantity.limits:
        return min(quantity.limits[0], low), max(quantity.limits[1], high)
    if quantity.metric == "rmse":
        positive = min((v for v in values if v > 0), default=1e-3)
        return positive / 1.25, max(high, positive) * 1.25
    pad = (high - low) * 0.08 or max(abs(high) * 0.1, 0.1)
    floor = max(low - pad, 0.0) if low >= 0 and quantity.metric == "frc50" else low - pad
    return floor, high + pad


def _cost_series(data: ReportData, scores: Scores, cell: CellRecord, method: str) -> Iterable[Series]:
    quality = scores.get(cell.dose, cell.view, method, "ssim", "phase")
    cost = scores.get(cell.dose, cell.view, method, "cpu_seconds_reconstruct")
    if quality is None or cost is None or cost.value <= 0:
        return
    where = f"{method}, {cell.view}, {dose_text(cell.dose)}"
    trace = _frontier_points(data.frontier, cell, method)
    if trace:
        yield Series(method, method, trace, None, method_style(method).dash)
    points = [_point(cost.value, quality, f"{where}, {number_text(cost.value)} CPU-s")]
    training = scores.get(cell.dose, cell.view, method, "cpu_seconds_train")
    if training and training.value > 0:
        total = cost.value + training.value
        note = f"{where}, with training {number_text(total)} CPU-s: {fixed_text(quality.value)}"
        points.append(Point(total, quality.value, note=note, hollow=True))
    yield Series(method, method, tuple(points), method_style(method).marker, "1 3")


def _frontier_points(frontier: pd.DataFrame | None, cell: CellRecord, method: str) -> tuple[Point, ...]:
    """The trace of a method in a cell, of its first seed, test split."""
    records: list[dict[Any, Any]] = [] if frontier is None else frontier.to_dict("records")
    mine = [r for r in records if (r["dose"], r["view"], r["method"]) == (cell.dose, cell.view, method)]
    mine = [r for r in mine if r["split"] == "test" and r["cpu_seconds"] > 0 and math.isfinite(r["value"])]
    first = min((r["seed"] for r in mine), default=None)
    points = sorted((float(r["cpu_seconds"]), float(r["value"])) for r in mine if r["seed"] == first)
    return tuple(Point(x, y) for x, y in points)


def _mean_curves(frc: pd.DataFrame) -> dict[tuple[float, str, str], tuple[Point, ...]]:
    """Test-split curves by dose, view and method, mean over seeds, thinned to ``MAX_CURVE_POINTS``."""
    values: dict[tuple[float, str, str], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    records: list[dict[Any, Any]] = frc.to_dict("records")
    for row in records:
        if row["split"] == "test" and math.isfinite(row["frc"]):
            values[row["dose"], row["view"], row["method"]][row["frequency_cycles_per_px"]].append(row["frc"])
    curves = {}
    for key, by_frequency in values.items():
        points = [Point(float(f), statistics.fmean(v)) for f, v in sorted(by_frequency.items())]
        curves[key] = tuple(points[:: max(1, math.ceil(len(points) / MAX_CURVE_POINTS))])
    return curves


def legend(methods: Iterable[str]) -> Mapping[str, Markup]:
    """A small line with the method's marker, by method, for legends and tables."""
    keys = {}
    for method in methods:
        style = method_style(method)
        dash = Markup(' stroke-dasharray="{}"').format(style.dash) if style.dash else ""
        keys[method] = Markup(
            '<svg class="key m-{}" viewBox="0 0 28 14" aria-hidden="true"><path class="line" d="M1 7H27"{}/>{}</svg>'
        ).format(method, dash, marker_shape(style.marker, 14.0, 7.0))
    return keys
