import numpy as np
import pytest

from fly64_assets.science.metrics.bounds import (
    PhaseBound,
    Prior,
    _Window,
    fisher_information,
    inverse,
    phase_error_bound,
    phase_variance,
)
from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion, illuminated_region
from fly64_assets.science.physics.probe import illumination_map
from fly64_assets_tests.science.metrics import cells

SIZE, GRID = 16, 28


def small_case(modes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Object, probe, positions and a window of unknown pixels."""
    rng = np.random.default_rng(0)
    shape = (GRID, GRID)
    image = ((1 - 0.2 * rng.random(shape)) * np.exp(1j * rng.random(shape))).astype(np.complex64)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    wave = np.exp(-(x**2 + y**2) / 18 + 0.1j * (x**2 + y**2))
    line = np.arange(9.0, 20.0, 3.0)
    xy = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    unknown = np.zeros(shape, bool)
    unknown[10:16, 10:16] = True
    return image, np.stack([wave, 0.5 * x * wave])[:modes].astype(np.complex64), xy, unknown


def expected_counts(image: np.ndarray, probe: np.ndarray, xy: np.ndarray, scale: float) -> np.ndarray:
    """Straight from the forward model, all patterns in one vector."""
    found = []
    for column, row in (xy - SIZE / 2).astype(int):
        waves = scale * probe * image[row : row + SIZE, column : column + SIZE]
        found.append(np.sum(np.abs(np.fft.fft2(waves)) ** 2, axis=0) / SIZE**2)
    return np.array(found).ravel()


def jacobian(image: np.ndarray, probe: np.ndarray, xy: np.ndarray, scale: float, unknown: np.ndarray) -> np.ndarray:
    """Derivatives of the expected counts by central differences: phases, then log-amplitudes."""
    step, rows = 1e-5, []
    for kind in (1j, 1.0):
        for pixel in np.argwhere(unknown):
            change = np.zeros(image.shape, complex)
            change[tuple(pixel)] = kind * step
            up, down = (expected_counts(image * np.exp(sign * change), probe, xy, scale) for sign in (1, -1))
            rows.append((up - down) / (2 * step))
    return np.array(rows)


@pytest.mark.parametrize("modes", [1, 2])
def test_fisher_matrix_agrees_with_an_explicit_jacobian(modes: int) -> None:
    image, probe, xy, unknown = small_case(modes)
    found = fisher_information(image, probe, xy, 30.0, unknown)
    derivatives = jacobian(image.astype(complex), probe, xy, 30.0, unknown)
    reference = (derivatives / expected_counts(image.astype(complex), probe, xy, 30.0)) @ derivatives.T
    assert np.abs(found - reference).max() < 1e-3 * np.abs(reference).max()


def test_an_efficient_estimator_attains_the_bound() -> None:
    """Known probe, high dose: the linearised maximum-likelihood phases scatter as the bound says."""
    image, probe, xy, unknown = small_case(1)
    image = image.astype(complex)
    scale = 300.0
    derivatives = jacobian(image, probe, xy, scale, unknown)
    expected = expected_counts(image, probe, xy, scale)
    fisher = (derivatives / expected) @ derivatives.T
    score = np.linalg.solve(fisher, derivatives / expected)
    rng = np.random.default_rng(0)
    n = int(unknown.sum())
    errors = np.array([(score @ (rng.poisson(expected) - expected))[:n] for _ in range(400)])
    errors -= errors.mean(axis=1, keepdims=True)
    bound = phase_variance(fisher_information(image.astype(np.complex64), probe, xy, scale, unknown), np.ones(n, bool))
    assert np.mean(errors**2) == pytest.approx(bound, rel=0.1)


def floor(scale: float, step_px: float = 6.0) -> float:
    xy = cells.positions(step_px)
    region = illuminated_region(cells.probe(), xy, (cells.OBJECT_PX, cells.OBJECT_PX), 0.1)
    rng = np.random.default_rng(3)
    return phase_error_bound(cells.truth(), cells.probe(), xy, scale, region, windows=1, rng=rng).rms_rad


def test_variance_scales_as_one_over_dose() -> None:
    assert floor(100.0) ** 2 / floor(1000.0) ** 2 == pytest.approx(100.0, rel=0.01)


def test_close_to_the_ideal_far_field() -> None:
    """Well overlapped and isotropically lit: about 1 / (2 n), n photons per object pixel."""
    xy = cells.positions()
    region = illuminated_region(cells.probe(), xy, (cells.OBJECT_PX, cells.OBJECT_PX), 0.1)
    ideal = np.sqrt(1 / (2 * region.photons_per_object_pixel(100.0)))
    assert 0.8 * ideal < floor(100.0) < 1.6 * ideal


def test_drawn_patterns_stand_for_all() -> None:
    xy = cells.positions(3.0)
    region = illuminated_region(cells.probe(), xy, (cells.OBJECT_PX, cells.OBJECT_PX), 0.1)
    full, drawn = (
        phase_error_bound(
            cells.truth(), cells.probe(), xy, 100.0, region, windows=1, rng=np.random.default_rng(3), max_patterns=limit
        ).rms_rad
        for limit in (10_000, 100)
    )
    assert drawn == pytest.approx(full, rel=0.1)


def test_windows_stand_for_the_whole_object_and_never_above_it() -> None:
    """Every lit pixel unknown at once, but for the global phase; a window's surroundings are taken as known."""
    image, probe, xy, window = small_case(1)
    probe = np.where(np.abs(probe) > 0.1 * np.abs(probe).max(), probe, 0)
    lit = illumination_map(probe, xy, image.shape) > 1e-9  # a convolution leaves rounding where it is dark
    judged = np.zeros_like(lit)
    judged[10:18, 10:18] = True
    window[6:22, 6:22] = True

    def variance(unknown: np.ndarray) -> float:
        fisher = fisher_information(image, probe, xy, 100.0, unknown)
        phases = np.repeat([1.0, 0.0], unknown.sum())
        if unknown is lit:  # no count depends on the global phase: any stiffness against it will do
            assert np.abs(fisher @ phases).max() < 1e-9 * np.abs(fisher).max()
            fisher = fisher + fisher[0, 0] * np.outer(phases, phases)
        return phase_variance(fisher, judged[unknown])

    assert 0.8 * variance(lit) < variance(window) <= variance(lit)


def ring_case(scale: float = 300.0) -> tuple[IlluminatedRegion, PhaseBound]:
    """Rings of one window of the smooth object, well lit."""
    xy = cells.positions(4.0)
    region = illuminated_region(cells.probe(), xy, (cells.OBJECT_PX, cells.OBJECT_PX), 0.1)
    found = phase_error_bound(
        cells.truth(), cells.probe(), xy, scale, region, windows=1, rng=np.random.default_rng(3), max_patterns=10_000
    )
    return region, found


def test_rings_of_an_ideal_far_field_come_close_to_one_over_two_n() -> None:
    """Each pixel's phase known to 1 / (2 n), independently of the others: white, with that density."""
    region, bound = ring_case()
    ideal = 1 / (2 * region.photons_per_object_pixel(300.0))
    rings = bound.unbiased.phase_power
    assert 0.6 * ideal < rings.mean() < 2.5 * ideal
    assert bound.unbiased.phase_rms_rad(0.5) == pytest.approx(np.sqrt(np.pi / 4 * rings.mean()), rel=0.4)


def test_knowing_the_spectrum_helps_most_where_counts_say_least() -> None:
    for scale in (3.0, 300.0):
        _, bound = ring_case(scale=scale)
        free, prior = bound.unbiased, bound.with_prior
        assert (prior.phase_power < free.phase_power).all()
        assert (prior.frc > free.frc).all()
        gain = prior.phase_power / free.phase_power
        assert gain[0] > gain[-1]
        assert (np.diff(prior.frc) < 0.02).all()
        assert prior.frc[0] > 0.9 if scale == 300.0 else prior.frc[0] < 0.9


def test_a_floor_grows_with_the_frequencies_that_are_claimed() -> None:
    _, bound = ring_case()
    floors = [bound.with_prior.phase_rms_rad(limit) for limit in (0.0, 0.1, 0.2, 0.35, 0.5)]
    assert floors[0] == 0
    assert (np.diff(floors) >= 0).all()
    assert floors[-1] < bound.rms_rad


def test_an_efficient_estimator_attains_the_rings_with_and_without_a_prior() -> None:
    """The linearised maximum-likelihood and maximum-a-posteriori phases scatter, per frequency, as the bounds say."""
    image, probe, xy, unknown = small_case(1)
    scale, n, rng = 60.0, int(unknown.sum()), np.random.default_rng(0)
    lit = illumination_map(probe, xy, image.shape) > 1e-3 * illumination_map(probe, xy, image.shape).max()
    box = (slice(0, GRID), slice(0, GRID))
    region = IlluminatedRegion(mask=lit, weight=lit.astype(float), box=box, intensity=lit.astype(float))
    prior = Prior.of(image, region, 6)
    derivatives = jacobian(image.astype(complex), probe, xy, scale, unknown)
    expected = expected_counts(image.astype(complex), probe, xy, scale)
    fisher = (derivatives / expected) @ derivatives.T
    window = _Window.of(unknown, 6)
    draw = np.linalg.cholesky(prior.covariance(unknown))
    for precision in (np.zeros_like(fisher), prior.precision(unknown)):
        covariance = inverse(fisher + precision)
        gain = covariance @ (derivatives / expected)
        errors = []
        for _ in range(600):
            change = draw @ rng.standard_normal(2 * n) if precision.any() else np.zeros(2 * n)
            noise = rng.poisson(expected) - expected + derivatives.T @ change
            errors.append(gain @ noise - change)
        measured = window.spectra(np.cov(np.array(errors).T))
        for found, bound in zip(measured, window.spectra(covariance), strict=True):
            assert found == pytest.approx(bound, rel=0.15)


def test_what_the_counts_do_not_determine_is_nan() -> None:
    assert np.isnan(phase_variance(np.zeros((4, 4)), np.ones(2, bool)))
    assert np.isnan(phase_variance(np.ones((4, 4)), np.ones(2, bool)))
