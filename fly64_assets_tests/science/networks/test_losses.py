"""What networks are trained on: gradients against autograd, and what an error ignores."""

import numpy as np
import pytest
import torch

from fly64_assets.science.networks.losses import counts_loss, patch_error, patch_loss
from fly64_assets.science.networks.unrolled import unrolled_network
from fly64_assets.science.physics.canvas_data import Judgement
from fly64_assets.science.physics.diffraction_torch import far_fields, summed_intensity
from fly64_assets.science.physics.likelihood import BACKGROUND_COUNTS, poisson_nll_torch
from fly64_assets_tests.science.networks.measurements import canvas_data, measure, randomised, truth


def test_counts_loss_has_the_gradient_of_the_likelihood():
    measurement = measure(1e3)
    data, counts = canvas_data(measurement)
    network = randomised(unrolled_network(2, 4))
    squared_scale = torch.full((1, 1, 1, 1), measurement.counts_scale**2)
    loss = counts_loss(network, data, Judgement(counts, squared_scale))
    loss.surrogate.backward()
    found = [p.grad.clone() for p in network.stages[1].parameters() if p.grad is not None]
    network.zero_grad()
    with torch.no_grad():
        first = network.stages[0](data.flat(), data.flat(), data.look(data.flat()).score, data)
    canvas = network.stages[1](first, data.flat(), data.look(first).score, data)
    fields = far_fields(data.parts[0].grid.gather(canvas), data.probe)
    expected = squared_scale * summed_intensity(fields) + BACKGROUND_COUNTS
    (poisson_nll_torch(expected, counts) / counts.sum()).backward()
    for mine, autograd in zip(found, (p.grad for p in network.stages[1].parameters()), strict=True):
        torch.testing.assert_close(mine, autograd, rtol=2e-2, atol=1e-4)
    photons = float(counts.sum())
    assert loss.last == pytest.approx(data.look(canvas.detach()).half_deviance / photons, rel=1e-4)
    assert loss.flat == pytest.approx(data.look(data.flat()).half_deviance / photons, rel=1e-4)


def test_patch_error_ignores_the_global_phase_and_nothing_else():
    measurement = measure()
    data, _ = canvas_data(measurement)
    grid, image = data.parts[0].grid, torch.as_tensor(truth())[None]
    patches = grid.gather(image)
    assert float(patch_error(image * np.exp(0.7j), grid, data.probe, patches)) < 1e-6
    assert float(patch_error(0.9 * image, grid, data.probe, patches)) > 1e-3


def test_supervised_loss_trains_every_stage():
    data, _ = canvas_data(measure())
    network = randomised(unrolled_network(2, 4))
    loss = patch_loss(network, data, data.parts[0].grid.gather(torch.as_tensor(truth())[None]))
    loss.surrogate.backward()
    assert 0 < loss.last != loss.flat > 0
    assert all(float(stage.step.grad.abs()) > 0 for stage in network.stages)
