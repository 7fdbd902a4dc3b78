import numpy as np
import pytest
import torch

from fly64_assets.science.options import PupilProbe
from fly64_assets.science.physics.canvas_data import CanvasData, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets.science.physics.probe import make_probe

SIZE = 32


def _probe(defocus=4.0, modes=1):
    rng = np.random.default_rng(0)
    parts = [
        make_probe(PupilProbe(pupil_radius_cycles_per_px=0.2, defocus_rad=defocus + 3 * k), SIZE, rng)
        for k in range(modes)
    ]
    return np.concatenate(parts) / np.sqrt(modes).astype(np.float32)


def test_coupling_equals_its_definition():
    probe = _probe()
    far = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe[0]), norm="ortho"))
    lit = np.abs(far) > 0.02 * np.abs(far).max()
    direction = np.where(lit, np.conj(far / np.maximum(np.abs(far), 1e-12)) ** 2, 0)
    found = mirror_coupling(probe)
    for row, column in ((0, 0), (0, 3), (2, -1), (-4, 5)):
        ahead = np.roll(far, (-row, -column), (0, 1))
        behind = np.roll(far, (row, column), (0, 1))
        expected = np.sum(direction * ahead * behind)
        assert found[SIZE // 2 + row, SIZE // 2 + column] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("modes", [1, 2])
def test_coupling_is_one_at_zero_and_symmetric_and_bounded(modes):
    found = mirror_coupling(_probe(modes=modes))
    assert abs(found[SIZE // 2, SIZE // 2]) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found[1:, 1:], found[:0:-1, :0:-1], atol=1e-5)
    assert np.abs(found).max() <= 1 + 1e-5


def test_one_lifted_look_finds_several_times_more_of_a_smooth_phase_than_a_plain_one():
    probe, shape = _probe(), (128, 128)
    wave = 0.05 * np.cos(2 * np.pi * np.arange(128) / 64)[None, :].repeat(128, axis=0)
    truth = torch.as_tensor(np.exp(1j * wave).astype(np.complex64))[None]
    axis = np.arange(SIZE / 2, 128 - SIZE / 2 + 1, 4.0)
    positions = torch.as_tensor(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(1, -1, 2))
    grid = PatchGrid(positions, SIZE, shape)
    modes = torch.as_tensor(probe)
    fields = torch.fft.fft2(grid.gather(truth)[:, :, None] * modes, norm="ortho")
    counts = 1e6 * (fields.abs() ** 2).sum(dim=2)
    lift = SpectralLift(mirror_coupling(probe), shape)
    data = CanvasData((Part(grid, lambda: counts),), modes, torch.full((1,), 1e3), lift, 0)
    score = data.look(data.flat()).score
    middle = (0, slice(48, 80), slice(32, 96))
    reference = wave[48:80, 32:96]

    def recovered(step):
        return float(np.sum(step[middle].imag.numpy() * reference) / np.sum(reference**2))

    plain, lifted = recovered(data.plain_step(score)), recovered(data.newton_step(score))
    assert 4 * plain < lifted < 1.2


def test_damping_grows_as_photons_become_few():
    lift = SpectralLift(mirror_coupling(_probe()), (32, 32))
    score = torch.randn((1, 32, 32), dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    many, few = (lift.inverse(torch.full((1, 1, 1), photons))(score).abs().sum() for photons in (1e4, 1e-1))
    assert few < 0.5 * many


def test_stiffness_is_the_gradient_of_a_quadratic_energy():
    lift = SpectralLift(mirror_coupling(_probe()), (16, 12))
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn((1, 16, 12), dtype=torch.complex64, generator=generator) for _ in range(2))
    left = torch.vdot(a.flatten(), lift.stiffness(b).flatten())
    right = torch.vdot(lift.stiffness(a).flatten(), b.flatten())
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)
    assert torch.vdot(a.flatten(), lift.stiffness(a).flatten()).real > 0
