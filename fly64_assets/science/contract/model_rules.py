"""DATA-001 rules that only the forward model shows: exchanged axes, DC in the corner, patterns of another object.

Sampled patterns are compared with what objectGuess and probeGuess predict. A simulated file must agree within
counting statistics; for measured data, whose object is itself an estimate, the prediction must merely be better than
the faulty alternatives.
"""

from collections.abc import Iterator

import numpy as np

from fly64_assets.science.contract.content_rules import Arrays, Metadata, outside_object, positions_of
from fly64_assets.science.contract.rules import fault
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Fault

_SAMPLE = 256
_MISFIT_STANDARD_ERRORS = 8.0


def model_faults(diffraction: np.ndarray, arrays: Arrays, metadata: Metadata) -> Iterator[Fault]:
    """Compare counts with the forward model.

    Yields:
        At most one fault.
    """
    n, size = len(diffraction), diffraction.shape[-1]
    rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    scale = float(metadata["counts_scale"])
    counts = np.rint((scale * np.asarray(diffraction[rows], dtype=np.float64)) ** 2)
    positions = positions_of(arrays)[rows]
    expected = _expected(arrays, positions, scale)
    given = _log_likelihood(counts, expected)
    corner = np.fft.ifftshift(counts, axes=(1, 2))
    if _log_likelihood(corner, expected) > given:
        yield fault("dc-not-centred", "diffraction", f"DC at [{size // 2}, {size // 2}]", "DC at [0, 0]")
        return
    misfit = _misfit_in_standard_errors(counts, expected)
    if metadata["origin"] != "simulated" or abs(misfit) <= _MISFIT_STANDARD_ERRORS:
        return
    transposed = _log_likelihood(counts.transpose(0, 2, 1), expected)
    exchanged = _log_likelihood_exchanged(arrays, positions, counts, scale)
    if exchanged > max(given, transposed):
        actual = "positions that fit only with x and y exchanged"
        yield fault("xy-exchanged", "xcoords, ycoords", "positions of these patterns", actual)
    elif transposed > given:
        yield fault("diffraction-transposed", "diffraction", "patterns as rows x columns", "their transposes")
    else:
        expected_words, actual = (
            "Poisson counts of objectGuess and probeGuess",
            f"a misfit of {misfit:.0f} standard errors",
        )
        yield fault("diffraction-not-from-object", "diffraction", expected_words, actual)


def _expected(arrays: Arrays, positions: np.ndarray, scale: float) -> np.ndarray:
    probe = arrays["probeGuess"] if arrays["probeGuess"].ndim == 3 else arrays["probeGuess"][None]
    patches = extract_patches(arrays["objectGuess"], positions, probe.shape[-1])
    return scale**2 * diffraction_intensity(patches, probe).astype(np.float64)


def _log_likelihood_exchanged(arrays: Arrays, positions: np.ndarray, counts: np.ndarray, scale: float) -> float:
    exchanged = positions[:, ::-1]
    if outside_object(exchanged, arrays["objectGuess"].shape, counts.shape[-1]).any():
        return -np.inf
    return _log_likelihood(counts, _expected(arrays, exchanged, scale))


def _log_likelihood(counts: np.ndarray, expected: np.ndarray) -> float:
    """Poisson's, but for a constant that rearranging pixels does not change."""
    floor = 1e-6 * expected.mean()
    return float(np.sum(counts * np.log(expected + floor) - expected))


def _misfit_in_standard_errors(counts: np.ndarray, expected: np.ndarray) -> float:
    """Excess of the squared residuals over Poisson's variance, in its own standard errors."""
    excess = np.sum((counts - expected) ** 2 - expected)
    return float(excess / np.sqrt(np.sum(expected + 2 * expected**2)))
