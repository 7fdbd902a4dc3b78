"""Batches of groups from a memory-mapped dataset: what an epoch holds depends on the seed and the epoch alone.

A training canvas holds either one group, or as many neighbouring groups as make a neighbourhood: networks that have
seen both serve single groups and merge whole scans, where many patterns light the same pixel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64

from fly64_assets.science.arrays import ObjectPatches
from fly64_assets.science.networks.layouts import GroupLayout, Layouts
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.physics.dose import thin_counts
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement
from fly64_assets.science.torch_runtime import require_torch

require_torch()

from lightning.pytorch import LightningDataModule  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

INPUT_PHOTONS = (0.5, 0.85)
"""Fraction of the photons that the network sees in training; the others judge it."""

GROUP_BATCH_EVERY = 8
"""One batch in this many holds single groups, the others neighbourhoods."""


class TrainingBatch(NamedTuple):
    """One step's worth of canvases.

    Attributes:
        seen: photons that the network sees, ``(canvases, C, N, N)``, FFT order.
        seen_scale: their scale, ``(canvases,)``.
        judging: photons of the same patterns that judge the result; independent of ``seen`` where thinned.
        judging_scale: their scale.
        positions_xy_px: patch centres on the canvases, ``(canvases, C, 2)``.
        true_patches: for supervised training; an empty tensor otherwise.
        canvas_shape: rows and columns of the canvases.
        symmetry: quarter turns, mirrored, conjugated.
    """

    seen: torch.Tensor
    seen_scale: torch.Tensor
    judging: torch.Tensor
    judging_scale: torch.Tensor
    positions_xy_px: torch.Tensor
    true_patches: torch.Tensor
    canvas_shape: tuple[int, int]
    symmetry: tuple[int, int, int]


class CanvasBatches(Dataset):
    """Batches of one epoch, read and thinned on demand.

    Args:
        measurement: counts, probe, positions; may be memory-mapped.
        plan: for every batch its layout and the rows of it.
        stream: names the random stream, e.g. seed and epoch.
        true_patches: Y for supervised training.
        symmetric: draw a random symmetry per batch.
    """

    def __init__(
        self,
        measurement: Measurement,
        plan: Sequence[tuple[GroupLayout, Int64[np.ndarray, "_"]]],
        stream: tuple[int, str],
        true_patches: ObjectPatches | None = None,
        *,
        symmetric: bool = True,
    ) -> None:
        self._measurement, self._plan, self._stream = measurement, plan, stream
        self._true_patches, self._symmetric = true_patches, symmetric

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._plan)

    def __getitem__(self, index: int) -> TrainingBatch:
        """Read and thin one batch."""
        layout, rows = self._plan[index]
        seed, label = self._stream
        rng = named_rng(seed, "batch", label, str(index))
        members = layout.groups[rows]
        shape = (*members.shape, *self._measurement.amplitude.shape[1:])
        counts = self._measurement.counts(members.ravel())
        fraction = float(rng.uniform(*INPUT_PHOTONS))
        seen = thin_counts(counts, fraction, rng).astype(np.float32)
        patches = np.empty(0, np.complex64)
        if self._true_patches is not None:
            patches = np.asarray(self._true_patches[members.ravel()]).reshape(shape)
        scale = self._measurement.counts_scale
        return TrainingBatch(
            seen=_fft_order(seen, shape),
            seen_scale=torch.full((len(rows),), scale * np.sqrt(fraction), dtype=torch.float32),
            judging=_fft_order(counts - seen, shape),
            judging_scale=torch.full((len(rows),), scale * np.sqrt(1 - fraction), dtype=torch.float32),
            positions_xy_px=torch.from_numpy(layout.positions_xy_px[rows]),
            true_patches=torch.from_numpy(patches),
            canvas_shape=layout.canvas_shape,
            symmetry=(int(rng.integers(4)), int(rng.integers(2)), int(rng.integers(2)))
            if self._symmetric
            else (0, 0, 0),
        )


def _fft_order(detector: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.fft.ifftshift(detector, axes=(-2, -1)).reshape(shape))


class GroupDataModule(LightningDataModule):
    """Training and validation batches of a measurement; the training order is drawn anew for every epoch.

    Args:
        measurement: the train split of a view.
        layouts: what to train on.
        options: batch size, groups per epoch.
        seed: of order, thinning and symmetries.
        true_patches: Y for supervised training.
        num_workers: processes that read; they change no batch.
    """

    def __init__(
        self,
        measurement: Measurement,
        layouts: Layouts,
        options: TrainingOptions,
        seed: int,
        true_patches: ObjectPatches | None = None,
        *,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self._measurement, self._layouts, self._options = measurement, layouts, options
        self._seed, self._true_patches, self._num_workers = seed, true_patches, num_workers

    @property
    def batches_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        drawn = self._options.groups_per_epoch or len(self._layouts.groups.groups)
        return -(-drawn // self._options.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Batches of the trainer's current epoch."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        return self._loader(self.epoch_plan(epoch), f"epoch {epoch}", symmetric=True)

    def val_dataloader(self) -> DataLoader:
        """The held-out canvases, the same photons every time."""
        layout = self._layouts.validation
        rows = np.arange(len(layout.groups))
        size = self._canvases_per_batch(layout)
        plan = [(layout, rows[first : first + size]) for first in range(0, len(rows), size)]
        return self._loader(plan, "validation", symmetric=False)

    def epoch_plan(self, epoch: int) -> list[tuple[GroupLayout, Int64[np.ndarray, "_"]]]:
        """Layout and rows of every batch of an epoch."""
        plan = []
        streams: dict[int, tuple[np.ndarray, int]] = {}
        for batch in range(self.batches_per_epoch):
            layout = self._layout_of(batch)
            size = self._canvases_per_batch(layout)
            rows, used = streams.get(id(layout), (np.empty(0, np.int64), 0))
            if used + size > len(rows):
                wanted = size * self.batches_per_epoch
                rows, used = epoch_rows(len(layout.groups), wanted, self._seed, epoch), 0
            plan.append((layout, rows[used : used + size]))
            streams[id(layout)] = (rows, used + size)
        return plan

    def _layout_of(self, batch: int) -> GroupLayout:
        neighbourhoods = self._layouts.neighbourhoods
        if neighbourhoods is None or batch % GROUP_BATCH_EVERY == 0:
            return self._layouts.groups
        return neighbourhoods

    def _canvases_per_batch(self, layout: GroupLayout) -> int:
        """Canvases that hold about as many patterns as a batch of groups."""
        patterns = self._options.batch_size * self._layouts.groups.groups.shape[1]
        return max(1, round(patterns / layout.groups.shape[1]))

    def _loader(
        self, plan: list[tuple[GroupLayout, Int64[np.ndarray, "_"]]], label: str, *, symmetric: bool
    ) -> DataLoader:
        batches = CanvasBatches(self._measurement, plan, (self._seed, label), self._true_patches, symmetric=symmetric)
        return DataLoader(batches, batch_size=None, num_workers=self._num_workers)


def epoch_rows(n_groups: int, drawn: int, seed: int, epoch: int) -> Int64[np.ndarray, "drawn"]:
    """Which groups an epoch trains on, in order: permutations in a row, so that all come equally often.

    >>> sorted(epoch_rows(3, 6, seed=0, epoch=4).tolist())
    [0, 0, 1, 1, 2, 2]
    """
    rng = named_rng(seed, "order", str(epoch))
    rounds = -(-drawn // n_groups)
    return np.concatenate([rng.permutation(n_groups) for _ in range(rounds)])[:drawn].astype(np.int64)
