import dataclasses
import hashlib

import numpy as np
import pytest

from fly64_assets.science.contract import read_dataset, read_expected_photons, validate_dataset
from fly64_assets.science.options import DoseOptions, SplitOptions
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.physics.probe import lit_mask
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.study import load_study
from fly64_assets_tests.science.small_scan import simulate, small_scan


def digests(folder):
    return [hashlib.sha256((folder / f"{split}.npz").read_bytes()).hexdigest() for split in ("train", "test")]


def measured_scan(dose=2e4, seed=5):
    """The small scan with integer counts of its own, as if it had been measured."""
    scan = small_scan()
    intensity = diffraction_intensity(extract_patches(scan.object, scan.positions_xy_px, 32), scan.probe)
    scaled = intensity.astype(np.float64) * dose / intensity.sum(axis=(1, 2)).mean()
    counts = np.random.default_rng(seed).poisson(scaled).astype(np.uint32)
    return dataclasses.replace(scan, measured_counts=counts, object_origin="reference")


def test_files_hold_what_was_simulated(tmp_path):
    scan = small_scan()
    summary = simulate(scan, tmp_path, 1e4)
    for split in ("train", "test"):
        assert validate_dataset(tmp_path / f"{split}.npz", split=split, patch_size_px=32) == []
        data = read_dataset(tmp_path / f"{split}.npz")
        index = data.scan_index
        assert np.array_equal(data.measurement.positions_xy_px, scan.positions_xy_px[index])
        assert np.array_equal(data.object_patches, extract_patches(scan.object, scan.positions_xy_px[index], 32))
        assert np.array_equal(data.object, scan.object)
        assert np.array_equal(data.measurement.probe, scan.probe)
        counts = data.measurement.counts()
        expected = read_expected_photons(tmp_path / f"{split}.npz")
        measured = counts.sum(axis=(1, 2), dtype=float)
        assert measured.mean() == pytest.approx(summary.split_measured_photons_per_pattern[split], rel=1e-12)
        assert abs(measured.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())
        assert isinstance(data.measurement.amplitude, np.memmap)
    assert (
        summary.n_train + summary.n_test + summary.n_dropped_train_side + summary.n_dropped_test_side == summary.n_scan
    )
    assert summary.to_dict()["origin"] == "simulated"


@pytest.mark.parametrize("dose", [1e3, 1e4, 1e5])
def test_dose_of_the_whole_scan_is_met_within_counting_statistics(tmp_path, dose):
    scan = small_scan()
    z = np.array([simulate(scan, tmp_path, dose, seed=seed).dose_z_score for seed in range(20)])
    assert np.abs(z).max() < 4.5
    # 20 unit normals: the sum of squares is chi-square with 20 degrees of freedom.
    assert 4.0 < (z**2).sum() < 52.0
    assert abs(z.mean()) < 4.5 / np.sqrt(20)


def test_doses_and_seeds_have_noise_of_their_own(tmp_path):
    scan = small_scan()
    found = {}
    for dose, seed in ((1e3, 1), (1e3, 2), (2e3, 1)):
        simulate(scan, tmp_path, dose, seed=seed)
        data = read_dataset(tmp_path / "train.npz")
        expected = read_expected_photons(tmp_path / "train.npz")
        found[dose, seed] = (data.measurement.counts().sum(axis=(1, 2)) - expected) / np.sqrt(expected)
    residuals = np.stack(list(found.values()))
    correlation = np.corrcoef(residuals) - np.eye(3)
    assert np.abs(correlation).max() < 5 / np.sqrt(residuals.shape[1])


def test_no_two_blocks_or_doses_share_a_stream(tmp_path):
    """On a flat object all patterns expect the same, so that a shared stream would repeat the very counts."""
    scan = small_scan()
    flat = dataclasses.replace(scan, object=np.ones_like(scan.object))
    simulate(flat, tmp_path, 1e3)
    first = read_dataset(tmp_path / "train.npz")
    block, place = np.divmod(first.scan_index, 64)
    pairs = [(i, j) for i in range(len(block)) for j in range(i) if place[i] == place[j]]
    assert pairs
    counts = first.measurement.counts()
    assert not any(np.array_equal(counts[i], counts[j]) for i, j in pairs)
    simulate(flat, tmp_path, 1e3 + 1e-4)
    again = read_dataset(tmp_path / "train.npz").measurement.counts()
    assert not any(np.array_equal(a, b) for a, b in zip(counts, again, strict=True))


def test_bytes_depend_on_neither_order_nor_chunks(tmp_path):
    scan = small_scan()
    for number, doses in enumerate(((1e3, 1e4), (1e4, 1e3))):
        for dose in doses:
            folder = tmp_path / f"{number}_{dose:g}"
            folder.mkdir()
            simulate(scan, folder, dose, chunk_patterns=(512, 7)[number])
    assert digests(tmp_path / "0_1000") == digests(tmp_path / "1_1000")
    assert digests(tmp_path / "0_10000") == digests(tmp_path / "1_10000")
    assert digests(tmp_path / "0_1000") != digests(tmp_path / "0_10000")


def test_progress_counts_patterns_and_may_cancel(tmp_path):
    scan, seen = small_scan(), []
    simulate(scan, tmp_path, progress=seen.append, chunk_patterns=64)
    assert [report.done for report in seen] == sorted({report.done for report in seen})
    assert seen[-1].done == seen[-1].total == len(scan.positions_xy_px)

    def cancel(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(scan, tmp_path, progress=cancel)
    assert [fault.rule for fault in validate_dataset(tmp_path / "train.npz")] == ["not-a-zip"]


@pytest.mark.parametrize("study", ["quick", "fly64"])
def test_written_splits_share_no_lit_object_pixel(tmp_path, study):
    options = load_study(study).scan
    scan = make_scan(options)
    simulate(scan, tmp_path)
    mask = lit_mask(scan.probe, 0.01)
    rows, columns = np.nonzero(mask)
    lit = {}
    for split in ("train", "test"):
        lit[split] = np.zeros(np.add(scan.object.shape, 1), bool)
        corners = read_dataset(tmp_path / f"{split}.npz").measurement.positions_xy_px - len(mask) / 2
        for x, y in {(f(x), g(y)) for x, y in corners for f in (np.floor, np.ceil) for g in (np.floor, np.ceil)}:
            lit[split][rows + int(y), columns + int(x)] = True
    assert not (lit["train"] & lit["test"]).any()
    assert lit["train"].any()
    assert lit["test"].any()


def test_thinning_removes_photons_of_each_pattern(tmp_path):
    scan = measured_scan()
    summary = simulate(scan, tmp_path, 5e3, method="thin")
    assert summary.origin == "thinned"
    assert abs(summary.dose_z_score) < 4.5
    assert summary.thinning_probability == pytest.approx(0.25, rel=0.02)
    for split in ("train", "test"):
        assert validate_dataset(tmp_path / f"{split}.npz") == []
        data = read_dataset(tmp_path / f"{split}.npz")
        measured = scan.measured_counts[data.scan_index]
        assert (data.measurement.counts() <= measured).all()
        expected = read_expected_photons(tmp_path / f"{split}.npz")
        assert np.allclose(expected, measured.sum(axis=(1, 2)) * summary.thinning_probability)


def test_thinned_dose_has_unit_spread(tmp_path):
    scan = measured_scan()
    z = np.array([simulate(scan, tmp_path, 5e3, seed=seed, method="thin").dose_z_score for seed in range(20)])
    assert 4.0 < (z**2).sum() < 52.0


def test_thinning_scales_as_the_square_root(tmp_path):
    scan = measured_scan()
    full = float(scan.measured_counts.sum() / len(scan.measured_counts))
    whole = simulate(scan, tmp_path, full, method="thin")
    assert np.array_equal(
        read_dataset(tmp_path / "train.npz").measurement.counts(),
        scan.measured_counts[read_dataset(tmp_path / "train.npz").scan_index],
    )
    quarter = simulate(scan, tmp_path, full / 4, method="thin")
    assert quarter.counts_scale == pytest.approx(whole.counts_scale / 2, rel=1e-6)


def test_thinning_cannot_add_photons(tmp_path):
    with pytest.raises(ValueError, match=r"only removes photons. Choose a dose of at most"):
        simulate(measured_scan(), tmp_path, 1e6, method="thin")
    with pytest.raises(ValueError, match="no measured counts"):
        simulate(small_scan(), tmp_path, 1e3, method="thin")


def test_a_measured_scan_may_also_be_simulated(tmp_path):
    summary = simulate(measured_scan(), tmp_path, 1e3)
    assert summary.origin == "simulated"
    assert read_dataset(tmp_path / "train.npz").metadata["object_origin"] == "reference"


@pytest.mark.parametrize("dose", [0.0, -5.0, np.nan, np.inf])
def test_meaningless_doses_are_refused(tmp_path, dose):
    with pytest.raises(ValueError, match="positive and finite"):
        simulate(small_scan(), tmp_path, dose)


def test_incoherent_modes_are_simulated(tmp_path):
    scan = small_scan()
    modes = np.concatenate([scan.probe, 0.5 * np.roll(scan.probe, 3, axis=2)])
    summary = simulate(dataclasses.replace(scan, probe=modes), tmp_path, 1e4)
    assert abs(summary.dose_z_score) < 4.5
    assert validate_dataset(tmp_path / "train.npz") == []
    assert read_dataset(tmp_path / "train.npz").measurement.probe.shape == (2, 32, 32)


def test_one_split_may_be_written_alone(tmp_path):
    simulate_dose(
        small_scan(), 1e3, DoseOptions(), SplitOptions(), seed=1, paths={"test": tmp_path / "t.npz"}, parameter_hash=""
    )
    assert validate_dataset(tmp_path / "t.npz", split="test") == []
