"""Unrolled networks: look at the data, step, correct with a small U-Net, and look again."""

import torch
from jaxtyping import Complex64, Float
from torch import nn

from fly64_assets.science.networks.record import NetworkRecord
from fly64_assets.science.networks.staged import IDENTITY, StagedNetwork, Symmetry
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.canvas_data import CanvasData

_FEATURES = 9
_UNSHUFFLE = 2
_MULTIPLE = 8
"""Canvas sides are padded to this multiple: unshuffle by 2, then two poolings."""


class UNet(nn.Module):
    """Three scales on pixel-unshuffled features; sides of any length; zero at the start of training."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        block = _UNSHUFFLE**2
        self.enter = nn.Sequential(_conv(block * inputs, width, 1), _conv(width, width))
        self.middle = nn.Sequential(_conv(width, 2 * width), _conv(2 * width, 2 * width))
        self.bottom = nn.Sequential(_conv(2 * width, 2 * width), _conv(2 * width, 2 * width))
        self.rise = _conv(4 * width, width)
        last = nn.Conv2d(width, block * outputs, 1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(_conv(2 * width, width), last)

    def forward(self, features: Float[torch.Tensor, "b f H W"]) -> Float[torch.Tensor, "b o H W"]:
        """Map features to outputs."""
        rows, columns = features.shape[-2:]
        padded = nn.functional.pad(features, (0, -columns % _MULTIPLE, 0, -rows % _MULTIPLE))
        x = nn.functional.pixel_unshuffle(padded, _UNSHUFFLE).contiguous(memory_format=torch.channels_last)
        high = self.enter(x)
        mid = self.middle(nn.functional.avg_pool2d(high, 2))
        low = self.bottom(nn.functional.avg_pool2d(mid, 2))
        mid = self.rise(torch.cat([mid, nn.functional.interpolate(low, scale_factor=2)], dim=1))
        high = self.leave(torch.cat([high, nn.functional.interpolate(mid, scale_factor=2)], dim=1))
        return nn.functional.pixel_shuffle(high, _UNSHUFFLE)[..., :rows, :columns]


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.SiLU())


class Stage(nn.Module):
    """A step along what the data ask for, some momentum and, if it has a width, a learned correction."""

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self.correct = None if width is None else UNet(_FEATURES, 2, width)
        self.step = nn.Parameter(torch.tensor(0.8))
        self.momentum = nn.Parameter(torch.tensor(0.2))

    def forward(
        self,
        canvas: Complex64[torch.Tensor, "groups H W"],
        previous: Complex64[torch.Tensor, "groups H W"],
        score: Complex64[torch.Tensor, "groups H W"],
        data: CanvasData,
        symmetry: Symmetry = IDENTITY,
    ) -> Complex64[torch.Tensor, "groups H W"]:
        """The improved canvas.

        Args:
            canvas: the current estimate.
            previous: the one before.
            score: of a look at the data from ``canvas``.
            data: illumination and scales.
            symmetry: seen through which the correction is made.
        """
        newton = data.newton_step(score + data.prior_pull(canvas))
        moved = canvas - previous
        stepped = canvas + self.step * newton + self.momentum * moved
        if self.correct is None:
            return stepped
        parts = [part for z in (canvas - 1, newton, data.plain_step(score), moved) for part in (z.real, z.imag)]
        features = torch.stack([*parts, torch.log10(1 + data.photons_per_px)], dim=1)
        m = data.margin_px
        inner = features[..., m : features.shape[-2] - m, m : features.shape[-1] - m]
        change = symmetry.revert(self.correct(symmetry.apply(inner)))
        change = nn.functional.pad(change.float(), (m, m, m, m))  # mixed precision returns halves
        return stepped + torch.complex(change[:, 0], change[:, 1])


def unrolled_network(stages: int, width: int) -> StagedNetwork:
    """Every second stage corrects, the last one among them.

    Looks at the data are cheap and corrections are not, and a correction is worth more after two looks than after one.

    Args:
        stages: number of looks at the data.
        width: base channels of each correction's U-Net.
    """
    return StagedNetwork(Stage(width if (stages - k) % 2 else None) for k in range(stages))


def _build(options: TrainingOptions) -> StagedNetwork:
    return unrolled_network(options.stages, options.width)


UNROLLED_UNET = NetworkRecord(
    name="unrolled_unet",
    meaning="looks at the data, steps along what they ask for, and corrects every second step by a small U-Net",
    build=_build,
)
