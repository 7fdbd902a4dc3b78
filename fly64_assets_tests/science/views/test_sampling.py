import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly64_assets.science.views.sampling import make_groups, select_by_spacing, select_fraction


def rng(seed=0):
    return np.random.default_rng(seed)


def distances(positions):
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10**6), st.integers(1, 80), st.floats(0, 30))
def test_spacing_is_kept_and_nothing_more_fits(seed, n, spacing):
    positions = rng(seed).random((n, 2)) * (40, 25)
    kept = select_by_spacing(positions, spacing, rng(seed))
    assert np.array_equal(kept, np.unique(kept))
    between = distances(positions[kept])
    np.fill_diagonal(between, np.inf)
    assert between.min() >= spacing * (1 - 1e-9)
    if spacing > 0:
        assert (
            distances(positions)[:, kept].min(axis=1) < spacing
        ).sum() == n  # each is kept, or too close to one that is


def test_spacing_is_seeded():
    positions = rng().random((500, 2)) * 100
    first, again = (select_by_spacing(positions, 10.0, rng(3)) for _ in range(2))
    assert np.array_equal(first, again)


def test_packing_is_denser_than_a_random_order():
    positions = rng().random((5000, 2)) * 200
    kept = len(select_by_spacing(positions, 10.0, rng()))
    hexagonal = 200**2 / (10**2 * np.sqrt(3) / 2)
    # A random order keeps about 0.60 of the hexagonal packing of large areas.
    assert kept > 0.68 * hexagonal


def test_positions_exactly_one_spacing_apart_are_kept():
    x, y = np.meshgrid(np.arange(6) * 5.4, np.arange(4) * 5.4)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    assert len(select_by_spacing(grid, 5.4, rng())) == 24


def test_zero_spacing_keeps_duplicates_and_any_other_does_not():
    twice = np.zeros((2, 2))
    assert len(select_by_spacing(twice, 0.0, rng())) == 2
    assert len(select_by_spacing(twice, 1e-6, rng())) == 1


@given(st.integers(1, 300), st.floats(0.01, 1.0), st.integers(0, 99))
def test_fraction_is_without_replacement(n, s_img, seed):
    if round(n * s_img) == 0:
        with pytest.raises(ValueError, match="keeps nothing"):
            select_fraction(n, s_img, rng(seed))
        return
    kept = select_fraction(n, s_img, rng(seed))
    assert len(kept) == round(n * s_img) == len(np.unique(kept))
    assert np.array_equal(kept, select_fraction(n, s_img, rng(seed)))


@pytest.mark.parametrize("s_img", [0.0, -0.1, 1.0001, np.nan])
def test_fractions_outside_are_refused(s_img):
    with pytest.raises(ValueError, match=r"fraction in \(0, 1\]"):
        select_fraction(10, s_img, rng())


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(4, 60), st.booleans())
def test_a_group_is_a_seed_and_its_three_nearest(seed, n, clustered):
    positions = rng(seed).random((n, 2)) * 50
    if clustered:
        positions = np.round(positions / 10) * 10  # many duplicates
    groups = make_groups(positions, gridsize=2, n_groups=n, neighbor_count=7, rng=rng())
    assert groups.shape == (n, 4)
    assert np.array_equal(groups[:, 0], np.arange(n))
    between = distances(positions)
    for group in groups:
        assert len(set(group.tolist())) == 4
        nearest = np.sort(between[group[0]])[:4]
        assert np.allclose(np.sort(between[group[0], group]), nearest, atol=1e-12)


def test_fewer_groups_are_drawn_from_all_positions():
    positions = rng().random((50, 2))
    groups = make_groups(positions, gridsize=2, n_groups=20, neighbor_count=7, rng=rng(1))
    assert len(set(groups[:, 0].tolist())) == 20
    other = make_groups(positions, gridsize=2, n_groups=20, neighbor_count=7, rng=rng(2))
    assert not np.array_equal(groups, other)


def test_oversampled_groups_draw_from_the_k_nearest():
    positions = rng().random((30, 2)) * 20
    groups = make_groups(positions, gridsize=2, n_groups=120, neighbor_count=7, rng=rng())
    assert groups.shape == (120, 4)
    ranks = np.argsort(np.argsort(distances(positions), axis=1), axis=1)
    for group in groups[30:]:
        assert len(set(group.tolist())) == 4
        assert any((ranks[seed, group] < 7).all() for seed in range(30))
    assert len({tuple(sorted(group)) for group in groups.tolist()}) > 60


@pytest.mark.parametrize("n", [1, 2, 3])
def test_too_few_positions_make_groups_of_all(n):
    groups = make_groups(rng().random((n, 2)), gridsize=2, n_groups=n, neighbor_count=7, rng=rng())
    assert groups.shape == (n, n)
    assert all(sorted(group) == list(range(n)) for group in groups.tolist())


def test_gridsize_one_groups_are_positions():
    groups = make_groups(rng().random((9, 2)), gridsize=1, n_groups=9, neighbor_count=7, rng=rng())
    assert np.array_equal(groups, np.arange(9)[:, None])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gridsize": 3}, "gridsize must be 1 or 2"),
        ({"n_groups": 0}, "at least 1"),
        ({"n_groups": 11, "neighbor_count": 4}, "OVERSAMPLING-001"),
        ({"n_groups": 11, "gridsize": 1}, "OVERSAMPLING-001"),
    ],
)
def test_impossible_groups_are_refused(options, message):
    arguments = {"gridsize": 2, "n_groups": 10, "neighbor_count": 7} | options
    with pytest.raises(ValueError, match=message):
        make_groups(rng().random((10, 2)), **arguments, rng=rng())


def test_nothing_cannot_be_grouped():
    with pytest.raises(ValueError, match="no positions"):
        make_groups(np.zeros((0, 2)), gridsize=2, n_groups=1, neighbor_count=7, rng=rng())
