"""Looks at the data: against finite differences, the truth, and the same data in other parts."""

import pytest
import torch

from fly64_assets.science.physics.canvas_data import CanvasOptics, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, far_fields
from fly64_assets.science.physics.likelihood import BACKGROUND_COUNTS, poisson_nll_torch
from fly64_assets_tests.science.networks.measurements import SHAPE, SIZE, canvas_data, measure, truth


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
    split = CanvasOptics(measurement.probe).data(parts, data.squared_scale[:, 0, 0].sqrt())
    whole, pieces = data.look(data.flat()), split.look(data.flat())
    torch.testing.assert_close(pieces.score, whole.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(split.illumination, data.illumination)
    assert pieces.half_deviance == pytest.approx(whole.half_deviance, rel=1e-5)


def test_canvases_of_one_shape_share_their_lift_and_others_do_not():
    measurement = measure()
    optics = CanvasOptics(measurement.probe)
    positions, scale = torch.as_tensor(measurement.positions_xy_px)[None], torch.ones(1)

    def lift(shape):
        part = Part(PatchGrid(positions, SIZE, shape), lambda: torch.zeros(()))
        return optics.data((part,), scale)._lift

    rows, columns = SHAPE
    assert lift(SHAPE) is lift(SHAPE)
    assert lift((rows + 2, columns)).stiffness(torch.ones((rows + 2, columns), dtype=torch.complex64)).isfinite().all()
