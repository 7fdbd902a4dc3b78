"""No reconstruction depends on the object and patches that lie in a dataset file beside the counts."""

import numpy as np
import pytest

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.pty_chi import PTY_CHI, PtyChiOptions
from fly64_assets.science.methods.record import Given
from fly64_assets.science.networks.inference import reconstruct_with_network
from fly64_assets.science.options import RefineOptions
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
    ("method", "gridsize", "refine"),
    [("pinn", 2, None), ("pinn_refined", 2, RefineOptions()), ("baseline", 1, None)],
)
def test_networks_see_no_truth(measurements, tmp_path, method, gridsize, refine):
    bundle = bundle_file(tmp_path / "wts.h5.zip", gridsize)
    honest, blinded = (reconstruct_with_network(bundle, m, method=method, refine=refine) for m in measurements)
    np.testing.assert_array_equal(honest.object, blinded.object)


def test_pty_chi_sees_no_truth(measurements):
    options = PtyChiOptions(epochs=2, batch_size=64)
    honest, blinded = ([*PTY_CHI.reconstruct(m, options, Given(seed=1))][-1] for m in measurements)
    np.testing.assert_array_equal(honest.object, blinded.object)
    assert honest.loss == blinded.loss
