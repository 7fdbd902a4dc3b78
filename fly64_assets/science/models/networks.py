"""Unrolled networks: look at the data, lift, correct with a small U-Net, and look again.

One family serves both kinds of network. It works on the canvas that a group of patterns shares, of any size and any
number of patterns: gridsize 2 has four patterns per canvas, gridsize 1 one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float
from torch import nn

from fly64_assets.science.models.lift import SpectralLift
from fly64_assets.science.physics.diffraction_torch import (
    PatchGrid,
    back_fields,
    far_fields,
    summed_intensity,
    to_fft_order,
)

_FEATURES = 7
_UNSHUFFLE = 2
_MULTIPLE = 8
"""Canvas sides are padded to this multiple: unshuffle by 2, then two poolings."""


@dataclass(frozen=True)
class GroupData:
    """What a network sees of a batch of groups.

    Attributes:
        amplitude: measured amplitude, FFT order.
        grid: where the patches lie on the canvases.
        probe: incoherent modes.
        counts_scale: per group, ``(counts_scale * amplitude)**2`` are counts.
        lift: the spectral lift of this canvas shape.
        margin_px: canvas border that no probe lights; convolutions leave it out.
    """

    amplitude: Float[torch.Tensor, "groups C N N"]
    grid: PatchGrid
    probe: Complex64[torch.Tensor, "modes N N"]
    counts_scale: Float[torch.Tensor, "groups"]
    lift: SpectralLift
    margin_px: int


class UNet(nn.Module):
    """Three scales on pixel-unshuffled features; sides of any length."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        block = _UNSHUFFLE**2
        self.enter = nn.Sequential(_conv(block * inputs, width), _conv(width, width))
        self.middle = nn.Sequential(_conv(width, 2 * width), _conv(2 * width, 2 * width))
        self.bottom = nn.Sequential(_conv(2 * width, 2 * width), _conv(2 * width, 2 * width))
        self.rise = _conv(4 * width, width)
        self.leave = nn.Sequential(_conv(2 * width, width), nn.Conv2d(width, block * outputs, 1))
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, features: Float[torch.Tensor, "b f H W"]) -> Float[torch.Tensor, "b o H W"]:
        """Map features to outputs; zero at the start of training."""
        rows, columns = features.shape[-2:]
        padded = nn.functional.pad(features, (0, -columns % _MULTIPLE, 0, -rows % _MULTIPLE))
        x = nn.functional.pixel_unshuffle(padded, _UNSHUFFLE).contiguous(memory_format=torch.channels_last)
        high = self.enter(x)
        mid = self.middle(nn.functional.avg_pool2d(high, 2))
        low = self.bottom(nn.functional.avg_pool2d(mid, 2))
        mid = self.rise(torch.cat([mid, nn.functional.interpolate(low, scale_factor=2)], dim=1))
        high = self.leave(torch.cat([high, nn.functional.interpolate(mid, scale_factor=2)], dim=1))
        return nn.functional.pixel_shuffle(high, _UNSHUFFLE)[..., :rows, :columns]


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.SiLU())


class Stage(nn.Module):
    """One look at the data from the current estimate, then a step along the lift plus a learned correction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.correct = UNet(_FEATURES, 2, width)
        self.step = nn.Parameter(torch.tensor(0.7))

    def forward(
        self, canvas: Complex64[torch.Tensor, "groups H W"], data: GroupData
    ) -> Complex64[torch.Tensor, "groups H W"]:
        """The improved canvas."""
        lifted, plain, photons = look(canvas, data)
        features = torch.stack(
            [canvas.real - 1, canvas.imag, lifted.real, lifted.imag, plain.real, plain.imag, torch.log10(1 + photons)], dim=1
        )
        m = data.margin_px
        inner = features[..., m : features.shape[-2] - m, m : features.shape[-1] - m]
        change = nn.functional.pad(self.correct(inner), (m, m, m, m))
        return canvas + self.step * lifted + torch.complex(change[:, 0], change[:, 1])


def look(
    canvas: Complex64[torch.Tensor, "groups H W"], data: GroupData
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Back-project the amplitude residual onto the canvas.

    Returns:
        The lifted object change; the residual divided by the illumination alone; photons per canvas pixel.
    """
    fields = far_fields(data.grid.gather(canvas), data.probe)
    magnitude = torch.sqrt(summed_intensity(fields) + 1e-12)
    residual = (data.amplitude / magnitude - 1)[:, :, None] * fields
    gradient = data.grid.scatter(back_fields(residual, data.probe))
    illumination = data.grid.illumination(data.probe)
    typical = (illumination**2).sum(dim=(-2, -1), keepdim=True) / illumination.sum(dim=(-2, -1), keepdim=True)
    damping = torch.rsqrt(illumination / typical + 0.2)
    scale2 = (data.counts_scale**2)[:, None, None]
    lifted = damping * data.lift(damping * gradient / typical, scale2 * typical)
    return lifted, damping**2 * gradient / typical, scale2 * illumination


class UnrolledNetwork(nn.Module):
    """Stages in a row, from a flat object.

    Args:
        stages: number of looks at the data.
        width: base channels of each stage's U-Net.
    """

    def __init__(self, stages: int, width: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(width) for _ in range(stages))
        self.to(memory_format=torch.channels_last)

    def forward(self, data: GroupData) -> Complex64[torch.Tensor, "groups H W"]:
        """The object on every group's canvas."""
        canvas = torch.ones(
            (data.grid.groups, *data.grid.shape), dtype=torch.complex64, device=data.amplitude.device
        )
        for stage in self.stages:
            canvas = stage(canvas, data)
        return canvas
