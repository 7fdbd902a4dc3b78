"""Which patterns share a canvas: groups, neighbourhoods of groups, and what is held out to judge a training."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from fly64_assets.science.arrays import PositionsXY
from fly64_assets.science.options import TrainingOptions, ViewOptions
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement
from fly64_assets.science.views.sampling import GROUP_SIZES, make_groups

NEIGHBOURHOOD_PATTERNS = 24
"""Patterns on a training canvas that stands for a piece of the scan."""

COMPACT_PERCENT = 90
"""Share of the groups that are trained on: the widest ones, at the scan's edge, would enlarge every canvas."""

_CANVAS_MULTIPLE = 4


@dataclass(frozen=True)
class GroupLayout:
    """Groups of positions and the canvases that they share.

    Attributes:
        groups: indices of each group's patterns.
        corners_yx_px: row and column of each canvas's first pixel on the object grid.
        positions_xy_px: patch centres on the canvases.
        canvas_shape: rows and columns, equal for all groups.
    """

    groups: Int64[np.ndarray, "groups C"]
    corners_yx_px: Int64[np.ndarray, "groups 2"]
    positions_xy_px: Float64[np.ndarray, "groups C 2"]
    canvas_shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        groups: Int64[np.ndarray, "groups C"],
        positions_xy_px: PositionsXY,
        patch_size_px: int,
    ) -> "GroupLayout":
        """Lay every group on the smallest square canvas that suits them all."""
        members = positions_xy_px[groups]
        corners_xy = np.floor(members.min(axis=1)).astype(np.int64) - patch_size_px // 2
        span = np.ceil(members.max(axis=1)).astype(np.int64) + patch_size_px // 2 - corners_xy
        side = -(-int(span.max()) // _CANVAS_MULTIPLE) * _CANVAS_MULTIPLE
        return cls(groups, corners_xy[:, ::-1].copy(), members - corners_xy[:, None, :], (side, side))


@dataclass(frozen=True)
class Layouts:
    """What is trained on, and what judges the training.

    Attributes:
        groups: groups of a view's gridsize.
        neighbourhoods: several neighbouring groups on one canvas; None for gridsize 1.
        validation: groups, or neighbourhoods, of held-out positions.
    """

    groups: GroupLayout
    neighbourhoods: GroupLayout | None
    validation: GroupLayout


def make_layouts(measurement: Measurement, view: ViewOptions, training: TrainingOptions, seed: int) -> Layouts:
    """Groups and neighbourhoods to train on, and those of held-out positions."""
    positions, size = measurement.positions_xy_px, measurement.patch_size_px
    kept = nearest_to_centre(positions, training.n_images)
    train, held_out = hold_out(positions, kept, training.validation_fraction, GROUP_SIZES[view.gridsize])

    def lay(groups: np.ndarray) -> GroupLayout:
        return GroupLayout.of(groups, positions, size)

    def groups(chosen: np.ndarray, label: str) -> np.ndarray:
        wanted = max(1, round(len(chosen) * view.groups_per_position))
        drawn = make_groups(
            positions[chosen],
            gridsize=view.gridsize,
            n_groups=min(wanted, len(chosen)) if view.gridsize == 1 else wanted,
            neighbor_count=view.neighbor_count,
            rng=named_rng(seed, "groups", label),
        )
        return chosen[drawn]

    if view.gridsize == 1:
        return Layouts(lay(groups(train, "training")), None, lay(groups(held_out, "validation")))
    return Layouts(
        lay(compact(groups(train, "training"), positions)),
        lay(compact(neighbourhoods(positions, train, train), positions)),
        lay(neighbourhoods(positions, held_out, held_out[:: NEIGHBOURHOOD_PATTERNS // 4])),
    )


def neighbourhoods(
    positions_xy_px: PositionsXY, chosen: np.ndarray, seeds: np.ndarray
) -> Int64[np.ndarray, "groups C"]:
    """Around every seed, the patterns of about six groups."""
    count = min(NEIGHBOURHOOD_PATTERNS, len(chosen))
    _, nearest = KDTree(positions_xy_px[chosen]).query(positions_xy_px[seeds], k=np.arange(1, count + 1))  # pyright: ignore[reportArgumentType]
    return chosen[nearest]


def compact(groups: Int64[np.ndarray, "groups C"], positions_xy_px: PositionsXY) -> Int64[np.ndarray, "kept C"]:
    """The groups without the widest ones, in their order."""
    width = np.ptp(positions_xy_px[groups], axis=1).max(axis=1)
    return groups[width <= np.percentile(width, COMPACT_PERCENT)]


def nearest_to_centre(positions_xy_px: PositionsXY, limit: int | None) -> np.ndarray:
    """All positions, or the limit's number of them around the centre: thinning would change the overlap."""
    n = len(positions_xy_px)
    if limit is None or limit >= n:
        return np.arange(n)
    distance = np.linalg.norm(positions_xy_px - positions_xy_px.mean(axis=0), axis=1)
    return np.sort(np.argsort(distance, kind="stable")[:limit])


def hold_out(
    positions_xy_px: PositionsXY, kept: np.ndarray, fraction: float, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Set a strip at the largest x aside; of very few positions, none: they then judge themselves."""
    count = max(channels, round(fraction * len(kept)))
    if fraction == 0 or len(kept) - count < 2 * channels:
        return kept, kept
    by_x = kept[np.argsort(positions_xy_px[kept, 0], kind="stable")]
    return np.sort(by_x[:-count]), np.sort(by_x[-count:])
