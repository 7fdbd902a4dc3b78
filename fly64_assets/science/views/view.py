"""One view of one split: the positions that it keeps, written as a dataset, and what that means physically."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.contract.dataset_file import DatasetWriter, read_dataset, read_expected_photons
from fly64_assets.science.options import ViewOptions
from fly64_assets.science.physics.dose import BLOCK_PATTERNS
from fly64_assets.science.physics.probe import illumination_map, probe_diameter_px
from fly64_assets.science.records import Dataset, Split
from fly64_assets.science.views.overlap import OverlapMetrics, overlap_metrics
from fly64_assets.science.views.sampling import GROUP_SIZES, select_by_spacing, select_fraction

_LIT_FRACTION = 0.1
"""Object pixels above this fraction of the brightest one's illumination count as illuminated."""

_DIAMETER_TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class ViewSummary:
    """What a view keeps of a split, measured beside requested.

    Attributes:
        view: name of the view.
        split: train or test.
        metrics: overlap of the kept positions.
        requested_overlap: overlap asked for; None for a view by fraction or of everything.
        measured_overlap: ``1 - mean nearest-neighbour distance / D``, at least 0.
        measured_probe_diameter_px: diameter of the probe itself, beside the D in use.
        n_total: positions of the split.
        n_kept: positions of the view.
        acceptance_rate: n_kept / n_total.
        photons_per_object_pixel: photons of the kept patterns per illuminated object pixel.
        measured_photons_per_pattern: mean counts of the kept patterns.
        expected_photons_per_pattern: their noise-free expectation; None if the file lacks it.
        dose_z_score: deviation of measured from expected in standard errors; None without expectation.
        trainable: whether a network may be trained on it.
        reason: why not, with counts and physics; empty if trainable.
        warnings: what a reader should know.
    """

    view: str
    split: Split
    metrics: OverlapMetrics
    requested_overlap: float | None
    measured_overlap: float
    measured_probe_diameter_px: float
    n_total: int
    n_kept: int
    acceptance_rate: float
    photons_per_object_pixel: float
    measured_photons_per_pattern: float
    expected_photons_per_pattern: float | None
    dose_z_score: float | None
    trainable: bool
    reason: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the overlap metrics stand beside the rest under their own names."""
        plain = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "metrics"}
        return self.metrics.to_dict() | plain | {"warnings": list(self.warnings)}


def make_view(
    source: Path,
    options: ViewOptions,
    *,
    view_name: str,
    split: Split,
    out: Path,
    rng: np.random.Generator,
    parameter_hash: str,
) -> ViewSummary:
    """Select the positions of a view and write them as a DATA-001 file.

    Args:
        source: DATA-001 file of the split.
        options: how to thin and group.
        view_name: name of the view, for metadata and messages.
        split: the split of the source.
        out: file to write.
        rng: draws the selection and the groups.
        parameter_hash: stands in the metadata.

    Returns:
        The summary; ``trainable`` is false, with a reason, when too few train positions are left.

    Raises:
        ValueError: the source is of another split, or nothing is left.
    """
    dataset = read_dataset(source)
    if dataset.metadata.get("split", split) != split:
        message = f"{source}: this is the {dataset.metadata['split']} split, not {split}"
        raise ValueError(message)
    positions = dataset.measurement.positions_xy_px
    measured_diameter = probe_diameter_px(dataset.measurement.probe)
    diameter = options.probe_diameter_px or measured_diameter
    kept = _select(positions, options, diameter, rng)
    metrics = overlap_metrics(
        positions[kept],
        gridsize=options.gridsize,
        n_groups=max(1, round(options.groups_per_position * len(kept))),
        neighbor_count=options.neighbor_count,
        probe_diameter_px=diameter,
        rng=rng,
        s_img=options.s_img or len(kept) / len(positions),
        n_images_total=len(positions),
    )
    counts, expected = _totals(dataset, kept), read_expected_photons(source)
    expected = None if expected is None else expected[kept]
    reason = _why_not_trainable(options, view_name, split, positions, len(kept), diameter)
    summary = ViewSummary(
        view=view_name,
        split=split,
        metrics=metrics,
        requested_overlap=options.overlap,
        measured_overlap=metrics.measured_overlap,
        measured_probe_diameter_px=measured_diameter,
        n_total=len(positions),
        n_kept=len(kept),
        acceptance_rate=len(kept) / len(positions),
        photons_per_object_pixel=_photons_per_object_pixel(dataset, positions[kept], counts),
        measured_photons_per_pattern=float(counts.mean()),
        expected_photons_per_pattern=None if expected is None else float(expected.mean()),
        dose_z_score=None if expected is None else _z_score(counts, expected, dataset.metadata),
        trainable=not reason,
        reason=reason,
        warnings=_warnings(options, measured_diameter),
    )
    _write(dataset, kept, expected, out, summary, parameter_hash)
    return summary


def _select(positions: np.ndarray, options: ViewOptions, diameter: float, rng: np.random.Generator) -> np.ndarray:
    if options.s_img is not None:
        return select_fraction(len(positions), options.s_img, rng)
    if options.overlap is not None:
        return select_by_spacing(positions, (1.0 - options.overlap) * diameter, rng)
    return np.arange(len(positions))


def _totals(dataset: Dataset, kept: np.ndarray) -> np.ndarray:
    """Photon counts of each kept pattern, read block by block."""
    blocks = [kept[start : start + BLOCK_PATTERNS] for start in range(0, len(kept), BLOCK_PATTERNS)]
    return np.concatenate([dataset.measurement.counts(b).sum(axis=(1, 2), dtype=np.float64) for b in blocks])


def _z_score(counts: np.ndarray, expected: np.ndarray, metadata: dict[str, Any]) -> float:
    variance = expected.sum() * (1.0 - (metadata.get("thinning_probability") or 0.0))
    return float((counts.sum() - expected.sum()) / np.sqrt(variance)) if variance > 0 else 0.0


def _photons_per_object_pixel(dataset: Dataset, positions: np.ndarray, counts: np.ndarray) -> float:
    """Photons that fall on the illuminated region, per pixel of it."""
    light = illumination_map(dataset.measurement.probe, positions, dataset.measurement.object_shape)
    region = light > _LIT_FRACTION * light.max()
    return float(counts.sum() * light[region].sum() / light.sum() / region.sum())


def _why_not_trainable(
    options: ViewOptions, view: str, split: Split, positions: np.ndarray, n_kept: int, diameter: float
) -> str:
    needed = max(options.min_train_positions, GROUP_SIZES[options.gridsize])
    if split != "train" or n_kept >= needed:
        return ""
    width, height = positions.max(axis=0) - positions.min(axis=0)
    reason = (
        f"view {view} keeps {n_kept} of {len(positions)} train positions, fewer than the {needed} that training needs"
    )
    if options.overlap is None:
        return f"{reason}. Raise s_img or scan more positions."
    spacing = (1.0 - options.overlap) * diameter
    return (
        f"{reason}: an overlap of {options.overlap:g} puts them at least {spacing:.1f} px apart (probe diameter "
        f"{diameter:.1f} px), and the train split scans only {width:.0f} x {height:.0f} px. That is geometry, not a "
        "fault: scan a larger object, ask for more overlap, or declare the view by s_img."
    )


def _warnings(options: ViewOptions, measured: float) -> tuple[str, ...]:
    declared = options.probe_diameter_px
    if declared is None or abs(declared - measured) <= _DIAMETER_TOLERANCE * measured:
        return ()
    return (
        f"the declared probe diameter of {declared:.1f} px differs from the measured {measured:.1f} px by "
        f"{abs(declared / measured - 1):.0%}: overlaps refer to the declared one",
    )


def _write(
    dataset: Dataset,
    kept: np.ndarray,
    expected: np.ndarray | None,
    out: Path,
    summary: ViewSummary,
    parameter_hash: str,
) -> None:
    metadata = dataset.metadata | {
        "view": summary.view,
        "parameter_hash": parameter_hash,
        "source_parameter_hash": dataset.metadata.get("parameter_hash", ""),
        "n_patterns": summary.n_kept,
        "n_split": summary.n_total,
        "split_measured_photons_per_pattern": summary.measured_photons_per_pattern,
        "split_expected_photons_per_pattern": summary.expected_photons_per_pattern,
        "probe_diameter_px": summary.metrics.probe_diameter_px,
        "requested_overlap": summary.requested_overlap,
        "measured_overlap": summary.measured_overlap,
    }
    patches = dataset.object_patches
    with DatasetWriter(
        out,
        positions_xy_px=dataset.measurement.positions_xy_px[kept],
        scan_index=dataset.scan_index[kept],
        object=dataset.object,
        probe=dataset.measurement.probe,
        with_object_patches=patches is not None,
        with_expected_photons=expected is not None,
    ) as writer:
        for start in range(0, len(kept), BLOCK_PATTERNS):
            rows = kept[start : start + BLOCK_PATTERNS]
            writer.append(
                dataset.measurement.amplitude[rows],
                None if patches is None else patches[rows],
                None if expected is None else expected[start : start + BLOCK_PATTERNS],
            )
        writer.finish(metadata)
