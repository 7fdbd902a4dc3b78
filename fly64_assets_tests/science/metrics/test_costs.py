from pathlib import Path

import pytest

from fly64_assets.science.metrics.costs import cost_table
from fly64_assets.science.metrics.tables import COSTS

CELL = {"dose": 1e4, "view": "dense", "split": "test", "seed": 2}


def test_a_row_for_every_method_and_cost(tmp_path: Path) -> None:
    spent = {"wide": {"cpu_seconds_reconstruct": 0.5, "cpu_seconds_train": 70.0, "patterns_trained_on": 240}, "map": {}}
    table = cost_table(spent, **CELL)
    assert tuple(table.columns) == COSTS.names
    assert dict(zip(table["metric"], table["value"], strict=True)) == spent["wide"]
    assert set(table["method"]) == {"wide"}
    assert set(table[["dose", "view", "split", "seed"]].itertuples(index=False, name=None)) == {tuple(CELL.values())}
    table.to_csv(tmp_path / "costs.csv", index=False)
    assert COSTS.faults(tmp_path / "costs.csv") == []


def test_no_method_no_rows() -> None:
    assert tuple(cost_table({}, **CELL).columns) == COSTS.names


def test_an_unknown_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="wide has the costs seconds; known are cpu_seconds_reconstruct"):
        cost_table({"wide": {"seconds": 1.0}}, **CELL)
