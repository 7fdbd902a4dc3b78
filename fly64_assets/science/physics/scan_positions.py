"""Scan paths, and the cut between train and test that shares no lit object pixel.

Positions are patch centres ``(x, y)`` in object pixels, in the order of acquisition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fly64_assets.science.arrays import PositionsXY, ProbeModes
from fly64_assets.science.options import PositionOptions, RasterPath, SpiralPath
from fly64_assets.science.physics.probe import lit_mask

PathAndStep = tuple[Float64[np.ndarray, "n 2"], np.ndarray]
"""Positions within a span that begins at 0, and the step along x and y."""

_GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))


def make_positions(
    options: PositionOptions, object_shape: tuple[int, int], patch_size_px: int, rng: np.random.Generator
) -> PositionsXY:
    """Lay the scan path over the part of the object where whole patches fit.

    Args:
        options: of one kind of path: step (or number of positions), jitter and margin.
        object_shape: rows and columns of the object.
        patch_size_px: side N of the patches.
        rng: draws the jitter.

    Returns:
        Positions ``(n, 2)``, every patch inside the object.

    Raises:
        ValueError: the object is too small for a patch and the margin.
    """
    low = patch_size_px / 2 + options.margin_px
    span = np.array([object_shape[1], object_shape[0]], dtype=float) - 2 * low
    if (span < 0).any():
        message = (
            f"an object of {object_shape[0]} x {object_shape[1]} px holds no patch of {patch_size_px} px with a margin "
            f"of {options.margin_px} px: enlarge object.shape_px or lower margin_px"
        )
        raise ValueError(message)
    positions, step = PATH_KINDS[options.kind](span, options)
    jitter = rng.uniform(-1, 1, positions.shape) * options.jitter_fraction * step
    positions = low + _reflect(positions + jitter, span)
    if not options.whole_pixels:
        return positions
    return np.clip(np.round(positions), np.ceil(low), np.floor(low + span))


def _raster(span: Float64[np.ndarray, "2"], options: RasterPath) -> PathAndStep:
    """Rows of positions, every other one backwards, centred in the span."""
    if options.n_positions is None:
        counts = np.floor(span / options.step_px + 1e-9).astype(int) + 1
        step = np.full(2, options.step_px)
    else:
        columns = max(1, round(np.sqrt(options.n_positions * (span[0] + 1) / (span[1] + 1))))
        counts = np.array([columns, -(-options.n_positions // columns)])
        step = span / np.maximum(counts - 1, 1)
    start = (span - (counts - 1) * step) / 2
    x = start[0] + step[0] * np.arange(counts[0])
    y = start[1] + step[1] * np.arange(counts[1])
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    grid[1::2] = grid[1::2, ::-1].copy()
    return grid.reshape(-1, 2)[: options.n_positions], step


def _spiral(span: Float64[np.ndarray, "2"], options: SpiralPath) -> PathAndStep:
    """Fermat spiral of one position per square step, clipped to the span's rectangle."""
    step = options.step_px
    if options.n_positions is not None:
        step = float(np.sqrt(max(span[0] * span[1], 1e-12) / options.n_positions))
    while True:
        k = np.arange(int(np.pi * (span @ span) / 4 / step**2) + 2)
        radius = step * np.sqrt(k / np.pi)
        spiral = np.stack([radius * np.cos(k * _GOLDEN_ANGLE), radius * np.sin(k * _GOLDEN_ANGLE)], axis=1) + span / 2
        inside = spiral[np.all((spiral >= 0) & (spiral <= span), axis=1)]
        if options.n_positions is None or len(inside) >= options.n_positions:
            return inside[: options.n_positions], np.full(2, step)
        step *= 0.995


PATH_KINDS: Mapping[str, Callable[..., PathAndStep]] = {"raster": _raster, "spiral": _spiral}
"""Every kind of scan path: ``(span, options of the kind)`` to positions and step."""


def _reflect(values: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Fold jittered positions back at the border, where clipping would pile them up."""
    folded = np.abs(values)
    folded = np.where(folded > span, 2 * span - folded, folded)
    return np.clip(folded, 0, span)


@dataclass(frozen=True, slots=True, eq=False)
class SplitPositions:
    """Which positions train, test, or fall into the guard band between them.

    Attributes:
        train: positions below the cut (small y), ascending.
        test: positions above the cut, ascending.
        dropped: guard-band positions of both sides, ascending.
        cut_y_px: midpoint of the y range.
        guard_half_width_px: positions closer to the cut than this are dropped, the same on both sides.
        n_dropped_train_side: how many of the dropped lie below the cut.
    """

    train: Int64[np.ndarray, "n_train"]
    test: Int64[np.ndarray, "n_test"]
    dropped: Int64[np.ndarray, "n_dropped"]
    cut_y_px: float
    guard_half_width_px: float
    n_dropped_train_side: int


def split_with_guard_band(positions_xy_px: PositionsXY, probe: ProbeModes, limit: float) -> SplitPositions:
    """Cut at the midpoint of y and drop the fewest positions, symmetrically, so that no lit pixel is in both splits.

    An object pixel counts as lit by a position if the bilinear patch reads it into a probe pixel brighter than
    ``limit`` times the peak. The cost grows with the positions near the cut only.

    Args:
        positions_xy_px: all positions of the scan.
        probe: incoherent modes.
        limit: fraction of the probe's peak intensity.

    Returns:
        The split; its guard band is the narrowest that is exact for these positions.

    Raises:
        ValueError: nothing is left on one side.
    """
    y = positions_xy_px[:, 1]
    cut = float((y.min() + y.max()) / 2)
    distance = np.abs(y - cut)
    mask = lit_mask(probe, limit)
    near = np.flatnonzero(distance <= mask.shape[0] + 1)
    widths = np.concatenate([[0.0], np.unique(distance[near]), [np.nextafter(distance[near].max(initial=0.0), np.inf)]])
    low, high = 0, len(widths) - 1
    while low < high:  # sharing only shrinks as the band widens
        middle = (low + high) // 2
        kept = near[distance[near] >= widths[middle]]
        if _share_lit_pixel(positions_xy_px[kept], y[kept] < cut, mask):
            low = middle + 1
        else:
            high = middle
    width = float(widths[low])
    kept = distance >= width
    split = SplitPositions(
        train=np.flatnonzero(kept & (y < cut)),
        test=np.flatnonzero(kept & (y >= cut)),
        dropped=np.flatnonzero(~kept),
        cut_y_px=cut,
        guard_half_width_px=width,
        n_dropped_train_side=int(np.sum(~kept & (y < cut))),
    )
    if not len(split.train) or not len(split.test):
        message = (
            f"the guard band of +-{width:.1f} px around y = {cut:.1f} px leaves {len(split.train)} train and "
            f"{len(split.test)} test positions: scan a taller area than the probe's lit height"
        )
        raise ValueError(message)
    return split


def _share_lit_pixel(positions: PositionsXY, is_train: Bool[np.ndarray, "n"], mask: Bool[np.ndarray, "N N"]) -> bool:
    train, test = positions[is_train], positions[~is_train]
    if not len(train) or not len(test):
        return False
    origin = np.floor(positions.min(axis=0))
    columns, rows = (np.floor(positions.max(axis=0)) - origin + 2).astype(int).tolist()
    shape = (rows, columns)
    return bool(np.any(_lit_map(train - origin, shape, mask) & _lit_map(test - origin, shape, mask)))


def _lit_map(positions: PositionsXY, shape: tuple[int, int], mask: Bool[np.ndarray, "N N"]) -> np.ndarray:
    """Object pixels (offset by the mask's size) lit by any position, both neighbours of a fractional one included."""
    hits = np.zeros(shape)
    x0, y0 = np.floor(positions).astype(np.int64).T
    x1, y1 = np.ceil(positions).astype(np.int64).T
    for row in (y0, y1):
        for column in (x0, x1):
            hits[row, column] = 1.0
    from scipy.signal import fftconvolve  # slow to import, and studies are loaded without it

    return fftconvolve(hits, mask.astype(float)) > 0.5
