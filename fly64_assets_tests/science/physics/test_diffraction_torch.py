import numpy as np
import pytest
import torch

from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.physics.diffraction_torch import (
    PatchGrid,
    back_fields,
    canvas_frame,
    far_fields,
    summed_intensity,
    to_fft_order,
)
from fly64_assets.science.physics.probe import illumination_map

SIZE = 16
SHAPE = (44, 36)


def _complex(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.fixture(params=["between pixels", "whole pixels"])
def scene(request):
    rng = np.random.default_rng(3)
    upper = np.array([SHAPE[1], SHAPE[0]]) - SIZE / 2
    positions = rng.uniform(SIZE / 2, upper, (7, 2))
    positions[0] = [SIZE / 2, SIZE / 2]
    positions[1] = upper  # the last row and column, where nothing lies beyond
    if request.param == "whole pixels":
        positions = np.floor(positions)
    return _complex(rng, *SHAPE), _complex(rng, 2, SIZE, SIZE), positions


def _grid(positions, shape=SHAPE):
    return PatchGrid(torch.as_tensor(positions)[None], SIZE, shape)


def test_patches_equal_those_of_the_simulation(scene):
    image, _, positions = scene
    found = _grid(positions).gather(torch.as_tensor(image)[None])[0].numpy()
    np.testing.assert_allclose(found, extract_patches(image, positions, SIZE), atol=2e-6)


def test_intensity_equals_that_of_the_simulation(scene):
    image, probe, positions = scene
    fields = far_fields(_grid(positions).gather(torch.as_tensor(image)[None]), torch.as_tensor(probe))
    expected = diffraction_intensity(extract_patches(image, positions, SIZE), probe)
    found = summed_intensity(fields)[0]
    torch.testing.assert_close(found, to_fft_order(torch.as_tensor(expected)), rtol=1e-4, atol=1e-3)


def test_scatter_is_the_adjoint_of_gather(scene):
    image, _, positions = scene
    grid = _grid(positions)
    patches = _complex(np.random.default_rng(1), 1, len(positions), SIZE, SIZE)
    forward = np.vdot(patches, grid.gather(torch.as_tensor(image)[None]).numpy())
    backward = np.vdot(grid.scatter(torch.as_tensor(patches)).numpy(), image[None])
    assert forward == pytest.approx(backward, rel=1e-4)


def test_back_fields_is_the_adjoint_of_far_fields(scene):
    _, probe, _ = scene
    rng = np.random.default_rng(2)
    patches, fields = _complex(rng, 1, 3, SIZE, SIZE), _complex(rng, 1, 3, 2, SIZE, SIZE)
    modes = torch.as_tensor(probe)
    forward = np.vdot(fields, far_fields(torch.as_tensor(patches), modes).numpy())
    backward = np.vdot(back_fields(torch.as_tensor(fields), modes).numpy(), patches)
    assert forward == pytest.approx(backward, rel=1e-4)


def test_illumination_equals_the_map_of_the_views(scene):
    _, probe, positions = scene
    found = _grid(positions).illumination(torch.as_tensor(probe))[0].numpy()
    np.testing.assert_allclose(found, illumination_map(probe, positions, SHAPE), atol=1e-3)


def test_groups_have_canvases_of_their_own(scene):
    image, _, positions = scene
    canvases = torch.stack([torch.as_tensor(image), torch.as_tensor(2 * image)])
    both = PatchGrid(torch.as_tensor(np.stack([positions, positions[::-1]])), SIZE, SHAPE).gather(canvases)
    np.testing.assert_allclose(both[1].flip(0).numpy(), 2 * both[0].numpy(), rtol=1e-6)


def test_a_patch_that_leaves_the_canvas_is_refused():
    for bad in ([SIZE / 2 - 0.5, 20.0], [20.0, SHAPE[0] - SIZE / 2 + 0.5]):
        with pytest.raises(ValueError, match="leaves its canvas"):
            _grid(np.array([bad]))


def test_canvas_frame_holds_every_patch(scene):
    _, _, positions = scene
    top, left, rows, columns = canvas_frame(positions, SIZE)
    PatchGrid(torch.as_tensor(positions - [left, top])[None], SIZE, (rows, columns))
    assert (top, left) == (0, 0)
