"""How much probes overlap: three averages of the shared area of probe discs, in near-linear time."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from fly64_assets.science.arrays import PositionsXY
from fly64_assets.science.views.sampling import make_groups

METRICS_VERSION = "1.0"
GEOMETRY_BOUND_CAP = 0.10
MINIMUM_ACCEPTANCE = 1e-6

_PAIRS_AT_ONCE = 1 << 19
_STRIPES_PER_RADIUS = 4


@dataclass(frozen=True, slots=True)
class OverlapMetrics:
    """Overlap of one set of positions; fractions of a probe disc's area, all in [0, 1].

    Attributes:
        metrics_version: version of these definitions.
        gridsize: 1 or 2.
        s_img: fraction of images asked for.
        n_groups: groups asked for.
        neighbor_count: K.
        probe_diameter_px: D.
        rng_seed_subsample: seed of the selection, if one integer says it.
        metric_1_group_based_avg: mean overlap of group mates; None at gridsize 1.
        metric_2_image_based_avg: mean overlap of unique positions with their K nearest.
        metric_3_group_to_group_avg: mean overlap of group centroids closer than D.
        n_images_total: positions before selection.
        n_images_subsampled: positions given.
        n_unique_images: distinct positions among them.
        n_groups_actual: groups made.
        geometry_acceptance_bound: scanned area over the summed disc area, at most 0.10.
        effective_min_acceptance: the bound, at least 1e-6.
        mean_nearest_neighbor_px: mean distance to the nearest other position; None for a single one.
        measured_overlap: ``1 - mean_nearest_neighbor_px / D``, at least 0.
    """

    metrics_version: str
    gridsize: int
    s_img: float
    n_groups: int
    neighbor_count: int
    probe_diameter_px: float
    rng_seed_subsample: int | None
    metric_1_group_based_avg: float | None
    metric_2_image_based_avg: float
    metric_3_group_to_group_avg: float
    n_images_total: int
    n_images_subsampled: int
    n_unique_images: int
    n_groups_actual: int
    geometry_acceptance_bound: float
    effective_min_acceptance: float
    mean_nearest_neighbor_px: float | None
    measured_overlap: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names."""
        return dataclasses.asdict(self)


def disc_overlap_fraction(
    distance_px: Float64[np.ndarray, "*s"], probe_diameter_px: float
) -> Float64[np.ndarray, "*s"]:
    """Shared area of two equal discs, as a fraction of one disc.

    Args:
        distance_px: centre-to-centre distances, >= 0.
        probe_diameter_px: disc diameter, > 0.

    Returns:
        Fractions in [0, 1], same shape; 1 at distance 0, 0 from one diameter on.

    Raises:
        ValueError: the diameter is not positive.

    >>> disc_overlap_fraction(np.array([0.0, 5.0, 10.0]), probe_diameter_px=10.0).round(3)
    array([1.   , 0.391, 0.   ])
    """
    if not probe_diameter_px > 0:
        message = f"probe_diameter_px must be positive, got {probe_diameter_px}"
        raise ValueError(message)
    # With u = d / D the lens area over the disc area is (2 / pi) (acos u - u sqrt(1 - u^2)).
    u = np.minimum(distance_px / probe_diameter_px, 1.0)
    return (2.0 / np.pi) * (np.arccos(u) - u * np.sqrt((1.0 - u) * (1.0 + u)))


def overlap_metrics(
    positions_xy_px: PositionsXY,
    *,
    gridsize: int,
    n_groups: int,
    neighbor_count: int,
    probe_diameter_px: float,
    rng: np.random.Generator,
    s_img: float = 1.0,
    n_images_total: int | None = None,
    rng_seed_subsample: int | None = None,
) -> OverlapMetrics:
    """Measure the overlap of the given positions.

    Args:
        positions_xy_px: positions that a view keeps.
        gridsize: 1 (each position is its own group, ``n_groups`` is ignored) or 2 (groups of four neighbours).
        n_groups: groups to form at gridsize 2.
        neighbor_count: K, neighbours that count in metrics 1 and 2.
        probe_diameter_px: D, diameter of the disc that stands for the probe.
        rng: draws groups when they are not one per position.
        s_img: recorded beside the result.
        n_images_total: positions before selection; those given if absent.
        rng_seed_subsample: recorded beside the result.

    Returns:
        The record.

    Raises:
        ValueError: gridsize not 1 or 2, s_img outside (0, 1], n_groups or neighbor_count < 1, D <= 0, no positions,
            OVERSAMPLING-001.
    """
    _check(positions_xy_px, gridsize, n_groups, neighbor_count, probe_diameter_px, s_img)
    n = len(positions_xy_px)
    wanted = n if gridsize == 1 else n_groups
    groups = make_groups(positions_xy_px, gridsize=gridsize, n_groups=wanted, neighbor_count=neighbor_count, rng=rng)
    unique = _unique(positions_xy_px)
    nearest = _mean_nearest(positions_xy_px)
    span = positions_xy_px.max(axis=0) - positions_xy_px.min(axis=0)
    bound = min(float(span[0] * span[1] / (n * np.pi * (probe_diameter_px / 2) ** 2)), GEOMETRY_BOUND_CAP)
    centroids = positions_xy_px[groups].mean(axis=1) if gridsize > 1 else positions_xy_px
    return OverlapMetrics(
        metrics_version=METRICS_VERSION,
        gridsize=gridsize,
        s_img=float(s_img),
        n_groups=int(n_groups),
        neighbor_count=int(neighbor_count),
        probe_diameter_px=float(probe_diameter_px),
        rng_seed_subsample=rng_seed_subsample,
        metric_1_group_based_avg=None
        if gridsize == 1
        else _within_groups(positions_xy_px, groups, neighbor_count, probe_diameter_px),
        metric_2_image_based_avg=_between_images(unique, neighbor_count, probe_diameter_px),
        metric_3_group_to_group_avg=_between_groups(centroids, probe_diameter_px),
        n_images_total=n if n_images_total is None else int(n_images_total),
        n_images_subsampled=n,
        n_unique_images=len(unique),
        n_groups_actual=len(groups),
        geometry_acceptance_bound=bound,
        effective_min_acceptance=max(bound, MINIMUM_ACCEPTANCE),
        mean_nearest_neighbor_px=nearest,
        measured_overlap=0.0 if nearest is None else max(0.0, 1.0 - nearest / probe_diameter_px),
    )


def _check(positions: PositionsXY, gridsize: int, n_groups: int, k: int, diameter: float, s_img: float) -> None:
    problems = {
        f"gridsize must be 1 or 2, got {gridsize}": gridsize not in (1, 2),
        f"s_img is a fraction in (0, 1], got {s_img}": not 0 < s_img <= 1,
        f"n_groups must be at least 1, got {n_groups}": n_groups < 1,
        f"neighbor_count must be at least 1, got {k}": k < 1,
        f"probe_diameter_px must be positive and finite, got {diameter}": not 0 < diameter < np.inf,
        "no positions are left after thinning": len(positions) == 0,
    }
    for message, wrong in problems.items():
        if wrong:
            raise ValueError(message)
    if not np.isfinite(positions).all():
        message = "positions must be finite"
        raise ValueError(message)


def _unique(positions: PositionsXY) -> Float64[np.ndarray, "unique 2"]:
    ordered = positions[np.lexsort(positions.T)]
    new = np.ones(len(ordered), bool)
    new[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    return ordered[new]


def _mean_nearest(positions: PositionsXY) -> float | None:
    if len(positions) < 2:
        return None
    distance, _ = KDTree(positions).query(positions, k=2)
    return float(distance[:, 1].mean())


def _within_groups(positions: PositionsXY, groups: Int64[np.ndarray, "g c"], k: int, diameter: float) -> float:
    """Metric 1: each member with its up to K nearest group mates."""
    members = positions[groups]
    size = groups.shape[1]
    if size == 1:
        return 0.0
    distance = np.linalg.norm(members[:, :, None] - members[:, None, :], axis=-1)
    distance[:, np.arange(size), np.arange(size)] = np.inf
    mates = np.sort(distance, axis=-1)[..., : min(k, size - 1)]
    return float(disc_overlap_fraction(mates, diameter).mean())


def _between_images(unique: Float64[np.ndarray, "unique 2"], k: int, diameter: float) -> float:
    """Metric 2: each unique position with its nearest others."""
    count = min(k, len(unique) - 1)
    if count == 0:
        return 0.0
    distance, _ = KDTree(unique).query(unique, k=count + 1)
    return float(disc_overlap_fraction(distance[:, 1:], diameter).mean())


def _between_groups(centroids: Float64[np.ndarray, "groups 2"], diameter: float) -> float:
    """Metric 3: each centroid with all others closer than D."""
    n = len(centroids)
    total, neighbours = np.zeros(n), np.zeros(n)
    for first, second, distance in close_pairs(centroids, diameter):
        overlap = disc_overlap_fraction(distance, diameter)
        for index in (first, second):
            start, stop = index.min(), index.max() + 1
            total[start:stop] += np.bincount(index - start, overlap)
            neighbours[start:stop] += np.bincount(index - start)
    return float(np.mean(total / np.maximum(neighbours, 1)))


def close_pairs(
    points: PositionsXY, radius: float
) -> Iterator[tuple[Int64[np.ndarray, "m"], Int64[np.ndarray, "m"], Float64[np.ndarray, "m"]]]:
    """All unordered pairs closer than a radius, in batches of bounded size.

    Points are sorted into stripes of y and by x within; each point's partners in a stripe are then one contiguous run.
    Indices refer to that order, which suits averages over all points.

    Yields:
        First and second point of each pair and their distance.
    """
    height = radius / _STRIPES_PER_RADIUS
    origin = points.min(axis=0)
    stripe = np.floor((points[:, 1] - origin[1]) / height).astype(np.int64)
    order = np.lexsort((points[:, 0], stripe))
    x, y = (points[order] - origin).T
    stripe = stripe[order]
    pitch = float(x.max()) + 2 * radius + 1  # one stripe's x range never reaches into the next one's
    key = stripe * pitch + x
    rows = np.arange(len(points))
    for lag in range(_STRIPES_PER_RADIUS + 1):
        gap = np.maximum((stripe + lag) * height - y, 0.0) if lag else np.zeros_like(y)
        reach = np.sqrt(np.maximum(radius**2 - gap**2, 0.0)) + 1e-6 * radius
        target = (stripe + lag) * pitch + x
        low = rows + 1 if lag == 0 else np.searchsorted(key, target - reach)
        high = np.searchsorted(key, target + reach, side="right")
        runs = np.maximum(high - low, 0)
        ends = np.cumsum(runs)
        start = 0
        while start < len(points):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
            here = runs[start:stop]
            first = np.repeat(rows[start:stop], here)
            offset = low[start:stop] - (ends[start:stop] - here - done)
            second = np.arange(len(first)) + np.repeat(offset, here)
            square = (x[first] - x[second]) ** 2 + (y[first] - y[second]) ** 2
            near = square < radius**2
            if near.any():
                yield first[near], second[near], np.sqrt(square[near])
            start = stop
