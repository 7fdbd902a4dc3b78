import numpy as np
import pytest
from scipy.stats import poisson

from fly64_assets.science.metrics.likelihood import nll_per_pattern, poisson_nll
from fly64_assets_tests.science.metrics import cells


def test_agrees_with_scipy_up_to_the_constant() -> None:
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.5, 20, (3, 8, 8)).astype(np.float32)
    other = rng.uniform(0.5, 20, (3, 8, 8)).astype(np.float32)
    counts = rng.poisson(expected).astype(np.float32)
    found = poisson_nll(counts, expected.copy()) - poisson_nll(counts, other.copy())
    reference = [-poisson.logpmf(counts, each).sum(axis=(1, 2)) for each in (expected, other)]
    assert found == pytest.approx(reference[0] - reference[1], abs=0.3)


def test_a_photon_where_none_can_be_is_finite() -> None:
    assert np.isfinite(poisson_nll(np.ones((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32))).all()


def test_truth_explains_the_counts_best() -> None:
    dataset, _ = cells.cell()
    image = cells.truth()
    candidates = {
        "truth": image,
        "flat": np.ones_like(image),
        "noisy": image + cells.complex_noise(image.shape, 0.1, np.random.default_rng(0)),
        "blurred": cells.blurred(image, 2.0),
        "phase": image * np.exp(0.7j),
    }
    found = nll_per_pattern(
        dataset.measurement, {name: cells.reconstruction(each) for name, each in candidates.items()}
    )
    means = {name: values.mean() for name, values in found.items()}
    assert means["truth"] == pytest.approx(means["phase"], abs=1e-3)
    assert all(means[name] > means["truth"] + 1 for name in ("flat", "noisy", "blurred"))
