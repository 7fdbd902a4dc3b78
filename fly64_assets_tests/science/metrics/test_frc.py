import numpy as np
import pytest

from fly64_assets.science.metrics.frc import crossing_frequency, fourier_ring_correlation, level_against_truth
from fly64_assets_tests.science.metrics import cells

SIZE = 64
WINDOW = np.outer(np.hanning(SIZE), np.hanning(SIZE))


def white(seed: int) -> np.ndarray:
    return cells.complex_noise((SIZE, SIZE), 1.0, np.random.default_rng(seed))


def brute_force(image: np.ndarray, truth: np.ndarray, window: np.ndarray) -> list[float]:
    """Ring by ring, from explicit sums over Fourier pixels."""
    a, b = (np.fft.fft2((x - np.sum(x * window) / window.sum()) * window) for x in (image, truth))
    rings = {}
    for i in range(SIZE):
        for j in range(SIZE):
            f = np.hypot(min(i, SIZE - i), min(j, SIZE - j))
            rings.setdefault(round(f), []).append((a[i, j] * np.conj(b[i, j]), abs(a[i, j]) ** 2, abs(b[i, j]) ** 2))
    sums = [np.sum(rings[k], axis=0) for k in range(1, SIZE // 2 + 1)]
    return [float((c / np.sqrt(p * q)).real) for c, p, q in sums]


def test_agrees_with_a_brute_force() -> None:
    image, truth = white(0) + 0.5 * white(1), white(1)
    frequency, curve = fourier_ring_correlation(image, truth, WINDOW)
    assert curve == pytest.approx(brute_force(image, truth, WINDOW), abs=1e-12)
    assert frequency[0] == 1 / SIZE
    assert frequency[-1] == 0.5


def test_closed_form_of_signal_plus_noise() -> None:
    """White signal of power S with noise of power N against the signal: sqrt(S / (S + N))."""
    curves = [
        fourier_ring_correlation(white(2 * k) + 0.75 * white(2 * k + 1), white(2 * k), np.ones((SIZE, SIZE)))[1]
        for k in range(20)
    ]
    assert np.mean(curves, axis=0)[5:] == pytest.approx(np.full(27, 0.8), abs=0.03)


def test_identical_images_correlate_fully_and_constant_ones_not_at_all() -> None:
    assert fourier_ring_correlation(white(0), white(0), WINDOW)[1] == pytest.approx(np.ones(32))
    for constant in (1.0, 0.0, 3 - 4j):
        flat = np.full((SIZE, SIZE), constant, np.complex64)
        assert not fourier_ring_correlation(flat, white(0), WINDOW)[1].any()


def test_blind_to_scale_and_background() -> None:
    image = white(0) + white(1)
    _, curve = fourier_ring_correlation(image, white(0), WINDOW)
    _, changed = fourier_ring_correlation(7 * image + 100, white(0), WINDOW)
    assert changed == pytest.approx(curve, abs=1e-9)


def test_crossing_of_a_curve_that_starts_below_is_zero() -> None:
    assert crossing_frequency(np.array([0.1, 0.2]), np.array([0.4, 0.9])) == (0.0, True)


def test_level_between_half_sets_and_against_truth() -> None:
    """A signal with FRC T between halves of double noise has sqrt(2T / (1 + T)) against truth."""
    signal, noise = 1.0, 3.0
    half_set = signal / (signal + 2 * noise)
    assert level_against_truth(half_set) == pytest.approx(np.sqrt(signal / (signal + noise)))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fourier_ring_correlation(white(0)[1:], white(0), WINDOW)
    with pytest.raises(ValueError, match="empty"):
        fourier_ring_correlation(white(0), white(0), 0 * WINDOW)
