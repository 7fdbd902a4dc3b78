"""What pty-chi costs through us and bare, and what it reaches on a scan whose scores are known.

Run: ``python -m fly64_assets_tests.benchmarks.bench_pty_chi cost``      CPU and peak memory beside a bare run
     ``... quality [scan ...]``   phase SSIM beside the known ones; fine takes two CPU-minutes a dose
     ``... settings [scan ...]``  phase SSIM of other settings at a fixed number of pattern visits
     ``... defaults [kind]``      phase SSIM at half time and at the end of every algorithm with its defaults, on
                                  quick's dense and sparse view at three doses; or on another kind of object
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage.metrics import structural_similarity

from fly64_assets.science.methods.pty_chi import PTY_CHI, PtyChiOptions
from fly64_assets.science.methods.pty_chi_options import DEFAULTS
from fly64_assets.science.methods.record import Estimate, Given
from fly64_assets.science.metrics.alignment import align
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets.science.records import Measurement
from fly64_assets.study import load_study
from fly64_assets_tests.benchmarks import known_scan
from fly64_assets_tests.science.methods import quick_cell

KNOWN_SSIM = {
    "fine": {1e3: 0.53, 1e4: 0.78, 1e5: 0.91},
    "coarse": {1e3: 0.18, 1e4: 0.63, 1e5: 0.85},
    "sparse": {1e3: 0.10, 1e5: 0.65},
    "isolated": {1e3: 0.004, 1e5: 0.16},
}
"""LSQML, 120 epochs of COMPACT batches of 128, momentum 0.5, Gaussian noise model, known probe, flat start."""

LARGEST_FALL = 0.02
"""By how much the phase SSIM may be lower at the end than at half time."""

KNOWN_OPTIONS = PtyChiOptions(epochs=120, batch_size=128, batching="compact", momentum=0.5)

_MARGIN = slice(32, -32)

_BARE = """
import resource, sys, time
import numpy as np
from fly64_assets.science.torch_runtime import require_torch
require_torch().set_num_threads(1)
import ptychi.api as api
from ptychi.api.task import PtychographyTask
data = np.load(sys.argv[1])
options = api.LSQMLOptions()
solver = options.reconstructor_options
solver.num_epochs, solver.batch_size, solver.batching_mode = int(sys.argv[2]), 128, api.BatchingModes.COMPACT
solver.momentum_acceleration_gain, solver.rescale_probe_intensity_in_first_epoch = 0.5, False
solver.default_device = api.Devices.CPU
options.object_options.determine_position_origin_coords_by = api.ObjectPosOriginCoordsMethods.SPECIFIED
options.object_options.position_origin_coords = [31.5, 31.5]
options.object_options.remove_object_probe_ambiguity.enabled = False
options.probe_options.optimizable = False
start = time.process_time()
task = PtychographyTask(
    options, diffraction_data=data["counts"], object_data=np.ones((1, 232, 232), np.complex64),
    probe_data=data["probe"][None],
    probe_position_x_px=data["xy"][:, 0] - 32, probe_position_y_px=data["xy"][:, 1] - 32,
)
task.run()
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def result(measurement: Measurement, options: PtyChiOptions, seed: int = 1) -> Estimate:
    """What a run ends with."""
    *_, found = PTY_CHI.reconstruct(measurement, options, Given(seed))
    return found


def phase_ssim(scan: str, dose: float, options: PtyChiOptions, *, seed: int = 1) -> tuple[float, float]:
    """Phase SSIM of the aligned reconstruction 32 px inside the grid, and the CPU seconds that it took."""
    measurement, truth = known_scan.known_measurement(scan, dose), known_scan.known_object()
    found = result(measurement, options, seed)
    region = illuminated_region(measurement.probe, measurement.positions_xy_px, truth.shape, 0.1)
    aligned, _ = align(found.object, truth, region, max_shift_px=8.0)
    image, reference = (np.angle(each)[_MARGIN, _MARGIN] for each in (aligned, truth))
    similarity = structural_similarity(image, reference, data_range=float(np.ptp(reference)))
    return float(similarity), found.cpu_seconds


def quality(scans: list[str]) -> None:
    """Print the phase SSIM beside the known ones."""
    for scan in scans:
        for dose, known in KNOWN_SSIM[scan].items():
            reached, seconds = phase_ssim(scan, dose, KNOWN_OPTIONS)
            verdict = "reached" if reached > known - 0.05 else "MISSED"
            print(
                f"{scan:8s} {dose:8g}: SSIM {reached:.3f}, known {known:.3f}, {verdict}; {seconds:.0f} CPU-s",
                flush=True,
            )


def settings(scans: list[str]) -> None:
    """Print the phase SSIM of other settings."""
    for scan in scans:
        for dose in (1e3, 1e4, 1e5):
            for label, change in TRIALS.items():
                options = PtyChiOptions.model_validate({"epochs": 120, **change})
                reached, seconds = phase_ssim(scan, dose, options)
                print(f"{scan:8s} {dose:8g} {label:32s} SSIM {reached:.3f}; {seconds:.0f} CPU-s", flush=True)


TRIALS = {
    "as known": {},
    "one batch, compact": {"batch_size": 4096},
    "one batch, momentum 0.8": {"batch_size": 4096, "momentum": 0.8},
    "compact 32": {"batch_size": 32},
    "uniform 32": {"batching": "uniform", "batch_size": 32},
    "rPIE": {"algorithm": "rPIE"},
    "ePIE": {"algorithm": "ePIE"},
    "poisson": {"noise_model": "poisson"},
}


def defaults(kinds: list[str]) -> None:
    """Print the table over algorithms, views and doses that :data:`DEFAULTS` answers for."""
    scan = load_study("quick").scan
    if kinds:  # a tuning object: other options are never chosen on quick itself
        scan = scan.model_copy(update={"seed": 101, "object": scan.object.model_copy(update={"kind": kinds[0]})})
    print("algorithm view       dose   flat   half    end  CPU-s  verdict", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for view in ("sparse", "dense"):
            for dose in (1e3, 1e4, 1e5):
                cell = quick_cell.quick_cell(Path(name), dose, view, scan)
                for algorithm in DEFAULTS:
                    found = list(PTY_CHI.reconstruct(cell.measurement, PtyChiOptions(algorithm=algorithm), Given(1)))
                    middle = min(found, key=lambda each: abs(each.step - found[-1].step / 2))
                    flat, half, end = (
                        quick_cell.phase_ssim(each.object, cell) for each in (found[0], middle, found[-1])
                    )
                    safe = np.isfinite(found[-1].object).all() and end > flat and end > half - LARGEST_FALL
                    print(
                        f"{algorithm:9s} {view:6s} {dose:8g} {flat:6.3f} {half:6.3f} {end:6.3f} "
                        f"{found[-1].cpu_seconds:6.1f}  {'safe' if safe else 'NOT SAFE'}",
                        flush=True,
                    )


def cost() -> None:
    """Print CPU and memory of the same run through us and bare."""
    scan, epochs = "fine", 10
    measurement = known_scan.known_measurement(scan, 1e4)
    patterns = len(measurement.amplitude)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "data.npz"
        probe = measurement.probe * np.float32(measurement.counts_scale / known_scan.SIZE_PX)
        np.savez(path, counts=measurement.counts(), probe=probe, xy=measurement.positions_xy_px)
        start = time.perf_counter()
        found = result(measurement, KNOWN_OPTIONS.model_copy(update={"epochs": epochs}))
        wall = time.perf_counter() - start
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # no other child has run yet
        report("through us", patterns * epochs, found.cpu_seconds, peak_kib, wall)
        command = [sys.executable, "-c", _BARE, str(path), str(epochs)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        bare = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        seconds, peak_kib = (float(word) for word in bare.stdout.split()[-2:])
        report("bare pty-chi", patterns * epochs, seconds, peak_kib)


def report(label: str, visits: int, seconds: float, peak_kib: float, wall_s: float | None = None) -> None:
    """One line of the cost table."""
    wall = f", {wall_s:.1f} s wall with imports" if wall_s else ""
    print(
        f"{label:14s} {seconds:6.2f} CPU-s, {visits / seconds:5.0f} patterns x epochs per CPU-s, "
        f"peak {peak_kib / 1024:.0f} MiB{wall}",
        flush=True,
    )


def main() -> None:
    """Dispatch."""
    what, given = (sys.argv[1] if len(sys.argv) > 1 else "cost"), sys.argv[2:]
    scans = given or ["coarse"]
    commands = {
        "cost": cost,
        "quality": lambda: quality(scans),
        "settings": lambda: settings(scans),
        "defaults": lambda: defaults(given),
    }
    commands[what]()


if __name__ == "__main__":
    main()
