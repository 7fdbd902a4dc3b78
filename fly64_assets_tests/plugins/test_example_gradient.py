"""The gradient method against a flat object, on the geometry of ``quick``, dense, at 1e4 photons per pattern."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from skimage.metrics import structural_similarity

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.record import Given
from fly64_assets.science.metrics.illuminated_region import illumination_map
from fly64_assets.science.options import DoseOptions, ScanOptions, SplitOptions, ViewOptions
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study.schema import SHIPPED_STUDIES


def phase_ssim(image: np.ndarray, truth: np.ndarray, lit: np.ndarray) -> float:
    """Structural similarity of the phases after a common phase is taken off, where the scan is lit."""
    image = image * np.exp(-1j * np.angle((image * truth.conj())[lit].sum()))
    ours, theirs = np.angle(image), np.angle(truth)
    spread = float(np.ptp(theirs[lit]))
    return float(structural_similarity(ours, theirs, win_size=7, data_range=spread, full=True)[1][lit].mean())


@pytest.mark.slow
def test_it_beats_a_flat_object_by_a_tenth(installed: Path, tmp_path: Path) -> None:
    from example_gradient import EXAMPLE_GRADIENT, GradientOptions  # pyright: ignore[reportMissingImports]

    quick = yaml.safe_load((SHIPPED_STUDIES / "quick.yaml").read_text())
    scan = make_scan(ScanOptions.model_validate(quick["scan"]))
    paths = {split: tmp_path / f"{split}.npz" for split in ("train", "test")}
    hashed = {"parameter_hash": "0" * 64}
    simulate_dose(scan, 1e4, DoseOptions(), SplitOptions(), seed=1, paths=paths, **hashed)
    dense = ViewOptions.model_validate(quick["views"]["dense"])
    out, rng = tmp_path / "dense.npz", named_rng(1, "view")
    make_view(paths["test"], dense, view_name="dense", split="test", out=out, rng=rng, **hashed)
    dataset = read_dataset(out)
    measurement = dataset.measurement
    light = illumination_map(measurement.probe, measurement.positions_xy_px, measurement.object_shape)
    lit = light > 0.1 * np.median(light[light > 0.01 * light.max()])
    *_, found = EXAMPLE_GRADIENT.reconstruct(measurement, GradientOptions(iterations=30), Given(seed=1))
    flat = np.ones(measurement.object_shape, np.complex64)
    assert phase_ssim(found.object, dataset.object, lit) > phase_ssim(flat, dataset.object, lit) + 0.1
