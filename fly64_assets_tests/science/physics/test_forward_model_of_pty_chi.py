"""Our forward model against pty-chi's own, in a process of its own, because pty-chi changes torch's defaults."""

import subprocess
import sys

import numpy as np
import pytest

from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets_tests.science.small_scan import small_scan

pytestmark = pytest.mark.slow

CHILD = """
import sys
import numpy as np
from fly64_assets.science.torch_runtime import require_torch
require_torch()
import torch
import ptychi.api as api
from ptychi.api.task import PtychographyTask
from ptychi.forward_models import PlanarPtychographyForwardModel

data = np.load(sys.argv[1])
size, (x, y) = data["probe"].shape[-1], data["positions"].T
results = {}
for name, interpolation, on_probe, origin in (
    ("bilinear_object", api.PatchInterpolationMethods.BILINEAR, False, size / 2),
    ("fourier_probe", api.PatchInterpolationMethods.FOURIER, True, (size - 1) / 2),
):
    options = api.LSQMLOptions()
    options.reconstructor_options.default_device = api.Devices.CPU
    options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
    options.object_options.position_origin_coords = [origin] * 2
    options.object_options.patch_interpolation_method = interpolation
    task = PtychographyTask(
        options,
        diffraction_data=np.ones((len(x), size, size), np.float32),
        object_data=data["object"][None],
        probe_data=data["probe"][None] / size,
        probe_position_x_px=x - size / 2,
        probe_position_y_px=y - size / 2,
    )
    solver = task.reconstructor
    model = PlanarPtychographyForwardModel(
        parameter_group=solver.parameter_group,
        detector_size=(size, size),
        wavelength_m=solver.dataset.wavelength_m,
        free_space_propagation_distance_m=solver.dataset.free_space_propagation_distance_m,
        apply_subpixel_shifts_on_probe=on_probe,
    )
    with torch.no_grad():
        intensity = model.forward(torch.arange(len(x))).cpu().numpy()
    results[name] = np.fft.fftshift(intensity.reshape(-1, size, size), axes=(1, 2))
np.savez(sys.argv[2], **results)
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pty_chi")
    scan = small_scan()
    assert scan.object.shape[0] != scan.object.shape[1]
    positions = np.random.default_rng(0).uniform((20, 20), (60, 95), (20, 2))
    positions[:8] = np.round(positions[:8])
    probe = np.concatenate([scan.probe, 0.3 * np.roll(scan.probe, (2, 5), axis=(1, 2))])
    np.savez(folder / "in.npz", object=scan.object, probe=probe, positions=positions)
    command = [sys.executable, "-c", CHILD, str(folder / "in.npz"), str(folder / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    ours = diffraction_intensity(extract_patches(scan.object, positions, 32), probe)
    with np.load(folder / "out.npz") as theirs:
        return ours, {key: theirs[key] for key in theirs.files}


def relative_rms(theirs, ours):
    return np.sqrt(np.sum((theirs - ours) ** 2) / np.sum(ours.astype(float) ** 2))


def test_agreement_at_sub_pixel_positions_of_a_non_square_object(case):
    ours, theirs = case
    difference = np.abs(theirs["bilinear_object"] - ours)
    assert difference.max() < 1e-5 * ours.max()
    assert relative_rms(theirs["bilinear_object"], ours) < 1e-5


def test_agreement_with_the_model_that_its_solvers_use_at_whole_pixels(case):
    ours, theirs = case
    assert np.abs(theirs["fourier_probe"][:8] - ours[:8]).max() < 1e-5 * ours.max()


def test_the_model_of_its_solvers_differs_a_little_between_pixels(case):
    """LSQML shifts the probe by the fraction where we interpolate the object: a known, small disagreement."""
    ours, theirs = case
    assert 1e-4 < relative_rms(theirs["fourier_probe"][8:], ours[8:]) < 0.03
