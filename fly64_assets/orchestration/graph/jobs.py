"""Jobs for backfills: a dose's dataset, a cell from its view to its scores, the report, and checks run again."""

from typing import Any

import dagster as dg

from fly64_assets.orchestration.graph.partitions import CELL_ASSETS, StudyPartitions
from fly64_assets.study import AssetName

DATASET_JOB = "dataset_of_dose"
CELL_JOB = "cell_of_dose_and_view"
REPORT_JOB = "report_of_study"
SCAN_JOB = "scan_of_study"
DATASET_CHECKS_JOB = "checks_of_dose"
CELL_CHECKS_JOB = "checks_of_dose_and_view"
ASSETS_OF_JOBS: dict[str, tuple[AssetName, ...]] = {
    SCAN_JOB: ("scan",),
    DATASET_JOB: ("simulated_dataset",),
    CELL_JOB: CELL_ASSETS,
    REPORT_JOB: ("study_report",),
}


def study_jobs(partitions: StudyPartitions) -> list:
    """One job per set of partitions, because a run works on one set."""
    return [
        dg.define_asset_job(
            SCAN_JOB, dg.AssetSelection.assets(*ASSETS_OF_JOBS[SCAN_JOB]), description="The shared scan."
        ),
        dg.define_asset_job(
            DATASET_JOB,
            dg.AssetSelection.assets(*ASSETS_OF_JOBS[DATASET_JOB]),
            partitions_def=partitions.dose,
            description="Train and test datasets of a dose.",
        ),
        dg.define_asset_job(
            CELL_JOB,
            dg.AssetSelection.assets(*ASSETS_OF_JOBS[CELL_JOB]),
            partitions_def=partitions.dose_and_view,
            description="One dose and view: view, training, reconstructions, scores.",
        ),
        dg.define_asset_job(
            REPORT_JOB, dg.AssetSelection.assets(*ASSETS_OF_JOBS[REPORT_JOB]), description="The report."
        ),
        _checks_job(DATASET_CHECKS_JOB, ASSETS_OF_JOBS[DATASET_JOB], partitions.dose),
        _checks_job(CELL_CHECKS_JOB, CELL_ASSETS, partitions.dose_and_view),
    ]


def _checks_job(name: str, assets: tuple[AssetName, ...], partitions: dg.PartitionsDefinition) -> Any:
    """All checks of some assets, for one partition: Dagster's page runs a partitioned check for none.

    A job of checks alone takes its partitions from its configuration; `partitions_def` goes by its assets.
    """
    return dg.define_asset_job(
        name,
        dg.AssetSelection.checks_for_assets(*(dg.AssetKey(asset) for asset in assets)),
        config=dg.PartitionedConfig(partitions, run_config_for_partition_key_fn=lambda _: {}),
        description=f"The checks of {', '.join(assets)} again, on what is there.",
    )
