"""What a training is given beside its options, and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fly64_assets.science.options import ExecutionOptions, ViewOptions
from fly64_assets.science.records import ProgressListener, ignore_progress

LearnsFrom = Literal["counts", "truth"]
"""What a training sees: counts alone, or the true object as well."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What a training is given beside its options.

    Attributes:
        source: DATA-001 file of the view's train split, for a method that trains on a view; the scan's file with
            probe and positions, for one that trains for the probe.
        view: gridsize and grouping of the view that it is trained on; None for one that trains for the probe.
        seed: of initial weights, order and thinning.
        work_dir: private folder; receives wts.h5.zip, history.csv, train.log, and keeps checkpoints of a killed run.
        provenance: plain data for the bundle's manifest: method, dose, view, dataset_sha256, parameter_hash.
        execution: how the run is executed; changes no result.
        progress: told after every step; may raise to cancel.
    """

    source: Path
    view: ViewOptions | None
    seed: int
    work_dir: Path
    provenance: Mapping[str, Any]
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)
    progress: ProgressListener = ignore_progress


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves behind.

    Attributes:
        bundle_path: the finished wts.h5.zip.
        history: one row per epoch.
        final_loss: validation loss of the weights in the bundle.
        epochs_completed: epochs trained, resumed ones included.
        cpu_seconds: process CPU time, over all resumed parts.
        patterns_trained_on: distinct patterns that training used.
        verdicts: finite_weights, weights_changed and learned, each ``{"passed": bool, "details": ...}``.
    """

    bundle_path: Path
    history: list[dict[str, float | int]]
    final_loss: float
    epochs_completed: int
    cpu_seconds: float
    patterns_trained_on: int
    verdicts: dict[str, dict[str, Any]]
