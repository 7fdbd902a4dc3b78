import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab

import fly64_assets.science.report as report
from fly64_assets.science.palette import METHOD_STYLES
from fly64_assets.science.records import METHODS

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
def test_methods_keep_apart_in_every_kind_of_vision(vision: str, theme: str) -> None:
    colours = [_seen(getattr(METHOD_STYLES[m], theme), vision) for m in METHODS]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 20


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#11151c")])
def test_method_names_are_readable_as_text(theme: str, page: str) -> None:
    for method in METHODS:
        assert _contrast(getattr(METHOD_STYLES[method], theme), page) >= 3.6, method


def test_markers_and_dashes_differ_too() -> None:
    assert len({METHOD_STYLES[m].marker for m in METHODS}) == len(METHODS)


def test_the_report_uses_the_same_colours() -> None:
    css = (Path(report.__file__).parent / "templates" / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark, printed = (dict(re.findall(r"--m-(\w+): (#\w{6})", block)) for block in blocks)
    for method in METHODS:
        style = METHOD_STYLES[method]
        assert (light[method], dark[method], printed[method]) == (style.light, style.dark, style.light)
