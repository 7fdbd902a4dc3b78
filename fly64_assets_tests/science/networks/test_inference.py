"""A trained bundle applied to a small measurement: what comes out, and what it must not depend on."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from fly64_assets.science.networks.bundle import TrainedNetwork, read_bundle, write_bundle
from fly64_assets.science.networks.inference import diffraction_to_obj, estimate_objects, read_bundle_for
from fly64_assets.science.networks.unrolled import unrolled_network
from fly64_assets.science.physics import scan_canvas
from fly64_assets_tests.science.networks.measurements import SHAPE, SIZE, measure, truth


def bundle_file(path, gridsize=2):
    torch.manual_seed(0)
    measurement = measure()
    write_bundle(
        path,
        weights=unrolled_network(2, 4).state_dict(),
        probe=measurement.probe,
        network=TrainedNetwork(
            builder="unrolled_unet",
            learns_from="counts" if gridsize == 2 else "truth",
            stages=2,
            width=4,
            gridsize=gridsize,
            neighbor_count=7,
            patch_size_px=SIZE,
            probe_modes=1,
            counts_scale=measurement.counts_scale,
            dose=1e4,
        ),
        seed=0,
        epochs_completed=1,
        global_step=1,
        provenance={},
    )
    return path


def objects(path, measurement, **more):
    """The objects on the grid, earliest first."""
    rows, columns = measurement.object_shape
    found = estimate_objects(read_bundle_for(path, measurement), measurement, **more)
    return [extended[:rows, :columns] for _, extended in found]


def result(path, measurement, **more):
    return objects(path, measurement, **more)[-1]


@pytest.fixture
def bundle(tmp_path):
    return bundle_file(tmp_path / "wts.h5.zip")


def similarity(found, image=None):
    """Phase correlation with the truth where the object is well lit."""
    image = truth() if image is None else image
    inner = (slice(22, -22), slice(22, -22))
    turned = found[inner] * np.exp(-1j * np.angle(np.vdot(image[inner], found[inner])))
    return np.corrcoef(np.angle(turned).ravel(), np.angle(image[inner]).ravel())[0, 1]


def test_the_object_comes_out_better_with_every_look(bundle):
    measurement = measure(1e5)
    first, last = objects(bundle, measurement)
    assert first.shape == last.shape == SHAPE
    assert similarity(last) > max(0.6, similarity(first))


def test_the_last_object_is_what_the_network_gives_in_one_go(bundle):
    measurement = measure()
    looks = [look for look, _ in estimate_objects(read_bundle(bundle), measurement)]
    assert looks == [1, 2]
    scan = scan_canvas.ScanCanvas.of(measurement)
    with torch.inference_mode():
        canvas = read_bundle(bundle).network()(scan.data)
    rows, columns = SHAPE
    assert np.array_equal(result(bundle, measurement), scan.on_object_grid(canvas)[:rows, :columns])


def test_applying_a_network_imports_no_training():
    code = (
        "import sys; import fly64_assets.science.networks.inference, fly64_assets.science.methods.unrolled;"
        "print([name for name in ('lightning', 'torchvision', 'ptychi') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_order_of_positions_does_not_matter(tmp_path, gridsize):
    path, measurement = bundle_file(tmp_path / "wts.h5.zip", gridsize), measure()
    order = np.random.default_rng(0).permutation(len(measurement.positions_xy_px))
    shuffled = dataclasses.replace(
        measurement,
        amplitude=measurement.amplitude[order],
        positions_xy_px=measurement.positions_xy_px[order],
    )
    found = [result(path, m) for m in (measurement, shuffled)]
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)


def test_parts_of_a_scan_give_what_the_whole_gives(bundle, monkeypatch):
    measurement = measure()
    whole = result(bundle, measurement)
    monkeypatch.setattr(scan_canvas, "_PART_PATTERNS", 7)
    np.testing.assert_allclose(result(bundle, measurement), whole, atol=1e-3)


def test_single_patterns_are_stitched_into_the_object(tmp_path):
    (found,) = objects(bundle_file(tmp_path / "b.zip", 1), measure(1e5))
    assert found.shape == SHAPE
    assert similarity(found) > 0.4


def test_groups_of_four_follow_the_declared_contract(bundle):
    measurement = measure(1e5)
    groups = np.arange(8).reshape(2, 4)
    patches = diffraction_to_obj(
        read_bundle(bundle),
        measurement.amplitude[groups],
        measurement.positions_xy_px[groups][:, :, None],
        measurement.probe[0],
        measurement.counts_scale,
    )
    assert patches.shape == (2, 4, SIZE, SIZE)
    assert patches.dtype == np.complex64
    moved = diffraction_to_obj(
        read_bundle(bundle),
        measurement.amplitude[groups],
        measurement.positions_xy_px[groups][:, :, None] + 100.0,
        measurement.probe[0],
        measurement.counts_scale,
    )
    np.testing.assert_allclose(patches, moved, atol=1e-3)


def test_another_patch_size_is_refused(bundle):
    measurement = measure()
    cropped = dataclasses.replace(
        measurement, amplitude=measurement.amplitude[:, 4:-4, 4:-4], probe=measurement.probe[:, 4:-4, 4:-4]
    )
    with pytest.raises(ValueError, match="trained on patches of 32 px, the measurement has 24 px"):
        read_bundle_for(bundle, cropped)


def test_a_listener_that_raises_stops_the_reconstruction(bundle):
    def cancel(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        result(bundle, measure(), progress=cancel)
