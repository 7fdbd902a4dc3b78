"""overlap_view: the scan positions that a view keeps, and how much their probes really overlap."""

from typing import Any

import numpy as np

from fly64_assets.orchestration.catalog.metadata import Metadata, optional_picture, scalars, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun
from fly64_assets.orchestration.graph import files
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.figures import view_preview
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import SPLITS, Split
from fly64_assets.science.views.view import ViewSummary, make_view
from fly64_assets.study.parameters import Repetition, ViewParameters


def overlap_view(run: PartitionRun[ViewParameters]) -> Metadata:
    """The positions that a view keeps, as DATA-001 datasets, with requested and measured overlap.

    The same positions are kept at every dose, for every seed and every object. A view that keeps too few train
    positions still materializes, marked as not trainable with the reason.
    """
    summaries: dict[int, dict[Split, ViewSummary]] = {
        each.seed: {split: _make_split(run, split, each) for split in SPLITS}
        for each in run.parameters.repetitions
        if "train" in each.splits
    }
    for each in run.parameters.repetitions:
        if "train" not in each.splits:
            _make_split(run, "test", each)
    first = summaries[run.parameters.first_seed]
    run.write_json(files.OVERLAP_METRICS, metrics_bundle(run.parameters.view_name, summaries))
    return {
        "trainable": first["train"].trainable,
        **({} if first["train"].trainable else {"reason": first["train"].reason}),
        **scalars(first["train"].to_dict(), "train_"),
        "overlap metrics": table({"split": split, **first[split].to_dict()} for split in SPLITS),
        **optional_picture(run.log, lambda: _preview(run, first), "positions"),
    }


def metrics_bundle(view: str, summaries: dict[int, dict[Split, ViewSummary]]) -> dict[str, Any]:
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


def _make_split(run: PartitionRun[ViewParameters], split: Split, each: Repetition) -> ViewSummary:
    parameters = run.parameters
    view, folder = parameters.view_name, each.folder
    return make_view(
        run.files("simulated_dataset").path(files.dataset_file(split, folder)),
        parameters.view,
        view_name=view,
        split=split,
        out=run.path(files.view_file(view, split, folder)),
        rng=named_rng(parameters.selection_seed, "view", view, split),
        parameter_hash=parameters.first_digest if "train" in each.splits else parameters.digest,
    )


def _preview(run: PartitionRun[ViewParameters], summaries: dict[Split, ViewSummary]) -> bytes:
    parameters = run.parameters
    folder = parameters.folder_of(parameters.first_seed)
    source = run.files("simulated_dataset")
    kept = {split: read_dataset(run.path(files.view_file(parameters.view_name, split, folder))) for split in SPLITS}
    everything = [read_dataset(source.path(files.dataset_file(split, folder))) for split in SPLITS]
    return view_preview(
        kept["train"].object,
        np.concatenate([dataset.measurement.positions_xy_px for dataset in everything]),
        {split: dataset.measurement.positions_xy_px for split, dataset in kept.items()},
        summaries["train"].to_dict()["probe_diameter_px"],
    )
