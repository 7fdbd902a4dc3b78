"""Does the paired interval over five objects hold the mean difference over all of them as often as it says?

    python -m fly64_assets_tests.benchmarks.bench_coverage

100 mixed objects under one scan of 200 positions are really simulated and reconstructed by ``map`` with 8 and with 28
passes. Of their 100 paired differences in phase SSIM, 200 draws of five are made; the share of 95 % t-intervals that
hold the mean over all 100 should lie between 90 and 98 %. Beside it: the same for unpaired intervals.
"""

import argparse

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.paired import t_interval
from fly64_assets.science.scan import make_scan
from fly64_assets.study import Study
from fly64_assets_tests.benchmarks.bench_replicates import scored

DRAWS, DRAWN = 200, 5
STUDY = {
    "name": "coverage",
    "report": {"title": "Coverage"},
    "doses": [10_000],
    "scan": {
        "patch_size_px": 32,
        "objects": [{"kind": "mixed", "number": 100, "shape_px": [128, 128]}],
        "positions": {"kind": "raster", "step_px": 6.8, "n_positions": 200, "whole_pixels": True},
    },
    "views": {"all": {"gridsize": 1}},
    "methods": {"few": {"kind": "map", "options": {"passes": 8}}, "many": {"kind": "map", "options": {"passes": 28}}},
}


def differences(number: int) -> pd.DataFrame:
    """Phase SSIM of both methods on each object."""
    content = {**STUDY, "scan": {**STUDY["scan"], "objects": [{**STUDY["scan"]["objects"][0], "number": number}]}}
    study = Study.model_validate(content)
    scan, tables = make_scan(study.scan), []
    for name in study.scan.samples:
        tables += scored(study, scan, name, study.doses[0], ["all"], list(study.methods))
    table = pd.concat(tables)
    ssim = table[(table["metric"] == "ssim") & (table["part"] == "phase")]
    return ssim.pivot_table(index="object", columns="method", values="value")


def coverage(by_object: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """Share of draws whose paired interval, and whose unpaired one, hold the mean difference over all objects."""
    first, second = by_object["many"].to_numpy(), by_object["few"].to_numpy()
    truth, held = float(np.mean(first - second)), np.zeros(2)
    for _ in range(DRAWS):
        chosen = rng.choice(len(first), DRAWN, replace=False)
        paired = t_interval(first[chosen] - second[chosen])
        a, b = t_interval(first[chosen]), t_interval(second[chosen])
        held += paired.low < truth < paired.high, a.low - b.high < truth < a.high - b.low
    return float(held[0] / DRAWS), float(held[1] / DRAWS)


def main() -> None:
    """Print the coverage, and how objects and differences spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=100, help="objects")
    found = differences(parser.parse_args().number)
    apart = found["many"] - found["few"]
    paired, unpaired = coverage(found, np.random.default_rng(1))
    print(f"{len(found)} objects: phase SSIM {found.mean().to_dict()}, spread over objects {found.std().to_dict()}")
    print(f"difference {apart.mean():+.4f}, spread over objects {apart.std():.4f}")
    print(f"{DRAWS} draws of {DRAWN}: paired interval holds the mean in {paired:.1%}, unpaired in {unpaired:.1%}")


if __name__ == "__main__":
    main()
