"""The metrics table, aggregated over objects and seeds: one estimate with an interval per cell, method and metric.

Every image was scored under two alignments. What is looked up is the score that stands first; the other one is asked
for as such. Two methods are compared by their paired differences, object by object or seed by seed.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from fly64_assets.science.metrics.paired import paired_difference, t_interval
from fly64_assets.science.records import ALIGNMENTS, AlignmentName

METRICS_COLUMNS = ("dose", "view", "split", "seed", "method", "metric", "part", "value")
HEADLINE = ("ssim", "phase")
DIVERGED = "diverged"
"""How the note of a method's headline row begins where its iteration did not end in a result."""
WORSE_THAN_FLAT = "explains the counts less well than a flat object"
"""The note of a learned result that is scored, although an empty object has the higher likelihood."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its uncertainty.

    Attributes:
        value: mean over objects, or over seeds of one object.
        low: lower end of the t-interval over objects; of one object the smallest seed, or the lower end of the
            bootstrap interval of a single seed; NaN if there is none.
        high: upper end, or the largest seed.
        n_seeds: seeds with a finite value.
        n_objects: objects with a finite value.
        interval: what ``low`` and ``high`` are.
        registered: False if the registration failed for any seed.
        note: what the table says about it.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n_seeds: int = 1
    n_objects: int = 1
    interval: Literal["objects", "seeds", "bootstrap", "none"] = "none"
    registered: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one method is above another in a cell.

    Attributes:
        mean: of the differences of those objects or seeds that both have.
        low: lower end of its 95 % t-interval. Of one object and seed: how far the two block bootstrap intervals are
            apart, which says nothing of other objects or other noise. NaN if there is none.
        high: upper end.
        n: differences behind it.
        over: what the interval is over.
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    n: int = 1
    over: Literal["objects", "seeds", "bootstrap", "none"] = "none"

    @property
    def above(self) -> bool:
        """Whether the whole interval is above 0; never without one."""
        return self.low > 0

    @property
    def below(self) -> bool:
        """Whether the whole interval is below 0; never without one."""
        return self.high < 0


class Scores:
    """Lookup of estimates by cell, method and metric.

    A method that diverged in a cell, for any seed, has no image scores there: only its likelihood and its costs count.

    Args:
        metrics: the metrics table; any subset of cells, methods, splits and seeds, also empty.
        methods: names of the study's methods, in its order.

    Raises:
        ValueError: the table is not empty and lacks a column.
    """

    def __init__(self, metrics: pd.DataFrame, methods: Sequence[str]) -> None:
        missing = [c for c in METRICS_COLUMNS if c not in metrics.columns]
        if missing and not metrics.empty:
            message = f"the metrics table lacks the columns {missing}; it has {list(metrics.columns)}"
            raise ValueError(message)
        self.order = tuple(methods)
        self._estimates: dict[tuple, Estimate] = {}
        self._values: dict[tuple, dict[tuple[str, int], float]] = {}
        self._alignments: dict[tuple, AlignmentName] = {}
        self._unscored: dict[tuple, str] = {}
        self._methods: dict[tuple, set[str]] = defaultdict(set)
        rows_by_key, beside = _rows_by_key(metrics)
        self._beside = {key: found for key, rows in beside.items() if (found := _aggregate(rows)) is not None}
        self._diverged = {key[:4]: note for key, rows in rows_by_key.items() if (note := _divergence(key, rows))}
        for key, rows in sorted(rows_by_key.items(), key=lambda item: item[0]):
            self._add(key, rows)

    def _add(self, key: tuple, rows: list[dict]) -> None:
        diverged = key[:4] in self._diverged
        estimate = None if diverged and key[5] else _aggregate(rows)
        if estimate is not None:
            self._estimates[key] = estimate
            self._values[key] = _by_repetition(rows)
        if key[4:] == HEADLINE:
            self._alignments[key[:4]] = next((r["alignment"] for r in rows if r.get("alignment") in ALIGNMENTS), "full")
        if key[4:] == HEADLINE and key[3] in self.order and not diverged:
            if estimate is not None:
                self._methods[key[:3]].add(key[3])
            else:
                self._unscored[key[:4]] = _notes(rows) or "no reason is on record"

    def get(
        self, dose: float, view: str, method: str, metric: str, part: str | None = None, split: str = "test"
    ) -> Estimate | None:
        """The estimate, or None. ``part`` None takes complex, then none, then phase."""
        parts = ("complex", "", "phase", "amplitude") if part is None else (part,)
        found = (self._estimates.get((float(dose), view, split, method, metric, p)) for p in parts)
        return next((e for e in found if e is not None), None)

    def beside(
        self, dose: float, view: str, method: str, metric: str, part: str | None, split: str = "test"
    ) -> Estimate | None:
        """The same score under the alignment that does not stand first; None if there is none."""
        key = float(dose), view, split, method, metric, part or ""
        return None if key[:4] in self._diverged else self._beside.get(key)

    def alignment(self, dose: float, view: str, method: str, split: str = "test") -> AlignmentName:
        """The alignment of a method's scores that stand first; a table that says none was aligned in full."""
        return self._alignments.get((float(dose), view, split, method), "full")

    def difference(self, dose: float, view: str, method: str, other: str, split: str = "test") -> Difference | None:
        """How far a method's headline score is above another's; None where they share no object and seed."""
        keys = [(float(dose), view, split, name, *HEADLINE) for name in (method, other)]
        if not all(key in self._values for key in keys):
            return None
        first, second = (self._values[key] for key in keys)
        paired = paired_difference(first, second)
        if paired is None:
            return None
        if paired.n > 1:
            several = len({name for name, _ in first} & {name for name, _ in second}) > 1
            return Difference(paired.mean, paired.low, paired.high, paired.n, "objects" if several else "seeds")
        mine, theirs = (self._estimates[key] for key in keys)
        if {mine.interval, theirs.interval} != {"bootstrap"}:
            return Difference(paired.mean)
        return Difference(paired.mean, mine.low - theirs.high, mine.high - theirs.low, 1, "bootstrap")

    def n_objects(self) -> int:
        """The objects of the cell and method that has most of them."""
        return max((e.n_objects for e in self._estimates.values()), default=1)

    def of_cell(self, dose: float, view: str, metric: str, split: str = "test") -> Estimate | None:
        """A quantity of the whole cell, under whichever method's row it stands."""
        for method in ("bound", "truth", "", "flat", *self.order):
            found = self.get(dose, view, method, metric, split=split)
            if found is not None:
                return found
        return None

    def methods(self, dose: float | None = None, view: str | None = None, split: str = "test") -> list[str]:
        """Methods with a finite headline score, in the study's order."""
        cells = self._methods if dose is None or view is None else [(float(dose), view, split)]
        present = set().union(*(self._methods[c] for c in cells if c in self._methods and c[2] == split))
        return [m for m in self.order if m in present]

    def shown_methods(self, split: str = "test") -> list[str]:
        """Methods with a headline score in some cell, or that diverged in one; in the study's order."""
        present = {*self.methods(split=split), *(key[3] for key in self._diverged if key[2] == split)}
        return [m for m in self.order if m in present]

    def cells(self, split: str = "test") -> list[tuple[float, str]]:
        """Cells with at least one scored method."""
        return sorted((dose, view) for dose, view, its_split in self._methods if its_split == split)

    def unscored(self, dose: float, view: str, method: str, split: str = "test") -> str:
        """Why a method that has rows has no finite headline score; empty if it has one or has no rows."""
        return self._unscored.get((float(dose), view, split, method), "")

    def diverged(self, dose: float, view: str, method: str, split: str = "test") -> str:
        """How a method diverged in a cell, for any of its seeds; empty if it did not."""
        return self._diverged.get((float(dose), view, split, method), "")

    def worse_than_flat(self, dose: float, view: str, method: str, split: str = "test") -> bool:
        """Whether a scored result is marked as explaining the counts less well than a flat object."""
        found = (self.get(dose, view, method, *each, split) for each in (HEADLINE, ("excess_nll", "")))
        return any(e is not None and WORSE_THAN_FLAT in e.note for e in found)

    def keys(self) -> Iterator[tuple]:
        """(dose, view, split, method, metric, part) of every estimate, sorted."""
        return iter(self._estimates)


RowsByKey = dict[tuple, list[dict]]


def _rows_by_key(metrics: pd.DataFrame) -> tuple[RowsByKey, RowsByKey]:
    """The rows that stand first, or need no alignment; and those of the other alignment."""
    first: RowsByKey = defaultdict(list)
    beside: RowsByKey = defaultdict(list)
    for row in metrics.to_dict("records"):
        names = (str(row[name]) for name in ("view", "split", "method", "metric"))
        key = (float(row["dose"]), *names, row["part"] if isinstance(row["part"], str) else "")
        (first if stands_first(row) else beside)[key].append(row)
    return first, beside


def stands_first(row: Mapping[Any, Any]) -> bool:
    """Whether a row's score stands first, or needs no alignment; also when it was read from CSV.

    >>> [stands_first({"stands_first": flag}) for flag in (True, "False", float("nan"))], stands_first({})
    ([True, False, True], True)
    """
    return str(row.get("stands_first")) != "False"


def standing_first(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score table that stand first, or need no alignment."""
    return pd.DataFrame(table[[stands_first({"stands_first": flag}) for flag in table["stands_first"]]])


def _by_repetition(rows: list[dict]) -> dict[tuple[str, int], float]:
    """Finite values by object and seed."""
    return {
        (str(row.get("object", "")), int(row["seed"])): float(row["value"])
        for row in rows
        if math.isfinite(float(row["value"]))
    }


def _divergence(key: tuple, rows: list[dict]) -> str:
    """What the headline rows of a method say of its divergence; empty if they say nothing."""
    if key[4:] != HEADLINE:
        return ""
    return _notes([row for row in rows if str(row.get("note", "")).startswith(DIVERGED)])


def _aggregate(rows: list[dict]) -> Estimate | None:
    by_repetition = _by_repetition(rows)
    values, objects = list(by_repetition.values()), {name for name, _ in by_repetition}
    if not values:
        return None
    registered = all(is_registered(row.get("registration_ok")) for row in rows)
    mean, note = statistics.fmean(values), _notes(rows)
    said = {"registered": registered, "note": note}
    if len(objects) > 1:
        over = t_interval(values)
        return Estimate(mean, over.low, over.high, n_objects=len(objects), interval="objects", **said)
    if len(values) > 1:
        return Estimate(mean, min(values), max(values), len(values), interval="seeds", **said)
    low, high = (float(rows[0].get(name, math.nan)) for name in ("value_low", "value_high"))
    if math.isfinite(low) and math.isfinite(high):
        return Estimate(mean, low, high, interval="bootstrap", **said)
    return Estimate(mean, **said)


def _notes(rows: list[dict]) -> str:
    return "; ".join(sorted({row["note"] for row in rows if isinstance(row.get("note"), str) and row["note"]}))


def is_registered(value: object) -> bool:
    """A registration flag as a truth value, also when it was read from CSV; an absent one counts as no failure.

    >>> [is_registered(v) for v in (True, "False", float("nan"), None, 0.0)]
    [True, False, True, True, False]
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return str(value) not in ("False", "0", "0.0", "false")


WIDE_COLUMNS: dict[str, tuple[str, str | None]] = {
    "phase_ssim": HEADLINE,
    "phase_psnr_db": ("psnr", "phase"),
    "phase_pearson": ("pearson", "phase"),
    "phase_rmse_rad": ("rmse", "phase"),
    "phase_mae_rad": ("mae", "phase"),
    "phase_ms_ssim": ("ms_ssim", "phase"),
    "amplitude_ssim": ("ssim", "amplitude"),
    "amplitude_psnr_db": ("psnr", "amplitude"),
    "amplitude_pearson": ("pearson", "amplitude"),
    "complex_nrmse": ("nrmse", "complex"),
    "frc50_cycles_per_px": ("frc50", None),
    "excess_nll": ("excess_nll", None),
    "cpu_seconds_reconstruct": ("cpu_seconds_reconstruct", None),
    "cpu_seconds_train": ("cpu_seconds_train", None),
    "patterns_trained_on": ("patterns_trained_on", None),
}


WIDE_MEANINGS = {
    "dose": "requested photons per pattern",
    "view": "which positions were kept",
    "split": "train or test side of the scan",
    "method": "who made it; flat and truth are sanity rows",
    "n_seeds": "seeds that the means are over",
    "n_objects": "objects that the means are over",
    "alignment": "what was removed before: one complex scale; or in full phase ramp, shift and scale",
    "phase_ssim": "1 is the object itself",
    "phase_ssim_beside": "the same under the other alignment",
    "phase_psnr_db": "with the range of the truth",
    "phase_pearson": "0 for a flat result",
    "phase_rmse_rad": "root of the mean squared error",
    "phase_mae_rad": "mean absolute error",
    "phase_ms_ssim": "SSIM over three scales",
    "amplitude_ssim": "1 is the object itself",
    "amplitude_psnr_db": "with the range of the truth",
    "amplitude_pearson": "0 for a flat result",
    "complex_nrmse": "root of the squared complex error over the truth's intensity",
    "frc50_cycles_per_px": "where the Fourier ring correlation with the truth falls below 0.5; blind to blur",
    "excess_nll": "nats per pattern above the truth's; below 0 the noise was fitted",
    "cpu_seconds_reconstruct": "process CPU time, imports apart",
    "cpu_seconds_train": "process CPU time of the training that the method rests on",
    "patterns_trained_on": "how many patterns that training saw",
    "phase_ssim_low": "lower end of the t-interval over objects; of one object the smallest seed, or of the bootstrap",
    "phase_ssim_high": "upper end, or the largest seed",
    "phase_bound_recovered": "floor of the phase error on the frequencies that the method recovered, rad",
    "photons_per_object_pixel": "incident, all positions together, mean over the scored region",
    "phase_bound_rms": "Cramer-Rao floor of an unbiased phase, rad",
    "registration_ok": "whether every registration succeeded",
    "note": "what has to be known about this row",
}
_WIDE_ORDER = list(WIDE_MEANINGS)


def wide_table(metrics: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row per cell, split and method with the key scores side by side; means over objects or seeds.

    Args:
        metrics: the metrics table; may be empty.
        methods: names of the study's methods, in its order; rows of others are left out.

    Returns:
        The columns of ``WIDE_MEANINGS``; NaN where a score is absent.
    """
    return pd.DataFrame(wide_records(Scores(metrics, methods)), columns=pd.Index(_WIDE_ORDER))


def wide_records(scores: Scores) -> list[dict[str, Any]]:
    """The rows of :func:`wide_table`."""
    return [_wide_record(scores, *key) for key in scored_rows(scores)]


def scored_rows(scores: Scores) -> list[tuple[float, str, str, str]]:
    """Dose, view, split and method of all that has a number: test first, methods in order, flat and truth last."""
    order = {name: index for index, name in enumerate((*scores.order, "flat", "truth"))}
    keys = {key[:4] for key in scores.keys() if key[3] in order}  # noqa: SIM118
    return sorted(keys, key=lambda k: (k[2] != "test", k[1], k[0], order[k[3]]))


def _wide_record(scores: Scores, dose: float, view: str, split: str, method: str) -> dict[str, Any]:
    found = {name: scores.get(dose, view, method, metric, part, split) for name, (metric, part) in WIDE_COLUMNS.items()}
    present = [e for e in found.values() if e]
    headline = found["phase_ssim"] or Estimate(math.nan)
    diverged = {note for note in (scores.diverged(dose, view, method, split),) if note}
    return (
        {"dose": dose, "view": view, "split": split, "method": method}
        | {"n_seeds": max((e.n_seeds for e in present), default=0)}
        | {"n_objects": max((e.n_objects for e in present), default=0)}
        | {"alignment": scores.alignment(dose, view, method, split)}
        | {"phase_ssim_beside": _value(scores.beside(dose, view, method, *HEADLINE, split))}
        | {"phase_bound_recovered": _value(scores.get(dose, view, method, "phase_bound_recovered", split=split))}
        | {name: _value(e) for name, e in found.items()}
        | {"phase_ssim_low": headline.low, "phase_ssim_high": headline.high}
        | {
            name: _value(scores.of_cell(dose, view, name, split))
            for name in ("photons_per_object_pixel", "phase_bound_rms")
        }
        | {"registration_ok": all(e.registered for e in present)}
        | {"note": "; ".join(sorted({e.note for e in present if e.note} | diverged))}
    )


def _value(estimate: Estimate | None) -> float:
    return estimate.value if estimate else math.nan
