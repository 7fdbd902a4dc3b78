"""Methods with a network: the iterator of estimates that their bundle gives."""

import numpy as np
import pytest

from fly64_assets.science.methods.record import METHOD_KINDS, Given
from fly64_assets.science.networks.inference import estimate_objects, read_bundle_for
from fly64_assets_tests.science.networks.measurements import measure, on_smallest_grid
from fly64_assets_tests.science.networks.test_inference import bundle_file

MEASUREMENT = on_smallest_grid(measure())


def estimates(kind, **given):
    record = METHOD_KINDS.get(kind)
    return record.reconstruct(MEASUREMENT, record.options(), Given(seed=0, **given))


@pytest.mark.parametrize(
    ("kind", "gridsize", "steps"), [("unrolled", 2, [1, 2]), ("supervised", 1, [2]), ("supervised", 2, [1, 2])]
)
def test_estimates_are_those_of_the_network_with_its_looks_as_steps(tmp_path, kind, gridsize, steps):
    bundle = bundle_file(tmp_path / "wts.h5.zip", gridsize)
    found = list(estimates(kind, bundle=bundle))
    assert [estimate.step for estimate in found] == steps
    rows, columns = MEASUREMENT.object_shape
    assert all(estimate.object.shape == (rows, columns) and estimate.loss is None for estimate in found)
    *_, (_, expected) = estimate_objects(read_bundle_for(bundle, MEASUREMENT), MEASUREMENT)
    assert np.array_equal(found[-1].object, expected[:rows, :columns])
    if gridsize == 1:
        assert found[-1].extended is None
    else:
        assert np.array_equal(found[-1].extended, expected)


def test_a_missing_or_broken_bundle_is_refused_before_the_first_estimate(tmp_path):
    with pytest.raises(ValueError, match="was given none"):
        estimates("unrolled")
    (tmp_path / "wts.h5.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="no intact zip file"):
        estimates("unrolled", bundle=tmp_path / "wts.h5.zip")
