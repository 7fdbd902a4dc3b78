"""How well reconstructions explain the counts: Poisson negative log-likelihood, before any alignment."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Float64

from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Measurement, Reconstruction

EXPECTED_COUNTS_FLOOR = 1e-3
"""Photons per detector pixel below which expectations are not told apart: a photon where none can be is
surprising, not impossible. It is the same for every image."""

_CHUNK_PATTERNS = 64


def poisson_nll(
    counts: Float32[np.ndarray, "m N N"], expected: Float32[np.ndarray, "m N N"]
) -> Float64[np.ndarray, "m"]:
    """Negative log-likelihood of each pattern in nats, without the constant ``log(counts!)``.

    Args:
        counts: photon counts.
        expected: expected counts; used as a buffer.
    """
    expected += np.float32(EXPECTED_COUNTS_FLOOR)
    total = expected.sum(axis=(1, 2), dtype=np.float64)
    np.log(expected, out=expected)
    expected *= counts
    return total - expected.sum(axis=(1, 2), dtype=np.float64)


def nll_per_pattern(
    measurement: Measurement, reconstructions: Mapping[str, Reconstruction]
) -> dict[str, Float64[np.ndarray, "n"]]:
    """NLL of every pattern under each reconstruction's own object and probe, as they stand.

    Args:
        measurement: the counts.
        reconstructions: by name; objects may hold anything.

    Returns:
        Nats per pattern by name; infinite or NaN where expected counts overflow or are not numbers.
    """
    n, size = len(measurement.amplitude), measurement.patch_size_px
    square_scale = np.float32(measurement.counts_scale**2)
    found = {name: np.empty(n) for name in reconstructions}
    for first in range(0, n, _CHUNK_PATTERNS):
        chunk = slice(first, min(first + _CHUNK_PATTERNS, n))
        counts = measurement.counts(chunk)
        for name, reconstruction in reconstructions.items():
            with np.errstate(over="ignore", invalid="ignore"):  # a diverged result overflows, and that is its answer
                patches = extract_patches(reconstruction.object, measurement.positions_xy_px[chunk], size)
                expected = diffraction_intensity(patches, reconstruction.probe)
                expected *= square_scale
                found[name][chunk] = poisson_nll(counts, expected)
    return found
