"""Bundles of a finished study applied to an object of another kind: how much is learned from the object seen.

    python -m fly64_assets_tests.benchmarks.bench_other_object --study reference --data-root data/reference

The scan keeps the study's probe and positions; the object is another one. All methods reconstruct and are scored on the
test split as in the study. Writes one CSV and prints phase SSIM, Pearson r and CPU-seconds, mean over seeds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.record import Estimate, Given
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.records import Reconstruction, Scan
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study import Study, dose_key, load_study
from fly64_assets.study.schema import OWN

_SHOWN = (("ssim", "phase"), ("psnr", "phase"), ("pearson", "phase"), ("frc50", "complex"), ("excess_nll", ""))


def reconstructions(
    study: Study, data_root: Path, path: Path, dose: float, view: str, seed: int
) -> dict[str, Reconstruction]:
    """What every method that runs on the view makes of a dataset, with the bundles of the study's cell.

    CPU seconds are those of the method and of what it starts from.
    """
    measurement = read_dataset(path).measurement
    last: dict[str, Estimate] = {}
    found: dict[str, Reconstruction] = {}
    for method in sorted(study.methods, key=lambda each: len(study.chain_of(each))):  # what others start from is first
        if study.skip_reason(method, view) is not None:
            continue
        entry = study.methods[method]
        bundle = _bundle(study, data_root, dose, method, view, seed) if entry.trainable else None
        given, spent = Given(seed=seed, bundle=bundle), 0.0
        if entry.starts_from is not None:
            start, spent = last[entry.starts_from], found[entry.starts_from].cpu_seconds
            given = Given(seed=seed, bundle=bundle, start=start.object, start_extended=start.extended)
        estimates = entry.record.reconstruct(measurement, entry.options, given)
        begun = time.process_time()
        *_, last[method] = estimates
        own = time.process_time() - begun
        told, probe = last[method].cpu_seconds, last[method].probe
        found[method] = Reconstruction(
            object=last[method].object,
            probe=measurement.probe if probe is None else probe,
            positions_xy_px=measurement.positions_xy_px,
            method=method,
            counts_scale=measurement.counts_scale,
            cpu_seconds=spent + (own if told is None else told),
        )
    return found


def _bundle(study: Study, data_root: Path, dose: float, method: str, view: str, seed: int) -> Path:
    trained_on = study.training_view(method, view)
    asset = "trained_bundle" if study.trains(trained_on) == method else f"training/{method}"
    folder = data_root / asset / f"dose_{dose_key(dose)}" / trained_on
    if len(study.seeds) > 1:
        folder /= f"seed_{seed}"
    return folder / f"gs{study.views[trained_on].gridsize}" / "wts.h5.zip"


def cell_table(study: Study, data_root: Path, folder: Path, dose: float, view: str, seed: int) -> pd.DataFrame:
    """Simulate one dose of the other object, cut the view's test split, reconstruct and score."""
    scan = make_scan(study.scan)
    paths = {split: folder / f"{split}_{dose:g}_{seed}.npz" for split in ("train", "test")}
    if not paths["test"].exists():
        simulate_dose(scan, dose, study.dose, study.split, seed=seed, paths=paths, parameter_hash="")
    out = folder / f"{view}_{dose:g}_{seed}.npz"
    rng = np.random.default_rng(seed)
    make_view(paths["test"], study.views[view], view_name=view, split="test", out=out, rng=rng, parameter_hash="")
    dataset = read_dataset(out)
    measurement = dataset.measurement
    found = reconstructions(study, data_root, out, dose, view, seed)
    scored = score_cell(
        found,
        dataset,
        Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index),
        study.scoring.model_copy(update={"bootstrap_samples": 0, "bound_patches": 0}),
        dose=dose,
        view=view,
        split="test",
        seed=seed,
        rng=np.random.default_rng(seed),
    )
    return scored.table.assign(cpu_seconds=scored.table["method"].map({m: r.cpu_seconds for m, r in found.items()}))


def main() -> None:
    """Run all cells of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="reference")
    parser.add_argument("--data-root", type=Path, required=True, help="of the finished study")
    parser.add_argument("--object", default="natural_image", help="kind of object")
    parser.add_argument("--seeds", type=int, default=1, help="how many of the study's seeds")
    parser.add_argument("--out", type=Path, default=Path("other_object.csv"))
    arguments = parser.parse_args()
    study = load_study(arguments.study, {"scan": {"object": {"kind": arguments.object}}})
    tables = []
    with tempfile.TemporaryDirectory() as name:
        for dose in study.doses:
            for view in _views(study):
                for seed in study.seeds[: arguments.seeds]:
                    tables.append(cell_table(study, arguments.data_root, Path(name), dose, view, seed))
                    table = pd.concat(tables).assign(object=arguments.object)
                    table.to_csv(arguments.out, index=False)
                _print_cell(study, table[(table["dose"] == dose) & (table["view"] == view)], dose, view)


def _views(study: Study) -> list[str]:
    """The views with a network of their own."""
    trained = {view: study.trains(view) for view in study.views}
    return [view for view, method in trained.items() if method is not None and study.methods[method].trained_on == OWN]


def _print_cell(study: Study, table: pd.DataFrame, dose: float, view: str) -> None:
    for method in (method for method in study.methods if study.skip_reason(method, view) is None):
        rows = table[table["method"] == method].fillna({"part": ""})
        means = rows.groupby(["metric", "part"])["value"].mean()
        scores = ", ".join(f"{metric} {means[metric, part]:.3f}" for metric, part in _SHOWN)
        print(f"{dose:>7g} {view:7} {method:12} {scores}, {rows['cpu_seconds'].mean():.2f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
