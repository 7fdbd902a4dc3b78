import numpy as np
import pytest

from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets_tests.science.metrics import cells


def region(threshold: float = 0.1):
    return illuminated_region(cells.probe(), cells.positions(), (cells.OBJECT_PX, cells.OBJECT_PX), threshold)


def test_covers_the_scanned_field_and_not_the_margin() -> None:
    found = region()
    assert found.mask[30:98, 30:98].all()
    assert not found.mask[:8].any()
    assert not found.mask[:, -8:].any()


def test_box_is_the_smallest_that_holds_the_mask() -> None:
    found = region()
    assert found.mask[found.box].sum() == found.mask.sum()
    assert all(found.mask[found.box].any(axis=axis)[[0, -1]].all() for axis in (0, 1))


def test_faint_tails_do_not_move_the_region() -> None:
    """The photon-weighted median ignores how much dark object surrounds the scan."""
    large = illuminated_region(cells.probe(), cells.positions() + 100, (400, 400), 0.1)
    assert large.mask.sum() == region().mask.sum()


def test_weights_are_one_in_the_middle_and_zero_outside() -> None:
    found = region()
    assert found.weight[~found.mask].max() == 0
    assert np.median(found.weight[40:88, 40:88]) > 0.9
    assert found.weight.max() == 1


def test_photons_per_object_pixel_is_the_photon_sum_over_the_mask() -> None:
    found = region(threshold=1e-6)
    photons = found.photons_per_object_pixel(10.0)
    assert photons * found.mask.sum() == pytest.approx(100 * len(cells.positions()), rel=1e-3)


def test_apodisation_is_one_inside_and_vanishes_at_the_edge() -> None:
    window = region().apodisation(8)
    assert window.max() == 1
    assert max(window[0].max(), window[-1].max(), window[:, 0].max()) < 0.05


def test_darkness_is_refused() -> None:
    with pytest.raises(ValueError, match="light nothing"):
        illuminated_region(0 * cells.probe(), cells.positions(), (128, 128), 0.1)
