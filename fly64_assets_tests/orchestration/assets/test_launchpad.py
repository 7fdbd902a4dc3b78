"""Run configuration: bounds hold before a run exists, the default works untouched, overrides enter the hash."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fly64_assets.orchestration.assets.launchpad import (
    PTY_CHI_FIELDS,
    TRAINING_FIELDS,
    training_config,
    with_training_overrides,
    workspace_resource,
)
from fly64_assets.orchestration.code_location import build_definitions
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.orchestration.study_run.runs import execute_partition
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.conftest import TINY

CELL = "1000|dense"


def validate(study: Study, asset: str, run_config: dict[str, Any]) -> Any:
    definitions = build_definitions(study, Path("/nowhere"))
    job = definitions.get_repository_def().get_implicit_job_def_for_assets([dg.AssetKey(asset)])
    assert job is not None
    return dg.validate_run_config(job.get_subset(asset_selection={dg.AssetKey(asset)}), run_config)


def training(**config: Any) -> dict[str, Any]:
    return {"ops": {"trained_bundle": {"config": config}}}


def pty_chi(**config: Any) -> dict[str, Any]:
    return {"resources": {"workspace": {"config": {"pty_chi": config}}}}


def test_the_default_configuration_works_untouched_empty_or_spelled_out(tiny: Study) -> None:
    spelled_out = {**training(**dict.fromkeys(training_config(tiny))), **pty_chi(**dict.fromkeys(PTY_CHI_FIELDS))}
    for run_config in ({}, spelled_out):
        assert validate(tiny, "trained_bundle", run_config)["ops"]["trained_bundle"]["config"]["epochs"] is None


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
        ("num_workers", 65, "at most 64"),
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
                run_config=training(**{field: value}),
            )
        assert instance.get_runs() == []
    assert expected in str(refusal.value)


def test_values_at_the_bounds_are_accepted(tiny: Study) -> None:
    for config in (
        {"epochs": 1},
        {"epochs": 100_000},
        {"learning_rate": 1},
        {"num_workers": 0},
        {"accelerator": "gpu"},
    ):
        assert validate(tiny, "trained_bundle", training(**config))["ops"]["trained_bundle"]["config"]


def test_options_of_pty_chi_are_bounded_too(tiny: Study) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="at least 1 and at most 10000, got 0"):
        validate(tiny, "pty_chi_reconstruction", pty_chi(epochs=0))
    with pytest.raises(dg.DagsterInvalidConfigError, match="noise_model"):
        validate(tiny, "pty_chi_reconstruction", pty_chi(noise_model="student"))
    without_noise_model = load_study(str(TINY), {"pty_chi": {"algorithm": "rPIE"}})
    with pytest.raises(dg.DagsterInvalidConfigError, match="noise_model"):
        validate(without_noise_model, "pty_chi_reconstruction", pty_chi(noise_model="gaussian"))


def test_every_field_says_what_it_is_its_bounds_and_what_the_study_has(tiny: Study) -> None:
    fields = training_config(tiny)
    assert {*TRAINING_FIELDS, "seed"} == set(fields)
    assert "at least 1 and at most 100000" in (fields["epochs"].description or "")
    assert "pinn 8, supervised 2" in (fields["epochs"].description or "")
    assert "One of auto, cpu, gpu" in (fields["accelerator"].description or "")
    assert all("as in the study (" in (field.description or "") for field in fields.values())


def test_an_override_enters_the_hash_of_what_it_changes_and_of_nothing_else(tiny: Study) -> None:
    def hashes(study: Study) -> dict[str, str]:
        cells = ("trained_bundle", "pty_chi_reconstruction", "overlap_view")
        return {asset: study.parameter_hash(asset, CELL) for asset in cells}  # pyright: ignore[reportArgumentType]

    before = hashes(tiny)
    assert hashes(with_training_overrides(tiny, "dense", {"epochs": None})) == before
    assert hashes(with_training_overrides(tiny, "dense", {"num_workers": 2})) == before
    trained = hashes(with_training_overrides(tiny, "dense", {"epochs": 3}))
    assert {asset for asset in before if trained[asset] != before[asset]} == {"trained_bundle"}
    seeded = with_training_overrides(tiny, "dense", {"seed": 7})
    assert seeded.seeds == (7,)
    assert hashes(seeded)["trained_bundle"] != before["trained_bundle"]
    workspace = Workspace(tiny, Path("/nowhere"))
    context = dg.build_init_resource_context(config={"pty_chi": {"noise_model": "poisson", "epochs": None}})
    iterative = hashes(workspace_resource(workspace)(context).study)
    assert {asset for asset in before if iterative[asset] != before[asset]} == {"pty_chi_reconstruction"}


def test_a_study_of_several_seeds_has_no_seed_for_a_run(tiny: Study) -> None:
    several = load_study(str(TINY), {"seeds": [1, 2]})
    assert "seed" not in training_config(several)
    with pytest.raises(dg.DagsterInvalidConfigError, match="seed"):
        validate(several, "simulated_dataset", {"ops": {"simulated_dataset": {"config": {"seed": 3}}}})
    assert validate(tiny, "simulated_dataset", {"ops": {"simulated_dataset": {"config": {"seed": 3}}}})
