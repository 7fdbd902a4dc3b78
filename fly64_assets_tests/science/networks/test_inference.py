"""Inference and refinement on a small measurement: what a trained bundle gives, and what it must not depend on."""

import dataclasses

import numpy as np
import pytest
import torch

from fly64_assets.science.methods import scan_canvas
from fly64_assets.science.methods.quasi_newton import refine_canvas
from fly64_assets.science.networks.bundle import NetworkRecord, read_bundle, write_bundle
from fly64_assets.science.networks.inference import diffraction_to_obj, reconstruct_with_network
from fly64_assets.science.networks.unrolled import UnrolledNetwork
from fly64_assets.science.options import RefineOptions
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets_tests.science.networks.measurements import SHAPE, SIZE, measure, truth


def bundle_file(path, gridsize=2):
    torch.manual_seed(0)
    measurement = measure()
    write_bundle(
        path,
        weights=UnrolledNetwork(2, 4).state_dict(),
        probe=measurement.probe,
        network=NetworkRecord(
            kind="pinn" if gridsize == 2 else "supervised",
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


@pytest.fixture
def bundle(tmp_path):
    return bundle_file(tmp_path / "wts.h5.zip")


def similarity(found, image=None):
    """Phase correlation with the truth where the object is well lit."""
    image = truth() if image is None else image
    inner = (slice(22, -22), slice(22, -22))
    turned = found[inner] * np.exp(-1j * np.angle(np.vdot(image[inner], found[inner])))
    return np.corrcoef(np.angle(turned).ravel(), np.angle(image[inner]).ravel())[0, 1]


def test_the_object_comes_out_and_refinement_sharpens_it(bundle):
    measurement = measure(1e5)
    pinn = reconstruct_with_network(bundle, measurement, method="pinn")
    refined = reconstruct_with_network(bundle, measurement, method="pinn_refined", refine=RefineOptions())
    assert pinn.object.shape == SHAPE
    assert similarity(pinn.object) > 0.6
    assert similarity(refined.object) > max(0.9, similarity(pinn.object))
    assert (pinn.method, refined.method) == ("pinn", "pinn_refined")
    assert pinn.cpu_seconds > 0
    assert len(refined.loss_values) == 20
    assert np.all(np.diff(refined.loss_values) <= 0)


@pytest.mark.parametrize("gridsize", [1, 2])
def test_the_order_of_positions_does_not_matter(tmp_path, gridsize):
    path, measurement = bundle_file(tmp_path / "wts.h5.zip", gridsize), measure()
    order = np.random.default_rng(0).permutation(len(measurement.positions_xy_px))
    shuffled = dataclasses.replace(
        measurement,
        amplitude=measurement.amplitude[order],
        positions_xy_px=measurement.positions_xy_px[order],
    )
    method = "pinn" if gridsize == 2 else "baseline"
    found = [reconstruct_with_network(path, m, method=method).object for m in (measurement, shuffled)]
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)


def test_parts_of_a_scan_give_what_the_whole_gives(bundle, monkeypatch):
    measurement = measure()
    whole = reconstruct_with_network(bundle, measurement, method="pinn").object
    monkeypatch.setattr(scan_canvas, "_PART_PATTERNS", 7)
    np.testing.assert_allclose(reconstruct_with_network(bundle, measurement, method="pinn").object, whole, atol=1e-3)


def test_single_patterns_are_stitched_into_the_object(tmp_path):
    found = reconstruct_with_network(bundle_file(tmp_path / "b.zip", 1), measure(1e5), method="baseline")
    assert similarity(found.object) > 0.4


def test_results_repeat_bit_for_bit(bundle):
    first, second = (
        reconstruct_with_network(bundle, measure(), method="pinn_refined", refine=RefineOptions(passes=3)).object
        for _ in range(2)
    )
    assert np.array_equal(first, second)


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
        reconstruct_with_network(bundle, cropped, method="pinn")


def test_a_listener_that_raises_stops_the_reconstruction(bundle):
    def cancel(_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        reconstruct_with_network(bundle, measure(), method="pinn", progress=cancel)


def test_refinement_never_raises_its_objective_and_counts_its_passes():
    scan = ScanCanvas.of(measure(1e3))
    looks = []
    original = type(scan.data).look

    def counted(self, canvas, judgement=None):
        looks.append(1)
        return original(self, canvas, judgement)

    type(scan.data).look = counted
    try:
        _, values = refine_canvas(scan.data, scan.data.flat(), 12)
    finally:
        type(scan.data).look = original
    assert len(looks) == len(values) == 12
    assert np.all(np.diff(values) <= 0)
    assert refine_canvas(scan.data, scan.data.flat(), 0)[1] == []


def test_the_canvas_comes_back_to_its_place_on_the_object_grid():
    scan = ScanCanvas.of(measure())
    cut = truth()[scan.rows, scan.columns]
    canvas = scan.data.flat()
    canvas[0, : cut.shape[0], : cut.shape[1]] = torch.as_tensor(cut)
    found = scan.on_object_grid(canvas)
    np.testing.assert_array_equal(found[scan.rows, scan.columns], cut)
    found[scan.rows, scan.columns] = 1
    assert np.all(found == 1)
