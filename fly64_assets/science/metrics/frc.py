"""Fourier ring correlation of complex images, and the resolution that it implies.

The correlation is blind to any radial filter of the reconstruction, such as blur: it never stands alone.
"""

import numpy as np
from jaxtyping import Float64

NYQUIST_CYCLES_PER_PX = 0.5

Curve = Float64[np.ndarray, "rings"]


def fourier_ring_correlation(
    image: np.ndarray, truth: np.ndarray, window: Float64[np.ndarray, "h w"]
) -> tuple[Curve, Curve]:
    """Correlation of two complex images on rings of spatial frequency.

    Both are freed from their mean over the window, then apodised by it, so that neither the bright
    background nor the frame correlates.

    Args:
        image: aligned complex image, ``(h, w)``.
        truth: the image it is compared with, same shape.
        window: apodisation, falling smoothly to 0 at the border of what is compared.

    Returns:
        Ring centres in cycles/px up to Nyquist, and the real part of the correlation, in [-1, 1]; 0 on
        rings where an image has no power, hence everywhere for a constant image.

    Raises:
        ValueError: shapes differ or the window is empty.
    """
    if not image.shape == truth.shape == window.shape:
        message = f"image {image.shape}, truth {truth.shape} and window {window.shape} must have one shape"
        raise ValueError(message)
    cross, power_a, power_b, rings, centres = ring_terms(image, truth, window)
    sums = [np.bincount(rings, weights=term, minlength=len(centres)) for term in (cross, power_a, power_b)]
    return centres, ratio(*sums)


def ring_terms(
    image: np.ndarray, truth: np.ndarray, window: Float64[np.ndarray, "h w"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Curve]:
    """Per Fourier pixel below Nyquist: cross term, both powers, ring number; and the ring centres."""
    total = window.sum()
    if not total > 0:
        message = "the apodisation window is empty: the compared region is too small"
        raise ValueError(message)
    spectra = []
    for part in (image, truth):
        free = (part - np.sum(part * window) / total) * window
        rounding = 1e-5 * np.linalg.norm(part * window)
        spectra.append(np.fft.fft2(free if np.linalg.norm(free) > rounding else np.zeros_like(free)))
    centres = ring_centres(window)
    number = np.rint(radial_frequency(window.shape) / centres[0]).astype(int)
    kept = (number >= 1) & (number <= len(centres))  # ring 0 holds the mean, which was removed
    a, b = (spectrum[kept] for spectrum in spectra)
    return (a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2, number[kept] - 1, centres


def radial_frequency(shape: tuple[int, int]) -> Float64[np.ndarray, "h w"]:
    """Spatial frequency of each Fourier pixel, cycles/px."""
    fy, fx = (np.fft.fftfreq(n) for n in shape)
    return np.hypot(fy[:, None], fx[None])


def ring_centres(window: Float64[np.ndarray, "h w"]) -> Curve:
    """Centres of the rings of a window, one bin of the shorter side apart, cycles/px up to Nyquist."""
    width = 1 / min(window.shape)
    return np.arange(1, int(NYQUIST_CYCLES_PER_PX / width) + 1) * width


def ratio(cross: np.ndarray, power_a: np.ndarray, power_b: np.ndarray) -> np.ndarray:
    """``cross / sqrt(power_a * power_b)``, 0 where either power vanishes."""
    norm = np.sqrt(power_a * power_b)
    return np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)


def crossing_frequency(frequency: Curve, correlation: Curve, level: float = 0.5) -> tuple[float, bool]:
    """Where the curve first falls below a level, by linear interpolation between rings.

    Returns:
        The frequency, and whether the curve crosses at all: one that stays above the level resolves
        everything that the grid can hold and gets the Nyquist frequency; one that starts below gets 0.

    >>> crossing_frequency(np.array([0.1, 0.2, 0.3]), np.array([1.0, 0.75, 0.25]))
    (0.25, True)
    >>> crossing_frequency(np.array([0.1, 0.2]), np.array([1.0, 0.9]))
    (0.5, False)
    """
    below = np.flatnonzero(correlation < level)
    if not below.size:
        return NYQUIST_CYCLES_PER_PX, False
    first = int(below[0])
    if first == 0:
        return 0.0, True
    high, low = correlation[first - 1], correlation[first]
    step = (high - level) / (high - low)
    return float(frequency[first - 1] + step * (frequency[first] - frequency[first - 1])), True


def level_against_truth(half_set_level: float) -> float:
    """The level against truth that corresponds to a level between two half sets.

    >>> round(level_against_truth(1 / 7), 6)
    0.5
    """
    return float(np.sqrt(2 * half_set_level / (1 + half_set_level)))
