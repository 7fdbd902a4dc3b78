"""Small charts as inline SVG: theme-aware, labelled at the line, open to screen readers, equal bytes every time.

Colours are CSS classes, so that one chart serves light, dark and print.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from fly64_assets.science.palette import Marker
from fly64_assets.science.report.markers import marker_shape
from fly64_assets.science.report.wording import dose_text, number_text

WIDTH, HEIGHT = 330.0, 244.0
_LEFT, _TOP, _BOTTOM = 42.0, 30.0, 40.0
_CHARACTER = 6.7
_LABEL_GAP = 14.0
_MOST_LABELS, _LONGEST_LABEL = 8, 18
_WIDEST_DODGE = 24.0


@dataclass(frozen=True, slots=True)
class Point:
    """One mark, with an optional interval and a note for the tooltip."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one colour.

    Attributes:
        label: written at the last point where ``Chart.direct_labels``.
        css: class of the method whose colour it takes.
        points: in drawing order.
        marker: their shape; None draws the line alone.
        dash: SVG dash pattern, "" for solid.
        line: connect the points.
        mark_every: points from one marker to the next; those between carry the line alone.
        first_mark: index of the first point with a marker.
    """

    label: str
    css: str
    points: tuple[Point, ...]
    marker: Marker | None = "circle"
    dash: str = ""
    line: bool = True
    mark_every: int = 1
    first_mark: int = 0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis; limits and ticks are chosen from the data where they are None."""

    label: str
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[tuple[float, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal reference line."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw.

    Attributes:
        title: over the plot.
        description: for screen readers.
        x: its axis.
        y: its axis.
        series: what is drawn, the last one on top.
        rules: horizontal reference lines.
        direct_labels: write names at the lines' ends, where they fit.
        dodge: set series slightly apart in x, where they share few values, so that bars do not hide each other.
    """

    title: str
    description: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    rules: tuple[Rule, ...] = ()
    direct_labels: bool = True
    dodge: bool = True

    @property
    def labels(self) -> list[str]:
        """The names to write at the lines' ends; none where they are many or would leave the plot no room."""
        found = [s.label for s in self.series if s.points]
        fit = len(found) <= _MOST_LABELS and max(map(len, found), default=0) <= _LONGEST_LABEL
        return found if self.direct_labels and fit else []


def draw(chart: Chart) -> Markup:
    """The chart as an ``<svg>`` element; all text in it is escaped."""
    frame = _Frame.of(chart)
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, chart.title),
        Markup("<desc>{}</desc>").format(chart.description),
        Markup('<text class="chart-title" x="4" y="15">{}</text>').format(chart.title),
        *_axes(chart, frame),
        *_rules(chart, frame),
    ]
    n = len(chart.series)
    apart = min(4.0, _WIDEST_DODGE / max(n, 1)) if chart.dodge else 0.0
    for index, series in enumerate(chart.series):
        dodged = series.line and series.marker
        parts.append(_series(series, frame, dodge_px=(index - (n - 1) / 2) * apart if dodged else 0.0))
    if chart.labels:
        parts += _labels(chart, frame)
    parts.append(Markup("</svg>"))
    return Markup("").join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The plot's rectangle and the mapping of values into it."""

    right: float
    x: Axis
    y: Axis

    @classmethod
    def of(cls, chart: Chart) -> "_Frame":
        room = max((len(label) for label in chart.labels), default=0) * _CHARACTER + 14
        xs = [p.x for s in chart.series for p in s.points]
        ys = [v for s in chart.series for p in s.points for v in (p.y, p.low, p.high) if math.isfinite(v)]
        ys += [rule.value for rule in chart.rules]
        return cls(WIDTH - max(room, 14), _with_limits(chart.x, xs, 0.06), _with_limits(chart.y, ys, 0.05))

    def px(self, x: float) -> float:
        return _LEFT + _fraction(x, self.x) * (self.right - _LEFT)

    def py(self, y: float) -> float:
        bottom = HEIGHT - _BOTTOM
        return bottom - _fraction(y, self.y) * (bottom - _TOP)


def _with_limits(axis: Axis, values: Sequence[float], margin: float) -> Axis:
    """The axis with limits that hold the values with a margin, unless it has limits already."""
    if axis.limits is not None:
        return axis
    usable = [v for v in values if math.isfinite(v) and (v > 0 or not axis.log)]
    if not usable:
        return replace(axis, limits=(1.0, 10.0) if axis.log else (0.0, 1.0))
    low, high = min(usable), max(usable)
    if axis.log:
        low, high = math.log10(low), math.log10(high)
    pad = (high - low) * margin or (0.3 if axis.log else max(abs(high) * 0.1, 0.5))
    low, high = low - pad, high + pad
    return replace(axis, limits=(10**low, 10**high) if axis.log else (low, high))


def _fraction(value: float, axis: Axis) -> float:
    low, high = axis.limits or (0.0, 1.0)
    if axis.log:
        value, low, high = math.log10(max(value, 1e-300)), math.log10(low), math.log10(high)
    return min(max((value - low) / (high - low), -0.02), 1.02)


def ticks_of(axis: Axis, about: int = 5) -> tuple[tuple[float, str], ...]:
    """Round tick values within the axis' limits, with their labels.

    >>> [label for _, label in ticks_of(Axis("", limits=(0.0, 1.0)))]
    ['0', '0.2', '0.4', '0.6', '0.8', '1']
    >>> [label for _, label in ticks_of(Axis("", log=True, limits=(50.0, 2e5)))]
    ['10²', '10³', '10⁴', '10⁵']
    """
    if axis.ticks is not None:
        return axis.ticks
    low, high = axis.limits or (0.0, 1.0)
    if axis.log:
        return tuple(_log_ticks(low, high))
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if abs(step / power - 2.5) < 1e-9 else 0))
    values = (k * step for k in range(first, last + 1))
    return tuple((v, _plain(v, decimals)) for v in values)


def _plain(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return (text.removeprefix("-") if float(text.replace(",", "")) == 0 else text).replace("-", "−")


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(decades) >= 2 and high / low > 250:
        every = max(1, math.ceil(len(decades) / 6))
        return [(10.0**d, dose_text(10.0**d) if d >= 2 else number_text(10.0**d)) for d in decades if d % every == 0]
    first = math.floor(math.log10(low))
    values = [m * 10.0**d for d in range(first, first + 4) for m in (1, 2, 5)]
    found = [(v, number_text(v)) for v in values if low * 0.999 <= v <= high * 1.001]
    return found if len(found) >= 2 else list(ticks_of(Axis("", limits=(low, high)), about=3))


def _axes(chart: Chart, frame: _Frame) -> list[Markup]:
    bottom = HEIGHT - _BOTTOM
    parts = []
    for value, label in ticks_of(frame.y):
        y = frame.py(value)
        parts.append(Markup('<path class="grid" d="M{} {:.1f}H{:.1f}"/>').format(_LEFT, y, frame.right))
        parts.append(Markup('<text class="tick end" x="{}" y="{:.1f}">{}</text>').format(_LEFT - 6, y + 4, label))
    for value, label in ticks_of(frame.x):
        x = frame.px(value)
        parts.append(Markup('<path class="axis" d="M{:.1f} {}v4"/>').format(x, bottom))
        parts.append(Markup('<text class="tick mid" x="{:.1f}" y="{}">{}</text>').format(x, bottom + 16, label))
    parts.append(Markup('<path class="axis" d="M{} {}H{:.1f}"/>').format(_LEFT, bottom, frame.right))
    middle = (_LEFT + frame.right) / 2
    parts.append(
        Markup('<text class="label mid" x="{:.1f}" y="{}">{}</text>').format(middle, HEIGHT - 7, chart.x.label)
    )
    return parts


def _rules(chart: Chart, frame: _Frame) -> list[Markup]:
    parts = []
    for rule in chart.rules:
        y = frame.py(rule.value)
        parts.append(Markup('<path class="rule" d="M{} {:.1f}H{:.1f}"/>').format(_LEFT, y, frame.right))
        parts.append(
            Markup('<text class="rule-label" x="{}" y="{:.1f}">{}</text>').format(_LEFT + 4, y - 4, rule.label)
        )
    return parts


def _series(series: Series, frame: _Frame, dodge_px: float) -> Markup:
    placed = [(frame.px(p.x) + dodge_px, frame.py(p.y), p) for p in series.points]
    parts = [Markup('<g class="{}">').format(series.css)]
    if series.line and len(placed) > 1:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in placed)
        dash = Markup(' stroke-dasharray="{}"').format(series.dash) if series.dash else ""
        parts.append(Markup('<path class="line" d="{}"{}/>').format(path, dash))
    for x, y, point in placed[series.first_mark :: series.mark_every]:
        mark = _mark(series, x, y, point, frame)
        if mark:
            note = point.note or f"{series.label}: {number_text(point.y)} at {number_text(point.x)}"
            parts.append(Markup("<g><title>{}</title>{}</g>").format(note, mark))
    parts.append(Markup("</g>"))
    return Markup("").join(parts)


def _mark(series: Series, x: float, y: float, point: Point, frame: _Frame) -> Markup:
    parts = []
    if math.isfinite(point.low) and math.isfinite(point.high):
        top, bottom = frame.py(point.high), frame.py(point.low)
        bar = f"M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 3:.1f} {top:.1f}h6M{x - 3:.1f} {bottom:.1f}h6"
        parts.append(Markup('<path class="bar" d="{}"/>').format(bar))
    if series.marker:
        parts.append(marker_shape(series.marker, x, y, hollow=point.hollow))
    return Markup("").join(parts)


def _labels(chart: Chart, frame: _Frame) -> list[Markup]:
    """Labels right of the plot at the height of each last point, pushed apart where they would touch."""
    ends = sorted((frame.py(s.points[-1].y), index) for index, s in enumerate(chart.series) if s.points)
    heights = spread([y for y, _ in ends], _LABEL_GAP, low=_TOP - 4, high=HEIGHT - _BOTTOM + 2)
    parts = []
    for (y, index), height in zip(ends, heights, strict=True):
        series = chart.series[index]
        x = frame.px(series.points[-1].x)
        lead = f"M{min(x + 7, frame.right):.1f} {y:.1f}L{frame.right + 5:.1f} {height:.1f}"
        parts.append(Markup('<g class="{}"><path class="lead-line" d="{}"/>').format(series.css, lead))
        text = '<text class="series-label" x="{:.1f}" y="{:.1f}">{}</text></g>'
        parts.append(Markup(text).format(frame.right + 8, height + 4, escape(series.label)))
    return parts


def spread(positions: Sequence[float], gap: float, *, low: float, high: float) -> list[float]:
    """Sorted positions moved as little as a simple sweep can, at least ``gap`` apart, within the limits if they fit.

    >>> spread([10.0, 11.0, 50.0], 14.0, low=0.0, high=100.0)
    [10.0, 24.0, 50.0]
    >>> spread([90.0, 95.0], 14.0, low=0.0, high=100.0)
    [86.0, 100.0]
    """
    placed: list[float] = []
    for position in positions:
        placed.append(max(position, placed[-1] + gap) if placed else max(position, low))
    ceiling = high
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    return placed
