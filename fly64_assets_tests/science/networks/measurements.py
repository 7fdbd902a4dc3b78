"""A small measurement of a known object, in memory, that network tests share."""

from dataclasses import replace

import numpy as np
import torch

from fly64_assets.science.options import MixedObject, PupilProbe
from fly64_assets.science.physics.canvas_data import CanvasData, CanvasOptics, Part
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.physics.diffraction_torch import PatchGrid, to_fft_order
from fly64_assets.science.physics.dose import amplitude_from_counts, counts_scale, draw_counts
from fly64_assets.science.physics.object import make_object
from fly64_assets.science.physics.probe import make_probe
from fly64_assets.science.records import Measurement

SIZE = 32
SHAPE = (72, 64)


def truth(seed: int = 0) -> np.ndarray:
    return make_object(MixedObject(shape_px=SHAPE), np.random.default_rng(seed))


def measure(dose: float = 1e4, *, noise: bool = True, seed: int = 0, step: float = 5.0) -> Measurement:
    """A jittered raster over the known object; without noise, counts are expectations and not integers."""
    rng = np.random.default_rng(seed)
    probe = make_probe(PupilProbe(pupil_radius_cycles_per_px=0.2, defocus_rad=4.0), SIZE, rng)
    low, high = SIZE / 2 + 1, np.array([SHAPE[1], SHAPE[0]]) - SIZE / 2 - 1
    x, y = (np.arange(low, edge, step) for edge in high)
    positions = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    positions = np.clip(positions + rng.uniform(-1, 1, positions.shape), low, high)
    intensity = diffraction_intensity(extract_patches(truth(), positions, SIZE), probe)
    scale = counts_scale(dose, float(intensity.sum(axis=(1, 2)).mean()))
    amplitude = np.sqrt(intensity)
    if noise:
        amplitude = amplitude_from_counts(draw_counts(intensity, scale, rng), scale)
    return Measurement(amplitude, scale, probe, positions, SHAPE)


def on_smallest_grid(measurement: Measurement) -> Measurement:
    """The same patterns on the smallest object grid that holds them: the canvas of the scan sticks out at its end."""
    columns, rows = (int(np.ceil(last)) + SIZE // 2 for last in measurement.positions_xy_px.max(axis=0))
    return replace(measurement, object_shape=(rows, columns))


def canvas_data(
    measurement: Measurement, shape: tuple[int, int] = SHAPE, *, noise: bool = True
) -> tuple[CanvasData, torch.Tensor]:
    """The whole measurement on one canvas in the object's frame, and its counts; unrounded without noise."""
    grid = PatchGrid(torch.as_tensor(measurement.positions_xy_px)[None], SIZE, shape)
    exact = torch.as_tensor((measurement.counts_scale * measurement.amplitude.astype(np.float64)) ** 2).float()
    counts = to_fft_order(exact.round() if noise else exact)[None]
    scale = torch.full((1,), measurement.counts_scale)
    return CanvasOptics(measurement.probe).data((Part(grid, lambda: counts),), scale), counts


def randomised(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The network with a little noise on all its parameters: corrections start at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network
