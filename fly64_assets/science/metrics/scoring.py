"""The one function that compares methods: every reconstruction of a cell against the truth, all alike."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.alignment import Alignment
from fly64_assets.science.metrics.bounds import phase_error_bound
from fly64_assets.science.metrics.cell_scores import (
    CURVE_COLUMNS,
    SCORING_VERSION,
    TABLE_COLUMNS,
    AlignedPair,
    CellScores,
)
from fly64_assets.science.metrics.evaluation import Comparison, counts_row, empty_row
from fly64_assets.science.metrics.explanation import Explanation
from fly64_assets.science.metrics.intervals import percentile_interval
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.metrics.record import Metric, require_distinct, scored_metrics
from fly64_assets.science.metrics.scored_cell import ScoredCell, aligned_pair, prepare_cell, require_grid
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import BOUND_METHOD, SANITY_METHODS, Dataset, Reconstruction, Scan, Split

_EXPLAINED: Mapping[str, Explanation] = MappingProxyType({})


def score_cell(
    reconstructions: Mapping[str, Reconstruction],
    dataset: Dataset,
    scan: Scan,
    options: ScoringOptions,
    *,
    dose: float,
    view: str,
    split: Split,
    seed: int,
    rng: np.random.Generator,
    metrics: tuple[Metric, ...] | None = None,
    explanations: Mapping[str, Explanation] = _EXPLAINED,
) -> CellScores:
    """Score every reconstruction of a cell against the truth by the same steps.

    A row for every method and metric. ``flat`` (an object of ones) and ``truth`` are scored as well. ``value_low``
    and ``value_high`` bound the central 95 %: of a bootstrap over blocks of the object, for ring correlations over
    Fourier pixels, for the counts of the normal distribution of a mean over patterns.

    Args:
        reconstructions: by method; the key is the label, whatever the record says.
        dataset: counts and truth of one split.
        scan: its probe and positions define the scored region.
        options: thresholds and sample numbers.
        dose: requested photons per pattern, copied into the rows, as are view, split and seed.
        view: name.
        split: name.
        seed: study seed.
        rng: draws the bootstrap; all methods share the draws.
        metrics: what is scored; None: every metric that is installed.
        explanations: by method, how well it explains its counts. One that diverged gets its likelihood alone: no image
            scores, no aligned image. A learned one that explains less than a flat object says so in its rows. A method
            without an entry is scored as it stands.

    Returns:
        Table, FRC curves, aligned images, and the failures, which are also noted in their rows.

    Raises:
        ValueError: a reconstruction's grid differs from the truth's, two metrics claim the same rows, or nothing is
            illuminated.
    """
    metrics = scored_metrics(options.metrics) if metrics is None else metrics
    require_distinct(metrics)
    cell = prepare_cell(dataset, scan, options, rng)
    candidates = dict(reconstructions) | _sanity(dataset, scan)
    require_grid(candidates, dataset)
    nll = nll_per_pattern(dataset.measurement, candidates)
    shared = {"dose": dose, "view": view, "split": split, "seed": seed}
    rows: list[dict] = []
    curves: list[pd.DataFrame] = []
    aligned: dict[str, AlignedPair] = {}
    failures: dict[str, str] = {}
    for method, reconstruction in candidates.items():
        explanation = explanations.get(method)
        comparison, failure = _compared(reconstruction.object, cell, explanation)
        found = [counts_row(metric, nll[method], nll["truth"]) for metric in metrics if metric.needs == "counts"]
        found += _image_rows(comparison, failure, metrics)
        if explanation is not None:
            found = [row | {"note": _joined(explanation.note, row["note"])} for row in found]
        rows += [{"method": method} | row for row in found]
        if method in SANITY_METHODS:
            continue
        if failure:
            failures[method] = failure
        if comparison is not None:
            aligned[method] = comparison.pair
            curves.append(comparison.curve.assign(method=method))
    rows += [{"method": BOUND_METHOD} | row for row in _cell_rows(cell, dataset, scan, rng)]
    table = pd.DataFrame([{"scoring_version": SCORING_VERSION, "note": ""} | shared | row for row in rows])
    frc = (pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()).assign(**shared)
    return CellScores(
        table=table.reindex(columns=list(TABLE_COLUMNS)),
        frc_curves=frc.reindex(columns=list(CURVE_COLUMNS)),
        aligned=aligned,
        failures=failures,
    )


def _compared(image: np.ndarray, cell: ScoredCell, explanation: Explanation | None) -> tuple[Comparison | None, str]:
    """An image beside the truth, None if it is not compared, and why it failed (empty if it did not)."""
    if explanation is not None and explanation.verdict == "diverged":
        return None, explanation.note
    if not np.isfinite(image).all():
        return None, "the object holds values that are not finite"
    pair = aligned_pair(image, cell)
    failure = "" if pair.alignment.registration_ok else f"registration failed: {pair.alignment.reason}"
    return Comparison(pair, cell), failure


def _image_rows(comparison: Comparison | None, failure: str, metrics: tuple[Metric, ...]) -> list[dict]:
    of_images = [metric for metric in metrics if metric.needs != "counts"]
    if comparison is None:
        return [empty_row(metric, failure) for metric in of_images]
    alignment = comparison.pair.alignment
    note = "" if alignment.registration_ok else f"not registered: {alignment.reason}"
    columns = _alignment_columns(alignment)
    rows = [columns | comparison.row(metric) for metric in of_images]
    return [row | {"note": _joined(note, row["note"])} for row in rows]


def _joined(*notes: str) -> str:
    """Notes that say something, each once."""
    return "; ".join(dict.fromkeys(note for note in notes if note))


def _sanity(dataset: Dataset, scan: Scan) -> dict[str, Reconstruction]:
    shared = {
        "probe": scan.probe,
        "positions_xy_px": dataset.measurement.positions_xy_px,
        "counts_scale": dataset.measurement.counts_scale,
    }
    flat = np.ones(dataset.object.shape, np.complex64)
    return {
        "flat": Reconstruction(object=flat, method="flat", **shared),
        "truth": Reconstruction(object=dataset.object, method="truth", **shared),
    }


def _alignment_columns(alignment: Alignment) -> dict:
    return {
        "shift_x_px": alignment.shift_xy_px[0],
        "shift_y_px": alignment.shift_xy_px[1],
        "ramp_x_rad_per_px": alignment.ramp_xy_rad_per_px[0],
        "ramp_y_rad_per_px": alignment.ramp_xy_rad_per_px[1],
        "scale_abs": abs(alignment.scale),
        "scale_phase_rad": float(np.angle(alignment.scale)),
        "registration_ok": alignment.registration_ok,
    }


def _cell_rows(cell: ScoredCell, dataset: Dataset, scan: Scan, rng: np.random.Generator) -> list[dict]:
    measurement = dataset.measurement
    photons = cell.region.photons_per_object_pixel(measurement.counts_scale)
    rows = [{"metric": "photons_per_object_pixel", "part": "", "value": photons}]
    if cell.options.bound_patches:
        bound = phase_error_bound(
            dataset.object,
            scan.probe,
            measurement.positions_xy_px,
            measurement.counts_scale,
            cell.region,
            windows=cell.options.bound_patches,
            rng=rng,
        )
        windows = np.array(bound.window_rms_rad)
        draws = rng.integers(0, max(len(windows), 1), (cell.options.bootstrap_samples, len(windows)))
        spread = np.sqrt(np.mean(windows[draws] ** 2, axis=1)) if len(windows) > 1 else np.array([])
        note = f"{bound.undetermined_windows} windows are not determined" if bound.undetermined_windows else ""
        rows.append(
            {"metric": "phase_bound_rms", "part": "phase", "value": bound.rms_rad, "note": note}
            | percentile_interval(spread)
        )
    return rows
