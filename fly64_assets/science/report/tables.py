"""The tables of a report, as rows of text ready to be laid out."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fly64_assets.science.records import SPLITS
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.ranking import cells_text, leaders, rank
from fly64_assets.science.report.reported_metric import ReportedMetric
from fly64_assets.science.report.scores import HEADLINE, WORSE_THAN_FLAT, Estimate, Scores, is_registered, scored_rows
from fly64_assets.science.report.wording import dose_text, fixed_text, listed, number_text, signed_text

MAX_WIDE_COLUMNS = 9
"""A table with more columns is set narrowly."""
MAX_PLAIN_DIGITS = 6

Row = tuple[float, str, str, str]
"""Dose, view, split and method."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell.

    Attributes:
        text: what it says.
        small: a second, smaller line, for example an interval.
        css: classes: "best", "tied", "ahead", "muted", "bad".
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
        compact: set narrowly, for many columns.
    """

    headers: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    n_keys: int = 1
    groups: tuple[tuple[str, int], ...] = ()
    compact: bool = False

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
    return [(status, cells_text(mine, everything, data.names), reason) for (status, reason), mine in found.items()]


def headline(data: ReportData, scores: Scores) -> Table:
    """Phase SSIM on the test split: a row per scored cell, a column per method, the best one marked."""
    methods = scores.shown_methods()
    rows = []
    for view in data.views:
        for dose in sorted(data.doses):
            first = leaders(scores, (dose, view))
            values = [_headline_cell(scores, dose, view, m, first) for m in methods]
            if any(value.text != "–" for value in values):
                rows.append((TableCell(view), TableCell(dose_text(dose)), *values))
    return Table(("view", "dose", *methods), tuple(rows), 2, compact=len(methods) > MAX_WIDE_COLUMNS)


def _headline_cell(scores: Scores, dose: float, view: str, method: str, first: Collection[str]) -> TableCell:
    diverged = scores.diverged(dose, view, method)
    if diverged:
        return TableCell("diverged", css="bad", note=f"{diverged}: not ranked")
    estimate = scores.get(dose, view, method, *HEADLINE)
    if estimate is None:
        return TableCell("–", css="muted", note=scores.unscored(dose, view, method) or "not scored")
    css = ("best" if len(first) == 1 else "tied") if method in first else ""
    note = {"best": "highest, apart from all others", "tied": "not distinguishable from the highest"}.get(css, "")
    if not estimate.registered:
        css, note = "bad", "registration failed: not ranked"
    worse = scores.worse_than_flat(dose, view, method)
    note = "; ".join(filter(None, (note, WORSE_THAN_FLAT if worse else "")))
    few = f"{estimate.n_objects} of {scores.n_objects()} objects: not ranked"
    if estimate.n_objects < scores.n_objects():
        css, note = "muted", "; ".join(filter(None, (note, few)))
    under = _under(scores, dose, view, method, estimate)
    return TableCell(fixed_text(estimate.value) + (" ‡" if worse else ""), under, css, note=note)


def _interval(estimate: Estimate, decimals: int) -> str:
    if not math.isfinite(estimate.low):
        return ""
    return f"{fixed_text(estimate.low, decimals)}–{fixed_text(estimate.high, decimals)}"


def _under(scores: Scores, dose: float, view: str, method: str, estimate: Estimate) -> str:
    """Under a headline score: its interval, or the paired difference from the highest; and the other alignment's."""
    ranked = [name for name, _ in rank(scores, (dose, view))]
    apart = scores.difference(dose, view, method, ranked[0]) if ranked and method in ranked[1:] else None
    first = _interval(estimate, 2)
    if apart is not None and apart.over == "objects":
        first = f"{signed_text(apart.mean, 3)} ± {fixed_text((apart.high - apart.low) / 2, 3)}"
    beside = scores.beside(dose, view, method, *HEADLINE)
    other = "full" if scores.alignment(dose, view, method) == "scale" else "scale"
    return "\n".join(filter(None, (first, f"{other} {fixed_text(beside.value)}" if beside else "")))


def all_scores(data: ReportData, scores: Scores, split: str) -> Table:
    """Every shown metric of every cell and method of one split; columns that nobody has are left out."""
    return _score_table(data, scores, _rows(data, scores, data.names, (split,)), "method")


def sanity(data: ReportData, scores: Scores) -> Table:
    """What a flat object and the object itself score: the ends of every scale."""
    return _score_table(data, scores, _rows(data, scores, ("flat", "truth"), ("test",)), "row")


def _rows(data: ReportData, scores: Scores, methods: Collection[str], splits: Collection[str]) -> list[Row]:
    """What has a number, by view in the study's order."""
    order = {view: index for index, view in enumerate(data.views)}
    chosen = [row for row in scored_rows(scores) if row[3] in methods and row[2] in splits and row[1] in order]
    return sorted(chosen, key=lambda row: order[row[1]])


def _score_table(data: ReportData, scores: Scores, rows: Sequence[Row], row_name: str) -> Table:
    columns = [m for m in data.metric_records if any(_estimate(scores, row, m) for row in rows)]
    found = []
    for row in rows:
        dose, view, _, method = row
        keys = (TableCell(view), TableCell(dose_text(dose)), TableCell(method, method=method))
        found.append((*keys, *(_scored(scores, row, metric) for metric in columns)))
    return Table(("view", "dose", row_name, *(m.heading for m in columns)), tuple(found), 3)


def _estimate(scores: Scores, row: Row, metric: ReportedMetric) -> Estimate | None:
    dose, view, split, method = row
    return scores.get(dose, view, method, metric.name, metric.part, split)


def _scored(scores: Scores, row: Row, metric: ReportedMetric) -> TableCell:
    dose, view, split, method = row
    estimate = _estimate(scores, row, metric)
    diverged = scores.diverged(dose, view, method, split)
    if diverged and (metric.name, metric.part) == HEADLINE:
        return TableCell("diverged", css="bad", note=diverged)
    if estimate is None:
        return TableCell("–", css="muted")
    spans_decades = metric.direction == "zero" or abs(estimate.value) >= 10**MAX_PLAIN_DIGITS
    text = (number_text if spans_decades else fixed_text)(estimate.value, metric.digits)
    if "no crossing" in estimate.note:
        return TableCell(f"≥ {text}", note=estimate.note)
    beside = scores.beside(dose, view, method, metric.name, metric.part, split) if method in scores.order else None
    small = fixed_text(beside.value, metric.digits) if beside else ""
    if not estimate.registered and method in scores.order:
        return TableCell(text, small, css="bad", note=estimate.note or "registration failed")
    return TableCell(text, small)


def sanity_verdict(data: ReportData, scores: Scores) -> tuple[bool, str]:
    """Whether the ends of the scale are where they must be, in words; true where there is nothing to judge."""
    flat, truth = (_rows(data, scores, (name,), SPLITS) for name in ("flat", "truth"))
    if not flat or not truth:
        return True, "The table has no sanity rows."

    def values(rows: Sequence[Row], metric: str, part: str) -> list[float]:
        found = [scores.get(dose, view, method, metric, part, split) for dose, view, split, method in rows]
        return [e.value if e else math.nan for e in found]

    faults = []
    if not all(abs(v) < 0.01 for v in values(flat, "pearson", "phase")):
        faults.append("a flat object does not score Pearson 0 everywhere")
    if not all(v > 0.999 for v in values(truth, *HEADLINE)):
        faults.append("the object itself does not score SSIM 1 everywhere")
    if not all(abs(v) < 1e-6 for v in values(truth, "excess_nll", "")):
        faults.append("the object itself does not have excess NLL 0 everywhere")
    if faults:
        return False, f"The scale itself is in doubt: {listed(faults)}. Do not trust the scores before this is cleared."
    return (
        True,
        "In every cell and split a flat object scores Pearson 0, and the object itself SSIM 1 and excess NLL 0.",
    )


def cost(data: ReportData, scores: Scores) -> Table:
    """CPU-seconds to reconstruct and to train, with the training patterns: a row per cell, columns per method."""
    methods = scores.shown_methods()
    trained = [role.name for role in data.methods if role.trains != "nothing" and role.name in methods]
    rows = []
    for view in data.views:
        for dose in sorted(data.doses):
            times = [scores.get(dose, view, m, "cpu_seconds_reconstruct") for m in methods]
            training = [scores.get(dose, view, m, "cpu_seconds_train") for m in trained]
            if any((*times, *training)):
                patterns = [scores.get(dose, view, m, "patterns_trained_on") for m in trained]
                values = (*map(_quantity, times), *map(_training_cell, training, patterns))
                rows.append((TableCell(view), TableCell(dose_text(dose)), *values))
    headers = ("view", "dose", *methods, *trained)
    groups = (("", 2), ("reconstruction, CPU-s", len(methods)), ("training, CPU-s", len(trained)))
    return Table(headers, tuple(rows), 2, groups if trained else groups[:2], compact=len(headers) > MAX_WIDE_COLUMNS)


def _training_cell(training: Estimate | None, patterns: Estimate | None) -> TableCell:
    """The time of a training, and under it its range over seeds and the patterns that it saw."""
    cell = _quantity(training)
    if patterns is None or patterns.value == 0:
        return cell
    return replace(cell, small=", ".join(filter(None, (cell.small, f"{number_text(patterns.value)} patterns"))))


def _quantity(estimate: Estimate | None) -> TableCell:
    if estimate is None or estimate.value == 0:
        return TableCell("–", css="muted")
    ends = {number_text(v) for v in (estimate.low, estimate.high) if math.isfinite(v)}
    small = f"{number_text(estimate.low)}–{number_text(estimate.high)}" if len(ends) > 1 else ""
    return TableCell(number_text(estimate.value), small)


def number_or_dash(value: object) -> str:
    """A number of a record, or a dash for anything else."""
    return number_text(float(value)) if isinstance(value, int | float | np.number) else "–"


_ALIGNMENT_COLUMNS = (
    ("shift x, px", "shift_x_px"),
    ("shift y, px", "shift_y_px"),
    ("ramp x, rad/px", "ramp_x_rad_per_px"),
    ("ramp y, rad/px", "ramp_y_rad_per_px"),
    ("scale", "scale_abs"),
    ("phase, rad", "scale_phase_rad"),
)


def alignment(data: ReportData, scores: Scores) -> Table:
    """What the full alignment took out of each result of the first object, and whether registration succeeded."""
    columns = [(name, key) for name, key in _ALIGNMENT_COLUMNS if key in data.metrics]
    if not columns or data.metrics.empty:
        return Table((), ())
    order = {view: index for index, view in enumerate(data.views)}
    records: list[dict[Any, Any]] = data.of_first_object(data.metrics).to_dict("records")
    places = {name: place for place, name in enumerate(data.names)}
    shown = [r for r in records if r["split"] == "test" and r["method"] in places and r["view"] in order]
    shown = [r for r in shown if (r["metric"], r["part"]) == HEADLINE and r.get("alignment") != "scale"]
    shown = [r for r in shown if not scores.diverged(r["dose"], r["view"], r["method"])]
    found = sorted(shown, key=lambda r: (order[r["view"]], r["dose"], r["seed"], places[r["method"]]))
    table = []
    for record in found:
        ok, note = is_registered(record.get("registration_ok")), record.get("note")
        keys = (TableCell(str(record["view"])), TableCell(dose_text(record["dose"])), TableCell(str(record["seed"])))
        values = [TableCell(number_or_dash(record[key])) for _, key in columns]
        verdict = TableCell("yes") if ok else TableCell("no", str(note) if isinstance(note, str) else "", css="bad")
        table.append((*keys, TableCell(record["method"], method=record["method"]), *values, verdict))
    return Table(("view", "dose", "seed", "method", *(name for name, _ in columns), "registered"), tuple(table), 4)
