"""Applying a trained network to a measurement: no training, no truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex64, Float32, Float64

from fly64_assets.science.arrays import ComplexObject, ExtendedObject, ProbeModes
from fly64_assets.science.networks.bundle import Bundle, read_bundle
from fly64_assets.science.networks.layouts import GroupLayout
from fly64_assets.science.networks.stitching import merge_canvases
from fly64_assets.science.physics.canvas_data import CanvasData, CanvasOptics, Part
from fly64_assets.science.physics.diffraction_torch import PatchGrid, to_fft_order
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets.science.records import Measurement, Progress, ProgressListener, ignore_progress
from fly64_assets.science.torch_runtime import without_gradients

_BATCH_GROUPS = 16

_LIKE_PROBES = 0.98
"""A probe refined from noisy counts agrees with itself to this; one of another defocus does not."""


def read_bundle_for(bundle_path: Path, measurement: Measurement) -> Bundle:
    """A trained bundle that fits a measurement of any scan with its patch size.

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
    return bundle


def read_bundle_for_probe(bundle_path: Path, measurement: Measurement) -> Bundle:
    """A trained bundle whose network was trained through the measurement's own probe.

    Raises:
        BundleError: the file is no intact bundle.
        ValueError: the bundle was trained for another patch size or another probe.
    """
    bundle = read_bundle_for(bundle_path, measurement)
    likeness = probe_likeness(bundle.probe, measurement.probe)
    if likeness < _LIKE_PROBES:
        message = (
            f"{bundle_path}: its network was trained for another probe: the two agree to {likeness:.3f}, where "
            f"{_LIKE_PROBES} is needed and 1 means equal. Train one for this probe"
        )
        raise ValueError(message)
    return bundle


def probe_likeness(a: ProbeModes, b: ProbeModes) -> float:
    """How alike two probes are whatever their scale and phase, 0 to 1; 0 for unequal numbers of modes.

    >>> probe = np.ones((1, 4, 4), np.complex64)
    >>> round(probe_likeness(probe, 3j * probe), 6), probe_likeness(probe, np.zeros_like(probe))
    (1.0, 0.0)
    """
    if a.shape != b.shape:
        return 0.0
    energy = float(np.vdot(a, a).real * np.vdot(b, b).real)
    return abs(complex(np.vdot(a, b))) / energy**0.5 if energy > 0 else 0.0


def estimate_objects(
    bundle: Bundle, measurement: Measurement, *, progress: ProgressListener = ignore_progress
) -> Iterator[tuple[int, ExtendedObject]]:
    """Reconstruct the object of a measurement with a trained bundle.

    A network of gridsize 2 sees the whole scan on one canvas, and there is an object after each of its stages. One of
    gridsize 1 sees every pattern by itself; there is an object once all are stitched.

    Args:
        bundle: of :func:`read_bundle_for`.
        measurement: counts, probe and positions.
        progress: told after every stage or batch; may raise to cancel.

    Returns:
        Looks at the data so far, and the object, 1 where nothing was lit; on the measurement's grid, extended at its
        end where the canvas sticks out of it. The last one is the result.
    """
    return without_gradients(_objects(bundle, measurement, progress))


def _objects(
    bundle: Bundle, measurement: Measurement, progress: ProgressListener
) -> Iterator[tuple[int, ExtendedObject]]:
    trained = bundle.manifest.network
    if trained.gridsize == 1:
        yield trained.stages, _stitched(bundle, measurement, progress)
        return
    scan = ScanCanvas.of(measurement)
    for look, canvas in enumerate(bundle.network().improve(scan.data), start=1):
        progress(Progress("reconstruct", look, trained.stages))
        yield look, scan.on_object_grid(canvas)


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
    data = _group_data(counts, layout, slice(None), CanvasOptics(modes), scale)
    with torch.inference_mode():
        return data.parts[0].grid.gather(bundle.network()(data)).numpy()


def _group_data(
    counts: np.ndarray, layout: GroupLayout, rows: slice, optics: CanvasOptics, counts_scale: float
) -> CanvasData:
    grid = PatchGrid(torch.as_tensor(layout.positions_xy_px[rows]), counts.shape[-1], layout.canvas_shape)
    ordered = to_fft_order(torch.as_tensor(counts))
    return optics.data((Part(grid, lambda: ordered),), torch.full((len(counts),), counts_scale))


def _stitched(bundle: Bundle, measurement: Measurement, progress: ProgressListener) -> ComplexObject:
    """Every pattern by itself, then merged with synchronised phases."""
    positions = measurement.positions_xy_px
    layout = GroupLayout.of(np.arange(len(positions))[:, None], positions, measurement.patch_size_px)
    canvases, weights = [], []
    network = bundle.network()
    optics = CanvasOptics(measurement.probe)
    margin = optics.margin_px
    inner = slice(margin, layout.canvas_shape[0] - margin)
    count = len(positions)
    for first in range(0, count, _BATCH_GROUPS):
        rows = slice(first, min(first + _BATCH_GROUPS, count))
        counts = measurement.counts(rows)[:, None]
        data = _group_data(counts, layout, rows, optics, measurement.counts_scale)
        canvases.append(network(data)[:, inner, inner].numpy())
        weights.append(data.illumination[:, inner, inner].numpy())
        progress(Progress("reconstruct", rows.stop, count))
    corners = layout.corners_yx_px + margin
    return merge_canvases(np.concatenate(canvases), np.concatenate(weights), corners, measurement.object_shape)[0]
