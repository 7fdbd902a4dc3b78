"""The physics lift: what one pass over the data says about the object, spread over all spatial frequencies.

For a nearly flat object under an even illumination, the likelihood's curvature couples a change of the object at
frequency q with its mirror -q by the 2 x 2 matrix ``[[1, c(q)], [conj(c(q)), 1]]``. At low q, c approaches 1 and
smooth phase is almost invisible: plain gradients need a hundred passes to find it. Inverting that matrix costs one
FFT of the canvas and amplifies what is faint by exactly as much, damped where photons are too few.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Complex64, Float
from scipy.ndimage import map_coordinates

from fly64_assets.science.arrays import ProbeModes

_PUPIL_THRESHOLD = 0.02
"""Detector pixels where the empty beam is fainter than this fraction of its peak count as dark field."""

OBJECT_CONTRAST = 0.027
"""Prior variance per pixel of ``object - 1``; a third of what test objects have, which their images liked best."""

PRIOR_CORNER_CYCLES_PER_PX = 0.01
"""Frequency below which the prior spectrum ``1 / q**2`` is flat."""

_STRONGEST_COUPLING = 0.98

_CURVATURE_MARGIN = 0.05
"""Added to the diagonal: a structured object answers more strongly at low q than a flat one."""


def mirror_coupling(probe: ProbeModes) -> Complex64[np.ndarray, "N N"]:
    """The coupling c(q) between a frequency of the object and its mirror, q centred at ``[N // 2, N // 2]``.

    ``c(q) = sum_k A(k, q) A(k, -q)`` with ``A(k, q) = sum_modes conj(u(k)) P(k - q)``; P is the probe's far field of
    unit summed energy and ``u = P / sqrt(sum_modes |P|^2)``, over the detector pixels that the empty beam lights.

    >>> probe = np.zeros((1, 16, 16), np.complex64)
    >>> probe[0, 7:10, 7:10] = 1 / 3
    >>> c = mirror_coupling(probe)
    >>> bool(np.isclose(c[8, 8], 1, atol=0.02)), bool(np.allclose(np.abs(c), np.abs(c)[::-1, ::-1].T, atol=1))
    (True, True)
    """
    size = probe.shape[-1]
    far = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe, axes=(-2, -1)), norm="ortho"), axes=(-2, -1))
    far = far / np.sqrt(np.sum(np.abs(far) ** 2))
    total = np.sqrt(np.sum(np.abs(far) ** 2, axis=0))
    lit = np.argwhere(total > _PUPIL_THRESHOLD * total.max())
    padded = np.pad(far, ((0, 0), (size, size), (size, size)))
    coupling = np.zeros((size, size), complex)
    for row, column in lit:
        direction = (np.conj(far[:, row, column]) / total[row, column])[:, None, None]
        # window[:, i, j] = P(k + q) with q = (i, j) - N // 2; reversed, it is P(k - q).
        top, left = size + row - size // 2, size + column - size // 2
        ahead = (direction * padded[:, top : top + size, left : left + size]).sum(axis=0)
        behind = (direction * padded[:, top + 1 : top + size + 1, left + 1 : left + size + 1]).sum(axis=0)
        coupling += ahead * behind[::-1, ::-1]
    return coupling.astype(np.complex64)


class SpectralLift:
    """The inverse curvature on a canvas of given shape, together with the smoothness prior that damps it.

    Args:
        coupling: of :func:`mirror_coupling`.
        canvas_shape: rows and columns.
        device: where it is applied.
    """

    def __init__(
        self, coupling: Complex64[np.ndarray, "N N"], canvas_shape: tuple[int, int], device: torch.device | None = None
    ) -> None:
        size = coupling.shape[0]
        axes = [np.fft.fftfreq(length) * size + size // 2 for length in canvas_shape]
        points = np.stack(np.meshgrid(*axes, indexing="ij"))
        real, imaginary = (
            map_coordinates(part, points, order=1, mode="nearest") for part in (np.real(coupling), np.imag(coupling))
        )
        coupled = real + 1j * imaginary
        coupled *= np.minimum(1, _STRONGEST_COUPLING / np.maximum(np.abs(coupled), 1e-9))
        self._coupling = torch.as_tensor(coupled.astype(np.complex64), device=device)
        self._power = self._coupling.real**2 + self._coupling.imag**2
        q2 = np.fft.fftfreq(canvas_shape[0])[:, None] ** 2 + np.fft.fftfreq(canvas_shape[1])[None, :] ** 2
        spectrum = 1.0 / (q2 + PRIOR_CORNER_CYCLES_PER_PX**2)
        spectrum *= OBJECT_CONTRAST / spectrum.mean()
        self._inverse_spectrum = torch.as_tensor((1.0 / spectrum).astype(np.float32), device=device)
        rows, columns = (-np.arange(length) % length for length in canvas_shape)
        self._reflection = torch.as_tensor((rows[:, None] * canvas_shape[1] + columns).ravel(), device=device)
        """Flat index of the frequency -q at the place of q."""

    def inverse(
        self, photons_per_px: Float[torch.Tensor, "*b 1 1"]
    ) -> Callable[[Complex64[torch.Tensor, "*b H W"]], Complex64[torch.Tensor, "*b H W"]]:
        """The inverse curvature where that many photons fall on a pixel: the fewer, the more it is damped.

        Returns:
            Maps a score already divided by the illumination to the object change that explains it.
        """
        diagonal = 1 + _CURVATURE_MARGIN + self._inverse_spectrum / (2 * photons_per_px)
        determinant = diagonal**2 - self._power
        own, mirrored = (diagonal / determinant).to(torch.complex64), self._coupling / determinant

        def apply(score: Complex64[torch.Tensor, "*b H W"]) -> Complex64[torch.Tensor, "*b H W"]:
            spectrum = torch.fft.fft2(score)
            reflected = spectrum.flatten(-2).index_select(-1, self._reflection).view(spectrum.shape)
            return torch.fft.ifft2(own * spectrum - mirrored * reflected.conj())

        return apply

    def stiffness(self, deviation: Complex64[torch.Tensor, "*b H W"]) -> Complex64[torch.Tensor, "*b H W"]:
        """Gradient of the prior's energy: the deviation divided, frequency by frequency, by the prior spectrum."""
        return torch.fft.ifft2(torch.fft.fft2(deviation) * self._inverse_spectrum)
