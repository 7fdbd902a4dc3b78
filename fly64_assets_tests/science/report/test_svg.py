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


@pytest.mark.parametrize("n_series", [1, 2, 4, 7, 10])
def test_everything_lies_inside_the_picture(n_series: int) -> None:
    names = [f"{'a' * length}{n}" for n, length in enumerate((3, 40, 12, 7, 9, 2, 5, 8, 11, 20))][:n_series]
    lines = tuple(Series(n, "m-1", (Point(1e3, 2.0, 0.0, 9.0), Point(1e5, -3.0))) for n in names)
    svg = draw(_chart(series=lines))
    for x in re.findall(r' (?:c?x)="([-\d.]+)"', svg):
        assert 0 <= float(x) <= WIDTH
    for y in re.findall(r' (?:c?y)="([-\d.]+)"', svg):
        assert 0 <= float(y) <= HEIGHT


@pytest.mark.parametrize("axis", [Axis("x"), Axis("x", log=True)])
def test_a_single_point_or_none_can_be_drawn(axis: Axis) -> None:
    for points in ((Point(3.0, 0.5),), ()):
        ET.fromstring(draw(_chart(x=axis, y=Axis("y"), series=(Series("pinn", "pinn", points),))))


def _labels(svg: str) -> list[str]:
    return re.findall(r'class="series-label"[^>]*>([^<]*)<', svg)


def test_names_stand_at_the_lines_unless_they_are_many_or_leave_no_room() -> None:
    def lines(*names: str) -> str:
        return draw(_chart(series=tuple(Series(n, "m-1", (Point(1e3, 0.1 * i),)) for i, n in enumerate(names))))

    assert sorted(_labels(lines("a", "b"))) == ["a", "b"]
    assert _labels(lines(*"abcdefghij")) == []
    assert _labels(lines("a", "b" * 40)) == []


def _marks(svg: str) -> list[float]:
    return [float(x) for x in re.findall(r'<circle class="mark" cx="([-\d.]+)"', svg)]


def test_series_are_set_apart_by_a_few_pixels_or_not_at_all() -> None:
    lines = tuple(Series(f"{i}", "m-1", (Point(1e4, 0.5), Point(1e4, 0.6))) for i in range(10))
    apart, exact = (_marks(draw(_chart(series=lines, dodge=dodge))) for dodge in (True, False))
    assert 5 < max(apart) - min(apart) < 30
    assert len(set(exact)) == 1
    assert len(set(apart)) == 10


def test_markers_can_be_sparse_while_the_line_keeps_every_point() -> None:
    points = tuple(Point(1e3 * (i + 1), 0.5) for i in range(10))
    svg = draw(_chart(series=(Series("a", "m-1", points, mark_every=4, first_mark=1),), direct_labels=False))
    assert len(_marks(svg)) == 3
    (line,) = re.findall(r'<path class="line" d="([^"]*)"', svg)
    assert line.count("L") == 9
