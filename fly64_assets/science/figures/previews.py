"""Small pictures of what a partition holds, for the catalog: scan, dataset, view, training, reconstruction."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from fly64_assets.science.arrays import ComplexObject, PositionsXY
from fly64_assets.science.figures.drawing import (
    MUTED_COLOUR,
    NORMAL,
    PREVIEW_MAX_BYTES,
    SMALL,
    add_colour_bar,
    centred_phase,
    new_figure,
    show_image,
    style_axes,
    to_png,
    value_limits,
)
from fly64_assets.science.records import Dataset, Reconstruction, Scan

SPLIT_COLOURS = {"train": "#0a6cb8", "test": "#c46a00"}
_LOSS_COLOURS = {"train_loss": SPLIT_COLOURS["train"], "validation_loss": SPLIT_COLOURS["test"], "loss": "#444444"}
_WIDE_RANGE = 30
"""Losses that span more than this factor are drawn on a logarithmic axis."""

MAX_PATTERNS_READ = 512
MAX_SHEET_COLUMNS = 6
MAX_PREVIEW_COLUMNS = 5
"""More reconstructions stand in several rows."""


def scan_preview(scan: Scan, *, max_bytes: int = PREVIEW_MAX_BYTES) -> bytes:
    """Object phase and amplitude, probe and scan positions.

    Args:
        scan: what every dose shares.
        max_bytes: colours and pixels are reduced until the PNG is no larger.

    Returns:
        PNG bytes.
    """
    figure = new_figure(9.2, 2.6)
    phase_axes, amplitude_axes, probe_axes, position_axes = figure.subplots(1, 4)
    kind = "object" if scan.object_origin == "truth" else "reference object"
    drawn = show_image(phase_axes, centred_phase(scan.object), title=f"{kind}, phase")
    add_colour_bar(figure, drawn, phase_axes, "rad")
    drawn = show_image(amplitude_axes, np.abs(scan.object), title=f"{kind}, amplitude", colour_map="gray")
    add_colour_bar(figure, drawn, amplitude_axes, "")
    modes = len(scan.probe)
    illumination = np.sqrt(np.sum(np.abs(scan.probe) ** 2, axis=0))
    title = "probe, amplitude" if modes == 1 else f"probe, {modes} modes"
    show_image(probe_axes, illumination / max(float(illumination.max()), 1e-30), title=title, colour_map="magma")
    n_positions = len(scan.positions_xy_px)
    _dots(position_axes, scan.positions_xy_px, MUTED_COLOUR)
    _frame_object(position_axes, scan.object.shape, f"{n_positions:,} positions")
    return to_png(figure, max_bytes=max_bytes)


def contact_sheet(objects: Mapping[str, ComplexObject], *, max_bytes: int = PREVIEW_MAX_BYTES) -> bytes:
    """Phase and amplitude of every object, one above the other, on the scales of all of them.

    Args:
        objects: by name, in the order to show.
        max_bytes: colours and pixels are reduced until the PNG is no larger.

    Returns:
        PNG bytes.
    """
    columns = min(len(objects), MAX_SHEET_COLUMNS)
    rows = math.ceil(len(objects) / columns)
    figure = new_figure(1.3 * columns + 0.2, 2.75 * rows)
    axes = figure.subplots(2 * rows, columns, squeeze=False)
    phases = {name: centred_phase(found) for name, found in objects.items()}
    limits = value_limits(np.concatenate([phase.ravel() for phase in phases.values()]))
    faint = min(float(np.abs(found).min()) for found in objects.values())
    for empty in axes.ravel():
        empty.set_axis_off()
    for index, (name, found) in enumerate(objects.items()):
        row, column = divmod(index, columns)
        show_image(axes[2 * row, column], phases[name], title=name, limits=limits, labelled=False)
        amplitude = axes[2 * row + 1, column]
        show_image(amplitude, np.abs(found), colour_map="gray", limits=(faint, 1.0), labelled=False)
    return to_png(figure, max_bytes=max_bytes)


def dataset_preview(dataset: Dataset, *, n_shown: int = 3) -> bytes:
    """Mean diffraction pattern, a few single ones, and how many photons each pattern holds.

    Reads at most ``MAX_PATTERNS_READ`` patterns, evenly spread, so that a mapped file of any length is cheap to show.

    Args:
        dataset: patterns of one split.
        n_shown: single patterns to draw.

    Returns:
        PNG of at most ``PREVIEW_MAX_BYTES``.
    """
    n_patterns = len(dataset.measurement.positions_xy_px)
    read = np.unique(np.linspace(0, n_patterns - 1, min(n_patterns, MAX_PATTERNS_READ)).astype(np.int64))
    counts = dataset.measurement.counts(read)
    mean = counts.mean(axis=0)
    figure = new_figure(2.3 * (n_shown + 2), 2.5)
    panels = figure.subplots(1, n_shown + 2)
    floor = max(float(mean.max()) * 1e-5, 1e-6)
    drawn = show_image(
        panels[0], np.log10(np.maximum(mean, floor)), title="mean, log10", colour_map="magma", labelled=False
    )
    add_colour_bar(figure, drawn, panels[0], "log10 photons")
    chosen = np.unique(np.linspace(0, len(read) - 1, n_shown).astype(np.int64))
    for axes, index in zip(panels[1:-1], chosen, strict=False):
        title = f"pattern {read[index]}: {int(counts[index].sum()):,} photons"
        show_image(axes, np.log1p(counts[index]), title=title, colour_map="magma", labelled=False)
        axes.title.set_fontsize(SMALL)
    for axes in panels[1 + len(chosen) : -1]:
        axes.set_axis_off()
    totals = counts.sum(axis=(1, 2))
    panels[-1].hist(totals, bins=min(40, max(5, len(read) // 8)), color=SPLIT_COLOURS["train"])
    sampled = "" if len(read) == n_patterns else f" ({len(read)} read)"
    style_axes(panels[-1], f"{n_patterns:,} patterns{sampled}", x_label="photons per pattern", y_label="patterns")
    panels[-1].ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
    panels[-1].xaxis.get_offset_text().set_fontsize(SMALL)
    return to_png(figure, max_bytes=PREVIEW_MAX_BYTES)


def view_preview(
    complex_object: ComplexObject,
    all_positions_xy_px: PositionsXY,
    kept_positions_xy_px: Mapping[str, Float64[np.ndarray, "_ 2"]],
    probe_diameter_px: float,
) -> bytes:
    """The positions that a view keeps, drawn over the object with their probe discs, one panel per split.

    Args:
        complex_object: the object, drawn pale in the background.
        all_positions_xy_px: every position of the scan, as grey dots.
        kept_positions_xy_px: kept positions of each split.
        probe_diameter_px: diameter D of the discs.

    Returns:
        PNG of at most ``PREVIEW_MAX_BYTES``; the rows between the splits are hatched.
    """
    figure = new_figure(3.6 * max(len(kept_positions_xy_px), 1), 3.7)
    panels = figure.subplots(1, max(len(kept_positions_xy_px), 1), squeeze=False)[0]
    phase = centred_phase(complex_object)
    low, high = value_limits(phase)
    phase = low + np.round((np.clip(phase, low, high) - low) / (high - low) * 10) / 10 * (
        high - low
    )  # few greys: a small file
    gap = _gap_between(kept_positions_xy_px)
    for axes, (split, kept) in zip(panels, kept_positions_xy_px.items(), strict=False):
        show_image(axes, phase, colour_map="gray", limits=(low - 2 * (high - low), high))
        _dots(axes, all_positions_xy_px, MUTED_COLOUR, size=1.0)
        _discs(axes, kept, probe_diameter_px, SPLIT_COLOURS.get(split, "#444444"))
        if gap is not None:
            axes.axhspan(*gap, facecolor="none", edgecolor=MUTED_COLOUR, hatch="////", linewidth=0, alpha=0.35)
        _frame_object(axes, complex_object.shape, f"{split}: {len(kept):,} of {len(all_positions_xy_px):,} positions")
    return to_png(figure, max_bytes=PREVIEW_MAX_BYTES)


def loss_curve(history: Sequence[Mapping[str, Any]]) -> bytes:
    """The losses of each epoch: of training and validation, or of an iterative reconstruction.

    Args:
        history: one record per epoch with ``epoch`` and any of ``loss``, ``train_loss`` and ``validation_loss``.

    Returns:
        PNG of at most ``PREVIEW_MAX_BYTES``; an empty history gives a picture that says so.
    """
    figure = new_figure(4.6, 2.6)
    axes = figure.subplots()
    for name, colour in _LOSS_COLOURS.items():
        points = [(row.get("epoch", i), row[name]) for i, row in enumerate(history) if _is_number(row.get(name))]
        if points:
            epochs, losses = zip(*points, strict=True)
            axes.plot(epochs, losses, color=colour, linewidth=1.4, marker="." if len(points) < 40 else "")
            label = name.removesuffix("loss").rstrip("_")
            axes.annotate(f" {label}", (epochs[-1], losses[-1]), fontsize=SMALL, color=colour, va="center")
            if min(losses) > 0 and max(losses) > _WIDE_RANGE * min(losses):
                axes.set_yscale("log")
    style_axes(axes, "loss" if history else "no epoch was recorded", x_label="epoch", y_label="loss")
    axes.margins(x=0.12)
    axes.grid(visible=True, linewidth=0.4, color="#e4e7ec")
    return to_png(figure, max_bytes=PREVIEW_MAX_BYTES)


def reconstruction_preview(reconstructions: Mapping[str, Reconstruction]) -> bytes:
    """Phase, amplitude and, where it is predicted, error of each reconstruction over the scanned region, five in a row.

    Each panel has its own scale: a preview shows structure; ``comparison_figure`` compares.

    Args:
        reconstructions: by panel title, for example the method or the method and the split.

    Returns:
        PNG of at most ``PREVIEW_MAX_BYTES``.
    """
    n_columns = min(max(len(reconstructions), 1), MAX_PREVIEW_COLUMNS)
    n_blocks = max(1, math.ceil(len(reconstructions) / MAX_PREVIEW_COLUMNS))
    n_parts = 3 if any(each.error is not None for each in reconstructions.values()) else 2
    shapes = [(r.stop - r.start, c.stop - c.start) for r, c in map(_scanned_region, reconstructions.values())]
    aspect = max((rows / columns for rows, columns in shapes), default=1.0)
    figure = new_figure(2.5 * n_columns, n_parts * n_blocks * (min(1.75 * aspect, 4.0) + 0.55))
    panels = figure.subplots(n_parts * n_blocks, n_columns, squeeze=False)
    if not reconstructions:
        style_axes(panels[0, 0], "nothing was reconstructed")
        for axes in panels[1:].ravel():
            axes.set_axis_off()
    for index in range(len(reconstructions), n_blocks * n_columns if reconstructions else 0):
        block, column = divmod(index, n_columns)
        for axes in panels[n_parts * block : n_parts * (block + 1), column]:
            axes.set_axis_off()
    for index, (title, reconstruction) in enumerate(reconstructions.items()):
        block, column = divmod(index, MAX_PREVIEW_COLUMNS)
        _draw_parts(figure, list(panels[n_parts * block : n_parts * (block + 1), column]), title, reconstruction)
    return to_png(figure, max_bytes=PREVIEW_MAX_BYTES)


def _draw_parts(figure: Figure, panels: Sequence[Axes], title: str, reconstruction: Reconstruction) -> None:
    """Phase, amplitude and error, one below the other; an error that is not predicted leaves its place empty."""
    rows, columns = _scanned_region(reconstruction)
    crop, origin = reconstruction.object[rows, columns], (rows.start, columns.start)
    drawn = show_image(panels[0], centred_phase(crop), title=title, origin_yx_px=origin)
    add_colour_bar(figure, drawn, panels[0], "rad")
    drawn = show_image(panels[1], np.abs(crop), colour_map="gray", origin_yx_px=origin)
    add_colour_bar(figure, drawn, panels[1], "amplitude")
    if len(panels) == 2:
        return
    if reconstruction.error is None:
        panels[2].set_axis_off()
        return
    error = reconstruction.error[rows, columns]
    known = np.isfinite(error)
    shown = np.where(known, error, error[known].max() if known.any() else 0.0)
    drawn = show_image(panels[2], shown, colour_map="magma", origin_yx_px=origin)
    add_colour_bar(figure, drawn, panels[2], "predicted error")


def _scanned_region(reconstruction: Reconstruction) -> tuple[slice, slice]:
    height, width = reconstruction.object.shape
    margin = reconstruction.probe.shape[-1] // 4
    if len(reconstruction.positions_xy_px) == 0:
        return slice(0, height), slice(0, width)
    low = np.floor(reconstruction.positions_xy_px.min(axis=0)).astype(int) - margin
    high = np.ceil(reconstruction.positions_xy_px.max(axis=0)).astype(int) + margin
    return slice(max(int(low[1]), 0), min(int(high[1]), height)), slice(max(int(low[0]), 0), min(int(high[0]), width))


def _gap_between(kept: Mapping[str, Float64[np.ndarray, "_ 2"]]) -> tuple[float, float] | None:
    """Rows between the last position of the upper split and the first of the lower one."""
    spans = sorted((float(p[:, 1].min()), float(p[:, 1].max())) for p in kept.values() if len(p))
    if len(spans) != 2 or spans[0][1] >= spans[1][0]:
        return None
    return spans[0][1], spans[1][0]


def _dots(axes: Axes, positions_xy_px: PositionsXY, colour: str, size: float = 2.0) -> None:
    axes.scatter(positions_xy_px[:, 0], positions_xy_px[:, 1], s=size, color=colour, linewidths=0)


def _discs(axes: Axes, positions_xy_px: PositionsXY, diameter_px: float, colour: str) -> None:
    sizes = np.full(len(positions_xy_px), diameter_px)
    alpha = float(np.clip(12.0 / max(len(positions_xy_px), 1), 0.03, 0.22))
    for face, edge, opacity in ((colour, "none", alpha), ("none", colour, min(1.0, 3 * alpha))):
        axes.add_collection(
            EllipseCollection(
                sizes,
                sizes,
                np.zeros_like(sizes),
                offsets=positions_xy_px,
                units="xy",
                transOffset=axes.transData,
                facecolors=face,
                edgecolors=edge,
                linewidths=0.5,
                alpha=opacity,
            )
        )
    _dots(axes, positions_xy_px, colour, size=3.0)


def _frame_object(axes: Axes, object_shape: tuple[int, ...], title: str) -> None:
    height, width = object_shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_aspect("equal")
    style_axes(axes, title, x_label="x (px)", y_label="y (px)")
    axes.title.set_fontsize(NORMAL)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.floating) and bool(np.isfinite(value))
