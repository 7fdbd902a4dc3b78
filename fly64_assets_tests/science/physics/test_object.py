import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy.ndimage import gaussian_filter
from skimage import data, io, transform

from fly64_assets.science.options import ObjectOptions
from fly64_assets.science.physics.object import OBJECT_KINDS, make_object

OPTIONS = TypeAdapter(ObjectOptions)
KINDS = [kind for kind in OBJECT_KINDS if kind != "file"]


def make(seed=0, **options):
    return make_object(OPTIONS.validate_python(options), np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(90, 130), (128, 128), (140, 70)])
def test_every_kind_has_the_shape_phase_and_amplitude_asked_for(kind, shape):
    obj = make(kind=kind, shape_px=shape, phase_range_rad=1.2, minimum_amplitude=0.75, blur_px=0)
    phase, amplitude = np.angle(obj), np.abs(obj)
    assert obj.shape == shape
    assert np.ptp(phase) == pytest.approx(1.2, abs=0.02)
    assert amplitude.min() == pytest.approx(0.75, abs=0.02)
    assert amplitude.max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_phase_and_amplitude_are_not_copies(kind):
    obj = make(kind=kind, shape_px=(160, 120))
    correlation = np.corrcoef(np.angle(obj).ravel(), np.abs(obj).ravel())[0, 1]
    assert abs(correlation) < 0.97
    if kind == "mixed":
        assert abs(correlation) < 0.7


@pytest.mark.parametrize("kind", ["mixed", "cells"])
def test_random_kinds_follow_their_seed(kind):
    assert np.array_equal(make(3, kind=kind), make(3, kind=kind))
    assert not np.allclose(make(3, kind=kind), make(4, kind=kind), atol=1e-2)


@pytest.mark.parametrize("part", [np.angle, np.abs])
def test_mixed_has_structure_at_every_octave(part):
    image = part(make(1, shape_px=(256, 256), blur_px=0.0))
    window = np.outer(np.hanning(256), np.hanning(256))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    frequency = 256 * np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    shares = [power[(frequency >= low) & (frequency < 2 * low)].sum() / power.sum() for low in (1, 2, 4, 8, 16, 32, 64)]
    assert min(shares) > 0.004
    assert max(shares) < 0.6


def test_natural_image_is_the_published_recipe():
    wanted = transform.resize(data.camera().astype(float), (232, 232), anti_aliasing=True)
    wanted = gaussian_filter((wanted - wanted.min()) / np.ptp(wanted), 0.7, mode="nearest")
    y, x = np.mgrid[0:232, 0:232] - 116.0
    star = (np.sin(24 * np.arctan2(y, x)) > 0) & (np.hypot(x, y) < 0.33 * 232)
    amplitude = 1 - 0.25 * gaussian_filter(star.astype(float), 0.7, mode="nearest")
    obj = make(kind="natural_image", shape_px=(232, 232), blur_px=0.7)
    assert np.allclose(np.angle(obj), 1.2 * wanted - 0.6, atol=1e-5)
    assert np.allclose(np.abs(obj), amplitude, atol=1e-5)


def test_files_give_objects(tmp_path):
    stored = make(shape_px=(40, 50))
    np.savez(tmp_path / "o.npz", objectGuess=stored)
    assert np.array_equal(make(kind="file", file=str(tmp_path / "o.npz")), stored)
    io.imsave(tmp_path / "o.png", (np.random.default_rng(0).random((60, 80)) * 255).astype(np.uint8))
    assert make(kind="file", file=str(tmp_path / "o.png"), shape_px=(30, 40)).shape == (30, 40)


def test_unusable_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        make(kind="file", file=str(tmp_path / "absent.npz"))
    np.savez(tmp_path / "a.npz", other=np.ones(3))
    with pytest.raises(ValueError, match="no objectGuess"):
        make(kind="file", file=str(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", objectGuess=np.ones((4, 4)))
    with pytest.raises(ValueError, match="complex"):
        make(kind="file", file=str(tmp_path / "b.npz"))
