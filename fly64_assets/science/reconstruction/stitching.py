"""Merging network canvases into one object: relative phases first, then an illumination-weighted mean.

Every group is reconstructed up to its own global phase. Averaging without care would cancel whatever the phases
disagree about, above all the low spatial frequencies. The inner products of overlapping canvases form a sparse
Hermitian matrix whose leading eigenvector holds the phases that make all neighbours agree best.
"""

import numpy as np
import scipy.sparse
from jaxtyping import Complex64, Float32, Int64
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import eigsh
from scipy.spatial import KDTree

from fly64_assets.science.arrays import ComplexObject

_SMALL = 16
"""Below this many canvases a dense eigenproblem is simpler than Lanczos."""


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
    total = np.zeros(object_shape, np.complex64)
    weight = np.zeros(object_shape, np.float32)
    for canvas, w, corner, factor in zip(canvases, weights, corners_yx_px, factors, strict=True):
        target, source = _overlap(corner, canvas.shape, (0, 0), object_shape)
        total[source] += factor * w[target] * canvas[target]
        weight[source] += w[target]
    merged = np.ones(object_shape, np.complex64)
    lit = weight > 0
    merged[lit] = total[lit] / weight[lit]
    return merged, weight


def synchronised_phases(
    canvases: Complex64[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "n h w"],
    corners_yx_px: Int64[np.ndarray, "n 2"],
) -> np.ndarray:
    """The phase of each canvas relative to the others; each connected part is turned so that its mean phase is 0.

    Returns:
        Phases in rad, ``(n,)``: multiply canvas k by ``exp(-1j * phases[k])``.
    """
    agreement = overlap_matrix(canvases, weights, corners_yx_px)
    count, label = connected_components(abs(agreement), directed=False)
    phases = np.zeros(len(canvases))
    for part in range(count):
        members = np.flatnonzero(label == part)
        relative = _leading_phases(agreement[members][:, members])
        turned = np.exp(-1j * relative)
        mean = np.sum(turned * [np.vdot(weights[k], canvases[k]) for k in members])
        phases[members] = relative + np.angle(mean)
    return phases


def overlap_matrix(
    canvases: Complex64[np.ndarray, "n h w"],
    weights: Float32[np.ndarray, "n h w"],
    corners_yx_px: Int64[np.ndarray, "n 2"],
) -> scipy.sparse.csr_array:
    """Hermitian matrix of ``sum(w_i w_j o_i conj(o_j))`` over the pixels that canvases i and j share."""
    n = len(canvases)
    height, width = canvases.shape[1:]
    reach = float(np.hypot(height, width))
    pairs = KDTree(corners_yx_px).query_pairs(reach, output_type="ndarray")
    weighted = canvases * weights
    values = np.zeros(len(pairs), complex)
    for row, (i, j) in enumerate(pairs):
        here, there = _overlap(corners_yx_px[i], (height, width), corners_yx_px[j], (height, width))
        values[row] = np.vdot(weighted[j][there], weighted[i][here])
    keep = np.abs(values) > 0
    i, j, values = pairs[keep, 0], pairs[keep, 1], values[keep]
    upper = scipy.sparse.coo_array((values, (i, j)), shape=(n, n))
    return (upper + upper.conj().T).tocsr()


def _leading_phases(agreement: scipy.sparse.csr_array) -> np.ndarray:
    """Phases of the leading eigenvector of the degree-normalised agreement matrix."""
    n = agreement.shape[0]  # pyright: ignore[reportOptionalSubscript]
    if n == 1:
        return np.zeros(1)
    degree = np.asarray(abs(agreement).sum(axis=1)).ravel()
    scale = scipy.sparse.diags_array(1 / np.sqrt(degree))
    normalised = scale @ agreement @ scale
    # A bipartite graph has -1 beside 1 in its spectrum: shifting by the identity keeps the leading one apart.
    if n < _SMALL:
        _, vectors = np.linalg.eigh(normalised.toarray())
        leading = vectors[:, -1]
    else:
        start = np.exp(1j * _tree_phases(agreement)) * np.sqrt(degree)
        _, vectors = eigsh(normalised, k=1, which="LA", v0=start, tol=1e-6)  # pyright: ignore[reportArgumentType]
        leading = vectors[:, 0]
    return np.angle(leading)


def _tree_phases(agreement: scipy.sparse.csr_array) -> np.ndarray:
    """A first guess of the phases: carried along a spanning tree."""
    order, parents = breadth_first_order(abs(agreement), 0, directed=False)
    phases = np.zeros(agreement.shape[0])  # pyright: ignore[reportOptionalSubscript]
    for k in order[1:]:
        parent = parents[k]
        phases[k] = phases[parent] + np.angle(agreement[k, parent])
    return phases


def _overlap(
    corner: np.ndarray, shape: tuple[int, int], other_corner: np.ndarray | tuple[int, int], other_shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the shared pixels in the one and in the other array; empty if they do not meet."""
    here, there = [], []
    for axis in (0, 1):
        low = max(int(corner[axis]), int(other_corner[axis]))
        high = max(low, min(int(corner[axis]) + shape[axis], int(other_corner[axis]) + other_shape[axis]))
        here.append(slice(low - int(corner[axis]), high - int(corner[axis])))
        there.append(slice(low - int(other_corner[axis]), high - int(other_corner[axis])))
    return (here[0], here[1]), (there[0], there[1])
