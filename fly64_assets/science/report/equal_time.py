"""At equal CPU time: what every other method had reached in the time that a method takes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.roles import quoted
from fly64_assets.science.report.scores import HEADLINE, Scores, stands_first
from fly64_assets.science.report.tables import Table, TableCell
from fly64_assets.science.report.wording import dose_text, fixed_text, listed, number_text, signed_text

_COSTS = ("cpu_seconds_reconstruct", "cpu_seconds_train")

Trace = Sequence[tuple[float, float]]
"""CPU-seconds and phase SSIM, earliest first."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What a method had at a time; means over seeds.

    Attributes:
        value: phase SSIM; NaN if it had nothing yet, for one seed at least.
        ended: whether it had done all its steps by then, for every seed.
    """

    value: float
    ended: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """A time that a method took, and what the others had by then.

    Attributes:
        cpu_seconds: the time, mean over seeds.
        others: by method, those with a trace.
    """

    cpu_seconds: float
    others: Mapping[str, Reached]


@dataclass(frozen=True, slots=True)
class EqualTime:
    """A method in a cell beside the others at its own CPU time.

    Attributes:
        dose: requested photons per pattern.
        view: name.
        method: whose time it is.
        value: its phase SSIM.
        alone: the time of the reconstruction alone.
        with_training: the training included; None if it has no training time on record.
    """

    dose: float
    view: str
    method: str
    value: float
    alone: Budget
    with_training: Budget | None


def value_at(cpu_seconds: float, trace: Trace) -> float:
    """A trace at a time, linear between its points and held after the last one; NaN before the first.

    A trace of two points is a start and a result with nothing between them: the start holds until the result is there.

    >>> trace = [(1.0, 0.25), (2.0, 0.5), (4.0, 1.0)]
    >>> [value_at(seconds, trace) for seconds in (0.5, 1.0, 3.0, 9.0)]
    [nan, 0.25, 0.75, 1.0]
    >>> value_at(1.5, trace[:2])
    0.25
    """
    times, values = zip(*trace, strict=True)
    if cpu_seconds < times[0]:
        return math.nan
    if len(trace) == 2:
        return values[1] if cpu_seconds >= times[1] else values[0]
    return float(np.interp(cpu_seconds, times, values))


def at_equal_time(data: ReportData, scores: Scores) -> list[EqualTime]:
    """Each scored method of each cell beside the others, by view, dose and method; none without others' traces.

    Of the first object alone, as no other way is kept. Seeds are compared one by one and then averaged; a seed
    counts if the method's score and time and another's trace are known. What diverged is beside nobody.
    """
    traces, rows = _traces(data, scores), _rows(data)
    found = []
    for view in data.views:
        for dose in sorted(data.doses):
            known = {m: _by_seed(rows, dose, view, m) for m in scores.methods(dose, view)}
            reached = {m: traces[dose, view, m] for m in data.names if (dose, view, m) in traces}
            found += [_compare(dose, view, m, seeds, reached) for m, seeds in known.items() if seeds]
    return [each for each in found if each.alone.others]


def _compare(
    dose: float, view: str, method: str, seeds: Mapping[int, dict[str, float]], traces: Mapping[str, dict[int, Trace]]
) -> EqualTime:
    others = {m: found for m, found in traces.items() if m != method}
    shared = {seed: known for seed, known in seeds.items() if any(seed in found for found in others.values())}
    used = shared or seeds
    alone = _budget({seed: known[_COSTS[0]] for seed, known in used.items()}, others)
    trained = all(known.get(_COSTS[1], 0.0) > 0 for known in used.values())
    whole = _budget({s: known[_COSTS[0]] + known[_COSTS[1]] for s, known in used.items()}, others) if trained else None
    value = statistics.fmean(known[HEADLINE[0]] for known in used.values())
    return EqualTime(dose, view, method, value, alone, whole)


def _budget(seconds: Mapping[int, float], others: Mapping[str, Mapping[int, Trace]]) -> Budget:
    reached = {}
    for method, traces in others.items():
        common = [(seconds[seed], trace) for seed, trace in sorted(traces.items()) if seed in seconds]
        if common:
            value = statistics.fmean(value_at(time, trace) for time, trace in common)
            reached[method] = Reached(value, all(time >= trace[-1][0] for time, trace in common))
    return Budget(statistics.fmean(seconds.values()), reached)


def _by_seed(rows: dict, dose: float, view: str, method: str) -> dict[int, dict[str, float]]:
    """Score and costs of a method by seed, of the seeds that have both a score and a time."""
    mine = {seed: known for (d, v, seed, m), known in sorted(rows.items()) if (d, v, m) == (dose, view, method)}
    return {seed: known for seed, known in mine.items() if {HEADLINE[0], _COSTS[0]} <= set(known)}


def _traces(data: ReportData, scores: Scores) -> dict[tuple[float, str, str], dict[int, Trace]]:
    """Traces by cell and method, then by seed, test split."""
    records: list[dict[Any, Any]] = [] if data.trace is None else data.trace.to_dict("records")
    points: dict[tuple[float, str, str, int], list[tuple[float, float]]] = defaultdict(list)
    for r in records:
        cell = float(r["dose"]), str(r["view"]), str(r["method"])
        usable = math.isfinite(r["value"]) and math.isfinite(r["cpu_seconds"]) and not scores.diverged(*cell)
        if r["split"] == "test" and usable:
            points[(*cell, int(r["seed"]))].append((float(r["cpu_seconds"]), float(r["value"])))
    found: dict[tuple[float, str, str], dict[int, Trace]] = defaultdict(dict)
    for (*cell, seed), trace in points.items():
        found[tuple(cell)][seed] = sorted(trace)  # type: ignore[index]
    return found


def _rows(data: ReportData) -> dict[tuple[float, str, int, str], dict[str, float]]:
    """Score and costs by cell, seed and method, test split."""
    records: list[dict[Any, Any]] = data.of_first_object(data.metrics).to_dict("records")
    found: dict[tuple[float, str, int, str], dict[str, float]] = defaultdict(dict)
    for r in records:
        wanted = (r["metric"], r["part"]) == HEADLINE or r["metric"] in _COSTS
        if wanted and stands_first(r) and r["split"] == "test" and math.isfinite(r["value"]):
            found[float(r["dose"]), r["view"], r["seed"], r["method"]][r["metric"]] = float(r["value"])
    return found


def equal_time_table(
    data: ReportData, scores: Scores, found: Sequence[EqualTime], *, with_training: bool = False
) -> Table:
    """A row per cell and method, a column per other method: what that had reached in the row's time.

    Args:
        data: the study, for the order of its methods.
        scores: for what diverged.
        found: the comparisons.
        with_training: the training counts into the time; methods without one are left out.
    """
    chosen = [(e, e.with_training if with_training else e.alone) for e in found]
    budgets = [(e, budget) for e, budget in chosen if budget is not None]
    columns = [m for m in data.names if any(m in budget.others for _, budget in budgets)]
    rows = []
    for each, budget in budgets:
        keys = (TableCell(f"{each.view}, {dose_text(each.dose)}"), TableCell(each.method, method=each.method))
        own = (TableCell(number_text(budget.cpu_seconds, 2)), TableCell(fixed_text(each.value)))
        diverged = {m for m in columns if scores.diverged(each.dose, each.view, m)}
        others = (_other_cell(each, budget.others.get(m), m, diverged=m in diverged) for m in columns)
        rows.append((*keys, *own, *others))
    groups = (("", 4), ("what the others had reached in that time", len(columns)))
    headers = ("cell", "method", "CPU-s", "phase SSIM", *columns)
    return Table(headers, tuple(rows), 2, groups, compact=True)


def _other_cell(each: EqualTime, reached: Reached | None, method: str, *, diverged: bool) -> TableCell:
    if diverged:
        return TableCell("diverged", css="muted", note=f"{method} diverged in this cell")
    if reached is None:
        return TableCell("" if method == each.method else "–", css="muted")
    if math.isnan(reached.value):
        return TableCell("–", css="muted", note=f"{method} had nothing by then")
    note = "its final score: all its steps were done by then" if reached.ended else "on its way"
    ahead = "ahead" if reached.value > each.value else ""
    text = fixed_text(reached.value) + (" †" if reached.ended else "")
    return TableCell(text, css=ahead, note=f"{method}, {note}: {signed_text(reached.value - each.value)}")


def equal_time_sentences(data: ReportData, found: Sequence[EqualTime]) -> list[str]:
    """One sentence per learned method: in how many cells it is ahead of those without a network, at its own time."""
    learned = [role.name for role in data.methods if role.learned]
    rivals = [role.name for role in data.methods if not role.learned]
    sentences = []
    for method in learned:
        mine = [each for each in found if each.method == method]
        alone = _leads(rivals, [(each.value, each.alone) for each in mine])
        whole = _leads(rivals, [(each.value, each.with_training) for each in mine if each.with_training])
        if alone:
            where = f"On {data.objects[0]}, at" if len(data.objects) > 1 else "At"
            text = f"{where} equal CPU time `{method}` is ahead {alone}"
            sentences.append(text + (f"; with its training counted, {whole}." if whole else "."))
    return sentences


def _leads(rivals: Sequence[str], budgets: Sequence[tuple[float, Budget]]) -> str:
    """Of whom in how many cells, those with the same numbers together; a rival that has nothing yet is behind."""
    by_numbers: dict[tuple[int, int], list[str]] = {}
    for rival in rivals:
        met = [(value, budget.others[rival].value) for value, budget in budgets if rival in budget.others]
        if met:
            ahead = sum(not other >= value for value, other in met)
            by_numbers.setdefault((ahead, len(met)), []).append(rival)
    units = [" cells", *[""] * len(by_numbers)]
    if by_numbers and next(iter(by_numbers))[1] == 1:
        units[0] = " cell"
    return listed(
        [
            f"of {quoted(names)} in {ahead} of {total}{unit}"
            for ((ahead, total), names), unit in zip(by_numbers.items(), units, strict=False)
        ]
    )
