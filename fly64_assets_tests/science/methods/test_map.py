"""The map solver: never up, as many looks as passes, from flat, from a result, and from what lies beyond the grid."""

import numpy as np
import pytest
import torch

from fly64_assets.science.methods.map import MapOptions
from fly64_assets.science.methods.record import METHOD_KINDS, Given
from fly64_assets.science.physics.canvas_data import CanvasData
from fly64_assets.science.physics.descent import Descent, Prior, lower_objective
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets_tests.science.networks.measurements import SHAPE, measure, on_smallest_grid, truth
from fly64_assets_tests.science.networks.test_inference import similarity


def run(measurement, passes=12, **given):
    kind = METHOD_KINDS.get("map")
    options = MapOptions(passes=passes, amplitude_passes=0, tolerance=0)
    return list(kind.reconstruct(measurement, options, Given(seed=0, **given)))


def test_every_pass_is_an_estimate_and_none_raises_the_objective(monkeypatch):
    looks = []
    original = CanvasData.compare

    def counted(self, canvas, deviance):
        looks.append(1)
        return original(self, canvas, deviance)

    monkeypatch.setattr(CanvasData, "compare", counted)
    found = run(measure(1e3))
    assert [estimate.step for estimate in found] == list(range(1, 13))
    assert len(looks) == 12
    assert np.all(np.diff([estimate.loss for estimate in found]) <= 0)
    assert found[-1].loss < found[0].loss


def test_the_loss_is_the_poisson_likelihood_and_the_prior_over_the_squared_scale():
    """The prior's energy, a quadratic form, is half its pull along the deviation."""
    scan = ScanCanvas.of(measure(1e3))
    *_, last = lower_objective(scan.data, scan.data.flat(), Descent(Prior(0.0, 1.0), 5, 0, 0.0))
    deviation = torch.view_as_real(last.canvas - 1).double()
    pull = torch.view_as_real(scan.data.prior_pull(last.canvas)).double()
    likelihood = scan.data.look(last.canvas).half_deviance / float(scan.data.squared_scale)
    assert last.value == pytest.approx(likelihood - float((deviation * pull).sum()), rel=1e-5)
    assert last.value > likelihood


def test_from_flat_it_starts_flat_and_finds_the_object():
    found = run(measure(1e5), passes=30)
    assert np.all(found[0].object == 1)
    assert found[-1].object.shape == SHAPE
    assert similarity(found[-1].object) > 0.9


def test_a_start_is_where_it_starts():
    measurement = measure(1e4)
    found = run(measurement, passes=3, start=truth())
    scan = ScanCanvas.of(measurement)
    canvas = np.zeros(SHAPE, bool)
    canvas[scan.rows, scan.columns] = True
    np.testing.assert_array_equal(found[0].object[canvas], truth()[canvas])
    assert found[0].loss < run(measurement, passes=1)[0].loss


def test_going_on_from_a_result_equals_going_on_with_its_canvas():
    """Only with what lies beyond the end of the grid: the canvas is periodic, and the prior sees all of it."""
    measurement = on_smallest_grid(measure(1e3))
    scan = ScanCanvas.of(measurement)
    generator = torch.Generator().manual_seed(0)
    canvas = scan.from_object_grid(truth()[: measurement.object_shape[0], : measurement.object_shape[1]])
    canvas = canvas + 0.02 * torch.randn(scan.data.shape, dtype=torch.complex64, generator=generator)
    *_, expected = lower_objective(scan.data, canvas, Descent(MapOptions().prior_weights(), 6, 0, 0.0))
    extended, (rows, columns) = scan.on_object_grid(canvas), measurement.object_shape
    start = extended[:rows, :columns]
    whole, cut = (run(measurement, 6, start=start, start_extended=beyond)[-1] for beyond in (extended, None))
    assert np.array_equal(whole.extended, scan.on_object_grid(expected.canvas))
    assert np.array_equal(whole.object, whole.extended[:rows, :columns])
    assert not np.array_equal(cut.object, whole.object)


def test_results_repeat_bit_for_bit():
    first, second = (run(measure(), passes=3)[-1].object for _ in range(2))
    assert np.array_equal(first, second)


def test_a_start_of_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"the start has shape \(71, 64\), the measurement's grid is \(72, 64\)"):
        run(measure(), start=truth()[1:])


def test_a_listener_that_raises_stops_it():
    told = []

    def cancel(report):
        told.append(report)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(measure(), progress=cancel)
    assert [(report.done, report.total) for report in told] == [(1, 12)]
