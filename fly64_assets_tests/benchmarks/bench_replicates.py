"""Methods that train nothing per cell, on many replicates of the sample: paired differences with t-intervals, CPU time.

    python -m fly64_assets_tests.benchmarks.bench_replicates --study reference --number 20 --out replicates.csv

The scan keeps the study's probe, positions, doses, views and method options; there are ``--number`` objects of each
kind instead of its own. What is scored is the test split, with one complex scale removed. Each method is compared with
the ``--against`` one, object by object.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.following import follow
from fly64_assets.science.methods.record import Given
from fly64_assets.science.metrics.paired import paired_difference, t_interval
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Reconstruction, Scan
from fly64_assets.science.report.scores import standing_first
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import simulate_dose
from fly64_assets.science.views.view import make_view
from fly64_assets.study import Study, load_study

KINDS = ("mixed", "natural_image", "cells")
SHOWN = (("ssim", "phase"), ("psnr", "phase"), ("ssim", "amplitude"), ("frc50", "complex"))


def replicated(name: str, kinds: Sequence[str], number: int) -> Study:
    """A study with so many objects of each kind, each with the options that the study's own object has."""
    study = load_study(name)
    own = study.scan.objects[0] if study.scan.objects else study.scan.object
    fields = ("shape_px", "phase_range_rad", "minimum_amplitude", "blur_px")
    shared = {field: getattr(own, field) for field in fields}
    groups = [{"kind": kind, "number": number, **shared} for kind in kinds]
    scan = {key: value for key, value in study.scan.model_dump().items() if key not in ("object", "objects")}
    return study.with_changes(scan={**scan, "objects": groups}, seeds=study.seeds[:1])


def without_training(study: Study, named: Sequence[str]) -> list[str]:
    """The methods that train nothing here, neither themselves nor what they start from; or the named ones."""

    def trained(method: str) -> bool:
        return study.methods[method].trainable and trained_elsewhere(study, method) is None

    fitting = [method for method in study.methods if not any(map(trained, study.chain_of(method)))]
    return [method for method in fitting if not named or method in named]


def trained_elsewhere(study: Study, method: str) -> Path | None:
    """The bundle that a method's options name."""
    entry = study.methods[method]
    return entry.record.bundle_of(entry.options)


def reconstructions(
    study: Study, path: Path, methods: Sequence[str], seed: int, bundle_of: Callable[[str], Path | None]
) -> dict[str, Reconstruction]:
    """What the methods make of a dataset, each with its bundle, and what those make that they start from."""
    measurement, found = read_dataset(path).measurement, {}
    for method in sorted({each for m in methods for each in study.chain_of(m)}, key=lambda m: len(study.chain_of(m))):
        entry = study.methods[method]
        start = None if entry.starts_from is None else found[entry.starts_from]
        given = Given(
            seed,
            start=None if start is None else start.object,
            start_extended=None if start is None else start.extended,
            bundle=bundle_of(method),
        )
        followed = follow(entry.record, measurement, entry.options, given, method=method, keep_trace=False)
        found[method] = followed.result
    return {method: found[method] for method in methods}


def measured(
    study: Study, scan: Scan, name: str, dose: float, views: Sequence[str], folder: Path
) -> Iterator[tuple[str, Path]]:
    """The test split of one object at one dose, as every view keeps it: the view and its file."""
    source = folder / "test.npz"
    stream = ("object", name) if name in scan.replicates else ()
    simulate_dose(
        scan.of_object(name), dose, study.dose, study.split, seed=study.seeds[0], paths={"test": source},
        parameter_hash="", stream=stream,
    )  # fmt: skip
    for view in views:
        out, rng = folder / f"{view}.npz", named_rng(study.scan.seed, "view", view, "test")
        make_view(source, study.views[view], view_name=view, split="test", out=out, rng=rng, parameter_hash="")
        yield view, out


def scored(
    study: Study, scan: Scan, name: str, dose: float, views: Sequence[str], methods: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """One object at one dose in every view: simulated, reconstructed and scored."""
    seed, options = study.seeds[0], study.scoring.model_copy(update={"bootstrap_samples": 0, "bound_patches": 0})
    with tempfile.TemporaryDirectory() as folder:
        for view, out in measured(study, scan, name, dose, views, Path(folder)):
            dataset = read_dataset(out)
            here = [m for m in methods if study.skip_reason(m, view) is None and name in study.objects_of(m, view)]
            found = reconstructions(study, out, here, seed, lambda method: trained_elsewhere(study, method))
            at = dataset.measurement
            table = score_cell(
                found, dataset, Scan(dataset.object, at.probe, at.positions_xy_px, dataset.scan_index), options,
                dose=dose, view=view, split="test", seed=seed, object=name, rng=np.random.default_rng(0),
            ).table  # fmt: skip
            seconds = {method: result.cpu_seconds for method, result in found.items()}
            rows = standing_first(table[table["method"].isin(here)])
            yield rows.assign(cpu_seconds=rows["method"].map(seconds))


def paired_lines(table: pd.DataFrame, against: str) -> Iterator[str]:
    """Per cell, kind and method: means, CPU-seconds, and the paired difference from one method, phase SSIM."""
    table = table.assign(kind=table["object"].str.rpartition("_")[0])
    for (view, dose, kind), cell in table.groupby(["view", "dose", "kind"], sort=False):
        ssim = cell[(cell["metric"] == "ssim") & (cell["part"] == "phase")]
        by_method = {m: rows.set_index("object")["value"].to_dict() for m, rows in ssim.groupby("method", sort=False)}
        for method, values in by_method.items():
            means = [cell[(cell["method"] == method) & (cell["metric"] == m) & (cell["part"] == p)] for m, p in SHOWN]
            scores = " ".join(f"{m} {p} {rows['value'].mean():.3f}" for (m, p), rows in zip(SHOWN, means, strict=True))
            own = t_interval(list(values.values()))
            apart = paired_difference(values, by_method.get(against, {}))
            named = apart is not None and method != against
            said = f"{apart.mean:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]" if named else "–"
            seconds = ssim[ssim["method"] == method]["cpu_seconds"].mean()
            yield (
                f"{view:8} {dose:>7g} {kind:14} {method:14} n {own.n:3d} SSIM {own.mean:.3f} ± "
                f"{(own.high - own.low) / 2:.3f} {seconds:6.2f} CPU-s {said:28} {scores}"
            )


def main() -> None:
    """Run the cells of the command line; the CSV grows with every object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="reference", help="name or path")
    parser.add_argument("--number", type=int, default=20, help="objects of each kind")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--doses", type=float, nargs="+", help="default: all of the study")
    parser.add_argument("--views", nargs="+", default=["dense", "sparse"])
    parser.add_argument("--methods", nargs="+", default=[], help="default: all that train nothing per cell")
    parser.add_argument("--against", default="pty_chi", help="method that the others are compared with")
    parser.add_argument("--out", type=Path, default=Path("replicates.csv"))
    arguments = parser.parse_args()
    study = replicated(arguments.study, arguments.kinds, arguments.number)
    methods, scan = without_training(study, arguments.methods), make_scan(study.scan)
    tables: list[pd.DataFrame] = []
    for dose in arguments.doses or study.doses:
        for name in study.scan.samples:
            tables += scored(study, scan, name, dose, arguments.views, methods)
            pd.concat(tables).to_csv(arguments.out, index=False)
            print(f"{dose:g} {name} done", flush=True)
    print("\n".join(paired_lines(pd.concat(tables), arguments.against)))


if __name__ == "__main__":
    main()
