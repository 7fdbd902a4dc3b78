"""One look per method, the same in every figure and chart: colour, marker and dash.

The colours keep apart under the three kinds of colour blindness, on white and on a dark page, and no
chart relies on colour alone: markers and dashes differ too.
"""

from dataclasses import dataclass
from typing import Literal

Marker = Literal["circle", "square", "triangle", "diamond", "cross", "dash"]


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """How one method is drawn.

    Attributes:
        label: the method's name, as in every file.
        light: colour on a white page, ``#rrggbb``.
        dark: colour on a dark page.
        marker: shape of its points.
        dash: SVG dash pattern of its lines, "" for a solid line.
        meaning: what the method is, in a few words.
    """

    label: str
    light: str
    dark: str
    marker: Marker
    dash: str
    meaning: str


METHOD_STYLES: dict[str, MethodStyle] = {
    style.label: style
    for style in (
        MethodStyle("pinn", "#1f6feb", "#8fc4ff", "circle", "", "physics-informed network, trained on counts alone"),
        MethodStyle("pinn_refined", "#0a5a3f", "#25a86b", "square", "", "the same, then a few passes over the data"),
        MethodStyle("baseline", "#c07000", "#f0b429", "triangle", "6 3", "supervised network, trained on the truth"),
        MethodStyle("pty_chi", "#b01f93", "#ea5fae", "diamond", "2 3", "iterative reconstruction by pty-chi"),
        MethodStyle("flat", "#6b7280", "#9aa3af", "cross", "1 3", "an empty object: what knowing nothing scores"),
        MethodStyle("truth", "#6b7280", "#9aa3af", "cross", "1 3", "the object itself: what a perfect result scores"),
        MethodStyle("bound", "#6b7280", "#9aa3af", "dash", "5 4", "Cramer-Rao bound of an unbiased estimate"),
    )
}


def method_style(method: str) -> MethodStyle:
    """Style of a method; an unknown one gets a neutral grey under its own name.

    >>> method_style("pinn").marker
    'circle'
    >>> method_style("other").label
    'other'
    """
    return METHOD_STYLES.get(method) or MethodStyle(method, "#6b7280", "#9aa3af", "cross", "1 3", "")
