"""What networks are trained on: counts (PINN) or true patches (supervised)."""

import torch
from jaxtyping import Complex64, Float

from fly64_assets.science.models.networks import GroupData
from fly64_assets.science.physics.diffraction_torch import far_fields, probe_intensity, summed_intensity
from fly64_assets.science.physics.likelihood import poisson_nll_torch

BACKGROUND_COUNTS = 0.01
"""Expected counts never fall below this in training: the gradient of a stray photon stays finite."""


def counts_loss(
    canvas: Complex64[torch.Tensor, "groups H W"],
    data: GroupData,
    counts: Float[torch.Tensor, "groups C N N"],
    counts_scale: float,
) -> Float[torch.Tensor, ""]:
    """Poisson NLL of counts under the canvas, per photon; no truth enters.

    Args:
        canvas: object estimates.
        data: positions and probe of the groups.
        counts: photons in FFT order; independent of those that the network saw.
        counts_scale: expected counts are ``counts_scale**2 * |far field|**2``.
    """
    intensity = summed_intensity(far_fields(data.grid.gather(canvas), data.probe))
    expected = counts_scale**2 * intensity
    return poisson_nll_torch(expected, counts, BACKGROUND_COUNTS) / counts.sum().clamp(min=1.0)


def patch_loss(
    canvas: Complex64[torch.Tensor, "groups H W"],
    data: GroupData,
    true_patches: Complex64[torch.Tensor, "groups C N N"],
) -> Float[torch.Tensor, ""]:
    """Squared error of the patches, weighted by the probe, after each group's global phase has been matched."""
    found = data.grid.gather(canvas)
    weight = probe_intensity(data.probe)
    product = (weight * found.conj() * true_patches).sum(dim=(-3, -2, -1), keepdim=True)
    turned = found * (product / product.abs().clamp(min=1e-12))
    error = turned - true_patches
    square = (weight * (error.real**2 + error.imag**2)).sum(dim=(-2, -1))
    return square.mean() / weight.sum()
