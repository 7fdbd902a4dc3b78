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

import numpy as np
import torch

from fly64_assets.science.contract import DatasetWriter, read_dataset
from fly64_assets.science.methods.pty_chi import reconstruct_with_pty_chi
from fly64_assets.science.networks.data_module import CanvasBatches, GroupDataModule
from fly64_assets.science.networks.inference import reconstruct_with_network
from fly64_assets.science.networks.training import TrainingJob, train_network
from fly64_assets.science.options import (
    DoseOptions,
    MixedObject,
    PtyChiOptions,
    PupilProbe,
    RasterPath,
    RefineOptions,
    ScanOptions,
    SplitOptions,
    TrainingOptions,
    ViewOptions,
)
from fly64_assets.science.physics.dose import BLOCK_PATTERNS
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.torch_runtime import limit_threads
from fly64_assets.science.views.view import make_view

VIEWS = {
    "baseline": ViewOptions(gridsize=1, network="supervised"),
    "dense": ViewOptions(overlap=0.7),
    "sparse": ViewOptions(overlap=0.2),
}
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
    truth = dataset.object_patches if VIEWS[view].network == "supervised" else None
    job = TrainingJob(dataset.measurement, truth, VIEWS[view], OPTIONS, 1, files.folder / "unused", {})
    data = GroupDataModule(dataset.measurement, job.layouts(), OPTIONS, 1, truth)
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
    short = OPTIONS.model_copy(update={"epochs": 1, "groups_per_epoch": 16})
    for view, options in VIEWS.items():
        work = files.folder / f"work_{view}"
        trained = train_network(
            files.path(view, "train"), view=options, training=short, seed=1, work_dir=work, provenance={"dose": 1e3}
        )
        shown = "dense" if view == "baseline" else view
        measurement = read_dataset(files.path(shown, "test")).measurement
        method = "baseline" if view == "baseline" else "pinn"
        n = len(measurement.positions_xy_px)
        seconds = min(
            reconstruct_with_network(trained.bundle_path, measurement, method=method).cpu_seconds for _ in range(3)
        )
        print(f"inference {method} on {shown:6}: {n / seconds:6.0f} patterns/CPU-s ({n} patterns), goal 500 (pinn)")
        if view == "baseline":
            continue
        refined = reconstruct_with_network(
            trained.bundle_path, measurement, method="pinn_refined", refine=RefineOptions()
        ).cpu_seconds
        print(f"          with 20 refining passes: {refined:.2f} s")
        if lsqml:
            cost = reconstruct_with_pty_chi(measurement, PtyChiOptions(epochs=100), seed=1).cpu_seconds
            ratios = f"{cost / seconds:.0f} x pinn (goal 50), {cost / refined:.0f} x refined"
            print(f"          LSQML, 100 epochs: {cost:.1f} s = {ratios}")


def report_memory(folder: Path, patterns: int, groups: int | None) -> None:
    """Train one epoch on a view of many patterns and print the growth of anonymous memory."""
    path = folder / "huge.npz"
    write_huge(path, patterns)
    size = path.stat().st_size / 2**30
    print(f"{patterns} patterns, file of {size:.2f} GiB; anonymous {anonymous_mib():.0f} MiB before")
    peaks = [0.0]
    options = OPTIONS.model_copy(update={"epochs": 1, "groups_per_epoch": groups})
    started = time.process_time()
    trained = train_network(
        path,
        view=VIEWS["dense"],
        training=options,
        seed=1,
        work_dir=folder / "huge",
        provenance={"dose": 1e3},
        progress=lambda _: peaks.append(max(peaks[-1], anonymous_mib())),
    )
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
