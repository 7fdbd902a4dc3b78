import numpy as np
import pytest
import torch

from fly64_assets.science.metrics import likelihood as metrics_likelihood
from fly64_assets.science.physics import likelihood


def _expected_and_counts(seed=0):
    rng = np.random.default_rng(seed)
    expected = rng.gamma(0.5, 4.0, (6, 6))
    return expected, rng.poisson(expected).astype(float)


def _nll(expected, counts, floor=likelihood.EXPECTED_FLOOR):
    return float(likelihood.poisson_nll_torch(torch.tensor(expected), torch.tensor(counts), floor))


def test_training_and_scoring_mean_the_same_likelihood():
    """The sum that networks descend is the sum over patterns that reconstructions are judged by."""
    expected, counts = (part.astype(np.float32)[None] for part in _expected_and_counts())
    judged = metrics_likelihood.poisson_nll(counts, expected.copy())
    found = _nll(expected + np.float32(metrics_likelihood.EXPECTED_COUNTS_FLOOR), counts)
    assert found == pytest.approx(float(judged.sum()), rel=1e-5)


def test_nll_differs_from_the_log_probability_by_a_constant():
    from scipy.stats import poisson

    expected, counts = _expected_and_counts()
    other = expected + 1.0
    by_scipy = -poisson.logpmf(counts, other).sum() + poisson.logpmf(counts, expected).sum()
    assert _nll(other, counts) - _nll(expected, counts) == pytest.approx(by_scipy, rel=1e-9)


def test_half_deviance_is_the_nll_above_a_perfect_fit():
    expected, counts = _expected_and_counts()
    above = _nll(expected, counts) - _nll(counts, counts, floor=1e-300)
    found = float(likelihood.half_deviance(torch.tensor(expected), torch.tensor(counts)))
    assert found == pytest.approx(above, rel=1e-6)
    assert found > 0


def test_score_is_minus_the_gradient_of_the_nll():
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 2, 4, 4)
    real = torch.randn((*shape, 2), generator=generator, dtype=torch.float32)
    fields = torch.view_as_complex(real).requires_grad_()
    counts = torch.poisson(torch.full((2, 3, 4, 4), 2.0), generator=generator)
    squared_scale = torch.tensor([1.5, 0.7])[:, None, None, None]
    intensity = (fields.real**2 + fields.imag**2).sum(dim=2)
    expected = squared_scale * intensity + likelihood.BACKGROUND_COUNTS
    likelihood.poisson_nll_torch(expected, counts).backward()
    score = likelihood.poisson_score(fields.detach(), intensity.detach(), counts, squared_scale)
    # torch's gradient of a real loss is twice the derivative with respect to the conjugate.
    torch.testing.assert_close(2 * squared_scale[:, :, None] * score, -fields.grad, rtol=1e-4, atol=1e-5)
