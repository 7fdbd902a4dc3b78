import io
from dataclasses import replace

import numpy as np
from PIL import Image

from fly64_assets.science.figures import ComparisonPanels, comparison_figure
from fly64_assets.science.figures import comparison as module
from fly64_assets_tests.science.figures.scenes import made_up_object, made_up_scan

TRUTH = made_up_object((40, 60))
PANELS = ComparisonPanels(
    truth=TRUTH,
    mask=np.ones(TRUTH.shape, dtype=bool),
    aligned={"pinn": TRUTH * np.complex64(0.9), "pty_chi": TRUTH},
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


def test_methods_stand_in_the_fixed_order_whatever_the_dictionary_says() -> None:
    forward = replace(PANELS, aligned={"pinn": TRUTH, "pinn_refined": TRUTH, "pty_chi": TRUTH})
    backward = replace(PANELS, aligned={"pty_chi": TRUTH, "pinn_refined": TRUTH, "pinn": TRUTH})
    assert comparison_figure(forward) == comparison_figure(backward)


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


def test_a_small_figure_for_the_catalog_fits_its_limit() -> None:
    noise = np.random.default_rng(4).normal(scale=0.2, size=(4, 120, 220))
    truth = np.exp(1j * np.linspace(-0.5, 0.5, 220) * np.ones((120, 1))).astype(np.complex64)
    methods = ("pinn", "pinn_refined", "baseline", "pty_chi")
    aligned = {m: (truth + n).astype(np.complex64) for m, n in zip(methods, noise, strict=True)}
    panels = replace(PANELS, truth=truth, mask=np.ones(truth.shape, dtype=bool), aligned=aligned)
    assert len(comparison_figure(panels, panel_in=1.2, max_bytes=60_000)) <= 60_000
