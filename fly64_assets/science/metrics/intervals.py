"""Intervals that hold the central 95 %: of bootstrap samples, and of a mean of independent numbers."""

import math

import numpy as np

_PERCENT = (2.5, 97.5)
_NORMAL_QUANTILE = 1.96

Interval = dict[str, float]
"""Columns value_low and value_high; NaN where there is no interval."""

NO_INTERVAL: Interval = {"value_low": np.nan, "value_high": np.nan}


def percentile_interval(samples: np.ndarray) -> Interval:
    """The central 95 % of the finite samples; NaN if there are none.

    >>> percentile_interval(np.arange(1001.0))
    {'value_low': 25.0, 'value_high': 975.0}
    """
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return dict(NO_INTERVAL)
    low, high = np.percentile(samples, _PERCENT)
    return {"value_low": float(low), "value_high": float(high)}


def normal_interval(values: np.ndarray) -> Interval:
    """Mean of independent values -+ 1.96 standard errors; NaN for fewer than two values.

    >>> {name: round(value, 6) for name, value in normal_interval(np.array([-1.0, 1.0])).items()}
    {'value_low': -1.96, 'value_high': 1.96}
    """
    if len(values) < 2:
        return dict(NO_INTERVAL)
    mean, half = float(values.mean()), _NORMAL_QUANTILE * float(values.std(ddof=1)) / math.sqrt(len(values))
    return {"value_low": mean - half, "value_high": mean + half}
