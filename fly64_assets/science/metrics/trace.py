"""Quality against CPU time: what a solver that is stopped early would have scored, by the code that scores methods."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.image_error import block_sums
from fly64_assets.science.metrics.scored_cell import aligned_pair, prepare_cell, require_grid
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import Dataset, Reconstruction, Scan

FRONTIER_COLUMNS = ("dose", "view", "split", "seed", "method", "epochs", "cpu_seconds", "value")
"""Columns of a frontier: after how many epochs and CPU-seconds a method had which phase SSIM."""


def score_snapshots(
    snapshots: Sequence[Reconstruction], dataset: Dataset, scan: Scan, options: ScoringOptions
) -> pd.DataFrame:
    """Phase SSIM of each snapshot, aligned and scored as every result is; no intervals.

    Args:
        snapshots: of one run, each with its CPU time and one loss per epoch that it took.
        dataset: counts and truth of one split.
        scan: its probe and positions define the scored region.
        options: thresholds.

    Returns:
        Columns epochs, cpu_seconds and value, a row per snapshot; NaN for a snapshot that is not finite.

    Raises:
        ValueError: a snapshot's grid differs from the truth's, or nothing is illuminated.
    """
    require_grid({f"snapshot {index}": step for index, step in enumerate(snapshots)}, dataset)
    bare = options.model_copy(update={"bootstrap_samples": 0})
    cell = prepare_cell(dataset, scan, bare, np.random.default_rng(0))
    rows = []
    for step in snapshots:
        value = np.nan
        if np.isfinite(step.object).all():
            pair = aligned_pair(step.object, cell)
            value = float(block_sums(pair.phase_rad, pair.truth_phase_rad, pair.mask, cell.blocks).scores()["ssim"])
        rows.append({"epochs": len(step.loss_epochs), "cpu_seconds": step.cpu_seconds, "value": value})
    return pd.DataFrame(rows, columns=pd.Index(["epochs", "cpu_seconds", "value"]))
