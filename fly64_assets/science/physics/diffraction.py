"""Patches and far-field diffraction: the forward model of every simulated pattern.

Conventions, shared with the solvers: ``patch[i, j] = object(y + i - N/2, x + j - N/2)`` with bilinear interpolation
for the fractional part; exit wave = probe * patch; far field ``fftshift(fft2(exit wave)) / N``, which preserves
energy, DC at ``[N // 2, N // 2]``; intensities of incoherent modes add.
"""

import numpy as np
import scipy.fft
from jaxtyping import Float32, Float64
from numpy.lib.stride_tricks import sliding_window_view

from fly64_assets.science.arrays import ComplexObject, ObjectPatches, PositionsXY, ProbeModes

_CACHED_PATTERNS = 8
"""Patterns worked on at once: temporaries then stay in the cache and cost no fresh memory."""


def require_inside(positions_xy_px: PositionsXY, object_shape: tuple[int, int], patch_size_px: int) -> None:
    """Refuse positions whose patch leaves the object grid.

    Raises:
        ValueError: names the first such position and the allowed range.
    """
    half = patch_size_px / 2
    upper = np.array([object_shape[1], object_shape[0]]) - half
    bad = ~np.all((positions_xy_px >= half) & (positions_xy_px <= upper), axis=1)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        message = (
            f"{int(bad.sum())} of {len(bad)} patches leave the object of {object_shape[0]} x {object_shape[1]} px; "
            f"first: position {k} at x, y = {positions_xy_px[k].tolist()}, allowed x in [{half}, {upper[0]}], "
            f"y in [{half}, {upper[1]}]"
        )
        raise ValueError(message)


def extract_patches(object: ComplexObject, positions_xy_px: PositionsXY, patch_size_px: int) -> ObjectPatches:
    """Cut the patch of every position, bilinear between pixels.

    Args:
        object: transmission function, rows x columns.
        positions_xy_px: patch centres; a whole-number position copies pixels exactly.
        patch_size_px: side N, even.

    Returns:
        Patches ``(n, N, N)``, complex64.

    Raises:
        ValueError: a patch leaves the object.

    >>> image = np.arange(36).reshape(6, 6).astype(np.complex64)
    >>> extract_patches(image, np.array([[2.5, 2.0]]), 4)[0, 0].real
    array([0.5, 1.5, 2.5, 3.5], dtype=float32)
    """
    require_inside(positions_xy_px, object.shape, patch_size_px)
    size = patch_size_px
    if size in object.shape:  # the interpolation reads one more row and column, with weight 0 here
        rows, columns = object.shape
        object = np.pad(object, ((0, int(rows == size)), (0, int(columns == size))), mode="edge")
    corner = positions_xy_px - size / 2
    limit = np.array([object.shape[1], object.shape[0]]) - size - 1
    whole = np.minimum(np.floor(corner).astype(np.int64), limit)
    fx, fy = (corner - whole).astype(np.float32).T[:, :, None, None]
    # Real and imaginary parts side by side: real weights then cost real multiplications.
    windows = sliding_window_view(np.ascontiguousarray(object).view(np.float32), (size + 1, 2 * size + 2))
    patches = np.empty((len(whole), size, 2 * size), np.float32)
    for start in range(0, len(whole), _CACHED_PATTERNS):
        part = slice(start, start + _CACHED_PATTERNS)
        pixels = windows[whole[part, 1], 2 * whole[part, 0]]
        rows = pixels[:, 1:] - pixels[:, :-1]
        rows *= fy[part]
        rows += pixels[:, :-1]
        out = patches[part]
        np.subtract(rows[:, :, 2:], rows[:, :, :-2], out=out)
        out *= fx[part]
        out += rows[:, :, :-2]
    return patches.view(np.complex64)


def centred_probe(probe: ProbeModes) -> ProbeModes:
    """The probe times a checkerboard of signs: its plain FFT then has DC at ``[N // 2, N // 2]`` (N even)."""
    signs = 1 - 2 * (np.indices(probe.shape[-2:]).sum(axis=0) % 2)
    return probe * signs.astype(np.float32)


def diffraction_intensity(patches: ObjectPatches, probe: ProbeModes) -> Float32[np.ndarray, "n N N"]:
    """Far-field intensity of each patch under the probe, summed over modes; each sums to its exit wave's energy.

    Args:
        patches: transmission patches.
        probe: incoherent modes on the same N x N grid, N even.

    Returns:
        Intensities in the probe's units, DC centred.
    """
    size = probe.shape[-1]
    modes = centred_probe(probe) / np.float32(size)
    intensity = np.empty(patches.shape, np.float32)
    for start in range(0, len(patches), _CACHED_PATTERNS):
        out = intensity[start : start + _CACHED_PATTERNS]
        for number, mode in enumerate(modes):
            field = np.asarray(scipy.fft.fft2(patches[start : start + _CACHED_PATTERNS] * mode, overwrite_x=True))
            parts = field.view(np.float32).reshape(*field.shape, 2)
            parts *= parts
            np.add(parts[..., 0], out if number else 0, out=out)
            out += parts[..., 1]
    return intensity


def pattern_energies(
    object: ComplexObject, probe: ProbeModes, positions_xy_px: PositionsXY
) -> Float64[np.ndarray, "n"]:
    """Total intensity of every pattern, ``sum(|probe|^2 |patch|^2)``, without forming patches.

    The energy of a bilinear patch is quadratic in its weights, with coefficients that are correlations of the probe's
    intensity with products of neighbouring object pixels. Five FFT convolutions of the object grid give them for all
    positions at once.

    Raises:
        ValueError: a patch leaves the object.
    """
    from scipy.signal import fftconvolve  # slow to import, and studies are loaded without it

    size = probe.shape[-1]
    require_inside(positions_xy_px, object.shape, size)
    illumination = np.sum(np.abs(probe.astype(np.complex128)) ** 2, axis=0)[::-1, ::-1]
    padded = np.pad(object.astype(np.complex128), ((0, 1), (0, 1)))
    corner = positions_xy_px - size / 2
    x, y = np.floor(corner).astype(np.int64).T
    fx, fy = (corner - np.floor(corner)).T
    weights = {(0, 0): (1 - fy) * (1 - fx), (0, 1): (1 - fy) * fx, (1, 0): fy * (1 - fx), (1, 1): fy * fx}
    energies = np.zeros(len(corner))
    for offset in ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1)):
        product = padded * np.roll(padded, (-offset[0], -offset[1]), axis=(0, 1)).conj()
        correlation = fftconvolve(product.real, illumination, mode="valid")
        times = 1 if offset == (0, 0) else 2  # each unordered pair of corners stands for both orders
        for (dy, dx), weight in weights.items():
            other = weights.get((dy + offset[0], dx + offset[1]))
            if other is not None:
                inside = np.minimum(y + dy, len(correlation) - 1), np.minimum(x + dx, correlation.shape[1] - 1)
                energies += times * weight * other * correlation[inside]
    return energies
