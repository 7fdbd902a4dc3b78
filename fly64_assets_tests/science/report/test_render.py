import functools
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from fly64_assets.science.figures import ComparisonPanels, comparison_figure
from fly64_assets.science.records import MethodRole
from fly64_assets.science.report import ReportData, ReportedMetric, render_report
from fly64_assets.science.report.render import MAX_REPORT_BYTES
from fly64_assets.science.report.scores import Scores
from fly64_assets_tests.science.report.made_up_study import (
    BASELINE,
    SEVEN,
    TEN,
    TWO_CLASSICAL,
    VIEWS,
    made_up_cell,
    made_up_frc,
    made_up_metrics,
    made_up_study,
    with_cells_not_done,
    with_divergence,
)

SECTIONS = (
    "asked",
    "answer",
    "cells",
    "dose",
    "overlap",
    "fluence",
    "cost",
    "frc",
    "images",
    "scores",
    "method",
    "provenance",
)
VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}


class _Checker(HTMLParser):
    """Collects attributes and ids, and complains about tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def _parsed(html: str) -> _Checker:
    checker = _Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def _text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.split("<body>")[1]))


def _studies() -> dict[str, ReportData]:
    full = made_up_study()
    test_only = full.metrics[(full.metrics["dose"] == 1e3) & (full.metrics["view"] == "dense")]
    no_pinn = full.metrics[~full.metrics["method"].isin(["pinn", "pinn_refined"])]
    return {
        "full": full,
        "three seeds": made_up_study((1, 2, 3)),
        "cells not done": with_cells_not_done(full),
        "one cell": replace(
            full, doses=(1e3,), views={"dense": VIEWS["dense"]}, cells=(made_up_cell(1e3, "dense"),), metrics=test_only
        ),
        "nothing": replace(
            full, cells=(), metrics=pd.DataFrame(), frc=pd.DataFrame(), trace=pd.DataFrame(), scan_png=None
        ),
        "no trace": replace(full, trace=None),
        "no pinn": replace(full, metrics=no_pinn),
        "no intervals": replace(full, metrics=made_up_metrics(intervals=False)),
        "reference": replace(full, object_origin="reference", reference_kind="pty_chi", dose_method="thin"),
        "seven methods": with_divergence(made_up_study(methods=SEVEN), "rpie", "dense"),
        "ten methods": made_up_study(methods=TEN),
        "ten methods, three seeds": made_up_study((1, 2, 3), methods=TEN),
        "classical methods alone": made_up_study(methods=TWO_CLASSICAL),
        "two supervised networks": made_up_study(methods=(BASELINE, replace(BASELINE, name="taught", trained_on=None))),
        "one method": made_up_study(methods=TWO_CLASSICAL[:1]),
        "no metadata": replace(full, versions={}, commands=(), settings={}, question=""),
    }


@functools.cache
def _page(name: str) -> str:
    return render_report(_studies()[name])


@pytest.mark.parametrize("name", _studies())
def test_every_study_gives_a_whole_page(name: str) -> None:
    html = _page(name)
    page = _parsed(html)
    assert len(page.ids) == len(set(page.ids))
    assert set(SECTIONS) <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} == set(SECTIONS)
    assert not re.search(r"\b(nan|None|inf)\b", re.sub(r"base64,[\w+/=]+", "", html))


@pytest.mark.parametrize("name", _studies())
def test_the_page_refers_to_nothing_outside_itself(name: str) -> None:
    html = _page(name)
    page = _parsed(html)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "script" not in page.tags
    assert not {a for a in page.attributes if a.startswith("on")}
    assert not re.search(r"https?://|@import|url\(|//\w", re.sub(r"base64,[\w+/=]+", "", html))
    assert "default-src 'none'" in html


def test_the_same_input_gives_the_same_bytes() -> None:
    assert render_report(made_up_study()) == render_report(made_up_study())


def test_row_order_does_not_matter() -> None:
    data = made_up_study((1, 2))
    shuffled = data.metrics.sample(frac=1.0, random_state=3)
    assert render_report(replace(data, metrics=shuffled, frc=data.frc[::-1])) == render_report(data)


def test_untrusted_text_stays_text() -> None:
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'`pinn`"
    data = with_cells_not_done(made_up_study())
    cells = tuple(replace(c, reason=evil, figure_note=evil, digests={evil: evil}) for c in data.cells)
    views = {evil: VIEWS["dense"], **VIEWS}
    metrics = pd.concat([data.metrics, data.metrics[data.metrics["view"] == "dense"].assign(view=evil)])
    html = render_report(
        replace(
            data,
            study_name=evil,
            title=evil,
            question=evil,
            study_hash=evil,
            cells=(*cells, replace(made_up_cell(1e3, "dense"), view=evil, figure_note=evil)),
            views=views,
            metrics=metrics.assign(scoring_version=evil, note=evil),
            versions={evil: evil},
            commands=(evil,),
            settings={evil: evil},
        )
    )
    page = _parsed(html)
    assert "script" not in page.tags
    assert "onerror" not in page.attributes
    assert html.count("</style>") == 1


def test_cells_that_are_not_done_stand_with_their_reasons() -> None:
    text = _text(render_report(with_cells_not_done(made_up_study())))
    for expected in (
        "skipped",
        "9 train positions are kept",
        "failed",
        "out of memory",
        "missing",
        "It has not been run.",
    ):
        assert expected in text


def test_a_reference_is_announced_and_the_word_truth_avoided_as_a_claim() -> None:
    text = _text(render_report(replace(made_up_study(), object_origin="reference")))
    assert "not the truth" in text
    assert "the true object" not in text


def test_a_broken_scale_is_announced() -> None:
    data = made_up_study()
    broken = data.metrics.copy()
    broken.loc[(broken["method"] == "flat") & (broken["metric"] == "pearson"), "value"] = 0.3
    assert "The scale itself is in doubt" in _text(render_report(replace(data, metrics=broken)))
    assert "The scale itself is in doubt" not in _text(render_report(data))


def test_curves_above_half_to_the_end_are_said_to_be_at_least() -> None:
    data = made_up_study()
    metrics = data.metrics.assign(note="")
    mine = (metrics["metric"] == "frc50") & (metrics["method"] == "pty_chi")
    metrics.loc[mine, ["value", "note"]] = (0.5, "no crossing: the correlation stays above 0.5 up to Nyquist")
    assert "≥ 0.500" in _text(render_report(replace(data, metrics=metrics)))


def test_traces_are_drawn_and_compared_at_equal_time() -> None:
    data = made_up_study()
    without, html = (render_report(replace(data, trace=found)) for found in (None, data.trace))
    scored = sum(len(Scores(data.metrics, data.names).methods(d, v)) for v in data.views for d in data.doses)
    one_shot = sum(role.trains != "nothing" for role in data.methods)
    cells_of_networks = 2 * 3 + 3 * 3
    assert one_shot == 2, "a network has no way: its start is at time 0, which has no place on the axis"
    assert html.count('<path class="line"') == without.count('<path class="line"') + scored - cells_of_networks
    assert "At equal CPU time" in _text(html)
    assert "At equal CPU time" not in _text(without)
    assert "At equal CPU time pinn is ahead of pty_chi" in _text(html)


def test_each_method_has_its_marker_and_tooltips_carry_numbers() -> None:
    html = render_report(made_up_study())
    assert "<title>pinn, dense, 10³: 0." in html
    for css in ("m-1", "m-2", "m-3", "m-4", "m-other"):
        assert f'<g class="{css}">' in html


def _signatures(svg: str) -> dict[str, tuple[str, ...]]:
    """What each colour class is drawn with in a chart, colours apart: the dash of its line, the form of its marker."""
    found: dict[str, tuple[str, ...]] = {}
    for css, body in re.findall(r'<g class="(m-\w+)">(<path class="line".*?</g></g>)', svg):
        dash = re.search(r'class="line" d="[^"]*"(?: stroke-dasharray="([^"]*)")?', body)
        mark = re.search(r'<(circle|path) class="mark[^"]*" (?:d="M[-\d.]+ [-\d.]+([^"]*)")?', body)
        assert dash and mark, "a line without a marker"
        found[css] = (dash[1] or "", mark[1], mark[2] or "")
    return found


@pytest.mark.parametrize("section", ["dose", "overlap", "frc"])
def test_ten_methods_are_told_apart_in_every_chart_without_colour(section: str) -> None:
    body = _page("ten methods").split(f'<section id="{section}">')[1].split("</section>")[0]
    charts = re.findall(r'<svg class="chart".*?</svg>', body)
    assert charts
    most = 0
    for chart in charts:
        found = {css: signature for css, signature in _signatures(chart).items() if css != "m-other"}
        assert len(set(found.values())) == len(found)
        most = max(most, len(found))
    assert most == len(TEN)


def _renamed(data: ReportData, names: dict[str, str]) -> ReportData:
    """The study with other names of methods, everywhere."""

    def roles() -> Iterator[MethodRole]:
        for role in data.methods:
            yield replace(role, name=names[role.name], starts_from=names.get(role.starts_from or "", role.starts_from))

    tables = {
        name: table.assign(method=table["method"].replace(names))
        for name, table in (("metrics", data.metrics), ("frc", data.frc), ("trace", data.trace))
    }
    return replace(data, methods=tuple(roles()), **tables)


def test_no_name_of_a_method_decides_anything() -> None:
    data = made_up_study(methods=SEVEN)
    whole = {"baseline": "whole"}
    tables = {n: getattr(data, n).replace({"view": whole}) for n in ("metrics", "frc", "trace")}
    views = {whole.get(v, v): options.model_copy(update={"trains": None}) for v, options in VIEWS.items()}
    roles = tuple(replace(role, kind="any", trained_on=whole.get(role.trained_on or "")) for role in data.methods)
    data = replace(data, views=views, cells=(), methods=roles, **tables)
    new_names = ("wvqq", "wvqq_zyxwvut", "hkvzhvqw", "wjz_vgy", "gkw", "wvqq_gvqv", "ywvj")
    assert [len(name) for name in new_names] == [len(name) for name in data.names]
    other = render_report(_renamed(data, dict(zip(data.names, new_names, strict=True))))
    assert _without_names(other, new_names) == _without_names(render_report(data), data.names)


def _without_names(html: str, names: tuple[str, ...]) -> str:
    html = html.replace("<wbr>", "")
    for place, name in enumerate(names):
        html = re.sub(rf"\b{name}\b", f"method {place}", html)
    return html


def test_a_row_of_no_method_of_the_study_is_not_shown() -> None:
    data = made_up_study()
    stray = data.metrics[data.metrics["method"] == "pinn"].assign(method="stray")
    assert render_report(replace(data, metrics=pd.concat([data.metrics, stray]))) == render_report(data)


def test_labels_follow_what_was_trained() -> None:
    taught = replace(BASELINE, name="pinn", trained_on=None)
    text = _text(render_report(replace(made_up_study(), methods=(taught, *made_up_study().methods[1:]))))
    assert "supervised network; trained on the truth of each view" in text
    assert "trained on the counts alone" not in text
    text = _text(render_report(made_up_study()))
    assert "physics-informed network; trained on the counts alone of each view" in text
    assert "supervised network; trained on the truth of view baseline" in text
    assert "a smoothness prior; starts from pinn and rests on its network" in text
    assert "pty_chi trains nothing." in text


def test_a_study_without_networks_does_not_speak_of_them() -> None:
    text = _text(render_report(made_up_study(methods=TWO_CLASSICAL)))
    for word in ("network", "rained on", "pays off", "learned from", "hollow points add"):
        assert word not in text.replace("a network help", "").replace("physics-informed network", "").replace(
            "supervised network", ""
        ), word


def test_a_metric_for_which_lower_is_better_has_its_column_and_its_charts() -> None:
    data = made_up_study()
    rows = data.metrics[(data.metrics["metric"] == "rmse") & (data.metrics["method"] != "bound")]
    foreign = ReportedMetric("roughness", "phase", "rad", "lower", "phase roughness", 4, "0 is a smooth phase")
    hidden = replace(foreign, name="other", label="another one", charted=False)
    extra = [rows.assign(metric=m.name, value=rows["value"] + 1.0) for m in (foreign, hidden)]
    records = (*data.metric_records, foreign, hidden)
    html = render_report(replace(data, metrics=pd.concat([data.metrics, *extra]), metric_records=records))
    body = html.split('<section id="dose">')[1].split("</section>")[0]
    assert "<h3>phase roughness, rad</h3>" in body
    assert "Lower is better; 0 is a smooth phase." in body.split("<h3>phase roughness, rad</h3>")[1]
    assert "another one" not in body
    table = html.split('<section id="scores">')[1]
    assert ">phase roughness, rad</th>" in table
    assert ">another one, rad</th>" in table
    value = data.metrics.query("metric == 'rmse' and method == 'pinn' and dose == 1e3 and view == 'dense'")
    value = value[value["split"] == "test"]["value"].item() + 1.0
    assert f">{value:.4f}</td>" in table
    assert "phase roughness" not in render_report(data)


def test_what_diverged_is_named_and_left_out_of_every_chart() -> None:
    data = made_up_study(methods=SEVEN)
    html = render_report(with_divergence(data, "rpie", "dense"))
    assert ">diverged</td>" in html
    assert "rpie diverged in dense at every dose" in _text(html)
    for chart in re.findall(r'<svg class="chart".*?</svg>', html):
        if re.search(r'aria-label="dense', chart):
            assert "rpie" not in chart
        assert "10¹¹" not in chart
    assert re.search(r"<title>rpie, sparse, 10³", html)


def _picture() -> bytes:
    """A real comparison figure of a noisy object."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, (3, 100, 140))
    truth = np.exp(1j * np.linspace(-0.5, 0.5, 140) * np.ones((100, 1))).astype(np.complex64)
    aligned = {m: (truth + n).astype(np.complex64) for m, n in zip(("pinn", "baseline", "pty_chi"), noise, strict=True)}
    return comparison_figure(
        ComparisonPanels(truth, np.ones(truth.shape, dtype=bool), aligned, tuple(aligned), title="a cell")
    )


@pytest.mark.slow
def test_a_large_study_stays_small_and_quick() -> None:
    doses = tuple(float(d) for d in np.geomspace(1e2, 1e6, 24))
    picture = _picture()
    assert len(picture) > 60_000
    one, frc = made_up_metrics(), made_up_frc()
    data = replace(
        made_up_study(),
        doses=doses,
        cells=tuple(replace(made_up_cell(d, v), figure_png=picture) for v in VIEWS for d in doses),
        metrics=pd.concat([one[one["dose"] == 1e3].assign(dose=d) for d in doses]),
        frc=pd.concat([frc[frc["dose"] == 1e3].assign(dose=d) for d in doses]),
    )
    start = time.process_time()
    html = render_report(data)
    assert len(html.encode()) < MAX_REPORT_BYTES
    assert time.process_time() - start < 60
    assert "Left out to keep the report small" in html
    assert html.count('src="data:image/png') > 40


def test_pictures_beyond_the_budget_are_shrunk_rather_than_dropped() -> None:
    picture = _picture()
    copies = 5_500_000 // len(picture) + 2
    doses = tuple(1e3 * 2.0**i for i in range(copies))
    cells = tuple(replace(made_up_cell(1e3, "dense"), dose=d, figure_png=picture) for d in doses)
    html = render_report(replace(made_up_study(), doses=doses, views={"dense": VIEWS["dense"]}, cells=cells))
    assert len(html.encode()) < MAX_REPORT_BYTES
    assert html.count('src="data:image/png') == copies + 1
