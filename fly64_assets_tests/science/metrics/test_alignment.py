import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.registration import phase_cross_correlation

from fly64_assets.science.metrics.alignment import align
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets_tests.science.metrics import cells

TRUTH = cells.truth()
REGION = illuminated_region(cells.probe(), cells.positions(), TRUTH.shape, 0.1)
SHIFT = st.floats(-5, 5)
RAMP = st.floats(-0.4, 0.4)


@settings(max_examples=15, deadline=None)
@given(SHIFT, SHIFT, RAMP, RAMP, st.floats(0.1, 10), st.floats(-3, 3), st.integers(0, 2**31))
def test_known_gauge_is_found_and_removed(dx, dy, kx, ky, factor, phase, seed) -> None:
    noise = cells.complex_noise(TRUTH.shape, 0.02, np.random.default_rng(seed))
    image = cells.moved(TRUTH + noise, (dx, dy), (kx, ky), factor * np.exp(1j * phase))
    aligned, found = align(image, TRUTH, REGION, max_shift_px=8.0)
    assert found.registration_ok
    assert found.shift_xy_px == pytest.approx((dx, dy), abs=0.05)
    assert found.ramp_xy_rad_per_px == pytest.approx((kx, ky), abs=3e-4)
    assert abs(found.scale) == pytest.approx(factor, rel=0.03)
    difference = np.angle(found.scale * np.exp(-1j * phase))
    assert difference == pytest.approx(0, abs=0.02)
    assert np.abs(aligned - TRUTH - noise)[REGION.mask].mean() < 0.01


def test_shift_agrees_with_scikit_image_where_that_is_exact() -> None:
    """On an image that fills the grid and wraps round, plain cross-correlation is the same estimator."""
    image = cells.moved(TRUTH, (3.0, -2.0), (0.0, 0.0))
    reference, _, _ = phase_cross_correlation(
        image - image.mean(), TRUTH - TRUTH.mean(), normalization=None, upsample_factor=20
    )
    _, found = align(image, TRUTH, REGION, max_shift_px=8.0)
    assert found.shift_xy_px == pytest.approx((reference[1], reference[0]), abs=0.05)


def test_strong_phases_do_not_hide_the_ramp() -> None:
    truth = (np.abs(TRUTH) * np.exp(4j * np.angle(TRUTH))).astype(np.complex64)
    image = cells.moved(truth, (4.3, -4.7), (0.21, -0.33))
    _, found = align(image, truth, REGION, max_shift_px=8.0)
    assert found.shift_xy_px == pytest.approx((4.3, -4.7), abs=0.03)
    assert found.ramp_xy_rad_per_px == pytest.approx((0.21, -0.33), abs=3e-4)


def test_garbage_outside_the_region_changes_nothing_much() -> None:
    image = TRUTH + cells.complex_noise(TRUTH.shape, 0.05, np.random.default_rng(0))
    spoiled = np.where(REGION.intensity > 0.01 * REGION.intensity.max(), image, 5.0)
    first, second = (align(each, TRUTH, REGION, max_shift_px=8.0)[0] for each in (image, spoiled))
    assert np.abs(first - second)[REGION.mask].max() < 0.05


def test_a_shift_beyond_the_bound_is_said_and_not_applied() -> None:
    _, found = align(cells.moved(TRUTH, (9.0, 0.0), (0.0, 0.0)), TRUTH, REGION, max_shift_px=4.0)
    assert not found.registration_ok
    assert found.shift_xy_px == (0.0, 0.0)
    assert "bound" in found.reason or "no common structure" in found.reason


def test_noise_alone_is_not_registered() -> None:
    noise = 1 + cells.complex_noise(TRUTH.shape, 0.3, np.random.default_rng(1))
    _, found = align(noise, TRUTH, REGION, max_shift_px=8.0)
    assert not found.registration_ok
    assert found.reason


@pytest.mark.parametrize("ramp", [0.0, 0.1])
def test_a_constant_image_stays_constant(ramp: float) -> None:
    """Also behind a ramp: fitting one to the truth's own slope would give it structure that it has not."""
    image = cells.moved(np.full(TRUTH.shape, 2j, np.complex64), (0.0, 0.0), (ramp, -ramp))
    aligned, found = align(image, TRUTH, REGION, max_shift_px=8.0)
    assert np.ptp(np.abs(aligned[REGION.mask])) < 1e-6
    assert np.ptp(np.angle(aligned[REGION.mask])) < 1e-5
    assert not found.registration_ok
    assert found.ramp_xy_rad_per_px == pytest.approx((ramp, -ramp), abs=1e-6)


def test_zeros_have_no_scale() -> None:
    aligned, found = align(np.zeros_like(TRUTH), TRUTH, REGION, max_shift_px=8.0)
    assert not aligned.any()
    assert np.isnan(found.scale.real)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        align(TRUTH[1:], TRUTH, REGION, max_shift_px=8.0)
    with pytest.raises(ValueError, match="not finite"):
        align(np.where(REGION.mask, TRUTH, np.nan), TRUTH, REGION, max_shift_px=8.0)
