"""Paired differences: what two methods make of the same objects, compared object by object.

Objects differ far more than methods do on one object. A difference that is taken on each object and then averaged is
free of what the objects have in common for both; Student's t turns its spread into an interval.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class TInterval:
    """A mean of independent numbers with its central 95 % of Student's t.

    Attributes:
        mean: of the numbers.
        low: lower end; NaN for fewer than two numbers.
        high: upper end.
        n: how many numbers.
    """

    mean: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float] | np.ndarray) -> TInterval:
    """Mean and t-interval of independent numbers.

    Raises:
        ValueError: there is no number.

    >>> found = t_interval([1.0, 2.0, 3.0])
    >>> found.mean, round(found.low, 4), round(found.high, 4), found.n
    (2.0, -0.4841, 4.4841, 3)
    """
    numbers = np.asarray(values, float)
    if not numbers.size:
        message = "no number to average"
        raise ValueError(message)
    n, mean = numbers.size, float(numbers.mean())
    if n < 2:
        return TInterval(mean, math.nan, math.nan, n)
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * numbers.std(ddof=1) / math.sqrt(n))
    return TInterval(mean, mean - half, mean + half, n)


def paired_difference(first: Mapping[Key, float], second: Mapping[Key, float]) -> TInterval | None:
    """First minus second over what both have, for example by object.

    Args:
        first: number by key.
        second: number by key; a number that is not finite counts as absent, here as there.

    Returns:
        Mean difference and its t-interval; None if they share nothing.
    """
    shared = [key for key in first if key in second and math.isfinite(first[key]) and math.isfinite(second[key])]
    return t_interval([first[key] - second[key] for key in shared]) if shared else None
