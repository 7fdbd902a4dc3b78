"""Where an object can be judged: the region that the kept positions illuminate, one for all methods of a cell."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.ndimage import distance_transform_edt

from fly64_assets.science.arrays import PositionsXY, ProbeModes
from fly64_assets.science.physics.probe import illumination_map


@dataclass(frozen=True, slots=True, eq=False)
class IlluminatedRegion:
    """The scored region of a cell.

    Attributes:
        mask: pixels that are scored.
        weight: illumination relative to its photon-weighted median, clipped to 1, and 0 outside the mask;
            weighs pixels in registration, so that well-lit ones decide.
        box: smallest rectangle that holds the mask, as (rows, columns) slices.
        intensity: summed incident intensity per object pixel, in the probe's units.
    """

    mask: Bool[np.ndarray, "H W"]
    weight: Float64[np.ndarray, "H W"]
    box: tuple[slice, slice]
    intensity: Float64[np.ndarray, "H W"]

    def photons_per_object_pixel(self, counts_scale: float) -> float:
        """Mean number of incident photons per scored pixel, all positions together."""
        return float(counts_scale**2 * self.intensity[self.mask].mean())

    def apodisation(self, edge_px: int = 8) -> Float64[np.ndarray, "h w"]:
        """Window on the box that falls smoothly (sin^2) to 0 over ``edge_px`` inside the mask's edge."""
        inside = np.asarray(distance_transform_edt(np.pad(self.mask[self.box], 1)))[1:-1, 1:-1]
        return np.sin(0.5 * np.pi * np.minimum(inside / edge_px, 1.0)) ** 2


def illuminated_region(
    probe: ProbeModes, positions_xy_px: PositionsXY, object_shape: tuple[int, int], threshold: float
) -> IlluminatedRegion:
    """The region lit above a fraction of the photon-weighted median illumination.

    Half of the photons fall on pixels lit more strongly than that median, so that neither the faint tails
    of a probe nor the size of the object grid move it.

    Args:
        probe: incoherent modes.
        positions_xy_px: kept positions.
        object_shape: rows and columns.
        threshold: fraction of the median, in (0, 1].

    Raises:
        ValueError: there are no positions, or the probe is dark.
    """
    intensity = illumination_map(probe, positions_xy_px, object_shape)
    total = intensity.sum()
    if not total > 0:
        power = float(np.sum(np.abs(probe) ** 2))
        message = f"{len(positions_xy_px)} positions and a probe of intensity {power:g} light nothing"
        raise ValueError(message)
    descending = np.sort(intensity, axis=None)[::-1]
    median = descending[np.searchsorted(np.cumsum(descending), 0.5 * total)]
    mask = intensity > threshold * median
    weight = np.where(mask, np.minimum(intensity / median, 1.0), 0.0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return IlluminatedRegion(mask=mask, weight=weight, box=box, intensity=intensity)
