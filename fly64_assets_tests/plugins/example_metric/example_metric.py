"""The mean error of the phase, in radians: lower is better."""

import numpy as np

from fly64_assets.science.metrics.record import Metric


def mean_phase_error(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean size of the phase difference over the scored pixels; wrapped differences count as small."""
    return float(np.abs(np.angle(image * truth.conj()))[mask].mean())


EXAMPLE_METRIC = Metric(
    name="example_metric",
    part="phase",
    unit="rad",
    direction="lower",
    label="mean phase error",
    digits=3,
    meaning="mean size of the phase difference",
    needs="images",
    compute=mean_phase_error,
)
