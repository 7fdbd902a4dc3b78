"""Run configuration: bounds hold before a run exists, the default works untouched, overrides enter the record."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fly64_assets.orchestration.assets.launchpad import Overrides, method_overrides, options_of, seed_overrides
from fly64_assets.orchestration.catalog.gate import GateRefusedError
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.orchestration.study_run.runs import execute_partition
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.conftest import TINY

CELL = "1000|dense"


def validate(study: Study, asset: str, run_config: dict[str, Any]) -> Any:
    definitions = build_definitions(study, Path("/nowhere"))
    key = PartitionId(asset).asset_key
    job = definitions.get_repository_def().get_implicit_job_def_for_assets([key])
    assert job is not None
    return dg.validate_run_config(job.get_subset(asset_selection={key}), run_config)


def config(asset: str, **values: Any) -> dict[str, Any]:
    return {"ops": {asset.replace("/", "__"): {"config": values}}}


def overrides(study: Study, asset: str) -> Overrides:
    graph = StudyGraph(study)
    return method_overrides(
        options_of(graph.parameters(item) for item in graph.partitions(asset)), study.seeds, "Seed."
    )


def test_the_default_configuration_works_untouched_empty_or_spelled_out(tiny: Study) -> None:
    for asset in ("trained_bundle", "reconstruction/pty_chi", "reconstruction/map"):
        without_seed = set() if asset == "trained_bundle" else {"seed"}
        spelled_out = config(asset, **dict.fromkeys(set(overrides(tiny, asset).schema) - without_seed))
        for run_config in ({}, spelled_out):
            found = validate(tiny, asset, run_config)["ops"][asset.replace("/", "__")]["config"]
            assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("epochs", 0, "at least 1 and at most 100000, got 0"),
        ("epochs", 100_001, "got 100001"),
        ("epochs", 1.5, "epochs"),
        ("batch_size", 4097, "at least 1 and at most 4096"),
        ("learning_rate", 5, "above 0 and at most 1, got 5"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "got nan"),
        ("n_images", 0, "at least 1"),
        ("max_minutes", -1.0, "above 0"),
        ("width", 513, "at most 512"),
        ("accelerator", "tpu", "accelerator"),
        ("precision", "16", "precision"),
        ("seed", -1, "at least 0"),
        ("momentum", 0.5, "momentum"),
    ],
)
def test_a_value_out_of_bounds_is_refused_before_there_is_a_run(
    tiny: Study, field: str, value: Any, expected: str
) -> None:
    definitions = build_definitions(tiny, Path("/nowhere"))
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterInvalidConfigError) as refusal:
            execute_partition(
                definitions,
                instance,
                PartitionId("trained_bundle", CELL),
                run_config=config("trained_bundle", **{field: value}),
            )
        assert instance.get_runs() == []
    assert expected in str(refusal.value)


def test_values_at_the_bounds_are_accepted(tiny: Study) -> None:
    for values in ({"epochs": 1}, {"epochs": 100_000}, {"learning_rate": 1}, {"width": 1}, {"accelerator": "gpu"}):
        assert validate(tiny, "trained_bundle", config("trained_bundle", **values))["ops"]["trained_bundle"]["config"]


def test_the_options_of_every_kind_are_bounded(tiny: Study) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="at least 1 and at most 10000, got 0"):
        validate(tiny, "reconstruction/pty_chi", config("reconstruction/pty_chi", epochs=0))
    with pytest.raises(dg.DagsterInvalidConfigError, match="noise_model"):
        validate(tiny, "reconstruction/pty_chi", config("reconstruction/pty_chi", noise_model="student"))
    with pytest.raises(dg.DagsterInvalidConfigError, match="at least 1 and at most 1000, got 0"):
        validate(tiny, "reconstruction/map", config("reconstruction/map", passes=0))


def test_every_field_says_what_it_is_its_bounds_and_what_the_study_has(tiny: Study) -> None:
    fields = overrides(tiny, "trained_bundle").schema
    assert {"epochs", "batch_size", "width", "accelerator", "threads", "seed"} <= set(fields)
    assert "at least 1 and at most 100000" in (fields["epochs"].description or "")
    assert "pinn 3" in (fields["epochs"].description or "")
    assert "baseline 2" in (fields["epochs"].description or "")
    assert "One of auto, cpu, gpu" in (fields["accelerator"].description or "")
    assert all("as in the study (" in (field.description or "") for field in fields.values())


def test_an_override_enters_the_record_of_what_it_changes(tiny: Study) -> None:
    graph = StudyGraph(tiny)
    parameters = graph.parameters(PartitionId("trained_bundle", CELL))
    fields = overrides(tiny, "trained_bundle")
    assert fields.applied(parameters, {"epochs": None}).digest == parameters.digest
    assert fields.applied(parameters, {"epochs": 4}).digest != parameters.digest
    assert fields.applied(parameters, {"seed": 7}).seeds == (7,)
    iterative = graph.parameters(PartitionId("reconstruction/pty_chi", CELL))
    changed = overrides(tiny, "reconstruction/pty_chi").applied(iterative, {"noise_model": "poisson", "epochs": None})
    assert changed.options.noise_model == "poisson"
    assert changed.digest != iterative.digest


def test_an_option_that_contradicts_another_or_that_the_kind_does_not_have_is_refused(tiny: Study) -> None:
    graph = StudyGraph(tiny)
    iterative = graph.parameters(PartitionId("reconstruction/pty_chi", CELL))
    fields = overrides(tiny, "reconstruction/pty_chi")
    with pytest.raises(GateRefusedError, match=r"options of pty_chi \(kind pty_chi\): .*no noise model"):
        fields.applied(iterative, {"algorithm": "rPIE", "noise_model": "poisson"})
    with pytest.raises(GateRefusedError, match=r"epochs: no option of map \(kind map\)"):
        fields.applied(graph.parameters(PartitionId("reconstruction/map", CELL)), {"epochs": 3})


def test_a_study_of_several_seeds_has_no_seed_for_a_run(tiny: Study) -> None:
    several = load_study(str(TINY), {"seeds": [1, 2]})
    assert seed_overrides(several.seeds, "Seed.").schema == {}
    with pytest.raises(dg.DagsterInvalidConfigError, match="seed"):
        validate(several, "simulated_dataset", config("simulated_dataset", seed=3))
    assert validate(tiny, "simulated_dataset", config("simulated_dataset", seed=3))
