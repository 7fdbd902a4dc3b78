"""Bundles of a finished study applied to an object of another kind: how much is learned from the object seen.

    python -m fly64_assets_tests.benchmarks.bench_other_object --study reference --data-root data/reference

The scan keeps the study's probe and positions; the object is another one. All methods reconstruct and are scored on the
test split as in the study. Writes one CSV and prints phase SSIM, Pearson r and CPU-seconds, mean over seeds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.records import SPLITS, Reconstruction, Scan
from fly64_assets.science.report.scores import standing_first
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study import Study, dose_key, load_study
from fly64_assets_tests.benchmarks.bench_replicates import reconstructions

_SHOWN = (("ssim", "phase"), ("psnr", "phase"), ("pearson", "phase"), ("frc50", "complex"), ("excess_nll", ""))


def bundle_of(study: Study, data_root: Path, method: str, dose: float, view: str, seed: int) -> Path | None:
    """The network of a method in a finished study; None if it trains none for a view."""
    entry = study.methods[method]
    if not entry.trainable:
        return None
    trained_on = study.training_view(method, view)
    asset = "trained_bundle" if study.trains(trained_on) == method else f"training/{method}"
    seed_folder = f"seed_{seed}" if len(study.seeds) > 1 else ""
    found = data_root / asset / f"dose_{dose_key(dose)}" / trained_on / seed_folder
    return found / f"gs{study.views[trained_on].gridsize}" / "wts.h5.zip"


def cell_table(study: Study, data_root: Path, folder: Path, dose: float, view: str, seed: int) -> pd.DataFrame:
    """Simulate one dose of the other object, cut the view's test split, reconstruct and score."""
    scan = make_scan(study.scan)
    paths = {split: folder / f"{split}_{dose:g}_{seed}.npz" for split in SPLITS}
    if not paths["test"].exists():
        simulate_dose(scan, dose, study.dose, study.split, seed=seed, paths=paths, parameter_hash="")
    out = folder / f"{view}_{dose:g}_{seed}.npz"
    rng = np.random.default_rng(seed)
    make_view(paths["test"], study.views[view], view_name=view, split="test", out=out, rng=rng, parameter_hash="")
    dataset = read_dataset(out)
    measurement = dataset.measurement
    here = [
        method
        for method, entry in study.methods.items()
        if entry.record.trains != "probe" and study.skip_reason(method, view) is None
    ]
    found = reconstructions(
        study, out, here, seed, lambda method: bundle_of(study, data_root, method, dose, view, seed)
    )
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
    table = standing_first(scored.table)
    return table.assign(cpu_seconds=table["method"].map(lambda method: seconds_of(method, found)))


def seconds_of(method: str, found: dict[str, Reconstruction]) -> float:
    """CPU time of a method alone; NaN for the sanity rows."""
    return found[method].cpu_seconds if method in found else float("nan")


def main() -> None:
    """Run all cells of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="reference")
    parser.add_argument("--data-root", type=Path, required=True, help="of the finished study")
    parser.add_argument("--object", default="natural_image", help="kind of object")
    parser.add_argument("--seeds", type=int, default=1, help="how many of the study's seeds")
    parser.add_argument("--out", type=Path, default=Path("other_object.csv"))
    arguments = parser.parse_args()
    study = load_study(arguments.study)
    own = study.scan.objects[0] if study.scan.objects else study.scan.object
    options = own.model_dump(exclude={"kind", "number"}) | {"kind": arguments.object}
    scan = study.scan.model_dump(exclude={"object", "objects"}) | {"object": options}
    study = study.with_changes(scan=scan)
    tables = []
    with tempfile.TemporaryDirectory() as name:
        for dose in study.doses:
            for view in study.views:
                for seed in study.seeds[: arguments.seeds]:
                    tables.append(cell_table(study, arguments.data_root, Path(name), dose, view, seed))
                    table = pd.concat(tables).assign(object=arguments.object)
                    table.to_csv(arguments.out, index=False)
                _print_cell(table[(table["dose"] == dose) & (table["view"] == view)], dose, view)


def _print_cell(table: pd.DataFrame, dose: float, view: str) -> None:
    for method, of_method in table[table["cpu_seconds"].notna()].groupby("method", sort=False):
        rows = of_method.fillna({"part": ""})
        means = rows.groupby(["metric", "part"])["value"].mean()
        scores = ", ".join(f"{metric} {means[metric, part]:.3f}" for metric, part in _SHOWN)
        print(f"{dose:>7g} {view:7} {method:12} {scores}, {rows['cpu_seconds'].mean():.2f} CPU-s alone", flush=True)


if __name__ == "__main__":
    main()
