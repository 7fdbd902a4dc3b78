"""Freshness: exactly the affected partitions are stale, and nothing else."""

from fly64_assets.orchestration.catalog.freshness import plan
from fly64_assets.orchestration.graph import files
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder, flip_bit
from fly64_assets_tests.orchestration.conftest import TINY

RECONSTRUCTIONS = tuple(f"reconstruction/{method}" for method in ("pinn", "pinn_refined", "baseline", "pty_chi", "map"))


def select_all(study: Study) -> list[PartitionId]:
    return StudyGraph(study).select(study.dose_keys, list(study.views))


def stale_assets(catalog: CatalogBuilder, study: Study) -> dict[str, int]:
    states = plan(catalog.freshness(study), select_all(study))
    counted: dict[str, int] = {}
    for state in states:
        if state.must_run:
            counted[state.item.asset] = counted.get(state.item.asset, 0) + 1
    return counted


def variant(**fields: object) -> Study:
    return load_study(str(TINY), {"doses": [1000, 10000, 100000], **fields})


def test_a_complete_catalog_is_fresh(filled: CatalogBuilder) -> None:
    assert stale_assets(filled, filled.study) == {}


def test_an_empty_catalog_is_missing(catalog: CatalogBuilder) -> None:
    states = plan(catalog.freshness(), select_all(catalog.study))
    assert {state.status for state in states} == {"missing"}
    assert len(states) == 1 + 3 + 9 * (1 + 1 + 5 + 1) + 1


def test_neighbor_count_leaves_the_datasets_fresh_and_the_views_below_stale(filled: CatalogBuilder) -> None:
    changed = stale_assets(filled, variant(views={"dense": {"neighbor_count": 8}}))
    cell = ("overlap_view", "trained_bundle", *RECONSTRUCTIONS, "comparison_metrics")
    assert changed == {**dict.fromkeys(cell, 3), "study_report": 1}


def test_the_report_title_touches_only_the_report(filled: CatalogBuilder) -> None:
    assert stale_assets(filled, variant(report={"title": "Other"})) == {"study_report": 1}


def test_thresholds_schedules_and_execution_touch_nothing(filled: CatalogBuilder) -> None:
    fields = {"checks": {"dose_tolerance": 0.2}, "schedule": {"cron": "0 3 * * *"}, "execution": {"num_workers": 2}}
    assert stale_assets(filled, variant(**fields)) == {}


def test_a_new_method_adds_its_own_partitions_the_comparisons_and_the_report(filled: CatalogBuilder) -> None:
    more = {"methods": {"map_long": {"kind": "map", "options": {"passes": 40}}}}
    assert stale_assets(filled, variant(**more)) == {
        "reconstruction/map_long": 9,
        "comparison_metrics": 9,
        "study_report": 1,
    }


def test_a_method_that_is_taken_away_leaves_the_others_fresh(filled: CatalogBuilder) -> None:
    methods = {name: entry for name, entry in filled.study.methods.items() if name != "map"}
    assert stale_assets(filled, filled.study.with_changes(methods=methods)) == {
        "comparison_metrics": 9,
        "study_report": 1,
    }


def test_a_new_dose_or_view_leaves_every_old_partition_fresh(filled: CatalogBuilder) -> None:
    for study, added in ((variant(doses=[1000, 10000, 100000, 5000]), 3), (variant(views={"extra": {}}), 3)):
        states = plan(filled.freshness(study), select_all(study))
        old = {item for item in filled.graph.walk_order() if item.asset != "study_report"}
        assert all(state.status == "fresh" for state in states if state.item in old)
        assert sum(state.status == "missing" and state.item.asset == "overlap_view" for state in states) == added


def test_a_rebuild_with_equal_content_changes_nothing_below(filled: CatalogBuilder) -> None:
    filled.materialize(PartitionId("simulated_dataset", "1000"))
    assert stale_assets(filled, filled.study) == {}
    filled.materialize(PartitionId("simulated_dataset", "1000"), content=b"other photons")
    changed = stale_assets(filled, filled.study)
    assert changed["overlap_view"] == 3
    assert "simulated_dataset" not in changed


def test_a_bundle_that_all_views_apply_makes_its_method_stale_in_every_cell_of_its_dose(filled: CatalogBuilder) -> None:
    filled.materialize(PartitionId("trained_bundle", "1000|baseline"), content=b"retrained")
    changed = stale_assets(filled, filled.study)
    assert changed == {"reconstruction/baseline": 3, "comparison_metrics": 3, "study_report": 1}


def test_a_result_that_another_method_starts_from_makes_that_one_stale(filled: CatalogBuilder) -> None:
    filled.materialize(PartitionId("reconstruction/pinn", "1000|dense"), content=b"another start")
    changed = stale_assets(filled, filled.study)
    assert changed == {"reconstruction/pinn_refined": 1, "comparison_metrics": 1, "study_report": 1}


def test_an_upstream_partition_that_is_new_makes_what_reads_it_stale(filled: CatalogBuilder) -> None:
    item = PartitionId("comparison_metrics", "1000|dense")
    entry = filled.freshness().entry(item)
    assert entry is not None
    made_without = {name: version for name, version in entry.upstream.items() if "reconstruction/map" not in name}
    filled.materialize(item, upstream=made_without)
    state = filled.freshness().state(item)
    assert state.reasons == ("reconstruction/map[1000|dense] is new",)


def test_an_upstream_that_is_new_is_a_reason(catalog: CatalogBuilder) -> None:
    dataset = PartitionId("simulated_dataset", "1000")
    catalog.materialize(dataset)
    assert catalog.freshness().state(dataset).status == "fresh", "nothing is known of its upstream"
    catalog.materialize(PartitionId("scan"))
    state = catalog.freshness().state(dataset)
    assert (state.status, state.reasons) == ("stale", ("scan is new",))


def test_an_upstream_that_is_another_is_a_reason(catalog: CatalogBuilder) -> None:
    scan, dataset = PartitionId("scan"), PartitionId("simulated_dataset", "1000")
    for item in (scan, dataset):
        catalog.materialize(item)
    assert catalog.freshness().state(dataset).status == "fresh"
    catalog.materialize(scan, content=b"another object")
    state = catalog.freshness().state(dataset)
    assert (state.status, state.reasons) == ("stale", ("scan changed",))


def test_changed_code_makes_an_asset_stale(filled: CatalogBuilder) -> None:
    freshness = filled.freshness()
    freshness.code_versions = {**freshness.code_versions, "reconstruction/map": "other"}
    assert freshness.state(PartitionId("reconstruction/map", "1000|dense")).reasons == ("its code changed",)
    assert not freshness.state(PartitionId("reconstruction/pinn", "1000|dense")).must_run


def test_a_changed_file_or_a_failed_check_makes_a_partition_stale(filled: CatalogBuilder) -> None:
    item = PartitionId("overlap_view", "1000|dense")
    flip_bit(filled.data_root / item.folder / "file.bin", 3)
    assert "sha256" in filled.freshness().state(item).reasons[0]
    filled.materialize(item, passed=False)
    assert "made to fail" in filled.freshness().state(item).reasons[0]


def test_a_marker_of_a_skip_that_was_changed_makes_its_partition_stale(catalog: CatalogBuilder) -> None:
    item = PartitionId("reconstruction/pinn", "1000|baseline")
    catalog.materialize(item, {files.NOT_HERE: b'{"reason": "no place here"}'}, skip_reason="no place here")
    assert catalog.freshness().state(item).status == "skipped"
    flip_bit(catalog.data_root / item.folder / files.NOT_HERE, 3)
    state = catalog.freshness().state(item)
    assert state.status == "stale"
    assert "sha256" in state.reasons[0]


def test_a_request_brings_what_it_needs_and_no_more(tiny: Study) -> None:
    chosen = StudyGraph(tiny).select(["1000"], ["dense"])
    names = [str(item) for item in chosen]
    assert "trained_bundle[1000|baseline]" in names
    assert "comparison_metrics[1000|baseline]" not in names
    assert "reconstruction/map[1000|baseline]" not in names
    assert not any("10000" in name or "sparse" in name for name in names)
    assert names[0] == "scan"
    assert names[-1] == "study_report"


def test_the_walk_visits_upstream_first(tiny: Study) -> None:
    graph = StudyGraph(tiny)
    order = graph.walk_order()
    assert len(order) == len(set(order)) == sum(len(graph.partitions(asset)) for asset in {i.asset for i in order})
    place = {item: number for number, item in enumerate(order)}
    for item in order:
        assert all(place[source] < place[item] for source in graph.upstream(item))
        assert all(item in graph.upstream(below) for below in graph.downstream(item))
