"""At equal CPU time: what pty_chi would have scored, had it been given only the time that a network takes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.scores import HEADLINE
from fly64_assets.science.report.tables import Table, TableCell
from fly64_assets.science.report.wording import counted, dose_text, fixed_text, listed, number_text, signed_text

COMPARED = ("pinn", "pinn_refined")
_TRACED = "pty_chi"
_COSTS = ("cpu_seconds_reconstruct", "cpu_seconds_train")

Trace = Sequence[tuple[float, float]]
"""CPU-seconds and phase SSIM, earliest first."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A time that a network took, and what pty_chi had reached by then; means over seeds.

    Attributes:
        cpu_seconds: the time.
        value: phase SSIM of pty_chi at that time.
        ended: whether pty_chi had done all its epochs by then, for every seed.
    """

    cpu_seconds: float
    value: float
    ended: bool


@dataclass(frozen=True, slots=True)
class EqualTime:
    """A network in a cell beside pty_chi at the network's own CPU time.

    Attributes:
        dose: requested photons per pattern.
        view: name.
        method: the network.
        value: its phase SSIM.
        alone: the time of the reconstruction alone.
        with_training: the training included; None if it has no training time on record.
    """

    dose: float
    view: str
    method: str
    value: float
    alone: Offer
    with_training: Offer | None


def value_at(cpu_seconds: float, trace: Trace) -> float:
    """A trace at a time, linear between its points; its first and last values hold outside.

    >>> [value_at(seconds, [(0.0, 0.1), (2.0, 0.4)]) for seconds in (0.0, 1.0, 9.0)]
    [0.1, 0.25, 0.4]
    """
    times, values = zip(*trace, strict=True)
    return float(np.interp(cpu_seconds, times, values))


def at_equal_time(data: ReportData) -> list[EqualTime]:
    """Each network of each cell beside pty_chi, by view and dose; cells without a trace are left out.

    Seeds are compared one by one and then averaged; a seed counts if its trace, score and time are all known.
    """
    traces, rows = _traces(data), _rows(data)
    cells = [(dose, view) for view in data.views for dose in sorted(data.doses)]
    found = (_compare(traces, rows, *cell, method) for cell in cells for method in COMPARED)
    return [comparison for comparison in found if comparison is not None]


def _compare(traces: dict, rows: dict, dose: float, view: str, method: str) -> EqualTime | None:
    seeds = [
        (trace, known)
        for (d, v, seed), trace in sorted(traces.items())
        if (d, v) == (dose, view) and {HEADLINE[0], _COSTS[0]} <= set(known := rows.get((d, v, seed, method), {}))
    ]
    if not seeds:
        return None
    alone = _offer([(trace, known[_COSTS[0]]) for trace, known in seeds])
    trained = all(known.get(_COSTS[1], 0.0) > 0 for _, known in seeds)
    whole = _offer([(t, known[_COSTS[0]] + known[_COSTS[1]]) for t, known in seeds]) if trained else None
    value = statistics.fmean(known[HEADLINE[0]] for _, known in seeds)
    return EqualTime(dose, view, method, value, alone, whole)


def _offer(given: Sequence[tuple[Trace, float]]) -> Offer:
    return Offer(
        statistics.fmean(seconds for _, seconds in given),
        statistics.fmean(value_at(seconds, trace) for trace, seconds in given),
        all(seconds >= trace[-1][0] for trace, seconds in given),
    )


def _traces(data: ReportData) -> dict[tuple[float, str, int], Trace]:
    records: list[dict[Any, Any]] = [] if data.frontier is None else data.frontier.to_dict("records")
    found: dict[tuple[float, str, int], list[tuple[float, float]]] = defaultdict(list)
    for r in records:
        if r["method"] == _TRACED and r["split"] == "test" and math.isfinite(r["value"]):
            found[float(r["dose"]), r["view"], r["seed"]].append((float(r["cpu_seconds"]), float(r["value"])))
    return {key: sorted(points) for key, points in found.items()}


def _rows(data: ReportData) -> dict[tuple[float, str, int, str], dict[str, float]]:
    """Score and costs by cell, seed and method, test split."""
    records: list[dict[Any, Any]] = data.metrics.to_dict("records")
    found: dict[tuple[float, str, int, str], dict[str, float]] = defaultdict(dict)
    for r in records:
        wanted = (r["metric"], r["part"]) == HEADLINE or r["metric"] in _COSTS
        if wanted and r["split"] == "test" and math.isfinite(r["value"]):
            found[float(r["dose"]), r["view"], r["seed"], r["method"]][r["metric"]] = float(r["value"])
    return found


def equal_time_table(found: Iterable[EqualTime]) -> Table:
    """A row per cell and network; pty_chi's score at the network's time, and how far it is from the network's."""
    rows = []
    for each in found:
        keys = (TableCell(each.view), TableCell(dose_text(each.dose)), TableCell(each.method, method=each.method))
        cells = (*_offer_cells(each.alone, each.value), *_offer_cells(each.with_training, each.value))
        rows.append((*keys, TableCell(fixed_text(each.value)), *cells))
    headers = ("view", "dose", "method", "phase SSIM", "CPU-s", _TRACED, "CPU-s", _TRACED)
    return Table(headers, tuple(rows), 3, (("", 4), ("its reconstruction alone", 2), ("with its training", 2)))


def _offer_cells(offer: Offer | None, value: float) -> tuple[TableCell, TableCell]:
    if offer is None:
        return TableCell("–", css="muted"), TableCell("–", css="muted")
    note = "all its epochs were done by then" if offer.ended else "stopped on its way"
    text = fixed_text(offer.value) + (" †" if offer.ended else "")
    return TableCell(number_text(offer.cpu_seconds, 2)), TableCell(text, signed_text(offer.value - value), note=note)


def equal_time_sentences(found: Sequence[EqualTime]) -> list[str]:
    """In how many cells pty_chi scores lower, given a network's time; empty without traces."""
    sentences = []
    for method in COMPARED:
        mine = [each for each in found if each.method == method]
        if not mine:
            continue
        lower = sum(each.alone.value < each.value for each in mine)
        parts = [f"for reconstruction alone it scores lower in {lower} of {counted(len(mine), 'cell')}"]
        whole = [(each.value, each.with_training) for each in mine if each.with_training]
        if whole:
            lower = sum(offer.value < value for value, offer in whole)
            parts.append(f"with the training included in {lower} of {len(whole)}")
        sentences.append(f"`{_TRACED}` given the CPU time of `{method}`: {listed(parts)}.")
    return sentences
