"""A report as one HTML text: content from the records, layout from the template; nothing is fetched."""

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from fly64_assets.science.palette import MethodStyle
from fly64_assets.science.png import compact_png
from fly64_assets.science.report import charts, tables, view_tables
from fly64_assets.science.report.answer import answer
from fly64_assets.science.report.data import ReportData
from fly64_assets.science.report.equal_time import at_equal_time, equal_time_table
from fly64_assets.science.report.roles import described, favoured, quoted, training_sentences
from fly64_assets.science.report.scores import HEADLINE, Scores
from fly64_assets.science.report.wording import dose_text, fixed_text, number_text

MAX_REPORT_BYTES = 10_000_000
_IMAGE_BUDGET_BYTES = 5_500_000  # base64 makes a third more of them; tables and charts need the rest
_LEAST_IMAGE_BYTES = 100_000
_LEAST_IMAGE_WIDTH_PX = 440


def _under_scores(data: ReportData, scores: Scores) -> str:
    """What stands under the scores of the first table."""
    known = [(c.dose, c.view, m) for c in data.all_cells() for m in scores.methods(c.dose, c.view)]
    interval = "Under a score stands its interval"
    if len(data.objects) > 1:
        interval = "Under the highest score stands its t-interval over objects, under the others the paired difference"
    if not any(scores.beside(*key, *HEADLINE) for key in known):
        return f"{interval}."
    others = {"full" if scores.alignment(*key) == "scale" else "scale" for key in known}
    meant = {"full": "full: with phase ramp and shift removed too", "scale": "scale: with one complex scale removed"}
    return f"{interval}, and the score in the other alignment ({'; '.join(meant[name] for name in sorted(others))})."


def _error_bars(data: ReportData) -> str:
    if len(data.objects) > 1:
        return "95 % t-intervals over the objects, which vary more than methods differ on any of them"
    if len(data.seeds) > 1:
        return "the range over seeds"
    return "bootstrap intervals over blocks of this object, for this noise"


def render_report(data: ReportData) -> str:
    """The whole study as one self-contained HTML page, the same text for the same input.

    Args:
        data: study, scores and pictures; any subset of cells, methods, splits and seeds.

    Returns:
        HTML with inline style, SVG and ``data:`` images: no script, no network access, under ``MAX_REPORT_BYTES``.

    Raises:
        ValueError: the metrics table is not empty and lacks a column.
    """
    scores = Scores(data.metrics, data.names)
    shown = {m for split in ("test", "train") for m in scores.shown_methods(split)}
    styles = data.styles
    compared = at_equal_time(data, scores)
    headline = tables.headline(data, scores)
    template = _environment(styles).get_template("report.html.j2")
    return template.render(
        data=data,
        answer=answer(data, scores),
        methods=[m for m in data.names if m in shown],
        styles=styles,
        style_rules=style_rules(styles),
        keys=charts.legend(styles.values()),
        described={role.name: described(role, data) for role in data.methods},
        training=training_sentences(data),
        favoured=quoted(favoured(data)),
        cells=data.all_cells(),
        headline=headline,
        under_scores=_under_scores(data, scores),
        error_bars=_error_bars(data),
        any_full=any(scores.alignment(c.dose, c.view, m) == "full" for c in data.all_cells() for m in scores.methods()),
        has_marks=any("‡" in cell.text for row in headline.rows for cell in row),
        any_learned=any(role.learned for role in data.methods),
        dose_charts=[(q, charts.quality_against_dose(data, scores, q)) for q in data.metric_records if q.charted],
        overlap_charts=charts.quality_against_overlap(data, scores),
        fluence_charts=charts.quality_against_fluence(data, scores),
        cost_charts=charts.quality_against_cost(data, scores),
        frc_charts=charts.frc_charts(data, scores),
        cost_table=tables.cost(data, scores),
        equal_time_table=equal_time_table(data, scores, compared),
        trained_time_table=equal_time_table(data, scores, compared, with_training=True),
        overlap_table=view_tables.overlap(data),
        fluence_table=view_tables.fluence(data, scores),
        test_table=tables.all_scores(data, scores, "test"),
        train_table=tables.all_scores(data, scores, "train"),
        sanity_table=tables.sanity(data, scores),
        sanity_verdict=tables.sanity_verdict(data, scores),
        states=tables.states(data),
        reasons=tables.reasons(data),
        alignment_table=tables.alignment(data, scores),
        scan_picture=_data_uri(data.scan_png) if data.scan_png else None,
        pictures=_pictures(data),
        scoring_versions=_distinct(data.metrics, "scoring_version"),
    )


def _environment(styles: Mapping[str, MethodStyle]) -> Environment:
    environment = Environment(
        loader=PackageLoader("fly64_assets.science.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"dose": dose_text, "number": number_text, "fixed": fixed_text}
    environment.filters["methods"] = lambda text: mark_methods(text, styles)
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    environment.filters["paragraphs"] = lambda text: [p.strip() for p in re.split(r"\n\s*\n", text) if p.strip()]
    return environment


def mark_methods(text: str, styles: Mapping[str, MethodStyle]) -> Markup:
    """Escaped text in which the names of methods in backticks take their method's colour.

    >>> mark_methods("`mine` < <b> `other`", {"mine": MethodStyle("mine", "m-1", "#000000", "#ffffff", "circle", "")})
    Markup('<span class="name m-1">mine</span> &lt; &lt;b&gt; `other`')
    """

    def marked(match: re.Match[str]) -> str:
        style = styles.get(match[1])
        return f'<span class="name {style.css}">{match[1]}</span>' if style else match[0]

    return Markup(re.sub(r"`(\w+)`", marked, str(escape(text))))


def style_rules(styles: Mapping[str, MethodStyle]) -> Markup:
    """The colour of each method as CSS, for a white page, a dark one and print."""
    classes = {style.css: style for style in styles.values()}
    light = "\n".join(f".{css} {{ --c: {style.light}; }}" for css, style in classes.items())
    dark = "\n".join(f".{css} {{ --c: {style.dark}; }}" for css, style in classes.items())
    return Markup("{}\n@media screen and (prefers-color-scheme: dark) {{\n{}\n}}").format(Markup(light), Markup(dark))


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
