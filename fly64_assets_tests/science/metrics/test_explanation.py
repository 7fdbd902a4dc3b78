import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import poisson

from fly64_assets.science.metrics.explanation import Explanation, explain_counts
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets_tests.science.metrics import cells

DATASET, _ = cells.cell()
MEASUREMENT, TRUTH = DATASET.measurement, cells.truth()
FLAT = np.ones_like(TRUTH)


def explained(image: np.ndarray, *, learned: bool = False, losses: tuple[float, ...] = ()) -> Explanation:
    result = replace(cells.reconstruction(image), loss_values=losses, loss_epochs=tuple(range(1, len(losses) + 1)))
    return explain_counts(MEASUREMENT, result, learned=learned)


def test_nats_per_photon_are_those_of_scipy() -> None:
    counts = MEASUREMENT.counts()
    expected = [
        cells.SCALE**2 * diffraction_intensity(extract_patches(image, cells.positions(), cells.PATCH_PX), cells.probe())
        for image in (TRUTH, FLAT)
    ]
    nats = [-(poisson.logpmf(counts, each + 1e-3) + gammaln(counts + 1)).sum() / counts.sum() for each in expected]
    found = explained(TRUTH)
    assert (found.nll_per_photon, found.flat_nll_per_photon) == pytest.approx(nats, rel=1e-5)
    assert found.verdict == "explained"
    assert found.note == found.reason == ""


@pytest.mark.parametrize(
    ("image", "iterative", "learned"),
    [
        (TRUTH, "explained", "explained"),
        (FLAT, "explained", "explained"),  # not above flat
        (2 * TRUTH, "diverged", "worse than flat"),
        (2e11 * TRUTH, "diverged", "worse than flat"),
        (1e30 * TRUTH, "diverged", "worse than flat"),
        (TRUTH * np.nan, "diverged", "worse than flat"),
    ],
)
def test_verdicts(image: np.ndarray, iterative: str, learned: str) -> None:
    assert explained(image).verdict == iterative
    assert explained(image, learned=True).verdict == learned


def test_a_diverged_result_says_by_how_much() -> None:
    found = explained(2e11 * TRUTH)
    assert found.nll_per_photon is not None
    assert found.nll_per_photon > 1e20
    assert (
        found.note
        == f"diverged: {found.nll_per_photon:.4g} nats per photon, a flat object {found.flat_nll_per_photon:.4g}"
    )
    assert explained(1e30 * TRUTH).nll_per_photon is None
    assert "not finite" in explained(1e30 * TRUTH).note
    assert explained(2 * TRUTH, learned=True).note == "explains the counts less well than a flat object"


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_only_an_iterative_result_answers_for_its_own_loss(loss: float) -> None:
    assert explained(TRUTH, losses=(1.0, loss)).verdict == "diverged"
    assert explained(TRUTH, losses=(1.0, loss)).final_loss is None
    assert "final loss" in explained(TRUTH, losses=(1.0, loss)).note
    assert explained(TRUTH, losses=(loss, 1.0)).verdict == "explained"
    assert explained(TRUTH, losses=(1.0, loss), learned=True).verdict == "explained"


def test_the_result_is_judged_with_its_own_probe_and_flat_with_the_measurements() -> None:
    weaker = replace(cells.reconstruction(2 * TRUTH), probe=(cells.probe() / 2).astype(np.complex64))
    found = explain_counts(MEASUREMENT, weaker, learned=False)
    assert found.nll_per_photon == pytest.approx(explained(TRUTH).nll_per_photon, rel=1e-6)
    assert found.flat_nll_per_photon == explained(TRUTH).flat_nll_per_photon


@pytest.mark.parametrize("image", [TRUTH, 1e30 * TRUTH])
def test_json_and_back(image: np.ndarray) -> None:
    found = explained(image, losses=(2.0,))
    assert Explanation.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        explained(TRUTH[1:])
