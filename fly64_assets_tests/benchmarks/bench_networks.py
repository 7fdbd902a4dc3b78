"""Throughput of training and inference, what a reconstruction costs beside LSQML, and memory on a huge view.

    python -m fly64_assets_tests.benchmarks.bench_networks                 # throughput, one thread
    python -m fly64_assets_tests.benchmarks.bench_networks --lsqml         # also 100 epochs of LSQML (a minute)
    python -m fly64_assets_tests.benchmarks.bench_networks --patterns 100000   # anonymous memory, one epoch

All times are CPU seconds of this process, imports and data simulation apart.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fly64_assets.science.contract import DatasetWriter, read_dataset
from fly64_assets.science.methods.record import METHOD_KINDS, Estimate, Given, TrainingResult, TrainingTask
from fly64_assets.science.networks.data_module import CanvasBatches
from fly64_assets.science.networks.training import TrainingJob
from fly64_assets.science.options import (
    DoseOptions,
    MixedObject,
    PupilProbe,
    RasterPath,
    ScanOptions,
    SplitOptions,
    TrainingOptions,
    ViewOptions,
)
from fly64_assets.science.physics.dose import BLOCK_PATTERNS
from fly64_assets.science.records import Measurement
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.torch_runtime import limit_threads
from fly64_assets.science.views.view import make_view

VIEWS = {
    "baseline": ViewOptions(gridsize=1),
    "dense": ViewOptions(overlap=0.7),
    "sparse": ViewOptions(overlap=0.2),
}
KINDS = {"baseline": "supervised", "dense": "unrolled", "sparse": "unrolled"}
"""What is trained on each view."""

SCAN = ScanOptions(
    object=MixedObject(shape_px=(372, 344)),
    probe=PupilProbe(defocus_rad=6.0, aberration_rad=0.3),
    positions=RasterPath(step_px=6.0, whole_pixels=True),
    seed=101,
)
OPTIONS = TrainingOptions(batch_size=16)
GOALS = {"baseline": 120, "dense": 55, "sparse": 40}
_STEPS = 8


@dataclass(frozen=True)
class Files:
    """Datasets of every view, by view and split."""

    folder: Path

    def path(self, view: str, split: str) -> Path:
        """Where a view's split lies."""
        return self.folder / f"{view}_{split}.npz"


def prepare(folder: Path) -> Files:
    """Simulate one dose and cut the views."""
    scan = make_scan(SCAN)
    paths = {split: folder / f"{split}.npz" for split in ("train", "test")}
    simulate_dose(scan, 1e3, DoseOptions(), SplitOptions(), seed=1, paths=paths, parameter_hash="0" * 64)
    files = Files(folder)
    for name, view in VIEWS.items():
        for split, path in paths.items():
            make_view(
                path,
                view,
                view_name=name,
                split=split,
                out=files.path(name, split),
                rng=np.random.default_rng(1),
                parameter_hash="0" * 64,
            )
    return files


def training_rate(files: Files, view: str, kind: int) -> tuple[float, float]:
    """Groups and patterns per CPU-second of whole optimizer steps, reading and thinning included; the median step.

    Args:
        files: datasets.
        view: which view.
        kind: 0 for batches of single groups, 1 for neighbourhoods.
    """
    dataset = read_dataset(files.path(view, "train"))
    truth = dataset.object_patches if METHOD_KINDS.get(KINDS[view]).learns_from == "truth" else None
    job = TrainingJob(dataset.measurement, truth, _task(files.path(view, "train"), view, files.folder), OPTIONS)
    data = job.batches(job.layouts())
    module = job.module(data.batches_per_epoch)
    optimizer = module.configure_optimizers()["optimizer"]
    entry = data.epoch_plan(0)[kind]
    batches = CanvasBatches(dataset.measurement, [entry] * (_STEPS + 2), (1, "bench"), truth)
    seconds = []
    for step in range(_STEPS + 2):  # the first two warm up
        started = time.process_time()
        batch = batches[step]
        optimizer.zero_grad()
        module.training_loss(batch)[0].backward()
        module.configure_gradient_clipping()
        optimizer.step()
        seconds.append(time.process_time() - started)
    rate = int(np.prod(batch.seen.shape[:2])) / float(np.median(seconds[2:]))
    return rate / VIEWS[view].gridsize ** 2, rate


def _task(path: Path, view: str, work_dir: Path, **more: Any) -> TrainingTask:
    return TrainingTask(path, VIEWS[view], seed=1, work_dir=work_dir, provenance={"dose": 1e3}, **more)


def _train(task: TrainingTask, view: str, **options: Any) -> TrainingResult:
    kind = METHOD_KINDS.get(KINDS[view])
    train = kind.train
    if train is None:
        raise TypeError(kind.name)
    return train(task, kind.options(**OPTIONS.model_dump() | options))


def reconstruct(kind: str, measurement: Measurement, given: Given, **options: Any) -> tuple[Estimate, float]:
    """A method's result and its CPU seconds, imports apart."""
    record = METHOD_KINDS.get(kind)
    estimates = record.reconstruct(measurement, record.options(**options), given)
    started = time.process_time()
    *_, found = estimates
    own = time.process_time() - started
    return found, own if found.cpu_seconds is None else found.cpu_seconds


def report_training(files: Files) -> None:
    """Print training rates."""
    for view, goal in GOALS.items():
        groups, patterns = training_rate(files, view, 0)
        print(f"training {view:9} 16 groups     : {groups:6.0f} groups/CPU-s ({patterns:5.0f} patterns), goal {goal}")
        if VIEWS[view].gridsize == 2:
            groups, patterns = training_rate(files, view, 1)
            print(f"training {view:9} neighbourhoods: {groups:6.0f} groups/CPU-s ({patterns:5.0f} patterns)")


def report_inference(files: Files, *, lsqml: bool) -> None:
    """Print inference rates, and the cost beside LSQML."""
    for view in VIEWS:
        task = _task(files.path(view, "train"), view, files.folder / f"work_{view}")
        trained = _train(task, view, epochs=1, groups_per_epoch=16)
        shown = "dense" if view == "baseline" else view
        measurement = read_dataset(files.path(shown, "test")).measurement
        given = Given(seed=1, bundle=trained.bundle_path)
        runs = [reconstruct(KINDS[view], measurement, given) for _ in range(3)]
        seconds = min(spent for _, spent in runs)
        n = len(measurement.positions_xy_px)
        print(f"{KINDS[view]} on {shown:6}: {n / seconds:6.0f} patterns/CPU-s ({n} patterns), goal 500 (unrolled)")
        if view == "baseline":
            continue
        start = Given(seed=1, start=runs[0][0].object, start_extended=runs[0][0].extended)
        refined = seconds + reconstruct("map", measurement, start)[1]
        print(f"          with map from there: {refined:.2f} s")
        if lsqml:
            cost = reconstruct("pty_chi", measurement, Given(seed=1), epochs=100)[1]
            ratios = f"{cost / seconds:.0f} x unrolled (goal 50), {cost / refined:.0f} x with map from there"
            print(f"          LSQML, 100 epochs: {cost:.1f} s = {ratios}")


def report_memory(folder: Path, patterns: int, groups: int | None) -> None:
    """Train one epoch on a view of many patterns and print the growth of anonymous memory."""
    path = folder / "huge.npz"
    write_huge(path, patterns)
    size = path.stat().st_size / 2**30
    print(f"{patterns} patterns, file of {size:.2f} GiB; anonymous {anonymous_mib():.0f} MiB before")
    peaks = [0.0]
    started = time.process_time()
    task = _task(path, "dense", folder / "huge", progress=lambda _: peaks.append(max(peaks[-1], anonymous_mib())))
    trained = _train(task, "dense", epochs=1, groups_per_epoch=groups)
    print(
        f"one epoch, {groups or 'all'} groups of {trained.patterns_trained_on} patterns: "
        f"peak anonymous memory {peaks[-1]:.0f} MiB, "
        f"{time.process_time() - started:.0f} CPU-s, goal 2048 MiB"
    )


def write_huge(path: Path, patterns: int) -> None:
    """A long raster whose patterns repeat: memory, not science, is measured."""
    scan = make_scan(SCAN)
    columns = 500
    index = np.arange(patterns)
    positions = np.stack([40.0 + 6 * (index % columns), 40.0 + 6 * (index // columns)], axis=1)
    shape = (int(positions[:, 1].max()) + 40, int(positions[:, 0].max()) + 40)
    counts = np.random.default_rng(0).poisson(0.25, (BLOCK_PATTERNS, 64, 64))
    scale = 31.6
    block = (np.sqrt(counts) / scale).astype(np.float32)
    with DatasetWriter(
        path,
        positions_xy_px=positions,
        scan_index=index,
        object=np.ones(shape, np.complex64),
        probe=scan.probe,
        with_object_patches=False,
        with_expected_photons=False,
    ) as writer:
        for first in range(0, patterns, BLOCK_PATTERNS):
            writer.append(block[: patterns - first])
        writer.finish({"counts_scale": scale})


def anonymous_mib() -> float:
    """Anonymous resident memory of this process; mapped files do not count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lsqml", action="store_true", help="also run 100 epochs of LSQML on both views")
    parser.add_argument("--patterns", type=int, help="measure memory on a view of this many patterns instead")
    parser.add_argument("--groups", type=int, help="with --patterns: groups of the epoch (default: all)")
    arguments = parser.parse_args()
    limit_threads(1)
    print(f"torch {torch.__version__}, 1 thread, CUDA {'present' if torch.cuda.is_available() else 'absent'}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.patterns:
            report_memory(folder, arguments.patterns, arguments.groups)
            return
        files = prepare(folder)
        report_training(files)
        report_inference(files, lsqml=arguments.lsqml)


if __name__ == "__main__":
    main()
