import numpy as np

from fly64_assets.orchestration.catalog.metadata import table
from fly64_assets.orchestration.graph.columns import described
from fly64_assets.orchestration.graph.study_graph import StudyGraph
from fly64_assets.science.report.scores import WIDE_MEANINGS, Scores, wide_records
from fly64_assets.study import Study
from fly64_assets_tests.science.report.made_up_study import NAMES, made_up_metrics


def test_a_table_says_what_its_columns_are() -> None:
    rows = [{"view": "dense", "seed": 1, "value": np.nan}, {"view": "sparse", "seed": 2, "value": np.float64(0.5)}]
    shown = table(rows, {"value": "a score"})
    columns = {column.name: (column.type, column.description) for column in shown.schema.columns}
    assert columns == {"view": ("string", None), "seed": ("int", None), "value": ("float", "a score")}
    assert [record.data["value"] for record in shown.records] == [None, 0.5]


def test_an_empty_table_says_so() -> None:
    assert table([]).records[0].data == {"": "no rows"}


def test_every_column_of_the_score_tables_has_a_meaning() -> None:
    records = wide_records(Scores(made_up_metrics(), NAMES))
    assert {frozenset(record) for record in records} == {frozenset(WIDE_MEANINGS)}


def test_every_asset_describes_its_columns(tiny: Study) -> None:
    for node in StudyGraph(tiny).nodes.values():
        columns = described(node)["dagster/column_schema"].columns
        assert columns
        assert all(column.name and column.type and column.description for column in columns)
