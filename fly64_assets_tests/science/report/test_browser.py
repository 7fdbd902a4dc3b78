"""The report in a real browser: no console error, no request, nothing wider than the screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fly64_assets.science.palette import method_styles
from fly64_assets.science.report import render_report
from fly64_assets_tests.science.report.made_up_study import (
    TEN,
    TWO_CLASSICAL,
    made_up_study,
    with_cells_not_done,
    with_divergence,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


STUDIES = {
    "four methods, cells not done": lambda: with_cells_not_done(made_up_study()),
    "ten methods, one diverged": lambda: with_divergence(made_up_study(methods=TEN), "rpie", "dense"),
    "two classical methods": lambda: made_up_study(methods=TWO_CLASSICAL),
}


@pytest.fixture(scope="module", params=STUDIES)
def report(request, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(STUDIES[request.param]()), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_quietly_and_fits(browser, report: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    context.close()


def test_chart_labels_lie_inside_their_charts_and_do_not_touch(browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(report.as_uri())
    faults = page.evaluate(
        """() => [...document.querySelectorAll("svg.chart")].flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            const labels = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
            const out = labels.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1);
            const hits = labels.flatMap(([a, p], i) => labels.slice(i + 1).filter(([b, q]) =>
                p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3
            ).map(([b]) => a + " / " + b));
            return [...out.map(([t]) => "outside: " + t), ...hits];
        })"""
    )
    assert faults == []
    page.close()


def test_it_prints_in_light_colours(browser, report: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--page').trim()") == "#ffffff"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_methods_take_the_colours_of_the_palette(browser, report: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    seen = page.evaluate(
        """() => [...document.querySelectorAll("#dose .legend .name")].map(
            name => [name.textContent, getComputedStyle(name).color])"""
    )
    styles = method_styles(name for name, _ in seen)
    for name, colour in seen:
        hexadecimal = getattr(styles[name], scheme)
        red, green, blue = (int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))
        assert colour == f"rgb({red}, {green}, {blue})", name
    context.close()
