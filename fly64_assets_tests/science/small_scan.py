"""A small, non-square scan that tests share: exchanged axes cannot hide in it."""

from pathlib import Path

from fly64_assets.science.options import DoseOptions, MixedObject, RasterPath, ScanOptions, SplitOptions
from fly64_assets.science.records import Scan
from fly64_assets.science.scan import make_scan
from fly64_assets.science.simulation import SimulationSummary, simulate_dose

SMALL = ScanOptions(
    patch_size_px=32,
    object=MixedObject(shape_px=(120, 84)),
    positions=RasterPath(step_px=5.0),
)


def small_scan(**changes: object) -> Scan:
    """The small scan, with options changed."""
    return make_scan(SMALL.model_copy(update=changes))


def simulate(
    scan: Scan, folder: Path, dose: float = 1e3, *, seed: int = 1, method: str = "simulate", **more: object
) -> SimulationSummary:
    """Both splits of a dose as train.npz and test.npz in a folder."""
    paths = {"train": folder / "train.npz", "test": folder / "test.npz"}
    options = {"parameter_hash": "0" * 64, **more}
    return simulate_dose(scan, dose, DoseOptions(method=method), SplitOptions(), seed=seed, paths=paths, **options)
