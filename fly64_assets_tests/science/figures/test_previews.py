import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from fly64_assets.science import figures
from fly64_assets.science.figures.drawing import PREVIEW_MAX_BYTES
from fly64_assets_tests.science.figures.scenes import made_up_dataset, made_up_reconstruction, made_up_scan

SCAN = made_up_scan()
KEPT = {"train": SCAN.positions_xy_px[:20:2], "test": SCAN.positions_xy_px[-20:]}
LSQML_LOSSES = [{"epoch": 1, "loss": 4e5}, {"epoch": 2, "loss": 2.3}, {"epoch": 3, "loss": 0.8}]
PREVIEWS = {
    "scan": lambda: figures.scan_preview(SCAN),
    "scan, two modes": lambda: figures.scan_preview(made_up_scan(modes=2)),
    "dataset": lambda: figures.dataset_preview(made_up_dataset()),
    "dataset of one pattern": lambda: figures.dataset_preview(made_up_dataset(1)),
    "view": lambda: figures.view_preview(SCAN.object, SCAN.positions_xy_px, KEPT, 12.0),
    "view that keeps nothing": lambda: figures.view_preview(
        SCAN.object, SCAN.positions_xy_px, {"train": np.zeros((0, 2)), "test": np.zeros((0, 2))}, 12.0
    ),
    "loss": lambda: figures.loss_curve(
        [{"epoch": 1, "train_loss": 2.0, "validation_loss": 2.5}, {"epoch": 2, "train_loss": 1.0}]
    ),
    "loss of an iterative reconstruction": lambda: figures.loss_curve(LSQML_LOSSES),
    "no loss": lambda: figures.loss_curve([]),
    "loss gone wrong": lambda: figures.loss_curve([{"epoch": 1, "train_loss": float("nan")}]),
    "reconstructions": lambda: figures.reconstruction_preview(
        {m: made_up_reconstruction(m) for m in ("pinn", "pty_chi")}
    ),
    "twelve reconstructions": lambda: figures.reconstruction_preview(
        {f"m{i}": made_up_reconstruction("any") for i in range(12)}
    ),
    "no reconstruction": lambda: figures.reconstruction_preview({}),
}


@pytest.mark.parametrize("name", PREVIEWS)
def test_preview_is_a_small_png(name: str) -> None:
    png = PREVIEWS[name]()
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert len(png) <= PREVIEW_MAX_BYTES
    assert min(image.size) > 150, "readable"
    assert len(image.convert("RGB").getcolors(1 << 24)) > 2, "not blank"


def test_loss_curve_shows_the_losses_that_it_is_given() -> None:
    other = [*LSQML_LOSSES[:2], {"epoch": 3, "loss": 90.0}]
    assert figures.loss_curve(LSQML_LOSSES) != figures.loss_curve(other)


def test_preview_bytes_repeat() -> None:
    assert figures.scan_preview(SCAN) == figures.scan_preview(SCAN)


def test_view_preview_shows_which_positions_are_kept() -> None:
    fewer = {**KEPT, "train": KEPT["train"][:3]}
    assert figures.view_preview(SCAN.object, SCAN.positions_xy_px, KEPT, 12.0) != figures.view_preview(
        SCAN.object, SCAN.positions_xy_px, fewer, 12.0
    )


def test_a_predicted_error_stands_below_phase_and_amplitude() -> None:
    plain = made_up_reconstruction("any")
    error = np.full(plain.object.shape, np.inf, np.float32)
    error[20:-20, 20:-20] = 0.1
    predicted = dataclasses.replace(plain, error=error)
    two, three = (
        Image.open(io.BytesIO(figures.reconstruction_preview(shown)))
        for shown in ({"a": plain, "b": plain}, {"a": plain, "b": predicted})
    )
    assert three.size[1] / three.size[0] == pytest.approx(1.5 * two.size[1] / two.size[0], rel=0.02)


def test_many_reconstructions_stand_in_rows_of_five() -> None:
    five, twelve = (
        Image.open(
            io.BytesIO(figures.reconstruction_preview({f"m{i}": made_up_reconstruction("any") for i in range(n)}))
        )
        for n in (5, 12)
    )
    assert twelve.size[1] / twelve.size[0] == pytest.approx(3 * five.size[1] / five.size[0], rel=0.02)
