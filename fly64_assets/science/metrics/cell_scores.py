"""What scoring a cell yields: its table, its curves, and the aligned images behind them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Complex64, Float64

from fly64_assets.science.metrics.alignment import Alignment

SCORING_VERSION = "1"

COLUMN_MEANINGS = {
    "dose": "requested photons per pattern",
    "view": "which positions were kept",
    "split": "train or test side of the scan",
    "seed": "study seed: of noise, thinning and initialisation",
    "method": "pinn, pinn_refined, baseline or pty_chi; flat and truth are sanity rows, bound is of the cell itself",
    "metric": "which score or cost",
    "part": "amplitude, phase or complex; empty where it does not apply",
    "value": "the score, on the illuminated region after alignment (excess_nll: before)",
    "value_low": "lower end of the central 95 % of a bootstrap over blocks of the object",
    "value_high": "upper end of it",
    "shift_x_px": "registration shift that was removed, columns",
    "shift_y_px": "registration shift that was removed, rows",
    "ramp_x_rad_per_px": "phase ramp that was removed, along columns",
    "ramp_y_rad_per_px": "phase ramp that was removed, along rows",
    "scale_abs": "magnitude of the complex scale that was removed",
    "scale_phase_rad": "phase of the complex scale that was removed",
    "registration_ok": "whether the shift was found; otherwise it is 0 and the note says why",
    "scoring_version": "version of the scoring function",
    "note": "what has to be known about this row",
}
TABLE_COLUMNS = tuple(COLUMN_MEANINGS)
_TEXT = ("view", "split", "method", "metric", "part", "scoring_version", "note")
COLUMN_TYPES = {**dict.fromkeys(_TEXT, "string"), "seed": "int", "registration_ok": "bool"}
"""Types of the columns that are no real numbers."""
CURVE_COLUMNS = ("dose", "view", "split", "seed", "method", "frequency_cycles_per_px", "frc")

SANITY_METHODS = ("flat", "truth")
BOUND_METHOD = "bound"
"""Rows of the cell itself, not of a method: the phase bound, photons per object pixel."""

REAL_METRICS = ("mae", "mse", "rmse", "psnr", "ssim", "ms_ssim", "pearson")
IMAGE_METRICS = (
    *((name, part) for part in ("amplitude", "phase") for name in REAL_METRICS),
    ("nrmse", "complex"),
    ("frc50", "complex"),
)
"""Scores that need an aligned image, as (metric, part)."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignedPair:
    """An aligned reconstruction beside the truth, cropped to the box of the scored region, for figures.

    Attributes:
        image: aligned reconstruction.
        truth: truth, same crop.
        amplitude, phase_rad: of the image.
        truth_amplitude, truth_phase_rad: of the truth; phases are relative to its mean phase.
        mask: scored pixels of the crop.
        corner_xy_px: column and row of the crop's first pixel on the object grid.
        alignment: what was removed.
    """

    image: Complex64[np.ndarray, "h w"]
    truth: Complex64[np.ndarray, "h w"]
    amplitude: Float64[np.ndarray, "h w"]
    phase_rad: Float64[np.ndarray, "h w"]
    truth_amplitude: Float64[np.ndarray, "h w"]
    truth_phase_rad: Float64[np.ndarray, "h w"]
    mask: Bool[np.ndarray, "h w"]
    corner_xy_px: tuple[int, int]
    alignment: Alignment


@dataclass(frozen=True, slots=True, eq=False)
class CellScores:
    """All scores of one cell and split.

    Attributes:
        table: one row per method, metric and part (:data:`TABLE_COLUMNS`).
        frc_curves: :data:`CURVE_COLUMNS`, one row per method and ring.
        aligned: aligned images of the methods, for figures.
        failures: method -> why it could not be registered or scored.
    """

    table: pd.DataFrame
    frc_curves: pd.DataFrame
    aligned: dict[str, AlignedPair]
    failures: dict[str, str]
