"""The one function that compares methods: every reconstruction of a cell against the truth, all alike."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.alignment import Alignment
from fly64_assets.science.metrics.bounds import phase_error_bound
from fly64_assets.science.metrics.cell_scores import (
    BOUND_METHOD,
    CURVE_COLUMNS,
    IMAGE_METRICS,
    REAL_METRICS,
    SANITY_METHODS,
    SCORING_VERSION,
    TABLE_COLUMNS,
    AlignedPair,
    CellScores,
)
from fly64_assets.science.metrics.frc import crossing_frequency, ratio, ring_terms
from fly64_assets.science.metrics.image_error import block_sums, nrmse
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.metrics.scored_cell import ScoredCell, aligned_pair, prepare_cell, require_grid
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import Dataset, Reconstruction, Scan, Split

_INTERVAL_PERCENT = (2.5, 97.5)


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
    costs: Mapping[str, Mapping[str, float]] | None = None,
) -> CellScores:
    """Score every reconstruction of a cell against the truth by the same steps.

    Rows with metric mae, mse, rmse, psnr, ssim, ms_ssim, pearson come for the parts amplitude and phase;
    nrmse and frc50 for complex; excess_nll (nats per pattern, before alignment, < 0 where noise was fitted)
    and cpu_seconds_reconstruct without part. ``flat`` (an object of ones) and ``truth`` are scored as well.
    ``value_low`` and ``value_high`` bound the central 95 % of a bootstrap: over blocks of the object, for
    frc50 over Fourier pixels, for excess_nll the normal interval over patterns.

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
        costs: method -> metric -> value, further rows (cpu_seconds_train, patterns_trained_on).

    Returns:
        Table, FRC curves, aligned images, and the failures, which are also noted in their rows.

    Raises:
        ValueError: a reconstruction's grid differs from the truth's, or nothing is illuminated.
    """
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
        pair, image_rows, curve, failure = _score_image(reconstruction.object, cell)
        found = [*_excess_nll(nll[method] - nll["truth"]), *image_rows]
        if method not in SANITY_METHODS:
            found += _cost_rows(reconstruction, (costs or {}).get(method, {}))
            if failure:
                failures[method] = failure
            if pair is not None:
                aligned[method] = pair
                curves.append(curve.assign(method=method))
        rows += [{"method": method} | row for row in found]
    rows += [{"method": BOUND_METHOD} | row for row in _cell_rows(cell, dataset, scan, rng)]
    table = pd.DataFrame([{"scoring_version": SCORING_VERSION, "note": ""} | shared | row for row in rows])
    frc = (pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()).assign(**shared)
    return CellScores(
        table=table.reindex(columns=list(TABLE_COLUMNS)),
        frc_curves=frc.reindex(columns=list(CURVE_COLUMNS)),
        aligned=aligned,
        failures=failures,
    )


def _score_image(image: np.ndarray, cell: ScoredCell) -> tuple[AlignedPair | None, list[dict], pd.DataFrame, str]:
    """Aligned pair, rows and curve of one image, and why it failed (empty if it did not)."""
    if not np.isfinite(image).all():
        failure = "the object holds values that are not finite"
        rows = [{"metric": name, "part": part, "value": np.nan, "note": failure} for name, part in IMAGE_METRICS]
        return None, rows, pd.DataFrame(), failure
    pair = aligned_pair(image, cell)
    rows, curve = _image_rows(pair, cell)
    failure = "" if pair.alignment.registration_ok else f"registration failed: {pair.alignment.reason}"
    return pair, [_alignment_columns(pair.alignment) | row for row in rows], curve, failure


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


def _image_rows(pair: AlignedPair, cell: ScoredCell) -> tuple[list[dict], pd.DataFrame]:
    rows = []
    note = "" if pair.alignment.registration_ok else f"not registered: {pair.alignment.reason}"
    parts = {
        "amplitude": (pair.amplitude, pair.truth_amplitude),
        "phase": (pair.phase_rad, pair.truth_phase_rad),
    }
    for part, (image, truth) in parts.items():
        sums = block_sums(image, truth, pair.mask, cell.blocks)
        values, spread = sums.scores(), sums.scores(cell.block_draws)
        for name in REAL_METRICS:
            undefined = "undefined: the truth is constant or the region too small" if np.isnan(values[name]) else ""
            row = {"metric": name, "part": part, "value": float(values[name]), "note": note or undefined}
            rows.append(row | _interval(spread[name]))
    error = nrmse(pair.image, pair.truth, pair.mask, cell.blocks)
    spread = nrmse(pair.image, pair.truth, pair.mask, cell.blocks, cell.block_draws)
    rows.append({"metric": "nrmse", "part": "complex", "value": float(error), "note": note} | _interval(spread))
    row, curve = _frc(pair, cell)
    rows.append(row | {"note": note or row["note"]})
    return rows, curve


def _frc(pair: AlignedPair, cell: ScoredCell) -> tuple[dict, pd.DataFrame]:
    *terms, rings, centres = ring_terms(pair.image, pair.truth, cell.window)

    def curve_of(weights: np.ndarray | float) -> np.ndarray:
        return ratio(*(np.bincount(rings, weights=term * weights, minlength=len(centres)) for term in terms))

    curve = curve_of(1.0)
    value, crosses = crossing_frequency(centres, curve)
    note = "" if crosses else "no crossing: the correlation stays above 0.5 up to Nyquist"
    spread = np.array([crossing_frequency(centres, curve_of(weights))[0] for weights in cell.frc_draws])
    row = {"metric": "frc50", "part": "complex", "value": value, "note": note} | _interval(spread)
    return row, pd.DataFrame({"frequency_cycles_per_px": centres, "frc": curve})


def _interval(samples: np.ndarray) -> dict[str, float]:
    samples = samples[np.isfinite(samples)]
    if not samples.size:
        return {"value_low": np.nan, "value_high": np.nan}
    low, high = np.percentile(samples, _INTERVAL_PERCENT)
    return {"value_low": float(low), "value_high": float(high)}


def _excess_nll(excess: np.ndarray) -> list[dict]:
    mean = float(excess.mean())
    half = 1.96 * float(excess.std(ddof=1)) / np.sqrt(len(excess)) if len(excess) > 1 else np.nan
    return [{"metric": "excess_nll", "part": "", "value": mean, "value_low": mean - half, "value_high": mean + half}]


def _cost_rows(reconstruction: Reconstruction, costs: Mapping[str, float]) -> list[dict]:
    values = {"cpu_seconds_reconstruct": reconstruction.cpu_seconds} | dict(costs)
    return [{"metric": name, "part": "", "value": float(value)} for name, value in values.items()]


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
            {"metric": "phase_bound_rms", "part": "phase", "value": bound.rms_rad, "note": note} | _interval(spread)
        )
    return rows
