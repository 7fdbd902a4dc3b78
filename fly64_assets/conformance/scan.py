"""The small scan that kinds are tried on, with the truth beside it in some folders and noise in its place in others."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.contract import DatasetWriter, read_dataset
from fly64_assets.science.options import DoseOptions, MixedObject, PupilProbe, RasterPath, ScanOptions, SplitOptions
from fly64_assets.science.physics.diffraction import extract_patches
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import SPLITS, Measurement, Scan, Split
from fly64_assets.science.scan import make_scan, write_scan
from fly64_assets.science.simulation import simulate_dose

DOSE = 1e4
_OPTIONS = ScanOptions(
    patch_size_px=32,
    object=MixedObject(shape_px=(134, 84)),
    probe=PupilProbe(pupil_radius_cycles_per_px=0.2, defocus_rad=4.0),
    positions=RasterPath(step_px=5.0),
)
_NOISE_SEED = 7
_ARRAYS = ("amplitude", "probe", "positions_xy_px")


@dataclass(frozen=True)
class Place:
    """One of two folders that differ in the object alone.

    Attributes:
        data_root: a data root as a study would leave it: scan.npz, patched_train.npz and patched_test.npz.
    """

    data_root: Path

    @property
    def scan(self) -> Path:
        """Probe, positions and the object."""
        return self.data_root / "scan" / "scan.npz"

    def dataset(self, split: Split) -> Path:
        """Counts and the object."""
        return self.data_root / "simulated_dataset" / f"dose_{DOSE:g}" / f"patched_{split}.npz"


@dataclass(frozen=True)
class Scans:
    """What kinds are given, and what they must not see.

    Attributes:
        honest: with the true object.
        blinded: the same counts, probe and positions, with noise for an object.
        measurement: folder of the test split's measurement as plain arrays: all that a reconstruction may see.
        other: folder of another measurement, for a call in between.
        start: file of an object to start from.
    """

    honest: Place
    blinded: Place
    measurement: Path
    other: Path
    start: Path


def make_scans(folder: Path) -> Scans:
    """Simulate the scan, about 90 patterns of 32 x 32 per split at 1e4 photons, into an empty folder."""
    honest, blinded = (Place(folder / name / "data") for name in ("first", "second"))
    for place in (honest, blinded):
        place.dataset("train").parent.mkdir(parents=True)
        place.scan.parent.mkdir(parents=True)
    scan = make_scan(_OPTIONS)
    paths: dict[Split, Path] = {split: honest.dataset(split) for split in SPLITS}
    simulate_dose(scan, DOSE, DoseOptions(), SplitOptions(), seed=1, paths=paths, parameter_hash="0" * 64)
    noise = _noise(scan)
    write_scan(honest.scan, scan)
    write_scan(blinded.scan, dataclasses.replace(scan, object=noise))
    for split in SPLITS:
        _write_blinded(honest.dataset(split), blinded.dataset(split), noise)
    start = folder / "start.npy"
    np.save(start, 1 + 0.1 * (noise - 1))
    return Scans(
        honest,
        blinded,
        _measurement(honest.dataset("test"), folder / "measurement"),
        _measurement(honest.dataset("train"), folder / "other"),
        start,
    )


def _measurement(dataset: Path, folder: Path) -> Path:
    folder.mkdir()
    write_measurement(folder, read_dataset(dataset).measurement)
    return folder


def _noise(scan: Scan) -> np.ndarray:
    """An object of independent pixels whose values are possible ones."""
    rng = named_rng(_NOISE_SEED, "conformance", "noise")
    amplitude, phase = rng.uniform(0.75, 1, scan.object.shape), rng.uniform(0, 1.2, scan.object.shape)
    return (amplitude * np.exp(1j * phase)).astype(np.complex64)


def _write_blinded(source: Path, target: Path, noise: np.ndarray) -> None:
    """A dataset with the same counts; all that follows from the object follows from the noise or the counts."""
    dataset = read_dataset(source)
    seen = dataset.measurement
    writer = DatasetWriter(
        target,
        positions_xy_px=seen.positions_xy_px,
        scan_index=dataset.scan_index,
        object=noise,
        probe=seen.probe,
    )
    with writer:
        patches = extract_patches(noise, seen.positions_xy_px, seen.patch_size_px)
        writer.append(np.asarray(seen.amplitude), patches, seen.counts().sum(axis=(1, 2), dtype=np.float64))
        writer.finish(dataset.metadata)


def write_measurement(folder: Path, measurement: Measurement) -> None:
    """Plain arrays, and the rest as JSON."""
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", np.asarray(getattr(measurement, name)))
    plain = {"counts_scale": measurement.counts_scale, "object_shape": measurement.object_shape}
    (folder / "measurement.json").write_text(json.dumps(plain), encoding="utf-8")


def read_measurement(folder: Path) -> Measurement:
    """What :func:`write_measurement` wrote."""
    plain: dict[str, Any] = json.loads((folder / "measurement.json").read_text(encoding="utf-8"))
    arrays = {name: np.load(folder / f"{name}.npy") for name in _ARRAYS}
    rows, columns = plain["object_shape"]
    return Measurement(counts_scale=plain["counts_scale"], object_shape=(rows, columns), **arrays)
