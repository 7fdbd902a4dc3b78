"""overlap_view: the scan positions that a view keeps, and how much their probes really overlap."""

import json

import dagster as dg
import numpy as np

from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.io_manager import published_output
from fly64_assets.orchestration.catalog.metadata import optional_picture, scalars, table
from fly64_assets.orchestration.graph.partitions import StudyPartitions
from fly64_assets.orchestration.graph.workspace import Workspace
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import view_preview
from fly64_assets.science.records import SPLITS, Split
from fly64_assets.science.views.view import ViewSummary, make_view
from fly64_assets.storage import StagedFolder, staged
from fly64_assets.study import Study, split_partition

METRICS_FILE = "metrics_bundle.json"


def view_assets(partitions: StudyPartitions) -> list[dg.AssetsDefinition]:
    """The one asset between datasets and solvers."""

    @dg.asset(
        partitions_def=partitions.dose_and_view,
        ins={
            "simulated_dataset": dg.AssetIn(
                partition_mapping=dg.MultiToSingleDimensionPartitionMapping("dose"),
            )
        },
        group_name="views",
        code_version="1",
        io_manager_key="files",
        kinds={"numpy"},
    )
    def overlap_view(
        context: dg.AssetExecutionContext, workspace: dg.ResourceParam[Workspace], simulated_dataset: PartitionFiles
    ) -> dg.Output:
        """The positions that a view keeps, as DATA-001 datasets, with requested and measured overlap.

        The same positions are kept at every dose and for every seed. A view that keeps too few train
        positions still materializes, marked as not trainable with the reason.
        """
        study = workspace.study
        item = workspace.item(context, "overlap_view")
        parameter_hash = study.parameter_hash("overlap_view", item.partition)
        _, view = split_partition(item.partition)
        with staged(workspace.data_root / item.folder) as stage:
            summaries: dict[int, dict[Split, ViewSummary]] = {
                seed: {
                    split: _make_split(study, stage, simulated_dataset, view, split, seed, parameter_hash)
                    for split in SPLITS
                }
                for seed in study.seeds
            }
            first = summaries[study.seeds[0]]
            bundle = metrics_bundle(view, summaries)
            stage.path(METRICS_FILE).write_text(json.dumps(bundle, indent=2, sort_keys=True) + "\n")
            metadata = {
                "trainable": first["train"].trainable,
                **({} if first["train"].trainable else {"reason": first["train"].reason}),
                **scalars(first["train"].to_dict(), "train_"),
                "overlap metrics": table({"split": split, **first[split].to_dict()} for split in SPLITS),
                **optional_picture(
                    context, lambda: _preview(stage, study, simulated_dataset, view, first), "positions"
                ),
            }
            return published_output(
                context, stage, parameter_hash=parameter_hash, upstream=[simulated_dataset], metadata=metadata
            )

    return [overlap_view]


def dataset_file(view: str, split: Split, seed_folder: str) -> str:
    """Name of a view's dataset inside its partition."""
    return f"{seed_folder}{view}_{split}.npz"


def metrics_bundle(view: str, summaries: dict[int, dict[Split, ViewSummary]]) -> dict:
    """Overlap metrics of both splits; of the first seed at the top, and of each seed below."""
    first = next(iter(summaries.values()))
    by_seed = {
        str(seed): {split: summary.to_dict() for split, summary in splits.items()} for seed, splits in summaries.items()
    }
    train = first["train"]
    return {
        "view": view,
        "trainable": train.trainable,
        "reason": train.reason,
        **{split: summary.to_dict() for split, summary in first.items()},
        "seeds": by_seed,
    }


def _make_split(
    study: Study,
    stage: StagedFolder,
    source: PartitionFiles,
    view: str,
    split: Split,
    seed: int,
    parameter_hash: str,
) -> ViewSummary:
    folder = study.seed_folder(seed)
    return make_view(
        source.path(f"{folder}patched_{split}.npz"),
        study.views[view],
        view_name=view,
        split=split,
        out=stage.path(dataset_file(view, split, folder)),
        rng=study.rng("view", view, split),
        parameter_hash=parameter_hash,
    )


def _preview(
    stage: StagedFolder, study: Study, source: PartitionFiles, view: str, summaries: dict[Split, ViewSummary]
) -> bytes:
    folder = study.seed_folder(study.seeds[0])
    kept = {split: read_dataset(stage.path(dataset_file(view, split, folder))) for split in SPLITS}
    everything = [read_dataset(source.path(f"{folder}patched_{split}.npz")) for split in SPLITS]
    return view_preview(
        kept["train"].object,
        np.concatenate([dataset.measurement.positions_xy_px for dataset in everything]),
        {split: dataset.measurement.positions_xy_px for split, dataset in kept.items()},
        summaries["train"].to_dict()["probe_diameter_px"],
    )
