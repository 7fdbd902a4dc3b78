"""Lightning: what a training step is, and what happens between steps."""

import csv
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from fly64_assets.science.networks.data_module import TrainingBatch
from fly64_assets.science.networks.losses import StagedLoss, counts_loss, patch_loss
from fly64_assets.science.networks.staged import IDENTITY, StagedNetwork, Symmetry
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.canvas_data import CanvasData, CanvasOptics, Judgement, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid
from fly64_assets.science.records import Progress, ProgressListener
from fly64_assets.science.torch_runtime import require_torch

require_torch()

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402

_WARMUP_STEPS = 20
_LENGTH_RATE = 5.0
_CLIP_NORM = 0.5
_EMA_DECAY = 0.98


class StagedModule(LightningModule):
    """Trains a :class:`StagedNetwork`; on counts, or on true patches if batches carry them.

    Args:
        network: what is trained.
        optics: of the probe that lights every canvas.
        options: learning rate.
        total_steps: length of the schedule.
    """

    def __init__(
        self, network: StagedNetwork, optics: CanvasOptics, options: TrainingOptions, total_steps: int
    ) -> None:
        super().__init__()
        self.network = network
        self._optics, self._options, self._total_steps = optics, options, total_steps

    def training_step(self, batch: TrainingBatch, batch_index: int) -> torch.Tensor:
        """Loss of one batch."""
        del batch_index
        loss, last = self.training_loss(batch)
        self.log("train_loss", last, on_step=False, on_epoch=True, batch_size=len(batch.seen))
        return loss

    def training_loss(self, batch: TrainingBatch) -> tuple[torch.Tensor, float]:
        """What is differentiated, and the loss after the last stage."""
        turns, mirrored, conjugated = batch.symmetry
        loss = self._loss(batch, Symmetry(turns, bool(mirrored), bool(conjugated)))
        return loss.surrogate, loss.last

    def validation_step(self, batch: TrainingBatch, batch_index: int) -> None:
        """Loss of held-out canvases after the last stage."""
        del batch_index
        self.log("validation_loss", self._loss(batch).last, batch_size=len(batch.seen))

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a short warm-up and a cosine to zero; the few step lengths learn faster."""
        rate = self._options.learning_rate
        lengths = [p for p in self.network.parameters() if p.ndim == 0]
        weights = [p for p in self.network.parameters() if p.ndim > 0]
        optimizer = torch.optim.AdamW(
            [{"params": weights}, {"params": lengths, "lr": _LENGTH_RATE * rate, "weight_decay": 0.0}],
            lr=rate,
            weight_decay=1e-4,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(self._total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(self, *_: object, **__: object) -> None:
        """Clip stage by stage, as they learn independently."""
        for stage in self.network.stages:
            torch.nn.utils.clip_grad_norm_(stage.parameters(), _CLIP_NORM)

    def counts_losses(self, batches: Iterable[TrainingBatch]) -> tuple[float, float]:
        """NLL above a perfect fit, per photon, of the network's objects and of a flat object."""
        photons = trained = flat = 0.0
        with torch.no_grad():
            for batch in batches:
                weight = float(batch.judging.sum())
                loss = counts_loss(self.network, self._data(batch), _judgement(batch))
                trained, flat, photons = trained + weight * loss.last, flat + weight * loss.flat, photons + weight
        return trained / photons, flat / photons

    def _loss(self, batch: TrainingBatch, symmetry: Symmetry = IDENTITY) -> StagedLoss:
        data = self._data(batch)
        if batch.true_patches.numel():
            return patch_loss(self.network, data, batch.true_patches, symmetry)
        return counts_loss(self.network, data, _judgement(batch), symmetry)

    def _data(self, batch: TrainingBatch) -> CanvasData:
        rows, columns = batch.canvas_shape  # Lightning turns the tuple into a list on its way to a device
        grid = PatchGrid(batch.positions_xy_px, batch.seen.shape[-1], (rows, columns))
        return self._optics.data((Part(grid, lambda: batch.seen),), batch.seen_scale)


def warm_cosine(total_steps: int) -> Callable[[int], float]:
    """Learning rate over its peak: a short rise, then half a cosine down to zero.

    A plain function: schedulers put any other callable into the checkpoint.
    """

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / _WARMUP_STEPS)
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps)))

    return rate


def _judgement(batch: TrainingBatch) -> Judgement:
    return Judgement(batch.judging, batch.judging_scale.square()[:, None, None, None])


def _network(module: LightningModule) -> torch.nn.Module:
    network = module.network
    if not isinstance(network, torch.nn.Module):
        message = f"{type(module).__name__}.network is no module"
        raise TypeError(message)
    return network


class MovingAverage(Callback):
    """Validates and ends with an exponential moving average of the weights, which generalises better than the last."""

    def __init__(self) -> None:
        self._average: dict[str, torch.Tensor] = {}
        self._live: dict[str, torch.Tensor] = {}
        self._steps = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Move the average towards the weights."""
        del trainer
        self._steps += 1
        decay = min(_EMA_DECAY, self._steps / (self._steps + 10))
        for name, value in _network(pl_module).state_dict().items():
            if name in self._average:
                self._average[name].lerp_(value, 1 - decay)
            else:
                self._average[name] = value.detach().clone()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the average in."""
        del trainer
        self._live = {name: value.detach().clone() for name, value in _network(pl_module).state_dict().items()}
        if self._average:
            _network(pl_module).load_state_dict(self._average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the live weights back."""
        del trainer
        _network(pl_module).load_state_dict(self._live)

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged weights."""
        return {name: value.detach().cpu().clone() for name, value in self._average.items()}

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"average": self._average, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From checkpoints."""
        self._average = {name: value.clone() for name, value in state_dict["average"].items()}
        self._steps = state_dict["steps"]


class History(Callback):
    """Keeps one row per epoch and the best weights, and ends training on a plateau."""

    def __init__(self, average: MovingAverage, patience: int) -> None:
        self._average, self._patience = average, patience
        self.rows: list[dict[str, float | int]] = []
        self.best_loss = float("inf")
        self.best_epoch = 0
        self.best_weights: dict[str, torch.Tensor] = {}
        self.cpu_seconds = 0.0
        self._clock = 0.0

    def on_fit_start(self, *_: object) -> None:
        """Start the clock."""
        self._clock = time.process_time()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch; validation has run by now."""
        del pl_module
        now = time.process_time()
        self.cpu_seconds, self._clock = self.cpu_seconds + now - self._clock, now
        metrics = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch + 1,
            "train_loss": float(metrics["train_loss"]),
            "validation_loss": float(metrics["validation_loss"]),
            "learning_rate": float(trainer.optimizers[0].param_groups[0]["lr"]),
        }
        self.rows.append(row)
        if row["validation_loss"] < self.best_loss:
            self.best_loss, self.best_epoch = row["validation_loss"], trainer.current_epoch + 1
            self.best_weights = self._average.weights()
        if trainer.current_epoch + 1 - self.best_epoch >= self._patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {
            "rows": self.rows,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
            "cpu_seconds": self.cpu_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From checkpoints."""
        self.rows = list(state_dict["rows"])
        self.best_loss, self.best_epoch = state_dict["best_loss"], state_dict["best_epoch"]
        self.best_weights, self.cpu_seconds = state_dict["best_weights"], state_dict["cpu_seconds"]


class Checkpoint(Callback):
    """Saves the whole state after every epoch, under its final name only once complete."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write, flush, rename."""
        del pl_module
        temporary = self._path.with_suffix(".tmp")
        trainer.save_checkpoint(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self._path)


class Reports(Callback):
    """Tells the listener, after every step, so that it can cancel soon. Comes last: an epoch is then safely stored."""

    def __init__(self, history: History, epochs: int, stage: str, progress: ProgressListener) -> None:
        self._history, self._epochs, self._stage, self._progress = history, epochs, stage, progress

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Report the epochs completed so far."""
        self._report(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch and its loss."""
        del pl_module
        self._report(trainer.current_epoch + 1)

    def _report(self, done: int) -> None:
        rows = self._history.rows
        loss = rows[-1]["validation_loss"] if rows else None
        self._progress(Progress(self._stage, done, self._epochs, loss))


def write_history(path: Path, rows: list[dict[str, float | int]]) -> None:
    """Write the learning curve as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["epoch"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
