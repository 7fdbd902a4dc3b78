"""docs/architecture.md against the code: its modules exist, none stands twice on a way, and the layers hold."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE))


def steps(section: str) -> list[str]:
    return re.findall(r"(?m)^\d+\. `([^`]+\.py)`", SECTIONS[section])


def test_the_four_ways_are_there() -> None:
    assert list(SECTIONS) == ["A dose", "A view", "A measurement", "A reconstruction"]
    assert all(len(steps(section)) > 10 for section in SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_no_module_stands_twice_on_a_way(section: str) -> None:
    assert len(set(steps(section))) == len(steps(section))


def test_every_module_that_it_names_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)`", PAGE)
    assert [
        path for path in named if not (ROOT / path).is_file() and not (ROOT / "fly64_assets" / path).is_file()
    ] == []
