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
from fly64_assets.science.methods.pty_chi import reconstruct_with_pty_chi
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.networks.inference import reconstruct_with_network
from fly64_assets.science.records import METHODS, Reconstruction, Scan
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study import BASELINE_VIEW, Study, dose_key, load_study

_SHOWN = (("ssim", "phase"), ("psnr", "phase"), ("pearson", "phase"), ("frc50", "complex"), ("excess_nll", ""))


def reconstructions(
    study: Study, bundles: Path, path: Path, dose: float, view: str, seed: int
) -> dict[str, Reconstruction]:
    """What every method makes of a dataset, with the bundles of the study's cell."""
    measurement = read_dataset(path).measurement
    folder = bundles / f"dose_{dose_key(dose)}"
    own = folder / view / study.seed_folder(seed) / "gs2" / "wts.h5.zip"
    supervised = folder / BASELINE_VIEW / study.seed_folder(seed) / "gs1" / "wts.h5.zip"
    return {
        "pinn": reconstruct_with_network(own, measurement, method="pinn"),
        "pinn_refined": reconstruct_with_network(own, measurement, method="pinn_refined", refine=study.refine),
        "baseline": reconstruct_with_network(supervised, measurement, method="baseline"),
        "pty_chi": reconstruct_with_pty_chi(measurement, study.pty_chi, seed=seed),
    }


def cell_table(study: Study, bundles: Path, folder: Path, dose: float, view: str, seed: int) -> pd.DataFrame:
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
    scored = score_cell(
        reconstructions(study, bundles, out, dose, view, seed),
        dataset,
        Scan(dataset.object, measurement.probe, measurement.positions_xy_px, dataset.scan_index),
        study.scoring.model_copy(update={"bootstrap_samples": 0, "bound_patches": 0}),
        dose=dose,
        view=view,
        split="test",
        seed=seed,
        rng=np.random.default_rng(seed),
    )
    return scored.table


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
            for view in (view for view, options in study.views.items() if options.network == "pinn"):
                for seed in study.seeds[: arguments.seeds]:
                    bundles = arguments.data_root / "trained_bundle"
                    tables.append(cell_table(study, bundles, Path(name), dose, view, seed))
                    table = pd.concat(tables).assign(object=arguments.object)
                    table.to_csv(arguments.out, index=False)
                _print_cell(table[(table["dose"] == dose) & (table["view"] == view)], dose, view)


def _print_cell(table: pd.DataFrame, dose: float, view: str) -> None:
    for method in METHODS:
        rows = table[table["method"] == method].fillna({"part": ""})
        means = rows.groupby(["metric", "part"])["value"].mean()
        scores = ", ".join(f"{metric} {means[metric, part]:.3f}" for metric, part in _SHOWN)
        print(f"{dose:>7g} {view:7} {method:12} {scores}, {means['cpu_seconds_reconstruct', '']:.2f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
