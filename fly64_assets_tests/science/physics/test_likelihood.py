import numpy as np
import pytest
import torch

from fly64_assets.science.physics import likelihood


def _expected_and_counts(seed=0):
    rng = np.random.default_rng(seed)
    expected = rng.gamma(0.5, 4.0, (5, 6))
    return expected, rng.poisson(expected).astype(float)


def test_numpy_and_torch_agree():
    expected, counts = _expected_and_counts()
    found = likelihood.poisson_nll_torch(torch.tensor(expected), torch.tensor(counts))
    assert float(found) == pytest.approx(likelihood.poisson_nll(expected, counts), rel=1e-12)


def test_nll_differs_from_the_log_probability_by_a_constant():
    from scipy.stats import poisson

    expected, counts = _expected_and_counts()
    other = expected + 1.0
    by_scipy = -poisson.logpmf(counts, other).sum() + poisson.logpmf(counts, expected).sum()
    found = likelihood.poisson_nll(other, counts) - likelihood.poisson_nll(expected, counts)
    assert found == pytest.approx(by_scipy, rel=1e-9)


def test_half_deviance_is_the_nll_above_a_perfect_fit():
    expected, counts = _expected_and_counts()
    perfect = likelihood.poisson_nll(counts, counts, floor=1e-300)
    above = likelihood.poisson_nll(expected, counts) - perfect
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
