import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

from fly64_assets.science.palette import method_styles
from fly64_assets.science.report.markers import marker_shape
from fly64_assets.science.report.render import style_rules

NAMES_OF_TEN = tuple(f"method_{place}" for place in range(10))
TEN_STYLES = [method_styles(NAMES_OF_TEN)[name] for name in NAMES_OF_TEN]

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _seen(colour: str, vision: str) -> np.ndarray:
    """CIE Lab of a colour as that vision sees it."""
    linear = np.clip(np.array(VISION[vision]) @ _linear(colour), 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def _contrast(colour: str, page: str) -> float:
    """WCAG contrast ratio."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    high, low = sorted((float(weights @ _linear(c)) for c in (colour, page)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ten_methods_keep_apart_in_every_kind_of_vision(vision: str, theme: str) -> None:
    colours = [_seen(getattr(style, theme), vision) for style in TEN_STYLES]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 20


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#11151c")])
def test_method_names_are_readable_as_text(theme: str, page: str) -> None:
    for style in TEN_STYLES:
        assert _contrast(getattr(style, theme), page) >= 3.6, style.label


def test_ten_methods_differ_in_their_markers_alone() -> None:
    assert len({style.marker for style in TEN_STYLES}) == len(TEN_STYLES)
    assert len({style.glyph for style in TEN_STYLES}) == len(TEN_STYLES)
    assert len({str(marker_shape(style.marker, 0.0, 0.0)) for style in TEN_STYLES}) == len(TEN_STYLES)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True), min_size=2, max_size=50, unique=True))
def test_no_two_methods_of_a_study_are_drawn_alike(names: list[str]) -> None:
    styles = [method_styles(names)[name] for name in names]
    assert [style.label for style in styles] == names
    assert len({(style.marker, style.dash) for style in styles}) == len(names), "told apart without any colour"
    assert len({style.css for style in styles}) == len(names)


def test_what_methods_are_held_against_looks_like_no_method() -> None:
    styles = method_styles(f"m{i}" for i in range(50))
    yardsticks = [styles.pop(name) for name in ("flat", "truth", "bound")]
    for yardstick in yardsticks:
        assert all(yardstick.css != s.css and yardstick.marker != s.marker for s in styles.values())
        assert all(yardstick.light != s.light for s in styles.values())


def test_the_first_four_looks_are_those_of_earlier_reports() -> None:
    looks = [(s.light, s.dark, s.marker, s.dash) for s in TEN_STYLES[:4]]
    assert looks == [
        ("#1f6feb", "#8fc4ff", "circle", ""),
        ("#0a5a3f", "#25a86b", "square", ""),
        ("#c07000", "#f0b429", "triangle", "6 3"),
        ("#b01f93", "#ea5fae", "diamond", "2 3"),
    ]


def test_a_look_follows_from_the_place_not_from_the_name() -> None:
    looks = [
        [(s.css, s.light, s.dark, s.marker, s.dash) for s in (method_styles(names)[n] for n in names)]
        for names in (["a", "b", "c"], ["c", "a", "b"])
    ]
    assert looks[0] == looks[1]


def test_the_report_uses_the_same_colours_light_dark_and_in_print() -> None:
    css = str(style_rules(method_styles(NAMES_OF_TEN)))
    always, on_dark_screens = css.split("@media screen and (prefers-color-scheme: dark)")
    for theme, block in (("light", always), ("dark", on_dark_screens)):
        found = dict(re.findall(r"\.(m-\w+) { --c: (#\w{6}); }", block))
        assert {style.css: getattr(style, theme) for style in TEN_STYLES}.items() <= found.items()
