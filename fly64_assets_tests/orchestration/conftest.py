"""A real instance in a temporary data root, and the tiny study."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fly64_assets.orchestration.instance import study_instance
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


@pytest.fixture
def tiny() -> Study:
    return load_study(str(TINY))


@pytest.fixture
def three_by_three() -> Study:
    return load_study(str(TINY), {"doses": [1000, 10000, 100000]})


@pytest.fixture
def catalog(three_by_three: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogBuilder]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with study_instance(tmp_path, three_by_three.name) as instance:
        yield CatalogBuilder(three_by_three, instance, tmp_path)
