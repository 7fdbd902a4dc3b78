"""CPU seconds and peak memory of scoring one cell, apart from and with bound and bootstrap.

Run: ``python -m fly64_assets_tests.benchmarks.bench_scoring [positions ...]`` (default 10304, the size of a
whole fly64 cell, and a quarter of it). Each line is measured in a process of its own.
"""

import os
import resource
import subprocess
import sys
import time

import numpy as np

from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Dataset, Measurement, Reconstruction, Scan
from fly64_assets_tests.benchmarks.known_scan import known_object, known_probe

_DOSE = 1e4
_METHODS = 4


def build(positions: int) -> tuple[dict[str, Reconstruction], Dataset, Scan]:
    """A cell with four noisy reconstructions."""
    rng = np.random.default_rng(0)
    truth, probe = known_object(), known_probe()
    xy = rng.uniform(33.5, 198.5, (positions, 2))
    scale, amplitude = float(np.sqrt(_DOSE)), np.empty((positions, 64, 64), np.float32)
    for first in range(0, positions, 256):
        expected = scale**2 * diffraction_intensity(extract_patches(truth, xy[first : first + 256], 64), probe)
        amplitude[first : first + 256] = np.sqrt(rng.poisson(expected)) / scale
    measurement = Measurement(amplitude, scale, probe, xy, truth.shape)
    found = {}
    for method in map(str, range(_METHODS)):
        noise = 0.05 * (rng.standard_normal(truth.shape) + 1j * rng.standard_normal(truth.shape))
        found[method] = Reconstruction((truth + noise).astype(np.complex64), probe, xy, method, scale)
    order = np.arange(positions)
    return found, Dataset(measurement, truth, None, order, {}), Scan(truth, probe, xy, order)


def measure(positions: int, options: ScoringOptions) -> str:
    """One line: what one scoring costs beyond holding the data."""
    found, dataset, scan = build(positions)
    score_cell(found, *build(16)[1:], ScoringOptions(bound_patches=0), **_LABELS)  # imports and plans
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    score_cell(found, dataset, scan, options, **_LABELS)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"{positions:6d} positions, bootstrap {options.bootstrap_samples:3d}, bound windows {options.bound_patches}: "
        f"{seconds:6.2f} CPU-s ({positions / seconds:6.0f} positions per CPU-s), peak memory {peak / 2**20:.2f} GiB "
        f"(+{(peak - before) / 2**10:.0f} MiB over the data)"
    )


_LABELS = {"dose": _DOSE, "view": "dense", "split": "train", "seed": 1, "rng": np.random.default_rng(0)}


def main() -> None:
    """Measure each size in a fresh process."""
    if len(sys.argv) == 4 and sys.argv[1] == "--one":
        bootstrap, bound = (200, 4) if sys.argv[3] == "full" else (0, 0)
        print(measure(int(sys.argv[2]), ScoringOptions(bootstrap_samples=bootstrap, bound_patches=bound)))
        return
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for positions in sys.argv[1:] or ["2576", "10304"]:
        for kind in ("bare", "full"):
            command = [sys.executable, "-m", "fly64_assets_tests.benchmarks.bench_scoring", "--one", positions, kind]
            subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
