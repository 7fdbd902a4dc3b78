"""Assembles the definitions of a study; decides nothing."""

from pathlib import Path

import dagster as dg
from dagster_shared.utils.warnings import disable_dagster_warnings

from fly64_assets.orchestration.assets.checks import study_checks
from fly64_assets.orchestration.assets.comparison import comparison_assets
from fly64_assets.orchestration.assets.launchpad import workspace_resource
from fly64_assets.orchestration.assets.reconstruction import reconstruction_assets
from fly64_assets.orchestration.assets.simulation import simulation_assets
from fly64_assets.orchestration.assets.training import training_assets
from fly64_assets.orchestration.assets.views import view_assets
from fly64_assets.orchestration.automation.interrupted import interrupted_runs_sensor
from fly64_assets.orchestration.automation.schedules import study_automation
from fly64_assets.orchestration.catalog.io_manager import VerifiedFilesIOManager
from fly64_assets.orchestration.graph.columns import described
from fly64_assets.orchestration.graph.jobs import study_jobs
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.records import ProgressListener, ignore_progress
from fly64_assets.study import Study


def build_definitions(study: Study, data_root: Path, listener: ProgressListener = ignore_progress) -> dg.Definitions:
    """Assets, checks, jobs, schedule and sensors of a study.

    Args:
        study: what is asked; its doses and views become the partitions.
        data_root: absolute folder that holds the study's files.
        listener: told of all progress, besides the run log.
    """
    with disable_dagster_warnings():  # partitioned checks and mappings are beta; the version is pinned and tested
        return _build(study, data_root, listener)


def _build(study: Study, data_root: Path, listener: ProgressListener) -> dg.Definitions:
    assets = study_assets(study)
    workspace = Workspace(study, data_root, listener)
    schedules, sensors = study_automation(workspace, code_versions(assets))
    return dg.Definitions(
        assets=assets,
        asset_checks=study_checks(StudyPartitions(study)),
        jobs=study_jobs(StudyPartitions(study)),
        schedules=schedules,
        sensors=[*sensors, interrupted_runs_sensor(workspace)],
        resources={"files": VerifiedFilesIOManager(data_root), "workspace": workspace_resource(workspace)},
        executor=dg.in_process_executor,
    )


def study_assets(study: Study) -> list[dg.AssetsDefinition]:
    """The eight assets, upstream first."""
    partitions = StudyPartitions(study)
    with disable_dagster_warnings():
        return described(
            [
                *simulation_assets(partitions),
                *view_assets(partitions),
                *training_assets(partitions),
                *reconstruction_assets(partitions),
                *comparison_assets(partitions),
            ]
        )


def code_versions(assets: list[dg.AssetsDefinition]) -> dict[str, str]:
    """Code version of each asset by its name."""
    return {
        key.to_user_string(): version or ""
        for definition in assets
        for key, version in definition.code_versions_by_key.items()
    }
