import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly64_assets.science.networks.stitching import Agreement, merge_canvases, synchronised_phases
from fly64_assets_tests.science.networks.measurements import truth

SIDE = 16


def cut(image, corners):
    return np.stack([image[y : y + SIDE, x : x + SIDE] for y, x in corners]).astype(np.complex64)


def raster(step, shape):
    y, x = (np.arange(0, edge - SIDE + 1, step) for edge in shape)
    return np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)


def bump():
    axis = np.hanning(SIDE + 2)[1:-1]
    return np.outer(axis, axis).astype(np.float32)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), step=st.integers(4, 9))
def test_random_phases_are_undone_in_any_order(seed, step):
    rng, image = np.random.default_rng(seed), truth()
    corners = rng.permutation(raster(step, image.shape))
    phases = rng.uniform(-np.pi, np.pi, len(corners))
    canvases = cut(image, corners) * np.exp(1j * phases).astype(np.complex64)[:, None, None]
    weights = np.broadcast_to(bump(), canvases.shape).copy()
    merged, weight = merge_canvases(canvases, weights, corners, image.shape)
    lit = weight > 1e-3
    turned = merged[lit] * np.exp(-1j * np.angle(np.vdot(image[lit], merged[lit])))
    np.testing.assert_allclose(turned, image[lit], atol=1e-3)


def test_without_synchronisation_the_object_is_lost():
    rng, image = np.random.default_rng(0), truth()
    corners = raster(5, image.shape)
    canvases = cut(image, corners) * np.exp(2j * np.pi * rng.random(len(corners))).astype(np.complex64)[:, None, None]
    weights = np.broadcast_to(bump(), canvases.shape).copy()
    merged, weight = merge_canvases(canvases, weights, corners, image.shape, synchronise=False)
    lit = weight > 0.5
    assert abs(np.vdot(image[lit], merged[lit])) < 0.5 * np.vdot(image[lit], image[lit]).real


def test_noise_in_single_canvases_averages_out():
    rng, image = np.random.default_rng(1), truth()
    corners = raster(3, image.shape)
    noise = 0.3 * rng.standard_normal((2, len(corners), SIDE, SIDE))
    noise = noise[0] + 1j * noise[1]
    turned = (cut(image, corners) + noise) * np.exp(2j * np.pi * rng.random(len(corners)))[:, None, None]
    weights = np.broadcast_to(bump(), turned.shape).copy()
    merged, _ = merge_canvases(turned.astype(np.complex64), weights, corners, image.shape)
    inner = (slice(16, -16), slice(16, -16))
    found = merged[inner] * np.exp(-1j * np.angle(np.vdot(image[inner], merged[inner])))
    assert np.sqrt(np.mean(np.abs(found - image[inner]) ** 2)) < 0.5 * 0.3


def test_separate_islands_are_each_turned_to_mean_phase_zero():
    canvases = np.exp(1j * np.array([0.3, 0.3, 2.0]))[:, None, None] * np.ones((3, SIDE, SIDE))
    corners = np.array([[0, 0], [0, 8], [60, 60]])
    phases = synchronised_phases(canvases.astype(np.complex64), np.ones((3, SIDE, SIDE), np.float32), corners)
    np.testing.assert_allclose(phases, [0.3, 0.3, 2.0], atol=1e-5)


def test_the_agreement_is_hermitian_and_equals_its_definition():
    image, corners = truth(), np.array([[0, 0], [5, 3], [40, 40]])
    canvases = cut(image, corners) * np.exp(1j * np.array([0.0, 1.0, 2.0])).astype(np.complex64)[:, None, None]
    weighted = canvases * bump()
    found = np.stack([Agreement(weighted, corners) @ unit for unit in np.eye(3)], axis=1)
    np.testing.assert_allclose(found, found.conj().T, atol=1e-6)
    shared = np.sum(weighted[0][5:, 3:] * np.conj(weighted[1][:-5, :-3]))
    assert found[0, 1] == pytest.approx(shared, rel=1e-5)
    assert found[1, 1] == pytest.approx(np.sum(np.abs(weighted[1]) ** 2), rel=1e-5)
    assert found[0, 2] == 0


def test_canvases_may_stick_out_of_the_object_and_unlit_pixels_stay_one():
    merged, weight = merge_canvases(
        np.full((1, SIDE, SIDE), 2, np.complex64), np.ones((1, SIDE, SIDE), np.float32), np.array([[-8, -8]]), (20, 20)
    )
    assert np.all(merged[:8, :8] == 2)
    assert np.all(merged[8:] == 1)
    assert weight[8:].sum() == 0


def test_one_canvas_and_a_chain_of_many_are_solved():
    one = np.ones((1, 4, 4), np.complex64)
    assert synchronised_phases(one, one.real.copy(), np.zeros((1, 2), int)) == 0
    corners = np.stack([np.zeros(40, int), 8 * np.arange(40)], axis=1)
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, 40)
    canvases = np.exp(1j * wanted)[:, None, None] * np.ones((40, SIDE, SIDE))
    phases = synchronised_phases(canvases.astype(np.complex64), np.ones((40, SIDE, SIDE), np.float32), corners)
    np.testing.assert_allclose(np.exp(1j * (phases - wanted)), 1, atol=1e-4)
