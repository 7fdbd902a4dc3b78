"""How wrong the phase is where it is worst, in radians: lower is better."""

import numpy as np

from fly64_assets.science.metrics.record import Metric


def worst_phase_error(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """The phase error that one scored pixel in a hundred exceeds; wrapped differences count as small."""
    return float(np.percentile(np.abs(np.angle(image * truth.conj()))[mask], 99))


EXAMPLE_METRIC = Metric(
    name="example_metric",
    part="phase",
    unit="rad",
    direction="lower",
    label="worst phase error",
    digits=3,
    meaning="phase error that one scored pixel in a hundred exceeds",
    needs="images",
    compute=worst_phase_error,
)
