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


def extract_patches(object: ComplexObject, positions_xy_px: PositionsXY, patch_size_px: int) -> ObjectPatches:  # noqa: A002
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
    rows, columns = object.shape
    if rows == size or columns == size:  # the interpolation reads one more row and column, with weight 0 here
        object = np.pad(object, ((0, int(rows == size)), (0, int(columns == size))), mode="edge")  # noqa: A001
    corner = positions_xy_px - size / 2
    limit = np.array([object.shape[1], object.shape[0]]) - size - 1
    whole = np.minimum(np.floor(corner).astype(np.int64), limit)
    fx, fy = (corner - whole).astype(np.float32).T
    # Real and imaginary parts side by side: real weights then cost real multiplications.
    floats = np.ascontiguousarray(object).view(np.float32)
    windows = sliding_window_view(floats, (size + 1, 2 * size + 2))[whole[:, 1], 2 * whole[:, 0]]
    upper, lower = windows[:, :-1], windows[:, 1:]
    by_row = lower - upper
    by_row *= fy[:, None, None]
    by_row += upper
    left, right = by_row[:, :, :-2], by_row[:, :, 2:]
    patches = right - left
    patches *= fx[:, None, None]
    patches += left
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
    intensity = np.zeros(patches.shape, np.float32)
    for mode in centred_probe(probe):
        field = scipy.fft.fft2(patches * (mode / np.float32(size)), overwrite_x=True)
        parts = field.view(np.float32).reshape(*field.shape, 2)
        parts *= parts
        intensity += parts[..., 0]
        intensity += parts[..., 1]
    return intensity


def exit_wave_energy(patches: ObjectPatches, probe: ProbeModes) -> Float64[np.ndarray, "n"]:
    """Total intensity of each pattern before any FFT: ``sum(|probe|^2 |patch|^2)`` (Parseval)."""
    illumination = np.sum(probe.real**2 + probe.imag**2, axis=0, dtype=np.float32)
    energy = patches.real**2
    energy += patches.imag**2
    energy *= illumination
    return energy.sum(axis=(1, 2), dtype=np.float64)
