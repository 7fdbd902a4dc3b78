"""The trace of a method: how good what it had on its way was, scored by the code that scores results."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.evaluation import Comparison
from fly64_assets.science.metrics.scored_cell import alignment_first, image_pair, prepare_cell, require_grid
from fly64_assets.science.metrics.shipped import PHASE_SSIM
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import Dataset, Reconstruction, Scan


def score_trace(
    estimates: Mapping[int, Reconstruction], dataset: Dataset, scan: Scan, options: ScoringOptions
) -> pd.DataFrame:
    """Phase SSIM of each estimate, scored as every result is under the alignment that stands first; no intervals.

    Args:
        estimates: of one run, by the step at which the method had them.
        dataset: counts and truth of one split.
        scan: its probe and positions define the scored region.
        options: thresholds.

    Returns:
        Columns step and value, by increasing step; NaN for an estimate that is not finite.

    Raises:
        ValueError: an estimate's grid differs from the truth's, or nothing is illuminated.
    """
    require_grid({f"step {step}": estimate for step, estimate in estimates.items()}, dataset)
    bare = options.model_copy(update={"bootstrap_samples": 0})
    cell = prepare_cell(dataset, scan, bare, np.random.default_rng(0))
    rows = []
    for step, estimate in sorted(estimates.items()):
        value = np.nan
        if np.isfinite(estimate.object).all():
            pair = image_pair(estimate.object, cell, alignment_first(estimate, dataset))
            value = Comparison(pair, cell).value(PHASE_SSIM)
        rows.append((step, value))
    return pd.DataFrame(rows, columns=pd.Index(["step", "value"]))
