"""Jobs for backfills: a dose's dataset, a cell from its view to its scores, and the report."""

import dagster as dg

from fly64_assets.orchestration.partitions import CELL_ASSETS, StudyPartitions

DATASET_JOB = "dataset_of_dose"
CELL_JOB = "cell_of_dose_and_view"
REPORT_JOB = "report_of_study"
SCAN_JOB = "scan_of_study"


def study_jobs(partitions: StudyPartitions) -> list:
    """One job per set of partitions, because a run works on one set."""
    return [
        dg.define_asset_job(SCAN_JOB, dg.AssetSelection.assets("scan"), description="The shared scan."),
        dg.define_asset_job(
            DATASET_JOB,
            dg.AssetSelection.assets("simulated_dataset"),
            partitions_def=partitions.dose,
            description="Train and test datasets of a dose.",
        ),
        dg.define_asset_job(
            CELL_JOB,
            dg.AssetSelection.assets(*CELL_ASSETS),
            partitions_def=partitions.dose_and_view,
            description="One dose and view: view, training, reconstructions, scores.",
        ),
        dg.define_asset_job(REPORT_JOB, dg.AssetSelection.assets("study_report"), description="The report."),
    ]
