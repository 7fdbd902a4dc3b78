"""What the counts allow at best: Fisher information of a photon-counting ptychographic scan, and bounds from it.

With Poisson counts of expectation I, the Fisher information of parameters a and b is the sum over all
detector pixels of (dI/da dI/db) / I. Unknown are phase and log-amplitude of every pixel of a window;
the probe is known, and so is the object outside the window, which makes the floor slightly too low,
never too high (the variance is judged on the inner half, where it is within about a tenth of that with
every lit pixel unknown). For an ideal far field it comes close to 1 / (2 n) per pixel lit by n photons.

A biased estimator (a prior, a network that has learned what objects look like) may lie below that floor,
most of which stands on frequencies that no method recovers. What floors good methods is the bound per
spatial frequency: the error's spectrum, from the inverse of F (unbiased), and from that of F + 1 / prior
(:class:`RingBound`). The prior is a Gaussian with the true object's own spectra of phase and log-amplitude,
alike in all directions: what an estimator may gain by knowing how strong which frequency is, and nothing
else of the object. One that knows more (edges, kinds of objects) may still lie below.

With exit wave b and far field f = FT(b), the sums over detector pixels are Fourier transforms:
2 Re[conj(b_r) b_s K(r - s) -+ b_r b_s conj(L(r + s))], K = IFT(|f|^2 / I), L = IFT(f^2 / I), so that a
pattern costs one gather per pair of lit pixels and no Jacobian is ever formed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.linalg.lapack import dpotrf, dpotri  # type: ignore[import]
from skimage.restoration import unwrap_phase

from fly64_assets.science.arrays import ComplexObject, PositionsXY, ProbeModes
from fly64_assets.science.metrics.frc import radial_frequency
from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion
from fly64_assets.science.physics.probe import lit_mask, probe_diameter_px

_LIT_LIMIT = 1e-4
_COVERED = 0.95
_PRIOR_FLOOR = 1e-6
"""White variance that is added to the prior, relative to its own, so that its matrix can be inverted."""
_PERIODS = 8
"""The prior's covariance is computed on a grid so many windows wide, where it does not meet itself again."""
_MAX_WINDOW_PX = 32
_MAX_PATTERNS = 128


Rings = Float64[np.ndarray, "rings"]


@dataclass(frozen=True, slots=True, eq=False)
class RingBound:
    """What can be known at best of each spatial frequency, from the windows of a view.

    Attributes:
        frequency_cycles_per_px: centres of the rings; below the first, a window does not tell.
        phase_power: lower bound of the power spectral density of the phase error, rad^2 px^2; its integral over the
            frequency plane is a variance. NaN where the counts determine nothing.
        frc: the ring correlation with the object that is expected of the best estimate.
    """

    frequency_cycles_per_px: Rings
    phase_power: Rings
    frc: Rings

    def phase_rms_rad(self, up_to_cycles_per_px: float) -> float:
        """Floor of the phase error of an estimate that is right up to a frequency; 0 below the first ring."""
        f = self.frequency_cycles_per_px
        width = f[1] - f[0]
        reach = np.clip((up_to_cycles_per_px - (f - width / 2)) / width, 0.0, 1.0)
        return float(np.sqrt(np.sum(self.phase_power * 2 * np.pi * f * width * reach)))


@dataclass(frozen=True, slots=True, eq=False)
class PhaseBound:
    """Floors of the phase error in a view.

    Attributes:
        rms_rad: root of the mean variance over the windows' scored pixels, global phase removed; NaN if
            the counts determine no window.
        window_rms_rad: the same for each window that the counts determine.
        undetermined_windows: windows whose Fisher matrix is singular.
        unbiased: per frequency, of estimates without a prior; averaged over the windows that the counts determine.
        with_prior: per frequency, of estimates that know the object's spectrum.
    """

    rms_rad: float
    window_rms_rad: tuple[float, ...]
    undetermined_windows: int
    unbiased: RingBound
    with_prior: RingBound


def phase_error_bound(
    object: ComplexObject,
    probe: ProbeModes,
    positions_xy_px: PositionsXY,
    counts_scale: float,
    region: IlluminatedRegion,
    *,
    windows: int,
    rng: np.random.Generator,
    max_patterns: int = _MAX_PATTERNS,
) -> PhaseBound:
    """Floors of the phase error, in all and per frequency, averaged over windows around randomly chosen positions.

    Positions are rounded to whole pixels. Where more than ``max_patterns`` patterns reach a window, that
    many are drawn and their information is scaled up.

    Args:
        object: the true object.
        probe: incoherent modes.
        positions_xy_px: patch centres.
        counts_scale: s, expected counts are ``s**2 * intensity``.
        region: the scored region; its pixels are the unknowns.
        windows: number of windows.
        rng: draws windows and patterns.
        max_patterns: patterns used per window.

    Returns:
        The floors; ``rms_rad`` scales as 1 / sqrt(dose).
    """
    side = min(_MAX_WINDOW_PX, int(np.ceil(1.5 * probe_diameter_px(probe))))
    inside = _well_inside(positions_xy_px, side, region)
    centres = rng.choice(inside, min(windows, len(inside)), replace=False)
    prior = Prior.of(object, region, side)
    variances, unbiased, with_prior = [], [], []
    for centre in positions_xy_px[centres]:
        window, judged = _window(centre, side, region)
        chosen = _reaching(centre, side, positions_xy_px, probe)
        factor = max(1.0, len(chosen) / max_patterns)
        if factor > 1:
            chosen = rng.choice(chosen, max_patterns, replace=False)
        fisher = factor * fisher_information(object, probe, positions_xy_px[chosen], counts_scale, window)
        scored = np.flatnonzero(np.tile(region.mask[window], 2))
        covariance = inverse(fisher[np.ix_(scored, scored)])
        posterior = inverse(fisher + prior.precision(window))
        variances.append(float("nan") if covariance is None else _spread(covariance, judged[window & region.mask]))
        for found, pixels, spectra in ((covariance, window & region.mask, unbiased), (posterior, window, with_prior)):
            if found is not None:
                tapered = _Window.of(pixels, side)
                spectra.append((*tapered.spectra(found), *tapered.spectra(prior.covariance(pixels))))
    found = np.array([v for v in variances if np.isfinite(v)])
    return PhaseBound(
        rms_rad=float(np.sqrt(found.mean())) if found.size else float("nan"),
        window_rms_rad=tuple(float(v) for v in np.sqrt(found)),
        undetermined_windows=len(variances) - found.size,
        unbiased=_ring_bound(unbiased, side, posterior=False),
        with_prior=_ring_bound(with_prior, side, posterior=True),
    )


def _ring_bound(windows: list[tuple[Rings, ...]], side: int, *, posterior: bool) -> RingBound:
    """From the mean spectra of windows: of the error of phase and complex logarithm, and of these before any count."""
    frequency = np.arange(1, side // 2 + 1) / side
    if not windows:
        nothing = np.full(len(frequency), np.nan)
        return RingBound(frequency, nothing, nothing)
    phase, noise, _, signal = np.mean(windows, axis=0)
    known = np.maximum(signal - noise, 0.0) if posterior else signal
    whole = signal if posterior else signal + noise
    return RingBound(frequency, phase, np.sqrt(np.divide(known, whole, out=np.zeros_like(known), where=whole > 0)))


def fisher_information(
    object: ComplexObject,
    probe: ProbeModes,
    positions_xy_px: PositionsXY,
    counts_scale: float,
    unknown: Bool[np.ndarray, "H W"],
) -> Float64[np.ndarray, "p p"]:
    """Fisher matrix of the phases, then the log-amplitudes, of the unknown pixels (row-major order).

    Args:
        object: the true object.
        probe: incoherent modes; pixels below 1e-4 of the peak intensity carry no information here.
        positions_xy_px: patch centres, rounded to whole pixels.
        counts_scale: s.
        unknown: the pixels whose phase and amplitude are to be estimated.
    """
    size, n = probe.shape[-1], int(unknown.sum())
    number = np.full(unknown.shape, -1)
    number[unknown] = np.arange(n)
    rows, columns = np.nonzero(lit_mask(probe, _LIT_LIMIT))
    phase, mixed, amplitude = (np.zeros((n, n)) for _ in range(3))
    for column, row in np.rint(positions_xy_px - size / 2).astype(int):
        index = number[row + rows, column + columns]
        seen = index >= 0
        if not seen.any():
            continue
        exit_waves = counts_scale * probe.astype(np.complex128) * object[row : row + size, column : column + size]
        direct, mirrored = _pair_sums(exit_waves, rows[seen], columns[seen])
        where = np.ix_(index[seen], index[seen])
        phase[where] += 2 * np.real(direct - mirrored)
        amplitude[where] += 2 * np.real(direct + mirrored)
        mixed[where] += 2 * np.imag(direct - mirrored)
    return np.block([[phase, mixed], [mixed.T, amplitude]])


def phase_variance(fisher: Float64[np.ndarray, "p p"], judged: Bool[np.ndarray, "n"]) -> float:
    """Mean variance of the judged phases about their own mean, from the inverse of a Fisher matrix.

    Args:
        fisher: phases first, then log-amplitudes.
        judged: which phases count.

    Returns:
        rad^2; NaN if the matrix is singular.
    """
    covariance = inverse(fisher)
    return float("nan") if covariance is None else _spread(covariance, judged)


def _spread(covariance: Float64[np.ndarray, "p p"], judged: Bool[np.ndarray, "n"]) -> float:
    which = np.flatnonzero(judged)
    of_phases = covariance[np.ix_(which, which)]
    return float(np.trace(of_phases) / len(which) - of_phases.mean())


def inverse(matrix: Float64[np.ndarray, "p p"]) -> Float64[np.ndarray, "p p"] | None:
    """Inverse of a symmetric positive matrix by Cholesky factors, scaled to a unit diagonal; None if it is singular."""
    size = np.sqrt(np.diag(matrix))
    if not (size > 0).all():
        return None
    factor, failed = dpotrf(matrix / size / size[:, None], lower=True)
    if failed:
        return None
    half, failed = dpotri(factor, lower=True)
    if failed:
        return None
    half = np.tril(half)
    return (half + np.tril(half, -1).T) / size / size[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What is known of an object whose spectra of phase and log-amplitude are known, and nothing else.

    Attributes:
        phase: covariance of the phases of two pixels by their distance, ``[dy, dx]``, rad^2.
        log_amplitude: the same of log-amplitudes, which are taken to be independent of the phases.
    """

    phase: Float64[np.ndarray, "m m"]
    log_amplitude: Float64[np.ndarray, "m m"]

    @classmethod
    def of(cls, object: ComplexObject, region: IlluminatedRegion, side: int) -> "Prior":
        """The prior of an object's own spectra over the scored region, for windows of a side."""
        crop = object[region.box].astype(np.complex128)
        phase = np.asarray(unwrap_phase(np.angle(crop)))
        parts = (phase, np.log(np.maximum(np.abs(crop), 1e-6)))
        window = region.apodisation()
        return cls(*(_covariance_by_distance(part, window, side) for part in parts))

    def covariance(self, unknown: Bool[np.ndarray, "H W"]) -> Float64[np.ndarray, "p p"]:
        """Covariance of the phases, then the log-amplitudes, of a window's pixels (row-major order)."""
        return _block_diagonal(*self._parts(unknown))

    def precision(self, unknown: Bool[np.ndarray, "H W"]) -> Float64[np.ndarray, "p p"]:
        """The inverse of the covariance: what the prior adds to a Fisher matrix."""
        return _block_diagonal(*(np.linalg.inv(part) for part in self._parts(unknown)))

    def _parts(self, unknown: Bool[np.ndarray, "H W"]) -> tuple[Float64[np.ndarray, "n n"], Float64[np.ndarray, "n n"]]:
        rows, columns = np.nonzero(unknown)
        dy, dx = (np.abs(axis[:, None] - axis) for axis in (rows, columns))
        return self.phase[dy, dx], self.log_amplitude[dy, dx]


def _block_diagonal(first: np.ndarray, second: np.ndarray) -> Float64[np.ndarray, "p p"]:
    nothing = np.zeros((len(first), len(second)))
    return np.block([[first, nothing], [nothing.T, second]])


def _covariance_by_distance(
    part: Float64[np.ndarray, "h w"], window: Float64[np.ndarray, "h w"], side: int
) -> Float64[np.ndarray, "m m"]:
    """Covariance of two pixels by their distance, of a field with the spectrum of ``part`` in all directions."""
    free = (part - np.sum(part * window) / window.sum()) * window
    power = np.abs(np.fft.fft2(free)) ** 2 / np.sum(window**2)
    width = 1 / min(window.shape)
    number = np.rint(radial_frequency(window.shape) / width).astype(int)
    by_ring = np.bincount(number.ravel(), weights=power.ravel()) / np.maximum(np.bincount(number.ravel()), 1)
    m = _PERIODS * side
    rings = np.arange(1, len(by_ring)) * width  # ring 0 holds the mean, which was removed
    covariance = np.fft.ifft2(np.interp(radial_frequency((m, m)), rings, by_ring[1:])).real
    covariance[0, 0] *= 1 + _PRIOR_FLOOR
    covariance[0, 0] += np.finfo(float).tiny ** 0.5
    return covariance


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """The unknown pixels of a window, and how errors there become spectra: mean removed, tapered, transformed."""

    taper: Float64[np.ndarray, "n"]
    apart: Int64[np.ndarray, "n n"]
    side: int

    @classmethod
    def of(cls, unknown: Bool[np.ndarray, "H W"], side: int) -> "_Window":
        rows, columns = np.nonzero(unknown)
        dy, dx = (axis[:, None] - axis for axis in (rows, columns))
        return cls(_taper(rows) * _taper(columns), dy % side * side + dx % side, side)

    def spectra(self, covariance: Float64[np.ndarray, "p p"]) -> tuple[Rings, Rings]:
        """Power per ring of the phase and of the complex logarithm, each a density in the frequency plane."""
        n = len(self.taper)
        phase, amplitude, mixed = covariance[:n, :n], covariance[n:, n:], covariance[:n, n:]
        return self._spectrum(phase), self._spectrum(amplitude + phase + 1j * (mixed - mixed.T))

    def _spectrum(self, covariance: np.ndarray) -> Rings:
        weights = self.taper / self.taper.sum()
        free = covariance - weights @ covariance
        free = (free - (free @ weights)[:, None]) * self.taper[:, None] * self.taper
        by_distance = sum(
            unit * np.bincount(self.apart.ravel(), weights=part.ravel(), minlength=self.side**2)
            for unit, part in ((1, free.real), (1j, free.imag))
        )
        power = np.fft.fft2(np.reshape(by_distance, (self.side, self.side))).real / np.sum(self.taper**2)
        number = np.rint(radial_frequency(power.shape) * self.side).astype(int).ravel()
        return (np.bincount(number, weights=power.ravel()) / np.bincount(number))[1 : self.side // 2 + 1]


def _taper(places: np.ndarray) -> np.ndarray:
    """From nearly 0 to 1 and back over the places that are taken; steep spectra hardly leak through it."""
    first, extent = places.min(), np.ptp(places) + 1
    return np.sin(np.pi * (places - first + 0.5) / extent) ** 4


def _pair_sums(exit_waves: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For all pairs of pixels: sums over the detector of conj(x_r) x_s / I and x_r x_s / I, dI = 2 Re x."""
    size = exit_waves.shape[-1]
    fields = np.fft.fft2(exit_waves) / size
    intensity = np.sum(np.abs(fields) ** 2, axis=0)
    inverse = np.divide(1.0, intensity, out=np.zeros_like(intensity), where=intensity > 0)
    waves = exit_waves[:, rows, columns]
    plus = (rows[:, None] + rows) % size * size + (columns[:, None] + columns) % size
    mirrored = np.zeros((len(rows), len(rows)), complex)
    for a, fa in zip(waves, fields, strict=True):
        for b, fb in zip(waves, fields, strict=True):
            kernel = np.fft.ifft2(fa * fb * inverse).conj().ravel()
            mirrored += np.outer(a, b) * kernel[plus]
    if len(waves) == 1:  # |f|^2 / I = 1: its transform is a delta
        return np.diag(np.abs(waves[0]) ** 2).astype(complex), mirrored
    minus = (rows[:, None] - rows) % size * size + (columns[:, None] - columns) % size
    direct = np.zeros_like(mirrored)
    for a, fa in zip(waves, fields, strict=True):
        for b, fb in zip(waves, fields, strict=True):
            kernel = np.fft.ifft2(fa * fb.conj() * inverse).ravel()
            direct += np.outer(a.conj(), b) * kernel[minus]
    return direct, mirrored


def _window(
    centre: np.ndarray, side: int, region: IlluminatedRegion
) -> tuple[Bool[np.ndarray, "H W"], Bool[np.ndarray, "H W"]]:
    """The pixels of a window, and the scored ones of its inner half, on which the whole floor is judged."""
    parts = []
    for width in (side, side // 2):
        part = np.zeros_like(region.mask)
        first = np.maximum(np.rint(centre - width / 2).astype(int), 0)
        part[first[1] : first[1] + width, first[0] : first[0] + width] = True
        parts.append(part)
    return parts[0], parts[1] & region.mask


def _well_inside(positions_xy_px: PositionsXY, side: int, region: IlluminatedRegion) -> np.ndarray:
    """Indices of the positions whose windows lie in the scored region, or as nearly so as any."""
    up_to = np.pad(region.mask.astype(int).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    first = np.maximum(np.rint(positions_xy_px - side / 2).astype(int), 0)
    left, top = first.T
    right, bottom = (np.minimum(axis + side, n) for axis, n in zip(first.T, region.mask.shape[::-1], strict=True))
    cover = up_to[bottom, right] - up_to[top, right] - up_to[bottom, left] + up_to[top, left]
    return np.flatnonzero(cover >= _COVERED * cover.max())


def _reaching(centre: np.ndarray, side: int, positions_xy_px: PositionsXY, probe: ProbeModes) -> np.ndarray:
    """Indices of the patterns whose lit pixels can touch a window."""
    extent = max(float(np.ptp(axis)) for axis in np.nonzero(lit_mask(probe, _LIT_LIMIT))) / 2 + 1
    return np.flatnonzero(np.all(np.abs(positions_xy_px - centre) <= side / 2 + extent, axis=1))
