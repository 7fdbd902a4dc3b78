"""The edge-preserving prior against closed forms and automatic differentiation."""

import pytest
import torch

from fly64_assets.science.physics.total_variation import EDGE_ROUNDING, total_variation


def test_the_pull_is_minus_the_derivative_with_respect_to_the_conjugate():
    canvas = torch.randn(2, 7, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)) * 0.05 + 1
    _, pull = total_variation(canvas)
    variable = canvas.to(torch.complex128).requires_grad_()
    across = torch.nn.functional.pad(variable[:, :, 1:] - variable[:, :, :-1], (0, 1))
    down = torch.nn.functional.pad(variable[:, 1:] - variable[:, :-1], (0, 0, 0, 1))
    energy = (across.abs().square() + down.abs().square() + EDGE_ROUNDING**2).sqrt().sum()
    (gradient,) = torch.autograd.grad(energy, variable)  # torch's gradient is twice that by the conjugate
    torch.testing.assert_close(pull.to(torch.complex128), -0.5 * gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("height", [0.5, 2.0])
def test_an_edge_costs_its_height_along_its_length(height):
    canvas = torch.ones(1, 40, 40, dtype=torch.complex64)
    canvas[:, :, 20:] += height * 1j
    assert total_variation(canvas)[0] == pytest.approx(40 * ((height**2 + EDGE_ROUNDING**2) ** 0.5 - EDGE_ROUNDING))
