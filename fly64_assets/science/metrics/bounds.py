"""The physical floor of the phase error: Cramer-Rao bound of a photon-counting ptychographic scan.

With Poisson counts of expectation I, the Fisher information of parameters a and b is the sum over all
detector pixels of (dI/da dI/db) / I. Unknown are phase and log-amplitude of every pixel of a window;
the probe is known, and so is the object outside the window, which makes the floor slightly too low,
never too high (the variance is judged on the inner half, where it is within about a tenth of that with
every lit pixel unknown). For an ideal far field it comes close to 1 / (2 n) per pixel lit by n photons.

A biased estimator (a network that has learned what objects look like) may lie below it: the bound is
context, not a pass mark.

With exit wave b and far field f = FT(b), the sums over detector pixels are Fourier transforms:
2 Re[conj(b_r) b_s K(r - s) -+ b_r b_s conj(L(r + s))], K = IFT(|f|^2 / I), L = IFT(f^2 / I), so that a
pattern costs one gather per pair of lit pixels and no Jacobian is ever formed.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float64

from fly64_assets.science.arrays import ComplexObject, PositionsXY, ProbeModes
from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion
from fly64_assets.science.physics.probe import lit_mask, probe_diameter_px

_LIT_LIMIT = 1e-4
_MAX_WINDOW_PX = 32
_MAX_PATTERNS = 128


@dataclass(frozen=True, slots=True)
class PhaseBound:
    """Cramer-Rao floor of the phase error in a view.

    Attributes:
        rms_rad: root of the mean variance over the windows' scored pixels, global phase removed; NaN if
            the counts determine no window.
        window_rms_rad: the same for each window that the counts determine.
        undetermined_windows: windows whose Fisher matrix is singular.
    """

    rms_rad: float
    window_rms_rad: tuple[float, ...]
    undetermined_windows: int


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
    """Cramer-Rao floor of the phase error, averaged over windows around randomly chosen positions.

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
        The floor in radians; it scales as 1 / sqrt(dose).
    """
    side = min(_MAX_WINDOW_PX, int(np.ceil(1.5 * probe_diameter_px(probe))))
    centres = rng.choice(len(positions_xy_px), min(windows, len(positions_xy_px)), replace=False)
    variances = []
    for centre in positions_xy_px[centres]:
        unknown, judged = _window(centre, side, region)
        chosen = _reaching(centre, side, positions_xy_px, probe)
        factor = max(1.0, len(chosen) / max_patterns)
        if factor > 1:
            chosen = rng.choice(chosen, max_patterns, replace=False)
        fisher = factor * fisher_information(object, probe, positions_xy_px[chosen], counts_scale, unknown)
        variances.append(phase_variance(fisher, judged[unknown]))
    found = np.array([v for v in variances if np.isfinite(v)])
    return PhaseBound(
        rms_rad=float(np.sqrt(found.mean())) if found.size else float("nan"),
        window_rms_rad=tuple(float(v) for v in np.sqrt(found)),
        undetermined_windows=len(variances) - found.size,
    )


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
    size = np.sqrt(np.diag(fisher))
    if not (size > 0).all():
        return float("nan")
    try:
        factor = scipy.linalg.cho_factor(fisher / size / size[:, None], lower=True)
    except scipy.linalg.LinAlgError:
        return float("nan")
    which = np.flatnonzero(judged)
    unit = np.zeros((len(fisher), len(which)))
    unit[which, np.arange(len(which))] = 1 / size[which]
    covariance = scipy.linalg.cho_solve(factor, unit)[which] / size[which, None]
    return float(np.trace(covariance) / len(which) - covariance.mean())


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
    """Unknown pixels of a window, and those of its inner half on which the floor is judged."""
    parts = []
    for width in (side, side // 2):
        part = np.zeros_like(region.mask)
        first = np.maximum(np.rint(centre - width / 2).astype(int), 0)
        part[first[1] : first[1] + width, first[0] : first[0] + width] = True
        parts.append(part & region.mask)
    return parts[0], parts[1]


def _reaching(centre: np.ndarray, side: int, positions_xy_px: PositionsXY, probe: ProbeModes) -> np.ndarray:
    """Indices of the patterns whose lit pixels can touch a window."""
    extent = max(float(np.ptp(axis)) for axis in np.nonzero(lit_mask(probe, _LIT_LIMIT))) / 2 + 1
    return np.flatnonzero(np.all(np.abs(positions_xy_px - centre) <= side / 2 + extent, axis=1))
