"""A whole scan on one canvas, read part by part: memory grows with the object, hardly with the number of patterns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex64
from scipy.fft import next_fast_len

from fly64_assets.science.arrays import ComplexObject
from fly64_assets.science.physics.canvas_data import CanvasData, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, canvas_frame, to_fft_order
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets.science.physics.probe import lit_margin_px
from fly64_assets.science.records import Measurement

_PART_PATTERNS = 128

_HELD_BYTES = 256 * 2**20
"""Counts of a scan up to this size are read once and held; those of a larger one are read anew in every pass."""


@dataclass(frozen=True)
class ScanCanvas:
    """The canvas of a measurement, and where it lies on the object grid.

    Attributes:
        data: all patterns on one canvas.
        rows: rows of the object grid that the canvas covers; it may stick out at their end.
        columns: its columns.
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
        data = CanvasData(
            parts=parts,
            probe=torch.as_tensor(measurement.probe, device=device),
            counts_scale=torch.full((1,), measurement.counts_scale, device=device),
            lift=SpectralLift(mirror_coupling(measurement.probe), (height, width), device),
            margin_px=lit_margin_px(measurement.probe),
        )
        rows, columns = measurement.object_shape
        return cls(
            data,
            slice(top, min(top + height, rows)),
            slice(left, min(left + width, columns)),
            measurement.object_shape,
        )

    def on_object_grid(self, canvas: Complex64[torch.Tensor, "1 h w"]) -> ComplexObject:
        """The canvas on the whole object grid, 1 outside it."""
        whole = np.ones(self.object_shape, np.complex64)
        target = whole[self.rows, self.columns]
        target[...] = canvas[0, : target.shape[0], : target.shape[1]].cpu().numpy()
        return whole


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
