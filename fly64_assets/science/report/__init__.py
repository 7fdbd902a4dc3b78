"""The report of a study: one self-contained HTML page, and the tables and sentences in it.

``data`` says what a report is made from, ``reported_metric`` which scores it shows, ``scores`` aggregates the metrics
table, ``answer`` puts it into words, ``roles`` says what each method is, ``charts`` and ``tables`` lay it out,
``render`` fills the template. Nothing here knows a method by its name or place.
"""

from fly64_assets.science.report.answer import Answer, answer
from fly64_assets.science.report.data import CellRecord, ReportData
from fly64_assets.science.report.render import render_report
from fly64_assets.science.report.reported_metric import REPORTED_METRICS, ReportedMetric
from fly64_assets.science.report.scores import WIDE_MEANINGS, wide_table

__all__ = [
    "REPORTED_METRICS",
    "WIDE_MEANINGS",
    "Answer",
    "CellRecord",
    "ReportData",
    "ReportedMetric",
    "answer",
    "render_report",
    "wide_table",
]
