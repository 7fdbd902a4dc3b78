"""The metrics table, aggregated over seeds: one estimate with an interval per cell, method and metric."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

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
        value: mean over seeds.
        low: smallest seed, or lower end of the bootstrap interval of a single seed; NaN if there is none.
        high: largest seed, or upper end.
        n_seeds: seeds with a finite value.
        interval: what ``low`` and ``high`` are.
        registered: False if the registration failed for any seed.
        note: what the table says about it.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n_seeds: int = 1
    interval: Literal["seeds", "bootstrap", "none"] = "none"
    registered: bool = True
    note: str = ""

    def clearly_above(self, other: "Estimate") -> bool:
        """Whether the two intervals are apart, this one higher; never true without intervals.

        >>> Estimate(0.6, 0.58, 0.62).clearly_above(Estimate(0.5, 0.45, 0.55))
        True
        >>> Estimate(0.6).clearly_above(Estimate(0.5))
        False
        """
        return self.low > other.high


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
        self._unscored: dict[tuple, str] = {}
        self._methods: dict[tuple, set[str]] = defaultdict(set)
        rows_by_key = _rows_by_key(metrics)
        self._diverged = {key[:4]: note for key, rows in rows_by_key.items() if (note := _divergence(key, rows))}
        for key, rows in sorted(rows_by_key.items(), key=lambda item: item[0]):
            self._add(key, rows)

    def _add(self, key: tuple, rows: list[dict]) -> None:
        diverged = key[:4] in self._diverged
        estimate = None if diverged and key[5] else _aggregate(rows)
        if estimate is not None:
            self._estimates[key] = estimate
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


def _rows_by_key(metrics: pd.DataFrame) -> dict[tuple, list[dict]]:
    found: dict[tuple, list[dict]] = defaultdict(list)
    for row in metrics.to_dict("records"):
        names = (str(row[name]) for name in ("view", "split", "method", "metric"))
        found[(float(row["dose"]), *names, row["part"] if isinstance(row["part"], str) else "")].append(row)
    return found


def _divergence(key: tuple, rows: list[dict]) -> str:
    """What the headline rows of a method say of its divergence; empty if they say nothing."""
    if key[4:] != HEADLINE:
        return ""
    return _notes([row for row in rows if str(row.get("note", "")).startswith(DIVERGED)])


def _aggregate(rows: list[dict]) -> Estimate | None:
    values = [float(row["value"]) for row in rows if math.isfinite(float(row["value"]))]
    if not values:
        return None
    registered = all(is_registered(row.get("registration_ok")) for row in rows)
    mean, note = statistics.fmean(values), _notes(rows)
    if len(values) > 1:
        return Estimate(mean, min(values), max(values), len(values), "seeds", registered, note)
    low, high = (float(rows[0].get(name, math.nan)) for name in ("value_low", "value_high"))
    if math.isfinite(low) and math.isfinite(high):
        return Estimate(mean, low, high, 1, "bootstrap", registered, note)
    return Estimate(mean, registered=registered, note=note)


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
    "phase_ssim": ("ssim", "phase"),
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
    "phase_ssim": "1 is the object itself",
    "phase_psnr_db": "with the range of the truth",
    "phase_pearson": "0 for a flat result",
    "phase_rmse_rad": "beside phase_bound_rms",
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
    "phase_ssim_low": "smallest seed, or lower end of the bootstrap of a single seed",
    "phase_ssim_high": "largest seed, or upper end",
    "photons_per_object_pixel": "incident, all positions together, mean over the scored region",
    "phase_bound_rms": "Cramer-Rao floor of an unbiased phase, rad",
    "registration_ok": "whether every registration succeeded",
    "note": "what has to be known about this row",
}
_WIDE_ORDER = list(WIDE_MEANINGS)


def wide_table(metrics: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """One row per cell, split and method with the key scores side by side; means over seeds.

    Args:
        metrics: the metrics table; may be empty.
        methods: names of the study's methods, in its order; rows of others are left out.

    Returns:
        Columns dose, view, split, method, n_seeds, those of ``WIDE_COLUMNS``, phase_ssim_low, phase_ssim_high,
        photons_per_object_pixel, phase_bound_rms, registration_ok and note; NaN where a score is absent.
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
