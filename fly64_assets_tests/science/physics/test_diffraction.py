import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from fly64_assets.science.options import PupilProbe
from fly64_assets.science.physics.diffraction import (
    diffraction_intensity,
    extract_patches,
    pattern_energies,
)
from fly64_assets.science.physics.probe import make_probe


def complex_noise(shape, seed=0):
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)


PROBE = make_probe(PupilProbe(aberration_rad=0.5), 32, np.random.default_rng(1))


def test_whole_positions_copy_pixels():
    obj = complex_noise((70, 50))
    patch = extract_patches(obj, np.array([[20.0, 33.0]]), 16)[0]
    assert np.array_equal(patch, obj[33 - 8 : 33 + 8, 20 - 8 : 20 + 8])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([(40, 30), (16, 40), (16, 16), (17, 31)]))
def test_patches_are_bilinear(seed, shape):
    obj = complex_noise(shape, seed)
    generator = np.random.default_rng(seed)
    positions = 8 + generator.random((5, 2)) * (np.array(shape[::-1]) - 16)
    positions[0] = np.array(shape[::-1]) - 8  # the far corner, where nothing lies beyond
    patches = extract_patches(obj, positions, 16)
    for patch, (x, y) in zip(patches, positions, strict=True):
        grid = np.mgrid[0:16, 0:16] - 8 + np.array([y, x])[:, None, None]
        parts = [map_coordinates(part.astype(float), grid, order=1, mode="nearest") for part in (obj.real, obj.imag)]
        assert np.allclose(patch, parts[0] + 1j * parts[1], atol=2e-6)


@pytest.mark.parametrize("position", [(7.9, 20), (20, 7.9), (42.1, 20), (20, 62.1), (np.nan, 20)])
def test_patches_outside_are_refused(position):
    with pytest.raises(ValueError, match=r"1 of 2 patches leave the object of 70 x 50 px; first: position 1"):
        extract_patches(complex_noise((70, 50)), np.array([[20.0, 20.0], position]), 16)


def test_a_shifted_object_gives_shifted_patches():
    obj = complex_noise((80, 60))
    positions = np.array([[25.3, 30.7], [31.0, 41.25]])
    rolled = np.roll(obj, (5, 3), axis=(0, 1))
    assert np.allclose(
        extract_patches(obj, positions, 32), extract_patches(rolled, positions + np.array([3, 5]), 32), atol=1e-6
    )


def test_intensity_is_the_centred_discrete_fourier_transform():
    size = 32
    patches = complex_noise((3, size, size))
    index = np.arange(size)
    matrix = np.exp(-2j * np.pi * np.outer(index - size // 2, index) / size)
    far = matrix @ (patches * PROBE[0]).astype(complex) @ matrix.T / size
    intensity = diffraction_intensity(patches, PROBE)
    assert np.allclose(intensity, np.abs(far) ** 2, rtol=1e-4, atol=1e-6 * intensity.max())


def test_a_uniform_object_gives_the_probe_diffraction():
    flat = np.full((1, 32, 32), 0.6 * np.exp(0.4j), np.complex64)
    wanted = 0.36 * np.abs(np.fft.fftshift(np.fft.fft2(PROBE[0])) / 32) ** 2
    assert np.allclose(diffraction_intensity(flat, PROBE)[0], wanted, atol=1e-6 * wanted.max())


def test_a_flat_probe_on_a_flat_object_lights_the_central_pixel():
    flat = np.ones((1, 16, 16), np.complex64)
    intensity = diffraction_intensity(flat, flat / 16)[0]
    assert intensity[8, 8] == pytest.approx(1.0)
    assert intensity.sum() == pytest.approx(1.0)


def test_energy_is_conserved_and_modes_add():
    patches = complex_noise((20, 32, 32))
    modes = np.concatenate([PROBE, 0.3 * complex_noise((2, 32, 32), 5)])
    intensity = diffraction_intensity(patches, modes).sum(axis=(1, 2), dtype=float)
    wanted = (np.abs(patches[:, None] * modes) ** 2).sum(axis=(1, 2, 3), dtype=float)
    assert np.allclose(intensity, wanted, rtol=1e-5)
    parts = sum(diffraction_intensity(patches, mode[None]) for mode in modes)
    assert np.allclose(diffraction_intensity(patches, modes), parts, rtol=1e-4, atol=1e-6 * parts.max())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([(50, 70), (16, 40), (16, 16), (33, 17)]))
def test_energies_without_patches_equal_those_of_patches(seed, shape):
    obj, generator = complex_noise(shape, seed), np.random.default_rng(seed)
    probe = complex_noise((2, 16, 16), seed + 1)
    positions = 8 + generator.random((9, 2)) * (np.array(shape[::-1]) - 16)
    positions[0] = np.array(shape[::-1]) - 8
    positions[1] = np.round(positions[1])
    patches = extract_patches(obj, positions, 16).astype(complex)
    wanted = (np.abs(patches[:, None] * probe) ** 2).sum(axis=(1, 2, 3))
    assert np.allclose(pattern_energies(obj, probe, positions), wanted, rtol=1e-5)
