import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from fly64_assets.science.options import PositionOptions, PupilProbe, RasterPath
from fly64_assets.science.physics.probe import lit_mask, make_probe
from fly64_assets.science.physics.scan_positions import PATH_KINDS, make_positions, split_with_guard_band
from fly64_assets.science.scan import make_scan
from fly64_assets.study import load_study


def make(seed=0, shape=(120, 90), size=32, **options):
    return make_positions(
        TypeAdapter(PositionOptions).validate_python(options), shape, size, np.random.default_rng(seed)
    )


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(PATH_KINDS)),
    st.floats(0.9, 30),
    st.floats(0, 1),
    st.integers(32, 200),
    st.integers(32, 200),
    st.integers(0, 99),
)
def test_every_patch_lies_inside_the_object(kind, step, jitter, rows, columns, seed):
    positions = make(seed, (rows, columns), kind=kind, step_px=step, jitter_fraction=jitter)
    assert len(positions) >= 1
    assert (positions >= 16).all()
    assert (positions <= np.array([columns, rows]) - 16).all()


@pytest.mark.parametrize("kind", sorted(PATH_KINDS))
@pytest.mark.parametrize("n", [1, 7, 100, 1003])
def test_a_number_of_positions_is_met_exactly(kind, n):
    assert len(make(kind=kind, n_positions=n)) == n


def test_raster_without_jitter_has_the_step_asked_for():
    positions = make(step_px=7.0, jitter_fraction=0.0)
    first_row = positions[positions[:, 1] == positions[0, 1]]
    assert np.allclose(np.diff(first_row[:, 0]), 7.0)
    assert np.allclose(np.unique(np.diff(np.unique(positions[:, 1].round(9)))), 7.0)
    # Centred: the same margin left and right.
    assert first_row[0, 0] - 16 == pytest.approx(90 - 16 - first_row[-1, 0])


def test_raster_runs_back_and_forth():
    positions = make(step_px=7.0, jitter_fraction=0.0)
    jumps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    assert jumps.max() == pytest.approx(7.0)


def test_spiral_density_is_one_position_per_square_step():
    positions = make(shape=(400, 400), kind="spiral", step_px=6.0)
    assert len(positions) == pytest.approx((400 - 32) ** 2 / 36, rel=0.03)


def test_positions_may_be_whole_pixels():
    whole, plain = make(whole_pixels=True, margin_px=0.5), make(margin_px=0.5)
    assert np.array_equal(whole, np.round(whole))
    assert np.abs(whole - plain).max() <= 1.0
    assert whole.min() >= 16.5
    assert (whole <= np.array([90, 120]) - 16.5).all()


def test_fly64_geometry():
    options = RasterPath(n_positions=10_304, margin_px=1.5)
    positions = make_positions(options, (232, 232), 64, np.random.default_rng(0))
    assert len(positions) == 10_304
    assert positions.min() >= 33.5
    assert positions.max() <= 198.5


def test_too_small_an_object_is_named():
    with pytest.raises(ValueError, match=r"enlarge object\.shape_px"):
        make(shape=(40, 20))


def lit_pixels(positions, probe, limit, shape):
    """Object pixels that any position reads with weight into a lit probe pixel, one position after the other."""
    mask = lit_mask(probe, limit)
    size = mask.shape[0]
    rows, columns = np.nonzero(mask)
    lit = np.zeros((shape[0] + 1, shape[1] + 1), bool)
    for x, y in positions:
        for ys in {int(np.floor(y)), int(np.ceil(y))}:
            for xs in {int(np.floor(x)), int(np.ceil(x))}:
                lit[rows + ys - size // 2, columns + xs - size // 2] = True
    return lit


def assert_split_is_exact(positions, probe, shape, limit=0.01):
    split = split_with_guard_band(positions, probe, limit)
    train, test = (lit_pixels(positions[part], probe, limit, shape) for part in (split.train, split.test))
    assert not (train & test).any()
    everything = np.concatenate([split.train, split.test, split.dropped])
    assert np.array_equal(np.sort(everything), np.arange(len(positions)))
    y = positions[:, 1]
    assert split.cut_y_px == pytest.approx((y.min() + y.max()) / 2)
    assert (y[split.train] <= split.cut_y_px - split.guard_half_width_px + 1e-9).all()
    assert (y[split.test] >= split.cut_y_px + split.guard_half_width_px - 1e-9).all()
    assert (np.abs(y[split.dropped] - split.cut_y_px) < split.guard_half_width_px).all()
    return split


def test_guard_band_is_the_narrowest_exact_one():
    probe = make_probe(PupilProbe(), 64, np.random.default_rng(0))
    positions = make(shape=(260, 150), size=64, step_px=4.0)
    split = assert_split_is_exact(positions, probe, (260, 150))
    distance = np.abs(positions[:, 1] - split.cut_y_px)
    narrower = distance >= np.max(distance[split.dropped])
    below = narrower & (positions[:, 1] < split.cut_y_px)
    above = narrower & (positions[:, 1] >= split.cut_y_px)
    shared = lit_pixels(positions[below], probe, 0.01, (260, 150)) & lit_pixels(
        positions[above], probe, 0.01, (260, 150)
    )
    assert shared.any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 60), st.sampled_from([0.001, 0.01, 0.3]))
def test_guard_band_on_random_scans(seed, n, limit):
    generator = np.random.default_rng(seed)
    probe = (generator.standard_normal((2, 8, 8)) * np.exp(-np.hypot(*(np.indices((8, 8)) - 4)))).astype(np.complex64)
    positions = 4 + generator.random((n, 2)) * (30, 60)
    try:
        assert_split_is_exact(positions, probe, (70, 40), limit)
    except ValueError as error:
        assert "guard band" in str(error)


@pytest.mark.parametrize("study", ["quick", "fly64"])
def test_no_lit_object_pixel_is_shared_in_shipped_studies(study):
    scan = make_scan(load_study(study).scan)
    split = assert_split_is_exact(scan.positions_xy_px, scan.probe, scan.object.shape)
    assert len(split.train) > 100
    assert len(split.test) > 100


def test_a_scan_no_taller_than_the_probe_cannot_be_split():
    probe = make_probe(PupilProbe(), 64, np.random.default_rng(0))
    with pytest.raises(ValueError, match="scan a taller area"):
        split_with_guard_band(make(shape=(80, 300), size=64), probe, 0.01)
