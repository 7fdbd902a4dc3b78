"""Every way in which a score table may be wrong is a fault of its own; a right one has none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fly64_assets.science.metrics.explanation import Explanation
from fly64_assets.science.metrics.record import Metric, scored_metrics
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.table import table_faults
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import BOUND_METHOD, SPLITS
from fly64_assets_tests.science.metrics import cells

EXPECTED = {"methods": ("wide", "map", "rpie", "probe_net"), "dose": 1e4, "view": "dense", "seeds": (1, 2)}
SKIPPED = ("probe_net",)


def scores() -> pd.DataFrame:
    """Both splits and seeds of a cell in which one method diverged and one is skipped."""
    dataset, scan = cells.cell()
    rng, truth = np.random.default_rng(0), cells.truth()
    found = {name: cells.reconstruction(truth + cells.complex_noise(truth.shape, 0.1, rng)) for name in ("wide", "map")}
    found["rpie"] = cells.reconstruction(truth * 2e11)
    diverged = Explanation("diverged", None, -3.0, reason="too much")
    parts = [
        score_cell(
            found, dataset, scan, ScoringOptions(bootstrap_samples=3, bound_patches=1), dose=1e4, view="dense",
            split=split, seed=seed, rng=rng, explanations={"rpie": diverged},
        ).table.assign(dataset_sha256="ab")
        for split in SPLITS
        for seed in (1, 2)
    ]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return table.assign(product_sha256=table["method"].map({"wide": "cd"}).fillna(""))


TABLE = scores()


def faults(table: pd.DataFrame, folder: Path, **expected) -> list[str]:
    """Rules that a table breaks when it is written and read again."""
    path = folder / "comparison_metrics.csv"
    table.to_csv(path, index=False)
    found = table_faults(path, **(EXPECTED | {"skipped": SKIPPED} | expected))
    assert all(str(path) in fault.where and fault.remedy and fault.expected and fault.actual for fault in found)
    return [fault.rule for fault in found]


def test_a_table_as_it_is_scored_has_no_fault(tmp_path: Path) -> None:
    assert faults(TABLE, tmp_path) == []
    assert faults(TABLE.sample(frac=1, random_state=0), tmp_path) == []
    assert faults(TABLE.drop(columns=["dataset_sha256", "product_sha256"]), tmp_path) == []
    without_bound = TABLE[~TABLE["metric"].isin(["phase_bound_rms", "phase_bound_recovered"])]
    assert faults(without_bound, tmp_path) == []


def row(
    method: str = "wide", metric: str = "ssim", part: str = "phase", split: str = "test", seed: int = 1
) -> pd.Series:
    wanted = {"method": method, "metric": metric, "part": part, "split": split, "seed": seed}
    wanted |= {"alignment": "scale" if part and method != BOUND_METHOD else ""}
    chosen = pd.Series(np.logical_and.reduce([TABLE[name] == value for name, value in wanted.items()]))
    assert chosen.sum() == 1
    return chosen


def changed(chosen: pd.Series, column: str, value: object) -> pd.DataFrame:
    table = TABLE.astype({column: object})
    table.loc[chosen, column] = value
    return table


def renamed(column: str, old: object, new: object) -> pd.DataFrame:
    return TABLE.assign(**{column: TABLE[column].replace({old: new})})


BROKEN: dict[str, tuple[Callable[[], pd.DataFrame], list[str]]] = {
    "a column is missing": (lambda: TABLE.drop(columns="value_low"), ["metrics-columns"]),
    "a column that nobody knows": (lambda: TABLE.assign(extra=1), ["metrics-columns"]),
    "text in value": (lambda: changed(row(), "value", "good"), ["metrics-type"]),
    "text in a seed": (lambda: changed(row(), "seed", "one"), ["metrics-type"]),
    "half a seed": (lambda: changed(row(), "seed", 1.5), ["metrics-type"]),
    "no seed": (lambda: changed(row(), "seed", ""), ["metrics-type"]),
    "no view": (lambda: changed(row(), "view", ""), ["metrics-range", "metrics-cell"]),
    "no flag but text": (lambda: changed(row(), "registration_ok", "perhaps"), ["metrics-range"]),
    "a part that does not exist": (
        lambda: changed(row(), "part", "imaginary"),
        ["metrics-range", "metrics-metric", "metrics-rows"],
    ),
    "infinite": (lambda: changed(row(), "value_high", np.inf), ["metrics-range"]),
    "SSIM above 1": (lambda: changed(row(), "value", 1.01), ["metrics-range"]),
    "SSIM below -1": (lambda: changed(row(), "value", -1.01), ["metrics-range"]),
    "Pearson above 1": (lambda: changed(row(metric="pearson"), "value", 1.5), ["metrics-range"]),
    "a negative error": (lambda: changed(row(metric="mae"), "value", -0.1), ["metrics-range"]),
    "a resolution beyond Nyquist": (
        lambda: changed(row(metric="frc50", part="complex"), "value", 0.6),
        ["metrics-range"],
    ),
    "no value and no note": (lambda: changed(row(), "value", ""), ["metrics-unexplained"]),
    "an interval upside down": (lambda: changed(row(), "value_low", 2.0), ["metrics-interval"]),
    "a row twice": (lambda: pd.concat([TABLE, TABLE[row()]]), ["metrics-duplicate"]),
    "a row twice, differently": (lambda: pd.concat([TABLE, TABLE[row()].assign(value=0.5)]), ["metrics-duplicate"]),
    "another dose": (lambda: renamed("dose", 1e4, 1e5), ["metrics-cell"]),
    "one row of another dose": (lambda: changed(row(), "dose", 1e3), ["metrics-cell"]),
    "another view": (lambda: renamed("view", "dense", "sparse"), ["metrics-cell"]),
    "a method is missing": (lambda: TABLE[TABLE["method"] != "map"], ["metrics-methods"]),
    "the truth is missing": (lambda: TABLE[TABLE["method"] != "truth"], ["metrics-methods"]),
    "flat is missing": (lambda: TABLE[TABLE["method"] != "flat"], ["metrics-methods"]),
    "the cell's own rows are missing": (lambda: TABLE[TABLE["method"] != BOUND_METHOD], ["metrics-methods"]),
    "an unknown method": (lambda: pd.concat([TABLE, TABLE[row()].assign(method="other")]), ["metrics-methods"]),
    "a skipped method": (lambda: pd.concat([TABLE, TABLE[row()].assign(method="probe_net")]), ["metrics-methods"]),
    "an unknown object": (lambda: pd.concat([TABLE, TABLE[row()].assign(object="other")]), ["metrics-objects"]),
    "a split is missing": (lambda: TABLE[TABLE["split"] != "test"], ["metrics-splits"]),
    "an unknown split": (
        lambda: changed(row(), "split", "validation"),
        ["metrics-range", "metrics-splits", "metrics-rows"],
    ),
    "a seed is missing": (lambda: TABLE[TABLE["seed"] != 2], ["metrics-seeds"]),
    "an unknown seed": (lambda: pd.concat([TABLE, TABLE[row()].assign(seed=3)]), ["metrics-seeds"]),
    "one row is missing": (lambda: TABLE[~row()], ["metrics-rows"]),
    "a likelihood is missing": (lambda: TABLE[~row(metric="excess_nll", part="")], ["metrics-rows"]),
    "a row of the diverged is missing": (lambda: TABLE[~row("rpie")], ["metrics-rows"]),
    "a sanity row is missing": (lambda: TABLE[~row("flat", "pearson")], ["metrics-rows"]),
    "a method in one split alone": (
        lambda: TABLE[(TABLE["method"] != "map") | (TABLE["split"] == "test")],
        ["metrics-rows"],
    ),
    "a method in one seed alone": (lambda: TABLE[(TABLE["method"] != "map") | (TABLE["seed"] == 1)], ["metrics-rows"]),
    "an alignment is missing": (
        lambda: TABLE[(TABLE["method"] != "map") | (TABLE["alignment"] != "full")],
        ["metrics-rows"],
    ),
    "an alignment that does not exist": (
        lambda: changed(row(), "alignment", "perfect"),
        ["metrics-range", "metrics-metric", "metrics-rows"],
    ),
    "a likelihood with an alignment": (
        lambda: changed(row(metric="excess_nll", part=""), "alignment", "full"),
        ["metrics-metric", "metrics-rows"],
    ),
    "no flag but text for what stands first": (lambda: changed(row(), "stands_first", "perhaps"), ["metrics-range"]),
    "photons are missing": (lambda: TABLE[~row(BOUND_METHOD, "photons_per_object_pixel", "")], ["metrics-rows"]),
    "an unknown metric": (lambda: pd.concat([TABLE, TABLE[row()].assign(metric="beauty")]), ["metrics-metric"]),
    "a cost": (
        lambda: pd.concat([TABLE, TABLE[row()].assign(metric="cpu_seconds_train", part="")]),
        ["metrics-metric"],
    ),
    "a bound of a method": (
        lambda: pd.concat([TABLE, TABLE[row()].assign(metric="phase_bound_rms")]),
        ["metrics-metric"],
    ),
    "a score of the cell": (lambda: pd.concat([TABLE, TABLE[row()].assign(method=BOUND_METHOD)]), ["metrics-metric"]),
    "the truth does not score as the truth": (
        lambda: changed(row("truth", "pearson"), "value", 0.9),
        ["metrics-truth"],
    ),
    "flat scores": (lambda: changed(row("flat", "pearson"), "value", 0.1), ["metrics-flat"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_has_its_own_fault(case: str, tmp_path: Path) -> None:
    broken, rules = BROKEN[case]
    assert faults(broken(), tmp_path) == rules


def test_a_further_object_is_scored_on_the_test_split_by_the_methods_that_were_run_on_it(tmp_path: Path) -> None:
    of_map = TABLE["method"].isin(["map"])
    further = TABLE[(TABLE["split"] == "test") & ~of_map].assign(object="cells_1")
    both, objects = pd.concat([TABLE, further]), {"object": (), "cells_1": ("map",)}
    assert faults(both, tmp_path, objects=objects) == []
    assert faults(both, tmp_path, objects={"object": (), "cells_1": ()}) == ["metrics-rows"]
    assert faults(TABLE, tmp_path, objects=objects) == ["metrics-objects"]
    lost = (both["object"] == "cells_1") & (both["method"] == "wide") & (both["metric"] == "nrmse")
    assert faults(both[~lost], tmp_path, objects=objects) == ["metrics-rows"]


def test_a_fault_says_where_and_what(tmp_path: Path) -> None:
    path = tmp_path / "comparison_metrics.csv"
    chosen = row()
    changed(chosen, "value", "good").to_csv(path, index=False)
    (fault,) = table_faults(path, **EXPECTED, skipped=SKIPPED)
    assert fault.where == f"{path}, value, line {int(np.flatnonzero(chosen)[0]) + 2}"
    assert (fault.expected, fault.actual) == ("a finite number or empty", "good")
    TABLE[~chosen].to_csv(path, index=False)
    (fault,) = table_faults(path, **EXPECTED, skipped=SKIPPED)
    assert fault.actual == "wide ssim phase scale (test, seed 1)"
    TABLE[TABLE["method"] != "map"].to_csv(path, index=False)
    assert table_faults(path, **EXPECTED, skipped=SKIPPED)[0].actual == "no map"


def test_what_is_expected_is_an_argument(tmp_path: Path) -> None:
    assert faults(TABLE, tmp_path, skipped=()) == ["metrics-methods"]
    assert faults(TABLE, tmp_path, methods=("wide", "map")) == ["metrics-methods"]
    assert faults(TABLE, tmp_path, seeds=(1, 2, 3)) == ["metrics-seeds"]
    assert faults(TABLE[TABLE["split"] == "test"], tmp_path, splits=("test",)) == []
    foreign = Metric(name="foreign", direction="lower", label="", digits=1, meaning="", compute=lambda *_: 0.0, low=0.0)
    assert faults(TABLE, tmp_path, metrics=(*scored_metrics(), foreign)) == ["metrics-rows"]
    without = TABLE[~TABLE["metric"].isin(["pearson"])]
    rest = tuple(metric for metric in scored_metrics() if metric.key[0] != "pearson")
    assert faults(without, tmp_path, metrics=rest) == []


@pytest.mark.parametrize("content", ["", "value\n1\n", "\x00", "a,b\n1,2,3\n4,5,6,7\n"])
def test_no_table_is_a_fault_and_no_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "comparison_metrics.csv"
    path.write_text(content)
    found = table_faults(path, **EXPECTED)
    assert found
    assert {fault.rule for fault in found} <= {"metrics-readable", "metrics-columns"}


def test_no_file_is_a_fault(tmp_path: Path) -> None:
    assert [fault.rule for fault in table_faults(tmp_path / "nothing.csv", **EXPECTED)] == ["metrics-readable"]
