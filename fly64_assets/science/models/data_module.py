"""Batches of groups from a memory-mapped dataset: what an epoch holds depends on the seed and the epoch alone."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Complex64, Float64, Int64

from fly64_assets.science.arrays import ObjectPatches, PositionsXY
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.dose import named_rng, thin_counts
from fly64_assets.science.physics.probe import lit_mask
from fly64_assets.science.records import Measurement
from fly64_assets.science.torch_runtime import require_torch

require_torch()

from lightning.pytorch import LightningDataModule  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

_LIT_LIMIT = 0.003
"""Probe pixels above this fraction of the peak are where convolutions work."""

_CANVAS_MULTIPLE = 4

INPUT_PHOTONS = (0.5, 0.8)
"""Fraction of the photons that the network sees in training; the others judge it."""


def lit_margin_px(probe: Complex64[np.ndarray, "modes N N"]) -> int:
    """Width of the patch border that the probe hardly lights; even, at least 0."""
    rows, columns = np.nonzero(lit_mask(probe, _LIT_LIMIT))
    size = probe.shape[-1]
    margin = min(rows.min(), columns.min(), size - 1 - rows.max(), size - 1 - columns.max())
    return int(margin) // 2 * 2


@dataclass(frozen=True)
class GroupLayout:
    """Groups of positions and the canvases that they share.

    Attributes:
        groups: indices of each group's patterns.
        corners_yx_px: row and column of each canvas's first pixel on the object grid.
        positions_xy_px: patch centres on the canvases.
        canvas_shape: rows and columns, equal for all groups.
    """

    groups: Int64[np.ndarray, "groups C"]
    corners_yx_px: Int64[np.ndarray, "groups 2"]
    positions_xy_px: Float64[np.ndarray, "groups C 2"]
    canvas_shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        groups: Int64[np.ndarray, "groups C"],
        positions_xy_px: PositionsXY,
        patch_size_px: int,
    ) -> "GroupLayout":
        """Lay every group on the smallest square canvas that suits them all."""
        members = positions_xy_px[groups]
        corners_xy = np.floor(members.min(axis=1)).astype(np.int64) - patch_size_px // 2
        span = np.floor(members.max(axis=1)).astype(np.int64) + patch_size_px // 2 + 1 - corners_xy
        side = -(-int(span.max()) // _CANVAS_MULTIPLE) * _CANVAS_MULTIPLE
        return cls(groups, corners_xy[:, ::-1].copy(), members - corners_xy[:, None, :], (side, side))


class TrainingBatch(NamedTuple):
    """One step's worth of groups.

    Attributes:
        amplitude: what the network sees, ``(groups, C, N, N)``, FFT order.
        counts_scale: its scale per group.
        positions_xy_px: patch centres on the canvases, ``(groups, C, 2)``.
        counts: photons that judge the result, FFT order; independent of ``amplitude`` where thinned.
        target_scale: scale of ``counts``.
        true_patches: for supervised training; an empty tensor otherwise.
        canvas_shape: rows and columns of the canvases.
    """

    amplitude: torch.Tensor
    counts_scale: torch.Tensor
    positions_xy_px: torch.Tensor
    counts: torch.Tensor
    target_scale: torch.Tensor
    true_patches: torch.Tensor
    canvas_shape: tuple[int, int]


class GroupBatches(Dataset):
    """The batches of one epoch, read and thinned on demand.

    Args:
        measurement: counts, probe, positions; may be memory-mapped.
        layout: the groups.
        rows: which groups, in which order.
        batch_size: groups per batch.
        noise: names the random stream of the thinning, e.g. seed and epoch.
        true_patches: Y for supervised training.
    """

    def __init__(
        self,
        measurement: Measurement,
        layout: GroupLayout,
        rows: Int64[np.ndarray, "drawn"],
        batch_size: int,
        noise: tuple[int, str],
        true_patches: ObjectPatches | None = None,
    ) -> None:
        self._measurement, self._layout, self._rows = measurement, layout, rows
        self._batch_size, self._noise, self._true_patches = batch_size, noise, true_patches

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, index: int) -> TrainingBatch:
        """Read, thin and shift one batch."""
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        members = self._layout.groups[rows]
        seed, label = self._noise
        rng = named_rng(seed, "thinning", label, str(index))
        counts = self._measurement.counts(members.ravel())
        fraction = 1.0 if self._true_patches is not None else float(rng.uniform(*INPUT_PHOTONS))
        seen = thin_counts(counts, fraction, rng).astype(np.float32)
        shape = (*members.shape, *counts.shape[-2:])
        scale = self._measurement.counts_scale
        patches = np.empty(0, np.complex64)
        if self._true_patches is not None:
            patches = np.asarray(self._true_patches[members.ravel()]).reshape(shape)
        judge = counts if fraction == 1.0 else counts - seen
        return TrainingBatch(
            amplitude=_fft_order(np.sqrt(seen) / np.float32(scale * np.sqrt(fraction)), shape),
            counts_scale=torch.full((len(rows),), scale * np.sqrt(fraction), dtype=torch.float32),
            positions_xy_px=torch.from_numpy(self._layout.positions_xy_px[rows]),
            counts=_fft_order(judge, shape),
            target_scale=torch.tensor(scale * np.sqrt(1 - fraction if fraction < 1 else 1), dtype=torch.float32),
            true_patches=torch.from_numpy(patches),
            canvas_shape=self._layout.canvas_shape,
        )


def _fft_order(detector: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.fft.ifftshift(detector, axes=(-2, -1)).reshape(shape))


class GroupDataModule(LightningDataModule):
    """Training and validation batches of a measurement; the training order is drawn anew for every epoch.

    Args:
        measurement: the train split of a view.
        training: layout of groups that are trained on.
        validation: layout of groups of held-out positions.
        options: batch size, groups per epoch, workers.
        seed: of order and thinning.
        true_patches: Y for supervised training.
    """

    def __init__(
        self,
        measurement: Measurement,
        training: GroupLayout,
        validation: GroupLayout,
        options: TrainingOptions,
        seed: int,
        true_patches: ObjectPatches | None = None,
    ) -> None:
        super().__init__()
        self._measurement, self._training, self._validation = measurement, training, validation
        self._options, self._seed, self._true_patches = options, seed, true_patches

    @property
    def groups_per_epoch(self) -> int:
        """Groups that one epoch trains on."""
        wanted = self._options.groups_per_epoch
        return len(self._training.groups) if wanted is None else wanted

    @property
    def batches_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return -(-self.groups_per_epoch // self._options.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Batches of the trainer's current epoch."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        rows = epoch_rows(len(self._training.groups), self.groups_per_epoch, self._seed, epoch)
        return self._loader(self._training, rows, f"epoch {epoch}")

    def val_dataloader(self) -> DataLoader:
        """The held-out groups, the same photons every time."""
        return self._loader(self._validation, np.arange(len(self._validation.groups)), "validation")

    def _loader(self, layout: GroupLayout, rows: np.ndarray, label: str) -> DataLoader:
        batches = GroupBatches(
            self._measurement, layout, rows, self._options.batch_size, (self._seed, label), self._true_patches
        )
        return DataLoader(batches, batch_size=None, num_workers=self._options.num_workers)


def epoch_rows(n_groups: int, drawn: int, seed: int, epoch: int) -> Int64[np.ndarray, "drawn"]:
    """Which groups an epoch trains on, in order: permutations in a row, so that all come equally often.

    >>> sorted(epoch_rows(3, 6, seed=0, epoch=4).tolist())
    [0, 0, 1, 1, 2, 2]
    """
    rng = named_rng(seed, "order", str(epoch))
    rounds = -(-drawn // n_groups)
    return np.concatenate([rng.permutation(n_groups) for _ in range(rounds)])[:drawn].astype(np.int64)
