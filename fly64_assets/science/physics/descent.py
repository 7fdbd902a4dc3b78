"""Quasi-Newton passes over the data: maximum a posteriori on counts.

L-BFGS whose initial inverse Hessian is the spectral lift. Each pass costs one forward and one backward transform per
pattern, no line search, and memory that grows with the object alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex64

from fly64_assets.science.physics.canvas_data import CanvasData
from fly64_assets.science.physics.compact_lbfgs import CompactInverse
from fly64_assets.science.physics.likelihood import AMPLITUDE, POISSON, Deviance
from fly64_assets.science.physics.total_variation import total_variation
from fly64_assets.science.torch_runtime import without_gradients

_FIRST_STEP = 0.8
_BACKTRACK = 0.4
_LEAST_STEP = 1e-3
"""A step that was cut to less than this and is still rejected means that rounding is all that is left."""

_WATCHED_PASSES = 10
"""Passes over which the decrease is judged: single ones stand still now and then."""

Canvas = Complex64[torch.Tensor, "1 H W"]


@dataclass(frozen=True)
class Prior:
    """What is believed of an object before it is measured.

    Attributes:
        edges: weight of the total variation, nats per unit of gradient.
        smoothness: weight of the power-law prior, 1 being its own energy.
    """

    edges: float
    smoothness: float


@dataclass(frozen=True)
class Descent:
    """How an objective is lowered.

    Attributes:
        prior: beside the counts.
        passes: at most so many looks at the data.
        amplitude_passes: of these, at most so many, the first ones, on the amplitudes; the others on Poisson counts.
        tolerance: either part ends when ten passes have lowered its objective by less than this fraction.
    """

    prior: Prior
    passes: int
    amplitude_passes: int
    tolerance: float


@dataclass(frozen=True)
class LoweredCanvas:
    """What there is after a pass over the data.

    Attributes:
        canvas: the best one so far; the start itself after the first pass.
        value: its objective; a rejected step repeats the value before it.
    """

    canvas: Canvas
    value: float


class Objective:
    """Deviance of the counts plus the prior's energy, over the squared scale.

    Args:
        data: one canvas.
        deviance: how the counts are judged.
        prior: beside them.
    """

    def __init__(self, data: CanvasData, deviance: Deviance, prior: Prior) -> None:
        self._data, self._deviance, self._prior = data, deviance, prior

    def __call__(self, canvas: Canvas) -> tuple[float, Canvas]:
        """The objective, and half its steepest descent, in one look at the data."""
        squared_scale = float(self._data.squared_scale)
        value, downhill = self._data.compare(canvas, self._deviance)
        value /= squared_scale
        if self._prior.smoothness:
            pull = self._data.prior_pull(canvas) * self._prior.smoothness
            value -= _dot(pull, canvas - 1)
            downhill += pull
        if self._prior.edges:
            energy, pull = total_variation(canvas)
            value += self._prior.edges / squared_scale * energy
            downhill.add_(pull, alpha=self._prior.edges / squared_scale)
        return value, downhill


def lower_objective(data: CanvasData, canvas: Canvas, descent: Descent) -> Iterator[LoweredCanvas]:
    """Lower the objective: first that of the amplitudes, then that of the Poisson counts.

    Args:
        data: one canvas.
        canvas: where to start.
        descent: prior, passes and when to stop.

    Returns:
        What there is after every pass.
    """
    return without_gradients(_lowered(data, canvas, descent))


def lower_start(data: CanvasData, candidates: list[Canvas], prior: Prior) -> Canvas:
    """The candidate whose Poisson objective is lowest; one look at the data for each."""
    with torch.inference_mode():
        objective = Objective(data, POISSON, prior)
        return min(candidates, key=lambda canvas: objective(canvas)[0])


def _lowered(data: CanvasData, canvas: Canvas, descent: Descent) -> Iterator[LoweredCanvas]:
    left = descent.passes
    for deviance, passes in ((AMPLITUDE, min(descent.amplitude_passes, descent.passes - 1)), (POISSON, descent.passes)):
        for found in _descend(
            data, Objective(data, deviance, descent.prior), canvas, min(passes, left), descent.tolerance
        ):
            canvas, left = found.canvas, left - 1
            yield found


def _descend(
    data: CanvasData, objective: Objective, canvas: Canvas, passes: int, tolerance: float
) -> Iterator[LoweredCanvas]:
    if passes < 1:
        return
    value, downhill = objective(canvas)
    yield LoweredCanvas(canvas, value)
    values = [value]
    inverse = CompactInverse(data.newton_step, downhill)
    length = _FIRST_STEP
    direction = inverse.direction()
    while len(values) < passes and not _stands_still(values, tolerance):
        trial = torch.add(canvas, direction, alpha=length)
        trial_value, trial_downhill = objective(trial)
        if trial_value <= value:
            inverse.learn(trial - canvas, trial_downhill)
            canvas, value = trial, trial_value
            direction, length = inverse.direction(), 1.0
        else:
            length *= _BACKTRACK
        values.append(value)
        yield LoweredCanvas(canvas, value)
        if length < _LEAST_STEP:
            return


def _stands_still(values: list[float], tolerance: float) -> bool:
    if len(values) <= _WATCHED_PASSES:
        return False
    return values[-1 - _WATCHED_PASSES] - values[-1] < tolerance * abs(values[-1])


def _dot(a: Canvas, b: Canvas) -> float:
    return float((a.real * b.real + a.imag * b.imag).sum(dtype=torch.float64))
