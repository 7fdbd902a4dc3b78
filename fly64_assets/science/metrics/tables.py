"""The tables that a study writes, one schema each."""

import pandas as pd

from fly64_assets.science.metrics.table_schema import Column, RowRule, TableSchema
from fly64_assets.science.records import ALIGNMENTS, SPLITS

_CELL = (
    Column(name="dose", kind="float", meaning="requested photons per pattern", low=0.0),
    Column(name="view", kind="string", meaning="which positions were kept"),
    Column(name="split", kind="string", meaning="train or test side of the scan", values=SPLITS),
    Column(name="object", kind="string", meaning="which replicate of the sample: its kind and a number"),
    Column(name="seed", kind="int", meaning="study seed: of noise, thinning and initialisation", low=0.0),
)
_CELL_KEY = tuple(column.name for column in _CELL)
_METHOD = Column(name="method", kind="string", meaning="its name in the study")
_STEP = Column(
    name="step", kind="int", meaning="passes over the data, epochs or looks that the method had taken", low=0.0
)
_COMPARE_AGAIN = "Materialize comparison_metrics of this cell again."


_ALIGNMENT = Column(
    name="alignment",
    kind="string",
    meaning="what was removed before: one complex scale, or in full: phase ramp, shift and scale; empty: nothing",
    values=ALIGNMENTS,
    empty=True,
)


def _optional(name: str, meaning: str, *, low: float | None = None, high: float | None = None) -> Column:
    return Column(name=name, kind="float", meaning=meaning, empty=True, low=low, high=high)


def _has_value_or_note(table: pd.DataFrame) -> pd.Series:
    return table["value"].notna() | (table["note"] != "")


def _interval_in_order(table: pd.DataFrame) -> pd.Series:
    return ~(table["value_low"] > table["value_high"])


SCORES = TableSchema(
    file="comparison_metrics.csv",
    rule="metrics",
    meaning="One score of one method.",
    columns=(
        *_CELL,
        Column(
            name="method",
            kind="string",
            meaning="its name in the study; flat and truth are sanity rows, bound is of the cell itself",
        ),
        Column(name="metric", kind="string", meaning="which score"),
        Column(
            name="part",
            kind="string",
            meaning="what of the complex image is scored; empty where it does not apply",
            values=("amplitude", "phase", "complex"),
            empty=True,
        ),
        _ALIGNMENT,
        Column(
            name="stands_first",
            kind="bool",
            meaning="whether it stands first: scale, or full where probe, positions or object are estimates",
            empty=True,
        ),
        _optional("value", "the score, on the illuminated region; likelihoods are before alignment"),
        _optional("value_low", "lower end of the central 95 % of a bootstrap over blocks of the object"),
        _optional("value_high", "upper end of it"),
        _optional("shift_x_px", "registration shift that was removed, columns"),
        _optional("shift_y_px", "registration shift that was removed, rows"),
        _optional("ramp_x_rad_per_px", "phase ramp that was removed, along columns"),
        _optional("ramp_y_rad_per_px", "phase ramp that was removed, along rows"),
        _optional("scale_abs", "magnitude of the complex scale that was removed", low=0.0),
        _optional("scale_phase_rad", "phase of the complex scale that was removed", low=-3.1416, high=3.1416),
        Column(
            name="registration_ok",
            kind="bool",
            meaning="whether the shift was found; otherwise it is 0 and the note says why",
            empty=True,
        ),
        Column(name="scoring_version", kind="string", meaning="version of the scoring function"),
        Column(name="note", kind="string", meaning="what has to be known about this row", empty=True),
        Column(
            name="dataset_sha256", kind="string", meaning="digest of the dataset that was scored on", required=False
        ),
        Column(
            name="product_sha256",
            kind="string",
            meaning="digest of the reconstruction that was scored; empty for the cell's own rows",
            empty=True,
            required=False,
        ),
    ),
    key=(*_CELL_KEY, "method", "metric", "part", "alignment"),
    remedy=_COMPARE_AGAIN,
    rules=(
        RowRule(name="unexplained", expected="a note in every row without a value", holds=_has_value_or_note),
        RowRule(name="interval", expected="value_low <= value_high", holds=_interval_in_order),
    ),
)

COST_MEANINGS = {
    "cpu_seconds_reconstruct": "process CPU time, imports apart, with that of what the method starts from",
    "cpu_seconds_train": "process CPU time of the training that the method rests on",
    "patterns_trained_on": "how many patterns that training saw",
}

COSTS = TableSchema(
    file="costs.csv",
    rule="costs",
    meaning="One cost of one method.",
    columns=(
        *_CELL,
        _METHOD,
        Column(name="metric", kind="string", meaning="which cost", values=tuple(COST_MEANINGS)),
        _optional("value", "CPU-seconds, or patterns; empty: not measured", low=0.0),
    ),
    key=(*_CELL_KEY, "method", "metric"),
    remedy=_COMPARE_AGAIN,
)

CURVES = TableSchema(
    file="frc_curves.csv",
    rule="curves",
    meaning="Fourier ring correlation of one method with the object, and its phase error, on one ring.",
    columns=(
        *_CELL,
        Column(
            name="method",
            kind="string",
            meaning="its name in the study; bound and unbiased_bound: the best that the counts allow, with and without "
            "knowledge of the object's spectrum",
        ),
        _ALIGNMENT,
        Column(
            name="frequency_cycles_per_px", kind="float", meaning="centre of the ring, up to Nyquist", low=0.0, high=0.5
        ),
        Column(name="frc", kind="float", meaning="real part of the correlation", low=-1.0, high=1.0),
        Column(
            name="phase_error_power",
            kind="float",
            meaning="power spectral density of the phase error, rad^2 px^2",
            low=0.0,
        ),
    ),
    key=(*_CELL_KEY, "method", "alignment", "frequency_cycles_per_px"),
    remedy=_COMPARE_AGAIN,
)

TRACE = TableSchema(
    file="trace.csv",
    rule="trace",
    meaning="Quality of what one method had on its way.",
    columns=(
        *_CELL,
        _METHOD,
        _STEP,
        _optional("value", "phase SSIM that stands first; empty: the estimate was not finite", low=-1.0, high=1.0),
    ),
    key=(*_CELL_KEY, "method", "step"),
    remedy=_COMPARE_AGAIN,
)

TRACE_COSTS = TableSchema(
    file="trace_costs.csv",
    rule="trace-costs",
    meaning="What one method had spent on its way.",
    columns=(
        *_CELL,
        _METHOD,
        _STEP,
        Column(name="cpu_seconds", kind="float", meaning="process CPU time until then, imports apart", low=0.0),
    ),
    key=(*_CELL_KEY, "method", "step"),
    remedy=_COMPARE_AGAIN,
)

HISTORY = TableSchema(
    file="history.csv",
    rule="history",
    meaning="One epoch of a training.",
    columns=(
        Column(name="epoch", kind="int", meaning="passes over the training groups, from 1", low=1.0),
        Column(
            name="train_loss",
            kind="float",
            meaning="mean loss of the epoch: Poisson likelihood (learns from counts), distance from Y (from the truth)",
        ),
        Column(
            name="validation_loss",
            kind="float",
            meaning="the same on held-out patterns; the best epoch's weights are kept",
        ),
        Column(name="learning_rate", kind="float", meaning="at the end of the epoch", low=0.0),
    ),
    key=("epoch",),
    remedy="Train this partition again.",
)

TABLES = (SCORES, COSTS, CURVES, TRACE, TRACE_COSTS, HISTORY)
