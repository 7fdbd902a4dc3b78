import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly64_assets.science.report.svg import HEIGHT, WIDTH, Axis, Chart, Point, Series, draw, spread, ticks_of

_NUMBERS = st.lists(st.floats(0, 220), min_size=1, max_size=8).map(sorted)


def _chart(**changes) -> Chart:
    points = tuple(Point(x, y, y - 0.05, y + 0.05, "note") for x, y in ((1e3, 0.2), (1e4, 0.6), (1e5, 0.9)))
    base = {"title": "dense", "description": "what", "x": Axis("dose", log=True), "y": Axis("score", limits=(0.0, 1.0))}
    return Chart(**(base | {"series": (Series("pinn", "pinn", points),)} | changes))


@given(_NUMBERS)
def test_labels_never_touch_and_keep_their_order(positions: list[float]) -> None:
    placed = spread(positions, 14.0, low=0.0, high=220.0)
    assert all(b - a >= 14 - 1e-9 for a, b in pairwise(placed))
    assert placed[-1] <= 220.0 + 1e-9


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6))
def test_linear_ticks_are_round_and_inside(low: float, span: float) -> None:
    high = low + span
    values = [value for value, _ in ticks_of(Axis("", limits=(low, high)))]
    assert 2 <= len(values) <= 12
    assert all(low - 1e-6 * span <= v <= high + 1e-6 * span for v in values)
    assert np.allclose(np.diff(values), values[1] - values[0], rtol=1e-6)


@given(st.floats(-6, 6), st.floats(0.35, 8))
def test_log_ticks_are_inside_and_enough_to_read(exponent: float, decades: float) -> None:
    low, high = 10**exponent, 10 ** (exponent + decades)
    ticks = ticks_of(Axis("", log=True, limits=(low, high)))
    assert 1 <= len(ticks) <= 9
    assert all(low * 0.99 <= v <= high * 1.01 for v, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks)


def test_the_chart_is_well_formed_and_says_what_it_is() -> None:
    root = ET.fromstring(draw(_chart()))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "dense"
    assert [t.text for t in root.iter("title")] == ["note"] * 3


def test_text_is_escaped() -> None:
    svg = draw(
        _chart(
            title='<script>"x"</script>',
            description="<b>",
            series=(Series("<i>", "pinn", (Point(1.0, 1.0, note="<u>"),)),),
        )
    )
    ET.fromstring(svg)
    assert "<script" not in svg
    assert "<i>" not in svg
    assert "<u>" not in svg


def test_everything_lies_inside_the_picture() -> None:
    names = ("pinn", "pinn_refined", "baseline", "pty_chi")
    lines = tuple(Series(n, n, (Point(1e3, 2.0, 0.0, 9.0), Point(1e5, -3.0))) for n in names)
    svg = draw(_chart(series=lines))
    for x in re.findall(r' (?:c?x)="([-\d.]+)"', svg):
        assert 0 <= float(x) <= WIDTH
    for y in re.findall(r' (?:c?y)="([-\d.]+)"', svg):
        assert 0 <= float(y) <= HEIGHT


@pytest.mark.parametrize("axis", [Axis("x"), Axis("x", log=True)])
def test_a_single_point_or_none_can_be_drawn(axis: Axis) -> None:
    for points in ((Point(3.0, 0.5),), ()):
        ET.fromstring(draw(_chart(x=axis, y=Axis("y"), series=(Series("pinn", "pinn", points),))))
