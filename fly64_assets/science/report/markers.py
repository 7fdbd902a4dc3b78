"""The markers of the palette as SVG shapes."""

from markupsafe import Markup

from fly64_assets.science.palette import Marker

_FILLED: dict[Marker, str] = {
    "square": "M{l:.1f} {t:.1f}h7.6v7.6h-7.6z",
    "triangle": "M{x:.1f} {u:.1f}l4.9 8.6h-9.8z",
    "diamond": "M{x:.1f} {u:.1f}l5.2 5.4l-5.2 5.4l-5.2 -5.4z",
    "inverted": "M{x:.1f} {d:.1f}l4.9 -8.6h-9.8z",
    "star": "M{x:.1f} {u:.1f}l1.6 3.8l4.1 .3l-3.1 2.7l1 4l-3.6 -2.2l-3.6 2.2l1 -4l-3.1 -2.7l4.1 -.3z",
    "plus": "M{x:.1f} {u:.1f}m-1.7 .4h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z",
    "times": "M{x:.1f} {y:.1f}m-2.6 -5l2.6 2.6l2.6 -2.6l2.4 2.4l-2.6 2.6l2.6 2.6l-2.4 2.4l-2.6 -2.6l-2.6 2.6l-2.4 -2.4"
    "l2.6 -2.6l-2.6 -2.6z",
    "bowtie": "M{x:.1f} {y:.1f}m0 -1.2l6 -4.2v10.8l-6 -4.2l-6 4.2v-10.8z",
    "bar": "M{x:.1f} {u:.1f}m-2 -.2h4v11.2h-4z",
}
_STROKED: dict[Marker, str] = {
    "cross": "M{l:.1f} {t:.1f}l7.6 7.6m-7.6 0l7.6 -7.6",
    "dash": "M{l:.1f} {y:.1f}h7.6",
}


def marker_shape(marker: Marker, x: float, y: float, *, hollow: bool = False) -> Markup:
    """One marker centred on a point, in the colour of its group."""
    css = "mark hollow" if hollow else "mark"
    if marker == "circle":
        return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4.2"/>').format(css, x, y)
    path = (_FILLED.get(marker) or _STROKED[marker]).format(x=x, y=y, l=x - 3.8, t=y - 3.8, u=y - 5.4, d=y + 5.4)
    return Markup('<path class="{}" d="{}"/>').format("stroke-mark" if marker in _STROKED else css, path)
