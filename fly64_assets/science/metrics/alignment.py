"""What is removed before an image is compared with the truth: one complex scale, or phase ramp, shift and scale.

Where probe and positions are known, the counts determine the object but for one complex scale, and nothing else is
removed (:func:`scale_alone`). An object times a phase ramp with a shifted diffraction origin, or an object and a probe
shifted against each other, explain the same data equally well where probe or positions are estimated too. Then, and
beside the other score everywhere, every method is aligned in full by the same steps (:func:`align`):

1. the ramp, from the peak of the Fourier transform of reconstruction * conj(truth), refined: nothing is
   unwrapped, and it comes first because a ramp of a cycle or more hides any correlation;
2. the shift, from the highest windowed, mean-free cross-correlation (not normalised by its spectrum)
   within bounds;
3. ramp, shift and scale together, refined by weighted least squares to far below a pixel; weights are the
   illumination. Of a few candidates for the first ramp the one that ends in the smallest residual is kept.

The refinement linearises the truth, which has no noise, so that its fixed point is unbiased, and each trial
transforms the original image once: interpolation errors do not add up.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Complex128, Float64

from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion

_CONSTANT = 1e-5
_MINIMUM_CORRELATION = 0.1
_REFINEMENTS = 30
_BORDER_PX = 12
_RAMP_PEAKS = 3
_RELEVANT_PEAK = 0.5
_COARSE, _FINE = 0.05, 1e-4

Image = Complex128[np.ndarray, "H W"]
Vector = Float64[np.ndarray, "2"]


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """What was removed: reconstruction(r) = scale * exp(i ramp . (r - centre)) * aligned(r - shift).

    Attributes:
        shift_xy_px: how far the reconstruction lay from the truth, x (columns) then y (rows).
        ramp_xy_rad_per_px: its phase ramp.
        scale: its complex scale, taken at the grid's centre; NaN if the reconstruction vanishes.
        registration_ok: whether a shift was found; otherwise it is 0 and ``reason`` says why.
        reason: empty if all went well.
    """

    shift_xy_px: tuple[float, float]
    ramp_xy_rad_per_px: tuple[float, float]
    scale: complex
    registration_ok: bool
    reason: str = ""


def scale_alone(reconstruction: np.ndarray, truth: np.ndarray, region: IlluminatedRegion) -> tuple[Image, Alignment]:
    """Remove nothing but one complex scale, by the summed inner product with the truth, weighted by illumination.

    Args:
        reconstruction: complex ``(H, W)``.
        truth: complex ``(H, W)``.
        region: where the two are compared, and with which weights.

    Returns:
        The scaled image on the whole grid, and the scale; nothing was registered, so nothing can have failed.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    _require_comparable(reconstruction, truth, region)
    image = reconstruction.astype(np.complex128)
    scale = _scale(image, truth.astype(np.complex128), region.weight)
    return image * scale, Alignment((0.0, 0.0), (0.0, 0.0), _inverse(scale), True)


def align(
    reconstruction: np.ndarray, truth: np.ndarray, region: IlluminatedRegion, max_shift_px: float
) -> tuple[Image, Alignment]:
    """Remove ramp, shift and complex scale of a reconstruction relative to the truth.

    Args:
        reconstruction: complex ``(H, W)``; pixels outside the region may hold anything finite.
        truth: complex ``(H, W)``.
        region: where the two are compared, and with which weights.
        max_shift_px: the largest shift that is believed, per axis.

    Returns:
        The aligned image on the whole grid, and what was removed. A constant image (up to a ramp) has
        nothing to register: only its scale is removed.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    _require_comparable(reconstruction, truth, region)
    weight, truth = region.weight, truth.astype(np.complex128)
    image = reconstruction.astype(np.complex128)
    own_ramp = _lag_ramp(image, weight)
    if is_constant((_without_ramp(image, own_ramp))[region.mask]):
        image = _without_ramp(image, own_ramp)
        scale = _scale(image, truth, weight)
        return image * scale, Alignment((0.0, 0.0), _pair(own_ramp), _inverse(scale), False, "the image is constant")

    fits = [_fit(image, truth, region, ramp, max_shift_px) for ramp in _candidate_ramps(image, truth, weight)]
    best = min(fits, key=lambda fit: (bool(fit.reason), fit.residual))
    best = _refine(image, truth, weight, best, max_shift_px, tolerance=_FINE)
    image, scale = _closest(image, truth, weight, best)
    alignment = Alignment(_pair(best.shift), _pair(best.ramp), _inverse(scale), not best.reason, best.reason)
    return image * scale, alignment


def _require_comparable(reconstruction: np.ndarray, truth: np.ndarray, region: IlluminatedRegion) -> None:
    if not reconstruction.shape == truth.shape == region.mask.shape:
        message = f"reconstruction {reconstruction.shape}, truth {truth.shape} and region {region.mask.shape} differ"
        raise ValueError(message)
    if not np.isfinite(reconstruction).all():
        message = f"the reconstruction holds {np.sum(~np.isfinite(reconstruction))} values that are not finite"
        raise ValueError(message)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Ramp and shift, why the shift is not to be trusted, and the weighted residual that they leave."""

    ramp: Vector
    shift: Vector
    reason: str
    residual: float


def is_constant(values: np.ndarray) -> bool:
    """Whether values vary by no more than rounding.

    >>> is_constant(np.ones(4, np.complex64) * (1 + 1e-7)), is_constant(np.array([1.0, 1.01]))
    (True, False)
    """
    return bool(np.std(values) <= _CONSTANT * np.abs(values).max(initial=0.0))


def _pair(vector: Vector) -> tuple[float, float]:
    return float(vector[0]), float(vector[1])


def _inverse(scale: complex) -> complex:
    return complex(1 / scale) if scale else complex("nan")


def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x (1, W) and y (H, 1) from the centre of the grid."""
    rows, columns = shape
    return np.arange(columns)[None] - (columns - 1) / 2, np.arange(rows)[:, None] - (rows - 1) / 2


def _without_ramp(image: Image, ramp: Vector) -> Image:
    x, y = _grid(image.shape)
    return image * np.exp(-1j * ramp[0] * x) * np.exp(-1j * ramp[1] * y)


def _transformed(image: Image, shift: Vector, ramp: Vector, *, border_px: int = _BORDER_PX) -> Image:
    """The image freed from a ramp, then moved by ``-shift`` through its Fourier transform.

    Edges would ring all over the image: hence the ramp goes first, which breaks the image at the edges of
    the grid, and a mirrored border continues it and fades to its mean. Without border it is periodic.
    """
    free = np.pad(_without_ramp(image, ramp), border_px, mode="reflect")
    if border_px:
        mean = free.mean()
        free = (free - mean) * _fade(free.shape[0], border_px)[:, None] * _fade(free.shape[1], border_px) + mean
    fx, fy = np.fft.fftfreq(free.shape[1])[None], np.fft.fftfreq(free.shape[0])[:, None]
    spectrum = np.fft.fft2(free)
    spectrum *= np.exp(2j * np.pi * shift[0] * fx) * np.exp(2j * np.pi * shift[1] * fy)
    rows, columns = image.shape
    return np.fft.ifft2(spectrum)[border_px : border_px + rows, border_px : border_px + columns]


def _closest(image: Image, truth: Image, weight: np.ndarray, fit: _Fit) -> tuple[Image, complex]:
    """The moved image and its scale, continued beyond the grid by mirroring or periodically.

    An image that a Fourier transform has moved before is periodic; whichever leaves the smaller residual.
    """
    found = []
    for border_px in (_BORDER_PX, 0):
        moved = _transformed(image, fit.shift, fit.ramp, border_px=border_px)
        scale = _scale(moved, truth, weight)
        found.append((float(np.sum(weight * np.abs(scale * moved - truth) ** 2)), moved, scale))
    return min(found, key=lambda candidate: candidate[0])[1:]


def _fade(length: int, border_px: int) -> Float64[np.ndarray, "length"]:
    """1 inside, falling as sin^2 over the border."""
    from_edge = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.sin(0.5 * np.pi * np.minimum(from_edge / border_px, 1.0)) ** 2


def _scale(image: Image, truth: Image, weight: np.ndarray) -> complex:
    """The factor that brings the image closest to the truth (weighted least squares)."""
    power = np.sum(weight * np.abs(image) ** 2)
    return complex(np.sum(weight * image.conj() * truth) / power) if power > 0 else 0j


def _lag_ramp(image: Image, weight: np.ndarray) -> Vector:
    """Ramp from the mean phase step between neighbours, exact for a constant image with a ramp."""
    lit = np.where(weight > 0, image, 0)
    return np.angle([np.sum(lit[:, 1:] * lit[:, :-1].conj()), np.sum(lit[1:] * lit[:-1].conj())])


def _candidate_ramps(image: Image, truth: Image, weight: np.ndarray) -> list[Vector]:
    """Ramps worth trying, to a quarter bin of the Fourier transform or better.

    The peaks of the transform of image * conj(truth), and the displacement of the image's power spectrum
    from the truth's, which a shift cannot disturb: an object of strong phases may have no dominant peak.
    """
    shape = _fast_shape(2 * image.shape[0], 2 * image.shape[1])
    power = np.abs(np.fft.fft2(image * truth.conj() * weight, s=shape))
    ramps, highest = [], power.max()
    for _ in range(_RAMP_PEAKS):
        peak = int(np.argmax(power))
        ramps.append(_ramp_of_bin(peak, shape))
        row, column = divmod(peak, shape[1])
        around = np.ix_(np.arange(row - 2, row + 3) % shape[0], np.arange(column - 2, column + 3) % shape[1])
        power[around] = 0
        if power.max() < _RELEVANT_PEAK * highest:
            break
    spectra = [np.abs(np.fft.fft2(part * weight, s=shape)) for part in (image, truth)]
    overlap = np.fft.ifft2(np.fft.fft2(spectra[0]) * np.fft.fft2(spectra[1]).conj()).real
    displaced = _ramp_of_bin(int(np.argmax(overlap)), shape)
    apart = np.abs(displaced - ramps[0]) > 2 * np.pi / np.array(shape[::-1])
    return [*ramps, displaced] if apart.any() else ramps


def _fast_shape(rows: int, columns: int) -> tuple[int, int]:
    """The next larger shape whose transform is fast."""
    return scipy.fft.next_fast_len(rows) or rows, scipy.fft.next_fast_len(columns) or columns


def _ramp_of_bin(flat_index: int, shape: tuple[int, int]) -> Vector:
    row, column = np.unravel_index(flat_index, shape)
    return 2 * np.pi * np.array([np.fft.fftfreq(shape[1])[column], np.fft.fftfreq(shape[0])[row]])


def _fit(image: Image, truth: Image, region: IlluminatedRegion, ramp: Vector, max_shift_px: float) -> _Fit:
    """Ramp and shift from a first ramp: the ramp refined, then the shift, then both together."""
    start = _Fit(ramp, np.zeros(2), "not registered yet", np.inf)
    start = _refine(image, truth, region.weight, start, max_shift_px, tolerance=_COARSE)
    shift, reason = _correlation_shift(_without_ramp(image, start.ramp), truth, region, max_shift_px)
    return _refine(
        image, truth, region.weight, _Fit(start.ramp, shift, reason, np.inf), max_shift_px, tolerance=_COARSE
    )


def _correlation_shift(
    image: Image, truth: Image, region: IlluminatedRegion, max_shift_px: float
) -> tuple[Vector, str]:
    """Whole-pixel shift within bounds, and why it is not to be trusted (empty if it is)."""
    window = np.zeros(image.shape)
    window[region.box] = region.apodisation()
    a, b = ((part - np.average(part, weights=region.weight)) * window for part in (image, truth))
    shape = _fast_shape(*(n + int(max_shift_px) + 2 for n in image.shape))
    correlation = np.abs(np.fft.ifft2(np.fft.fft2(a, s=shape) * np.fft.fft2(b, s=shape).conj()))
    lags = np.arange(-int(np.ceil(max_shift_px)), int(np.ceil(max_shift_px)) + 1)
    nearby = correlation[np.ix_(lags, lags)]
    row, column = np.unravel_index(np.argmax(nearby), nearby.shape)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    height = nearby[row, column] / norm if norm > 0 else 0.0
    if height < _MINIMUM_CORRELATION:
        return np.zeros(2), f"no common structure: the highest correlation is {height:.3f}"
    if {row, column} & {0, len(lags) - 1}:
        return np.zeros(2), f"the correlation still rises at the bound of {max_shift_px:g} px"
    return np.array([lags[column], lags[row]], dtype=float), ""


def _refine(
    image: Image, truth: Image, weight: np.ndarray, start: _Fit, max_shift_px: float, *, tolerance: float
) -> _Fit:
    """Gauss-Newton on ramp, shift (unless there is none to trust) and scale.

    It ends at steps below ``tolerance``, in pixels or in radians across the grid, and not where the
    residual stops falling: noise that crosses the region's edge moves that. Without an end the start stands.
    """
    basis = _basis(truth, with_shift=not start.reason)
    lit = weight > 0
    w = np.sqrt(weight[lit])
    columns = np.stack([_as_real(w * b[lit]) for b in basis], axis=1)
    inverse = np.linalg.pinv(columns.T @ columns, hermitian=True)
    ramp, shift = start.ramp, start.shift
    first = np.inf
    for _ in range(_REFINEMENTS):
        moved = _transformed(image, shift, ramp)
        error = (truth - _scale(moved, truth, weight) * moved)[lit] * w
        residual = float(np.sum(np.abs(error) ** 2))
        first = min(first, residual)
        step = inverse @ (columns.T @ _as_real(error))
        if max(np.abs(step[2:4]).max() * max(image.shape), np.abs(step[4:]).max(initial=0.0)) < tolerance:
            return _Fit(ramp, shift, start.reason, residual)
        ramp = ramp + step[2:4]
        shift = shift + step[4:6] if not start.reason else shift
        if np.abs(shift).max() > max_shift_px:
            return _Fit(start.ramp, np.zeros(2), f"the shift left the bound of {max_shift_px:g} px", residual)
    return _Fit(start.ramp, start.shift, start.reason, first)


def _as_real(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.real(values), np.imag(values)])


def _basis(truth: Image, *, with_shift: bool) -> list[Image]:
    """Images by which scale (2), ramp (2) and shift (2) change the truth, to first order."""
    x, y = _grid(truth.shape)
    basis = [truth, 1j * truth, -1j * x * truth, -1j * y * truth]
    if with_shift:
        by_row, by_column = np.gradient(truth)
        basis += [by_column, by_row]
    return basis
