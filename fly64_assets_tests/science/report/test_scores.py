import math

import pandas as pd
import pytest

from fly64_assets.science.report import wide_table
from fly64_assets.science.report.ranking import rank
from fly64_assets.science.report.scores import Scores
from fly64_assets_tests.science.report.made_up_study import DOSES, NAMES, VIEWS, made_up_metrics


def _rows(values: list[float], **columns: object) -> pd.DataFrame:
    base = {"dose": 1e3, "view": "dense", "split": "test", "method": "pinn", "metric": "ssim", "part": "phase"}
    return pd.DataFrame([base | {"seed": seed, "value": value} | columns for seed, value in enumerate(values)])


def _scores(metrics: pd.DataFrame) -> Scores:
    return Scores(metrics, NAMES)


def test_several_seeds_give_their_mean_and_range() -> None:
    estimate = _scores(_rows([0.4, 0.5, 0.9], value_low=0.0, value_high=1.0)).get(1e3, "dense", "pinn", "ssim", "phase")
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(0.6), 0.4, 0.9)
    assert (estimate.n_seeds, estimate.interval) == (3, "seeds")


def test_one_seed_gives_its_bootstrap_interval() -> None:
    estimate = _scores(_rows([0.5], value_low=0.4, value_high=0.7)).get(1e3, "dense", "pinn", "ssim", "phase")
    assert (estimate.value, estimate.low, estimate.high, estimate.interval) == (0.5, 0.4, 0.7, "bootstrap")


def test_one_seed_without_bootstrap_has_no_interval() -> None:
    estimate = _scores(_rows([0.5])).get(1e3, "dense", "pinn", "ssim", "phase")
    assert math.isnan(estimate.low)
    assert estimate.interval == "none"


def test_a_seed_without_a_value_does_not_count() -> None:
    estimate = _scores(_rows([0.4, math.nan, 0.6])).get(1e3, "dense", "pinn", "ssim", "phase")
    assert (estimate.value, estimate.n_seeds) == (0.5, 2)


def test_a_method_without_any_value_keeps_its_reason() -> None:
    scores = _scores(_rows([math.nan], note="the object holds values that are not finite"))
    assert scores.methods() == []
    assert scores.unscored(1e3, "dense", "pinn") == "the object holds values that are not finite"


@pytest.mark.parametrize("flag", [False, "False"])
def test_a_failed_registration_is_seen_also_after_a_trip_through_csv(flag: object) -> None:
    assert not _scores(_rows([0.5], registration_ok=flag)).get(1e3, "dense", "pinn", "ssim", "phase").registered


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"lacks the columns \['method'\]"):
        _scores(_rows([0.5]).drop(columns="method"))


def test_an_empty_table_is_no_error() -> None:
    assert _scores(pd.DataFrame()).cells() == []
    assert wide_table(pd.DataFrame(), NAMES).empty


def test_wide_table_has_one_row_per_cell_split_and_method() -> None:
    metrics = made_up_metrics((1, 2))
    wide = wide_table(metrics, NAMES)
    assert not wide.duplicated(["dose", "view", "split", "method"]).any()
    methods = metrics[metrics["method"] != "bound"].groupby("view")["method"].nunique()
    assert len(wide) == sum(methods[view] for view in VIEWS) * len(DOSES) * 2
    assert set(wide["n_seeds"]) == {2}


def test_wide_table_values_are_those_of_the_table() -> None:
    metrics = made_up_metrics()
    row = (
        wide_table(metrics, NAMES)
        .query("dose == 1e4 and view == 'sparse' and method == 'pinn' and split == 'train'")
        .iloc[0]
    )
    cell = metrics.query("dose == 1e4 and view == 'sparse' and split == 'train'")
    expected = {
        (name, part): value
        for method, name, part, value in zip(cell["method"], cell["metric"], cell["part"], cell["value"], strict=True)
        if method == "pinn"
    }
    assert row["phase_ssim"] == expected["ssim", "phase"]
    assert row["complex_nrmse"] == expected["nrmse", "complex"]
    assert row["excess_nll"] == expected["excess_nll", ""]
    assert row["phase_bound_rms"] == cell.query("method == 'bound'")["value"].item()


def test_parts_read_from_csv_as_missing_are_found(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    made_up_metrics().to_csv(path, index=False)
    pd.testing.assert_frame_equal(wide_table(pd.read_csv(path), NAMES), wide_table(made_up_metrics(), NAMES))


def _with_likelihood(values: list[float], notes: list[str]) -> pd.DataFrame:
    """Headline rows by seed with their notes, and beside them another image score, the likelihood and the cost."""
    head = _rows(values).assign(note=notes)
    parts = {"pearson": "phase", "excess_nll": "", "cpu_seconds_reconstruct": ""}
    return pd.concat([head, *(head.assign(metric=m, part=p, value=7.0, note="") for m, p in parts.items())])


@pytest.mark.parametrize("values", [[math.nan, math.nan], [0.8, math.nan]])
def test_what_diverged_for_any_seed_has_likelihood_and_cost_but_no_image_score(values: list[float]) -> None:
    notes = ["diverged: not finite" if math.isnan(v) else "" for v in values]
    scores = _scores(_with_likelihood(values, notes))
    cell = (1e3, "dense", "pinn")
    assert scores.diverged(*cell) == "diverged: not finite"
    assert scores.methods() == []
    assert scores.shown_methods() == ["pinn"]
    assert scores.unscored(*cell) == ""
    assert scores.get(*cell, "ssim", "phase") is None
    assert scores.get(*cell, "pearson", "phase") is None
    assert scores.get(*cell, "excess_nll").value == 7.0
    assert scores.get(*cell, "cpu_seconds_reconstruct").value == 7.0
    assert rank(scores, (1e3, "dense")) == []


def test_another_reason_than_divergence_is_none() -> None:
    scores = _scores(_with_likelihood([math.nan], ["the object holds values that are not finite"]))
    assert scores.diverged(1e3, "dense", "pinn") == ""
    assert scores.get(1e3, "dense", "pinn", "pearson", "phase").value == 7.0


def test_methods_stand_in_the_order_of_the_study_and_others_are_left_out() -> None:
    metrics = made_up_metrics()
    names = NAMES[::-1][:3]
    wide = wide_table(metrics, names)
    for _, rows in wide.groupby(["split", "view", "dose"]):
        present = [m for m in (*names, "flat", "truth") if m in set(rows["method"])]
        assert list(rows["method"]) == present
    assert Scores(metrics, names).methods() == list(names)
