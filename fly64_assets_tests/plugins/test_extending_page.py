"""docs/extending.md shows the packages that the tests install, line by line."""

import re
from pathlib import Path

import pytest
import yaml

from fly64_assets.science.interop.record import FORMATS
from fly64_assets.science.methods.record import METHOD_KINDS
from fly64_assets.science.metrics.record import METRICS
from fly64_assets.science.networks.record import NETWORKS
from fly64_assets.science.options import ScoringOptions
from fly64_assets_tests.plugins.installation import EXAMPLES, HERE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "extending.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"(?s)<!-- (\S+) -->\n```\w+\n(.*?)```\n", PAGE))


def test_every_example_is_shown() -> None:
    assert {f"{name}/{name}.py" for name in EXAMPLES} < set(SHOWN)


@pytest.mark.parametrize("path", SHOWN)
def test_what_is_shown_is_what_is_installed(path: str) -> None:
    assert SHOWN[path] == (HERE / path).read_text(encoding="utf-8")


def test_groups_records_and_files_that_it_names_exist() -> None:
    for registry in (METHOD_KINDS, NETWORKS, METRICS, FORMATS):
        assert f"`{registry.group}`" in PAGE
        assert registry.record.__name__ in PAGE
    for path in re.findall(r"`(science/\S+\.py)`", PAGE):
        assert (DOCS.parent / "fly64_assets" / path).is_file(), path


def test_options_in_its_studies_are_options_of_the_kinds(installed: Path) -> None:
    blocks = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)
    assert blocks
    for block in blocks:
        document = yaml.safe_load(block)
        ScoringOptions.model_validate(document.get("scoring", {}))
        methods = document.get("methods", {})
        for entry in methods.values():
            METHOD_KINDS.get(entry["kind"]).options.model_validate(entry.get("options", {}))
            assert entry.get("starts_from", "map") in methods or "starts_from" not in entry
