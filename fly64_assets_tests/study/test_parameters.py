"""Every leaf of the study reaches exactly the records of the assets that receive it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fly64_assets.orchestration.graph.files import view_file
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import Study, load_study
from fly64_assets.study.parameters import (
    TrainingParameters,
    comparison_parameters,
    dataset_parameters,
    input_digest,
    scan_parameters,
)
from fly64_assets_tests.orchestration.conftest import TINY

Leaf = tuple[str, ...]

STUDY = load_study(str(TINY))
METHODS = tuple(STUDY.methods)
RECONSTRUCTIONS = frozenset(f"reconstruction/{method}" for method in METHODS)
SEEDED = frozenset({"simulated_dataset", "overlap_view", "trained_bundle", "comparison_metrics"}) | RECONSTRUCTIONS
PTY_CHI_OPTIONS = (("scan", "reference"), ("methods", "pty_chi", "options"))
NOT_ALONE = {
    ("doses",),  # names partitions
    ("scan", "source"),  # needs a file
    ("scan", "file"),
    ("dose", "method"),  # needs measured counts
    ("scan", "patch_size_px"),
    ("scoring", "metrics"),  # needs a metric of another package
    ("views", "dense", "s_img"),  # not beside an overlap; the baseline view has none
    ("views", "sparse", "s_img"),
    *((*options, name) for options in PTY_CHI_OPTIONS for name in ("alpha", "step_size")),  # not for this algorithm
}
"""Leaves that cannot be changed by themselves."""


def leaves(value: Any, path: Leaf = ()) -> Iterator[tuple[Leaf, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


def other(path: Leaf, value: Any) -> list[Any]:
    """Values of which at least one is valid and differs."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1, value - 1]
        case float():
            return [value * 0.75, value + 0.25, value * 2]
        case str():
            words = ("dense", "pinn", "cells", "gaussian", "spiral", "rPIE", "uniform", "random", "gpu", "bf16-mixed")
            return [*words, "none", "poisson", "0 3 * * *", "other"]
        case list():
            return [[7], [10_000.0], [160, 150]]
        case None:
            return [0.5, 3, 9.0, 1000, "pinn", "uniform", [1000.0], ["dense"]]
    return []


def with_leaf(path: Leaf, value: Any) -> Study | None:
    content = STUDY.model_dump(mode="json")
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        changed = Study.model_validate(content)
    except ValueError:
        return None
    return changed if changed.model_dump(mode="json") != STUDY.model_dump(mode="json") else None


def digests(study: Study) -> dict[str, str]:
    graph = StudyGraph(study)
    return {str(item): graph.parameter_digest(item) for item in graph.walk_order()}


def receivers(path: Leaf) -> set[str]:
    """Assets whose records hold a leaf, written from what each asset does, not from the code that builds records.

    ``asset`` or ``asset@view``; the report holds one digest of all others.
    """
    match path:
        case ("name",) | ("report", *_):
            return {"study_report"}
        case ("seeds",):
            return {*SEEDED}
        case ("scan", "seed"):
            return {"scan", "overlap_view", "comparison_metrics"}
        case ("scan", *_):
            return {"scan"}
        case ("split", *_):
            return {"simulated_dataset"}
        case ("views", _, "trains") | ("methods", _, "replicates_on"):  # there is one object
            return set()
        case ("views", view, *_):
            return {f"{asset}@{view}" for asset in ("overlap_view", "trained_bundle", *RECONSTRUCTIONS)}
        case ("methods", method, "options", *_):
            trained = {f"trained_bundle@{view}" for view in STUDY.views if STUDY.trains(view) == method}
            return {f"reconstruction/{method}", *trained}
        case ("scoring", *_):
            return {"comparison_metrics"}
    assert path[0] in ("default_doses", "checks", "schedule", "execution"), f"say which assets receive {path}"
    return set()


ALL = [path for path, _ in leaves(STUDY.model_dump(mode="json")) if path not in NOT_ALONE]
STRUCTURE = [path for path in ALL if path[-1] in ("kind", "starts_from", "trained_on", "gridsize", "trains", "network")]


@pytest.mark.parametrize("path", [path for path in ALL if path not in STRUCTURE], ids=".".join)
def test_a_leaf_changes_the_records_of_exactly_the_assets_that_receive_it(path: Leaf) -> None:
    value = dict(leaves(STUDY.model_dump(mode="json")))[path]
    changed = next((study for new in other(path, value) if (study := with_leaf(path, new)) is not None), None)
    assert changed is not None, f"no other valid value is known for {'.'.join(path)}: {value!r}"
    before, after = digests(STUDY), digests(changed)
    differing = {item for item in before if before[item] != after.get(item)}
    expected = {
        item
        for item in before
        for receiver in receivers(path)
        if item.split("[")[0] == receiver.split("@")[0]
        and ("@" not in receiver or item.endswith(f"|{receiver.split('@')[1]}]"))
    }
    if path == ("report", "title") or path[0] in ("name", "report"):
        assert differing == {"study_report"}
    else:
        assert differing == (expected | {"study_report"} if expected else set())


def test_options_that_only_judge_or_execute_reach_no_record() -> None:
    for path, value in ((("checks", "dose_tolerance"), 0.2), (("execution", "num_workers"), 3)):
        changed = with_leaf(path, value)
        assert changed is not None
        assert digests(changed) == digests(STUDY)


@pytest.mark.parametrize("option", ["threads", "precision", "passes", "epochs", "width", "stages", "network"])
def test_what_decides_a_result_is_in_a_record(option: str) -> None:
    graph = StudyGraph(STUDY)
    fields = set()
    for item in graph.walk_order():
        fields |= {path[-1] for path, _ in leaves(graph.parameters(item).model_dump(mode="json"))}
    assert option in fields


def test_a_view_trains_the_method_that_is_dedicated_to_it_else_the_first_that_fits() -> None:
    assert [STUDY.trains(view) for view in STUDY.views] == ["baseline", "pinn", "pinn"]
    only_classical = STUDY.with_changes(methods={"map": STUDY.methods["map"]})
    graph = StudyGraph(only_classical)
    parameters = graph.parameters(next(iter(graph.partitions("trained_bundle"))))
    assert isinstance(parameters, TrainingParameters)
    assert parameters.not_here is not None
    assert "trains nothing" in parameters.not_here


def test_adding_a_dose_a_view_or_a_method_changes_no_record_of_the_others() -> None:
    before = digests(STUDY)
    more = {**STUDY.model_dump(mode="json"), "doses": [1000.0, 10000.0, 5000.0]}
    after = digests(Study.model_validate(more))
    assert {item for item in before if before[item] != after[item]} == {"study_report"}
    after = digests(STUDY.with_changes(views={**STUDY.views, "extra": STUDY.views["dense"]}))
    assert {item for item in before if before[item] != after[item]} == {"study_report"}
    after = digests(STUDY.with_changes(methods={**STUDY.methods, "again": STUDY.methods["map"]}))
    changed = {item.split("[")[0] for item in before if before[item] != after[item]}
    assert changed == {"comparison_metrics", "study_report"}


def test_an_input_file_enters_the_scan_by_its_content(tmp_path: Path) -> None:
    source = tmp_path / "base.npz"
    scan = {"source": "base_npz", "file": str(source)}
    absent = load_study(str(TINY), {"scan": scan})
    assert input_digest(absent) == "absent"
    source.write_bytes(b"one")
    first = scan_parameters(absent).digest
    source.write_bytes(b"other")
    assert scan_parameters(absent).digest != first


REPLICATES = {"kind": "mixed", "number": 2, "shape_px": [124, 110]}


def replicated(*groups: dict[str, Any]) -> Study:
    """The tiny study with several objects, the first being its own."""
    content = STUDY.model_dump(mode="json")
    del content["scan"]["object"]
    return Study.model_validate({**content, "scan": {**content["scan"], "objects": list(groups)}})


def test_one_object_is_the_same_study_however_it_is_written() -> None:
    only = {**REPLICATES, "number": 1}
    before, after = digests(STUDY), digests(replicated(only))
    assert {item for item in before if before[item] != after[item]} <= {"scan", "study_report"}


def test_a_replicate_changes_what_holds_replicates_and_no_training() -> None:
    two, three = replicated(REPLICATES), replicated({**REPLICATES, "number": 3})
    before, after = digests(two), digests(three)
    changed = {item.split("[")[0] for item in before if before[item] != after[item]}
    assert changed == {*SEEDED, "scan", "study_report"} - {"trained_bundle"}
    assert digests(STUDY)["trained_bundle[1000|dense]"] == after["trained_bundle[1000|dense]"]
    graph = StudyGraph(three)
    source = PartitionId("overlap_view", "1000|dense")
    assert graph.file_read("trained_bundle", source) == view_file("dense", "train", "")
    assert graph.file_read("reconstruction/map", source) is None
    assert StudyGraph(STUDY).file_read("trained_bundle", source) is None


def test_the_first_objects_files_know_nothing_of_the_others() -> None:
    one, three = (dataset_parameters(study, 1e3) for study in (STUDY, replicated({**REPLICATES, "number": 3})))
    assert three.first_digest == one.digest != three.digest
    assert [(each.key, each.folder, each.splits) for each in three.repetitions] == [
        ("1", "", ("train", "test")), ("mixed_2", "mixed_2/", ("test",)), ("mixed_3", "mixed_3/", ("test",)),
    ]  # fmt: skip


def test_a_method_is_run_on_replicates_where_it_says_and_where_what_it_starts_from_is() -> None:
    study = replicated(REPLICATES)
    entry = study.methods["pinn"].model_copy(update={"replicates_on": ("dense",)})
    study = study.with_changes(methods={**study.methods, "pinn": entry})
    assert study.objects_of("pinn", "dense") == study.objects_of("map", "sparse") == ("mixed_1", "mixed_2")
    assert study.objects_of("pinn_refined", "sparse") == ("mixed_1",)
    alone = {m.name for m in comparison_parameters(study, 1e3, "sparse").methods if m.first_object_alone}
    assert alone == {"pinn", "pinn_refined"}


def test_the_named_methods_of_a_view_reach_its_bundle() -> None:
    methods = {**STUDY.methods, "wide": STUDY.methods["pinn"]}
    view = STUDY.views["dense"].model_copy(update={"trains": "wide"})
    changed = STUDY.with_changes(methods=methods, views={**STUDY.views, "dense": view})
    before, after = digests(STUDY), digests(changed)
    differing = {item for item in before if before[item] != after.get(item)}
    assert {item for item in differing if "bundle" in item} == {
        "trained_bundle[1000|dense]",
        "trained_bundle[10000|dense]",
    }
    assert not any(item.startswith("reconstruction") for item in differing)
