"""Drawing without global state: figures made as objects, image panels in one orientation, small PNG bytes.

Every image is drawn with row 0 at the top: y points down, x to the right, both in object pixels.
"""

import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Num, Shaped
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from fly64_assets.science.png import compact_png

PREVIEW_MAX_BYTES = 36_000
"""A preview travels through the catalog as base64 text, which is a third longer."""

TEXT_COLOUR = "#1f2430"
MUTED_COLOUR = "#667085"
OUTSIDE_COLOUR = "#e7e9ee"
SMALL, NORMAL = 7.0, 8.5


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty white figure with an Agg canvas of its own; pyplot is never involved."""
    figure = Figure(figsize=(width_in, height_in), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, *, dpi: int = 100, max_bytes: int | None = None) -> bytes:
    """The figure as PNG bytes, the same bytes for the same figure.

    Args:
        figure: what to draw.
        dpi: pixels per inch.
        max_bytes: if given, colours and then pixels are reduced until the file is no larger.

    Returns:
        PNG bytes, with a palette where that was needed.

    Raises:
        ValueError: ``max_bytes`` cannot be reached at a readable size.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once; the attempts differ in pixels only
    for scale in (1.0, 0.85, 0.7, 0.55, 0.42):
        rgb = _render(figure, round(dpi * scale))
        for colours in (None, 256, 128, 64):
            png = compact_png(rgb, colours)
            if max_bytes is None or len(png) <= max_bytes:
                return png
    message = f"a figure of {figure.get_size_inches()} inches cannot be drawn readably within {max_bytes} bytes"
    raise ValueError(message)


def _render(figure: Figure, dpi: int) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    buffer.seek(0)
    return Image.open(buffer).convert("RGB")


def style_axes(axes: Axes, title: str = "", *, x_label: str = "", y_label: str = "") -> None:
    """Small type, thin spines, an optional title and axis labels."""
    axes.set_title(title, fontsize=NORMAL, color=TEXT_COLOUR)
    axes.set_xlabel(x_label, fontsize=SMALL, color=MUTED_COLOUR)
    axes.set_ylabel(y_label, fontsize=SMALL, color=MUTED_COLOUR)
    axes.tick_params(labelsize=SMALL, colors=MUTED_COLOUR, length=2, width=0.6)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
        spine.set_color("#98a2b3")


def show_image(
    axes: Axes,
    image: Num[np.ndarray, "rows columns"],
    *,
    title: str = "",
    colour_map: str = "viridis",
    limits: tuple[float, float] | None = None,
    origin_yx_px: tuple[int, int] = (0, 0),
    mask: Shaped[np.ndarray, "rows columns"] | None = None,
    labelled: bool = True,
) -> AxesImage:
    """Draw one image, row 0 at the top, its axes in object pixels.

    Args:
        axes: where.
        image: real values.
        title: panel title.
        colour_map: matplotlib name.
        limits: values at the ends of the colour scale; the image's own range by default.
        origin_yx_px: row and column of the image's first pixel in the object.
        mask: pixels that are False are greyed out.
        labelled: name the axes and show ticks.

    Returns:
        The drawn image, for a colour bar.
    """
    rows, columns = image.shape
    y0, x0 = origin_yx_px
    shown = np.ma.masked_invalid(image if mask is None else np.where(mask, image, np.nan))
    low, high = limits if limits is not None else value_limits(image)
    axes.set_facecolor(OUTSIDE_COLOUR)
    drawn = axes.imshow(
        shown,
        cmap=colour_map,
        vmin=low,
        vmax=high,
        origin="upper",
        interpolation="nearest",
        extent=(x0 - 0.5, x0 + columns - 0.5, y0 + rows - 0.5, y0 - 0.5),
    )
    style_axes(axes, title, x_label="x (px)" if labelled else "", y_label="y (px)" if labelled else "")
    if not labelled:
        axes.set_xticks([])
        axes.set_yticks([])
    return drawn


def add_colour_bar(figure: Figure, drawn: AxesImage, axes: Axes | Sequence[Axes], label: str) -> None:
    """A slim colour bar beside one axes or a row of them."""
    targets = list(axes) if isinstance(axes, Sequence) else axes
    bar = figure.colorbar(drawn, ax=targets, fraction=0.046, pad=0.02, aspect=24)
    bar.ax.tick_params(labelsize=SMALL, colors=MUTED_COLOUR, length=2, width=0.6)
    bar.set_label(label, fontsize=SMALL, color=MUTED_COLOUR)
    bar.outline.set_linewidth(0.4)  # type: ignore[union-attr]


def value_limits(values: Num[np.ndarray, "..."], *, percentile: float = 0.5) -> tuple[float, float]:
    """Colour limits without the extreme ``percentile`` per cent at both ends; never an empty range.

    >>> value_limits(np.zeros((2, 2)))
    (-0.5, 0.5)
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (percentile, 100 - percentile)))
    return (low, high) if high - low > 1e-9 else (low - 0.5, high + 0.5)


def centred_phase(
    field: Num[np.ndarray, "rows columns"], reference: Num[np.ndarray, "rows columns"] | None = None
) -> Num[np.ndarray, "rows columns"]:
    """Phase in radians about the circular mean of ``reference``, by default of the field, so that it does not wrap."""
    mean_direction = np.angle(np.sum(field if reference is None else reference))
    return np.angle(field * np.exp(-1j * mean_direction))
