"""Errors of an aligned image against the truth, from sums over blocks of pixels.

Every score here is a function of sums over pixels. They are kept per block of the object, so that one
function gives the score itself (all blocks) and its bootstrap (blocks drawn with replacement).
"""

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.ndimage import binary_erosion, gaussian_filter
from skimage.metrics import structural_similarity

_SSIM_WINDOW_PX = 7
_MS_SSIM_SIGMA_PX, _MS_SSIM_RADIUS_PX = 1.5, 5
_WANG_WEIGHTS = np.array([0.0448, 0.2856, 0.3001])
MS_SSIM_WEIGHTS = _WANG_WEIGHTS / _WANG_WEIGHTS.sum()
"""Three scales, the first weights of Wang et al. (2003) renormalised: five do not fit half a field of view."""

_CONSTANT = 1e-5
_CONTRAST = 10
"""First column of the contrast terms in the sums of a block."""

Real = Float64[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Blocks = Int64[np.ndarray, "h w"]
Sums = Float64[np.ndarray, "blocks k"]
Totals = Float64[np.ndarray, "*s k"]


def block_sums(image: Real, truth: Real, mask: Mask, blocks: Blocks) -> Sums:
    """Sums over the pixels of each block, of one real-valued part (amplitude or phase) of an aligned image.

    Args:
        image: the estimate.
        truth: what it should be.
        mask: scored pixels; windows of SSIM and MS-SSIM count only if they lie inside it.
        blocks: block number of each pixel, from 0.

    Returns:
        Per block: number of pixels, absolute error, squared error, image, truth, their squares, their product (both
        relative to the truth's mean); then number and sum of the SSIM; then, for each scale of the MS-SSIM, number and
        sum of the contrast term (of the SSIM on the last scale).

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        message = "no pixel is scored: the illuminated region is empty"
        raise ValueError(message)
    centre = truth[mask].mean()
    a, t = image - centre, truth - centre
    error = a - t
    data_range = float(np.ptp(truth[mask]))
    terms = (np.ones_like(a), np.abs(error), error**2, a, t, a**2, t**2, a * t)
    contrast = _contrast_sums(image, truth, mask, blocks, data_range)
    parts = (
        _sums(terms, mask, blocks),
        _ssim_sums(image, truth, mask, blocks, data_range),
        contrast.reshape(len(contrast), -1),
    )
    return np.concatenate(parts, axis=1)


def real_scores(totals: Totals, image: Real, truth: Real, mask: Mask) -> dict[str, np.ndarray]:
    """Scores from sums over blocks: of the whole image, or of each bootstrap draw.

    Args:
        totals: the columns of :func:`block_sums`, summed over the blocks that count.
        image: the estimate that they were made from.
        truth: what it should be.
        mask: scored pixels.

    Returns:
        mae, mse, rmse, psnr, ssim, ms_ssim, pearson, each of shape ``(...)``; NaN where undefined (a truth without
        range, a mask too small for the windows).
    """
    span, spread = float(np.ptp(truth[mask])), np.std(truth[mask])
    constant = np.std(image[mask]) <= _CONSTANT * max(spread, np.abs(image[mask]).max())
    with np.errstate(divide="ignore", invalid="ignore"):
        n, absolute, squared, a, t, aa, tt, at, valid, ssim = np.moveaxis(totals[..., :_CONTRAST], -1, 0)
        mse = squared / n
        covariance, variance = at / n - a * t / n**2, (aa / n - (a / n) ** 2) * (tt / n - (t / n) ** 2)
        scales = totals[..., _CONTRAST:].reshape(*totals.shape[:-1], len(MS_SSIM_WEIGHTS), 2)
        means = np.maximum(scales[..., 1] / scales[..., 0], 0.0)
        found = {
            "mae": absolute / n,
            "mse": mse,
            "rmse": np.sqrt(mse),
            "psnr": 10 * np.log10((span if span > 0 else np.nan) ** 2 / mse),
            "ssim": ssim / valid,
            "ms_ssim": np.prod(means**MS_SSIM_WEIGHTS, axis=-1),
            "pearson": np.zeros_like(mse) if constant else covariance / np.sqrt(variance),
        }
    return {name: np.asarray(values) for name, values in found.items()}


def complex_sums(image: np.ndarray, truth: np.ndarray, mask: Mask, blocks: Blocks) -> Sums:
    """Per block: squared complex error, and the truth's intensity."""
    return _sums((np.abs(image - truth) ** 2, np.abs(truth) ** 2), mask, blocks)


def nrmse(totals: Totals) -> np.ndarray:
    """Root of the summed squared complex error over the truth's summed intensity, from :func:`complex_sums`."""
    return np.asarray(np.sqrt(totals[..., 0] / totals[..., 1]))


def square_blocks(shape: tuple[int, int], side_px: int) -> Blocks:
    """Numbers of the square blocks that tile an image, row by row.

    >>> square_blocks((2, 4), 2)
    array([[0, 0, 1, 1],
           [0, 0, 1, 1]])
    """
    rows, columns = (np.arange(n) // side_px for n in shape)
    return rows[:, None] * (columns[-1] + 1) + columns[None]


def _sums(terms: tuple[np.ndarray, ...], mask: Mask, blocks: Blocks) -> np.ndarray:
    count = int(blocks.max()) + 1
    inside = blocks[mask]
    return np.stack([np.bincount(inside, weights=term[mask], minlength=count) for term in terms], axis=1)


def _ssim_sums(image: Real, truth: Real, mask: Mask, blocks: Blocks, data_range: float) -> np.ndarray:
    if min(mask.shape) < _SSIM_WINDOW_PX or data_range <= 0:
        return np.zeros((int(blocks.max()) + 1, 2))
    values = structural_similarity(image, truth, win_size=_SSIM_WINDOW_PX, data_range=data_range, full=True)[1]
    inside = binary_erosion(mask, np.ones((_SSIM_WINDOW_PX, _SSIM_WINDOW_PX)))
    return _sums((np.ones_like(values), values), inside, blocks)


def _contrast_sums(image: Real, truth: Real, mask: Mask, blocks: Blocks, data_range: float) -> np.ndarray:
    """Contrast terms on each scale; block numbers are carried along, so that scales share their blocks."""
    count, scales = int(blocks.max()) + 1, len(MS_SSIM_WEIGHTS)
    sums = np.zeros((count, scales, 2))
    side = 2 * _MS_SSIM_RADIUS_PX + 1
    for scale in range(scales):
        if min(mask.shape) < side or data_range <= 0:
            break
        inside = binary_erosion(mask, np.ones((side, side)))
        luminance, contrast = _luminance_and_contrast(image, truth, data_range)
        values = contrast * luminance if scale == scales - 1 else contrast
        part = _sums((np.ones_like(values), values), inside, blocks)
        sums[: len(part), scale] = part
        image, truth, mask, blocks = _halved(image), _halved(truth), _halved(mask) == 1, _corners(blocks)
    return sums


def _luminance_and_contrast(image: Real, truth: Real, data_range: float) -> tuple[Real, Real]:
    def local_mean(values: Real) -> Real:
        return gaussian_filter(values, _MS_SSIM_SIGMA_PX, radius=_MS_SSIM_RADIUS_PX)

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    a, t = local_mean(image), local_mean(truth)
    var_a, var_t = local_mean(image**2) - a**2, local_mean(truth**2) - t**2
    covariance = local_mean(image * truth) - a * t
    return (2 * a * t + c1) / (a**2 + t**2 + c1), (2 * covariance + c2) / (var_a + var_t + c2)


def _corners(values: np.ndarray) -> np.ndarray:
    rows, columns = (2 * (n // 2) for n in values.shape)
    return values[:rows:2, :columns:2]


def _halved(values: np.ndarray) -> Real:
    """Mean over 2 x 2 pixels."""
    rows, columns = (n // 2 for n in values.shape)
    return values[: 2 * rows, : 2 * columns].astype(float).reshape(rows, 2, columns, 2).mean(axis=(1, 3))
