"""Cells of the shipped study ``quick``, made without the catalog, and the score by which methods are compared."""

from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion
from skimage.metrics import structural_similarity

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.metrics.scored_cell import image_pair, prepare_cell
from fly64_assets.science.options import ScanOptions, ScoringOptions
from fly64_assets.science.records import Dataset, Scan
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study import load_study

_WINDOW_PX = 7


def quick_cell(folder: Path, dose: float, view: str, scan: ScanOptions | None = None) -> Dataset:
    """The test split of a dose and view, noise seed 1; of another scan if one is given."""
    study = load_study("quick")
    paths = {split: folder / f"{split}_{dose:g}.npz" for split in ("train", "test")}
    if not paths["test"].exists():
        made = make_scan(scan or study.scan)
        simulate_dose(made, dose, study.dose, study.split, seed=1, paths=paths, parameter_hash="0" * 64)
    out, rng = folder / f"{view}_{dose:g}.npz", np.random.default_rng(1)
    options = study.views[view]
    make_view(paths["test"], options, view_name=view, split="test", out=out, rng=rng, parameter_hash="0" * 64)
    return read_dataset(out)


def phase_ssim(image: np.ndarray, dataset: Dataset) -> float:
    """Phase SSIM of an aligned object over windows inside the scored region; NaN if it is not finite."""
    if not np.isfinite(image).all():
        return float("nan")
    measurement = dataset.measurement
    scan = Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index)
    cell = prepare_cell(dataset, scan, ScoringOptions(bootstrap_samples=0), np.random.default_rng(0))
    pair = image_pair(image, cell, "full")
    data_range = float(np.ptp(pair.truth_phase_rad[pair.mask]))
    images = pair.phase_rad, pair.truth_phase_rad
    _, similarity = structural_similarity(*images, data_range=data_range, win_size=_WINDOW_PX, full=True)
    return float(similarity[binary_erosion(pair.mask, np.ones((_WINDOW_PX, _WINDOW_PX)))].mean())
