"""Two objects of two kinds through the whole graph, and a third one that leaves the training fresh."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from fly64_assets.orchestration.catalog.freshness import Freshness
from fly64_assets.orchestration.catalog.instance import study_instance
from fly64_assets.orchestration.code_location import build_definitions, code_versions
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.runs import execute_partition
from fly64_assets.science.contract import read_dataset
from fly64_assets.study import Study, load_study

TWO = Path(__file__).parents[2] / "studies" / "two_objects.yaml"
CELL = "dose_1000/dense"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Study, dg.DagsterInstance, Path]]:
    root, study = tmp_path_factory.mktemp("two"), load_study(str(TWO))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        with study_instance(root, study.name) as instance:
            definitions = build_definitions(study, root)
            for item in StudyGraph(study).walk_order():
                assert execute_partition(definitions, instance, item).success, str(item)
            yield study, instance, root


def test_an_object_beyond_the_first_has_a_test_split_and_no_way(made) -> None:
    _, _, root = made
    found = {path.relative_to(root / "reconstruction/map" / CELL).as_posix() for path in root.rglob("map_*.h5")}
    assert {name for name in found if "trace" not in name} == {"map_train.h5", "map_test.h5", "cells_1/map_test.h5"}
    assert not any(name.startswith("cells_1") for name in found if "trace" in name)
    first, further = (root / "overlap_view" / CELL / name for name in ("dense_test.npz", "cells_1/dense_test.npz"))
    one, other = (read_dataset(path) for path in (first, further))
    assert np.array_equal(one.measurement.positions_xy_px, other.measurement.positions_xy_px)
    assert not np.array_equal(one.object, other.object)
    assert other.metadata["requested_photons_per_pattern"] == one.metadata["requested_photons_per_pattern"] == 1000


def test_tables_hold_every_object_where_a_method_was_run_on_it(made) -> None:
    _, _, root = made
    scores = pd.read_csv(root / "study_report" / "metrics.csv")
    objects = {(split, m): set(rows["object"]) for (split, m), rows in scores.groupby(["split", "method"])}
    assert objects["test", "map"] == objects["test", "pinn_refined"] == {"mixed_1", "cells_1"}
    assert objects["train", "map"] == objects["test", "short"] == {"mixed_1"}
    costs = pd.read_csv(root / "comparison_metrics" / CELL / "costs.csv")
    assert (costs[costs["method"] == "map"]["value"] > 0).all()
    assert set(pd.read_csv(root / "comparison_metrics" / CELL / "trace.csv")["object"]) == {"mixed_1"}
    page = (root / "study_report" / "report.html").read_text()
    assert "Over 2 objects (1 mixed and 1 cells), by paired differences" in page
    assert "Networks of a view are trained on mixed_1 alone and applied to all" in page


def test_another_replicate_leaves_the_training_fresh(made) -> None:
    study, instance, root = made
    groups = [group.model_dump() for group in study.scan.objects or ()]
    groups[1]["number"] = 2
    more = load_study(str(TWO), {"scan": {"objects": groups}})
    definitions, graph, cell = build_definitions(more, root), StudyGraph(more), "1000|dense"
    before = {split: (root / "overlap_view" / CELL / f"dense_{split}.npz").read_bytes() for split in ("train", "test")}
    for item in (PartitionId("scan"), PartitionId("simulated_dataset", "1000"), PartitionId("overlap_view", cell)):
        assert execute_partition(definitions, instance, item).success
    assert (root / "overlap_view" / CELL / "cells_2" / "dense_test.npz").exists()
    for split, content in before.items():
        assert (root / "overlap_view" / CELL / f"dense_{split}.npz").read_bytes() == content
    freshness = Freshness(graph, instance, root, code_versions(graph))
    assert freshness.state(PartitionId("trained_bundle", cell)).status == "fresh"
    assert freshness.state(PartitionId("reconstruction/map", cell)).status == "stale"
