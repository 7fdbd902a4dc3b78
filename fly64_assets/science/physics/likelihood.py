"""Poisson likelihood of photon counts in torch, for training and refinement; scoring has it in numpy, per pattern.

It leaves out ``log(counts!)``, which no reconstruction can change: differences between reconstructions are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float

EXPECTED_FLOOR = 1e-6
"""Expected counts below this are taken as this in the logarithm: one stray photon must not cost infinitely much."""

BACKGROUND_COUNTS = 0.02
"""Counts per pixel that solvers add to the expectation. It keeps gradients finite where the model is dark; ten times
more already hides the dark field, which holds much of the fine detail at low dose."""


def poisson_nll_torch(
    expected: Float[torch.Tensor, "*s"], counts: Float[torch.Tensor, "*s"], floor: float = EXPECTED_FLOOR
) -> Float[torch.Tensor, ""]:
    """Sum of ``expected - counts * log(expected)``, in nats, differentiable.

    Args:
        expected: expected counts, >= 0.
        counts: measured counts, >= 0.
        floor: lower bound of the logarithm's argument.

    >>> float(poisson_nll_torch(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0])))
    3.0
    """
    return (expected - counts * torch.log(expected.clamp(min=floor))).sum()


def half_deviance(expected: Float[torch.Tensor, "*s"], counts: Float[torch.Tensor, "*s"]) -> Float[torch.Tensor, ""]:
    """NLL above that of a perfect fit (expected = counts): comparable between doses, never negative.

    >>> float(half_deviance(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 0.0])))
    1.0
    """
    return (expected - counts + torch.xlogy(counts, counts / expected)).sum()


def poisson_score(
    fields: Complex64[torch.Tensor, "groups C modes N N"],
    intensity: Float[torch.Tensor, "groups C N N"],
    counts: Float[torch.Tensor, "groups C N N"],
    squared_scale: Float[torch.Tensor, "groups 1 1 1"],
) -> Complex64[torch.Tensor, "groups C modes N N"]:
    """Downhill direction of the NLL in the far field, ``(counts / expected - 1) * field``.

    Minus the derivative of the NLL with respect to conj(field), over ``squared_scale``: zero at the truth on
    noise-free counts, up to the background.

    Args:
        fields: far fields of all modes.
        intensity: their summed squared magnitude.
        counts: measured photons.
        squared_scale: expected counts are ``squared_scale * intensity + BACKGROUND_COUNTS``.
    """
    return (counts / (squared_scale * intensity + BACKGROUND_COUNTS) - 1)[:, :, None] * fields


@dataclass(frozen=True)
class Deviance:
    """How far counts lie from their expectation, as solvers lower it.

    Attributes:
        name: of the noise model.
        compare: ``(expected, counts)`` to the factor that turns far fields into the score, and the summed deviance
            in nats, a scalar tensor. Both deviances have the same curvature where counts meet their expectation.
    """

    name: str
    compare: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def _compare_poisson(expected: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ratio = counts / expected
    # Zero counts leave zero times a finite logarithm; xlogy says the same at twice the time.
    terms = torch.log(ratio.clamp(min=_TINY)).mul_(counts).sub_(counts).add_(expected)
    return ratio.sub_(1), terms.sum()


def _compare_amplitudes(expected: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    factor = torch.div(counts, expected).sqrt_().sub_(1).mul_(2)
    return factor, factor.square().mul_(expected).sum() / 2


_TINY = 1e-30

POISSON = Deviance("poisson", _compare_poisson)
"""Half the Poisson deviance: the negative log-likelihood above that of a perfect fit."""

AMPLITUDE = Deviance("amplitude", _compare_amplitudes)
"""``2 (sqrt(counts) - sqrt(expected))**2``: Gaussian noise of amplitudes, fewer false minima far from the truth."""
