"""What networks are trained on: counts alone, or true patches.

Training is greedy: every stage is judged by itself, with the canvas that it starts from held fixed. No gradient runs
back through earlier passes over the data, which makes a step cheaper and, measured, the result better.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float

from fly64_assets.science.networks.staged import IDENTITY, StagedNetwork, Symmetry
from fly64_assets.science.physics.canvas_data import CanvasData, Judgement
from fly64_assets.science.physics.diffraction_torch import PatchGrid, probe_intensity


@dataclass(frozen=True)
class StagedLoss:
    """The loss of one batch.

    Attributes:
        surrogate: what is differentiated.
        flat: error of the flat start.
        last: error after the last stage.
    """

    surrogate: Float[torch.Tensor, ""]
    flat: float
    last: float


def counts_loss(
    network: StagedNetwork, data: CanvasData, judgement: Judgement, symmetry: Symmetry = IDENTITY
) -> StagedLoss:
    """Poisson NLL of independent photons after every stage; no truth enters.

    Args:
        network: what is trained.
        data: the photons that it sees.
        judgement: photons of the same patterns that it does not see.
        symmetry: of the corrections.

    Returns:
        A surrogate whose gradient is that of the stages' summed NLL per judging photon (its value means nothing),
        and the NLL above a perfect fit per judging photon at both ends.
    """
    photons = judgement.counts.sum().clamp(min=1.0)
    squared_scale = judgement.squared_scale[..., 0]
    canvas = previous = data.flat()
    seen = data.look(canvas, judgement)
    flat = seen.half_deviance / float(photons)
    surrogate = torch.zeros((), device=photons.device)
    for number, stage in enumerate(network.stages, start=1):
        found = stage(canvas, previous, seen.score, data, symmetry)
        canvas, previous = found.detach(), canvas
        last = number == len(network.stages)
        seen = data.look(canvas, judgement, scored=not last, valued=last)
        if seen.judged_score is None:
            message = "the judging photons were not looked at"
            raise RuntimeError(message)
        downhill = squared_scale * seen.judged_score
        surrogate = surrogate - 2 * (torch.view_as_real(downhill) * torch.view_as_real(found)).sum() / photons
    return StagedLoss(surrogate, flat, seen.half_deviance / float(photons))


def patch_loss(
    network: StagedNetwork,
    data: CanvasData,
    true_patches: Complex64[torch.Tensor, "groups C N N"],
    symmetry: Symmetry = IDENTITY,
) -> StagedLoss:
    """Error of the patches summed over the stages, and at both ends."""
    grid = data.parts[0].grid
    canvas = previous = data.flat()
    errors = [patch_error(canvas, grid, data.probe, true_patches)]
    for stage in network.stages:
        found = stage(canvas, previous, data.look(canvas, valued=False).score, data, symmetry)
        canvas, previous = found.detach(), canvas
        errors.append(patch_error(found, grid, data.probe, true_patches))
    return StagedLoss(torch.stack(errors[1:]).sum(), float(errors[0]), float(errors[-1].detach()))


def patch_error(
    canvas: Complex64[torch.Tensor, "groups H W"],
    grid: PatchGrid,
    probe: Complex64[torch.Tensor, "modes N N"],
    true_patches: Complex64[torch.Tensor, "groups C N N"],
) -> Float[torch.Tensor, ""]:
    """Mean squared error under the probe's intensity, after each group's global phase has been matched."""
    found = grid.gather(canvas)
    weight = probe_intensity(probe)
    product = (weight * found.conj() * true_patches).sum(dim=(-3, -2, -1), keepdim=True)
    error = found * (product / product.abs().clamp(min=1e-12)) - true_patches
    return (weight * (error.real**2 + error.imag**2)).sum(dim=(-2, -1)).mean() / weight.sum()
