"""Assembles the definitions of a study from its graph; decides nothing."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from fly64_assets.orchestration.assets.checks import study_checks
from fly64_assets.orchestration.assets.comparison import comparison_metrics
from fly64_assets.orchestration.assets.factory import Made, study_asset
from fly64_assets.orchestration.assets.launchpad import Overrides, method_overrides, options_of, seed_overrides
from fly64_assets.orchestration.assets.reconstruction import reconstruction
from fly64_assets.orchestration.assets.report import study_report
from fly64_assets.orchestration.assets.simulation import scan, simulated_dataset
from fly64_assets.orchestration.assets.training import TRAINING_POOL, trained_bundle
from fly64_assets.orchestration.assets.views import overlap_view
from fly64_assets.orchestration.automation.interrupted import interrupted_runs_sensor
from fly64_assets.orchestration.automation.schedules import study_automation
from fly64_assets.orchestration.catalog.code_version import DIGITS, code_version
from fly64_assets.orchestration.catalog.io_manager import VerifiedFilesIOManager
from fly64_assets.orchestration.dagster_internals import disable_dagster_warnings
from fly64_assets.orchestration.graph.jobs import study_jobs
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.study_graph import AssetNode, StudyGraph
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.records import ProgressListener, ignore_progress
from fly64_assets.storage import digest_of
from fly64_assets.study import Study


def build_definitions(study: Study, data_root: Path, listener: ProgressListener = ignore_progress) -> dg.Definitions:
    """Assets, checks, jobs, schedule and sensors of a study.

    Args:
        study: what is asked; its doses and views become the partitions, its methods assets.
        data_root: absolute folder that holds the study's files.
        listener: told of all progress, besides the run log.
    """
    with disable_dagster_warnings():  # partitioned checks and mappings are beta; the version is pinned and tested
        return _build(study, data_root, listener)


def _build(study: Study, data_root: Path, listener: ProgressListener) -> dg.Definitions:
    graph, partitions = StudyGraph(study), StudyPartitions(study)
    workspace = Workspace(graph, data_root, listener)
    versions = code_versions(graph)
    schedules, sensors = study_automation(workspace, versions)
    return dg.Definitions(
        assets=[
            study_asset(node, _made(graph, node), partitions, versions[node.name]) for node in graph.nodes.values()
        ],
        asset_checks=study_checks(graph, partitions),
        jobs=study_jobs(graph, partitions),
        schedules=schedules,
        sensors=[*sensors, interrupted_runs_sensor(workspace)],
        resources={"files": VerifiedFilesIOManager(data_root), "workspace": workspace},
        executor=dg.in_process_executor,
    )


def code_versions(graph: StudyGraph) -> dict[str, str]:
    """Code version of each asset by its name: a digest of the science code that its entry imports."""
    return {
        node.name: digest_of([code_version(entry) for entry in node.entries])[:DIGITS] for node in graph.nodes.values()
    }


def _made(graph: StudyGraph, node: AssetNode) -> Made:
    seeds = graph.study.seeds
    match node.family:
        case "scan":
            return Made(scan, "simulation", frozenset({"numpy"}))
        case "simulated_dataset":
            noise = seed_overrides(seeds, "Seed of the noise, or of the thinning.")
            return Made(simulated_dataset, "simulation", frozenset({"numpy"}), noise)
        case "overlap_view":
            return Made(overlap_view, "views", frozenset({"numpy"}))
        case "trained_bundle" | "training":
            options = _options(graph, node, seeds, "Seed of the network's start and of the order of its groups.")
            return Made(trained_bundle, "training", frozenset({"pytorch", "lightning"}), options, TRAINING_POOL)
        case "reconstruction":
            return Made(reconstruction, "reconstruction", frozenset({"hdf5"}), _options(graph, node))
        case "comparison_metrics":
            return Made(comparison_metrics, "comparison", frozenset({"pandas"}))
    return Made(study_report, "report", frozenset({"html"}))


def _options(graph: StudyGraph, node: AssetNode, seeds: tuple[int, ...] = (), seed_text: str = "") -> Overrides:
    def parameters() -> Iterator:
        for item in graph.partitions(node.name):
            yield graph.parameters(item)

    return method_overrides(options_of(parameters()), seeds, seed_text)
