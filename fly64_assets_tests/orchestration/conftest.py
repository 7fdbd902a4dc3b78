"""A real instance in a temporary data root, empty or with the complete 3 x 3 catalog of the tiny study."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fly64_assets.orchestration.catalog.instance import study_instance
from fly64_assets.orchestration.graph.partitions import PartitionId
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.study import Study, load_study
from fly64_assets_tests.orchestration.catalog_builder import CatalogBuilder

CELLS = [f"{dose}|{view}" for dose in (1000, 10000, 100000) for view in ("baseline", "dense", "sparse")]
TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"


@pytest.fixture
def tiny() -> Study:
    return load_study(str(TINY))


def three_by_three() -> Study:
    return load_study(str(TINY), {"doses": [1000, 10000, 100000]})


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogBuilder]:
    study = three_by_three()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with study_instance(tmp_path, study.name) as instance:
        yield CatalogBuilder(study, instance, tmp_path)


def _extend(root: Path, items: list[PartitionId]) -> None:
    study = three_by_three()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(root / "dagster"))
        with study_instance(root, study.name) as instance:
            builder = CatalogBuilder(study, instance, root)
            for item in items:
                builder.materialize(item)


@pytest.fixture(scope="session")
def four_cells_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled once, because a hundred catalog writes take their time; tests work on copies."""
    root = tmp_path_factory.mktemp("four_cells")
    _extend(root, [item for item in StudyGraph(three_by_three()).walk_order() if item.partition not in CELLS[4:]][:-1])
    return root


@pytest.fixture(scope="session")
def filled_root(four_cells_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rest beside the four cells, the report last."""
    root = tmp_path_factory.mktemp("filled") / "root"
    shutil.copytree(four_cells_root, root)
    _extend(
        root, [item for item in StudyGraph(three_by_three()).walk_order() if item.partition in (*CELLS[4:], None)][1:]
    )
    return root


def _open_copy(source: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogBuilder]:
    shutil.copytree(source, root)
    monkeypatch.setenv("DAGSTER_HOME", str(root / "dagster"))
    study = three_by_three()
    with study_instance(root, study.name) as instance:
        yield CatalogBuilder(study, instance, root)


@pytest.fixture
def filled(filled_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogBuilder]:
    yield from _open_copy(filled_root, tmp_path / "root", monkeypatch)


@pytest.fixture
def four_cells(four_cells_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CatalogBuilder]:
    yield from _open_copy(four_cells_root, tmp_path / "root", monkeypatch)
