"""Applying a trained network to a measurement: no training, no truth."""

import time
from pathlib import Path

import numpy as np
import torch

from fly64_assets.science.models.bundle import Bundle, read_bundle
from fly64_assets.science.models.data_module import GroupLayout, lit_margin_px
from fly64_assets.science.models.lift import SpectralLift, mirror_coupling
from fly64_assets.science.models.networks import GroupData, UnrolledNetwork
from fly64_assets.science.options import RefineOptions
from fly64_assets.science.physics.diffraction_torch import PatchGrid, to_fft_order
from fly64_assets.science.records import Measurement, Progress, ProgressListener, Reconstruction, ignore_progress
from fly64_assets.science.reconstruction.stitching import merge_canvases
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
        message = f"{bundle_path}: trained on patches of {expected} px, the measurement has {measurement.patch_size_px} px"
        raise ValueError(message)
    limit_threads(threads)
    started = time.process_time()
    estimate = _merged(bundle, measurement, method, progress)
    del refine
    return Reconstruction(
        object=estimate,
        probe=measurement.probe,
        positions_xy_px=measurement.positions_xy_px,
        method=method,
        counts_scale=measurement.counts_scale,
        cpu_seconds=time.process_time() - started,
        comments=f"bundle of {bundle.manifest.network.kind}, seed {bundle.manifest.seed}",
    )


def _merged(bundle: Bundle, measurement: Measurement, method: str, progress: ProgressListener) -> np.ndarray:
    network = bundle.network()
    n = len(measurement.positions_xy_px)
    gridsize = bundle.manifest.network.gridsize
    groups = np.arange(n)[None] if gridsize == 2 else np.arange(n)[:, None]
    layout = GroupLayout.of(groups, measurement.positions_xy_px, measurement.patch_size_px)
    canvases, weights = _canvases(network, measurement, layout, method, progress)
    return merge_canvases(canvases, weights, layout.corners_yx_px, measurement.object_shape)[0]


def _canvases(
    network: UnrolledNetwork, measurement: Measurement, layout: GroupLayout, method: str, progress: ProgressListener
) -> tuple[np.ndarray, np.ndarray]:
    """The network's object and the illumination on every group's canvas."""
    probe = torch.as_tensor(measurement.probe)
    lift = SpectralLift(mirror_coupling(measurement.probe), layout.canvas_shape)
    margin = lit_margin_px(measurement.probe)
    canvases, weights = [], []
    count = len(layout.groups)
    for first in range(0, count, _BATCH_GROUPS):
        rows = slice(first, first + _BATCH_GROUPS)
        amplitude = np.ascontiguousarray(measurement.amplitude[layout.groups[rows]])
        grid = PatchGrid(torch.as_tensor(layout.positions_xy_px[rows]), amplitude.shape[-1], layout.canvas_shape)
        scale = torch.full((len(amplitude),), measurement.counts_scale)
        data = GroupData(to_fft_order(torch.as_tensor(amplitude)), grid, probe, scale, lift, margin)
        with torch.inference_mode():
            canvases.append(network(data).numpy())
            weights.append(grid.illumination(probe).clamp(min=0).numpy())
        progress(Progress(f"reconstruct {method}", min(first + _BATCH_GROUPS, count), count))
    return np.concatenate(canvases), np.concatenate(weights)
