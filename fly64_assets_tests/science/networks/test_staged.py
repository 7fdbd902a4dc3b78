"""What all networks share: symmetries, canvases that do not mix, and a canvas after every stage."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from fly64_assets.science.networks.staged import StagedNetwork, Symmetry
from fly64_assets.science.networks.unrolled import unrolled_network
from fly64_assets.science.physics.canvas_data import CanvasData, CanvasOptics, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, far_fields, summed_intensity, to_fft_order
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets_tests.science.networks.measurements import SHAPE, SIZE, canvas_data, measure, randomised, truth

SYMMETRIES = [Symmetry(*choice) for choice in itertools.product(range(4), (False, True), (False, True))]


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


def test_groups_are_reconstructed_independently():
    measurement = measure()
    positions = torch.as_tensor(measurement.positions_xy_px[:8]).reshape(2, 4, 2)
    counts = to_fft_order(torch.as_tensor(measurement.counts(slice(0, 8)))).reshape(2, 4, SIZE, SIZE)
    network = randomised(unrolled_network(2, 4))

    def run(rows):
        part = Part(PatchGrid(positions[rows], SIZE, SHAPE), lambda: counts[rows])
        scale = torch.full((len(positions[rows]),), measurement.counts_scale)
        with torch.no_grad():
            return network(CanvasOptics(measurement.probe).data((part,), scale))

    torch.testing.assert_close(run(slice(0, 2))[1:], run(slice(1, 2)), rtol=1e-3, atol=1e-4)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Symmetry().mirrored = True


def test_conjugation_turns_the_sign_of_imaginary_parts_alone():
    features = torch.ones((1, 5, 2, 2))
    assert Symmetry(conjugated=True).apply(features)[0, :, 0, 0].tolist() == [1, -1, 1, -1, 1]


def test_every_stage_is_given_the_canvas_the_one_before_and_the_score_there():
    """Stages that halve the distance to a target, and write down what they are given."""
    data, _ = canvas_data(measure())
    target = torch.as_tensor(truth())[None]
    given = []

    class Halve(torch.nn.Module):
        def forward(self, canvas, previous, score, data, symmetry):
            given.append((canvas, previous, score, symmetry))
            return (canvas + target) / 2

    network = StagedNetwork(Halve() for _ in range(3))
    canvases = list(network.improve(data))
    for stage, canvas in enumerate(canvases, start=1):
        torch.testing.assert_close(canvas, target + (data.flat() - target) / 2**stage)
    starts = [data.flat(), data.flat(), *canvases]
    for (canvas, previous, score, symmetry), now, before in zip(given, starts[1:], starts, strict=False):
        assert torch.equal(canvas, now)
        assert torch.equal(previous, before)
        assert torch.equal(score, data.look(now).score)
        assert symmetry == Symmetry()
    assert torch.equal(network(data), canvases[-1])
