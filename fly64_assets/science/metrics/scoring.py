"""The one function that compares methods: every reconstruction of a cell against the truth, all alike."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from fly64_assets.science.metrics.alignment import Alignment
from fly64_assets.science.metrics.bounds import PhaseBound, phase_error_bound
from fly64_assets.science.metrics.cell_scores import (
    CURVE_COLUMNS,
    SCORING_VERSION,
    TABLE_COLUMNS,
    CellScores,
    ImagePair,
)
from fly64_assets.science.metrics.evaluation import Comparison, counts_row, empty_row
from fly64_assets.science.metrics.explanation import Explanation
from fly64_assets.science.metrics.frc import ring_centres
from fly64_assets.science.metrics.intervals import NO_INTERVAL, percentile_interval
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.metrics.record import Metric, require_distinct, scored_metrics
from fly64_assets.science.metrics.scored_cell import (
    ScoredCell,
    alignment_first,
    image_pair,
    prepare_cell,
    require_grid,
)
from fly64_assets.science.metrics.shipped import FRC50
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import (
    ALIGNMENTS,
    BOUND_METHOD,
    SANITY_METHODS,
    UNBIASED_BOUND_METHOD,
    AlignmentName,
    Dataset,
    Reconstruction,
    Scan,
    Split,
)

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
    object: str = "object",
) -> CellScores:
    """Score every reconstruction of a cell against the truth by the same steps.

    A row for every method, metric and alignment: every image is scored with one complex scale removed, and again with
    ramp and shift removed too. Which of the two stands first follows from what the method was free to choose
    (:func:`.scored_cell.alignment_first`). ``flat`` (an object of ones) and ``truth`` are scored as well. ``value_low``
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
        object: name of the object, copied into the rows.

    Returns:
        Table, FRC curves, the images that stand first, and the failures, which are also noted in their rows.

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
    shared = {"dose": dose, "view": view, "split": split, "object": object, "seed": seed}
    bound = _bound(cell, dataset, scan, rng)
    rows: list[dict] = []
    curves = [] if bound is None else list(_bound_curves(bound, cell))
    pairs: dict[str, ImagePair] = {}
    failures: dict[str, str] = {}
    for method, reconstruction in candidates.items():
        explanation = explanations.get(method)
        found = [counts_row(metric, nll[method], nll["truth"]) for metric in metrics if metric.needs == "counts"]
        first = alignment_first(reconstruction, dataset)
        for alignment_name in ALIGNMENTS:
            comparison, failure = _compared(reconstruction.object, cell, explanation, alignment_name)
            labels = {"alignment": alignment_name, "stands_first": alignment_name == first}
            found += [row | labels for row in _image_rows(comparison, failure, metrics)]
            if method in SANITY_METHODS:
                continue
            if comparison is not None:
                curves.append(comparison.curve.assign(method=method, alignment=alignment_name))
            if alignment_name == first:
                if failure:
                    failures[method] = failure
                if comparison is not None:
                    pairs[method] = comparison.pair
                    found += _recovered_bound(comparison, bound)
        if explanation is not None:
            found = [row | {"note": _joined(explanation.note, row["note"])} for row in found]
        rows += [{"method": method} | row for row in found]
    rows += [{"method": BOUND_METHOD} | row for row in _cell_rows(cell, dataset, bound, rng)]
    table = pd.DataFrame([{"scoring_version": SCORING_VERSION, "note": "", "alignment": ""} | shared | r for r in rows])
    frc = (pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()).assign(**shared)
    return CellScores(
        table=table.reindex(columns=list(TABLE_COLUMNS)),
        frc_curves=frc.reindex(columns=list(CURVE_COLUMNS)),
        pairs=pairs,
        failures=failures,
    )


def _compared(
    image: np.ndarray, cell: ScoredCell, explanation: Explanation | None, alignment_name: AlignmentName
) -> tuple[Comparison | None, str]:
    """An image beside the truth, None if it is not compared, and why it failed (empty if it did not)."""
    if explanation is not None and explanation.verdict == "diverged":
        return None, explanation.note
    if not np.isfinite(image).all():
        return None, "the object holds values that are not finite"
    pair = image_pair(image, cell, alignment_name)
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


def _bound(cell: ScoredCell, dataset: Dataset, scan: Scan, rng: np.random.Generator) -> PhaseBound | None:
    """What the counts allow at best; None if it is switched off."""
    if not cell.options.bound_patches:
        return None
    measurement = dataset.measurement
    return phase_error_bound(
        dataset.object,
        scan.probe,
        measurement.positions_xy_px,
        measurement.counts_scale,
        cell.region,
        windows=cell.options.bound_patches,
        rng=rng,
    )


def _bound_curves(bound: PhaseBound, cell: ScoredCell) -> Iterator[pd.DataFrame]:
    """What is expected of the best estimate on the rings of the methods' curves, from the first that windows tell."""
    rings = ring_centres(cell.window)
    for method, found in ((BOUND_METHOD, bound.with_prior), (UNBIASED_BOUND_METHOD, bound.unbiased)):
        known = rings[rings >= found.frequency_cycles_per_px[0]]
        if np.isfinite(found.frc).all():
            frc, power = (np.interp(known, found.frequency_cycles_per_px, y) for y in (found.frc, found.phase_power))
            columns = {"frequency_cycles_per_px": known, "frc": frc, "phase_error_power": power}
            yield pd.DataFrame(columns).assign(method=method, alignment="")


def _recovered_bound(comparison: Comparison, bound: PhaseBound | None) -> list[dict]:
    """The floor of a method's phase error on the frequencies that it recovered, those up to its FRC 0.5."""
    if bound is None or not np.isfinite(bound.with_prior.phase_power).all():
        return []
    value = bound.with_prior.phase_rms_rad(comparison.value(FRC50))
    return [{"metric": "phase_bound_recovered", "part": "phase", "value": value, "note": ""} | NO_INTERVAL]


def _cell_rows(cell: ScoredCell, dataset: Dataset, bound: PhaseBound | None, rng: np.random.Generator) -> list[dict]:
    photons = cell.region.photons_per_object_pixel(dataset.measurement.counts_scale)
    rows = [{"metric": "photons_per_object_pixel", "part": "", "value": photons}]
    if bound is not None:
        windows = np.array(bound.window_rms_rad)
        draws = rng.integers(0, max(len(windows), 1), (cell.options.bootstrap_samples, len(windows)))
        spread = np.sqrt(np.mean(windows[draws] ** 2, axis=1)) if len(windows) > 1 else np.array([])
        note = f"{bound.undetermined_windows} windows are not determined" if bound.undetermined_windows else ""
        rows.append(
            {"metric": "phase_bound_rms", "part": "phase", "value": bound.rms_rad, "note": note}
            | percentile_interval(spread)
        )
    return rows
