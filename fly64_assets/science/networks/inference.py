"""Applying a trained network to a measurement: no training, no truth."""

import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex64, Float32, Float64

from fly64_assets.science.arrays import ProbeModes
from fly64_assets.science.methods.quasi_newton import refine_canvas
from fly64_assets.science.networks.bundle import Bundle, read_bundle
from fly64_assets.science.networks.layouts import GroupLayout
from fly64_assets.science.networks.stitching import merge_canvases
from fly64_assets.science.options import RefineOptions
from fly64_assets.science.physics.canvas_data import CanvasData, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, to_fft_order
from fly64_assets.science.physics.lift import SpectralLift, mirror_coupling
from fly64_assets.science.physics.probe import lit_margin_px
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets.science.records import Measurement, Progress, ProgressListener, Reconstruction, ignore_progress
from fly64_assets.science.torch_runtime import limit_threads

_BATCH_GROUPS = 16


def reconstruct_with_network(
    bundle_path: Path,
    measurement: Measurement,
    *,
    method: str,
    refine: RefineOptions | None = None,
    threads: int = 1,
    progress: ProgressListener = ignore_progress,
) -> Reconstruction:
    """Reconstruct the object of a measurement with a trained bundle.

    Args:
        bundle_path: a wts.h5.zip.
        measurement: counts, probe and positions, of any scan with the bundle's patch size.
        method: name that the result carries.
        refine: passes over the data after the network; None for the network alone.
        threads: torch threads.
        progress: told after every batch; may raise to cancel.

    Returns:
        The object on the measurement's grid, 1 where nothing was lit.

    Raises:
        BundleError: the file is no intact bundle.
        ValueError: the bundle was trained for another patch size.
    """
    bundle = read_bundle(bundle_path)
    expected = bundle.manifest.network.patch_size_px
    if expected != measurement.patch_size_px:
        message = (
            f"{bundle_path}: trained on patches of {expected} px, the measurement has {measurement.patch_size_px} px"
        )
        raise ValueError(message)
    limit_threads(threads)
    started = time.process_time()
    losses: list[float] = []
    with torch.inference_mode():
        if bundle.manifest.network.gridsize == 1:
            estimate = _stitched(bundle, measurement, method, progress)
        else:
            scan = ScanCanvas.of(measurement)
            canvas = bundle.network()(scan.data)
            progress(Progress(f"reconstruct {method}", 1, 1))
            if refine is not None:
                canvas, losses = refine_canvas(
                    scan.data, canvas, refine.passes, stage=f"refine {method}", progress=progress
                )
            estimate = scan.on_object_grid(canvas)
    return Reconstruction(
        object=estimate,
        probe=measurement.probe,
        positions_xy_px=measurement.positions_xy_px,
        method=method,
        counts_scale=measurement.counts_scale,
        loss_epochs=tuple(range(1, len(losses) + 1)),
        loss_values=tuple(losses),
        cpu_seconds=time.process_time() - started,
        comments=f"bundle of {bundle.manifest.network.kind}, seed {bundle.manifest.seed}",
    )


def diffraction_to_obj(
    bundle: Bundle,
    amplitude: Float32[np.ndarray, "groups C N N"],
    positions_xy_px: Float64[np.ndarray, "groups C 1 2"],
    probe: Complex64[np.ndarray, "N N"] | ProbeModes,
    counts_scale: float | None = None,
) -> Complex64[np.ndarray, "groups C N N"]:
    """The network on groups of patterns, each group on a canvas of its own: the patches of every group.

    Args:
        bundle: a trained network.
        amplitude: measured amplitude over the counts scale, DC centred.
        positions_xy_px: patch centres in pixels, in any frame.
        probe: one mode or several.
        counts_scale: ``(counts_scale * amplitude)**2`` are counts; that of the bundle's training if absent.

    Returns:
        Object patches; each group has a free global phase.
    """
    groups, channels, size = amplitude.shape[:3]
    scale = bundle.manifest.network.counts_scale if counts_scale is None else counts_scale
    positions = positions_xy_px.reshape(-1, 2)
    layout = GroupLayout.of(np.arange(groups * channels).reshape(groups, channels), positions, size)
    modes = probe[None] if probe.ndim == 2 else probe
    counts = np.rint(np.square(scale * amplitude.astype(np.float64))).astype(np.float32)
    data = _group_data(counts, layout, slice(None), modes, scale, _lift(layout.canvas_shape, modes))
    with torch.inference_mode():
        return data.parts[0].grid.gather(bundle.network()(data)).numpy()


def _group_data(
    counts: np.ndarray,
    layout: GroupLayout,
    rows: slice,
    probe: ProbeModes,
    counts_scale: float,
    lift: SpectralLift,
) -> CanvasData:
    grid = PatchGrid(torch.as_tensor(layout.positions_xy_px[rows]), counts.shape[-1], layout.canvas_shape)
    ordered = to_fft_order(torch.as_tensor(counts))
    return CanvasData(
        parts=(Part(grid, lambda: ordered),),
        probe=torch.as_tensor(probe),
        counts_scale=torch.full((len(counts),), counts_scale),
        lift=lift,
        margin_px=lit_margin_px(probe),
    )


def _lift(canvas_shape: tuple[int, int], probe: ProbeModes) -> SpectralLift:
    return SpectralLift(mirror_coupling(probe), canvas_shape)


def _stitched(bundle: Bundle, measurement: Measurement, method: str, progress: ProgressListener) -> np.ndarray:
    """Every pattern by itself, then merged with synchronised phases."""
    positions = measurement.positions_xy_px
    layout = GroupLayout.of(np.arange(len(positions))[:, None], positions, measurement.patch_size_px)
    canvases, weights = [], []
    network = bundle.network()
    lift = _lift(layout.canvas_shape, measurement.probe)
    margin = lit_margin_px(measurement.probe)
    inner = slice(margin, layout.canvas_shape[0] - margin)
    count = len(positions)
    for first in range(0, count, _BATCH_GROUPS):
        rows = slice(first, min(first + _BATCH_GROUPS, count))
        counts = measurement.counts(rows)[:, None]
        data = _group_data(counts, layout, rows, measurement.probe, measurement.counts_scale, lift)
        canvases.append(network(data)[:, inner, inner].numpy())
        weights.append(data.illumination[:, inner, inner].numpy())
        progress(Progress(f"reconstruct {method}", rows.stop, count))
    corners = layout.corners_yx_px + margin
    return merge_canvases(np.concatenate(canvases), np.concatenate(weights), corners, measurement.object_shape)[0]
