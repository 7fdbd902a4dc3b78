import numpy as np
import pytest

from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.trace import score_trace
from fly64_assets.science.options import ScoringOptions
from fly64_assets_tests.science.metrics import cells

DATASET, SCAN = cells.cell()
TRUTH = cells.truth()
OPTIONS = ScoringOptions(bootstrap_samples=5, bound_patches=0)


def test_an_estimate_scores_what_the_same_object_scores_as_a_result() -> None:
    rng = np.random.default_rng(0)
    images = [np.ones_like(TRUTH), *(TRUTH + cells.complex_noise(TRUTH.shape, size, rng) for size in (0.3, 0.05))]
    images[1] = 2j * images[1]
    estimates = dict(zip((20, 0, 7), map(cells.reconstruction, (images[2], images[0], images[1])), strict=True))
    found = score_trace(estimates, DATASET, SCAN, OPTIONS)
    assert list(found.columns) == ["step", "value"]
    assert found["step"].tolist() == [0, 7, 20]
    labels = {"dose": 1e4, "view": "dense", "split": "test", "seed": 1, "rng": np.random.default_rng(3)}
    table = score_cell({str(k): step for k, step in estimates.items()}, DATASET, SCAN, OPTIONS, **labels).table
    ssim = table[(table["metric"] == "ssim") & (table["part"] == "phase") & (table["alignment"] == "scale")]
    ssim = ssim.set_index("method")["value"]
    assert found["value"].tolist() == [ssim["0"], ssim["7"], ssim["20"]]
    assert found["value"][0] < found["value"][1] < found["value"][2]


def test_an_estimate_that_is_not_finite_has_no_value_and_spoils_no_other() -> None:
    spoiled = TRUTH.copy()
    spoiled[5, 5] = np.inf
    estimates = {0: cells.reconstruction(spoiled), 1: cells.reconstruction(TRUTH)}
    values = score_trace(estimates, DATASET, SCAN, OPTIONS)["value"]
    assert np.isnan(values[0])
    assert values[1] == pytest.approx(1)


def test_an_estimate_on_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="step 4 has an object of"):
        score_trace({0: cells.reconstruction(TRUTH), 4: cells.reconstruction(TRUTH[1:])}, DATASET, SCAN, OPTIONS)
