"""DATA-001 files from counts that come from elsewhere: raw arrays, Ptychodus or CXI files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.arrays import ComplexObject, PositionsXY, ProbeModes, ScanIndex
from fly64_assets.science.contract.dataset_file import DatasetError, DatasetWriter
from fly64_assets.science.contract.structure_rules import CONTRACT_VERSION
from fly64_assets.science.contract.validation import validate_dataset
from fly64_assets.science.physics.diffraction import extract_patches, pattern_energies
from fly64_assets.science.physics.dose import amplitude_from_counts

_BLOCK = 64

UNITS = {
    "diffraction": "amplitude: sqrt(photons) / counts_scale",
    "xcoords": "object px, patch centre, column",
    "ycoords": "object px, patch centre, row",
    "expected_photons": "photons per pattern, noise-free",
    "Y": "complex transmission",
}


@dataclass(frozen=True, slots=True, eq=False)
class CountedScan:
    """Measured patterns and what is known about them.

    Attributes:
        n_patterns: how many patterns there are.
        read_counts: whole counts ``(m, N, N)`` of patterns start to stop, DC centred.
        positions_xy_px: patch centres.
        scan_index: order of acquisition.
        probe: modes.
        object: the object, or a flat one if unknown.
        object_origin: "truth", "reference" or "unknown".
        counts_scale: s; derived from counts, probe and object if None.
        metadata: further metadata.
    """

    n_patterns: int
    read_counts: Callable[[int, int], np.ndarray]
    positions_xy_px: PositionsXY
    scan_index: ScanIndex
    probe: ProbeModes
    object: ComplexObject
    object_origin: str
    counts_scale: float | None
    metadata: Mapping[str, Any]


def write_counted_scan(out: Path, scan: CountedScan) -> dict[str, Any]:
    """Write counts as a DATA-001 file and judge it.

    Patches Y are cut from the object. Without a given s, s is the scale at which the forward model has as many
    photons as were counted.

    Returns:
        The metadata written.

    Raises:
        DatasetError: the file breaks the contract, for example because patches lie outside the object.
        ValueError: no photons.
    """
    mean = _mean_counts(scan)
    size = scan.probe.shape[-1]
    energy = float(pattern_energies(scan.object, scan.probe, scan.positions_xy_px).mean())
    scale = scan.counts_scale or float(np.float32(np.sqrt(mean / energy)))
    given = scan.counts_scale is not None
    metadata = describe_measured(mean, scale, None if given else energy) | {
        "n_patterns": scan.n_patterns,
        **scan.metadata,
        "object_origin": scan.object_origin,
    }
    with DatasetWriter(
        out,
        positions_xy_px=scan.positions_xy_px,
        scan_index=scan.scan_index,
        object=scan.object,
        probe=scan.probe,
        with_expected_photons=False,
    ) as writer:
        for start in range(0, scan.n_patterns, _BLOCK):
            stop = min(start + _BLOCK, scan.n_patterns)
            patches = extract_patches(scan.object, scan.positions_xy_px[start:stop], size)
            writer.append(amplitude_from_counts(scan.read_counts(start, stop), scale), patches)
        writer.finish(metadata)
    faults = validate_dataset(out)
    if faults:
        raise DatasetError(out, faults)
    return metadata


def describe_measured(mean: float, scale: float, energy: float | None) -> dict[str, Any]:
    """Metadata of measured counts: the requested dose is the measured one."""
    return {
        "contract": "DATA-001",
        "contract_version": CONTRACT_VERSION,
        "origin": "measured",
        "requested_photons_per_pattern": mean,
        "measured_photons_per_pattern": mean,
        "split_measured_photons_per_pattern": mean,
        "split_expected_photons_per_pattern": None,
        "counts_scale": scale,
        "scan_mean_energy": energy,
        "seed": None,
        "split": "all",
        "parameter_hash": "",
        "units": UNITS,
        "versions": package_versions(),
    }


def _mean_counts(scan: CountedScan) -> float:
    total = 0
    for start in range(0, scan.n_patterns, _BLOCK):
        total += int(scan.read_counts(start, min(start + _BLOCK, scan.n_patterns)).sum(dtype=np.int64))
    if total <= 0:
        message = f"{scan.n_patterns} patterns hold {total} photons: nothing to import"
        raise ValueError(message)
    return total / scan.n_patterns


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape the data."""
    found = {}
    for name in ("fly64_assets", "numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "uninstalled"
    return found
