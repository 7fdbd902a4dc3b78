"""No reconstruction depends on the object and patches that lie in a dataset file beside the counts."""

import numpy as np
import pytest

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.record import METHOD_KINDS, Given
from fly64_assets_tests.science.networks.test_inference import bundle_file
from fly64_assets_tests.science.networks.test_training import write_dataset


@pytest.fixture(scope="module")
def measurements(tmp_path_factory):
    """The same counts from a file with the truth and from one with noise in its place."""
    folder = tmp_path_factory.mktemp("datasets")
    honest = write_dataset(folder / "honest.npz")
    source, rng = read_dataset(honest), np.random.default_rng(0)
    noise = [
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
        for shape in (source.object.shape, source.object_patches.shape)
    ]
    blinded = write_dataset(folder / "blinded.npz", image=noise[0], patches=noise[1])
    assert not np.array_equal(read_dataset(blinded).object, source.object)
    return [read_dataset(path).measurement for path in (honest, blinded)]


@pytest.mark.parametrize(
    ("kind", "gridsize", "options"),
    [
        ("unrolled", 2, {}),
        ("supervised", 1, {}),
        ("map", None, {}),
        ("pty_chi", None, {"epochs": 2, "batch_size": 64}),
    ],
)
def test_no_estimate_sees_the_truth(measurements, tmp_path, kind, gridsize, options):
    bundle = None if gridsize is None else bundle_file(tmp_path / "wts.h5.zip", gridsize)
    record = METHOD_KINDS.get(kind)
    given = Given(seed=1, bundle=bundle)
    found = [list(record.reconstruct(m, record.options(**options), given)) for m in measurements]
    for honest, blinded in zip(*found, strict=True):
        np.testing.assert_array_equal(honest.object, blinded.object)
        assert honest.loss == blinded.loss
