import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import metrics as reference

from fly64_assets.science.metrics.image_error import (
    MS_SSIM_WEIGHTS,
    block_sums,
    complex_sums,
    nrmse,
    real_scores,
    square_blocks,
)
from fly64_assets_tests.science.metrics import cells

SIZE = 96
FULL = np.ones((SIZE, SIZE), bool)
BLOCKS = square_blocks(FULL.shape, 24)


def pair(seed: int = 0, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = cells.smooth_noise((SIZE, SIZE), 2.0, rng)
    return truth + noise * rng.standard_normal(truth.shape), truth


def scores(image: np.ndarray, truth: np.ndarray, mask: np.ndarray = FULL) -> dict[str, float]:
    totals = block_sums(image, truth, mask, BLOCKS).sum(axis=0)
    return {name: float(value) for name, value in real_scores(totals, image, truth, mask).items()}


def test_pixel_scores_agree_with_independent_implementations() -> None:
    image, truth = pair()
    found = scores(image, truth)
    assert found["mae"] == pytest.approx(np.mean(np.abs(image - truth)))
    assert found["mse"] == pytest.approx(reference.mean_squared_error(image, truth))
    assert found["rmse"] == pytest.approx(np.sqrt(reference.mean_squared_error(image, truth)))
    assert found["psnr"] == pytest.approx(
        reference.peak_signal_noise_ratio(truth, image, data_range=float(np.ptp(truth)))
    )
    assert found["pearson"] == pytest.approx(np.corrcoef(image.ravel(), truth.ravel())[0, 1])


def test_psnr_uses_the_range_of_the_truth_not_of_the_image() -> None:
    image, truth = pair()
    outlier = image.copy()
    outlier[0, 0] = 1e3
    span = np.ptp(truth)
    assert scores(outlier, truth)["psnr"] == pytest.approx(10 * np.log10(span**2 / np.mean((outlier - truth) ** 2)))


def test_ssim_is_the_reference_map_averaged_where_its_window_lies_in_the_mask() -> None:
    image, truth = pair()
    _, values = reference.structural_similarity(image, truth, data_range=float(np.ptp(truth)), full=True)
    assert scores(image, truth)["ssim"] == pytest.approx(values[3:-3, 3:-3].mean())
    mask = np.zeros_like(FULL)
    mask[10:60, 20:80] = True
    image[~mask] = 99.0
    inner = scores(image, np.where(mask, truth, -99.0), mask)["ssim"]
    assert inner == pytest.approx(values[13:57, 23:77].mean(), abs=0.02)


def multi_scale_brute_force(image: np.ndarray, truth: np.ndarray) -> float:
    """Wang, Simoncelli and Bovik (2003) with scikit-image's maps: contrast from images without their local mean."""
    span, product = float(np.ptp(truth)), 1.0
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        _, similarity = reference.structural_similarity(
            image, truth, data_range=span, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        a, t = (gaussian_filter(x, 1.5, truncate=3.5) for x in (image, truth))
        c1 = (0.01 * span) ** 2
        luminance = (2 * a * t + c1) / (a**2 + t**2 + c1)
        values = similarity if scale == len(MS_SSIM_WEIGHTS) - 1 else similarity / luminance
        product *= max(values[5:-5, 5:-5].mean(), 0.0) ** weight
        image, truth = (x.reshape(x.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for x in (image, truth))
    return float(product)


@pytest.mark.parametrize("noise", [0.02, 0.2, 1.0])
def test_ms_ssim_agrees_with_a_brute_force(noise: float) -> None:
    image, truth = pair(noise=noise)
    assert scores(image, truth)["ms_ssim"] == pytest.approx(multi_scale_brute_force(image, truth), abs=1e-6)


def test_constant_image_has_no_correlation_by_definition() -> None:
    _, truth = pair()
    assert scores(np.full_like(truth, 0.7), truth)["pearson"] == 0.0


def test_constant_truth_is_undefined_not_perfect() -> None:
    image, _ = pair()
    found = scores(image, np.ones_like(image))
    assert all(np.isnan(found[name]) for name in ("psnr", "ssim", "ms_ssim", "pearson"))
    assert found["mae"] > 0


def test_a_region_too_small_for_the_windows_is_undefined() -> None:
    image, truth = pair()
    mask = np.zeros_like(FULL)
    mask[40:46, 40:46] = True
    found = scores(image, truth, mask)
    assert np.isnan(found["ssim"])
    assert np.isnan(found["ms_ssim"])
    assert found["mse"] == pytest.approx(np.mean((image - truth)[mask] ** 2))


def test_pixels_outside_the_mask_do_not_count() -> None:
    image, truth = pair()
    mask = np.zeros_like(FULL)
    mask[20:70, 20:70] = True
    spoiled = np.where(mask, image, 1e3)
    assert scores(spoiled, truth, mask)["pearson"] == pytest.approx(scores(image, truth, mask)["pearson"])


def test_nrmse_is_the_relative_norm() -> None:
    rng = np.random.default_rng(0)
    truth = cells.complex_noise((SIZE, SIZE), 1.0, rng)
    image = truth + cells.complex_noise((SIZE, SIZE), 0.3, rng)
    expected = np.linalg.norm(image - truth) / np.linalg.norm(truth)
    assert float(nrmse(complex_sums(image, truth, FULL, BLOCKS).sum(axis=0))) == pytest.approx(expected)


def test_drawing_every_block_once_gives_the_score_itself() -> None:
    image, truth = pair()
    sums = block_sums(image, truth, FULL, BLOCKS)
    once = real_scores(np.ones((1, BLOCKS.max() + 1)) @ sums, image, truth, FULL)
    assert {name: float(value[0]) for name, value in once.items()} == pytest.approx(scores(image, truth))


def test_bootstrap_spread_is_that_of_independent_images() -> None:
    """White errors: the interval of the mean error must match the scatter over repetitions."""
    draws = np.random.default_rng(1).multinomial(16, np.full(16, 1 / 16), 400).astype(float)
    image, truth = pair()
    spread = real_scores(draws @ block_sums(image, truth, FULL, BLOCKS), image, truth, FULL)["mse"].std()
    repeated = [
        scores(truth + 0.2 * np.random.default_rng(k).standard_normal(truth.shape), truth)["mse"] for k in range(60)
    ]
    assert spread == pytest.approx(np.std(repeated), rel=0.5)


def test_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        block_sums(*pair(), ~FULL, BLOCKS)
