from dataclasses import replace

import numpy as np
import pytest

from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.trace import score_snapshots
from fly64_assets.science.options import ScoringOptions
from fly64_assets_tests.science.metrics import cells

DATASET, SCAN = cells.cell()
TRUTH = cells.truth()
OPTIONS = ScoringOptions(bootstrap_samples=5, bound_patches=0)


def test_a_snapshot_scores_what_the_same_object_scores_as_a_result() -> None:
    rng = np.random.default_rng(0)
    images = [np.ones_like(TRUTH), *(TRUTH + cells.complex_noise(TRUTH.shape, size, rng) for size in (0.3, 0.05))]
    images[1] = cells.moved(images[1], (2.3, -1.1), (0.02, 0.0), 2j)
    steps = [
        replace(cells.reconstruction(image), cpu_seconds=float(k), loss_epochs=tuple(range(1, k + 1)))
        for k, image in enumerate(images)
    ]
    found = score_snapshots(steps, DATASET, SCAN, OPTIONS)
    assert found["epochs"].tolist() == [0, 1, 2]
    assert found["cpu_seconds"].tolist() == [0.0, 1.0, 2.0]
    labels = {"dose": 1e4, "view": "dense", "split": "test", "seed": 1, "rng": np.random.default_rng(3)}
    table = score_cell({str(k): step for k, step in enumerate(steps)}, DATASET, SCAN, OPTIONS, **labels).table
    ssim = table[(table["metric"] == "ssim") & (table["part"] == "phase")].set_index("method")["value"]
    assert found["value"].tolist() == [ssim[str(k)] for k in range(3)]
    assert found["value"][0] < found["value"][1] < found["value"][2]


def test_a_snapshot_that_is_not_finite_has_no_value_and_spoils_no_other() -> None:
    spoiled = TRUTH.copy()
    spoiled[5, 5] = np.inf
    values = score_snapshots([cells.reconstruction(spoiled), cells.reconstruction(TRUTH)], DATASET, SCAN, OPTIONS)
    assert np.isnan(values["value"][0])
    assert values["value"][1] == pytest.approx(1)


def test_a_snapshot_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="snapshot 1 has an object of"):
        score_snapshots([cells.reconstruction(TRUTH), cells.reconstruction(TRUTH[1:])], DATASET, SCAN, OPTIONS)
