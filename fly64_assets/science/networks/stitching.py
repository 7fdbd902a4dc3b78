"""Merging network canvases into one object: relative phases first, then an illumination-weighted mean.

Every group is reconstructed up to its own global phase. Averaging without care would cancel whatever the phases
disagree about, above all the low spatial frequencies. The phases that make all canvases agree best are the leading
eigenvector of the Hermitian matrix of their inner products (angular synchronisation, A. Singer, 2011). The matrix is
never formed: multiplied by it, a guess of the phases becomes the agreement of every canvas with the sum of all, which
costs one pass over the canvases, however many overlap.
"""

from collections.abc import Iterable

import numpy as np
import scipy.ndimage
from jaxtyping import Complex64, Complex128, Float32, Float64, Int64
from scipy.sparse.linalg import LinearOperator, eigsh

from fly64_assets.science.arrays import ComplexObject

_SMALL = 16
"""Below this many canvases a dense eigenproblem is simpler than Lanczos."""

_TOLERANCE = 1e-5
"""Of the leading eigenvalue, relative."""


def merge_canvases(
    canvases: Complex64[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "n h w"],
    corners_yx_px: Int64[np.ndarray, "n 2"],
    object_shape: tuple[int, int],
    *,
    synchronise: bool = True,
) -> tuple[ComplexObject, Float32[np.ndarray, "H W"]]:
    """Average canvases on the object grid, in any order, after their phases have been synchronised.

    Args:
        canvases: object estimates, each with a free global phase.
        weights: illumination of each canvas pixel, >= 0.
        corners_yx_px: row and column of each canvas's first pixel; canvases may stick out of the object.
        object_shape: rows and columns of the object.
        synchronise: off: average as they are.

    Returns:
        The merged object (1 where no canvas has weight), and the summed weights.
    """
    phases = synchronised_phases(canvases, weights, corners_yx_px) if synchronise else np.zeros(len(canvases))
    factors = np.exp(-1j * phases).astype(np.complex64)
    places, shape = _places(corners_yx_px, canvases.shape[1:])
    turned = (factor * w * canvas for factor, w, canvas in zip(factors, weights, canvases, strict=True))
    total = _summed(turned, places, np.zeros(shape, np.complex64))
    weight = _summed(weights, places, np.zeros(shape, np.float32))
    merged = np.ones(object_shape, np.complex64)
    summed = np.zeros(object_shape, np.float32)
    target, source = _shared(corners_yx_px.min(axis=0), shape, object_shape)
    lit = weight[source] > 0
    merged[target][lit] = total[source][lit] / weight[source][lit]
    summed[target] = weight[source]
    return merged, summed


def synchronised_phases(
    canvases: Complex64[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "n h w"],
    corners_yx_px: Int64[np.ndarray, "n 2"],
) -> Float64[np.ndarray, "n"]:
    """The phase of each canvas relative to the others; each connected part is turned so that its mean phase is 0.

    Returns:
        Phases in rad: multiply canvas k by ``exp(-1j * phases[k])``.
    """
    weighted = canvases * weights
    phases = np.zeros(len(canvases))
    for members in connected_parts(weights, corners_yx_px):
        agreement = Agreement(weighted[members], corners_yx_px[members])
        relative = np.angle(agreement.leading_vector())
        mean = np.sum(np.exp(-1j * relative) * weighted[members].sum(axis=(1, 2)))
        phases[members] = relative + np.angle(mean)
    return phases


class Agreement:
    """The matrix of inner products ``A[i, j] = sum(W_i conj(W_j))`` over the pixels that canvases i and j share.

    ``A @ x`` is the inner product of every canvas with ``S = sum_j conj(x_j) W_j``. Canvases of one object, up to
    phases ``p``, have the leading eigenvector ``sqrt(d) exp(1j p)`` of ``D^-1/2 A D^-1/2``, where ``d_i`` is what row i
    of A would sum to, were all phases equal.

    Args:
        weighted: canvases times weights.
        corners_yx_px: row and column of each canvas's first pixel.
    """

    def __init__(self, weighted: Complex64[np.ndarray, "n h w"], corners_yx_px: Int64[np.ndarray, "n 2"]) -> None:
        self._weighted = weighted
        self._places, self._shape = _places(corners_yx_px, weighted.shape[1:])
        total = _summed((np.abs(canvas) for canvas in weighted), self._places, np.zeros(self._shape, np.float32))
        pairs = zip(weighted, self._places, strict=True)
        degree = [float(np.sum(np.abs(canvas) * total[place])) for canvas, place in pairs]
        self.degree = np.maximum(np.array(degree), np.finfo(np.float32).tiny)

    def __matmul__(self, x: np.ndarray) -> Complex128[np.ndarray, "n"]:
        """Agreement of each canvas with the sum of all, every one turned by the conjugate of its entry of ``x``."""
        turned = np.conj(x).astype(np.complex64).ravel()
        canvases = (factor * canvas for factor, canvas in zip(turned, self._weighted, strict=True))
        total = _summed(canvases, self._places, np.zeros(self._shape, np.complex64))
        pairs = zip(self._weighted, self._places, strict=True)
        return np.array([np.vdot(total[place], canvas) for canvas, place in pairs], dtype=np.complex128)

    def leading_vector(self) -> Complex128[np.ndarray, "n"]:
        """Leading eigenvector of the degree-normalised matrix."""
        n, root = len(self._weighted), np.sqrt(self.degree)
        if n < _SMALL:
            dense = np.stack([self @ unit for unit in np.eye(n)], axis=1) / np.outer(root, root)
            return np.linalg.eigh(dense)[1][:, -1]
        normalised = LinearOperator((n, n), matvec=lambda x: (self @ (x.ravel() / root)) / root, dtype=np.complex128)  # pyright: ignore[reportCallIssue]
        # Networks start from a flat object, so that their phases are nearly equal already.
        start = root.astype(np.complex128)
        return eigsh(normalised, k=1, which="LA", v0=start, tol=_TOLERANCE)[1][:, 0]  # pyright: ignore[reportArgumentType]


def connected_parts(
    weights: Float32[np.ndarray, "n h w"], corners_yx_px: Int64[np.ndarray, "n 2"]
) -> list[Int64[np.ndarray, "_"]]:
    """Indices of the canvases of every connected piece of the lit area."""
    places, shape = _places(corners_yx_px, weights.shape[1:])
    lit = np.zeros(shape, bool)
    for w, place in zip(weights, places, strict=True):
        lit[place] |= w > 0
    labels, _ = scipy.ndimage.label(lit)  # pyright: ignore[reportGeneralTypeIssues]
    peaks = [np.unravel_index(int(np.argmax(w)), w.shape) for w in weights]
    own = np.array([labels[place][peak] for place, peak in zip(places, peaks, strict=True)])
    return [np.flatnonzero(own == label) for label in np.unique(own)]


def _places(
    corners_yx_px: Int64[np.ndarray, "n 2"], canvas_shape: tuple[int, ...]
) -> tuple[list[tuple[slice, slice]], tuple[int, int]]:
    """Where each canvas lies on the smallest grid that holds them all, and the shape of that grid."""
    starts = (corners_yx_px - corners_yx_px.min(axis=0)).tolist()
    height, width = canvas_shape
    places = [(slice(y, y + height), slice(x, x + width)) for y, x in starts]
    rows, columns = np.max(starts, axis=0)
    return places, (int(rows) + height, int(columns) + width)


def _summed(canvases: Iterable[np.ndarray], places: list[tuple[slice, slice]], total: np.ndarray) -> np.ndarray:
    """Add every canvas to ``total`` at its place."""
    for canvas, place in zip(canvases, places, strict=True):
        total[place] += canvas
    return total


def _shared(
    corner: np.ndarray, shape: tuple[int, int], object_shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The pixels that a grid with this first pixel shares with the object: on the object, and on the grid."""
    target, source = [], []
    for first, length, limit in zip(corner.tolist(), shape, object_shape, strict=True):
        low, high = max(first, 0), max(min(first + length, limit), 0)
        target.append(slice(low, max(high, low)))
        source.append(slice(low - first, max(high, low) - first))
    return (target[0], target[1]), (source[0], source[1])
