"""A scan with published LSQML scores, shared by the benchmarks: photograph as phase, star as absorption.

The object is 232 px wide, the probe a defocused pupil of 21.6 px effective diameter, and positions are a
jittered raster over 168 px. Photons per pattern are counted at unit transmission.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage import data, transform

from fly64_assets.science.records import Measurement

SIZE_PX, OBJECT_PX = 64, 232
STEPS = {"fine": 32, "coarse": 14, "sparse": 10, "isolated": 6}
"""Positions per side."""
STEP_PX = {"fine": 5.4, "coarse": 12.9, "sparse": 17.3, "isolated": 30.7}
JITTER = 0.175
"""Largest displacement in steps: 0.35 peak to peak."""


def known_object() -> np.ndarray:
    """The object, complex64 ``(232, 232)``."""
    image = transform.resize(data.camera().astype(float), (OBJECT_PX, OBJECT_PX), anti_aliasing=True)
    image = gaussian_filter((image - image.min()) / np.ptp(image), 0.7)
    y, x = np.mgrid[:OBJECT_PX, :OBJECT_PX] - (OBJECT_PX - 1) / 2
    star = (np.sin(24 * np.arctan2(y, x)) > 0) * (np.hypot(x, y) < 0.33 * OBJECT_PX)
    amplitude = 1 - 0.25 * gaussian_filter(star.astype(float), 0.7)
    return (amplitude * np.exp(1j * (1.2 * image - 0.6))).astype(np.complex64)


def known_probe() -> np.ndarray:
    """One mode of unit total intensity, complex64 ``(1, 64, 64)``."""
    f = np.fft.fftshift(np.fft.fftfreq(SIZE_PX))
    r = np.hypot(*np.meshgrid(f, f))
    pupil = np.exp(1j * np.pi * 11 * r**2 / 0.16) / (1 + np.exp((r - 0.16) / 0.005))
    probe = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil)))
    return (probe / np.linalg.norm(probe))[None].astype(np.complex64)


def known_positions(scan: str, rng: np.random.Generator) -> np.ndarray:
    """Jittered raster, float64 ``(n, 2)``, x then y."""
    n, step = STEPS[scan], STEP_PX[scan]
    line = (np.arange(n) - (n - 1) / 2) * step + OBJECT_PX / 2
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    jittered = grid + rng.uniform(-JITTER, JITTER, grid.shape) * step
    return np.clip(jittered, SIZE_PX / 2 + 1, OBJECT_PX - SIZE_PX / 2 - 1)


def fourier_patches(image: np.ndarray, positions_xy_px: np.ndarray, size: int) -> np.ndarray:
    """Patches cut by Fourier shift of a window a few pixels larger."""
    pad, patches = 8, []
    padded = np.pad(image, pad, mode="edge")
    f = np.fft.fftfreq(size + 2 * pad)
    for x, y in positions_xy_px - size / 2:
        column, row = int(np.floor(x)), int(np.floor(y))
        window = padded[row : row + size + 2 * pad, column : column + size + 2 * pad]
        ramp = np.exp(2j * np.pi * (f[:, None] * (y - row) + f * (x - column)))
        patches.append(np.fft.ifft2(np.fft.fft2(window) * ramp)[pad:-pad, pad:-pad])
    return np.array(patches)


def known_measurement(scan: str, dose: float, seed: int = 0, kind: str = "fourier") -> Measurement:
    """Poisson counts of the scan at a dose, photons per pattern at unit transmission."""
    rng = np.random.default_rng(seed)
    probe, positions = known_probe(), known_positions(scan, rng)
    if kind == "integer":
        positions = np.round(positions)
    patches = fourier_patches(known_object(), positions, SIZE_PX)
    field = np.fft.fftshift(np.fft.fft2(patches * probe), axes=(-2, -1)) / SIZE_PX
    scale = float(np.sqrt(dose))
    counts = rng.poisson(dose * np.abs(field) ** 2)
    return Measurement(
        amplitude=(np.sqrt(counts) / scale).astype(np.float32),
        counts_scale=scale,
        probe=probe,
        positions_xy_px=positions,
        object_shape=(OBJECT_PX, OBJECT_PX),
    )
