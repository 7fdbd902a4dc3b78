"""Jobs for backfills: a dose's dataset, a cell from its view to its scores, the report, and checks run again."""

from typing import Any

import dagster as dg

from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.study_graph import DATASET, REPORT, SCAN, StudyGraph

DATASET_JOB = "dataset_of_dose"
CELL_JOB = "cell_of_dose_and_view"
REPORT_JOB = "report_of_study"
SCAN_JOB = "scan_of_study"
PROBE_JOB = "training_for_probe"
DATASET_CHECKS_JOB = "checks_of_dose"
CELL_CHECKS_JOB = "checks_of_dose_and_view"


def assets_of_job(job: str, graph: StudyGraph) -> tuple[str, ...]:
    """The assets that a job makes; empty for the other jobs."""
    whole = {
        SCAN_JOB: (SCAN,),
        PROBE_JOB: graph.probe_trainings,
        DATASET_JOB: (DATASET,),
        CELL_JOB: graph.cell_assets,
        REPORT_JOB: (REPORT,),
    }
    return whole.get(job, ())


def job_of(asset: str, graph: StudyGraph) -> str:
    """The job that makes an asset."""
    if asset in graph.cell_assets:
        return CELL_JOB
    if asset in graph.probe_trainings:
        return PROBE_JOB
    return {SCAN: SCAN_JOB, DATASET: DATASET_JOB, REPORT: REPORT_JOB}[asset]


def study_jobs(graph: StudyGraph, partitions: StudyPartitions) -> list:
    """One job per set of partitions, because a run works on one set."""

    def job(name: str, partitions_def: dg.PartitionsDefinition | None, description: str) -> Any:
        selection = dg.AssetSelection.assets(*map(_key, assets_of_job(name, graph)))
        return dg.define_asset_job(name, selection, partitions_def=partitions_def, description=description)

    for_the_probe = [job(PROBE_JOB, None, "Networks trained for the probe, once per study.")]
    return [
        job(SCAN_JOB, None, "The shared scan."),
        *(for_the_probe if graph.probe_trainings else []),
        job(DATASET_JOB, partitions.dose, "Train and test datasets of a dose."),
        job(CELL_JOB, partitions.dose_and_view, "One dose and view: view, training, reconstructions, scores."),
        job(REPORT_JOB, None, "The report."),
        _checks_job(DATASET_CHECKS_JOB, assets_of_job(DATASET_JOB, graph), partitions.dose),
        _checks_job(CELL_CHECKS_JOB, graph.cell_assets, partitions.dose_and_view),
    ]


def _key(asset: str) -> dg.AssetKey:
    return dg.AssetKey(asset.split("/"))


def _checks_job(name: str, assets: tuple[str, ...], partitions: dg.PartitionsDefinition) -> Any:
    """All checks of some assets, for one partition: Dagster's page runs a partitioned check for none.

    A job of checks alone takes its partitions from its configuration; `partitions_def` goes by its assets.
    """
    return dg.define_asset_job(
        name,
        dg.AssetSelection.checks_for_assets(*map(_key, assets)),
        config=dg.PartitionedConfig(partitions, run_config_for_partition_key_fn=lambda _: {}),
        description=f"The checks of {', '.join(assets)} again, on what is there.",
    )
