"""Where the canvas of a scan lies on the object grid, and that nothing is lost on the way there and back."""

import numpy as np
import pytest
import torch

from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets_tests.science.networks.measurements import SHAPE, measure, on_smallest_grid, truth


def noise(shape):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_the_canvas_comes_back_to_its_place_on_the_object_grid():
    scan = ScanCanvas.of(measure())
    found = scan.on_object_grid(scan.from_object_grid(truth()))
    inside = np.zeros(SHAPE, bool)
    inside[scan.rows, scan.columns] = True
    assert inside.any()
    assert not inside.all()
    np.testing.assert_array_equal(found[inside], truth()[inside])
    np.testing.assert_array_equal(found[~inside], 1)


def test_a_canvas_that_sticks_out_survives_the_extended_grid_bit_for_bit_and_not_the_bare_one():
    measurement = on_smallest_grid(measure())
    scan = ScanCanvas.of(measurement)
    canvas = torch.as_tensor(noise(scan.data.shape))
    extended, (rows, columns) = scan.on_object_grid(canvas), measurement.object_shape
    assert extended.shape == scan.extended_shape > (rows, columns)
    assert torch.equal(scan.from_object_grid(extended), canvas)
    kept = scan.from_object_grid(extended[:rows, :columns])
    height, width = rows - scan.rows.start, columns - scan.columns.start
    assert torch.equal(kept[0, :height, :width], canvas[0, :height, :width])
    kept[0, :height, :width] = 1
    assert torch.equal(kept, scan.data.flat())


def test_an_object_of_a_smaller_grid_is_refused():
    with pytest.raises(ValueError, match=r"the object has shape \(72, 63\), the measurement's grid is \(72, 64\)"):
        ScanCanvas.of(measure()).from_object_grid(truth()[:, :-1])
