"""The one function that compares methods: every reconstruction of a cell against the truth, all alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from skimage.restoration import unwrap_phase

from fly64_assets.science.metrics.alignment import Alignment, align
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
from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion, illuminated_region
from fly64_assets.science.metrics.image_error import block_sums, nrmse, square_blocks
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import Dataset, Reconstruction, Scan, Split

_INTERVAL_PERCENT = (2.5, 97.5)
_BLOCK_PX = 24
_WRAPPING_RANGE_RAD = 0.9 * 2 * np.pi


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """What all methods of a cell share."""

    truth: np.ndarray
    region: IlluminatedRegion
    options: ScoringOptions
    blocks: np.ndarray
    block_draws: np.ndarray
    window: np.ndarray
    frc_draws: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        return self.region.box

    @property
    def mask(self) -> np.ndarray:
        return self.region.mask[self.box]


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
    cell = _prepare(dataset, scan, options, rng)
    candidates = dict(reconstructions) | _sanity(dataset, scan)
    _require_grid(candidates, dataset)
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


def _score_image(image: np.ndarray, cell: _Cell) -> tuple[AlignedPair | None, list[dict], pd.DataFrame, str]:
    """Aligned pair, rows and curve of one image, and why it failed (empty if it did not)."""
    if not np.isfinite(image).all():
        failure = "the object holds values that are not finite"
        rows = [{"metric": name, "part": part, "value": np.nan, "note": failure} for name, part in IMAGE_METRICS]
        return None, rows, pd.DataFrame(), failure
    pair = _aligned_pair(image, cell)
    rows, curve = _image_rows(pair, cell)
    failure = "" if pair.alignment.registration_ok else f"registration failed: {pair.alignment.reason}"
    return pair, [_alignment_columns(pair.alignment) | row for row in rows], curve, failure


def _prepare(dataset: Dataset, scan: Scan, options: ScoringOptions, rng: np.random.Generator) -> _Cell:
    measurement = dataset.measurement
    region = illuminated_region(
        scan.probe, measurement.positions_xy_px, dataset.object.shape, options.illumination_threshold
    )
    mask = region.mask[region.box]
    _, blocks = np.unique(square_blocks(mask.shape, _BLOCK_PX), return_inverse=True)
    blocks = blocks.reshape(mask.shape)
    occupied, count = np.unique(blocks[mask]), int(blocks.max()) + 1
    draws = np.zeros((options.bootstrap_samples, count))
    draws[:, occupied] = rng.multinomial(
        len(occupied), np.full(len(occupied), 1 / len(occupied)), size=options.bootstrap_samples
    )
    window = region.apodisation()
    pixels = len(ring_terms(window, window, window)[0])
    return _Cell(
        truth=dataset.object.astype(np.complex128),
        region=region,
        options=options,
        blocks=blocks,
        block_draws=draws,
        window=window,
        frc_draws=rng.poisson(1.0, (options.bootstrap_samples, pixels)).astype(np.uint8),
    )


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


def _require_grid(candidates: Mapping[str, Reconstruction], dataset: Dataset) -> None:
    for method, reconstruction in candidates.items():
        if reconstruction.object.shape != dataset.object.shape:
            message = (
                f"{method} has an object of {reconstruction.object.shape}, the truth has {dataset.object.shape}: "
                "reconstruct on the dataset's own grid"
            )
            raise ValueError(message)


def _aligned_pair(image: np.ndarray, cell: _Cell) -> AlignedPair:
    aligned, alignment = align(image, cell.truth, cell.region, cell.options.max_shift_px)
    reference = np.exp(-1j * np.angle(np.sum(cell.region.weight * cell.truth)))
    image, truth, mask = (aligned * reference)[cell.box], (cell.truth * reference)[cell.box], cell.mask
    truth_phase, phase = np.angle(truth), np.angle(image)
    if np.ptp(truth_phase[mask]) > _WRAPPING_RANGE_RAD:
        # No fixed branch holds such a truth: unwrap it (it has no noise) and follow it by less than half a turn.
        truth_phase = np.asarray(unwrap_phase(truth_phase))
        phase = truth_phase + np.angle(image * truth.conj())
    return AlignedPair(
        image=image.astype(np.complex64),
        truth=truth.astype(np.complex64),
        amplitude=np.abs(image),
        phase_rad=phase,
        truth_amplitude=np.abs(truth),
        truth_phase_rad=truth_phase,
        mask=mask,
        corner_xy_px=(cell.box[1].start, cell.box[0].start),
        alignment=alignment,
    )


def _image_rows(pair: AlignedPair, cell: _Cell) -> tuple[list[dict], pd.DataFrame]:
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


def _frc(pair: AlignedPair, cell: _Cell) -> tuple[dict, pd.DataFrame]:
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


def _cell_rows(cell: _Cell, dataset: Dataset, scan: Scan, rng: np.random.Generator) -> list[dict]:
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
