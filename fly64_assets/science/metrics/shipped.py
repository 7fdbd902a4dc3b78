"""The metrics of this package, one record each; ``pyproject.toml`` registers them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from fly64_assets.science.metrics.cell_scores import ImagePair
from fly64_assets.science.metrics.frc import NYQUIST_CYCLES_PER_PX, crossing_frequency
from fly64_assets.science.metrics.image_error import block_sums, complex_sums, nrmse, real_scores
from fly64_assets.science.metrics.record import Direction, Metric, PerBlock

RealPart = Literal["amplitude", "phase"]


def _images_of(pair: ImagePair, part: RealPart) -> tuple[np.ndarray, np.ndarray]:
    if part == "amplitude":
        return pair.amplitude, pair.truth_amplitude
    return pair.phase_rad, pair.truth_phase_rad


def _real_sums(pair: ImagePair, blocks: np.ndarray, *, part: RealPart) -> np.ndarray:
    return block_sums(*_images_of(pair, part), pair.mask, blocks)


_SUMS: dict[str, Callable[[ImagePair, np.ndarray], np.ndarray]] = {
    "amplitude": partial(_real_sums, part="amplitude"),
    "phase": partial(_real_sums, part="phase"),
}
"""One function for all metrics of a part: they share its sums."""


def _real_score(totals: np.ndarray, pair: ImagePair, *, part: RealPart, score: str) -> np.ndarray:
    return real_scores(totals, *_images_of(pair, part), pair.mask)[score]


def _undefined(value: float) -> str:
    if math.isinf(value):
        return "infinite: there is no error"
    return "undefined: the truth is constant or the region too small" if math.isnan(value) else ""


def _real(
    part: RealPart,
    score: str,
    label: str,
    meaning: str,
    direction: Direction,
    *,
    suffix: str = "",
    unit: str = "",
    digits: int = 3,
    low: float = -math.inf,
    high: float = math.inf,
) -> Metric:
    """A score of one real-valued part of the aligned image."""
    return Metric(
        name=f"{part}_{score}{suffix}",
        part=part,
        unit=unit,
        direction=direction,
        label=f"{part} {label}",
        digits=digits,
        meaning=meaning,
        per_block=PerBlock(sums=_SUMS[part], score=partial(_real_score, part=part, score=score)),
        score=score,
        low=low,
        high=high,
        remark=_undefined,
    )


_error = partial(_real, direction="lower", low=0.0)
_similarity = partial(_real, direction="higher", low=-1.0, high=1.0)
_psnr = partial(
    _real,
    score="psnr",
    label="PSNR",
    meaning="peak signal-to-noise ratio, with the range of the truth",
    direction="higher",
    suffix="_db",
    unit="dB",
    digits=1,
)

AMPLITUDE_MAE = _error("amplitude", "mae", "MAE", "mean absolute error")
AMPLITUDE_MSE = _error("amplitude", "mse", "MSE", "mean squared error", digits=4)
AMPLITUDE_RMSE = _error("amplitude", "rmse", "RMSE", "root of the mean squared error")
AMPLITUDE_PSNR = _psnr("amplitude")
AMPLITUDE_SSIM = _similarity("amplitude", "ssim", "SSIM", "structural similarity; 1 is the object itself")
AMPLITUDE_MS_SSIM = _similarity("amplitude", "ms_ssim", "MS-SSIM", "SSIM over three scales", low=0.0)
AMPLITUDE_PEARSON = _similarity("amplitude", "pearson", "Pearson r", "correlation; 0 for a flat result")

PHASE_MAE = _error("phase", "mae", "MAE", "mean absolute error", suffix="_rad", unit="rad")
PHASE_MSE = _error("phase", "mse", "MSE", "mean squared error", suffix="_rad2", unit="rad^2", digits=4)
PHASE_RMSE = _error("phase", "rmse", "RMSE", "root of the mean squared error", suffix="_rad", unit="rad")
PHASE_PSNR = _psnr("phase")
PHASE_SSIM = _similarity("phase", "ssim", "SSIM", "structural similarity; 1 is the object itself")
PHASE_MS_SSIM = _similarity("phase", "ms_ssim", "MS-SSIM", "SSIM over three scales", low=0.0)
PHASE_PEARSON = _similarity("phase", "pearson", "Pearson r", "correlation; 0 for a flat result")


def _complex_sums(pair: ImagePair, blocks: np.ndarray) -> np.ndarray:
    return complex_sums(pair.image, pair.truth, pair.mask, blocks)


def _nrmse(totals: np.ndarray, pair: ImagePair) -> np.ndarray:
    del pair
    return nrmse(totals)


COMPLEX_NRMSE = Metric(
    name="complex_nrmse",
    part="complex",
    direction="lower",
    label="NRMSE",
    digits=3,
    meaning="root of the squared complex error over the truth's intensity",
    per_block=PerBlock(sums=_complex_sums, score=_nrmse),
    score="nrmse",
    low=0.0,
)


def frc50(frequency: np.ndarray, correlation: np.ndarray) -> float:
    """Where the ring correlation with the truth first falls below 0.5, cycles/px; Nyquist if it never does."""
    return crossing_frequency(frequency, correlation)[0]


def _no_crossing(value: float) -> str:
    crosses = value < NYQUIST_CYCLES_PER_PX
    return "" if crosses else "no crossing: the correlation stays above 0.5 up to Nyquist"


FRC50 = Metric(
    name="frc50_cycles_per_px",
    part="complex",
    unit="cycles/px",
    direction="higher",
    label="FRC 0.5",
    digits=3,
    meaning="where the Fourier ring correlation with the truth falls below 0.5; blind to blur",
    needs="rings",
    compute=frc50,
    score="frc50",
    low=0.0,
    high=NYQUIST_CYCLES_PER_PX,
    remark=_no_crossing,
)


def excess_nll(nll: np.ndarray, nll_of_truth: np.ndarray) -> np.ndarray:
    """Nats of each pattern above the truth's."""
    return nll - nll_of_truth


def _no_likelihood(value: float) -> str:
    return "" if math.isfinite(value) else "the likelihood of the counts is not finite"


EXCESS_NLL = Metric(
    name="excess_nll",
    unit="nats per pattern",
    direction="zero",
    label="excess NLL",
    digits=1,
    meaning="negative log-likelihood above the truth's; below 0 the noise was fitted",
    needs="counts",
    compute=excess_nll,
    remark=_no_likelihood,
)
