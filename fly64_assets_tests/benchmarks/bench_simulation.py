"""Patterns simulated per CPU-second, beside the bare FFT and Poisson draw of the same shapes.

Run: ``OMP_NUM_THREADS=1 python -m fly64_assets_tests.benchmarks.bench_simulation``. Both are timed in turns, because
other load on the machine changes the clock and the caches; the medians count.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.fft

from fly64_assets.science.options import DoseOptions, RasterPath, ScanOptions, SplitOptions
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Scan
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose

PATTERNS = 4096
TURNS = 7
BLOCK = 64


def simulate(scan: Scan, dose: float, folder: Path) -> tuple[float, float]:
    """CPU-seconds of a whole dose, files included, and its counts scale."""
    start = time.process_time()
    summary = simulate_dose(
        scan,
        dose,
        DoseOptions(),
        SplitOptions(),
        seed=1,
        paths={"train": folder / "train.npz", "test": folder / "test.npz"},
        parameter_hash="benchmark",
    )
    return time.process_time() - start, summary.counts_scale


def bare(exit_waves: np.ndarray, expected: np.ndarray) -> float:
    """CPU-seconds of the FFT and the Poisson draw alone, for as many patterns."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(PATTERNS // BLOCK):
        scipy.fft.fft2(exit_waves)
        rng.poisson(expected)
    return time.process_time() - start


def main() -> None:
    """Print one line per dose."""
    scan = make_scan(ScanOptions(positions=RasterPath(n_positions=PATTERNS, margin_px=1.5)))
    middle = slice(PATTERNS // 2, PATTERNS // 2 + BLOCK)
    patches = extract_patches(scan.object, scan.positions_xy_px[middle], scan.patch_size_px)
    exit_waves = patches * scan.probe[0]
    intensity = diffraction_intensity(patches, scan.probe).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        for dose in (1e3, 1e4, 1e5):
            full, plain = [], []
            for _ in range(TURNS):
                seconds, scale = simulate(scan, dose, Path(folder))
                full.append(seconds)
                plain.append(bare(exit_waves, intensity * scale**2))
            ours, theirs = statistics.median(full), statistics.median(plain)
            print(
                f"dose {dose:g}: {PATTERNS / ours:,.0f} patterns per CPU-second; bare FFT + Poisson "
                f"{PATTERNS / theirs:,.0f}; ratio {ours / theirs:.2f}"
            )


if __name__ == "__main__":
    main()
