import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fly64_assets.science.records import Reconstruction
from fly64_assets_tests.science.small_scan import simulate, small_scan


@pytest.fixture(scope="session")
def dataset_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("interop")
    simulate(small_scan(), folder, 1e4)
    return folder / "train.npz"


@pytest.fixture
def reconstruction() -> Reconstruction:
    """Non-square, two modes, positions anywhere: nothing hides."""
    generator = np.random.default_rng(0)

    def noise(*shape):
        return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)

    return Reconstruction(
        object=noise(120, 84),
        probe=noise(2, 32, 32),
        positions_xy_px=16 + generator.random((50, 2)) * (52, 88),
        method="pinn",
        counts_scale=123.456,
        loss_epochs=(1, 2, 5),
        loss_values=(0.5, 0.25, 0.1),
        cpu_seconds=3.25,
        pixel_size_m=7.3e-9,
        photon_energy_ev=8_800.0,
        detector_distance_m=1.9,
        comments="a comment",
    )


@pytest.fixture(scope="session")
def ptychodus_path() -> Path:
    """Folder of ptychodus 1.7.0 by itself: its readers need only packages that are installed here anyway."""
    folder = Path(tempfile.gettempdir()) / "fly64_tests_ptychodus_1.7.0"
    if not (folder / "ptychodus").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, "ptychodus==1.7.0"], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"ptychodus 1.7.0 cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder


@pytest.fixture(scope="session")
def run_ptychodus(ptychodus_path):
    """Run code in a process that can import ptychodus."""

    def run(code, *arguments):
        script = f"import sys; sys.path.append({str(ptychodus_path)!r})\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
