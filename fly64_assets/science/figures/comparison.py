"""The comparison of one cell: every method beside the truth, on one crop and one scale, with error maps."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Complex64, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from skimage.restoration import unwrap_phase

from fly64_assets.science.arrays import PositionsXY
from fly64_assets.science.figures.drawing import (
    MUTED_COLOUR,
    NORMAL,
    SMALL,
    TEXT_COLOUR,
    add_colour_bar,
    new_figure,
    show_image,
    style_axes,
    to_png,
    value_limits,
)
from fly64_assets.science.palette import MethodStyle, method_styles

FAILURE_COLOUR = "#b42318"
OUTLINE_COLOUR = "#e4e7ec"
WRAPPING_RANGE_RAD = 0.9 * 2 * np.pi
ROWS = ("phase", "phase error", "amplitude", "amplitude error")
MAX_METHODS_IN_A_ROW = 6
"""More methods stand in several blocks, one under the other, each beside the truth."""
MAX_NAME_LENGTH = 26


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonPanels:
    """What the comparison figure of a cell shows.

    Attributes:
        truth: the object on the scored crop.
        mask: pixels that are scored.
        aligned: each method's object on the same crop, after the common alignment; a method may be absent.
        methods: every method of the study, in its order, also those that are not in this cell: places decide looks.
        origin_yx_px: row and column of the crop's first pixel in the object.
        positions_xy_px: kept scan positions, drawn as dots.
        failures: for a method whose registration or reconstruction failed, or that diverged, the reason. Its panels
            say so.
        captions: a line under a method's name, for example its scores.
        title: the cell, for example "1,000 photons per pattern, sparse, test split".
        truth_label: "truth", or "reference" for a measured scan.
    """

    truth: Complex64[np.ndarray, "rows columns"]
    mask: Bool[np.ndarray, "rows columns"]
    aligned: Mapping[str, Complex64[np.ndarray, "rows columns"]]
    methods: tuple[str, ...]
    origin_yx_px: tuple[int, int] = (0, 0)
    positions_xy_px: PositionsXY = field(default_factory=lambda: np.zeros((0, 2)))
    failures: Mapping[str, str] = field(default_factory=dict)
    captions: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    truth_label: str = "truth"


def comparison_figure(panels: ComparisonPanels, *, panel_in: float = 2.0, max_bytes: int = 450_000) -> bytes:
    """Rows: phase, its error, amplitude, its error. Columns: truth and methods. One crop, one scale per quantity.

    Phases are about the truth's circular mean, in radians. Error maps are method minus truth and share one symmetric
    scale. A method that failed keeps its column, with the reason written in it. More than
    ``MAX_METHODS_IN_A_ROW`` methods stand in blocks one under the other, on the same scales.

    Args:
        panels: what to show.
        panel_in: side of a panel's longer edge, in inches.
        max_bytes: colours and pixels are reduced until the PNG is no larger.

    Returns:
        PNG bytes.

    Raises:
        ValueError: a method is shown that is not among ``panels.methods``, or ``max_bytes`` cannot be reached.
    """
    figure, _ = _figure(panels, panel_in)
    return to_png(figure, dpi=110, max_bytes=max_bytes)


def _figure(panels: ComparisonPanels, panel_in: float) -> tuple[Figure, np.ndarray]:
    """The figure and its axes: four rows of them per block, as many columns as the longest block and the truth."""
    blocks = _blocks(_shown(panels))
    n_columns = 1 + len(blocks[0])
    rows, columns = panels.truth.shape
    width = panel_in * min(columns / rows, 1.0) + 0.25
    height = (panel_in * min(rows / columns, 1.0) + 0.22) * len(ROWS)
    figure = new_figure(width * n_columns + 0.9, (height + 0.45) * len(blocks) + 0.3)
    _set_spacing(figure, panels.title)
    quantities = {"truth": _quantities(panels, None)}
    quantities |= {m: _quantities(panels, panels.aligned[m]) for m in _shown(panels) if m in panels.aligned}
    axes = figure.subplots(len(ROWS) * len(blocks), n_columns, squeeze=False)
    for index, methods in enumerate(blocks):
        _draw_block(figure, axes[len(ROWS) * index : len(ROWS) * (index + 1)], methods, quantities, panels)
    _draw_positions(axes[1, 0], panels)
    _describe(axes[3, 0], panels)
    return figure, axes


def _shown(panels: ComparisonPanels) -> list[str]:
    """The methods that have a column, in the study's order."""
    present = {*panels.aligned, *panels.failures} - {"truth", "flat"}
    unknown = sorted(present - set(panels.methods))
    if unknown:
        message = f"{unknown} are not among the study's methods {list(panels.methods)}"
        raise ValueError(message)
    return [m for m in panels.methods if m in present]


def _blocks(methods: Sequence[str]) -> list[list[str]]:
    """The methods in rows of nearly equal length, the longest first."""
    n_blocks = max(1, math.ceil(len(methods) / MAX_METHODS_IN_A_ROW))
    length = math.ceil(len(methods) / n_blocks)
    return [list(methods[start : start + length]) for start in range(0, max(len(methods), 1), max(length, 1))]


def _draw_block(
    figure: Figure,
    axes: np.ndarray,
    methods: Sequence[str],
    quantities: Mapping[str, Mapping[str, np.ndarray]],
    panels: ComparisonPanels,
) -> None:
    """Truth and some methods: one row of panels for each of ``ROWS``; columns beyond the methods stay empty."""
    for row, label in enumerate(ROWS):
        limits = _row_limits(label, quantities, panels.mask)
        drawn = None
        for column, name in enumerate(("truth", *methods)):
            image = quantities.get(name, {}).get(label)
            if image is not None:
                drawn = _draw(axes[row, column], image, label, limits, panels)
            elif name != "truth":
                _say_missing(axes[row, column], panels.failures.get(name, "no reconstruction"), first=row == 0)
            else:
                axes[row, column].set_axis_off()
        for empty in axes[row, len(methods) + 1 :]:
            empty.set_axis_off()
        if drawn is not None:
            add_colour_bar(figure, drawn, list(axes[row, 1:] if methods else axes[row]), _unit(label))
        if methods or not label.endswith("error"):
            first = axes[row, 1] if label.endswith("error") else axes[row, 0]
            first.set_ylabel(label, fontsize=NORMAL, color=TEXT_COLOUR)
    _head_columns(axes, methods, panels)
    axes[2, 0].tick_params(labelbottom=True)


def _set_spacing(figure: Figure, title: str) -> None:
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.01, hspace=0.02)  # type: ignore[union-attr]
    if title:
        figure.suptitle(title, fontsize=NORMAL + 1.5, color=TEXT_COLOUR, fontweight="bold")


def _quantities(panels: ComparisonPanels, estimate: np.ndarray | None) -> dict[str, np.ndarray]:
    """The images of one column by row label; those of the truth when there is no estimate.

    A truth whose phase spans nearly a turn fits on no fixed branch: it is unwrapped (it holds no noise), and estimates
    follow it by less than half a turn.
    """
    truth = panels.truth
    unit = np.exp(-1j * np.angle(np.sum(truth[panels.mask])))
    truth_phase = np.angle(truth * unit)
    wide = panels.mask.any() and np.ptp(truth_phase[panels.mask]) > WRAPPING_RANGE_RAD
    truth_phase = np.asarray(unwrap_phase(truth_phase)) if wide else truth_phase
    if estimate is None:
        return {"phase": truth_phase, "amplitude": np.abs(truth)}
    phase_error = np.angle(estimate * np.conj(truth))
    return {
        "phase": truth_phase + phase_error if wide else np.angle(estimate * unit),
        "phase error": phase_error,
        "amplitude": np.abs(estimate),
        "amplitude error": np.abs(estimate) - np.abs(truth),
    }


def _row_limits(
    label: str, quantities: Mapping[str, Mapping[str, np.ndarray]], mask: np.ndarray
) -> tuple[float, float]:
    """Phase and amplitude on the truth's range; errors symmetric, at most that range wide on each side."""
    low, high = value_limits(_inside(quantities["truth"][label.removesuffix(" error")], mask))
    if not label.endswith("error"):
        return low, high
    errors = [np.abs(_inside(q[label], mask)) for q in quantities.values() if label in q]
    if not errors:
        return -1.0, 1.0
    limit = min(max(float(np.percentile(np.concatenate(errors), 98)), 1e-6), high - low)
    return -limit, limit


def _inside(image: Float64[np.ndarray, "..."] | np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image[mask] if mask.any() else image.ravel()


def _draw(
    axes: Axes, image: np.ndarray, label: str, limits: tuple[float, float], panels: ComparisonPanels
) -> AxesImage:
    colour_map = "RdBu_r" if label.endswith("error") else ("gray" if label == "amplitude" else "viridis")
    drawn = show_image(
        axes, image, colour_map=colour_map, limits=limits, origin_yx_px=panels.origin_yx_px, mask=panels.mask
    )
    style_axes(axes)
    axes.label_outer()
    return drawn


def _unit(label: str) -> str:
    return {"phase": "rad", "phase error": "rad, method - truth", "amplitude error": "method - truth"}.get(label, "")


def _say_missing(axes: Axes, reason: str, *, first: bool) -> None:
    """An empty panel; the first of a column states the reason."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAILURE_COLOUR if first else OUTLINE_COLOUR)
        spine.set_linewidth(0.8)
    if first:
        text = "\n".join(textwrap.wrap(reason, 26)[:8])
        axes.text(
            0.5, 0.5, text, ha="center", va="center", fontsize=SMALL, color=FAILURE_COLOUR, transform=axes.transAxes
        )


def _head_columns(axes: np.ndarray, methods: Sequence[str], panels: ComparisonPanels) -> None:
    """Names over the columns in the methods' looks; a registration failure over the image that it spoils."""
    axes[0, 0].set_title(panels.truth_label, fontsize=NORMAL, color=TEXT_COLOUR, fontweight="bold")
    styles = method_styles(panels.methods)
    for column, method in enumerate(methods, start=1):
        axes[0, column].set_title(
            _heading(styles[method], panels), fontsize=NORMAL, color=styles[method].light, linespacing=1.3
        )
        if method in panels.failures and method in panels.aligned:
            text = "\n".join(textwrap.wrap(panels.failures[method], 30)[:4])
            axes[0, column].text(
                0.5,
                0.03,
                text,
                transform=axes[0, column].transAxes,
                ha="center",
                va="bottom",
                fontsize=SMALL,
                color="white",
                bbox={"facecolor": FAILURE_COLOUR, "edgecolor": "none", "pad": 2.5},
            )


def _heading(style: MethodStyle, panels: ComparisonPanels) -> str:
    """The method's marker and name, a long one on two lines, and under it its scores or what became of it."""
    name = "\n".join(textwrap.wrap(style.label.replace("_", "_ "), MAX_NAME_LENGTH)).replace("_ ", "_")
    head = f"{style.glyph} {name}"
    if not any(panels.captions.values()):
        return head
    if style.label not in panels.aligned:
        diverged = panels.failures.get(style.label, "").startswith("diverged")
        return f"{head}\n{'diverged' if diverged else 'failed'}"
    return f"{head}\n{panels.captions.get(style.label, '')}"


def _draw_positions(axes: Axes, panels: ComparisonPanels) -> None:
    """Under the truth: the scored region and the kept positions."""
    show_image(
        axes,
        np.ones(panels.mask.shape),
        colour_map="gray",
        limits=(0.0, 1.0),
        origin_yx_px=panels.origin_yx_px,
        mask=panels.mask,
    )
    limits = axes.get_xlim(), axes.get_ylim()
    n = len(panels.positions_xy_px)
    axes.scatter(
        panels.positions_xy_px[:, 0],
        panels.positions_xy_px[:, 1],
        s=float(np.clip(400 / max(n, 1), 0.6, 6)),
        color=TEXT_COLOUR,
        linewidths=0,
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    style_axes(axes, f"{n:,} positions")
    axes.label_outer()


def _describe(axes: Axes, panels: ComparisonPanels) -> None:
    """In the last free panel: how to read the figure."""
    axes.set_axis_off()
    scored = f"{int(panels.mask.sum()):,} pixels are scored"
    text = f"y down, x right, object px\nwhite: scored, grey: not lit enough\n{scored}\nphase about the truth's mean"
    axes.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=SMALL - 0.5, color=MUTED_COLOUR, transform=axes.transAxes
    )
