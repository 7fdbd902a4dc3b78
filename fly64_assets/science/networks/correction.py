"""Corrections of a classical reconstruction: one small U-Net after MAP, and another after a few more passes.

Each correction answers with a change of the object and with the error that remains, in units of the error that so many
photons usually leave, so that one set of weights serves all doses and overlaps.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Complex64, Float, Shaped
from torch import nn

from fly64_assets.science.networks.evidence import FEATURES, Evidence
from fly64_assets.science.networks.record import NetworkRecord
from fly64_assets.science.networks.staged import IDENTITY, StagedNetwork, Symmetry
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.canvas_data import CanvasData
from fly64_assets.science.physics.descent import Descent, Prior, lower_objective

_OUTPUTS = 3
_UNSHUFFLE = 2
_MULTIPLE = 16
"""Canvas sides are padded to this multiple: unshuffle by 2, then three poolings."""

_LARGEST_CHANGE = 6.0
_LOG_ERROR_REACH = 4.0
CALIBRATION_KNOTS = 16


class Corrected(NamedTuple):
    """What a correction says, on the canvases of its evidence.

    Attributes:
        canvas: the corrected estimate.
        error: predicted RMS error of it, ``sqrt(E |estimate - truth|^2)``.
    """

    canvas: Complex64[torch.Tensor, "b H W"]
    error: Float[torch.Tensor, "b H W"]


class DeepUNet(nn.Module):
    """Four scales on pixel-unshuffled features; sides of any length; zero at the start of training."""

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        block = _UNSHUFFLE**2
        widths = (width, 3 * width // 2, 2 * width, 2 * width)
        self.enter = nn.Sequential(_conv(block * inputs, width, 1), _conv(width, width))
        self.down = nn.ModuleList(
            nn.Sequential(_conv(above, below), _conv(below, below)) for above, below in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_conv(above + below, above) for above, below in itertools.pairwise(widths))
        last = nn.Conv2d(width, block * outputs, 1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        self.leave = nn.Sequential(_conv(width, width), last)

    def forward(self, features: Float[torch.Tensor, "b f H W"]) -> Float[torch.Tensor, "b o H W"]:
        """Map features to outputs."""
        rows, columns = features.shape[-2:]
        padded = nn.functional.pad(features, (0, -columns % _MULTIPLE, 0, -rows % _MULTIPLE))
        x = nn.functional.pixel_unshuffle(padded, _UNSHUFFLE).contiguous(memory_format=torch.channels_last)
        scales = [self.enter(x)]
        for down in self.down:
            scales.append(down(nn.functional.avg_pool2d(scales[-1], 2)))
        x = scales.pop()
        for up in reversed(self.up):
            x = up(torch.cat([scales.pop(), nn.functional.interpolate(x, scale_factor=2)], dim=1))
        return nn.functional.pixel_shuffle(self.leave(x), _UNSHUFFLE)[..., :rows, :columns]


def _conv(inputs: int, outputs: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.SiLU())


class Correction(nn.Module):
    """One correction of an estimate."""

    log_error_at: torch.Tensor
    log_error_added: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = DeepUNet(FEATURES, _OUTPUTS, width)
        self.register_buffer("log_error_at", torch.linspace(-9, 1, CALIBRATION_KNOTS))
        self.register_buffer("log_error_added", torch.zeros(CALIBRATION_KNOTS))

    def forward(
        self,
        canvas: Complex64[torch.Tensor, "groups H W"],
        previous: Complex64[torch.Tensor, "groups H W"],
        score: Complex64[torch.Tensor, "groups H W"],
        data: CanvasData,
        symmetry: Symmetry = IDENTITY,
    ) -> Complex64[torch.Tensor, "groups H W"]:
        """The corrected canvas, in the form of every stage; ``previous`` is not asked."""
        del previous
        return _within(canvas, self.correct(Evidence.of(canvas, score, data), symmetry).canvas, data.margin_px)

    def correct(self, evidence: Evidence, symmetry: Symmetry = IDENTITY) -> Corrected:
        """The corrected estimate and its error, where the evidence lies."""
        answer = symmetry.revert(self.net(evidence.features(symmetry)).float())
        unit = evidence.unit
        bounded = _LARGEST_CHANGE * torch.tanh(answer[:, :2] / _LARGEST_CHANGE) * unit[:, None]
        log_error = torch.log(unit) + _LOG_ERROR_REACH * torch.tanh(answer[:, 2] / _LOG_ERROR_REACH)
        error = torch.exp(log_error + self._added(log_error))
        return Corrected(evidence.canvas + torch.complex(bounded[:, 0], bounded[:, 1]), error)

    def _added(self, log_error: torch.Tensor) -> torch.Tensor:
        """What the calibration adds, linear between its knots and constant beyond them."""
        knots, added = self.log_error_at, self.log_error_added
        upper = torch.searchsorted(knots, log_error.detach().contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[upper - 1], knots[upper]
        share = ((log_error.detach() - low) / (high - low)).clamp(0, 1)
        return torch.lerp(added[upper - 1], added[upper], share)

    def calibrate(self, log_error: torch.Tensor, squared: torch.Tensor) -> None:
        """Let predicted errors agree with measured ones, on scans that the correction was not trained on.

        Args:
            log_error: logarithms of the predicted errors of many pixels, uncalibrated.
            squared: their measured squared errors.
        """
        order = torch.argsort(log_error)
        bins = zip(log_error[order].chunk(CALIBRATION_KNOTS), squared[order].chunk(CALIBRATION_KNOTS), strict=True)
        found = [(float(log.mean()), float(0.5 * torch.log(square.mean()))) for log, square in bins]
        knots = torch.tensor([log for log, _ in found]) + 1e-5 * torch.arange(len(found))  # strictly ascending
        self.log_error_at.copy_(knots)
        self.log_error_added.copy_(torch.tensor([measured - log for log, measured in found]))


def _within(
    canvas: Shaped[torch.Tensor, "groups H W"], inner: Shaped[torch.Tensor, "groups h w"], margin_px: int
) -> Shaped[torch.Tensor, "groups H W"]:
    """The canvas with its inner part replaced."""
    whole = canvas.clone()
    rows, columns = canvas.shape[-2:]
    whole[..., margin_px : rows - margin_px, margin_px : columns - margin_px] = inner
    return whole


class CorrectedPass(NamedTuple):
    """What there is after a pass over the data.

    Attributes:
        canvas: the estimate.
        value: its objective; None for a correction, which lowers none.
        error: predicted RMS error; None between corrections.
    """

    canvas: Complex64[torch.Tensor, "1 H W"]
    value: float | None
    error: Float[torch.Tensor, "1 H W"] | None


def apply_corrections(
    network: StagedNetwork,
    data: CanvasData,
    canvas: Complex64[torch.Tensor, "1 H W"],
    prior: Prior,
    passes_between: int,
) -> Iterator[CorrectedPass]:
    """Correct a MAP estimate; between two corrections, pass over the data from what the one before left."""
    for k, stage in enumerate(network.stages):
        if not isinstance(stage, Correction):
            message = f"stage {k} is a {type(stage).__name__}, no correction"
            raise TypeError(message)
        if k:
            for lowered in lower_objective(data, canvas, Descent(prior, passes_between, 0, 0.0)):
                canvas = lowered.canvas
                yield CorrectedPass(canvas, lowered.value, None)
        corrected = corrected_by(stage, canvas, data)
        canvas = corrected.canvas
        yield corrected


def corrected_by(stage: Correction, canvas: Complex64[torch.Tensor, "1 H W"], data: CanvasData) -> CorrectedPass:
    """One correction of a whole canvas; beyond its lit part nothing changes, and the error is unknown (infinite)."""
    with torch.inference_mode():
        found = stage.correct(Evidence.at(canvas, data))
        error = _within(torch.full(canvas.shape, torch.inf), found.error, data.margin_px)
        return CorrectedPass(_within(canvas, found.canvas, data.margin_px), None, error)


def _build(options: TrainingOptions) -> StagedNetwork:
    return StagedNetwork(Correction(options.width) for _ in range(options.stages))


MAP_CORRECTIONS = NetworkRecord(
    name="map_corrections",
    meaning="small U-Nets that correct a classical reconstruction and say how far it is still off",
    build=_build,
)
