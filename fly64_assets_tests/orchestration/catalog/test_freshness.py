"""Freshness: exactly the affected partitions are stale, and nothing else."""

from fly64_assets.orchestration.catalog.freshness import plan, select_partitions, walk_order
from fly64_assets.orchestration.graph.partitions import PartitionId, partitions_of, upstream_of
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder, flip_bit
from fly64_assets_tests.orchestration.conftest import TINY


def stale_assets(catalog: CatalogBuilder, study: Study) -> dict[str, int]:
    states = plan(catalog.freshness(study), select_partitions(study))
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
    states = plan(catalog.freshness(), select_partitions(catalog.study))
    assert {state.status for state in states} == {"missing"}
    assert len(states) == 1 + 3 + 9 * 5 + 1


def test_neighbor_count_leaves_the_datasets_fresh_and_the_views_below_stale(filled: CatalogBuilder) -> None:
    changed = stale_assets(filled, variant(views={"dense": {"neighbor_count": 8}}))
    cell = ("overlap_view", "trained_bundle", "network_reconstruction", "pty_chi_reconstruction", "comparison_metrics")
    assert changed == {**dict.fromkeys(cell, 3), "study_report": 1}


def test_the_report_title_touches_only_the_report(filled: CatalogBuilder) -> None:
    assert stale_assets(filled, variant(report={"title": "Other"})) == {"study_report": 1}


def test_a_new_dose_or_view_leaves_every_old_partition_fresh(filled: CatalogBuilder) -> None:
    for study, added in ((variant(doses=[1000, 10000, 100000, 5000]), 3), (variant(views={"extra": {}}), 3)):
        states = plan(filled.freshness(study), select_partitions(study))
        old = {item for item in walk_order(filled.study) if item.asset != "study_report"}
        assert all(state.status == "fresh" for state in states if state.item in old)
        assert sum(state.status == "missing" and state.item.asset == "overlap_view" for state in states) == added


def test_a_rebuild_with_equal_content_changes_nothing_below(filled: CatalogBuilder) -> None:
    filled.materialize(PartitionId("simulated_dataset", "1000"))
    assert stale_assets(filled, filled.study) == {}
    filled.materialize(PartitionId("simulated_dataset", "1000"), content=b"other photons")
    changed = stale_assets(filled, filled.study)
    assert changed["overlap_view"] == 3
    assert "simulated_dataset" not in changed


def test_the_baseline_bundle_makes_every_cell_of_its_dose_stale(filled: CatalogBuilder) -> None:
    filled.materialize(PartitionId("trained_bundle", "1000|baseline"), content=b"retrained")
    changed = stale_assets(filled, filled.study)
    assert changed["network_reconstruction"] == 3
    assert "pty_chi_reconstruction" not in changed


def test_a_changed_file_or_a_failed_check_makes_a_partition_stale(filled: CatalogBuilder) -> None:
    item = PartitionId("overlap_view", "1000|dense")
    flip_bit(filled.data_root / item.folder / "file.bin", 3)
    assert "sha256" in filled.freshness().state(item).reasons[0]
    filled.materialize(item, passed=False)
    assert "made to fail" in filled.freshness().state(item).reasons[0]


def test_a_request_brings_what_it_needs_and_no_more(tiny: Study) -> None:
    chosen = select_partitions(tiny, doses=["1000"], views=["dense"])
    names = [str(item) for item in chosen]
    assert "trained_bundle[1000|baseline]" in names
    assert "comparison_metrics[1000|baseline]" not in names
    assert not any("10000" in name or "sparse" in name for name in names)
    assert names[0] == "scan"
    assert names[-1] == "study_report"


def test_the_walk_visits_upstream_first(tiny: Study) -> None:
    order = walk_order(tiny)
    assert len(order) == len(set(order)) == sum(len(partitions_of(tiny, asset)) for asset in {i.asset for i in order})
    for place, item in enumerate(order):
        assert all(order.index(source) < place for source in upstream_of(tiny, item))
