"""The example packages, installed once; pytest itself does not collect them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fly64_assets.science import registry
from fly64_assets_tests.plugins.installation import EXAMPLES, install

collect_ignore = list(EXAMPLES)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the four example packages, for PYTHONPATH."""
    return install(tmp_path_factory.mktemp("plugins"))


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The packages are found in this process too, for the length of a test."""
    monkeypatch.syspath_prepend(site)
    registry._entries.cache_clear()
    yield site
    registry._entries.cache_clear()
