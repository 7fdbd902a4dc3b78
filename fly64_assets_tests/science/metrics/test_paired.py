"""Paired intervals: those of scipy's paired t-test, and as wide as they say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fly64_assets.science.metrics.paired import paired_difference, t_interval

NUMBERS = st.lists(st.floats(-5, 5), min_size=3, max_size=30)


@settings(max_examples=50, deadline=None)
@given(NUMBERS, st.integers(0, 2**32 - 1))
def test_a_paired_interval_is_that_of_the_paired_t_test(first: list[float], seed: int) -> None:
    second = (np.array(first) + np.random.default_rng(seed).normal(0.3, 1.0, len(first))).tolist()
    found = paired_difference(dict(enumerate(first)), dict(enumerate(second)))
    test = stats.ttest_rel(first, second)
    low, high = test.confidence_interval(0.95)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
    assert found.mean == pytest.approx(np.mean(first) - np.mean(second), abs=1e-12)
    assert (found.low > 0 or found.high < 0) == (test.pvalue < 0.05)


def test_only_what_both_have_is_compared() -> None:
    found = paired_difference({"a": 1.0, "b": 2.0, "c": math.nan, "d": 9.0}, {"b": 1.5, "a": 0.0, "c": 0.0})
    assert found == t_interval([1.0, 0.5])
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None
    assert paired_difference({}, {}) is None


def test_one_number_has_no_interval_and_none_is_refused() -> None:
    found = t_interval([0.5])
    assert (found.mean, found.n) == (0.5, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="no number"):
        t_interval([])


def test_equal_methods_differ_by_nothing() -> None:
    found = paired_difference({"a": 0.3, "b": 0.9}, {"a": 0.3, "b": 0.9})
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_the_interval_holds_the_mean_difference_in_95_of_100_draws_of_five_objects() -> None:
    """Objects vary ten times as much as the difference does: pairing takes that out, and t has the width of five."""
    rng, held, draws = np.random.default_rng(8), 0, 4000
    for _ in range(draws):
        objects = rng.normal(0.5, 0.2, 5)
        first, second = objects + 0.03 + rng.normal(0, 0.02, 5), objects
        found = paired_difference(dict(enumerate(first)), dict(enumerate(second)))
        held += found.low < 0.03 < found.high
    assert held / draws == pytest.approx(0.95, abs=0.012)
