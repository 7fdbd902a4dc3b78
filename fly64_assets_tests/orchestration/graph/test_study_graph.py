"""The graph is one: Dagster's resolved asset graph and the freshness walk agree on who reads what."""

from pathlib import Path
from typing import Any

import pytest

from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.orchestration.dagster_internals import disable_dagster_warnings
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import SHIPPED_STUDIES, Study, load_study
from fly64_assets_tests.orchestration.conftest import TINY

STUDIES = [*sorted(path.stem for path in SHIPPED_STUDIES.glob("*.yaml")), str(TINY)]
TWO_TRAINABLE = {
    "views": {"dense": {"trains": "pinn"}, "sparse": {"trains": "wide"}},
    "methods": {
        "wide": {"kind": "unrolled", "options": {"width": 24}},
        "wide_refined": {"kind": "map", "starts_from": "wide"},
        "again": {"kind": "map", "starts_from": "wide_refined"},
    },
}


def upstream_in_dagster(asset_graph: Any, item: PartitionId) -> set[PartitionId]:
    found = set()
    key = item.asset_key
    for parent in asset_graph.get(key).parent_keys:
        name = parent.to_user_string()
        definition = asset_graph.get(parent).partitions_def
        if definition is None:
            found.add(PartitionId(name))
            continue
        own = asset_graph.get(key).partitions_def
        with disable_dagster_warnings():
            mapping = asset_graph.get_partition_mapping(key, parent)
            subset = None if own is None else own.subset_with_partition_keys([item.partition])
            mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(subset, own, definition)
        found |= {PartitionId(name, key) for key in mapped.partitions_subset.get_partition_keys()}
    return found


@pytest.mark.parametrize("study", [*(load_study(name) for name in STUDIES), load_study(str(TINY), TWO_TRAINABLE)])
def test_dagster_and_the_walk_agree_for_every_partition(study: Study) -> None:
    graph = StudyGraph(study)
    definitions = build_definitions(study, Path("/nowhere"))
    asset_graph = definitions.get_repository_def().asset_graph
    assert {key.to_user_string() for key in asset_graph.get_all_asset_keys()} == set(graph.nodes)
    for item in graph.walk_order():
        expected = set(graph.upstream(item))
        found = upstream_in_dagster(asset_graph, item)
        if item.asset == "study_report":  # all partitions of an asset, those without a place in the study apart
            found = {source for source in found if source in set(graph.partitions(source.asset))}
        assert found == expected, str(item)


def test_a_trainable_method_that_no_view_trains_has_an_asset_of_its_own() -> None:
    graph = StudyGraph(load_study(str(TINY), TWO_TRAINABLE))
    assert {item.partition for item in graph.partitions("training/pinn")} == {"1000|sparse", "10000|sparse"}
    assert {item.partition for item in graph.partitions("training/wide")} == {"1000|dense", "10000|dense"}
    reads = {str(source) for source in graph.upstream(PartitionId("reconstruction/wide", "1000|dense"))}
    assert reads == {"overlap_view[1000|dense]", "training/wide[1000|dense]"}
    reads = {str(source) for source in graph.upstream(PartitionId("reconstruction/wide", "1000|sparse"))}
    assert reads == {"overlap_view[1000|sparse]", "trained_bundle[1000|sparse]"}
    order = [item.asset for item in graph.walk_order() if item.partition == "1000|dense"]
    assert order.index("reconstruction/wide") < order.index("reconstruction/wide_refined")
    assert order.index("reconstruction/wide_refined") < order.index("reconstruction/again")


def test_quick_at_one_dose_has_thirty_partitions() -> None:
    study = load_study("quick")
    assert len(StudyGraph(study).select(["1000"], list(study.views))) == 30


def test_a_view_that_all_apply_comes_first() -> None:
    study = load_study(str(TINY))
    reordered = study.with_changes(views={name: study.views[name] for name in ("sparse", "dense", "baseline")})
    assert StudyGraph(reordered).views_in_order == ["baseline", "sparse", "dense"]
    assert StudyGraph(study).shared_views == {"baseline"}
