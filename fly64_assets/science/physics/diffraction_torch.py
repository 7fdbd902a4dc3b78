"""The forward model of :mod:`diffraction` in torch: differentiable, batched over groups that share a canvas.

A canvas is the piece of the object that the patches of one group see. Positions on a canvas are patch centres in
canvas pixels, ``(x, y)``, with ``patch[i, j] = canvas(y + i - N/2, x + j - N/2)``, bilinear between pixels. Far
fields are in FFT order (DC at ``[0, 0]``): measured amplitudes are brought there once by ``ifftshift``, instead of
shifting every field.
"""

import numpy as np
import torch
from jaxtyping import Complex, Complex64, Float, Float64

Canvas = Complex64[torch.Tensor, "groups H W"]
Patches = Complex64[torch.Tensor, "groups C N N"]
Fields = Complex64[torch.Tensor, "groups C modes N N"]


class PatchGrid:
    """Where the patches of each group lie on the group's canvas: cutting them out, and putting them back.

    Args:
        positions_xy_px: patch centres on the canvases.
        patch_size_px: side N of the patches, even.
        canvas_shape: rows and columns of every canvas.

    Raises:
        ValueError: a patch leaves its canvas.
    """

    def __init__(
        self,
        positions_xy_px: Float64[torch.Tensor, "groups C 2"],
        patch_size_px: int,
        canvas_shape: tuple[int, int],
    ) -> None:
        size = patch_size_px
        rows, columns = canvas_shape
        corner = positions_xy_px - size / 2
        whole = torch.floor(corner).long()
        fraction = corner - whole
        # Between pixels the interpolation reads one more row and column; on whole pixels there is none to do.
        self._between = bool((fraction != 0).any())
        if self._between:  # a patch at the far edge reads the pixels beyond with weight 0: read the ones before instead
            limit = torch.tensor([columns - size - 1, rows - size - 1], device=corner.device)
            whole = torch.minimum(whole, limit)
            fraction = corner - whole
        self._side = size + 1 if self._between else size
        limit = torch.tensor([columns - self._side, rows - self._side], device=corner.device)
        if bool((whole < 0).any()) or bool((whole > limit).any()) or bool((fraction > 1).any()):
            message = f"a patch of {size} px leaves its canvas of {rows} x {columns} px"
            raise ValueError(message)
        fraction = fraction.to(torch.float32)
        # One more axis at the end: interpolation works on (real, imaginary) pairs.
        self._fx, self._fy = fraction[..., 0, None, None, None], fraction[..., 1, None, None, None]
        self.groups, self.members = positions_xy_px.shape[:2]
        self.size, self.shape = size, (rows, columns)
        axis = torch.arange(self._side, device=corner.device)
        first = whole[..., 1] * columns + whole[..., 0]
        first = first + (torch.arange(self.groups, device=corner.device) * rows * columns)[:, None]
        index = first[..., None, None] + axis[:, None] * columns + axis
        self._index = index.reshape(-1)

    def gather(self, canvas: Complex64[torch.Tensor, "groups H W"]) -> Complex64[torch.Tensor, "groups C N N"]:
        """Cut the patches, bilinear between pixels."""
        window = canvas.reshape(-1).index_select(0, self._index).view(self.groups, self.members, self._side, self._side)
        if not self._between:
            return window
        pairs = torch.view_as_real(window)
        rows = torch.lerp(pairs[..., :-1, :, :], pairs[..., 1:, :, :], self._fy)
        return torch.view_as_complex(torch.lerp(rows[..., :-1, :], rows[..., 1:, :], self._fx))

    def scatter(self, patches: Complex[torch.Tensor, "groups C N N"]) -> Complex[torch.Tensor, "groups H W"]:
        """Add patches onto the canvases: the adjoint of :meth:`gather`."""
        rows, columns = self.shape
        window = self._spread(patches) if self._between else patches
        flat = torch.zeros(self.groups * rows * columns, dtype=patches.dtype, device=patches.device)
        return flat.scatter_add(0, self._index, window.reshape(-1)).view(self.groups, rows, columns)

    def _spread(self, patches: torch.Tensor) -> torch.Tensor:
        """The adjoint of the interpolation: every pixel's value over the four pixels that it was read from."""
        pairs = torch.view_as_real(patches)
        window = pairs.new_zeros((self.groups, self.members, self._side, self._side, 2))
        right = self._fx * pairs
        for share, across in ((pairs - right, slice(None, -1)), (right, slice(1, None))):
            lower = self._fy * share
            window[..., :-1, across, :] += share - lower
            window[..., 1:, across, :] += lower
        return torch.view_as_complex(window)

    def illumination(self, probe: Complex64[torch.Tensor, "modes N N"]) -> Float[torch.Tensor, "groups H W"]:
        """Summed probe intensity on the canvases."""
        intensity = probe_intensity(probe).to(torch.complex64)
        return self.scatter(intensity.expand(self.groups, self.members, -1, -1)).real


def probe_intensity(probe: Complex64[torch.Tensor, "modes N N"]) -> Float[torch.Tensor, "N N"]:
    """Intensity summed over the incoherent modes."""
    return (probe.real**2 + probe.imag**2).sum(dim=0)


def far_fields(
    patches: Complex64[torch.Tensor, "groups C N N"], probe: Complex64[torch.Tensor, "modes N N"]
) -> Complex64[torch.Tensor, "groups C modes N N"]:
    """Far field of every mode, energy preserving, DC at ``[0, 0]``."""
    return torch.fft.fft2(patches[:, :, None] * probe, norm="ortho")


def back_fields(
    fields: Complex64[torch.Tensor, "groups C modes N N"], probe: Complex64[torch.Tensor, "modes N N"]
) -> Complex64[torch.Tensor, "groups C N N"]:
    """Adjoint of :func:`far_fields`: inverse transform times the conjugate probe, summed over modes."""
    return _summed_modes(torch.fft.ifft2(fields, norm="ortho") * probe.conj())


def summed_intensity(fields: Complex64[torch.Tensor, "groups C modes N N"]) -> Float[torch.Tensor, "groups C N N"]:
    """Intensity of the far field, summed over modes."""
    return _summed_modes((fields * fields.conj()).real)


def _summed_modes(images: torch.Tensor) -> torch.Tensor:
    """Sum over the third axis; without a copy where there is one mode only."""
    return images[:, :, 0] if images.shape[2] == 1 else images.sum(dim=2)


def to_fft_order(detector: Float[torch.Tensor, "*b N N"]) -> Float[torch.Tensor, "*b N N"]:
    """Bring DC-centred detector images to FFT order."""
    return torch.fft.ifftshift(detector, dim=(-2, -1))


def canvas_frame(positions_xy_px: Float64[np.ndarray, "n 2"], patch_size_px: int) -> tuple[int, int, int, int]:
    """The smallest canvas that holds the patches of all positions: first row, first column, rows, columns.

    >>> canvas_frame(np.array([[40.0, 50.5], [60.0, 52.0]]), 64)
    (18, 8, 67, 85)
    """
    half = patch_size_px // 2
    x_low, y_low = np.floor(positions_xy_px.min(axis=0)).astype(int)
    x_high, y_high = np.floor(positions_xy_px.max(axis=0)).astype(int)
    return int(y_low - half), int(x_low - half), int(y_high - y_low + 2 * half + 1), int(x_high - x_low + 2 * half + 1)
