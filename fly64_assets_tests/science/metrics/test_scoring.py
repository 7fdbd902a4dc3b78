from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fly64_assets.science.interop.ptychodus import read_product, write_product
from fly64_assets.science.metrics.cell_scores import CURVE_COLUMNS, TABLE_COLUMNS, CellScores
from fly64_assets.science.metrics.explanation import WORSE_THAN_FLAT_NOTE, Explanation
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.metrics.scored_cell import alignment_first
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import ALIGNMENTS
from fly64_assets_tests.science.metrics import cells

DATASET, SCAN = cells.cell()
TRUTH = cells.truth()
METHODS = ("wide", "narrow", "map", "rpie")
BARE = ScoringOptions(bootstrap_samples=0, bound_patches=0)
SENSITIVE = [
    (name, part)
    for name in ("mae", "mse", "rmse", "psnr", "ssim", "ms_ssim", "pearson")
    for part in ("amplitude", "phase")
] + [("nrmse", "complex")]
HIGHER_IS_BETTER = {"psnr", "ssim", "ms_ssim", "pearson", "frc50"}


def scored(images: dict[str, np.ndarray], options: ScoringOptions = BARE, seed: int = 0, **keywords) -> CellScores:
    found = {method: cells.reconstruction(image, method) for method, image in images.items()}
    return score_cell(
        found,
        DATASET,
        SCAN,
        options,
        dose=1e4,
        view="dense",
        split="train",
        seed=1,
        rng=np.random.default_rng(seed),
        **keywords,
    )


def values(scores: CellScores, method: str, alignment: str = "full") -> dict[tuple[str, str], float]:
    """A method's scores under an alignment, and those that need none."""
    rows = scores.table[(scores.table.method == method) & scores.table.alignment.isin([alignment, ""])]
    return dict(zip(zip(rows.metric, rows.part, strict=True), rows.value, strict=True))


def noisy(size: float, seed: int = 0) -> np.ndarray:
    return TRUTH + cells.complex_noise(TRUTH.shape, size, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def full() -> CellScores:
    images = {method: noisy(0.05 * (k + 1), seed=k) for k, method in enumerate(METHODS)}
    return scored(images, ScoringOptions(bootstrap_samples=50, bound_patches=1))


def test_table_holds_every_method_metric_and_part(full: CellScores) -> None:
    assert tuple(full.table.columns) == TABLE_COLUMNS
    assert set(full.table.method) == {*METHODS, "flat", "truth", "bound"}
    expected = {*SENSITIVE, ("frc50", "complex"), ("excess_nll", "")}
    for alignment in ALIGNMENTS:
        assert all(set(values(full, method, alignment)) == expected for method in ("flat", "truth"))
        mine = {*expected, ("phase_bound_recovered", "phase")}
        assert all(set(values(full, method, alignment)) == mine for method in METHODS)
    assert set(values(full, "bound")) == {("photons_per_object_pixel", ""), ("phase_bound_rms", "phase")}
    assert not full.table.duplicated(["method", "metric", "part", "alignment"]).any()
    assert set(full.table[["dose", "view", "split", "seed"]].itertuples(index=False, name=None)) == {
        (1e4, "dense", "train", 1)
    }


def test_intervals_hold_the_values(full: CellScores) -> None:
    rows = full.table[full.table.metric.isin(["mae", "rmse", "pearson", "nrmse"]) & full.table.method.isin(METHODS)]
    assert (rows.value_low < rows.value).all()
    assert (rows.value < rows.value_high).all()


def test_curves_and_pairs_come_for_every_method(full: CellScores) -> None:
    assert tuple(full.frc_curves.columns) == CURVE_COLUMNS
    assert set(full.frc_curves.method) == {*METHODS, "bound", "unbiased_bound"}
    assert set(METHODS) == set(full.pairs)
    assert full.frc_curves.notna().all(axis=None)
    pair = full.pairs["wide"]
    assert pair.image.shape == pair.truth.shape == pair.phase_rad.shape == pair.mask.shape
    x, y = pair.corner_xy_px
    assert pair.truth_amplitude[3, 4] == pytest.approx(abs(TRUTH[y + 3, x + 4]))
    assert full.failures == {}


def test_bound_is_below_the_error_of_an_unbiased_noisy_image(full: CellScores) -> None:
    assert 0 < values(full, "bound")["phase_bound_rms", "phase"] < values(full, "narrow")["rmse", "phase"]


def test_swapping_two_files_swaps_their_rows_exactly() -> None:
    options = ScoringOptions(bootstrap_samples=20, bound_patches=0)
    one, two = noisy(0.05), cells.blurred(TRUTH, 1.5)
    first = scored({"wide": one, "rpie": two}, options).table
    second = scored({"wide": two, "rpie": one}, options).table
    swapped = second.assign(method=second.method.replace({"wide": "rpie", "rpie": "wide"}))
    order = ["method", "metric", "part", "alignment"]
    pd.testing.assert_frame_equal(
        first.sort_values(order).reset_index(drop=True),
        swapped.sort_values(order).reset_index(drop=True),
        check_exact=True,
    )


def test_sanity_rows(full: CellScores) -> None:
    flat, truth = values(full, "flat"), values(full, "truth")
    assert flat["pearson", "amplitude"] == flat["pearson", "phase"] == flat["frc50", "complex"] == 0
    assert truth["ssim", "phase"] == pytest.approx(1)
    assert truth["pearson", "amplitude"] == pytest.approx(1)
    assert truth["frc50", "complex"] == 0.5
    assert truth["excess_nll", ""] == 0 < flat["excess_nll", ""]
    notes = full.table[(full.table.method == "truth") & (full.table.metric == "frc50")].note
    assert notes.str.contains("no crossing").all()


def test_a_flat_reconstruction_scores_nothing_even_behind_a_ramp() -> None:
    found = scored({"wide": cells.moved(np.full_like(TRUTH, 2.0), (0, 0), (0.1, 0.05))})
    scores = values(found, "wide")
    assert scores["pearson", "amplitude"] == scores["pearson", "phase"] == scores["frc50", "complex"] == 0
    rows = found.table[(found.table.method == "wide") & (found.table.alignment == "full")]
    assert rows.note.str.contains("constant").all()
    assert found.failures == {}, "the score that stands first registers nothing"


def gauge_cases(count: int) -> None:
    """Phase, scale, ramp and shifts up to 5 px change no score. Any key is a label: many images at once."""
    rng = np.random.default_rng(11)
    bases = [noisy(0.02), noisy(0.2), cells.blurred(TRUTH, 1.0), cells.blurred(noisy(0.3), 2.0)]
    images = {f"base {k}": base for k, base in enumerate(bases)}
    for case in range(count):
        factor = np.exp(rng.uniform(-2, 2) + 2j * np.pi * rng.random())
        shift, ramp = rng.uniform(-5, 5, 2), rng.uniform(-0.5, 0.5, 2)
        images[f"case {case}"] = cells.moved(bases[case % len(bases)], shift, ramp, factor)
    found = scored(images)
    assert found.failures == {}
    for case in range(count):
        original, moved = values(found, f"base {case % len(bases)}"), values(found, f"case {case}")
        for (metric, part), limit in LIMITS.items():
            assert moved[metric, part] == pytest.approx(original[metric, part], abs=limit), (case, metric, part)


LIMITS = {
    (metric, part): 0.1 if metric == "psnr" else 0.01
    for metric, part in [*SENSITIVE, ("frc50", "complex")]
    if metric in HIGHER_IS_BETTER
}


def test_scores_do_not_depend_on_the_gauge() -> None:
    gauge_cases(24)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_gauge_in_250_cases() -> None:
    gauge_cases(250)


def test_noise_worsens_every_score() -> None:
    images = {f"{size} {seed}": noisy(size, seed) for size in (0.03, 0.15) for seed in range(50)}
    found = scored(images)
    tables = {name: values(found, name) for name in images}
    for seed in range(50):
        better, worse = tables[f"0.03 {seed}"], tables[f"0.15 {seed}"]
        for key in [*SENSITIVE, ("frc50", "complex"), ("excess_nll", "")]:
            assert (better[key] > worse[key]) == (key[0] in HIGHER_IS_BETTER), (seed, key)


def test_blur_worsens_every_score_but_the_ring_correlation() -> None:
    found = scored({"wide": cells.blurred(TRUTH, 0.7), "rpie": cells.blurred(TRUTH, 2.0)})
    better, worse = values(found, "wide"), values(found, "rpie")
    for key in [*SENSITIVE, ("excess_nll", "")]:
        assert (better[key] > worse[key]) == (key[0] in HIGHER_IS_BETTER), key
    curve = found.frc_curves[(found.frc_curves.method == "wide") & (found.frc_curves.frequency_cycles_per_px < 0.25)]
    assert len(curve) == 2 * curve.frequency_cycles_per_px.nunique()
    assert curve.frc.min() > 0.97


def test_more_blur_is_worse_in_50_cases() -> None:
    rng = np.random.default_rng(7)
    widths = np.sort(np.stack([rng.uniform(0.6, 1.5, 50), rng.uniform(1.8, 4.0, 50)]), axis=0)
    found = scored(
        {f"{part} {case}": cells.blurred(TRUTH, widths[part, case]) for part in (0, 1) for case in range(50)}
    )
    for case in range(50):
        better, worse = values(found, f"0 {case}"), values(found, f"1 {case}")
        for key in [*SENSITIVE, ("excess_nll", "")]:
            assert (better[key] > worse[key]) == (key[0] in HIGHER_IS_BETTER), (case, widths[:, case], key)


def test_fitting_the_noise_shows_as_negative_excess() -> None:
    """A handful of pixels fitted to the counts beats the truth on those counts."""
    measurement, image = DATASET.measurement, TRUTH.copy()
    trials = [image]
    rng = np.random.default_rng(0)
    for _ in range(12):
        change = np.zeros_like(image)
        change[tuple(rng.integers(40, 88, 2))] = 0.05 * np.exp(2j * np.pi * rng.random())
        pair = {str(sign): cells.reconstruction(trials[-1] + sign * change) for sign in (-1, 0, 1)}
        sums = {name: nll.sum() for name, nll in nll_per_pattern(measurement, pair).items()}
        trials.append(pair[min(sums, key=sums.get)].object)
    assert values(scored({"wide": trials[-1]}), "wide")["excess_nll", ""] < 0


def test_registration_failure_is_said_and_scored_all_the_same() -> None:
    found = scored({"wide": cells.moved(TRUTH, (12.0, 0.0), (0.0, 0.0)), "rpie": noisy(0.1)})
    assert found.failures == {}, "the score that stands first registers nothing"
    rows = found.table[
        (found.table.method == "wide") & (found.table.metric == "ssim") & (found.table.alignment == "full")
    ]
    assert not rows.registration_ok.any()
    assert rows.note.str.contains("not registered").all()
    assert rows.value.notna().all()


def test_only_a_complex_scale_is_free_where_probe_and_positions_are_known() -> None:
    """A ramp and a shift cost nothing in the full alignment, and what they are worth in the score that stands first."""
    images = {"wide": noisy(0.05), "map": 3j * noisy(0.05), "rpie": cells.moved(noisy(0.05), (0.4, 0.0), (0.01, 0.0))}
    found = scored(images)
    first = found.table[found.table.stands_first.eq(True)]
    assert set(first.alignment) == {"scale"}
    of = {(method, name): values(found, method, name)["ssim", "phase"] for method in images for name in ALIGNMENTS}
    assert of["map", "scale"] == pytest.approx(of["wide", "scale"], abs=1e-6)
    assert of["wide", "scale"] == pytest.approx(of["wide", "full"], abs=0.01)
    assert of["rpie", "full"] == pytest.approx(of["wide", "full"], abs=0.01)
    assert of["rpie", "scale"] < of["wide", "scale"] - 0.1
    rows = found.table[(found.table.method == "rpie") & (found.table.metric == "ssim") & (found.table.part == "phase")]
    rows = rows.set_index("alignment")
    assert (rows.shift_x_px["scale"], rows.ramp_x_rad_per_px["scale"]) == (0, 0)
    assert rows.shift_x_px["full"] == pytest.approx(0.4, abs=0.05)
    pair = found.pairs["map"]
    weight = illuminated_region(SCAN.probe, SCAN.positions_xy_px, TRUTH.shape, 0.1).weight
    scale = np.vdot(weight * images["map"], TRUTH) / np.sum(weight * np.abs(images["map"]) ** 2)
    assert pair.alignment.scale == pytest.approx(1 / scale, rel=1e-6)


def test_the_full_alignment_stands_first_where_the_counts_leave_more_open() -> None:
    image, reference = cells.reconstruction(noisy(0.05)), replace(DATASET, metadata={"object_origin": "reference"})
    cases = {
        "scale": (image, DATASET),
        "full: probe": (replace(image, probe=image.probe * np.complex64(1.1)), DATASET),
        "full: modes": (replace(image, probe=cells.probe(2)), DATASET),
        "full: positions": (replace(image, positions_xy_px=image.positions_xy_px + 0.1), DATASET),
        "full: reference": (image, reference),
    }
    for case, (result, dataset) in cases.items():
        assert alignment_first(result, dataset) == case.split(":")[0], case
    labels = {"dose": 1e4, "view": "dense", "split": "test", "seed": 1, "rng": np.random.default_rng(0)}
    table = score_cell({"wide": cases["full: probe"][0], "map": image}, DATASET, SCAN, BARE, **labels).table
    ssim = table[(table.metric == "ssim") & (table.part == "phase") & table.stands_first.eq(True)]
    assert dict(zip(ssim.method, ssim.alignment, strict=True)) == {
        "wide": "full", "map": "scale", "flat": "scale", "truth": "scale",
    }  # fmt: skip


def test_a_result_from_a_file_keeps_what_it_was_given(tmp_path: Path) -> None:
    write_product(tmp_path / "one.h5", cells.reconstruction(noisy(0.05)))
    assert alignment_first(read_product(tmp_path / "one.h5"), DATASET) == "scale"


def test_the_phase_error_of_a_ring_is_that_of_known_noise() -> None:
    """White phase noise has the same power at every frequency: its variance."""
    rng = np.random.default_rng(2)
    found = scored({"wide": TRUTH * np.exp(1j * rng.normal(scale=0.05, size=TRUTH.shape))})
    curve = found.frc_curves[(found.frc_curves.method == "wide") & (found.frc_curves.alignment == "scale")]
    assert curve.phase_error_power.iloc[5:].mean() == pytest.approx(0.05**2, rel=0.05)
    assert np.abs(curve.phase_error_power.iloc[5:] / 0.05**2 - 1).max() < 0.5


def test_values_that_are_not_finite_fail_their_own_rows_only() -> None:
    spoiled = TRUTH.copy()
    spoiled[64, 64] = np.nan
    found = scored({"wide": spoiled, "rpie": noisy(0.1)})
    assert "not finite" in found.failures["wide"]
    assert np.isnan(values(found, "wide")["ssim", "phase"])
    assert np.isfinite(values(found, "rpie")["ssim", "phase"])


def test_phases_beyond_a_turn_are_followed() -> None:
    """A truth that spans more than 2 pi is unwrapped; the aligned image follows it without jumps."""
    y, x = np.mgrid[: cells.OBJECT_PX, : cells.OBJECT_PX] - cells.OBJECT_PX / 2
    steep = (np.abs(TRUTH) * np.exp(9j * np.exp(-(x**2 + y**2) / 800))).astype(np.complex64)
    dataset = type(DATASET)(DATASET.measurement, steep, None, DATASET.scan_index, {})
    found = score_cell(
        {"wide": cells.reconstruction(steep * np.exp(2j))},
        dataset, SCAN, BARE, dose=1e4, view="dense", split="train", seed=1, rng=np.random.default_rng(0),
    )  # fmt: skip
    pair = found.pairs["wide"]
    assert np.ptp(pair.truth_phase_rad) > 8
    assert pair.phase_rad == pytest.approx(pair.truth_phase_rad, abs=1e-3)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="wide has an object of"):
        scored({"wide": TRUTH[1:]})


def test_same_seed_same_table() -> None:
    options = ScoringOptions(bootstrap_samples=10, bound_patches=1)
    first, second = (scored({"wide": noisy(0.1)}, options, seed=4).table for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def diverging(scale: float) -> np.ndarray:
    """An object as an iterative solver leaves it that has run away."""
    return (scale * noisy(0.5)).astype(np.complex64)


DIVERGED = Explanation("diverged", 2e19, -3.0, reason="2e+19 nats per photon, a flat object -3")


@pytest.mark.parametrize("scale", [2e11, 1e20, 1e30])
def test_a_diverged_method_has_its_likelihood_and_no_image_scores(scale: float) -> None:
    images = {"wide": noisy(0.1), "rpie": diverging(scale), "map": noisy(0.05)}
    found = scored(images, explanations={"rpie": DIVERGED, "map": Explanation("explained", -5.0, -3.0)})
    rows = found.table[found.table.method == "rpie"]
    of_image = rows[rows.metric != "excess_nll"]
    assert len(of_image) == 2 * (len(SENSITIVE) + 1)
    assert of_image[["value", "value_low", "value_high"]].isna().all(axis=None)
    assert rows.note.str.startswith("diverged: 2e+19 nats").all()
    assert found.failures == {"rpie": DIVERGED.note}
    assert set(found.pairs) == set(found.frc_curves.method) == {"wide", "map"}
    excess = rows[rows.metric == "excess_nll"]
    assert excess.value.item() > 1e20 if scale == 2e11 else np.isnan(excess.value.item())
    alone = scored({"wide": images["wide"], "map": images["map"]}).table
    others = found.table[found.table.method != "rpie"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, alone, check_exact=True)


def test_a_likelihood_that_is_not_finite_is_said_in_its_row() -> None:
    row = scored({"rpie": diverging(1e30)}).table.query("method == 'rpie' and metric == 'excess_nll'")
    assert row.value.isna().all()
    assert "not finite" in row.note.item()


def test_a_runaway_that_nobody_judged_is_scored_without_a_warning() -> None:
    assert np.isfinite(values(scored({"rpie": diverging(2e11)}), "rpie")["ssim", "phase"])


def test_a_learned_method_below_flat_is_scored_and_marked() -> None:
    judged = {"wide": Explanation("worse than flat", -2.0, -3.0, reason="-2 nats per photon, a flat object -3")}
    marked, plain = scored({"wide": noisy(0.1)}, explanations=judged), scored({"wide": noisy(0.1)})
    assert values(marked, "wide") == values(plain, "wide")
    assert marked.failures == {}
    assert set(marked.pairs) == {"wide"}
    assert (marked.table[marked.table.method == "wide"].note == WORSE_THAN_FLAT_NOTE).all()
    assert not marked.table[marked.table.method != "wide"].note.str.contains(WORSE_THAN_FLAT_NOTE).any()
