"""An interval is as wide as it says: 95 % of what repetitions would give."""

import numpy as np
import pytest

from fly64_assets.science.metrics.evaluation import Comparison
from fly64_assets.science.metrics.image_error import square_blocks
from fly64_assets.science.metrics.intervals import normal_interval, percentile_interval
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.metrics.record import Metric, PerBlock
from fly64_assets.science.metrics.scored_cell import image_pair, prepare_cell
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.shipped import EXCESS_NLL, PHASE_MSE
from fly64_assets.science.options import ScoringOptions
from fly64_assets_tests.science.metrics import cells

DATASET, SCAN = cells.cell()
TRUTH = cells.truth()
WIDTH = 2 * 1.96
"""Of the central 95 % of a normal distribution, in standard deviations."""
CELL = {"dose": 1e4, "view": "dense", "split": "test", "seed": 1}


def width_of(metric: Metric, samples: int) -> float:
    noisy = TRUTH + cells.complex_noise(TRUTH.shape, 0.1, np.random.default_rng(0))
    options = ScoringOptions(bootstrap_samples=samples, bound_patches=0)
    table = score_cell(
        {"wide": cells.reconstruction(noisy)},
        DATASET, SCAN, options, **CELL, rng=np.random.default_rng(1), metrics=(metric,),
    ).table  # fmt: skip
    row = table[(table["method"] == "wide") & table["alignment"].isin(["scale", ""])]
    return float(row["value_high"].item() - row["value_low"].item())


def test_a_mean_over_independent_blocks_has_the_closed_form_width() -> None:
    """The bootstrap of a mean of B independent numbers scatters by their standard deviation / sqrt(B)."""
    mask = prepare_cell(DATASET, SCAN, ScoringOptions(bootstrap_samples=0), np.random.default_rng(0)).mask
    tiles = square_blocks(mask.shape, 24)
    occupied = [np.any(mask & (tiles == number)) for number in np.unique(tiles)]
    numbers = np.random.default_rng(2).standard_normal(len(occupied))

    def sums(pair: object, blocks: np.ndarray) -> np.ndarray:
        assert len(numbers) == blocks.max() + 1
        return np.stack([np.ones(len(numbers)), numbers], axis=1)

    mean = Metric(
        name="mean_of_blocks", direction="zero", label="mean", digits=2, meaning="a mean of independent numbers",
        per_block=PerBlock(sums=sums, score=lambda totals, _: totals[..., 1] / totals[..., 0]),
    )  # fmt: skip
    drawn = numbers[occupied]
    assert len(drawn) >= 16
    assert width_of(mean, 4_000) == pytest.approx(WIDTH * drawn.std() / np.sqrt(len(drawn)), rel=0.05)


def test_a_ring_correlation_has_the_width_of_its_linear_expansion() -> None:
    """Each Fourier pixel counts Poisson(1) times: the correlation's variance is the sum of squared influences."""
    noisy = TRUTH + cells.complex_noise(TRUTH.shape, 0.1, np.random.default_rng(0))
    options = ScoringOptions(bootstrap_samples=4, bound_patches=0)
    cell = prepare_cell(DATASET, SCAN, options, np.random.default_rng(1))
    comparison = Comparison(image_pair(noisy.astype(np.complex64), cell, "full"), cell)
    cross, a, b, rings, centres = comparison._rings
    ring = len(centres) // 2
    c, a, b = (term[rings == ring] for term in (cross, a, b))
    r = c.sum() / np.sqrt(a.sum() * b.sum())
    influence = c / np.sqrt(a.sum() * b.sum()) - 0.5 * r * (a / a.sum() + b / b.sum())
    assert 0.1 < r < 0.95
    metric = Metric(
        name="middle_ring", direction="higher", label="r", digits=2, meaning="correlation of one ring", needs="rings",
        compute=lambda frequency, correlation: correlation[ring],
    )  # fmt: skip
    assert width_of(metric, 2_000) == pytest.approx(WIDTH * np.sqrt(np.sum(influence**2)), rel=0.07)


def test_the_excess_likelihood_has_the_normal_width_over_patterns() -> None:
    noisy = TRUTH + cells.complex_noise(TRUTH.shape, 0.1, np.random.default_rng(0))
    nll = nll_per_pattern(
        DATASET.measurement, {"wide": cells.reconstruction(noisy), "truth": cells.reconstruction(TRUTH)}
    )
    excess = nll["wide"] - nll["truth"]
    assert width_of(EXCESS_NLL, 0) == pytest.approx(WIDTH * excess.std(ddof=1) / np.sqrt(len(excess)), rel=1e-9)


def test_both_intervals_cover_the_true_mean_in_95_of_100_repetitions() -> None:
    rng = np.random.default_rng(3)
    repetitions, size, samples = 500, 100, 300
    covered = np.zeros(2)
    for _ in range(repetitions):
        values = rng.standard_normal(size)
        drawn = rng.multinomial(size, np.full(size, 1 / size), samples) @ values / size
        for number, interval in enumerate((percentile_interval(drawn), normal_interval(values))):
            covered[number] += interval["value_low"] < 0 < interval["value_high"]
    assert covered / repetitions == pytest.approx([0.95, 0.95], abs=0.025)


def test_without_samples_there_is_no_interval() -> None:
    for found in (
        percentile_interval(np.array([np.nan])),
        percentile_interval(np.array([])),
        normal_interval(np.ones(1)),
    ):
        assert all(np.isnan(value) for value in found.values())


def test_no_bootstrap_no_interval() -> None:
    assert np.isnan(width_of(PHASE_MSE, 0))
