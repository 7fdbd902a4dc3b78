"""One look per method, the same in every figure and chart: colour, marker and dash.

A method's look follows from its place in the study's list. The first ten differ in colour, and those colours keep
apart under the three kinds of colour blindness, on white and on a dark page. No chart relies on colour alone: any two
looks differ in marker or dash as well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Marker = Literal[
    "circle", "square", "triangle", "diamond", "inverted", "star", "plus", "times", "bowtie", "bar", "cross", "dash"
]


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """How one method is drawn.

    Attributes:
        label: the method's name, as in every file.
        css: class of everything in the report that takes its colour.
        light: colour on a white page, ``#rrggbb``.
        dark: colour on a dark page.
        marker: shape of its points.
        dash: SVG dash pattern of its lines, "" for a solid line.
    """

    label: str
    css: str
    light: str
    dark: str
    marker: Marker
    dash: str

    @property
    def glyph(self) -> str:
        """The marker as a character, for text in figures."""
        return MARKER_GLYPHS[self.marker]


MARKER_GLYPHS: dict[Marker, str] = {
    "circle": "●",
    "square": "■",
    "triangle": "▲",
    "diamond": "◆",
    "inverted": "▼",
    "star": "★",
    "plus": "✚",
    "times": "✖",
    "bowtie": "⧓",
    "bar": "▮",
    "cross": "×",
    "dash": "–",
}

DASHES = ("", "6 3", "2 3", "9 3 2 3", "12 4", "9 3 2 3 2 3")

_LOOKS: tuple[tuple[str, str, Marker, str], ...] = (
    ("#1f6feb", "#8fc4ff", "circle", ""),
    ("#0a5a3f", "#25a86b", "square", ""),
    ("#c07000", "#f0b429", "triangle", "6 3"),
    ("#b01f93", "#ea5fae", "diamond", "2 3"),
    ("#4b00e1", "#874bff", "inverted", "9 3 2 3"),
    ("#4b2d5a", "#69f0f0", "star", "12 4"),
    ("#693c00", "#a56900", "plus", "9 3 2 3 2 3"),
    ("#7800a5", "#a55ad2", "times", "6 3"),
    ("#69874b", "#c3e1a5", "bowtie", "2 3"),
    ("#e13c87", "#c3b45a", "bar", "9 3 2 3"),
)

_GREY = ("#6b7280", "#9aa3af")
YARDSTICKS: tuple[MethodStyle, ...] = (
    MethodStyle("flat", "m-other", *_GREY, "cross", "1 3"),
    MethodStyle("truth", "m-other", *_GREY, "cross", "1 3"),
    MethodStyle("bound", "m-other", *_GREY, "dash", "5 4"),
)
"""What methods are held against: an empty object, the object itself, the Cramer-Rao bound. All of them grey."""


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """The look of every method of a study, and of what methods are held against.

    Args:
        methods: all names of the study in its order, also those that are not drawn: places decide looks.

    Returns:
        Styles by name, the methods in the given order; then flat, truth and bound.

    >>> styles = method_styles(("mine", "yours"))
    >>> styles["yours"].marker, styles["bound"].dash
    ('square', '5 4')
    """
    styles = {name: _look(name, place) for place, name in enumerate(methods)}
    return styles | {style.label: style for style in YARDSTICKS}


def _look(name: str, place: int) -> MethodStyle:
    """Beyond the looks there are, colours and markers return with another dash."""
    turn, index = divmod(place, len(_LOOKS))
    light, dark, marker, dash = _LOOKS[index]
    dash = DASHES[(DASHES.index(dash) + turn) % len(DASHES)]
    return MethodStyle(name, f"m-{place + 1}", light, dark, marker, dash)
