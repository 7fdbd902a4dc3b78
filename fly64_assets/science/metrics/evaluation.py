"""How a metric becomes a row: its value, its interval, and what went wrong; no metric stops a cell."""

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.cell_scores import ImagePair
from fly64_assets.science.metrics.frc import ratio, ring_terms
from fly64_assets.science.metrics.intervals import NO_INTERVAL, Interval, normal_interval, percentile_interval
from fly64_assets.science.metrics.record import Metric, PerBlock
from fly64_assets.science.metrics.scored_cell import ScoredCell

_ERROR_LETTERS = 200
Given = TypeVar("Given")


class Comparison:
    """One aligned image beside the truth, with what its metrics share; each is computed once, if it is asked for.

    Args:
        pair: the aligned image and the truth.
        cell: blocks and bootstrap draws.
    """

    def __init__(self, pair: ImagePair, cell: ScoredCell) -> None:
        self.pair, self.cell = pair, cell
        self._sums: dict[object, np.ndarray] = {}

    def sums(self, per_block: PerBlock) -> np.ndarray:
        """Sums per block, ``(blocks, k)``."""
        if per_block.sums not in self._sums:
            self._sums[per_block.sums] = np.asarray(per_block.sums(self.pair, self.cell.blocks), float)
        return self._sums[per_block.sums]

    @cached_property
    def _rings(self) -> tuple[np.ndarray, ...]:
        return ring_terms(self.pair.image, self.pair.truth, self.cell.window)

    def _correlation(self, weights: np.ndarray | float) -> np.ndarray:
        *terms, rings, centres = self._rings
        return ratio(*(np.bincount(rings, weights=term * weights, minlength=len(centres)) for term in terms))

    @cached_property
    def frequency(self) -> np.ndarray:
        """Centres of the rings, cycles/px."""
        return self._rings[-1]

    @cached_property
    def correlation(self) -> np.ndarray:
        """Fourier ring correlation with the truth."""
        return self._correlation(1.0)

    @cached_property
    def drawn_correlations(self) -> list[np.ndarray]:
        """The same for each bootstrap draw of Fourier pixels."""
        return [self._correlation(weights) for weights in self.cell.frc_draws]

    @property
    def phase_error_power(self) -> np.ndarray:
        """Power spectral density of the phase error on the rings, rad^2 px^2."""
        window, rings = self.cell.window, self._rings[-2]
        error = (self.pair.phase_rad - self.pair.truth_phase_rad).astype(complex)
        _, power, _, _, _ = ring_terms(error, np.zeros_like(error), window)
        return np.bincount(rings, weights=power) / np.bincount(rings) / np.sum(window**2)

    @property
    def curve(self) -> pd.DataFrame:
        """Columns frequency_cycles_per_px, frc and phase_error_power."""
        return pd.DataFrame(
            {
                "frequency_cycles_per_px": self.frequency,
                "frc": self.correlation,
                "phase_error_power": self.phase_error_power,
            }
        )

    def value(self, metric: Metric) -> float:
        """The metric's value, without interval."""
        if metric.needs == "rings":
            return float(_given(metric.compute)(self.frequency, self.correlation))
        if metric.compute is not None:
            return float(metric.compute(self.pair.image, self.pair.truth, self.pair.mask))
        per_block = _given(metric.per_block)
        return float(per_block.score(self.sums(per_block).sum(axis=0), self.pair))

    def interval(self, metric: Metric) -> Interval:
        """The central 95 % of its bootstrap; NaN if it cannot be bootstrapped."""
        if metric.needs == "rings":
            drawn = [float(_given(metric.compute)(self.frequency, curve)) for curve in self.drawn_correlations]
            return percentile_interval(np.array(drawn))
        if metric.per_block is None:
            return dict(NO_INTERVAL)
        totals = self.cell.block_draws @ self.sums(metric.per_block)
        return percentile_interval(np.asarray(metric.per_block.score(totals, self.pair), float))

    def row(self, metric: Metric) -> dict:
        """Metric, part, value, interval and note."""
        return _guarded(metric, lambda: (self.value(metric), self.interval(metric)))


def counts_row(metric: Metric, nll: np.ndarray, nll_of_truth: np.ndarray) -> dict:
    """The row of a metric of the counts, with the normal interval of the mean over patterns.

    Args:
        metric: needs counts.
        nll: nats of each pattern under the reconstruction, ``(patterns,)``; may be infinite.
        nll_of_truth: the same under the truth.
    """

    def score() -> tuple[float, Interval]:
        with np.errstate(invalid="ignore", over="ignore"):  # a diverged result explains nothing, and says so
            values = np.asarray(_given(metric.compute)(nll, nll_of_truth), float)
            return float(values.mean()), normal_interval(values)

    return _guarded(metric, score)


def empty_row(metric: Metric, note: str) -> dict:
    """The row of a metric that has no value."""
    name, part = metric.key
    return {"metric": name, "part": part, "value": np.nan, "note": note} | NO_INTERVAL


def _guarded(metric: Metric, score: Callable[[], tuple[float, Interval]]) -> dict:
    """The row, whatever the metric's function does."""
    try:
        value, interval = score()
    except Exception as error:  # noqa: BLE001 - a metric, which may be anybody's, must not stop the cell
        said = " ".join(str(error).split())[:_ERROR_LETTERS]
        return empty_row(metric, f"metric {metric.name} failed: {type(error).__name__}: {said}")
    note = metric.remark(value)
    if not np.isfinite(value):
        return empty_row(metric, note or f"metric {metric.name} failed: its value is {value}")
    name, part = metric.key
    return {"metric": name, "part": part, "value": value, "note": note} | interval


def _given(function: Given | None) -> Given:
    """What the record's own rules say is there."""
    if function is None:
        message = "the metric gives no function for what it needs"
        raise TypeError(message)
    return function
