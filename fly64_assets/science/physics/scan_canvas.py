"""A whole scan on one canvas, read part by part: memory grows with the object, hardly with the number of patterns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex64, Float
from scipy.fft import next_fast_len

from fly64_assets.science.arrays import ErrorMap, ExtendedObject
from fly64_assets.science.physics.canvas_data import CanvasData, CanvasOptics, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, canvas_frame, to_fft_order
from fly64_assets.science.records import Measurement

_PART_PATTERNS = 32

_HELD_BYTES = 256 * 2**20
"""Counts of a scan up to this size are read once and held; those of a larger one are read anew in every pass."""


@dataclass(frozen=True)
class ScanCanvas:
    """The canvas of a measurement, and where it lies on the object grid.

    Attributes:
        data: all patterns on one canvas.
        rows: rows of the object grid that the canvas covers; they may go on beyond the grid's end.
        columns: its columns, likewise.
        object_shape: the whole grid.
    """

    data: CanvasData
    rows: slice
    columns: slice
    object_shape: tuple[int, int]

    @classmethod
    def of(cls, measurement: Measurement, device: torch.device | None = None) -> "ScanCanvas":
        """Lay a measurement out."""
        size = measurement.patch_size_px
        positions = measurement.positions_xy_px
        top, left, height, width = canvas_frame(positions, size)
        # Sides without large prime factors: every stage transforms the canvas four times.
        height, width = (int(next_fast_len(side) or side) for side in (height, width))
        local = torch.as_tensor(positions - np.array([left, top]), device=device)[None]
        held = 4 * len(positions) * size**2 <= _HELD_BYTES
        parts = []
        for first in range(0, len(positions), _PART_PATTERNS):
            chosen = slice(first, first + _PART_PATTERNS)
            read = _CountsReader(measurement, chosen, device)
            parts.append(Part(PatchGrid(local[:, chosen], size, (height, width)), _hold(read()) if held else read))
        optics = CanvasOptics(measurement.probe)
        data = optics.data(parts, torch.full((1,), measurement.counts_scale, device=device))
        return cls(data, slice(top, top + height), slice(left, left + width), measurement.object_shape)

    @property
    def extended_shape(self) -> tuple[int, int]:
        """The object grid with the rows and columns by which the canvas sticks out at its end."""
        rows, columns = self.object_shape
        return max(rows, self.rows.stop), max(columns, self.columns.stop)

    def on_object_grid(self, canvas: Complex64[torch.Tensor, "1 h w"]) -> ExtendedObject:
        """The canvas on the object grid, extended at its end to hold the whole canvas; 1 outside the canvas."""
        whole = np.ones(self.extended_shape, np.complex64)
        whole[self.rows, self.columns] = canvas[0].cpu().numpy()
        return whole

    def error_on_object_grid(self, error: Float[torch.Tensor, "1 h w"]) -> ErrorMap:
        """Predicted errors of the canvas on the object grid; infinite outside the canvas."""
        whole = np.full(self.extended_shape, np.inf, np.float32)
        whole[self.rows, self.columns] = error[0].cpu().numpy()
        rows, columns = self.object_shape
        return np.ascontiguousarray(whole[:rows, :columns])

    def from_object_grid(self, object: ExtendedObject) -> Complex64[torch.Tensor, "1 h w"]:
        """The canvas of an object: the inverse of :meth:`on_object_grid`; 1 where the object does not reach.

        Args:
            object: on the object grid, or extended beyond its end.

        Raises:
            ValueError: it is smaller than the object grid.
        """
        if any(found < needed for found, needed in zip(object.shape, self.object_shape, strict=True)):
            message = f"the object has shape {object.shape}, the measurement's grid is {tuple(self.object_shape)}"
            raise ValueError(message)
        canvas = self.data.flat()
        cut = np.ascontiguousarray(object[self.rows, self.columns], dtype=np.complex64)
        canvas[0, : cut.shape[0], : cut.shape[1]] = torch.as_tensor(cut)
        return canvas


def _hold(counts: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: counts


@dataclass(frozen=True)
class _CountsReader:
    measurement: Measurement
    chosen: slice
    device: torch.device | None

    def __call__(self) -> torch.Tensor:
        counts = torch.as_tensor(self.measurement.counts(self.chosen), device=self.device)
        return to_fft_order(counts)[None]
