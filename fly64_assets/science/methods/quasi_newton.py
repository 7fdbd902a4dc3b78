"""A few quasi-Newton passes over the data that sharpen a network's object: maximum a posteriori on counts.

L-BFGS whose initial inverse Hessian is the spectral lift. Each pass costs one forward and one backward transform per
pattern, no line search, and memory that grows with the object alone.
"""

from collections import deque

import torch
from jaxtyping import Complex64

from fly64_assets.science.physics.canvas_data import CanvasData
from fly64_assets.science.records import Progress, ProgressListener, ignore_progress

_MEMORY = 8
_FIRST_STEP = 0.8
_BACKTRACK = 0.4

Canvas = Complex64[torch.Tensor, "1 H W"]


@torch.no_grad()
def refine_canvas(
    data: CanvasData,
    canvas: Canvas,
    passes: int,
    *,
    stage: str = "refine",
    progress: ProgressListener = ignore_progress,
) -> tuple[Canvas, list[float]]:
    """Lower the Poisson NLL plus smoothness prior by a fixed number of passes over the data.

    Args:
        data: one canvas.
        canvas: where to start.
        passes: looks at the data, the first one and rejected steps included.
        stage: name for the listener.
        progress: told after every pass; may raise to cancel.

    Returns:
        The refined canvas, and the objective after every pass (a rejected step repeats the value before it).
    """
    if passes < 1:
        return canvas, []
    value, downhill = _objective(data, canvas)
    values = [value]
    progress(Progress(stage, 1, passes, value))
    pairs: deque[tuple[Canvas, Canvas]] = deque(maxlen=_MEMORY)
    length = _FIRST_STEP
    direction = _direction(data, downhill, pairs)
    while len(values) < passes:
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
        values.append(value)
        progress(Progress(stage, len(values), passes, value))
    return canvas, values


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
