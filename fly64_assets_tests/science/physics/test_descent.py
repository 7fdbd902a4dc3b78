"""Lowering the objective: gradients, phases, when it stops, and which start it takes."""

import numpy as np
import pytest
import torch

from fly64_assets.science.physics.descent import Descent, Objective, Prior, lower_objective, lower_start
from fly64_assets.science.physics.likelihood import AMPLITUDE, POISSON
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets_tests.science.networks.measurements import measure, truth

EDGES, SMOOTH = Prior(2.0, 0.05), Prior(0.0, 1.0)


def scan_of(dose=1e3):
    return ScanCanvas.of(measure(dose))


def lowered(scan, descent, canvas=None):
    return list(lower_objective(scan.data, scan.data.flat() if canvas is None else canvas, descent))


@pytest.mark.parametrize("prior", [EDGES, SMOOTH])
@pytest.mark.parametrize("deviance", [AMPLITUDE, POISSON], ids=lambda deviance: deviance.name)
def test_the_direction_is_half_the_steepest_descent_of_the_value(prior, deviance):
    scan = scan_of(1e4)
    objective = Objective(scan.data, deviance, prior)
    generator = torch.Generator().manual_seed(1)
    canvas = 1 + 0.05 * torch.randn(scan.data.shape, dtype=torch.complex64, generator=generator)
    way = torch.randn(scan.data.shape, dtype=torch.complex64, generator=generator)
    _, downhill = objective(canvas)
    step = 2e-3
    slope = (objective(canvas + step * way)[0] - objective(canvas - step * way)[0]) / (2 * step)
    expected = -2 * float((torch.view_as_real(downhill) * torch.view_as_real(way)).sum())
    assert slope == pytest.approx(expected, rel=2e-2, abs=2e-2 * abs(expected) + 1e-3)


def test_amplitudes_come_first_and_neither_part_ever_rises():
    found = lowered(scan_of(), Descent(EDGES, 20, 8, 0.0))
    values = np.array([step.value for step in found])
    assert len(values) == 20
    assert (np.diff(values[:8]) <= 0).all()
    assert (np.diff(values[8:]) <= 0).all()
    assert torch.equal(found[8].canvas, found[7].canvas)  # the first Poisson look is where the amplitudes ended


def test_it_stops_when_ten_passes_gain_less_than_the_tolerance():
    found = lowered(scan_of(), Descent(EDGES, 400, 0, 1e-3))
    values = np.array([step.value for step in found])
    gains = values[:-10] - values[10:]
    assert len(found) < 400
    assert gains[-1] < 1e-3 * values[-1]
    assert (gains[:-1] >= 1e-3 * values[10:-1]).all()


def test_without_amplitude_passes_or_with_one_pass_there_is_the_start_alone():
    scan = scan_of()
    assert [torch.equal(step.canvas, scan.data.flat()) for step in lowered(scan, Descent(EDGES, 1, 40, 0.0))] == [True]


def test_a_start_that_explains_less_than_flat_is_not_taken():
    scan = scan_of(1e5)
    good = scan.from_object_grid(truth())
    flat = scan.data.flat()
    bad = flat + torch.randn(flat.shape, dtype=flat.dtype, generator=torch.Generator().manual_seed(0))
    assert lower_start(scan.data, [flat, good], EDGES) is good
    assert lower_start(scan.data, [flat, bad], EDGES) is flat
