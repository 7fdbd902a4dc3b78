"""The report of a study: one self-contained HTML page, and the tables and sentences in it.

``data`` says what a report is made from, ``scores`` aggregates the metrics table, ``answer`` puts it into words,
``charts`` and ``tables`` lay it out, ``render`` fills the template.
"""

from fly64_assets.science.report.answer import Answer, answer
from fly64_assets.science.report.data import CellRecord, ReportData
from fly64_assets.science.report.render import render_report
from fly64_assets.science.report.scores import WIDE_MEANINGS, wide_table

__all__ = ["WIDE_MEANINGS", "Answer", "CellRecord", "ReportData", "answer", "render_report", "wide_table"]
