"""A small cell with a known truth, shared by the tests of the metrics."""

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter

from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Dataset, Measurement, Reconstruction, Scan

PATCH_PX, OBJECT_PX, SCALE = 32, 128, 100.0


def smooth_noise(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Real noise in [-0.5, 0.5], low-passed."""
    noise = gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return (noise - noise.min()) / np.ptp(noise) - 0.5


def truth() -> np.ndarray:
    """Object with structure on several scales in amplitude and phase."""
    rng = np.random.default_rng(5)
    shape = (OBJECT_PX, OBJECT_PX)
    phase = 0.8 * smooth_noise(shape, 6, rng) + 0.5 * smooth_noise(shape, 1.2, rng)
    amplitude = 0.85 + 0.2 * smooth_noise(shape, 4, rng) + 0.1 * smooth_noise(shape, 1.2, rng)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


def probe(modes: int = 1) -> np.ndarray:
    """Curved Gaussian modes of unit total intensity."""
    axis = np.arange(PATCH_PX) - PATCH_PX / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    wave = np.exp(-(x**2 + y**2) / (2 * 5.0**2) + 0.02j * (x**2 + y**2))
    found = np.stack([wave, 0.05 * x * wave])[:modes]
    return (found / np.linalg.norm(found)).astype(np.complex64)


def positions(step_px: float = 6.0) -> np.ndarray:
    """Raster over the middle of the object."""
    line = np.arange(24, OBJECT_PX - 23, step_px)
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def cell(step_px: float = 6.0, seed: int = 0) -> tuple[Dataset, Scan]:
    """Poisson counts of the truth at ``SCALE**2`` photons per pattern."""
    xy, wave, image = positions(step_px), probe(), truth()
    expected = SCALE**2 * diffraction_intensity(extract_patches(image, xy, PATCH_PX), wave)
    counts = np.random.default_rng(seed).poisson(expected)
    amplitude = (np.sqrt(counts) / SCALE).astype(np.float32)
    measurement = Measurement(amplitude, SCALE, wave, xy, image.shape)
    order = np.arange(len(xy))
    return Dataset(measurement, image, None, order, {}), Scan(image, wave, xy, order)


def reconstruction(image: np.ndarray, method: str = "pty_chi") -> Reconstruction:
    """An image as a method's result."""
    return Reconstruction(image.astype(np.complex64), probe(), positions(), method, SCALE, cpu_seconds=1.0)


def complex_noise(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """White complex noise of the given size per real and imaginary part."""
    return size * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a complex image."""
    return gaussian_filter(image.real, sigma) + 1j * gaussian_filter(image.imag, sigma)


def moved(image: np.ndarray, shift_xy: np.ndarray, ramp_xy: np.ndarray, factor: complex = 1.0) -> np.ndarray:
    """``factor * exp(i ramp . (r - centre)) * image(r - shift)``, the shift by a Fourier transform."""
    fx, fy = scipy.fft.fftfreq(image.shape[1])[None], scipy.fft.fftfreq(image.shape[0])[:, None]
    shifted = scipy.fft.ifft2(scipy.fft.fft2(image) * np.exp(-2j * np.pi * (fx * shift_xy[0] + fy * shift_xy[1])))
    y, x = (np.arange(n) - (n - 1) / 2 for n in image.shape)
    return factor * shifted * np.exp(1j * (ramp_xy[0] * x[None] + ramp_xy[1] * y[:, None]))
