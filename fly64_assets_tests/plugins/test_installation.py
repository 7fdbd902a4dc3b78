"""The example packages are small, are found by their entry points, and keep the rules of their sort."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fly64_assets.science.interop.ptychodus import write_product
from fly64_assets.science.records import Reconstruction
from fly64_assets_tests.plugins.installation import EXAMPLES, HERE, with_packages

MOST_LINES = 80


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = with_packages(site, dict(os.environ))
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_is_at_most_eighty_lines(name: str) -> None:
    files = [path for path in (HERE / name).iterdir() if path.is_file()]
    assert {path.name for path in files} == {"pyproject.toml", f"{name}.py"}
    assert sum(len(path.read_text().splitlines()) for path in files) <= MOST_LINES


def test_the_command_line_lists_them_with_their_packages(site: Path) -> None:
    result = run(site, "-m", "fly64_assets.cli", "methods", "--all")
    assert result.returncode == 0, result.stderr
    for name in EXAMPLES:
        assert name in result.stdout
        assert name.replace("_", "-") in result.stdout
    options = run(site, "-m", "fly64_assets.cli", "methods", "example_gradient").stdout
    assert "iterations" in options
    assert "Looks at the data." in options


def test_without_them_nobody_knows_them(site: Path) -> None:
    command = [sys.executable, "-m", "fly64_assets.cli", "methods", "--all"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0
    assert not [name for name in EXAMPLES if name in result.stdout]


@pytest.mark.slow
def test_the_method_keeps_every_rule(site: Path) -> None:
    result = run(site, "-m", "fly64_assets.conformance", "example_gradient", "--options", '{"iterations": 3}')
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_metric_is_closed_form(installed: Path) -> None:
    from example_metric import EXAMPLE_METRIC  # pyright: ignore[reportMissingImports]

    truth = np.exp(1j * np.linspace(-3, 3, 200)).reshape(10, 20)
    mask = np.ones(truth.shape, bool)
    mask[0] = False
    assert EXAMPLE_METRIC.direction == "lower"
    assert EXAMPLE_METRIC.compute(truth * np.exp(0.25j), truth, mask) == pytest.approx(0.25)
    assert EXAMPLE_METRIC.compute(-truth, truth, mask) == pytest.approx(np.pi)
    wrong = truth.copy()
    wrong[0] *= 1j  # not scored
    assert EXAMPLE_METRIC.compute(wrong, truth, mask) == pytest.approx(0, abs=1e-12)


def test_the_format_is_written_by_its_ending(site: Path, tmp_path: Path) -> None:
    image = (np.arange(30).reshape(5, 6) * np.exp(0.1j)).astype(np.complex64)
    probe, positions = np.ones((1, 4, 4), np.complex64), np.array([[2.0, 2.0], [3.0, 2.0]])
    write_product(tmp_path / "product.h5", Reconstruction(image, probe, positions, "made_up", 1.0))
    arguments = ("export", str(tmp_path / "product.h5"), str(tmp_path / "object.npy"))
    result = run(site, "-m", "fly64_assets.cli", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "object.npy"), image)
