import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fly64_assets.science.options import FileProbe, GaussianProbe, ProbeOptions, PupilProbe, ZonePlateProbe
from fly64_assets.science.physics.probe import (
    PROBE_KINDS,
    illumination_map,
    lit_mask,
    make_probe,
    probe_diameter_px,
    read_probe,
    unit_intensity,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", [kind for kind in PROBE_KINDS if kind != "file"])
def test_model_probes_have_unit_intensity_and_sit_in_the_middle(kind):
    probe = make_probe(TypeAdapter(ProbeOptions).validate_python({"kind": kind}), 64, rng())
    intensity = np.abs(probe[0]) ** 2
    assert probe.shape == (1, 64, 64)
    assert intensity.sum() == pytest.approx(1.0, abs=1e-6)
    row, column = np.indices(intensity.shape)
    assert (intensity * row).sum() == pytest.approx(32, abs=0.02)
    assert (intensity * column).sum() == pytest.approx(32, abs=0.02)


def test_defocused_pupil_has_the_published_diameter():
    # Soft-edged pupil of 0.16 cycles/px with phase pi * 11 * r**2 / 0.16, 5.53 rad at its edge.
    edge_phase = np.pi * 11 * 0.16
    probe = make_probe(PupilProbe(pupil_radius_cycles_per_px=0.16, defocus_rad=edge_phase), 64, rng())
    assert probe_diameter_px(probe) == pytest.approx(21.65, abs=0.15)


def test_pupil_probe_is_band_limited():
    probe = make_probe(PupilProbe(aberration_rad=0.5), 64, rng())
    spectrum = np.abs(np.fft.fft2(probe[0])) ** 2
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None, :])
    assert spectrum[frequency > 0.175].sum() < 1e-10 * spectrum.sum()


def test_zone_plate_is_dark_in_the_pupil_centre():
    probe = make_probe(ZonePlateProbe(central_stop_fraction=0.5), 64, rng())
    spectrum = np.abs(np.fft.fft2(probe[0]))
    assert spectrum[0, 0] < 1e-5 * spectrum.max()


def test_gaussian_diameter_closed_form():
    # I = exp(-4 ln2 r^2 / f^2): (sum I)^2 / sum I^2 = pi f^2 / (2 ln 2), the disc of diameter f sqrt(2 / ln 2).
    probe = make_probe(GaussianProbe(fwhm_px=12.0), 64, rng())
    assert probe_diameter_px(probe) == pytest.approx(12.0 * np.sqrt(2 / np.log(2)), rel=1e-4)


def test_diameter_of_a_disc_is_its_diameter():
    row, column = np.indices((64, 64)) - 32
    disc = (np.hypot(row, column) <= 15).astype(np.complex64)[None]
    assert probe_diameter_px(disc) == pytest.approx(30, rel=0.02)


def test_aberration_structures_the_probe_and_is_seeded():
    plain, first, again, other = (
        make_probe(PupilProbe(aberration_rad=a), 64, rng(s)) for a, s in ((0, 0), (1, 0), (1, 0), (1, 1))
    )
    assert np.array_equal(first, again)
    assert not np.allclose(np.abs(first), np.abs(other), atol=1e-3)
    assert not np.allclose(np.abs(first), np.abs(plain), atol=1e-3)


def test_aberration_has_the_requested_rms():
    plain = np.fft.fft2(np.fft.ifftshift(make_probe(PupilProbe(defocus_rad=0), 64, rng())[0]))
    rough = np.fft.fft2(np.fft.ifftshift(make_probe(PupilProbe(defocus_rad=0, aberration_rad=0.4), 64, rng())[0]))
    weight = np.abs(plain)
    phase = np.angle(rough * plain.conj())
    assert np.sqrt(np.average(phase**2, weights=weight)) == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize("size", [3, 63, 0])
def test_odd_sizes_are_refused(size):
    with pytest.raises(ValueError, match="even"):
        make_probe(PupilProbe(), size, rng())


def test_unit_intensity_refuses_nothing_and_nan():
    for probe in (np.zeros((1, 4, 4), np.complex64), np.full((1, 4, 4), np.nan, np.complex64)):
        with pytest.raises(ValueError, match="finite and positive"):
            unit_intensity(probe)


def test_probe_file_keeps_modes_and_scale(tmp_path):
    modes = (rng().standard_normal((3, 16, 16)) + 1j).astype(np.complex64)
    np.savez(tmp_path / "p.npz", probeGuess=modes)
    assert np.array_equal(make_probe(FileProbe(file=str(tmp_path / "p.npz")), 16, rng()), modes)
    np.savez(tmp_path / "q.npz", probeGuess=modes[0])
    assert np.array_equal(read_probe(tmp_path / "q.npz", 16), modes[:1])
    with pytest.raises(ValueError, match=r"expected finite \(modes, 32, 32\)"):
        read_probe(tmp_path / "p.npz", 32)
    np.savez(tmp_path / "r.npz", other=modes)
    with pytest.raises(ValueError, match="no probeGuess"):
        read_probe(tmp_path / "r.npz", 16)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_illumination_map_equals_adding_probes_one_by_one(n, seed):
    generator = rng(seed)
    probe = (generator.standard_normal((2, 8, 8)) + 1j * generator.standard_normal((2, 8, 8))).astype(np.complex64)
    shape = (30, 22)
    positions = 4 + generator.random((n, 2)) * (np.array(shape[::-1]) - 8)
    intensity = (np.abs(probe.astype(complex)) ** 2).sum(axis=0)
    wanted = np.zeros(shape)
    for x, y in positions:
        column, row = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - column, y - row
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                if wy * wx:
                    top, left = row + dy - 4, column + dx - 4
                    wanted[top : top + 8, left : left + 8] += wy * wx * intensity
    light = illumination_map(probe, positions, shape)
    assert np.allclose(light, wanted, atol=1e-10 * wanted.max())
    assert light.sum() == pytest.approx(n * intensity.sum(), rel=1e-10)


def test_lit_mask_is_relative_to_the_peak():
    probe = np.zeros((1, 4, 4), np.complex64)
    probe[0, 1, 1], probe[0, 1, 2], probe[0, 2, 2] = 10, 2, 0.9
    assert lit_mask(probe, 0.01).sum() == 2
    assert lit_mask(probe, 0.001).sum() == 3
