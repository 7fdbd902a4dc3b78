"""A study of ten methods that names the example packages, run as a user runs it; fly64_assets itself is as it is."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fly64_assets_tests.plugins.installation import HERE, with_packages

STUDY = HERE / "guests.yaml"
METHODS = tuple(yaml.safe_load(STUDY.read_text())["methods"])
OF_THE_EXAMPLE = ("guest_gradient", "gradient_after_pinn")
CELL = "dose_10000/dense"

pytestmark = pytest.mark.trust

LAUNCHPAD = """
import json, sys
import dagster as dg
from fly64_assets.definitions import defs
fields = {}
for asset in defs.assets:
    config = asset.op.config_schema.config_type
    for key in asset.keys:
        fields[key.to_user_string()] = {
            name: field.description for name, field in getattr(config, "fields", {}).items()
        }
print(json.dumps(fields))
"""


def run(site: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLY64_", "DAGSTER_"))}
    variables = {"FLY64_DATA_ROOT": str(root), "FLY64_STUDY": str(STUDY), "OMP_NUM_THREADS": "1"}
    environment = with_packages(site, {**kept, **variables})
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=1800, check=False
    )


def fly64(site: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(site, root, "-m", "fly64_assets.cli", *arguments)


@pytest.fixture(scope="module")
def root(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study."""
    folder = tmp_path_factory.mktemp("guests")
    result = fly64(site, folder, "study", "--jobs", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return html.unescape((root / "study_report" / "report.html").read_text())


def text_of(markup: str) -> str:
    """What a reader sees of a page, apart from its charts."""
    markup = re.sub(r"(?s)<(style|svg).*?</\1>", " ", markup.replace("<wbr>", ""))
    return " ".join(re.sub(r"<[^>]*>", " ", markup).split())


def planned(site: Path, root: Path) -> list[str]:
    result = fly64(site, root, "study", "--dry-run")
    assert result.returncode == 0, result.stderr
    return [line.split()[1] for line in result.stdout.splitlines() if line.startswith("run ")]


def test_nothing_is_left_to_do(site: Path, root: Path) -> None:
    assert planned(site, root) == []


def test_every_method_is_scored_by_the_guest_metric_and_by_all_others(root: Path) -> None:
    scores = pd.read_csv(root / "comparison_metrics" / CELL / "comparison_metrics.csv")
    test = scores[(scores["split"] == "test") & scores["method"].isin(METHODS)]
    table = test.pivot_table(index="method", columns=["metric", "part"], values="value")
    assert set(table.index) == set(METHODS)
    guest, ssim = table["example_metric", "phase"], table["ssim", "phase"]
    assert np.isfinite(guest).all()
    assert ((guest >= 0) & (guest <= np.pi)).all()
    assert np.isfinite(ssim).all()
    whole = pd.read_csv(root / "study_report" / "metrics.csv")
    pd.testing.assert_frame_equal(whole[whole["view"] == "dense"].reset_index(drop=True), scores)


def test_the_way_of_the_guest_is_kept_and_costs_what_it_started_from(root: Path) -> None:
    folder = root / "comparison_metrics" / CELL
    keys = ["dose", "view", "split", "seed", "method", "step"]
    trace = pd.read_csv(folder / "trace.csv").merge(pd.read_csv(folder / "trace_costs.csv"), on=keys)
    assert set(trace["method"]) == set(METHODS)
    for _, way in trace.groupby("method"):
        assert 1 <= len(way) <= 8
        assert way.sort_values("step")["cpu_seconds"].is_monotonic_increasing
    first = trace.sort_values("step").groupby("method")["cpu_seconds"].first()
    last = trace.sort_values("step").groupby("method")["cpu_seconds"].last()
    assert first["gradient_after_pinn"] >= last["pinn"]


def charts_of(page: str, about: str, view: str) -> list[str]:
    """Charts whose description speaks of something, titled by a view."""
    charts = re.findall(r"(?s)<svg class=\"chart\".*?</svg>", page)
    return [chart for chart in charts if about in between(chart, "desc") and between(chart, "text").startswith(view)]


def between(markup: str, tag: str) -> str:
    found = re.search(rf"(?s)<{tag}\b[^>]*>(.*?)</{tag}>", markup)
    return found[1] if found else ""


def test_the_report_shows_the_guests_in_tables_charts_and_at_equal_time(page: str) -> None:
    text = text_of(page)
    assert "worst phase error, rad Lower is better; phase error that one scored pixel in a hundred exceeds." in text
    (guest,) = charts_of(page, "worst phase error", "dense")
    (ways,) = charts_of(page, "CPU", "dense")
    equal_time = text[text.index("At equal CPU time") :]
    for method in METHODS:
        assert f"<title>{method}," in guest
        assert f">{method}</text>" in ways or f"<title>{method}" in ways
        assert method in equal_time


def test_the_best_by_the_guest_metric_is_the_lowest(root: Path, page: str) -> None:
    scores = pd.read_csv(root / "comparison_metrics" / CELL / "comparison_metrics.csv")
    mine = scores[(scores["metric"] == "example_metric") & (scores["split"] == "test")]
    values = mine.set_index("method")["value"]
    assert values["truth"] == pytest.approx(0, abs=1e-3)
    assert values[list(METHODS)].min() < values["flat"]
    drawn = charts_of(page, "worst phase error", "dense")[0]
    shown = dict(re.findall(r"<title>(\w+), dense, [^:]*: ([\d.]+)", drawn))
    assert {method: float(value) for method, value in shown.items()} == pytest.approx(
        values[list(METHODS)].to_dict(), abs=1e-3
    )


def test_ten_methods_are_told_apart_without_colour(page: str) -> None:
    (chart,) = charts_of(page, "worst phase error", "dense")
    marks = re.findall(
        r"<title>(\w+),.*?</title>.*?(?:class=\"(?:stroke-)?mark\" d=\"M\S+ [-\d.]+([^\"]*)\"|<circle)", chart
    )
    assert [method for method, _ in marks] == list(METHODS)
    assert len({shape for _, shape in marks}) == len(METHODS)


def test_the_figure_of_a_cell_is_there(root: Path) -> None:
    picture = (root / "comparison_metrics" / CELL / "comparison.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_the_launchpad_offers_the_guests_options(site: Path, root: Path) -> None:
    result = run(site, root, "-c", LAUNCHPAD)
    assert result.returncode == 0, result.stderr
    fields = json.loads(result.stdout.splitlines()[-1])
    assert "Looks at the data." in fields["reconstruction/guest_gradient"]["iterations"]
    assert "iterations" not in fields["reconstruction/map"]


def test_a_new_version_of_a_guest_makes_what_it_made_stale_and_nothing_else(
    site: Path, root: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(site, tmp_path / "site")
    (info,) = newer.glob("example_gradient-*.dist-info")
    metadata = info / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    views = ("baseline", "dense")
    stale = {f"reconstruction/{method}[10000|{view}]" for method in OF_THE_EXAMPLE for view in views}
    assert stale <= set(planned(newer, root))
    assert not [item for item in planned(newer, root) if item.startswith(("scan", "overlap", "trained", "training"))]


def test_a_change_in_the_guest_networks_code_trains_it_anew_and_no_other(
    site: Path, root: Path, tmp_path: Path
) -> None:
    newer = shutil.copytree(site, tmp_path / "site")
    module = newer / "example_network.py"
    module.write_text(module.read_text().replace("torch.tensor(0.5)", "torch.tensor(0.6)"))
    found = planned(newer, root)
    assert "training/guest_network[10000|dense]" in found
    assert "reconstruction/guest_network[10000|dense]" in found
    assert not [item for item in found if item.startswith(("trained_bundle", "reconstruction/pinn", "overlap"))]
