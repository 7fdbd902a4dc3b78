"""The command line: help with an example everywhere, clear one-line errors, conversions that overwrite nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fly64_assets.science.options import DoseOptions, SplitOptions
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.study import load_study
from fly64_assets_tests.cli.in_process import fly64

COMMANDS = ("study", "verify", "validate", "import", "export", "inspect", "methods", "environment", "bench")
TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    study = load_study(str(TINY))
    paths = {split: folder / f"{split}.npz" for split in ("train", "test")}
    scan = make_scan(study.scan)
    simulate_dose(scan, 1000.0, DoseOptions(), SplitOptions(), seed=1, paths=paths, parameter_hash="0" * 64)
    return paths["train"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = fly64(command, "--help")
    assert result.returncode == 0
    assert "Example: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "--study", "nothing"), "no study 'nothing'"),
        (("study", "--study", str(TINY), "--doses", "7"), "doses 7 are not in study 'tiny'"),
        (("study", "--study", str(TINY), "--doses", "many"), "expects numbers"),
        (("study", "--study", str(TINY), "--views", "denser"), "views denser are not in study 'tiny'"),
        (("study", "--study", str(TINY), "--accelerator", "tpu"), "should be 'auto', 'cpu' or 'gpu', got 'tpu'"),
        (("inspect", "/nonexistent.zip"), "/nonexistent.zip"),
        (("import", "/nonexistent.npz", "/tmp/never.npz"), "there is no file /nonexistent.npz"),
        (("export", "/nonexistent.npz", "/tmp/never.h5"), "there is no file /nonexistent.npz"),
    ],
)
def test_a_refused_request_is_one_clear_line_and_no_traceback(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    result = fly64(*arguments, FLY64_DATA_ROOT=str(tmp_path / "root"))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def older_root(tmp_path: Path) -> Path:
    root = tmp_path / "older"
    (root / "dagster").mkdir(parents=True)
    (root / ".study").write_text("tiny\n")
    return root


@pytest.mark.parametrize("arguments", [("study",), ("study", "--dry-run"), ("verify",), ("environment",)])
def test_a_data_root_of_an_older_version_is_refused_in_one_line(arguments: tuple[str, ...], older_root: Path) -> None:
    result = fly64(*arguments, "--study", str(TINY), FLY64_DATA_ROOT=str(older_root))
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"fly64: {older_root} was made by another version of fly64_assets")
    assert "name another folder in FLY64_DATA_ROOT, or remove this one" in line


@pytest.mark.parametrize("named", ["FLY64_DATA_ROOT", "DAGSTER_HOME"])
def test_dagster_too_refuses_it_without_a_traceback(named: str, older_root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    roots = {"FLY64_DATA_ROOT": str(elsewhere), "DAGSTER_HOME": str(elsewhere)}
    roots[named] = str(older_root / ("dagster" if named == "DAGSTER_HOME" else ""))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLY64_", "DAGSTER_"))}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "fly64_assets.definitions"]
    result = subprocess.run(
        [*command, "--select", "scan"],
        env={**kept, **roots, "FLY64_STUDY": str(TINY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: {older_root} was made by another version of fly64_assets")
    assert "Traceback" not in result.stderr


def test_validate_judges_a_dataset(dataset: Path, tmp_path: Path) -> None:
    assert "follows DATA-001" in fly64("validate", str(dataset)).stdout
    broken = tmp_path / "broken.npz"
    np.savez(broken, diffraction=np.ones((2, 8, 8)))
    result = fly64("validate", str(broken))
    assert result.returncode == 1
    assert "expected" in result.stdout


@pytest.mark.parametrize("ending", [".h5", ".cxi"])
def test_a_dataset_goes_out_and_comes_back(dataset: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"scan{ending}"
    written = fly64("export", str(dataset), str(out))
    assert written.returncode == 0, written.stderr
    extra = ("--diffraction", str(tmp_path / "scan_diffraction.h5")) if ending == ".h5" else ()
    back = tmp_path / "back.npz"
    read = fly64("import", str(out), str(back), *extra)
    assert read.returncode == 0, read.stderr
    with np.load(dataset) as before, np.load(back) as after:
        np.testing.assert_allclose(after["xcoords"], before["xcoords"], atol=1e-6)
        np.testing.assert_allclose(after["probeGuess"], before["probeGuess"], rtol=1e-6)
    assert fly64("validate", str(back)).returncode == 0


def test_nothing_is_overwritten_and_nothing_half_written_is_left(dataset: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.h5"
    taken.write_text("mine")
    result = fly64("export", str(dataset), str(taken))
    assert result.returncode == 1
    assert "is not overwritten" in result.stderr
    assert taken.read_text() == "mine"
    garbage = tmp_path / "garbage.npz"
    garbage.write_bytes(b"not an archive")
    assert fly64("import", str(garbage), str(tmp_path / "out.npz")).returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["garbage.npz", "taken.h5"]
