import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly64_assets.science.physics.dose import (
    MAX_COUNT_PER_PIXEL,
    amplitude_from_counts,
    counts_scale,
    draw_counts,
    thin_counts,
)
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement


@given(st.floats(1, 1e7), st.floats(1e-6, 1e6))
def test_scale_gives_the_dose_and_is_a_float32(dose, energy):
    scale = counts_scale(dose, energy)
    assert scale == np.float32(scale)
    assert scale**2 * energy == pytest.approx(dose, rel=1e-6)


@pytest.mark.parametrize(
    ("dose", "energy"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0), (np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan)]
)
def test_meaningless_doses_are_refused(dose, energy):
    with pytest.raises(ValueError, match="positive and finite"):
        counts_scale(dose, energy)


@pytest.mark.parametrize("scale", [1.0, 36.07229995727539, 360.7230224609375, 0.013, 1 / 3])
def test_counts_survive_float32_amplitudes_in_either_precision(scale):
    counts = np.unique(np.concatenate([np.arange(70_000), np.geomspace(1, MAX_COUNT_PER_PIXEL, 50_000).astype(int)]))
    counts = np.append(counts, [MAX_COUNT_PER_PIXEL] * (-len(counts) % 400**2))
    amplitude = amplitude_from_counts(counts.reshape(-1, 400, 400), scale)
    assert amplitude.dtype == np.float32
    assert np.array_equal(np.rint((scale * amplitude.astype(np.float64)) ** 2).ravel(), counts)
    in_float32 = np.float32(scale) * amplitude
    assert np.array_equal(np.rint(in_float32 * in_float32).ravel(), counts)
    probe = np.ones((1, 400, 400), np.complex64)
    measurement = Measurement(amplitude, scale, probe, np.zeros((len(amplitude), 2)), (400, 400))
    assert np.array_equal(measurement.counts().ravel(), counts)


def test_counts_beyond_float32_are_refused():
    with pytest.raises(ValueError, match="lower the dose"):
        amplitude_from_counts(np.array([[[MAX_COUNT_PER_PIXEL + 1]]]), 1.0)


def test_counts_are_poisson_pixel_by_pixel():
    # Variance equals mean: sum over draws of (c - mu)^2 / mu is chi-square with as many degrees of freedom.
    intensity = np.random.default_rng(0).gamma(0.5, 2.0, (40, 16, 16)).astype(np.float32) + 0.05
    draws = np.stack([draw_counts(intensity, 3.0, named_rng(seed, "test")) for seed in range(60)])
    expected = 9.0 * intensity.astype(float)
    chi_square = ((draws - expected) ** 2 / expected).sum()
    freedom = draws.size
    spread = np.sqrt((2 + 1 / expected).sum() * len(draws))
    assert abs(chi_square - freedom) < 5 * spread
    assert abs((draws - expected).sum()) < 5 * np.sqrt(len(draws) * expected.sum())


def test_thinning_is_binomial_and_poisson_again():
    generator = np.random.default_rng(0)
    counts = generator.poisson(7.0, (60, 32, 32))
    kept = thin_counts(counts, 0.3, generator)
    assert (kept <= counts).all()
    assert abs(kept.sum() - 0.3 * counts.sum()) < 5 * np.sqrt(0.21 * counts.sum())
    expected = 2.1
    chi_square = ((kept - expected) ** 2 / expected).sum()
    assert abs(chi_square - kept.size) < 5 * np.sqrt((2 + 1 / expected) * kept.size)
    # What was kept and what was lost are independent, which only Poisson counts allow.
    lost = counts - kept
    assert abs(np.corrcoef(kept.ravel(), lost.ravel())[0, 1]) < 5 / np.sqrt(kept.size)


def test_thinning_keeps_everything_or_a_fraction():
    counts = np.arange(8, dtype=np.uint16).reshape(2, 2, 2)
    assert np.array_equal(thin_counts(counts, 1.0, np.random.default_rng(0)), counts)
    for probability in (0.0, -0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="fraction"):
            thin_counts(counts, probability, np.random.default_rng(0))


def test_streams_are_named():
    def draw(*key):
        return named_rng(*key).integers(1 << 62)

    assert draw(1, "a", "b") == draw(1, "a", "b")
    assert len({draw(1, "a", "b"), draw(2, "a", "b"), draw(1, "b", "a"), draw(1, "a")}) == 4
