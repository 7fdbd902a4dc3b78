"""study_report: the page that answers the question, from the scores of all cells."""

import math
import platform
from collections.abc import Mapping
from importlib import metadata

import pandas as pd

from fly64_assets.orchestration.catalog.gate import PartitionFiles
from fly64_assets.orchestration.catalog.metadata import Metadata, table
from fly64_assets.orchestration.catalog.publishing import PartitionRun
from fly64_assets.orchestration.graph import files
from fly64_assets.science.figures import scan_preview
from fly64_assets.science.metrics.record import METRICS
from fly64_assets.science.records import SPLITS
from fly64_assets.science.report import (
    REPORTED_METRICS,
    WIDE_MEANINGS,
    CellRecord,
    ReportData,
    ReportedMetric,
    render_report,
    wide_table,
)
from fly64_assets.science.scan import read_scan
from fly64_assets.storage import read_json
from fly64_assets.study.keys import dose_key
from fly64_assets.study.parameters import ReportParameters

VERSIONED_PACKAGES = ("fly64_assets", "torch", "lightning", "ptychi", "dagster", "numpy", "scipy", "scikit-image")


def study_report(run: PartitionRun[ReportParameters]) -> Metadata:
    """The answer as one self-contained HTML page, with metrics.csv, metrics.parquet and trace.csv of all cells.

    Cells that are missing, skipped or failed are shown as such, with their reasons.
    """
    data = report_data(run)
    html = render_report(data)
    run.path(files.REPORT).write_text(html, encoding="utf-8")
    scores = _tables(_scored(run), files.SCORES)
    scores.to_csv(run.path(files.REPORT_SCORES), index=False)
    scores.to_parquet(run.path(files.REPORT_SCORES_PARQUET), index=False)
    for name in (files.COST_TABLE, files.TRACE, files.TRACE_COSTS):
        _tables(_scored(run), name).to_csv(run.path(name), index=False)
    states = [{"dose": c.dose, "view": c.view, "status": c.status, "reason": c.reason} for c in data.all_cells()]
    wide = wide_table(data.metrics, [role.name for role in data.methods])
    return {
        "cells": table(states),
        "scores": table(wide.to_dict("records"), WIDE_MEANINGS),
        "report_bytes": len(html.encode()),
    }


def report_data(run: PartitionRun[ReportParameters]) -> ReportData:
    """Everything that the report shows, read through the same gate as any other input."""
    parameters, scored = run.parameters, _scored(run)
    scan = read_scan(run.files("scan").path(files.SCAN))
    return ReportData(
        study_name=parameters.study_name,
        title=parameters.report.title,
        question=parameters.report.question,
        doses=parameters.doses,
        views=parameters.views,
        methods=parameters.methods,
        seeds=parameters.seeds,
        objects=parameters.objects,
        study_hash=parameters.asked,
        object_origin=scan.object_origin,
        cells=tuple(_cell(run, dose, view) for view in parameters.views for dose in parameters.doses),
        metrics=_joined([_tables(scored, files.SCORES), _tables(scored, files.COST_TABLE)]),
        frc=_tables(scored, files.FRC_CURVES),
        trace=_trace(scored),
        metric_records=(*REPORTED_METRICS, *map(_reported, parameters.metrics)),
        reference_kind=parameters.reference_kind,
        scan_png=scan_preview(scan),
        versions={**{name: metadata.version(name) for name in VERSIONED_PACKAGES}, "python": platform.python_version()},
        commands=(f"make study STUDY={parameters.study_name} DOSES=all",),
        dose_method="thin" if parameters.dose_method == "thin" else "simulate",
    )


def _reported(name: str) -> ReportedMetric:
    """A metric of another package as the report shows it."""
    metric = METRICS.get(name)
    limits = (metric.low, metric.high) if math.isfinite(metric.low) and math.isfinite(metric.high) else None
    shown = (metric.unit, metric.direction, metric.label, metric.digits, metric.meaning)
    return ReportedMetric(*metric.key, *shown, limits=limits)


def _scored(run: PartitionRun[ReportParameters]) -> dict[str, PartitionFiles]:
    """The cells that have scores, by partition."""
    found = run.inputs["comparison_metrics"]
    return {str(key): source for key, source in found.items() if source.skip_reason is None}


def _tables(cells: Mapping[str, PartitionFiles], name: str) -> pd.DataFrame:
    return _joined([pd.read_csv(source.path(name)) for source in cells.values() if name in source.files])


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if not part.empty]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _trace(cells: Mapping[str, PartitionFiles]) -> pd.DataFrame:
    """What methods had on their way, with the time until then."""
    trace, seconds = _tables(cells, files.TRACE), _tables(cells, files.TRACE_COSTS)
    return trace if trace.empty else trace.merge(seconds, validate="one_to_one")


def _cell(run: PartitionRun[ReportParameters], dose: float, view: str) -> CellRecord:
    key = f"{dose_key(dose)}|{view}"
    source, summary = run.inputs["comparison_metrics"].get(key), _view_summary(run, key)
    if source is None:
        status, reason = run.why_missing(key)
        return CellRecord(dose, view, "failed" if status == "failed" else "missing", reason)
    if source.skip_reason is not None:
        return CellRecord(dose, view, "skipped", source.skip_reason, summary)
    described = read_json(source.path(files.CELL))
    figure = files.COMPARISON_FIGURE
    notes = [f"{where}: {reason}" for where, reason in described["failures"].items()]
    return CellRecord(
        dose,
        view,
        "done",
        view_summary=summary,
        figure_png=source.path(figure).read_bytes() if figure in source.files else None,
        figure_note="; ".join([*notes, described["figure_note"]]).strip("; "),
        digests=described["digests"],
    )


def _view_summary(run: PartitionRun[ReportParameters], key: str) -> dict:
    view = run.inputs["overlap_view"].get(key)
    if view is None:
        return {}
    summary = read_json(view.path(files.OVERLAP_METRICS))
    return {split: summary[split] for split in SPLITS}
