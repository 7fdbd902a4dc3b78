import json

import numpy as np
import pytest
from pydantic import ValidationError

from fly64_assets.science.contract import read_dataset, read_expected_photons, validate_dataset
from fly64_assets.science.options import ViewOptions
from fly64_assets.science.physics.probe import probe_diameter_px
from fly64_assets.science.views.view import make_view
from fly64_assets_tests.science.small_scan import simulate, small_scan


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    simulate(small_scan(), folder, 1e4)
    return folder


def view(splits, tmp_path, split="train", seed=0, **options):
    return make_view(
        splits / f"{split}.npz", ViewOptions(**options), view_name="v", split=split, out=tmp_path / "v.npz",
        rng=np.random.default_rng(seed), parameter_hash="abc",
    )  # fmt: skip


def test_the_whole_split(splits, tmp_path):
    summary = view(splits, tmp_path, gridsize=1)
    source, kept = read_dataset(splits / "train.npz"), read_dataset(tmp_path / "v.npz")
    assert np.array_equal(source.measurement.amplitude, kept.measurement.amplitude)
    assert np.array_equal(source.object_patches, kept.object_patches)
    assert summary.acceptance_rate == 1
    assert summary.requested_overlap is None
    assert summary.trainable
    assert summary.reason == ""


@pytest.mark.parametrize("options", [{"overlap": 0.7}, {"s_img": 0.5}, {"overlap": 0.0}, {"gridsize": 1}])
@pytest.mark.parametrize("split", ["train", "test"])
def test_views_are_valid_datasets_of_their_patterns(splits, tmp_path, split, options):
    summary = view(splits, tmp_path, split, **options)
    assert validate_dataset(tmp_path / "v.npz", split=split, view="v", parameter_hash="abc") == []
    source, kept = read_dataset(splits / f"{split}.npz"), read_dataset(tmp_path / "v.npz")
    rows = np.flatnonzero(np.isin(source.scan_index, kept.scan_index))
    assert len(rows) == summary.n_kept == len(kept.measurement.amplitude)
    assert np.array_equal(source.measurement.amplitude[rows], kept.measurement.amplitude)
    assert np.array_equal(source.object_patches[rows], kept.object_patches)
    assert np.array_equal(source.measurement.positions_xy_px[rows], kept.measurement.positions_xy_px)
    assert kept.metadata["requested_photons_per_pattern"] == 1e4
    assert abs(summary.dose_z_score) < 5
    expected = read_expected_photons(tmp_path / "v.npz")
    assert summary.expected_photons_per_pattern == pytest.approx(expected.mean())
    totals = kept.measurement.counts().sum(axis=(1, 2), dtype=float)
    assert summary.measured_photons_per_pattern == pytest.approx(totals.mean())


def test_spacing_gives_the_requested_overlap_or_less(splits, tmp_path):
    diameter = probe_diameter_px(read_dataset(splits / "train.npz").measurement.probe)
    summary = view(splits, tmp_path, overlap=0.6)
    positions = read_dataset(tmp_path / "v.npz").measurement.positions_xy_px
    between = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + np.diag(np.full(len(positions), np.inf))
    assert between.min() >= 0.4 * diameter * (1 - 1e-9)
    assert summary.measured_overlap == pytest.approx(1 - between.min(axis=1).mean() / diameter)
    assert summary.measured_overlap <= summary.requested_overlap


def test_selection_is_the_same_for_the_same_generator(splits, tmp_path):
    first = view(splits, tmp_path, seed=3, s_img=0.5)
    content = (tmp_path / "v.npz").read_bytes()
    again = view(splits, tmp_path, seed=3, s_img=0.5)
    assert (first, content) == (again, (tmp_path / "v.npz").read_bytes())
    view(splits, tmp_path, seed=4, s_img=0.5)
    assert content != (tmp_path / "v.npz").read_bytes()


def test_too_few_positions_are_a_reason_not_a_crash(splits, tmp_path):
    summary = view(splits, tmp_path, overlap=0.05, min_train_positions=60)
    assert not summary.trainable
    n_total = len(read_dataset(splits / "train.npz").scan_index)
    for words in (f"keeps {summary.n_kept} of {n_total} train positions", "fewer than the 60", "px apart", "geometry"):
        assert words in summary.reason
    assert validate_dataset(tmp_path / "v.npz") == []
    by_fraction = view(splits, tmp_path, s_img=0.05)
    assert not by_fraction.trainable
    assert "Raise s_img" in by_fraction.reason


def test_groups_of_four_need_four_positions(splits, tmp_path):
    assert not view(splits, tmp_path, overlap=0.0, probe_diameter_px=60.0, min_train_positions=1).trainable
    assert view(splits, tmp_path, overlap=0.0, probe_diameter_px=60.0, min_train_positions=1, gridsize=1).trainable


def test_only_train_splits_are_trained_on(splits, tmp_path):
    assert view(splits, tmp_path, "test", overlap=0.05, min_train_positions=60).trainable


def test_a_wrong_declared_diameter_is_a_warning(splits, tmp_path):
    measured = probe_diameter_px(read_dataset(splits / "train.npz").measurement.probe)
    assert view(splits, tmp_path, gridsize=1, probe_diameter_px=1.15 * measured).warnings == ()
    summary = view(splits, tmp_path, gridsize=1, probe_diameter_px=1.5 * measured)
    assert "differs from the measured" in summary.warnings[0]
    assert summary.metrics.probe_diameter_px == pytest.approx(1.5 * measured)
    assert summary.measured_probe_diameter_px == pytest.approx(measured)


def test_fluence_counts_all_photons_of_the_region(splits, tmp_path):
    whole, half = view(splits, tmp_path, gridsize=1), view(splits, tmp_path, s_img=0.5)
    assert half.photons_per_object_pixel == pytest.approx(0.5 * whole.photons_per_object_pixel, rel=0.2)
    data = read_dataset(splits / "train.npz")
    total = whole.measured_photons_per_pattern * whole.n_kept
    # All photons over the scanned area with its probe-sized margin bounds the figure from below.
    span = np.ptp(data.measurement.positions_xy_px, axis=0) + whole.measured_probe_diameter_px
    assert 0.6 * total / span.prod() < whole.photons_per_object_pixel < 2 * total / span.prod()


def test_oversampling_multiplies_groups(splits, tmp_path):
    summary = view(splits, tmp_path, s_img=0.5, groups_per_position=3.0)
    assert summary.metrics.n_groups_actual == 3 * summary.n_kept
    for options in ({"gridsize": 1, "groups_per_position": 2.0}, {"gridsize": 2, "neighbor_count": 4}):
        with pytest.raises(ValidationError, match="OVERSAMPLING-001"):
            ViewOptions(**options)


def test_summary_is_plain_json(splits, tmp_path):
    plain = view(splits, tmp_path, overlap=0.5).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    for key in ("metric_2_image_based_avg", "requested_overlap", "measured_overlap", "acceptance_rate", "trainable"):
        assert key in plain


def test_the_other_split_is_refused(splits, tmp_path):
    with pytest.raises(ValueError, match="this is the train split, not test"):
        make_view(
            splits / "train.npz", ViewOptions(), view_name="v", split="test", out=tmp_path / "v.npz",
            rng=np.random.default_rng(0), parameter_hash="",
        )  # fmt: skip


def test_nothing_left_is_an_error(splits, tmp_path):
    with pytest.raises(ValueError, match="keeps nothing"):
        view(splits, tmp_path, s_img=1e-3)


def test_a_file_without_expectations_still_gives_a_view(splits, tmp_path):
    with np.load(splits / "train.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "plain.npz", **{key: file[key] for key in file.files if key != "expected_photons"})
    summary = make_view(
        tmp_path / "plain.npz", ViewOptions(s_img=0.5), view_name="v", split="train", out=tmp_path / "v.npz",
        rng=np.random.default_rng(0), parameter_hash="",
    )  # fmt: skip
    assert summary.dose_z_score is None
    assert validate_dataset(tmp_path / "v.npz") == []
