"""Accelerated gradient descent on the amplitude residual, from a flat object or another method's result."""

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options
from fly64_assets.science.records import Measurement, Progress


class GradientOptions(Options):
    """The descent."""

    iterations: int = Field(default=100, ge=1, le=10_000, description="Looks at the data.")
    step: float = Field(default=0.5, gt=0, le=1, description="Step over the summed illumination.")


def reconstruct(measurement: Measurement, options: GradientOptions, given: Given) -> Iterator[Estimate]:
    """One estimate per look; nothing is drawn, so the seed is not used."""
    import torch  # here, so that listing methods stays cheap

    from fly64_assets.science.physics.diffraction_torch import PatchGrid, back_fields, far_fields, to_fft_order

    shape = measurement.object_shape
    grid = PatchGrid(torch.as_tensor(measurement.positions_xy_px)[None], measurement.patch_size_px, shape)
    probe = torch.as_tensor(measurement.probe)
    measured = to_fft_order(torch.as_tensor(np.array(measurement.amplitude)))[None, :, None]
    light = grid.illumination(probe)
    light = light + 0.1 * light.max()
    image = torch.ones((1, *shape), dtype=torch.complex64)
    if given.start is not None:
        image = torch.as_tensor(given.start)[None].clone()
    ahead, pace = image, 1.0
    for look in range(1, options.iterations + 1):
        fields = far_fields(grid.gather(ahead), probe)
        modelled = fields.abs().square().sum(dim=2, keepdim=True).sqrt()
        downhill = grid.scatter(back_fields(fields * (measured / modelled.clamp(min=1e-6) - 1), probe))
        moved = ahead + 2 * options.step * downhill / light
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        ahead, image, pace = moved + (pace - 1) / faster * (moved - image), moved, faster
        loss = float((modelled - measured).square().sum())
        given.progress(Progress("gradient", look, options.iterations, loss))
        yield Estimate(image[0].numpy().copy(), look, loss)


EXAMPLE_GRADIENT = MethodKind(
    name="example_gradient",
    meaning="accelerated gradient descent on amplitudes, no prior and no network",
    options=GradientOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
