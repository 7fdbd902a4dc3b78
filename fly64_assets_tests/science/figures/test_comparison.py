import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fly64_assets.science.figures import ComparisonPanels, comparison_figure
from fly64_assets.science.figures import comparison as module
from fly64_assets.science.palette import method_styles
from fly64_assets_tests.science.figures.scenes import made_up_object, made_up_scan

TRUTH = made_up_object((40, 60))
PANELS = ComparisonPanels(
    truth=TRUTH,
    mask=np.ones(TRUTH.shape, dtype=bool),
    aligned={"pinn": TRUTH * np.complex64(0.9), "pty_chi": TRUTH},
    methods=("pinn", "pinn_refined", "baseline", "pty_chi"),
    origin_yx_px=(16, 18),
    positions_xy_px=made_up_scan().positions_xy_px,
    title="1,000 photons per pattern, dense",
)


def _red_share(png: bytes) -> float:
    """Share of pixels in the colour of failures."""
    rgb = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return float(np.mean(np.abs(rgb - (0xB4, 0x23, 0x18)).max(axis=-1) < 8))


def test_the_figure_is_a_png_and_repeats() -> None:
    png = comparison_figure(PANELS)
    assert png == comparison_figure(PANELS)
    assert Image.open(io.BytesIO(png)).size[0] > 400


def test_a_failed_method_is_said_and_never_drawn_as_the_truth() -> None:
    failed = replace(PANELS, aligned={"pinn": PANELS.aligned["pinn"]}, failures={"pty_chi": "values are not finite"})
    assert _red_share(comparison_figure(PANELS)) < 1e-4
    assert _red_share(comparison_figure(failed)) > 1e-3


def test_a_failed_registration_is_written_over_the_image() -> None:
    failed = replace(PANELS, failures={"pinn": "registration failed: the shift lies at the limit"})
    assert _red_share(comparison_figure(failed)) > 0.001


def test_no_method_at_all_still_shows_the_truth() -> None:
    assert Image.open(io.BytesIO(comparison_figure(replace(PANELS, aligned={})))).format == "PNG"


def test_methods_stand_in_the_order_of_the_study_whatever_the_dictionary_says() -> None:
    forward = replace(PANELS, aligned={"pinn": TRUTH, "pinn_refined": TRUTH, "pty_chi": TRUTH})
    backward = replace(PANELS, aligned={"pty_chi": TRUTH, "pinn_refined": TRUTH, "pinn": TRUTH})
    assert comparison_figure(forward) == comparison_figure(backward)
    other = replace(forward, methods=forward.methods[::-1])
    assert comparison_figure(other) != comparison_figure(forward)


def test_errors_are_method_minus_truth_on_one_symmetric_scale() -> None:
    estimate = (TRUTH * np.exp(0.1j)).astype(np.complex64)
    columns = {"truth": module._quantities(PANELS, None), "pinn": module._quantities(PANELS, estimate)}
    np.testing.assert_allclose(columns["pinn"]["phase error"], 0.1, atol=1e-6)
    low, high = module._row_limits("phase error", columns, PANELS.mask)
    assert low == -high
    np.testing.assert_allclose(high, 0.1, atol=1e-6)


def test_a_phase_of_more_than_a_turn_is_drawn_without_jumps() -> None:
    phase = np.linspace(0, 9.0, 60)[None, :] * np.ones((40, 1))
    truth = np.exp(1j * phase).astype(np.complex64)
    panels = replace(PANELS, truth=truth, aligned={"pinn": (truth * np.exp(0.2j)).astype(np.complex64)})
    of_truth, of_pinn = module._quantities(panels, None), module._quantities(panels, panels.aligned["pinn"])
    np.testing.assert_allclose(np.diff(of_truth["phase"], axis=1), np.diff(phase, axis=1), atol=1e-5)
    np.testing.assert_allclose(of_pinn["phase"] - of_truth["phase"], 0.2, atol=1e-5)


def _noisy(n_methods: int) -> ComparisonPanels:
    noise = np.random.default_rng(4).normal(scale=0.2, size=(n_methods, 120, 220))
    truth = np.exp(1j * np.linspace(-0.5, 0.5, 220) * np.ones((120, 1))).astype(np.complex64)
    names = tuple(f"method_{place}" for place in range(n_methods))
    aligned = {m: (truth + n).astype(np.complex64) for m, n in zip(names, noise, strict=True)}
    mask = np.ones(truth.shape, dtype=bool)
    return replace(PANELS, truth=truth, mask=mask, aligned=aligned, methods=names, captions={names[0]: "SSIM 0.50"})


@pytest.mark.parametrize("n_methods", [4, 7, 10])
def test_a_small_figure_for_the_catalog_fits_its_limit(n_methods: int) -> None:
    assert len(comparison_figure(_noisy(n_methods), panel_in=1.2, max_bytes=60_000)) <= 60_000


def test_ten_methods_stand_in_two_blocks_beside_the_truth_and_stay_within_the_page() -> None:
    assert module._blocks(_noisy(10).methods) == [
        [f"method_{i}" for i in range(5)],
        [f"method_{i}" for i in range(5, 10)],
    ]
    assert [len(block) for block in module._blocks(_noisy(7).methods)] == [4, 3]
    assert module._blocks([]) == [[]]
    ten, five = (Image.open(io.BytesIO(comparison_figure(_noisy(n), max_bytes=2_000_000))).size for n in (10, 5))
    assert abs(ten[0] - five[0]) < 0.05 * five[0], "no wider than five"
    assert ten[1] > 1.8 * five[1]


@given(st.integers(0, 40))
def test_blocks_hold_every_method_once_in_order_and_none_is_wider_than_the_first(n_methods: int) -> None:
    names = [f"m{i}" for i in range(n_methods)]
    blocks = module._blocks(names)
    assert [name for block in blocks for name in block] == names
    assert all(len(block) <= len(blocks[0]) <= module.MAX_METHODS_IN_A_ROW for block in blocks)


def test_names_carry_their_methods_look_and_no_two_are_alike() -> None:
    panels = _noisy(10)
    styles = method_styles(panels.methods)
    heads = {m: module._heading(styles[m], replace(panels, captions={})) for m in panels.methods}
    assert len({(head.split()[0]) for head in heads.values()}) == 10
    _, axes = module._figure(panels, 1.0)
    titles = {axes[0, c].get_title(): axes[0, c].title.get_color() for c in range(1, 6)}
    assert list(titles.values()) == [styles[m].light for m in panels.methods[:5]]
    assert len(set(titles.values())) == 5


def test_a_method_that_diverged_keeps_its_column_with_the_words() -> None:
    panels = replace(_noisy(3), failures={"method_1": "diverged: its objective is not finite"})
    gone = replace(panels, aligned={m: a for m, a in panels.aligned.items() if m != "method_1"})
    _, axes = module._figure(gone, 1.0)
    assert axes[0, 2].get_title().endswith("method_1\ndiverged")
    said = " ".join(text.get_text().replace("\n", " ") for text in axes[0, 2].texts)
    assert said == "diverged: its objective is not finite"
    assert not axes[0, 2].images


def test_a_long_name_is_broken_and_complete() -> None:
    name = "a_name_that_is_as_long_as_a_name_may_be"
    head = module._heading(method_styles([name])[name], PANELS)
    assert head.replace("\n", "") == f"● {name}"
    assert max(map(len, head.split("\n"))) <= module.MAX_NAME_LENGTH + 2


def test_a_method_that_is_not_in_the_study_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['other'\] are not among the study's methods"):
        comparison_figure(replace(PANELS, aligned={"other": TRUTH}))
