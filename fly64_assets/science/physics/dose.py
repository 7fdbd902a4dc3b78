"""Photon counting: one scale for a whole scan, Poisson counts, and exact dose reduction of measured counts.

Dose is the mean number of detected photons per pattern over the scan. Counts are ``Poisson(s^2 * intensity)``
with one scalar s for the whole scan, fixed before any split; files store ``sqrt(counts) / s`` in float32.
"""

import numpy as np
from jaxtyping import Float32, Int64

MAX_COUNT_PER_PIXEL = 2**20
"""Above this a float32 amplitude no longer returns the integer count safely in float32 arithmetic."""

BLOCK_PATTERNS = 64
"""Patterns that share one random stream; fixed, so that noise depends on neither chunk size nor order."""

_CACHED_PATTERNS = 8


def counts_scale(dose: float, mean_energy: float) -> float:
    """The scale s that gives ``dose`` photons to a pattern of mean energy, rounded to a float32 value.

    A float32 value, because solvers compute in float32: rounding changes the dose by less than 1e-7.

    Raises:
        ValueError: dose or energy is not a positive finite number.

    >>> counts_scale(400.0, 4.0)
    10.0
    """
    if not (np.isfinite(dose) and dose > 0 and np.isfinite(mean_energy) and mean_energy > 0):
        message = f"dose and mean energy must be positive and finite, got dose {dose}, mean energy {mean_energy}"
        raise ValueError(message)
    return float(np.float32(np.sqrt(dose / mean_energy)))


def draw_counts(
    intensity: Float32[np.ndarray, "m N N"], scale: float, rng: np.random.Generator
) -> Int64[np.ndarray, "m N N"]:
    """Poisson counts of mean ``scale^2 * intensity``, drawn in the order of the pixels."""
    counts = np.empty(intensity.shape, np.int64)
    for start in range(0, len(counts), _CACHED_PATTERNS):
        part = slice(start, start + _CACHED_PATTERNS)
        counts[part] = rng.poisson(intensity[part] * np.float64(scale) ** 2)
    return counts


def thin_counts(counts: np.ndarray, probability: float, rng: np.random.Generator) -> Int64[np.ndarray, "m N N"]:
    """Keep each photon with the given probability: Poisson(n) becomes Poisson(p n) exactly.

    Raises:
        ValueError: the probability is outside (0, 1].

    >>> int(thin_counts(np.full((1, 2, 2), 10), 1.0, np.random.default_rng(0)).sum())
    40
    """
    if not 0 < probability <= 1:
        message = f"thinning keeps a fraction in (0, 1] of the photons, got {probability}"
        raise ValueError(message)
    if probability == 1:
        return counts.astype(np.int64)
    return rng.binomial(counts.astype(np.int64), probability)


def amplitude_from_counts(counts: np.ndarray, scale: float) -> Float32[np.ndarray, "m N N"]:
    """``sqrt(counts) / scale`` in float32; ``(scale * amplitude)^2``, rounded, gives the counts back.

    Raises:
        ValueError: a count is too high to survive float32.
    """
    highest = int(counts.max(initial=0))
    if highest > MAX_COUNT_PER_PIXEL:
        message = f"a pixel holds {highest} counts; float32 keeps them up to {MAX_COUNT_PER_PIXEL}: lower the dose"
        raise ValueError(message)
    table = (np.sqrt(np.arange(highest + 1)) / scale).astype(np.float32)
    return np.take(table, counts, mode="clip")  # no count is outside: clip only saves the check
