"""Procedural objects: every texture, passive, equal by seed, and unlike each other."""

import numpy as np
import pytest

from fly64_assets.science.networks.procedural import TEXTURES, draw_object, power_law_noise
from fly64_assets.science.physics.object import OBJECT_KINDS

SHAPE = (70, 90)


@pytest.mark.parametrize("name", TEXTURES)
def test_every_texture_fills_its_shape_and_varies(name):
    for seed in range(4):
        image = TEXTURES[name](SHAPE, np.random.default_rng(seed))
        assert image.shape == SHAPE
        assert np.isfinite(image).all()
    assert np.ptp(image) > 0


def test_objects_are_passive_and_repeat_with_their_seed():
    for seed in range(8):
        first, again = (draw_object(SHAPE, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first.object, again.object)
        assert first.textures == again.textures
        assert first.object.shape == SHAPE
        assert 0.5 < np.abs(first.object).min() <= np.abs(first.object).max() <= 1.0 + 1e-6


def test_no_two_objects_are_alike():
    phases = [np.angle(draw_object(SHAPE, np.random.default_rng(seed)).object).ravel() for seed in range(12)]
    alike = np.corrcoef(phases) - np.eye(12)
    assert np.abs(alike).max() < 0.9


def test_nothing_that_a_study_can_name_as_its_object_is_drawn():
    assert not set(TEXTURES) & set(OBJECT_KINDS)


def test_noise_has_the_spectrum_that_was_asked_for():
    noise = power_law_noise((256, 256), np.random.default_rng(0), 1.5)
    power = np.abs(np.fft.fft2(noise)) ** 2
    q = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    low, high = (power[(q > k) & (q < 1.2 * k)].mean() for k in (0.05, 0.2))
    assert low / high == pytest.approx(4**3, rel=0.25)
