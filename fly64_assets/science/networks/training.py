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
from fly64_assets.science.networks.bundle import NetworkRecord, write_bundle
from fly64_assets.science.networks.data_module import GroupDataModule, TrainingBatch
from fly64_assets.science.networks.layouts import Layouts, make_layouts
from fly64_assets.science.networks.lightning_modules import (
    Checkpoint,
    History,
    MovingAverage,
    Reports,
    UnrolledModule,
    write_history,
)
from fly64_assets.science.networks.lightning_runtime import interrupts_kept, quiet_lightning
from fly64_assets.science.networks.registry import kind_of
from fly64_assets.science.networks.unrolled import UnrolledNetwork
from fly64_assets.science.options import TrainingOptions, ViewOptions
from fly64_assets.science.physics.lift import mirror_coupling
from fly64_assets.science.physics.probe import lit_margin_px
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement, ProgressListener, ignore_progress
from fly64_assets.science.torch_runtime import limit_threads, require_torch

require_torch()

from lightning.pytorch import Callback, Trainer  # noqa: E402
from lightning.pytorch.loggers import CSVLogger  # noqa: E402

BUNDLE_FILE = "wts.h5.zip"
HISTORY_FILE = "history.csv"
LOG_FILE = "train.log"
CHECKPOINT_FILE = "checkpoint.ckpt"
PARAMETERS_FILE = "parameters.sha256"

STAGES = 8

_EXECUTION_FIELDS = {"num_workers", "logger", "checkpointing"}


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
        verdicts: name -> {"passed": bool, "details": ...}.
    """

    bundle_path: Path
    history: list[dict[str, float | int]]
    final_loss: float
    epochs_completed: int
    cpu_seconds: float
    patterns_trained_on: int
    verdicts: dict[str, dict[str, Any]]


def train_network(
    dataset_path: Path,
    *,
    view: ViewOptions,
    training: TrainingOptions,
    seed: int,
    work_dir: Path,
    provenance: Mapping[str, Any],
    progress: ProgressListener = ignore_progress,
) -> TrainingResult:
    """Train the view's kind of network on a dataset.

    The same dataset, options, seed, machine and thread count give the same bytes, also when the training was killed
    and resumed from the checkpoint in ``work_dir``.

    Args:
        dataset_path: train split of a view. A PINN sees its Measurement alone; the truth is not read.
        view: kind of network, gridsize and grouping.
        training: epochs, rates and limits.
        seed: of initial weights, order and thinning.
        work_dir: receives wts.h5.zip, history.csv, train.log and, until the end, a checkpoint.
        provenance: plain data for the manifest: dose, view, dataset_sha256, parameter_hash.
        progress: told after every step; may raise to cancel, which leaves the last checkpoint.

    Raises:
        ValueError: unknown kind of network, too few patterns, or no Y where the kind needs it.
    """
    kind = kind_of(view.network)
    dataset = read_dataset(dataset_path)
    if kind.needs_truth and dataset.object_patches is None:
        message = f"{dataset_path}: a {kind.name} network learns from Y, and the file has none"
        raise ValueError(message)
    job = TrainingJob(
        measurement=dataset.measurement,
        true_patches=dataset.object_patches if kind.needs_truth else None,
        view=view,
        training=training,
        seed=seed,
        work_dir=work_dir,
        provenance=dict(provenance),
    )
    del dataset
    return job.run(progress)


@dataclass(frozen=True)
class TrainingJob:
    """One training: its data, options and folder."""

    measurement: Measurement
    true_patches: ObjectPatches | None
    view: ViewOptions
    training: TrainingOptions
    seed: int
    work_dir: Path
    provenance: dict[str, Any]

    def run(self, progress: ProgressListener) -> TrainingResult:
        """Train, or go on training, and write the files."""
        limit_threads(self.training.threads)
        self.work_dir.mkdir(parents=True, exist_ok=True)
        layouts = self.layouts()
        data = GroupDataModule(self.measurement, layouts, self.training, self.seed, self.true_patches)
        module = self.module(data.batches_per_epoch)
        initial = {name: value.clone() for name, value in module.network.state_dict().items()}
        average = MovingAverage()
        history = History(average, self.training)
        reports = Reports(history, self.training.epochs, f"train {self.view.network}", progress)
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
        (self.work_dir / CHECKPOINT_FILE).unlink(missing_ok=True)
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
        return make_layouts(self.measurement, self.view, self.training, self.seed)

    def module(self, batches_per_epoch: int) -> UnrolledModule:
        """The network with its initial weights, ready to be trained."""
        torch.manual_seed(int(named_rng(self.seed, "weights").integers(1 << 62)))
        probe = self.measurement.probe
        return UnrolledModule(
            UnrolledNetwork(STAGES, self.training.width),
            mirror_coupling(probe),
            torch.as_tensor(probe),
            lit_margin_px(probe),
            self.training,
            self.training.epochs * batches_per_epoch,
        )

    def _trainer(self, callbacks: list[Callback]) -> Trainer:
        logger = CSVLogger(self.work_dir, name="", version="lightning") if self.training.logger == "csv" else False
        return Trainer(
            accelerator=self.training.accelerator,
            devices=1,
            precision=self.training.precision,
            max_epochs=self.training.epochs,
            max_time=None if self.training.max_minutes is None else timedelta(minutes=self.training.max_minutes),
            # On a GPU some operators have no deterministic form: the fastest deterministic one is then asked for only.
            deterministic=self.training.deterministic and ("warn" if torch.cuda.is_available() else True),
            logger=logger,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            log_every_n_steps=1_000_000,
            use_distributed_sampler=False,
            default_root_dir=self.work_dir,
        )

    def _checkpoint(self) -> list[Callback]:
        return [Checkpoint(self.work_dir / CHECKPOINT_FILE)] if self.training.checkpointing else []

    def _resume_from(self) -> Path | None:
        """The checkpoint of the same parameters, if there is one; others are deleted."""
        own = {
            "training": self.training.model_dump(mode="json", exclude=_EXECUTION_FIELDS),
            "view": self.view.model_dump(mode="json"),
            "seed": self.seed,
            "provenance": self.provenance,
        }
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
        record, checkpoint = self.work_dir / PARAMETERS_FILE, self.work_dir / CHECKPOINT_FILE
        if record.exists() and record.read_text() == digest and checkpoint.exists():
            return checkpoint
        checkpoint.unlink(missing_ok=True)
        record.write_text(digest)
        return None

    def _write(
        self, weights: dict[str, torch.Tensor], history: History, global_step: int, verdicts: dict[str, Any]
    ) -> Path:
        write_history(self.work_dir / HISTORY_FILE, history.rows)
        bundle_path = self.work_dir / BUNDLE_FILE
        measurement = self.measurement
        write_bundle(
            bundle_path,
            weights=weights,
            probe=measurement.probe,
            network=NetworkRecord(
                kind=self.view.network,
                stages=STAGES,
                width=self.training.width,
                gridsize=self.view.gridsize,
                neighbor_count=self.view.neighbor_count,
                patch_size_px=measurement.patch_size_px,
                probe_modes=len(measurement.probe),
                counts_scale=measurement.counts_scale,
                dose=float(self.provenance.get("dose", 1.0)),
            ),
            seed=self.seed,
            epochs_completed=len(history.rows),
            global_step=global_step,
            provenance=self.provenance,
        )
        lines = [json.dumps(row) for row in history.rows] + [f"{name}: {value}" for name, value in verdicts.items()]
        (self.work_dir / LOG_FILE).write_text("\n".join(lines) + "\n")
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


def learned_verdict(module: UnrolledModule, held_out: Iterable[TrainingBatch]) -> dict[str, Any]:
    """Whether the network explains held-out counts better than a flat object does; nats per photon."""
    trained, flat = module.counts_losses(held_out)
    details = {"held_out_nll_per_photon": trained, "flat_object_nll_per_photon": flat}
    return {"passed": trained < flat, "details": details}
