"""Choosing scan positions for a view, and grouping neighbours for a network.

All choices are drawn from the generator that is given: the same generator state gives the same choice.
"""

import numpy as np
from jaxtyping import Int64
from scipy.spatial import KDTree

from fly64_assets.science.arrays import PositionsXY

GROUP_SIZES = {1: 1, 2: 4}
"""Patterns per group by gridsize; channel c sits at row c // gridsize, column c % gridsize."""

_SWEEPS = 8
"""Sweep directions tried; the one that keeps most positions wins."""


def select_by_spacing(
    positions_xy_px: PositionsXY, spacing_px: float, rng: np.random.Generator
) -> Int64[np.ndarray, "kept"]:
    """Keep positions at least ``spacing_px`` apart, packed densely.

    Greedy sweeps across the scan: each position is kept if it is far enough from those kept before it. A sweep leans
    each new position on old ones and keeps about 30 % more than a random order. Directions are random, the best of a
    few is taken, and no further position fits in between.

    Args:
        positions_xy_px: candidates.
        spacing_px: minimum distance; at 0 everything is kept.
        rng: draws the directions.

    Returns:
        Kept indices, ascending.

    >>> line = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    >>> np.diff(select_by_spacing(line, 3.0, np.random.default_rng(0)))
    array([3, 3, 3])
    """
    n = len(positions_xy_px)
    if spacing_px <= 0 or n == 0:
        return np.arange(n)
    tree = KDTree(positions_xy_px)
    angles = rng.uniform(0, 2 * np.pi, _SWEEPS)
    sweeps = (_sweep(positions_xy_px, tree, spacing_px, angle) for angle in angles)
    return np.sort(max(sweeps, key=len))


def _sweep(positions: PositionsXY, tree: KDTree, spacing: float, angle: float) -> np.ndarray:
    free = np.ones(len(positions), bool)
    kept = []
    radius = spacing * (1 - 1e-12)  # exactly one spacing apart is far enough
    for k in np.argsort(positions @ np.array([np.cos(angle), np.sin(angle)]), kind="stable"):
        if free[k]:
            kept.append(k)
            free[tree.query_ball_point(positions[k], radius)] = False
    return np.array(kept)


def select_fraction(n: int, s_img: float, rng: np.random.Generator) -> Int64[np.ndarray, "kept"]:
    """Keep a random fraction of n positions, without replacement.

    Raises:
        ValueError: the fraction is outside (0, 1], or keeps nothing.

    >>> len(select_fraction(10, 0.75, np.random.default_rng(0)))
    8
    """
    if not 0 < s_img <= 1:
        message = f"s_img is a fraction in (0, 1], got {s_img}"
        raise ValueError(message)
    kept = round(n * s_img)
    if kept == 0:
        message = f"s_img = {s_img} of {n} positions keeps nothing: raise s_img or scan more positions"
        raise ValueError(message)
    return np.sort(rng.permutation(n)[:kept])


def make_groups(
    positions_xy_px: PositionsXY, *, gridsize: int, n_groups: int, neighbor_count: int, rng: np.random.Generator
) -> Int64[np.ndarray, "groups channels"]:
    """Group neighbouring positions for a network that takes ``gridsize ** 2`` patterns at once.

    Up to one group per position, a group is a seed and its nearest neighbours. Further groups (oversampling) draw
    their members from a seed's ``neighbor_count`` nearest positions, itself included.

    Args:
        positions_xy_px: candidates; fewer than a group's size make groups of all of them.
        gridsize: 1 (a group is one position; ``n_groups`` at most their number) or 2.
        n_groups: how many groups.
        neighbor_count: K nearest positions that oversampled groups draw from.
        rng: draws seeds and members.

    Returns:
        Indices of each group's positions, the seed first unless oversampled.

    Raises:
        ValueError: no positions, gridsize not 1 or 2, n_groups < 1, or OVERSAMPLING-001.
    """
    n = len(positions_xy_px)
    size = _check_grouping(n, gridsize, n_groups, neighbor_count)
    if size == 1:
        seeds = np.arange(n) if n_groups == n else np.sort(rng.permutation(n)[:n_groups])
        return seeds[:, None]
    tree = KDTree(positions_xy_px)
    seeds = np.arange(n) if n_groups >= n else np.sort(rng.permutation(n)[:n_groups])
    groups = _nearest(tree, positions_xy_px, seeds, min(size, n))
    extra = n_groups - n
    if extra <= 0 or n <= size:
        return groups if extra <= 0 else groups[np.arange(n_groups) % n]
    more = np.concatenate([rng.permutation(n) for _ in range(-(-extra // n))])[:extra]
    candidates = _nearest(tree, positions_xy_px, more, min(neighbor_count, n))
    drawn = np.argsort(rng.random(candidates.shape), axis=1)[:, :size]
    return np.concatenate([groups, np.take_along_axis(candidates, drawn, axis=1)])


def _check_grouping(n: int, gridsize: int, n_groups: int, neighbor_count: int) -> int:
    if gridsize not in GROUP_SIZES:
        message = f"gridsize must be 1 or 2, got {gridsize}"
        raise ValueError(message)
    if n_groups < 1:
        message = f"n_groups must be at least 1, got {n_groups}"
        raise ValueError(message)
    if n == 0:
        message = "no positions are left to group"
        raise ValueError(message)
    size = GROUP_SIZES[gridsize]
    if n_groups > n and (gridsize == 1 or neighbor_count <= size):
        message = (
            f"OVERSAMPLING-001: {n_groups} groups of {n} positions need gridsize 2 and neighbor_count > 4; "
            f"got gridsize {gridsize}, neighbor_count {neighbor_count}"
        )
        raise ValueError(message)
    return size


def _nearest(tree: KDTree, positions: PositionsXY, seeds: np.ndarray, count: int) -> np.ndarray:
    """The seed and its nearest others, the seed first even among duplicates."""
    found = np.reshape(tree.query(positions[seeds], k=count)[1], (len(seeds), count))
    is_seed = found == seeds[:, None]
    missing = ~is_seed.any(axis=1)
    is_seed[missing, -1] = True  # crowded out by duplicates: the seed takes the last place
    found[missing, -1] = seeds[missing]
    order = np.argsort(~is_seed, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1).astype(np.int64)
