"""Whether the error that `learned` predicts for each pixel is the error that it makes, on objects that it never saw.

    python -m fly64_assets_tests.benchmarks.bench_uncertainty --number 3

Pixels of all objects are pooled per view and dose, and put into ten bins of equal numbers by their predicted error. A
line has, bin by bin, the measured RMS error over the predicted one: of all kinds together, and of each kind.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.following import follow
from fly64_assets.science.methods.record import Given
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets.science.scan import make_scan
from fly64_assets.study import Study
from fly64_assets_tests.benchmarks.bench_replicates import KINDS, measured, replicated

METHOD, BINS = "learned", 10


def pixels(study: Study, scan, name: str, dose: float, view: str) -> np.ndarray:
    """Predicted error and measured squared error of the lit pixels of one object, ``(2, n)``."""
    entry = study.methods[METHOD]
    with tempfile.TemporaryDirectory() as folder:
        ((_, out),) = measured(study, scan, name, dose, [view], Path(folder))
        dataset = read_dataset(out)
        given = Given(1, bundle=entry.record.bundle_of(entry.options))
        result = follow(entry.record, dataset.measurement, entry.options, given, method=METHOD, keep_trace=False).result
        at, truth = dataset.measurement, np.array(dataset.object)
        threshold = study.scoring.illumination_threshold
        region = illuminated_region(at.probe, at.positions_xy_px, at.object_shape, threshold)
    lit = region.mask & np.isfinite(result.error)
    estimate = result.object[lit]
    turned = estimate * np.exp(1j * np.angle(np.vdot(estimate, truth[lit])))
    return np.stack([result.error[lit], np.abs(turned - truth[lit]) ** 2])


def ratios(found: np.ndarray, edges: np.ndarray) -> Iterator[float]:
    """Measured over predicted RMS error of each bin."""
    for low, high in itertools.pairwise(edges):
        inside = (found[0] >= low) & (found[0] <= high)
        yield float(np.sqrt(found[1][inside].mean() / (found[0][inside] ** 2).mean())) if inside.any() else float("nan")


def main() -> None:
    """Run all cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default=str(Path(__file__).with_name("learned.yaml")), help="name or path")
    parser.add_argument("--number", type=int, default=3, help="objects of each kind")
    arguments = parser.parse_args()
    study = replicated(arguments.study, KINDS, arguments.number)
    scan = make_scan(study.scan)
    for view in study.views:
        for dose in study.doses:
            by_kind: dict[str, list[np.ndarray]] = {}
            for name in study.scan.samples:
                by_kind.setdefault(name.rpartition("_")[0], []).append(pixels(study, scan, name, dose, view))
            pooled = {kind: np.concatenate(parts, axis=1) for kind, parts in by_kind.items()}
            everything = np.concatenate(list(pooled.values()), axis=1)
            edges = np.quantile(everything[0], np.linspace(0, 1, BINS + 1))
            for kind, found in {"all": everything, **pooled}.items():
                said = " ".join(f"{ratio:.2f}" for ratio in ratios(found, edges))
                print(f"{view:7} {dose:>7g} {kind:14} {said}", flush=True)


if __name__ == "__main__":
    main()
