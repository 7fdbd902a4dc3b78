"""Training a network on one view: from a DATA-001 file to wts.h5.zip, resumable and reproducible bit for bit."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fly64_assets.science.arrays import ObjectPatches
from fly64_assets.science.contract import read_dataset
from fly64_assets.science.networks.bundle import TrainedNetwork, write_bundle
from fly64_assets.science.networks.data_module import GroupDataModule, TrainingBatch
from fly64_assets.science.networks.layouts import Layouts, make_layouts
from fly64_assets.science.networks.lightning_modules import (
    Checkpoint,
    History,
    MovingAverage,
    Reports,
    StagedModule,
    write_history,
)
from fly64_assets.science.networks.lightning_runtime import bare_trainer, interrupts_kept, quiet_lightning
from fly64_assets.science.networks.record import build_network
from fly64_assets.science.networks.training_task import LearnsFrom, TrainingResult, TrainingTask
from fly64_assets.science.options import TrainingOptions, ViewOptions
from fly64_assets.science.physics.canvas_data import CanvasOptics
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement
from fly64_assets.science.torch_runtime import limit_threads, require_torch

require_torch()

from lightning.pytorch import Callback, Trainer  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

BUNDLE_FILE = "wts.h5.zip"
HISTORY_FILE = "history.csv"
LOG_FILE = "train.log"
CHECKPOINT_FILE = "checkpoint.ckpt"
PARAMETERS_FILE = "parameters.sha256"


def train_network(task: TrainingTask, options: TrainingOptions, *, learns_from: LearnsFrom) -> TrainingResult:
    """Train a network on a view.

    The same dataset, options, seed, machine and thread count give the same bytes, also when the training was killed
    and resumed from the checkpoint in the task's ``work_dir``.

    Args:
        task: the view's train split, its grouping, seed and folder. A listener that raises leaves the last checkpoint.
        options: the network, epochs, rates and limits.
        learns_from: counts: the training gets a Measurement and nothing else; truth: also the true patches Y.

    Raises:
        RegistryError: unknown network.
        ValueError: too few patterns, or no Y where it learns from the truth.
    """
    dataset = read_dataset(task.source)
    if learns_from == "truth" and dataset.object_patches is None:
        message = f"{task.source}: a network that learns from the truth needs Y, and the file has none"
        raise ValueError(message)
    true_patches = dataset.object_patches if learns_from == "truth" else None
    return TrainingJob(dataset.measurement, true_patches, task, options).run()


@dataclass(frozen=True)
class TrainingJob:
    """One training: its data, task and options.

    Attributes:
        measurement: what every network learns from.
        true_patches: Y; None for one that learns from counts alone.
        task: view, seed and folder.
        options: network, epochs, rates and limits.
    """

    measurement: Measurement
    true_patches: ObjectPatches | None
    task: TrainingTask
    options: TrainingOptions

    @property
    def view(self) -> ViewOptions:
        """Gridsize and grouping.

        Raises:
            ValueError: the task names no view.
        """
        if self.task.view is None:
            message = "this network is trained on the groups of a view, and the task names none"
            raise ValueError(message)
        return self.task.view

    def run(self) -> TrainingResult:
        """Train, or go on training, and write the files."""
        limit_threads(self.options.threads)
        self.task.work_dir.mkdir(parents=True, exist_ok=True)
        layouts = self.layouts()
        data = self.batches(layouts)
        module = self.module(data.batches_per_epoch)
        initial = {name: value.clone() for name, value in module.network.state_dict().items()}
        average = MovingAverage()
        history = History(average, self.options.patience)
        stage = f"train {self.task.provenance.get('method', self.options.network)}"
        reports = Reports(history, self.options.epochs, stage, self.task.progress)
        with quiet_lightning(), interrupts_kept():
            trainer = self._trainer([average, history, *self._checkpoint(), reports])
            trainer.fit(module, datamodule=data, ckpt_path=self._resume_from(), weights_only=True)
        weights = history.best_weights
        module.network.load_state_dict(weights)
        verdicts = {
            **weight_verdicts(initial, weights),
            "learned": learned_verdict(module, data.val_dataloader()),
        }
        bundle_path = self._write(weights, history, trainer.global_step, verdicts)
        (self.task.work_dir / CHECKPOINT_FILE).unlink(missing_ok=True)
        return TrainingResult(
            bundle_path=bundle_path,
            history=history.rows,
            final_loss=history.best_loss,
            epochs_completed=len(history.rows),
            cpu_seconds=history.cpu_seconds,
            patterns_trained_on=len(np.unique(layouts.groups.groups)),
            verdicts=verdicts,
        )

    def layouts(self) -> Layouts:
        """Groups and neighbourhoods to train on, and those of held-out positions."""
        return make_layouts(self.measurement, self.view, self.options, self.task.seed)

    def batches(self, layouts: Layouts) -> GroupDataModule:
        """What every epoch trains on, and what judges it."""
        return GroupDataModule(
            self.measurement,
            layouts,
            self.options,
            self.task.seed,
            self.true_patches,
            num_workers=self.task.execution.num_workers,
        )

    def module(self, batches_per_epoch: int) -> StagedModule:
        """The network with its initial weights, ready to be trained."""
        torch.manual_seed(int(named_rng(self.task.seed, "weights").integers(1 << 62)))
        options = self.options
        network = build_network(options.network, stages=options.stages, width=options.width)
        return StagedModule(network, CanvasOptics(self.measurement.probe), options, options.epochs * batches_per_epoch)

    @property
    def learns_from(self) -> LearnsFrom:
        """What the training sees."""
        return "counts" if self.true_patches is None else "truth"

    def _trainer(self, callbacks: list[Callback]) -> Trainer:
        folder, options = self.task.work_dir, self.options
        return bare_trainer(
            folder,
            callbacks,
            epochs=options.epochs,
            accelerator=options.accelerator,
            deterministic=options.deterministic,
            precision=options.precision,
            max_time=None if options.max_minutes is None else timedelta(minutes=options.max_minutes),
            logger=CSVLogger(folder, name="", version="lightning") if self.task.execution.logger == "csv" else False,
        )

    def _checkpoint(self) -> list[Callback]:
        return [Checkpoint(self.task.work_dir / CHECKPOINT_FILE)] if self.task.execution.checkpointing else []

    def _resume_from(self) -> Path | None:
        """The checkpoint of the same parameters, if there is one; others are deleted."""
        own = {
            "options": self.options.model_dump(mode="json"),
            "learns_from": self.learns_from,
            "view": self.view.model_dump(mode="json"),
            "seed": self.task.seed,
            "provenance": dict(self.task.provenance),
        }
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
        record, checkpoint = self.task.work_dir / PARAMETERS_FILE, self.task.work_dir / CHECKPOINT_FILE
        if record.exists() and record.read_text() == digest and checkpoint.exists():
            return checkpoint
        checkpoint.unlink(missing_ok=True)
        record.write_text(digest)
        return None

    def _write(
        self, weights: dict[str, torch.Tensor], history: History, global_step: int, verdicts: dict[str, Any]
    ) -> Path:
        write_history(self.task.work_dir / HISTORY_FILE, history.rows)
        bundle_path = self.task.work_dir / BUNDLE_FILE
        measurement = self.measurement
        write_bundle(
            bundle_path,
            weights=weights,
            probe=measurement.probe,
            network=TrainedNetwork(
                builder=self.options.network,
                learns_from=self.learns_from,
                stages=self.options.stages,
                width=self.options.width,
                gridsize=self.view.gridsize,
                neighbor_count=self.view.neighbor_count,
                patch_size_px=measurement.patch_size_px,
                probe_modes=len(measurement.probe),
                counts_scale=measurement.counts_scale,
                dose=float(self.task.provenance.get("dose", 1.0)),
            ),
            seed=self.task.seed,
            epochs_completed=len(history.rows),
            global_step=global_step,
            provenance=self.task.provenance,
        )
        lines = [json.dumps(row) for row in history.rows] + [f"{name}: {value}" for name, value in verdicts.items()]
        (self.task.work_dir / LOG_FILE).write_text("\n".join(lines) + "\n")
        return bundle_path


def weight_verdicts(
    initial: Mapping[str, torch.Tensor], final: Mapping[str, torch.Tensor]
) -> dict[str, dict[str, Any]]:
    """Whether the weights are finite, and whether training moved them."""
    bad = sorted(name for name, value in final.items() if not bool(torch.isfinite(value).all()))
    moved = sum(float(torch.sum((final[name] - initial[name]) ** 2)) for name in final) ** 0.5
    return {
        "finite_weights": {"passed": not bad, "details": {"not_finite": bad, "tensors": len(final)}},
        "weights_changed": {"passed": moved > 0, "details": {"distance_from_initial": moved}},
    }


def learned_verdict(module: StagedModule, held_out: Iterable[TrainingBatch]) -> dict[str, Any]:
    """Whether the network explains held-out counts better than a flat object does; nats per photon."""
    trained, flat = module.counts_losses(held_out)
    details = {"held_out_nll_per_photon": trained, "flat_object_nll_per_photon": flat}
    return {"passed": trained < flat, "details": details}
