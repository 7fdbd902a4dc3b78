import dataclasses
import itertools

import numpy as np
import pytest
import torch

from fly64_assets.science.networks.losses import counts_loss, patch_error, patch_loss
from fly64_assets.science.networks.unrolled import Symmetry, UNet, UnrolledNetwork
from fly64_assets.science.physics.canvas_data import CanvasData, Judgement, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, far_fields, summed_intensity, to_fft_order
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets.science.physics.likelihood import BACKGROUND_COUNTS, poisson_nll_torch
from fly64_assets_tests.science.networks.measurements import SHAPE, SIZE, measure, truth

SYMMETRIES = [Symmetry(*choice) for choice in itertools.product(range(4), (False, True), (False, True))]


def canvas_data(measurement, shape=SHAPE, noise=True):
    grid = PatchGrid(torch.as_tensor(measurement.positions_xy_px)[None], SIZE, shape)
    exact = torch.as_tensor((measurement.counts_scale * measurement.amplitude.astype(np.float64)) ** 2).float()
    counts = to_fft_order(exact.round() if noise else exact)[None]
    scale = torch.full((1,), measurement.counts_scale)
    lift = SpectralLift(mirror_coupling(measurement.probe), shape)
    return CanvasData((Part(grid, lambda: counts),), torch.as_tensor(measurement.probe), scale, lift, 2), counts


def randomised(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("dose", [1e3, 1e4, 1e5])
def test_the_truth_explains_counts_better_than_a_flat_object(dose):
    data, _ = canvas_data(measure(dose))
    true = data.look(torch.as_tensor(truth())[None]).half_deviance
    assert true < data.look(data.flat()).half_deviance


def test_at_the_truth_the_score_of_noise_free_counts_vanishes():
    data, _ = canvas_data(measure(1e5, noise=False), noise=False)
    at_truth = data.look(torch.as_tensor(truth())[None]).score.abs().max()
    assert at_truth < 0.03 * data.look(data.flat()).score.abs().max()


def test_the_score_predicts_finite_differences_of_the_likelihood():
    data, counts = canvas_data(measure(1e4))
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn((1, *SHAPE), dtype=torch.complex64, generator=generator)
    part, scale = data.parts[0], float(data.squared_scale)

    def nll(length):
        fields = far_fields(part.grid.gather(data.flat() + length * direction), data.probe).to(torch.complex128)
        intensity = (fields.abs() ** 2).sum(dim=2)
        return float(poisson_nll_torch(scale * intensity + BACKGROUND_COUNTS, counts.double()))

    slope = (nll(1e-3) - nll(-1e-3)) / 2e-3
    predicted = -2 * scale * float(torch.vdot(data.look(data.flat()).score.flatten(), direction.flatten()).real)
    assert predicted == pytest.approx(slope, rel=1e-2)


def test_parts_add_up_to_the_whole():
    measurement = measure(1e4)
    data, counts = canvas_data(measurement)
    positions = torch.as_tensor(measurement.positions_xy_px)[None]
    parts = [
        Part(PatchGrid(positions[:, rows], SIZE, SHAPE), lambda rows=rows: counts[:, rows])
        for rows in (slice(0, 5), slice(5, None))
    ]
    split = CanvasData(parts, data.probe, data.squared_scale[:, 0, 0].sqrt(), data._lift, 2)
    whole, pieces = data.look(data.flat()), split.look(data.flat())
    torch.testing.assert_close(pieces.score, whole.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(split.illumination, data.illumination)
    assert pieces.half_deviance == pytest.approx(whole.half_deviance, rel=1e-5)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetries_are_undone(symmetry):
    features = torch.randn((2, 9, 5, 7), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(symmetry.revert(symmetry.apply(features)), features)


@pytest.mark.parametrize("symmetry", SYMMETRIES[1:])
def test_turning_the_experiment_turns_the_steps(symmetry):
    """What the U-Net sees of a turned object under the turned probe is the turned sight of the original."""
    side = 47  # odd, so that turns keep the central pixel
    centre = side // 2
    probe = measure().probe[:, 1:, 1:]  # odd as well, centred on the optical axis
    positions = np.random.default_rng(0).integers(17, side - 16, (5, 2)).astype(np.float64)
    image = truth()[:side, :side]

    def steps(image, probe, positions):
        modes = torch.as_tensor(np.pad(probe, ((0, 0), (1, 0), (1, 0))))
        grid = PatchGrid(torch.as_tensor(positions)[None], SIZE, (side, side))
        counts = 1e4 * summed_intensity(far_fields(grid.gather(torch.as_tensor(image)[None]), modes))
        lift = SpectralLift(mirror_coupling(modes.numpy()), (side, side))
        data = CanvasData((Part(grid, lambda: counts),), modes, torch.full((1,), 100.0), lift, 2)
        score = data.look(data.flat()).score
        found = torch.stack([data.newton_step(score), data.plain_step(score)], dim=1)
        return torch.cat([found.real, found.imag], dim=1)[:, [0, 2, 1, 3]]

    def turn(array):
        array = np.conj(array) if symmetry.conjugated else array
        array = array[..., ::-1] if symmetry.mirrored else array
        return np.rot90(array, symmetry.quarter_turns, (-2, -1)).copy()

    offset = (positions - centre) * ([-1, 1] if symmetry.mirrored else [1, 1])
    for _ in range(symmetry.quarter_turns):
        offset = np.stack([offset[:, 1], -offset[:, 0]], axis=1)
    expected = steps(turn(image), turn(probe), offset + centre)
    torch.testing.assert_close(symmetry.apply(steps(image, probe, positions)), expected, rtol=1e-2, atol=1e-3)


def test_counts_loss_has_the_gradient_of_the_likelihood():
    measurement = measure(1e3)
    data, counts = canvas_data(measurement)
    network = randomised(UnrolledNetwork(2, 4))
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


def test_every_second_stage_corrects_and_the_last_one_does():
    corrects = [stage.correct is not None for stage in UnrolledNetwork(5, 4).stages]
    assert corrects == [True, False, True, False, True]


def test_supervised_loss_trains_every_stage():
    data, _ = canvas_data(measure())
    network = randomised(UnrolledNetwork(2, 4))
    loss = patch_loss(network, data, data.parts[0].grid.gather(torch.as_tensor(truth())[None]))
    loss.surrogate.backward()
    assert 0 < loss.last != loss.flat > 0
    assert all(float(stage.step.grad.abs()) > 0 for stage in network.stages)


def test_unet_starts_at_zero_and_takes_any_size():
    for shape in ((8, 8), (13, 21)):
        assert torch.equal(UNet(3, 2, 4)(torch.randn(2, 3, *shape)), torch.zeros(2, 2, *shape))


def test_groups_are_reconstructed_independently():
    measurement = measure()
    positions = torch.as_tensor(measurement.positions_xy_px[:8]).reshape(2, 4, 2)
    counts = to_fft_order(torch.as_tensor(measurement.counts(slice(0, 8)))).reshape(2, 4, SIZE, SIZE)
    network = randomised(UnrolledNetwork(2, 4))

    def run(rows):
        part = Part(PatchGrid(positions[rows], SIZE, SHAPE), lambda: counts[rows])
        scale = torch.full((len(positions[rows]),), measurement.counts_scale)
        lift = SpectralLift(mirror_coupling(measurement.probe), SHAPE)
        with torch.no_grad():
            return network(CanvasData((part,), torch.as_tensor(measurement.probe), scale, lift, 2))

    torch.testing.assert_close(run(slice(0, 2))[1:], run(slice(1, 2)), rtol=1e-3, atol=1e-4)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Symmetry().mirrored = True
