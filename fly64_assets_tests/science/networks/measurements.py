"""A small measurement of a known object, in memory, that network tests share."""

import numpy as np

from fly64_assets.science.options import MixedObject, PupilProbe
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
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
