"""What scoring a cell yields: its table, its curves, and the images behind them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Complex64, Float64

from fly64_assets.science.metrics.alignment import Alignment
from fly64_assets.science.metrics.tables import CURVES, SCORES

SCORING_VERSION = "2"

TABLE_COLUMNS = SCORES.names
CURVE_COLUMNS = CURVES.names
COLUMN_MEANINGS = {name: meaning for name, _, meaning in SCORES.described()}
COLUMN_TYPES = {name: kind for name, kind, _ in SCORES.described() if kind != "float"}
"""Types of the columns that are no real numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class ImagePair:
    """A reconstruction beside the truth, cropped to the box of the scored region, for scores and figures.

    All arrays are read-only: metrics of other packages are given them.

    Attributes:
        image: the reconstruction, freed from what ``alignment`` says.
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
        pairs: the images of the methods under the alignment that stands first, for figures.
        failures: method -> why the score that stands first is missing or not to be trusted: it diverged, it is not
            finite, or it could not be registered.
    """

    table: pd.DataFrame
    frc_curves: pd.DataFrame
    pairs: dict[str, ImagePair]
    failures: dict[str, str]
