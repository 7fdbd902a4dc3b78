"""Every check has been seen to pass, and to fail for each of its rules, on made-up partitions of real files."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from fly64_assets.orchestration.assets.checks import JUDGES, judgement, study_checks
from fly64_assets.orchestration.dagster_internals import disable_dagster_warnings
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.checks import advisory_checks, blocking_checks
from fly64_assets.orchestration.graph.partitions import PartitionId, StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.records import Fault
from fly64_assets_tests.orchestration.assets.made_up_partitions import CELL, NOT_HERE, Partition, made_up, verdicts
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder, flip_bit

TRAIN, TEST = "patched_train.npz", "patched_test.npz"
VIEW_TRAIN = "dense_train.npz"
BUNDLE = files.bundle_file(2, "")
PRODUCT_TRAIN, PRODUCT_TEST = files.product_file("map", "train", ""), files.product_file("map", "test", "")

SOURCES: dict[str, tuple[PartitionId, Callable[[], Path]]] = {
    "scan": (PartitionId("scan"), lambda: made_up().scan_folder),
    "dataset": (PartitionId("simulated_dataset", "1000"), lambda: made_up().dataset_folder),
    "view": (PartitionId("overlap_view", CELL), lambda: made_up().view_folder),
    "bundle": (PartitionId("trained_bundle", CELL), lambda: made_up().bundle_folder),
    "reconstruction": (PartitionId("reconstruction/map", CELL), lambda: made_up().reconstruction_folder),
    "comparison": (PartitionId("comparison_metrics", CELL), lambda: made_up().comparison_folder),
}
JUDGED_ON: dict[str, str] = {
    "scan_is_usable": "scan",
    "datasets_follow_data_001": "dataset",
    "dose_within_tolerance": "dataset",
    "view_follows_data_001": "view",
    "overlap_between_zero_and_one": "view",
    "bundle_matches_catalog": "bundle",
    "weights_are_finite": "bundle",
    "weights_changed": "bundle",
    "network_learned": "bundle",
    "products_are_finite": "reconstruction",
    "explains_counts": "reconstruction",
    "metrics_table_is_complete": "comparison",
}


@pytest.fixture(scope="module", autouse=True)
def _no_files_are_left() -> Iterator[None]:
    yield
    shutil.rmtree(made_up().folder)
    made_up.cache_clear()


def partition(source: str, folder: Path) -> Partition:
    item, made = SOURCES[source]
    return Partition(item, Path(shutil.copytree(made(), folder / source)))


@dataclass(frozen=True)
class Case:
    """One way to break a partition.

    Attributes:
        check: that must see it.
        breaks: does it.
        faults: the rule, a part of where, of expected, of actual and of the remedy, for each fault.
    """

    check: str
    breaks: Callable[[Partition], object]
    faults: tuple[tuple[str, str, str, str, str], ...]


def nan_at(array: np.ndarray, *index: int) -> np.ndarray:
    changed = array.copy()
    changed[index] = np.nan
    return changed


def nan_in_the_light(array: np.ndarray) -> np.ndarray:
    """In the middle of a patch of the test split, which no pattern of the other split lights."""
    x, y = made_up().view("test").measurement.positions_xy_px[0].astype(int)
    return nan_at(array, y, x)


def metadata(name: str, key: str, factor: float) -> Callable[[Partition], None]:
    return lambda made: made.change_metadata(name, lambda found: found.__setitem__(key, found[key] * factor))


def overlap(split: str, key: str, value: float) -> Callable[[Partition], None]:
    return lambda made: made.change_json(files.OVERLAP_METRICS, lambda found: found[split].__setitem__(key, value))


def array(name: str, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Partition], None]:
    return lambda made: made.change_dataset(name, lambda arrays: arrays.__setitem__(key, change(arrays[key])))


def exchanged_axes(made: Partition) -> None:
    def exchange(arrays: dict[str, Any]) -> None:
        for x, y in (("xcoords", "ycoords"), ("xcoords_start", "ycoords_start")):
            arrays[x], arrays[y] = arrays[y], arrays[x]

    made.change_dataset(VIEW_TRAIN, exchange)


def judged_training(
    initial: float = 0.0, final: float = 1.0, nll: float = 1.0, flat: float = 2.0
) -> Callable[[Partition], None]:
    import torch

    weights = [{"weight": torch.tensor([value, 0.5])} for value in (initial, final)]
    return lambda made: made.path(files.VERDICTS).write_text(json.dumps(verdicts(*weights, nll=nll, flat=flat)))


def rows(**wanted: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: pd.Series(np.logical_and.reduce([table[name] == value for name, value in wanted.items()]))


def without(**wanted: str) -> Callable[[Partition], None]:
    return lambda made: made.change_table(lambda table: table[~rows(**wanted)(table)])


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table[rows(method="map")(table)]])


def as_if_here(made: Partition) -> None:
    made.change_json(files.CELL, lambda cell: cell["not_here"].clear())


def shrunk(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=table["value"].mask(rows(method="truth", metric="pearson", part="phase")(table), 0.9))


REBUILD_SCAN, RETRAIN, REDO = "Check the scan's input", "Train it again.", "Reconstruct it again."
DOSE_REMEDY, TRAIN_MORE = "the noise or its scale is wrong", "Train longer or check the dataset's scale"
CASES: dict[str, Case] = {
    "NaN in the object": Case(
        "scan_is_usable",
        lambda made: made.change_scan(object=nan_at(made_up().scan.object, 3, 4)),
        (("scan-finite", "scan.npz: object", "finite values", "NaN", REBUILD_SCAN),),
    ),
    "infinity in the probe": Case(
        "scan_is_usable",
        lambda made: made.change_scan(probe=made_up().scan.probe * np.float32(np.inf)),
        (("scan-finite", "scan.npz: probe", "finite values", "infinity", REBUILD_SCAN),),
    ),
    "NaN in a position": Case(
        "scan_is_usable",
        lambda made: made.change_scan(positions_xy_px=nan_at(made_up().scan.positions_xy_px, 0, 1)),
        (
            ("scan-finite", "scan.npz: positions", "finite values", "NaN", REBUILD_SCAN),
            ("scan-inside", "scan.npz", "every patch inside", "1 of", "Enlarge the object."),
        ),
    ),
    "a patch outside": Case(
        "scan_is_usable",
        lambda made: made.change_scan(positions_xy_px=made_up().scan.positions_xy_px + np.array([1000.0, 0.0])),
        (("scan-inside", "scan.npz", "every patch inside the object", "patches leave", "Enlarge the object."),),
    ),
    "NaN counts in a dataset": Case(
        "datasets_follow_data_001",
        array(TEST, "diffraction", lambda found: nan_at(found, 0, 0, 0)),
        (("not-finite", f"{TEST}: diffraction[0, 0, 0]", "finite amplitudes", "nan", "Repair or drop"),),
    ),
    "half a dataset": Case(
        "datasets_follow_data_001",
        lambda made: made.path(TRAIN).write_bytes(made.path(TRAIN).read_bytes()[:20_000]),
        (("not-a-zip", TRAIN, "a readable NPZ", "not a zip file", "Give an NPZ file"),),
    ),
    "a whole scan 6 % too bright": Case(
        "dose_within_tolerance",
        metadata(TRAIN, "measured_photons_per_pattern", 1.06),
        (("dose-tolerance", f"{TRAIN}, whole scan", "1000 photons per pattern within 50", "10", DOSE_REMEDY),),
    ),
    "a split 6 % too dark": Case(
        "dose_within_tolerance",
        metadata(TEST, "split_measured_photons_per_pattern", 0.94),
        (("dose-tolerance", f"{TEST}, this split", "photons per pattern within", "", DOSE_REMEDY),),
    ),
    "a dose that is not a number": Case(
        "dose_within_tolerance",
        metadata(TEST, "measured_photons_per_pattern", np.nan),
        (("dose-tolerance", f"{TEST}, whole scan", "1000 photons per pattern", "nan", DOSE_REMEDY),),
    ),
    "exchanged axes in a view": Case(
        "view_follows_data_001",
        exchanged_axes,
        (
            (
                "xy-exchanged",
                f"{VIEW_TRAIN}: Y[0] at x, y",
                "the patch of objectGuess",
                "x and y exchanged",
                "Exchange x",
            ),
        ),
    ),
    "an overlap above one": Case(
        "overlap_between_zero_and_one",
        overlap("train", "metric_1_group", 1.2),
        (("overlap-range", "train.metric_1_group", "a fraction in [0, 1]", "1.2", "Rebuild the view."),),
    ),
    "a negative overlap": Case(
        "overlap_between_zero_and_one",
        overlap("test", "metric_1_group", -0.1),
        (("overlap-range", "test.metric_1_group", "a fraction in [0, 1]", "-0.1", "Rebuild the view."),),
    ),
    "an overlap that is not a number": Case(
        "overlap_between_zero_and_one",
        overlap("test", "metric_1_group", float("nan")),
        (("overlap-range", "test.metric_1_group", "a fraction in [0, 1]", "nan", "Rebuild the view."),),
    ),
    "a flipped byte, its digest renewed": Case(
        "bundle_matches_catalog",
        lambda made: made.flip_byte(BUNDLE),
        (("bundle-intact", BUNDLE, "a bundle that loads strictly", BUNDLE, RETRAIN),),
    ),
    "no bundle": Case(
        "bundle_matches_catalog",
        lambda made: made.path(BUNDLE).unlink(),
        (("bundle-present", files.BUNDLE, "at least one bundle", "none", RETRAIN),),
    ),
    "a weight that is not finite": Case(
        "weights_are_finite",
        judged_training(final=float("nan")),
        (("training-finite_weights", files.VERDICTS, "finite_weights holds", '["weight"]', TRAIN_MORE),),
    ),
    "weights that did not move": Case(
        "weights_changed",
        judged_training(initial=1.0, final=1.0),
        (
            (
                "training-weights_changed",
                files.VERDICTS,
                "weights_changed holds",
                '{"distance_from_initial": 0.0}',
                TRAIN_MORE,
            ),
        ),
    ),
    "a network no better than a flat object": Case(
        "network_learned",
        judged_training(nll=2.0, flat=2.0),
        (("training-learned", files.VERDICTS, "learned holds", '"held_out_nll_per_photon": 2.0', TRAIN_MORE),),
    ),
    "a NaN result that nobody recorded": Case(
        "products_are_finite",
        lambda made: made.change_product("test", lambda found: nan_at(found, 5, 5), explained=False),
        (("product-finite", PRODUCT_TEST, "a finite object", "1 non-finite pixels", REDO),),
    ),
    "zeros everywhere": Case(
        "products_are_finite",
        lambda made: made.change_product("train", np.zeros_like, explained=False),
        (("product-finite", PRODUCT_TRAIN, "a finite object", "zeros everywhere", REDO),),
    ),
    "another split than the one recorded": Case(
        "products_are_finite",
        lambda made: (
            made.change_product("train", lambda found: found * np.nan, explained=True),
            made.change_product("test", nan_in_the_light, explained=False),
        ),
        (("product-finite", PRODUCT_TEST, "a finite object", "1 non-finite pixels", REDO),),
    ),
    "a result that diverged": Case(
        "explains_counts",
        lambda made: made.change_product("test", lambda found: found * 100, explained=True),
        (
            (
                "explains-diverged",
                "seed 1, test split",
                "nats per photon, that of a flat",
                "(diverged)",
                "gentler steps",
            ),
        ),
    ),
    "a result that is not a number": Case(
        "explains_counts",
        lambda made: made.change_product("test", nan_in_the_light, explained=True),
        (("explains-diverged", "seed 1, test split", "at most", "None (diverged)", "Nothing is stopped by this"),),
    ),
    "a network below a flat object": Case(
        "explains_counts",
        lambda made: made.change_json(
            files.EXPLANATIONS, lambda found: found["1"]["train"].update(verdict="worse than flat")
        ),
        (("explains-worse-than-flat", "seed 1, train split", "at most", "(worse than flat)", "Nothing is stopped"),),
    ),
    "a table without a method": Case(
        "metrics_table_is_complete",
        without(method="map"),
        (("metrics-methods", "method", "map", "no map", ""),),
    ),
    "a table without a method that has its place": Case(
        "metrics_table_is_complete",
        as_if_here,
        (("metrics-methods", "method", NOT_HERE, f"no {NOT_HERE}", ""),),
    ),
    "a method twice": Case(
        "metrics_table_is_complete",
        lambda made: made.change_table(twice),
        (("metrics-duplicate", "line", "method", "rows that break this", ""),),
    ),
    "no row for the truth": Case(
        "metrics_table_is_complete",
        without(method="truth"),
        (("metrics-methods", "method", "truth", "no truth", ""),),
    ),
    "a truth that does not score as the truth": Case(
        "metrics_table_is_complete",
        lambda made: made.change_table(shrunk),
        (("metrics-truth", files.SCORES, "Pearson 1 for the truth", "[0.9, 0.9, 0.9, 0.9]", ""),),
    ),
    "another cell's table": Case(
        "metrics_table_is_complete",
        lambda made: made.change_table(lambda table: table.assign(dose=1e4)),
        (("metrics-cell", "dose", "1000.0 alone", "10000.0", ""),),
    ),
}


def all_checks() -> dict[str, bool]:
    """Every check of the graph's table, and whether it blocks."""
    assets = list(made_up().graph.nodes)
    found = {name: True for asset in assets for name in blocking_checks(asset)}
    return found | {name: False for asset in assets for name in advisory_checks(asset)}


@pytest.mark.parametrize("check", JUDGED_ON)
def test_a_partition_as_it_is_made_passes(check: str, tmp_path: Path) -> None:
    assert JUDGES[check](partition(JUDGED_ON[check], tmp_path).judged()) == []


def sees(fault: Fault, expected: tuple[str, str, str, str, str]) -> bool:
    rule, *parts = expected
    found = (fault.where, fault.expected, fault.actual, fault.remedy)
    return fault.rule == rule and all(part in said and said for part, said in zip(parts, found, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_seen_and_said(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    made = partition(JUDGED_ON[case.check], tmp_path)
    case.breaks(made)
    faults = JUDGES[case.check](made.judged())
    assert len(faults) == len(case.faults), [str(fault) for fault in faults]
    for fault, expected in zip(faults, case.faults, strict=True):
        assert sees(fault, expected), f"{fault!r} is not {expected}"


def test_no_check_is_without_a_partition_on_which_it_passes_and_one_on_which_it_fails() -> None:
    checks = set(all_checks())
    assert checks == set(JUDGES) == set(JUDGED_ON)
    assert {case.check for case in CASES.values()} == checks


@pytest.mark.parametrize("factor", [0.96, 1.04])
def test_a_dose_within_the_tolerance_passes_and_the_tolerance_is_the_studys(tmp_path: Path, factor: float) -> None:
    made = partition("dataset", tmp_path)
    key = "measured_photons_per_pattern"
    made.change_metadata(TRAIN, lambda found: found.__setitem__(key, found["requested_photons_per_pattern"] * factor))
    judge = JUDGES["dose_within_tolerance"]
    assert judge(made.judged()) == []
    assert [fault.rule for fault in judge(made.judged(dose_tolerance=0.03))] == ["dose-tolerance"]


def test_an_overlap_that_cannot_be_measured_is_no_fault(tmp_path: Path) -> None:
    made = partition("view", tmp_path)
    made.change_json(files.OVERLAP_METRICS, lambda found: found["test"].__setitem__("metric_1_group", None))
    assert JUDGES["overlap_between_zero_and_one"](made.judged()) == []


def test_a_result_that_is_recorded_as_diverged_may_hold_anything(tmp_path: Path) -> None:
    made = partition("reconstruction", tmp_path)
    made.change_product("test", nan_in_the_light, explained=True)
    assert JUDGES["products_are_finite"](made.judged()) == []


def test_what_a_method_had_on_its_way_is_not_judged(tmp_path: Path) -> None:
    made = partition("reconstruction", tmp_path)
    shutil.copyfile(made.path(PRODUCT_TEST), made.path(files.trace_file("map", "test", "", 3)))
    made.change_product("test", np.zeros_like, explained=False)
    shutil.move(made.path(PRODUCT_TEST), made.path(files.trace_file("map", "test", "", 4)))
    assert JUDGES["products_are_finite"](made.judged()) == []


def judge_in(catalog: CatalogBuilder, item: PartitionId, name: str, *, blocking: bool = True) -> dg.AssetCheckResult:
    workspace = Workspace(catalog.graph, catalog.data_root)
    return judgement(catalog.instance, workspace, item, name, blocking=blocking)


def made_files(source: str) -> tuple[PartitionId, dict[str, bytes]]:
    item, made = SOURCES[source]
    return item, {path.name: path.read_bytes() for path in made().iterdir()}


def test_what_the_gate_refuses_fails_with_the_gates_words(catalog: CatalogBuilder) -> None:
    item = PartitionId("scan")
    never = judge_in(catalog, item, "scan_is_usable")
    assert not never.passed
    assert never.description == f"scan has not been materialized. Make it with: {item.command}"
    catalog.materialize(*made_files("scan"), passed=False)  # a failed verdict does not keep the check from judging
    assert judge_in(catalog, item, "scan_is_usable").passed
    flip_bit(catalog.data_root / item.folder / files.SCAN, 4000)
    changed = judge_in(catalog, item, "scan_is_usable")
    assert (changed.passed, changed.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "scan does not match the catalog" in str(changed.description)


def test_a_skip_passes_with_its_reason(catalog: CatalogBuilder) -> None:
    item = PartitionId("reconstruction/map", CELL)
    catalog.skip(item, "too few positions")
    for name in ("products_are_finite", "explains_counts"):
        result = judge_in(catalog, item, name)
        assert (result.passed, result.description) == (True, "skipped: too few positions")


def test_a_result_that_explains_nothing_warns_and_tells_all(catalog: CatalogBuilder, tmp_path: Path) -> None:
    item, contents = made_files("reconstruction")
    made = partition("reconstruction", tmp_path / "made")
    made.change_product("test", lambda found: found * 100, explained=True)
    made.change_product("train", lambda found: found * 100, explained=True)
    catalog.materialize(item, {name: made.path(name).read_bytes() for name in contents})
    result = judge_in(catalog, item, "explains_counts", blocking=False)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert str(result.description).startswith("[explains-diverged] seed 1, train split: expected at most")
    assert str(result.description).endswith("(and 1 more)")
    told: dict[str, Any] = {name: value.value for name, value in result.metadata.items()}
    assert told["fault_count"] == 2
    assert told["rebuild"] == item.command
    assert {row.data["rule"] for row in told["faults"].records} == {"explains-diverged"}
    assert {row.data["verdict"] for row in told["seen"].records} == {"diverged"}


def test_each_check_blocks_or_warns_as_the_table_says_and_is_partitioned_like_its_asset() -> None:
    graph = made_up().graph
    partitions = StudyPartitions(graph.study)
    along = {"whole": None, "dose": partitions.dose, "cell": partitions.dose_and_view}
    with disable_dagster_warnings():  # partitions of checks are new
        specs = [spec for check in study_checks(graph, partitions) for spec in check.check_specs]
    assert {spec.name: spec.blocking for spec in specs} == all_checks()
    for spec in specs:
        asset = spec.asset_key.to_user_string()
        assert spec.partitions_def == along[graph.node(asset).partitioning]
        assert spec.name in (blocking_checks(asset) if spec.blocking else advisory_checks(asset))
    judged = {spec.asset_key.to_user_string() for spec in specs}
    assert set(graph.nodes) - judged == {"study_report"}
