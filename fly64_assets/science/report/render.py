"""A report as one HTML text: content from the records, layout from the template; nothing is fetched."""

import base64
import io
import math
import re
from collections.abc import Iterable

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from fly64_assets.science.palette import METHOD_STYLES, method_style
from fly64_assets.science.png import compact_png
from fly64_assets.science.records import METHODS
from fly64_assets.science.report import charts, tables
from fly64_assets.science.report.answer import answer
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.equal_time import at_equal_time, equal_time_table
from fly64_assets.science.report.scores import Scores
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text

MAX_REPORT_BYTES = 10_000_000
_IMAGE_BUDGET_BYTES = 5_500_000  # base64 makes a third more of them; tables and charts need the rest
_LEAST_IMAGE_BYTES = 100_000
_LEAST_IMAGE_WIDTH_PX = 440


def render_report(data: ReportData) -> str:
    """The whole study as one self-contained HTML page, the same text for the same input.

    Args:
        data: study, scores and pictures; any subset of cells, methods, splits and seeds.

    Returns:
        HTML with inline style, SVG and ``data:`` images: no script, no network access, under ``MAX_REPORT_BYTES``.

    Raises:
        ValueError: the metrics table is not empty and lacks a column.
    """
    scores = Scores(data.metrics)
    shown = [m for m in METHODS if m in {x for s in ("test", "train") for x in scores.methods(split=s)}]
    pictures = _pictures(data)
    template = _environment().get_template("report.html.j2")
    return template.render(
        data=data,
        answer=answer(data, scores),
        methods=shown,
        styles=METHOD_STYLES,
        keys=charts.legend((*METHODS, "bound")),
        cells=data.all_cells(),
        headline=tables.headline(data, scores),
        dose_charts=[(q, charts.quality_against_dose(data, scores, q)) for q in charts.QUANTITIES],
        overlap_charts=charts.quality_against_overlap(data, scores),
        fluence_charts=charts.quality_against_fluence(data, scores),
        cost_charts=charts.quality_against_cost(data, scores),
        frc_charts=charts.frc_charts(data),
        cost_table=tables.cost(data, scores),
        equal_time_table=equal_time_table(at_equal_time(data)),
        overlap_table=tables.overlap(data),
        fluence_table=tables.fluence(data, scores),
        test_table=tables.all_scores(data, scores, "test"),
        train_table=tables.all_scores(data, scores, "train"),
        sanity_table=tables.sanity(data, scores),
        sanity_verdict=tables.sanity_verdict(data, scores),
        states=tables.states(data),
        reasons=tables.reasons(data),
        alignment_table=tables.alignment(data),
        scan_picture=_data_uri(data.scan_png) if data.scan_png else None,
        pictures=pictures,
        scoring_versions=_distinct(data.metrics, "scoring_version"),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fly64_assets.science.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"dose": dose_text, "number": number_text, "fixed": fixed_text, "methods": mark_methods}
    environment.filters["paragraphs"] = lambda text: [p.strip() for p in re.split(r"\n\s*\n", text) if p.strip()]
    return environment


def mark_methods(text: str) -> Markup:
    """Escaped text in which method names in backticks take their method's colour.

    >>> mark_methods("`pinn` < <b>")
    Markup('<span class="name m-pinn">pinn</span> &lt; &lt;b&gt;')
    """

    def marked(match: re.Match[str]) -> str:
        return f'<span class="name m-{method_style(match[1]).label}">{match[1]}</span>'

    return Markup(re.sub(rf"`({'|'.join(METHODS)})`", marked, str(escape(text))))


def _pictures(data: ReportData) -> dict[tuple[float, str], str | None]:
    """Comparison figures as data URIs; where all would be too large, they are shrunk, and some left out (None)."""
    images = {(c.dose, c.view): c.figure_png for c in data.all_cells() if c.figure_png}
    if sum(len(png) for png in images.values()) <= _IMAGE_BUDGET_BYTES:
        return {key: _data_uri(png) for key, png in images.items()}
    n_kept = min(len(images), _IMAGE_BUDGET_BYTES // _LEAST_IMAGE_BYTES)
    kept = {round(i * (len(images) - 1) / max(n_kept - 1, 1)) for i in range(n_kept)}
    share = _IMAGE_BUDGET_BYTES // n_kept
    small = {key: _shrunk(png, share) if i in kept else None for i, (key, png) in enumerate(images.items())}
    return {key: _data_uri(png) if png else None for key, png in small.items()}


def _shrunk(png: bytes, max_bytes: int) -> bytes | None:
    """The picture with fewer pixels and colours so that it fits; None if it would not be readable."""
    if len(png) <= max_bytes:
        return png
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for safety in (1.0, 0.7):
        width = round(image.width * min(1.0, safety * math.sqrt(max_bytes / len(png))))
        if width < _LEAST_IMAGE_WIDTH_PX:
            return None
        smaller = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        smaller_png = compact_png(smaller, 128)
        if len(smaller_png) <= max_bytes:
            return smaller_png
    return None


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _distinct(metrics: pd.DataFrame, column: str) -> list[str]:
    values: Iterable = metrics[column].dropna().unique() if column in metrics else ()
    return sorted(str(v) for v in values)
