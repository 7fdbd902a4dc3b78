"""Quasi-Newton passes over the data, from a flat object or another method's: maximum a posteriori on counts.

L-BFGS whose initial inverse Hessian is the spectral lift. Each pass costs one forward and one backward transform per
pattern, no line search, and memory that grows with the object alone.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex64

from fly64_assets.science.physics.canvas_data import CanvasData
from fly64_assets.science.torch_runtime import without_gradients

_MEMORY = 8
_FIRST_STEP = 0.8
_BACKTRACK = 0.4

Canvas = Complex64[torch.Tensor, "1 H W"]


@dataclass(frozen=True)
class LoweredCanvas:
    """What there is after a pass over the data.

    Attributes:
        canvas: the best one so far; the start itself after the first pass.
        value: its objective; a rejected step repeats the value before it.
    """

    canvas: Canvas
    value: float


def lower_objective(data: CanvasData, canvas: Canvas, passes: int) -> Iterator[LoweredCanvas]:
    """Lower the Poisson NLL plus smoothness prior by a fixed number of passes over the data.

    Args:
        data: one canvas.
        canvas: where to start.
        passes: looks at the data, at least 1; the first one and rejected steps included.

    Returns:
        What there is after every pass.
    """
    return without_gradients(_lowered(data, canvas, passes))


def _lowered(data: CanvasData, canvas: Canvas, passes: int) -> Iterator[LoweredCanvas]:
    value, downhill = _objective(data, canvas)
    yield LoweredCanvas(canvas, value)
    pairs: deque[tuple[Canvas, Canvas]] = deque(maxlen=_MEMORY)
    length = _FIRST_STEP
    direction = _direction(data, downhill, pairs)
    for _ in range(passes - 1):
        trial = canvas + length * direction
        trial_value, trial_downhill = _objective(data, trial)
        if trial_value <= value:
            moved, bent = trial - canvas, downhill - trial_downhill
            if _dot(moved, bent) > 0:
                pairs.append((moved, bent))
            canvas, value, downhill = trial, trial_value, trial_downhill
            direction, length = _direction(data, downhill, pairs), 1.0
        else:
            length *= _BACKTRACK
        yield LoweredCanvas(canvas, value)


def _objective(data: CanvasData, canvas: Canvas) -> tuple[float, Canvas]:
    """The objective, and half its steepest descent, both over the squared scale."""
    seen = data.look(canvas)
    pull = data.prior_pull(canvas)
    squared_scale = float(data.squared_scale)
    return seen.half_deviance / squared_scale - _dot(pull, canvas - 1), seen.score + pull


def _direction(data: CanvasData, downhill: Canvas, pairs: deque[tuple[Canvas, Canvas]]) -> Canvas:
    """L-BFGS two-loop recursion around the spectral lift."""
    found = downhill
    weights = []
    for moved, bent in reversed(pairs):
        weight = _dot(moved, found) / _dot(moved, bent)
        weights.append(weight)
        found = found - weight * bent
    found = data.newton_step(found)
    if pairs:
        moved, bent = pairs[-1]
        found = found * (_dot(moved, bent) / _dot(bent, data.newton_step(bent)))
    for (moved, bent), weight in zip(pairs, reversed(weights), strict=True):
        found = found + (weight - _dot(bent, found) / _dot(moved, bent)) * moved
    return found


def _dot(a: Canvas, b: Canvas) -> float:
    return float((a.real * b.real + a.imag * b.imag).sum(dtype=torch.float64))
