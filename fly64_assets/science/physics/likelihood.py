"""Poisson negative log-likelihood of photon counts, once in numpy (scoring) and once in torch (training).

Both leave out ``log(counts!)``, which no reconstruction can change: differences between reconstructions are exact.
"""

import numpy as np
import torch
from jaxtyping import Float

EXPECTED_FLOOR = 1e-6
"""Expected counts below this are taken as this in the logarithm: one stray photon must not cost infinitely much."""


def poisson_nll(
    expected: Float[np.ndarray, "*s"], counts: Float[np.ndarray, "*s"], floor: float = EXPECTED_FLOOR
) -> float:
    """Sum of ``expected - counts * log(expected)``, in nats, accumulated in float64.

    Args:
        expected: expected counts, >= 0.
        counts: measured counts, >= 0.
        floor: lower bound of the logarithm's argument.

    >>> poisson_nll(np.array([1.0, 2.0]), np.array([3.0, 0.0]))
    3.0
    """
    expected64 = np.asarray(expected, np.float64)
    return float(np.sum(expected64 - counts * np.log(np.maximum(expected64, floor))))


def poisson_nll_torch(
    expected: Float[torch.Tensor, "*s"], counts: Float[torch.Tensor, "*s"], floor: float = EXPECTED_FLOOR
) -> Float[torch.Tensor, ""]:
    """The same sum as :func:`poisson_nll`, differentiable, in the precision of its arguments."""
    return (expected - counts * torch.log(expected.clamp(min=floor))).sum()
