"""``fly64 methods``: what is installed, where it is from, and the options of one kind."""

import io
import json
import sys
import types
from importlib.metadata import EntryPoint
from typing import Literal

import pytest
from pydantic import Field
from rich.console import Console
from typer.testing import CliRunner

from fly64_assets.cli.app import app
from fly64_assets.cli.listing import option_rows, print_installed
from fly64_assets.science import registry
from fly64_assets.science.interop.ptychodus import PTYCHODUS
from fly64_assets.science.methods.record import Estimate, MethodKind
from fly64_assets.science.metrics.record import Metric
from fly64_assets.science.options import GaussianProbe, Options, ProbeOptions


class MineOptions(Options):
    """Options of somebody's method."""

    passes: int = Field(default=20, ge=1, le=1000, description="Looks at the data.")
    rate: float | None = Field(default=None, gt=0, lt=0.5, description="Step length; [null] measures it.")
    rule: Literal["a", "b"] = Field(default="a", description="Update rule.")
    label: str = Field(max_length=40, description="Has no default.")
    window: tuple[int, float] = Field(default=(1, 2.5), description="Two numbers.")
    even: int = Field(default=4, multiple_of=2, description="An even number.")
    fast: bool = Field(default=True, description="Whether to hurry.")
    probe: ProbeOptions = Field(default=GaussianProbe(), description="X.")


def reconstruct(measurement, options, given):
    yield Estimate(measurement.probe[0], 1)


MINE = MethodKind(
    name="mine",
    meaning="somebody's solver",
    options=MineOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
SHORTEST = Metric(
    name="shortest", meaning="a path length", part="phase", unit="px", direction="lower", label="path", digits=1,
    compute=lambda image, truth, mask: 0.0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    module = types.ModuleType("somebodys")
    module.MINE, module.SHORTEST = MINE, SHORTEST
    monkeypatch.setitem(sys.modules, "somebodys", module)
    entries = [
        EntryPoint("mine", "somebodys:MINE", "fly64_assets.methods"),
        EntryPoint("broken", "somebodys_missing:BROKEN", "fly64_assets.methods"),
        EntryPoint("twice", "somebodys:MINE", "fly64_assets.methods"),
        EntryPoint("twice", "elsewhere:MINE", "fly64_assets.methods"),
        EntryPoint("shortest", "somebodys:SHORTEST", "fly64_assets.metrics"),
        EntryPoint("ptychodus", "fly64_assets.science.interop.ptychodus:PTYCHODUS", "fly64_assets.formats"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry for entry in entries if entry.group == group])
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


def lines(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, ["methods", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_kinds_are_listed_one_a_line_with_what_they_train_and_where_they_are_from():
    heading, broken, mine, twice = lines()
    assert heading.split("  ")[0] == "name"
    columns = [column.strip() for column in mine.split("  ") if column]
    assert columns == ["mine", "somebody's solver", "nothing", "yes", "somebodys:MINE"]
    assert "cannot be imported: ModuleNotFoundError: No module named 'somebodys_missing'" in broken
    assert "registered by somebodys:MINE, elsewhere:MINE: uninstall one" in twice
    starts = {line.index(word) for line, word in ((heading, "trains"), (mine, "nothing"))}
    assert len(starts) == 1  # columns are aligned
    assert all(line == line.rstrip() for line in (heading, broken, mine, twice))


def test_everything_adds_networks_metrics_and_formats():
    listed = lines("--all")
    text = "\n".join(listed)
    [metric] = [line for line in listed if line.startswith("shortest")]
    columns = [column.strip() for column in metric.split("  ") if column]
    assert columns == ["shortest", "a path length", "phase", "px", "lower", "somebodys:SHORTEST"]
    for title in ("Kinds of methods", "Networks", "Metrics", "File formats"):
        assert text.count(title) == 1
    assert "reads datasets, reads reconstructions, writes datasets, writes reconstructions" in text
    assert ".h5 .hdf5" in text


def test_the_options_of_a_kind_come_from_its_schema():
    probe = json.dumps({"kind": "gaussian", "fwhm_px": 16.0})
    assert option_rows(MineOptions) == [
        ("passes", "integer", "at least 1, at most 1000", "20", "Looks at the data."),
        ("rate", "number or null", "above 0, below 0.5", "null", "Step length; [null] measures it."),
        ("rule", "choice", "a, b", "a", "Update rule."),
        ("label", "string", "at most 40 characters", "required", "Has no default."),
        ("window", "list of integer or number", "", "[1, 2.5]", "Two numbers."),
        ("even", "integer", "a multiple of 2", "4", "An even number."),
        ("fast", "boolean", "", "true", "Whether to hurry."),
        ("probe", "record", "kind: file, gaussian, pupil, zone_plate", probe, "X."),
    ]  # fmt: skip
    first, empty, heading, *rows = lines("mine")
    assert first == "kind of method mine: somebody's solver (somebodys:MINE)"
    assert empty == ""
    assert heading.split() == ["option", "type", "bounds", "default", "description"]
    assert len(rows) == len(MineOptions.model_fields)
    assert rows[1].endswith("Step length; [null] measures it.")


def test_a_format_has_options_too_and_an_unknown_name_the_nearest():
    assert lines("ptychodus")[0].startswith(f"file format ptychodus: {PTYCHODUS.meaning}")
    result = CliRunner().invoke(app, ["methods", "mien"])
    assert result.exit_code == 1
    assert str(result.exception) == "unknown kind of method 'mien'; did you mean 'mine'? (known: broken, mine, twice)"


def test_a_terminal_gets_a_table_that_fits_it():
    stream = io.StringIO()
    print_installed(
        Console(file=stream, force_terminal=True, width=70, soft_wrap=True, color_system=None), everything=False
    )
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= 70
    assert "somebody's" in text
