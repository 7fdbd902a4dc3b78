"""Counts on canvases: what one pass over the data tells about an object estimate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float

from fly64_assets.science.arrays import ProbeModes
from fly64_assets.science.physics.diffraction_torch import PatchGrid, back_fields, far_fields, summed_intensity
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets.science.physics.likelihood import (
    BACKGROUND_COUNTS,
    POISSON,
    Deviance,
    half_deviance,
    poisson_score,
)
from fly64_assets.science.physics.probe import lit_margin_px

_DARK_FLOOR = 0.2
"""Illumination relative to the typical one below which steps are no longer magnified."""


@dataclass(frozen=True)
class Part:
    """Some patterns of every canvas: few enough to hold their far fields at once.

    Attributes:
        grid: where their patches lie.
        counts: returns their photons, ``(groups, C, N, N)``, FFT order; called once per pass.
    """

    grid: PatchGrid
    counts: Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Judgement:
    """Independent photons of the same patterns: they judge what was made from the others.

    Attributes:
        counts: photons, FFT order.
        squared_scale: expected counts are this times ``|far field|**2``.
    """

    counts: Float[torch.Tensor, "groups C N N"]
    squared_scale: Float[torch.Tensor, "groups 1 1 1"]


@dataclass(frozen=True)
class Pass:
    """The outcome of one pass over the data.

    Attributes:
        score: downhill direction of the NLL on the canvas, in units in which the illumination is the curvature;
            zero if it was not asked for.
        half_deviance: NLL above a perfect fit, of the judging photons if there are any.
        judged_score: score of the judging photons; None without them.
    """

    score: Complex64[torch.Tensor, "groups H W"]
    half_deviance: float
    judged_score: Complex64[torch.Tensor, "groups H W"] | None = None


class CanvasData:
    """Measured counts of groups of patterns, each group on a canvas of its own.

    Args:
        parts: the patterns.
        probe: incoherent modes.
        counts_scale: per group; expected counts are ``counts_scale**2 * |far field|**2``.
        lift: spectral lift of this canvas shape.
        margin_px: canvas border that the probe hardly lights; convolutions leave it out.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        probe: Complex64[torch.Tensor, "modes N N"],
        counts_scale: Float[torch.Tensor, "groups"],
        lift: SpectralLift,
        margin_px: int,
    ) -> None:
        self.parts, self.probe, self.margin_px = parts, probe, margin_px
        self.shape = (parts[0].grid.groups, *parts[0].grid.shape)
        self._lift = lift
        self.squared_scale = counts_scale.square()[:, None, None]
        self.illumination = torch.stack([part.grid.illumination(probe) for part in parts]).sum(0).clamp(min=0)
        total = self.illumination.sum(dim=(-2, -1), keepdim=True)
        typical = self.illumination.square().sum(dim=(-2, -1), keepdim=True) / total
        # Complex, though real: a product with a complex canvas would convert it anew every time.
        self._balance = torch.rsqrt(self.illumination / typical + _DARK_FLOOR).to(torch.complex64)
        self._inner_balance = self._balance / typical
        self._inverse_curvature = lift.inverse(self.squared_scale * typical)

    @property
    def photons_per_px(self) -> Float[torch.Tensor, "groups H W"]:
        """Incident photons on every canvas pixel."""
        return self.squared_scale * self.illumination

    def flat(self) -> Complex64[torch.Tensor, "groups H W"]:
        """The object that transmits everything, where every reconstruction starts."""
        return torch.ones(self.shape, dtype=torch.complex64, device=self.probe.device)

    @torch.no_grad()
    def look(
        self,
        canvas: Complex64[torch.Tensor, "groups H W"],
        judgement: Judgement | None = None,
        *,
        scored: bool = True,
        valued: bool = True,
    ) -> Pass:
        """Compare the canvas with all counts: one pass over the data.

        Args:
            canvas: object estimates.
            judgement: compare with these independent photons as well (single part only).
            scored: compute the score; else only what the judgement says.
            valued: also compute the half deviance; else it is NaN, and the pass cheaper.
        """
        score = torch.zeros_like(canvas)
        judged_score = None if judgement is None else torch.zeros_like(canvas)
        deviance = 0.0
        squared_scale = self.squared_scale[..., None]
        for part in self.parts:
            counts, scale = part.counts(), squared_scale
            fields = far_fields(part.grid.gather(canvas), self.probe)
            intensity = summed_intensity(fields)
            if scored:
                score += self._back(part.grid, poisson_score(fields, intensity, counts, scale))
            if judgement is not None and judged_score is not None:
                counts, scale = judgement.counts, judgement.squared_scale
                judged_score += self._back(part.grid, poisson_score(fields, intensity, counts, scale))
            if not valued:
                continue
            deviance += float(half_deviance(scale * intensity + BACKGROUND_COUNTS, counts))
        return Pass(score, deviance if valued else float("nan"), judged_score)

    @torch.no_grad()
    def compare(
        self, canvas: Complex64[torch.Tensor, "groups H W"], deviance: Deviance = POISSON
    ) -> tuple[float, Complex64[torch.Tensor, "groups H W"]]:
        """One pass over the data for a solver: the deviance of all counts in nats, and its score on the canvas."""
        score = torch.zeros_like(canvas)
        total = 0.0
        squared_scale = self.squared_scale[..., None]
        for part in self.parts:
            fields = far_fields(part.grid.gather(canvas), self.probe)
            expected = summed_intensity(fields).mul_(squared_scale).add_(BACKGROUND_COUNTS)
            factor, value = deviance.compare(expected, part.counts())
            score += self._back(part.grid, fields.mul_(factor[:, :, None]))
            total += float(value)
        return total, score

    def _back(self, grid: PatchGrid, fields: torch.Tensor) -> torch.Tensor:
        return grid.scatter(back_fields(fields, self.probe))

    def prior_pull(self, canvas: Complex64[torch.Tensor, "groups H W"]) -> Complex64[torch.Tensor, "groups H W"]:
        """Downhill direction of the smoothness prior, in the units of a score."""
        return -0.5 * self._lift.stiffness(canvas - 1) / self.squared_scale

    def newton_step(self, score: Complex64[torch.Tensor, "groups H W"]) -> Complex64[torch.Tensor, "groups H W"]:
        """The object change that a score asks for, all spatial frequencies brought to equal footing."""
        return self._balance * self._inverse_curvature(self._inner_balance * score)

    def plain_step(self, score: Complex64[torch.Tensor, "groups H W"]) -> Complex64[torch.Tensor, "groups H W"]:
        """The score divided by the illumination alone."""
        return self._balance * self._inner_balance * score


class CanvasOptics:
    """All that a probe brings to a canvas: its modes, its dark margin, and the spectral lift of every canvas shape.

    Canvas data are put together here and nowhere else: for a whole scan, for groups, and for training.

    Args:
        probe: incoherent modes.
    """

    def __init__(self, probe: ProbeModes) -> None:
        self.margin_px = lit_margin_px(probe)
        self._coupling = mirror_coupling(probe)
        self._probe = torch.as_tensor(probe)
        self._lifts: dict[tuple[tuple[int, int], torch.device], SpectralLift] = {}

    def data(self, parts: Sequence[Part], counts_scale: Float[torch.Tensor, "groups"]) -> CanvasData:
        """Counts of patterns on the canvases of their parts; computed on the device of ``counts_scale``."""
        shape, device = parts[0].grid.shape, counts_scale.device
        if (shape, device) not in self._lifts:
            self._lifts[shape, device] = SpectralLift(self._coupling, shape, device)
        self._probe = self._probe.to(device)
        return CanvasData(parts, self._probe, counts_scale, self._lifts[shape, device], self.margin_px)
