"""CPU-seconds of the overlap metrics and of the selection by spacing, and how they grow with positions.

Run: ``OMP_NUM_THREADS=1 python -m fly64_assets_tests.benchmarks.bench_overlap``. Positions lie at random at 0.09 per
square pixel, D = 38.4 px and K = 6, so that each has 416 others within reach.
"""

import resource
import time

import numpy as np

from fly64_assets.science.views.overlap import overlap_metrics
from fly64_assets.science.views.sampling import select_by_spacing

DENSITY = 0.09
DIAMETER = 38.4


def main() -> None:
    """Print one line per number of positions."""
    for n in (5_000, 20_000, 100_000, 300_000, 1_000_000):
        rng = np.random.default_rng(0)
        positions = rng.random((n, 2)) * np.sqrt(n / DENSITY)
        start = time.process_time()
        overlap_metrics(positions, gridsize=1, n_groups=1, neighbor_count=6, probe_diameter_px=DIAMETER, rng=rng)
        metrics = time.process_time() - start
        start = time.process_time()
        kept = len(select_by_spacing(positions, 0.3 * DIAMETER, rng))
        selection = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{n:>9,} positions: metrics {metrics:6.2f} s ({1e6 * metrics / n:.1f} us each), "
            f"selection at overlap 0.7 {selection:5.2f} s (keeps {kept:,}), peak memory {peak:.2f} GiB"
        )


if __name__ == "__main__":
    main()
