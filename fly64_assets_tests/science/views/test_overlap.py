import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from fly64_assets.science.views.overlap import close_pairs, disc_overlap_fraction, overlap_metrics
from fly64_assets.science.views.sampling import make_groups


def disc_overlap(distance, diameter):
    """Lens of two discs, by the textbook formula."""
    radius = diameter / 2
    if distance >= diameter:
        return 0.0
    lens = 2 * radius**2 * math.acos(distance / (2 * radius)) - distance / 2 * math.sqrt(4 * radius**2 - distance**2)
    return lens / (math.pi * radius**2)


def brute_force(positions, groups, k, diameter):
    """Metrics 1 to 3 by loops over all pairs."""

    def between(a, b):
        return math.hypot(a[0] - b[0], a[1] - b[1])

    def average(values):
        return math.fsum(values) / len(values) if values else 0.0

    members = []
    for group in groups.tolist():
        for i in range(len(group)):
            mates = sorted(between(positions[group[i]], positions[group[j]]) for j in range(len(group)) if j != i)
            members.append(average([disc_overlap(d, diameter) for d in mates[:k]]))
    unique = sorted({tuple(position) for position in positions.tolist()})
    images = []
    for i, here in enumerate(unique):
        others = sorted(between(here, there) for j, there in enumerate(unique) if j != i)
        images.append(average([disc_overlap(d, diameter) for d in others[:k]]))
    centroids = [tuple(np.mean([positions[m] for m in group], axis=0)) for group in groups.tolist()]
    between_groups = []
    for i, here in enumerate(centroids):
        near = [between(here, there) for j, there in enumerate(centroids) if j != i]
        between_groups.append(average([disc_overlap(d, diameter) for d in near if d < diameter]))
    return average(members), average(images), average(between_groups)


def shaped(kind, n, generator):
    cloud = generator.random((n, 2)) * generator.uniform(5, 150, 2)
    if kind == "cluster":
        return cloud[generator.integers(0, max(1, n // 6), n)] + generator.normal(0, 2.0, (n, 2))
    if kind == "duplicates":
        return np.round(cloud / 20) * 20
    if kind == "line":
        return np.stack([cloud[:, 0], np.full(n, 7.0)], axis=1)
    if kind == "raster":
        x, y = np.meshgrid(np.arange(8) * 6.0, np.arange(8) * 6.0)
        return np.stack([x.ravel(), y.ravel()], axis=1)[:n]
    if kind == "far":
        return cloud * 1e4 - 5e5
    return cloud


KINDS = ["cloud", "cluster", "duplicates", "line", "raster", "far"]


@pytest.mark.parametrize("gridsize", [1, 2])
@pytest.mark.parametrize("block", range(4))
def test_agrees_with_brute_force(gridsize, block):
    """200 random cases in all."""
    for case in range(25):
        number = 25 * block + case
        generator = np.random.default_rng([gridsize, number])
        n = (1, 2, 3, 4)[case] if case < 4 else int(generator.integers(5, 60))
        positions = shaped(KINDS[number % len(KINDS)], n, generator)
        k, diameter = int(generator.integers(5, 9)), float(generator.uniform(2, 60))
        record = overlap_metrics(
            positions, gridsize=gridsize, n_groups=n, neighbor_count=k, probe_diameter_px=diameter, rng=generator
        )
        groups = make_groups(positions, gridsize=gridsize, n_groups=n, neighbor_count=k, rng=generator)
        wanted = brute_force(positions, groups, k, diameter)
        if gridsize == 1:
            assert record.metric_1_group_based_avg is None
        else:
            assert record.metric_1_group_based_avg == pytest.approx(wanted[0], abs=1e-12)
        assert record.metric_2_image_based_avg == pytest.approx(wanted[1], abs=1e-12)
        assert record.metric_3_group_to_group_avg == pytest.approx(wanted[2], abs=1e-12)


def test_oversampled_groups_agree_with_brute_force():
    positions = np.random.default_rng(0).random((25, 2)) * 60
    record = overlap_metrics(
        positions, gridsize=2, n_groups=90, neighbor_count=7, probe_diameter_px=30.0, rng=np.random.default_rng(4)
    )
    groups = make_groups(positions, gridsize=2, n_groups=90, neighbor_count=7, rng=np.random.default_rng(4))
    wanted = brute_force(positions, groups, 7, 30.0)
    assert record.n_groups_actual == 90
    assert record.metric_1_group_based_avg == pytest.approx(wanted[0], abs=1e-12)
    assert record.metric_3_group_to_group_avg == pytest.approx(wanted[2], abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 150), st.floats(0.5, 50), st.sampled_from(KINDS))
def test_close_pairs_are_all_pairs_below_the_radius(seed, n, radius, kind):
    points = shaped(kind, n, np.random.default_rng(seed))
    found = [np.concatenate(parts) for parts in zip(*close_pairs(points, radius), strict=True)] or [np.zeros(0)] * 3
    between = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1))[np.triu_indices(len(points), 1)]
    near, distances = between[between < radius - 1e-6], found[2][found[2] < radius - 1e-6]
    assert np.allclose(np.sort(distances), np.sort(near), atol=1e-7)
    pairs = {tuple(sorted(pair)) for pair in zip(found[0].tolist(), found[1].tolist(), strict=True)}
    assert len(pairs) == len(found[0])


def test_disc_overlap_is_the_area_of_the_lens():
    for distance in (0.0, 1.0, 5.0, 9.9):
        area, _ = quad(lambda x: 2 * math.sqrt(max(0.0, 25 - x * x)), distance / 2, 5)
        assert disc_overlap_fraction(np.array([distance]), 10.0)[0] == pytest.approx(
            2 * area / (25 * math.pi), abs=1e-9
        )
    assert disc_overlap_fraction(np.array([0.0, 5.0, 10.0, 11.0]), 10.0) == pytest.approx([1, 0.391, 0, 0], abs=5e-4)
    assert disc_overlap_fraction(np.float64(5.0) * np.ones((2, 3)), 10.0).shape == (2, 3)


def test_a_lone_position_overlaps_nothing():
    record = overlap_metrics(
        np.array([[3.0, 4.0]]),
        gridsize=2,
        n_groups=1,
        neighbor_count=7,
        probe_diameter_px=10.0,
        rng=np.random.default_rng(0),
    )
    values = (record.metric_1_group_based_avg, record.metric_2_image_based_avg, record.metric_3_group_to_group_avg)
    assert values == (0.0, 0.0, 0.0)
    assert record.mean_nearest_neighbor_px is None
    assert record.measured_overlap == 0
    assert record.geometry_acceptance_bound == 0
    assert record.effective_min_acceptance == 1e-6


def test_a_raster_has_the_overlap_of_its_step():
    x, y = np.meshgrid(np.arange(20) * 6.0, np.arange(20) * 6.0)
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    record = overlap_metrics(
        positions, gridsize=1, n_groups=1, neighbor_count=1, probe_diameter_px=20.0, rng=np.random.default_rng(0)
    )
    assert record.measured_overlap == pytest.approx(0.7)
    assert record.metric_2_image_based_avg == pytest.approx(disc_overlap(6.0, 20.0), abs=1e-12)
    assert record.geometry_acceptance_bound == 0.10
    assert record.n_groups_actual == 400


def test_geometry_bound_closed_form():
    positions = np.array([[0.0, 0.0], [10.0, 4.0], [5.0, 2.0]])
    record = overlap_metrics(
        positions, gridsize=1, n_groups=1, neighbor_count=2, probe_diameter_px=30.0, rng=np.random.default_rng(0)
    )
    assert record.geometry_acceptance_bound == pytest.approx(40 / (3 * math.pi * 225))


def test_record_has_the_agreed_field_names():
    record = overlap_metrics(
        np.random.default_rng(0).random((9, 2)), gridsize=2, n_groups=9, neighbor_count=7, probe_diameter_px=1.0,
        rng=np.random.default_rng(0), s_img=0.5, n_images_total=18, rng_seed_subsample=42,
    )  # fmt: skip
    names = {
        "metrics_version", "gridsize", "s_img", "n_groups", "neighbor_count", "probe_diameter_px", "rng_seed_subsample",
        "metric_1_group_based_avg", "metric_2_image_based_avg", "metric_3_group_to_group_avg", "n_images_total",
        "n_images_subsampled", "n_unique_images", "n_groups_actual", "geometry_acceptance_bound",
        "effective_min_acceptance",
    }  # fmt: skip
    plain = record.to_dict()
    assert names <= set(plain)
    assert (plain["s_img"], plain["n_images_total"], plain["n_images_subsampled"], plain["rng_seed_subsample"]) == (
        0.5,
        18,
        9,
        42,
    )
    assert all(value is None or type(value) in (int, float, str) for value in plain.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gridsize": 3}, "gridsize"),
        ({"gridsize": 0}, "gridsize"),
        ({"s_img": 0.0}, "s_img"),
        ({"s_img": 1.1}, "s_img"),
        ({"n_groups": 0}, "n_groups"),
        ({"neighbor_count": 0}, "neighbor_count"),
        ({"probe_diameter_px": 0.0}, "probe_diameter_px"),
        ({"probe_diameter_px": -3.0}, "probe_diameter_px"),
        ({"probe_diameter_px": np.nan}, "probe_diameter_px"),
        ({"n_groups": 11, "neighbor_count": 4}, "OVERSAMPLING-001"),
        ({"positions_xy_px": np.zeros((0, 2))}, "no positions"),
        ({"positions_xy_px": np.full((3, 2), np.nan)}, "finite"),
    ],
)
def test_meaningless_requests_are_refused(change, message):
    arguments = {
        "positions_xy_px": np.random.default_rng(0).random((10, 2)),
        "gridsize": 2,
        "n_groups": 10,
        "neighbor_count": 7,
        "probe_diameter_px": 5.0,
        "rng": np.random.default_rng(0),
    }
    with pytest.raises(ValueError, match=message):
        overlap_metrics(**arguments | change)
