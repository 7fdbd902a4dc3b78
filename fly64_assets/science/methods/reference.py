"""The reference object of a measured scan: pty-chi at full dose, object and probe together."""

import numpy as np

from fly64_assets.science.methods.pty_chi import PtyChiOptions, reconstruct
from fly64_assets.science.methods.record import Given
from fly64_assets.science.records import (
    Measurement,
    Progress,
    ProgressListener,
    Reconstruction,
    Scan,
    ignore_progress,
)

REFERENCE_KIND = "pty_chi"
"""The kind that makes references, and which they favour."""


def reconstruct_reference(
    scan: Scan, options: PtyChiOptions, *, seed: int, progress: ProgressListener = ignore_progress
) -> Reconstruction:
    """Reconstruct object and probe from measured counts, starting from a flat object and the scan's probe guess.

    Args:
        scan: a measured scan; its ``measured_counts`` are used at full dose.
        options: pty-chi options with ``refine_probe``.
        seed: of the batches.
        progress: told the epoch and its loss.

    Returns:
        The reconstruction with method "reference", the loss of each epoch, and counts scale 1, so that its probe is
        in square roots of photons.

    Raises:
        ValueError: the scan has no measured counts.
    """
    if scan.measured_counts is None:
        message = "a reference is reconstructed from measured counts; this scan has none"
        raise ValueError(message)
    measurement = Measurement(
        amplitude=np.sqrt(scan.measured_counts, dtype=np.float32),
        counts_scale=1.0,
        probe=scan.probe,
        positions_xy_px=scan.positions_xy_px,
        object_shape=(scan.object.shape[0], scan.object.shape[1]),
    )
    losses: dict[int, float] = {}

    def listen(report: Progress) -> None:
        if report.loss is not None:
            losses[report.done] = report.loss
        progress(report)

    *_, found = reconstruct(measurement, options, Given(seed, progress=listen))
    return Reconstruction(
        object=found.object,
        probe=scan.probe if found.probe is None else found.probe,
        positions_xy_px=scan.positions_xy_px,
        method="reference",
        counts_scale=1.0,
        loss_epochs=tuple(losses),
        loss_values=tuple(losses.values()),
        cpu_seconds=float("nan") if found.cpu_seconds is None else found.cpu_seconds,
        comments=f"pty-chi {options.algorithm}, {options.epochs} epochs, seed {seed}",
    )
