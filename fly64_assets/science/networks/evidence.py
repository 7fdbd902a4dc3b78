"""What a correction sees: the estimate, what the counts still ask for there, and how many photons fell."""

from typing import NamedTuple

import torch
from jaxtyping import Complex64, Float
from torch import nn

from fly64_assets.science.networks.staged import IDENTITY, Symmetry
from fly64_assets.science.physics.canvas_data import CanvasData

FEATURES = 9

_UNIT_AT_ONE_PHOTON, _UNIT_EXPONENT, _UNIT_OFFSET = 0.17, -0.35, 0.3
_LEAST_UNIT, _LARGEST_UNIT = 0.003, 0.3
_BLUR_PX = 9
_FAR = 8.0
"""Features beyond this many units say no more than this."""


class Evidence(NamedTuple):
    """All of it on the lit part of canvases.

    Attributes:
        canvas: the estimate, ``(b, H, W)``.
        newton: the change that the counts ask for there, all spatial frequencies on equal footing.
        plain: the same, divided by the illumination alone.
        photons: incident photons per pixel.
    """

    canvas: Complex64[torch.Tensor, "b H W"]
    newton: Complex64[torch.Tensor, "b H W"]
    plain: Complex64[torch.Tensor, "b H W"]
    photons: Float[torch.Tensor, "b H W"]

    @classmethod
    def at(cls, canvas: Complex64[torch.Tensor, "b H W"], data: CanvasData) -> "Evidence":
        """Of an estimate on whole canvases: one look at the data."""
        return cls.of(canvas, data.look(canvas, valued=False).score, data)

    @classmethod
    def of(
        cls, canvas: Complex64[torch.Tensor, "b H W"], score: Complex64[torch.Tensor, "b H W"], data: CanvasData
    ) -> "Evidence":
        """Of an estimate and the score of a look at the data from there."""
        margin = data.margin_px
        inner = (..., slice(margin, canvas.shape[-2] - margin), slice(margin, canvas.shape[-1] - margin))
        newton, plain = data.newton_step(score), data.plain_step(score)
        return cls(canvas[inner], newton[inner], plain[inner], data.photons_per_px[inner])

    @property
    def unit(self) -> Float[torch.Tensor, "b H W"]:
        """The error that estimates typically have under so many photons: noise of all doses looks alike in it."""
        unit = _UNIT_AT_ONE_PHOTON * (self.photons + _UNIT_OFFSET) ** _UNIT_EXPONENT
        return unit.clamp(_LEAST_UNIT, _LARGEST_UNIT)

    def features(self, symmetry: Symmetry = IDENTITY) -> Float[torch.Tensor, "b f H W"]:
        """Real features, seen through a symmetry."""
        unit = self.unit
        pairs = [(self.canvas - 1, 1.0), (self.canvas - _blurred(self.canvas), unit)]
        pairs += [(self.newton, unit), (self.plain, unit)]
        parts = [(part / size).clamp(-_FAR, _FAR) for z, size in pairs for part in (z.real, z.imag)]
        return symmetry.apply(torch.stack([*parts, torch.log10(1 + self.photons)], dim=1))


def _blurred(canvas: Complex64[torch.Tensor, "b H W"]) -> Complex64[torch.Tensor, "b H W"]:
    pairs = torch.stack([canvas.real, canvas.imag], dim=1)
    blurred = nn.functional.avg_pool2d(pairs, _BLUR_PX, stride=1, padding=_BLUR_PX // 2, count_include_pad=False)
    return torch.complex(blurred[:, 0], blurred[:, 1])
