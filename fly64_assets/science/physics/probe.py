"""The illumination: probes from a model or a file, their diameter, and where they light the object.

A probe is sampled on the patch grid with its optical axis at ``[N // 2, N // 2]``. Probes made here have unit
total intensity; a probe from a file keeps its scale, because the photon scale s is explicit everywhere else.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex64, Float64

from fly64_assets.science.arrays import PositionsXY, ProbeModes
from fly64_assets.science.options import (
    ApertureProbe,
    FileProbe,
    GaussianProbe,
    ProbeOptions,
    PupilProbe,
    ZonePlateProbe,
)

_EDGE_HALF_WIDTH = 0.01
"""Half the width of the pupil's soft edge, cycles per pixel."""

_ABERRATION_ORDERS = 4
"""Highest polynomial order of the random pupil phase: smooth, so that the probe stays compact."""

_CONVOLVED_LIMIT = 0.01
"""Probe pixels above this fraction of the peak are where convolutions work."""


def make_probe(options: ProbeOptions, patch_size_px: int, rng: np.random.Generator) -> ProbeModes:
    """Build the probe that the options describe.

    Args:
        options: of one kind of illumination.
        patch_size_px: side N of the patches, even.
        rng: draws the random pupil phase; unused when ``aberration_rad`` is 0.

    Returns:
        Modes ``(modes, N, N)``, complex64; summed intensity 1 unless read from a file.

    Raises:
        ValueError: N is odd, or the file has no usable probe of that size.
    """
    require_even(patch_size_px)
    return PROBE_KINDS[options.kind](options, patch_size_px, rng)


def require_even(patch_size_px: int) -> None:
    """Refuse patch sides that have no pixel ``[N // 2, N // 2]`` symmetric with the far field.

    Raises:
        ValueError: the side is odd or below 4.
    """
    if patch_size_px < 4 or patch_size_px % 2:
        message = f"patch_size_px must be even and at least 4, got {patch_size_px}"
        raise ValueError(message)


def unit_intensity(probe: ProbeModes) -> ProbeModes:
    """Scale a probe to unit summed intensity.

    Raises:
        ValueError: the probe is zero everywhere or not finite.

    >>> probe = unit_intensity(np.full((1, 4, 4), 3 + 4j, dtype=np.complex64))
    >>> round(float((np.abs(probe) ** 2).sum()), 6)
    1.0
    """
    total = float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))
    if not np.isfinite(total) or total == 0:
        message = f"the probe's total intensity is {total}: it must be finite and positive"
        raise ValueError(message)
    return (probe / np.sqrt(total)).astype(np.complex64)


def read_probe(path: Path, patch_size_px: int) -> ProbeModes:
    """Read ``probeGuess`` from an NPZ: ``(N, N)`` or ``(modes, N, N)``, scale untouched.

    Raises:
        ValueError: the key is missing, or the array has another shape or non-finite values.
    """
    with np.load(path, allow_pickle=False) as file:
        if "probeGuess" not in file.files:
            message = f"{path}: no probeGuess among its keys {sorted(file.files)}"
            raise ValueError(message)
        probe = file["probeGuess"]
    probe = probe[None] if probe.ndim == 2 else probe
    expected = (patch_size_px, patch_size_px)
    if probe.ndim != 3 or probe.shape[1:] != expected or not np.isfinite(probe).all():
        message = f"{path}: probeGuess has shape {probe.shape}; expected finite (modes, {expected[0]}, {expected[1]})"
        raise ValueError(message)
    return probe.astype(np.complex64)


def probe_intensity(probe: ProbeModes) -> Float64[np.ndarray, "N N"]:
    """Intensity summed over the incoherent modes."""
    modes = probe.astype(np.complex128)
    return np.sum(modes.real**2 + modes.imag**2, axis=0)


def probe_diameter_px(probe: ProbeModes) -> float:
    """Diameter of the disc of area ``(sum I)^2 / sum I^2``, the probe's effective area.

    >>> flat = np.zeros((1, 8, 8), dtype=np.complex64)
    >>> flat[0, 2:6, 2:6] = 1
    >>> bool(np.isclose(probe_diameter_px(flat), np.sqrt(4 / np.pi * 16)))
    True
    """
    intensity = probe_intensity(probe)
    area = intensity.sum() ** 2 / np.sum(intensity**2)
    return float(np.sqrt(4.0 * area / np.pi))


def lit_mask(probe: ProbeModes, limit: float) -> Bool[np.ndarray, "N N"]:
    """Probe pixels whose intensity exceeds ``limit`` times the peak."""
    intensity = probe_intensity(probe)
    return intensity > limit * intensity.max()


def lit_margin_px(probe: Complex64[np.ndarray, "modes N N"]) -> int:
    """Width of the patch border that the probe hardly lights; even, at least 0."""
    rows, columns = np.nonzero(lit_mask(probe, _CONVOLVED_LIMIT))
    size = probe.shape[-1]
    margin = min(rows.min(), columns.min(), size - 1 - rows.max(), size - 1 - columns.max())
    return int(margin) // 2 * 2


def illumination_map(
    probe: ProbeModes, positions_xy_px: PositionsXY, object_shape: tuple[int, int]
) -> Float64[np.ndarray, "H W"]:
    """Summed probe intensity on the object grid, in probe units, over all positions.

    Fractional positions spread bilinearly (the adjoint of the patch interpolation), so that the map sums to
    ``n * sum(I)``. The cost is one FFT of the object grid, whatever the number of positions.
    """
    from scipy.signal import fftconvolve  # slow to import, and studies are loaded without it

    hits = bilinear_hits(positions_xy_px, object_shape)
    half = probe.shape[-1] // 2
    full = fftconvolve(hits, probe_intensity(probe), mode="full")
    lit = full[half : half + object_shape[0], half : half + object_shape[1]]
    return np.maximum(lit, 0.0)


def bilinear_hits(positions_xy_px: PositionsXY, object_shape: tuple[int, int]) -> Float64[np.ndarray, "H W"]:
    """Number of patch centres per object pixel, fractional positions shared among four pixels."""
    rows, columns = object_shape
    x0, y0 = np.floor(positions_xy_px).astype(np.int64).T
    fx, fy = (positions_xy_px - np.floor(positions_xy_px)).T
    hits = np.zeros(rows * columns)
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            flat = np.minimum(y0 + dy, rows - 1) * columns + np.minimum(x0 + dx, columns - 1)
            hits += np.bincount(flat, weights=wy * wx, minlength=rows * columns)
    return hits.reshape(rows, columns)


def _pupil(options: PupilProbe, size: int, rng: np.random.Generator) -> ProbeModes:
    opening = _soft_disc(_pupil_radius(size), options.pupil_radius_cycles_per_px)
    return _far_field(opening, options, rng)


def _zone_plate(options: ZonePlateProbe, size: int, rng: np.random.Generator) -> ProbeModes:
    radius, edge = _pupil_radius(size), options.pupil_radius_cycles_per_px
    opening = _soft_disc(radius, edge) - _soft_disc(radius, edge * options.central_stop_fraction)
    return _far_field(opening, options, rng)


def _gaussian(options: GaussianProbe, size: int, rng: np.random.Generator) -> ProbeModes:
    del rng
    axis = np.arange(size) - size // 2
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    field = np.exp(-2.0 * np.log(2.0) * square / options.fwhm_px**2) + 0j
    return unit_intensity(field[None].astype(np.complex64))


def _from_file(options: FileProbe, size: int, rng: np.random.Generator) -> ProbeModes:
    del rng
    return read_probe(Path(options.file), size)


def _far_field(opening: Float64[np.ndarray, "N N"], options: ApertureProbe, rng: np.random.Generator) -> ProbeModes:
    """The probe behind an aperture of this transmission, defocused and aberrated; unit intensity."""
    frequency = scipy.fft.fftfreq(opening.shape[0])
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    edge = options.pupil_radius_cycles_per_px
    phase = options.defocus_rad * (np.hypot(fx, fy) / edge) ** 2
    if options.aberration_rad > 0:
        phase = phase + options.aberration_rad * _smooth_unit_phase(fx / edge, fy / edge, opening, rng)
    field = scipy.fft.fftshift(scipy.fft.ifft2(opening * np.exp(1j * phase)))
    return unit_intensity(field[None].astype(np.complex64))


def _pupil_radius(size: int) -> Float64[np.ndarray, "N N"]:
    """Distance from the pupil's centre, cycles per pixel, zero frequency in the corner."""
    frequency = scipy.fft.fftfreq(size)
    return np.hypot(frequency[None, :], frequency[:, None])


def _soft_disc(radius: np.ndarray, edge: float) -> np.ndarray:
    ramp = np.clip((edge + _EDGE_HALF_WIDTH - radius) / (2 * _EDGE_HALF_WIDTH), 0.0, 1.0)
    return np.sin(0.5 * np.pi * ramp) ** 2


def _smooth_unit_phase(u: np.ndarray, v: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random polynomial over the pupil without piston and tilt (a tilt would only shift the probe), RMS 1."""
    orders = [(i, k - i) for k in range(2, _ABERRATION_ORDERS + 1) for i in range(k + 1)]
    phase = np.sum([rng.standard_normal() * u**i * v**j for i, j in orders], axis=0)
    basis = np.stack([np.ones_like(u), u, v]).reshape(3, -1)
    w = weight.ravel()
    coefficients = np.linalg.solve((basis * w) @ basis.T, (basis * w) @ phase.ravel())
    phase = phase - (coefficients @ basis).reshape(u.shape)
    return phase / np.sqrt(np.average(phase**2, weights=weight))


PROBE_KINDS: Mapping[str, Callable[..., ProbeModes]] = {
    "pupil": _pupil,
    "zone_plate": _zone_plate,
    "gaussian": _gaussian,
    "file": _from_file,
}
"""Every kind of probe: ``(options of the kind, patch side, rng)`` to modes."""
