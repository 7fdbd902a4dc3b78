import io

import numpy as np
import pytest
from PIL import Image

from fly64_assets.science.figures.drawing import centred_phase, new_figure, show_image, to_png


def _pixels(image: np.ndarray) -> np.ndarray:
    """The image as drawn on bare axes that fill the figure."""
    figure = new_figure(2.0, 1.0)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    show_image(axes, image, colour_map="gray", limits=(0.0, 1.0), labelled=False)
    return np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("L"))


def test_row_zero_is_drawn_at_the_top_and_column_zero_at_the_left() -> None:
    image = np.zeros((10, 20))
    image[:5, :10] = 1.0
    drawn = _pixels(image)
    height, width = drawn.shape
    quarters = {
        "upper left": drawn[height // 4, width // 4],
        "upper right": drawn[height // 4, 3 * width // 4],
        "lower left": drawn[3 * height // 4, width // 4],
    }
    assert quarters == {"upper left": 255, "upper right": 0, "lower left": 0}


def test_masked_and_non_finite_pixels_are_greyed_out() -> None:
    image = np.ones((10, 20))
    image[:, 15:] = np.nan
    drawn = _pixels(image)
    assert drawn[50, 50] == 255
    assert 200 < drawn[50, 190] < 255


def test_phase_near_pi_is_not_wrapped() -> None:
    phase = np.linspace(np.pi - 0.5, np.pi + 0.5, 50).reshape(5, 10)
    shown = centred_phase(np.exp(1j * phase))
    np.testing.assert_allclose(np.diff(shown.ravel()), np.diff(phase.ravel()), atol=1e-12)


def test_a_limit_that_cannot_be_met_is_said() -> None:
    figure = new_figure(3.0, 3.0)
    show_image(figure.subplots(), np.random.default_rng(0).random((200, 200)))
    with pytest.raises(ValueError, match="within 500 bytes"):
        to_png(figure, max_bytes=500)
