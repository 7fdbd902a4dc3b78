"""Anonymous memory of simulating and viewing a long scan; mapped file pages, which the kernel may drop, apart.

Run: ``OMP_NUM_THREADS=1 python -m fly64_assets_tests.benchmarks.bench_memory [patterns ...]``. Each number of patterns
has a process of its own, so that their peaks do not mix. Files are written to the temporary folder.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from fly64_assets.science.contract import validate_dataset
from fly64_assets.science.options import (
    DoseOptions,
    MixedObject,
    RasterPath,
    ScanOptions,
    SplitOptions,
    ViewOptions,
)
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view

STEP_PX = 3.3
"""About 0.09 positions per square pixel."""


def anonymous_bytes() -> int:
    """Anonymous resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    message = "no RssAnon in /proc/self/status"
    raise RuntimeError(message)


class Watch:
    """Highest anonymous memory seen while it ran, sampled often."""

    def __enter__(self) -> "Watch":
        self.peak, self._running = anonymous_bytes(), True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._running:
            self.peak = max(self.peak, anonymous_bytes())
            time.sleep(0.005)

    def __exit__(self, *error: object) -> None:
        self._running = False
        self._thread.join()


def measure(n: int, folder: Path) -> None:
    """Simulate, view and validate a scan of n positions; print peaks and times."""
    side = int(np.sqrt(n) * STEP_PX) + 64
    scan = make_scan(ScanOptions(object=MixedObject(shape_px=(side, side)), positions=RasterPath(n_positions=n)))
    paths = {"train": folder / "train.npz", "test": folder / "test.npz"}
    steps = {
        "simulate": lambda: simulate_dose(
            scan, 1e3, DoseOptions(), SplitOptions(), seed=1, paths=paths, parameter_hash=""
        ),
        "view all": lambda: _view(paths["train"], folder, ViewOptions(gridsize=1)),
        "view by spacing": lambda: _view(paths["train"], folder, ViewOptions(overlap=0.7)),
        "validate": lambda: validate_dataset(paths["train"]),
    }
    for name, step in steps.items():
        start = time.process_time()
        with Watch() as watch:
            step()
        seconds = time.process_time() - start
        print(f"{n:>9,} positions, {name:>16}: {watch.peak / 2**30:.2f} GiB anonymous, {seconds:.1f} CPU-s", flush=True)


def _view(source: Path, folder: Path, options: ViewOptions) -> None:
    make_view(
        source, options, view_name="bench", split="train", out=folder / "view.npz", rng=np.random.default_rng(0),
        parameter_hash="",
    )  # fmt: skip


def main() -> None:
    """Measure the numbers of patterns given, or 20,000 and 200,000."""
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            measure(int(sys.argv[2]), Path(folder))
        return
    for n in sys.argv[1:] or ["20000", "200000"]:
        subprocess.run([sys.executable, "-m", "fly64_assets_tests.benchmarks.bench_memory", "--one", n], check=True)


if __name__ == "__main__":
    main()
