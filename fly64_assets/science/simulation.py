"""Datasets of a scan at one dose: Poisson noise on simulated patterns, or binomial thinning of measured counts.

Patterns are computed in fixed blocks, each with its own random stream named by seed, dose and block, so that files
depend on neither chunk size nor run order. One scale s, from the whole scan, serves both splits.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.contract.dataset_file import DatasetWriter
from fly64_assets.science.contract.from_counts import UNITS, package_versions
from fly64_assets.science.contract.structure_rules import CONTRACT_VERSION
from fly64_assets.science.options import DoseOptions, SplitOptions
from fly64_assets.science.physics.diffraction import (
    diffraction_intensity,
    extract_patches,
    pattern_energies,
    require_inside,
)
from fly64_assets.science.physics.dose import (
    BLOCK_PATTERNS,
    amplitude_from_counts,
    counts_scale,
    draw_counts,
    thin_counts,
)
from fly64_assets.science.physics.scan_positions import SplitPositions, split_with_guard_band
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import SPLITS, Progress, ProgressListener, Scan, Split, ignore_progress


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What was made, measured beside requested.

    Attributes:
        origin: "simulated" or "thinned".
        requested_photons_per_pattern: the dose asked for, a mean over the whole scan.
        measured_photons_per_pattern: the mean counts of the whole scan, guard band included.
        dose_z_score: deviation of the measured dose in standard errors of its own statistics.
        counts_scale: s.
        scan_mean_energy: mean energy of a pattern over the scan in probe units; s^2 times it is the requested dose.
        thinning_probability: fraction of measured photons kept; None if simulated.
        n_scan: positions of the scan.
        n_train: patterns written to the train file.
        n_test: patterns written to the test file.
        n_dropped_train_side: guard-band positions below the cut.
        n_dropped_test_side: guard-band positions above the cut.
        cut_y_px: midpoint of the y range.
        guard_half_width_px: positions closer to the cut are dropped.
        split_measured_photons_per_pattern: mean counts of each written file.
        split_expected_photons_per_pattern: its noise-free expectation.
    """

    origin: str
    requested_photons_per_pattern: float
    measured_photons_per_pattern: float
    dose_z_score: float
    counts_scale: float
    scan_mean_energy: float
    thinning_probability: float | None
    n_scan: int
    n_train: int
    n_test: int
    n_dropped_train_side: int
    n_dropped_test_side: int
    cut_y_px: float
    guard_half_width_px: float
    split_measured_photons_per_pattern: dict[str, float]
    split_expected_photons_per_pattern: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and catalog metadata."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Noise:
    """How counts of a block come about."""

    origin: str
    scale: float
    mean_energy: float
    probability: float
    labels: tuple[str, ...]
    seed: int

    def counts(self, scan: Scan, block: int, where: slice, patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts of a block and the noise-free expectation of each pattern's total."""
        rng = named_rng(self.seed, *self.labels, str(block))
        if self.origin == "thinned":
            assert scan.measured_counts is not None
            measured = scan.measured_counts[where]
            totals = measured.sum(axis=(1, 2), dtype=np.int64)
            return thin_counts(measured, self.probability, rng), totals * self.probability
        intensity = diffraction_intensity(patches, scan.probe)
        expected = intensity.sum(axis=(1, 2), dtype=np.float64) * self.scale**2
        return draw_counts(intensity, self.scale, rng), expected


def simulate_dose(
    scan: Scan,
    dose: float,
    dose_options: DoseOptions,
    split_options: SplitOptions,
    *,
    seed: int,
    paths: Mapping[Split, Path],
    parameter_hash: str,
    stream: tuple[str, ...] = (),
    chunk_patterns: int = 512,
    progress: ProgressListener = ignore_progress,
) -> SimulationSummary:
    """Write the train and test DATA-001 files of one dose.

    Args:
        scan: object, probe, positions; measured counts for thinning.
        dose: mean photons per pattern over the whole scan.
        dose_options: simulate, or thin measured counts.
        split_options: guard band.
        seed: study seed; noise is drawn from streams named by seed, dose and block.
        paths: the file to write for each split.
        parameter_hash: stands in the metadata.
        stream: further names of the noise streams, for a further object.
        chunk_patterns: patterns between progress reports; changes no byte.
        progress: told after each chunk.

    Returns:
        The summary.

    Raises:
        ValueError: dose not positive, thinning without counts or above the measured dose, empty split.
    """
    require_inside(scan.positions_xy_px, scan.object.shape, scan.patch_size_px)
    split = split_with_guard_band(scan.positions_xy_px, scan.probe, split_options.shared_illumination_limit)
    noise = _noise(scan, dose, dose_options, seed, stream)
    side = np.full(len(scan.positions_xy_px), -1, np.int8)
    side[split.train], side[split.test] = 0, 1
    totals = np.zeros((2, len(side)))
    with ExitStack() as stack:
        writers: dict[Split, DatasetWriter] = {
            name: stack.enter_context(_writer(path, scan, getattr(split, name))) for name, path in paths.items()
        }
        for block, where in _blocks(len(side)):
            patches = extract_patches(scan.object, scan.positions_xy_px[where], scan.patch_size_px)
            counts, expected = noise.counts(scan, block, where, patches)
            totals[:, where] = counts.sum(axis=(1, 2)), expected
            for name, writer in writers.items():
                rows = side[where] == SPLITS.index(name)
                if rows.any():
                    kept = slice(None) if rows.all() else rows  # whole blocks, the usual case, are not copied
                    writer.append(amplitude_from_counts(counts[kept], noise.scale), patches[kept], expected[kept])
            if where.stop % max(chunk_patterns, 1) < BLOCK_PATTERNS or where.stop == len(side):
                progress(Progress(f"{noise.origin} dose {dose:g}", where.stop, len(side)))
        summary = _summarise(split, noise, dose, totals)
        for name, writer in writers.items():
            writer.finish(_metadata(scan, summary, name, seed, parameter_hash))
    return summary


def _noise(scan: Scan, dose: float, options: DoseOptions, seed: int, stream: tuple[str, ...]) -> _Noise:
    """One scale for the whole scan, and the fraction of photons to keep when thinning."""
    full = float(pattern_energies(scan.object, scan.probe, scan.positions_xy_px).mean())
    labels = ("dose", repr(float(dose)), *stream)
    if options.method == "simulate":
        return _Noise("simulated", counts_scale(dose, full), full, 1.0, ("noise", *labels), seed)
    if scan.measured_counts is None:
        message = (
            "dose.method is 'thin', but this scan has no measured counts: use 'simulate' or scan.source 'measured'"
        )
        raise ValueError(message)
    measured = float(scan.measured_counts.sum(dtype=np.int64) / len(scan.measured_counts))
    probability = dose / measured
    if not 0 < probability <= 1:
        message = (
            f"dose {dose:g} photons per pattern cannot be thinned from a scan of {measured:.6g}: thinning only removes "
            f"photons. Choose a dose of at most {measured:.6g}"
        )
        raise ValueError(message)
    return _Noise("thinned", counts_scale(dose, full), full, probability, ("thin", *labels), seed)


def _blocks(n: int) -> Iterator[tuple[int, slice]]:
    for block, start in enumerate(range(0, n, BLOCK_PATTERNS)):
        yield block, slice(start, min(start + BLOCK_PATTERNS, n))


def _writer(path: Path, scan: Scan, kept: np.ndarray) -> DatasetWriter:
    return DatasetWriter(
        path,
        positions_xy_px=scan.positions_xy_px[kept],
        scan_index=scan.scan_index[kept],
        object=scan.object,
        probe=scan.probe,
    )


def _summarise(split: SplitPositions, noise: _Noise, dose: float, totals: np.ndarray) -> SimulationSummary:
    n = totals.shape[1]
    total, expected = float(totals[0].sum()), float(totals[1].sum())
    variance = expected * (1 - noise.probability) if noise.origin == "thinned" else expected
    measured, wanted = ({name: float(row[getattr(split, name)].mean()) for name in ("train", "test")} for row in totals)
    return SimulationSummary(
        origin=noise.origin,
        requested_photons_per_pattern=float(dose),
        measured_photons_per_pattern=total / n,
        dose_z_score=float((total - expected) / np.sqrt(variance)) if variance > 0 else 0.0,
        counts_scale=noise.scale,
        scan_mean_energy=noise.mean_energy,
        thinning_probability=noise.probability if noise.origin == "thinned" else None,
        n_scan=n,
        n_train=len(split.train),
        n_test=len(split.test),
        n_dropped_train_side=split.n_dropped_train_side,
        n_dropped_test_side=len(split.dropped) - split.n_dropped_train_side,
        cut_y_px=split.cut_y_px,
        guard_half_width_px=split.guard_half_width_px,
        split_measured_photons_per_pattern=measured,
        split_expected_photons_per_pattern=wanted,
    )


def _metadata(scan: Scan, summary: SimulationSummary, split: Split, seed: int, parameter_hash: str) -> dict[str, Any]:
    return {
        "contract": "DATA-001",
        "contract_version": CONTRACT_VERSION,
        "origin": summary.origin,
        "object_origin": scan.object_origin,
        "requested_photons_per_pattern": summary.requested_photons_per_pattern,
        "measured_photons_per_pattern": summary.measured_photons_per_pattern,
        "split_measured_photons_per_pattern": summary.split_measured_photons_per_pattern[split],
        "split_expected_photons_per_pattern": summary.split_expected_photons_per_pattern[split],
        "counts_scale": summary.counts_scale,
        "scan_mean_energy": summary.scan_mean_energy,
        "thinning_probability": summary.thinning_probability,
        "seed": seed,
        "split": split,
        "n_patterns": summary.n_train if split == "train" else summary.n_test,
        "n_scan": summary.n_scan,
        "cut_y_px": summary.cut_y_px,
        "guard_half_width_px": summary.guard_half_width_px,
        "n_dropped": summary.n_dropped_train_side + summary.n_dropped_test_side,
        "parameter_hash": parameter_hash,
        "pixel_size_m": scan.pixel_size_m,
        "photon_energy_ev": scan.photon_energy_ev,
        "detector_distance_m": scan.detector_distance_m,
        "units": UNITS,
        "versions": package_versions(),
    }
