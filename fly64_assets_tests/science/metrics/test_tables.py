"""The schemas of the tables: what the code writes has no fault, what is broken has one; the documentation agrees."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fly64_assets.science.metrics.cell_scores import CURVE_COLUMNS
from fly64_assets.science.metrics.costs import cost_table
from fly64_assets.science.metrics.scoring import score_cell
from fly64_assets.science.metrics.table_schema import TableSchema
from fly64_assets.science.metrics.tables import COSTS, CURVES, HISTORY, SCORES, TABLES, TRACE, TRACE_COSTS
from fly64_assets.science.metrics.trace import score_trace
from fly64_assets.science.options import ScoringOptions
from fly64_assets_tests.science.metrics import cells

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "tables.md"
CELL = {"dose": 1e4, "view": "dense", "split": "test", "seed": 1}
DATASET, SCAN = cells.cell()
BARE = ScoringOptions(bootstrap_samples=0, bound_patches=0)


def curves() -> pd.DataFrame:
    result = cells.reconstruction(cells.truth())
    return score_cell({"map": result}, DATASET, SCAN, BARE, **CELL, rng=np.random.default_rng(0)).frc_curves


def trace() -> pd.DataFrame:
    spoiled = np.full_like(cells.truth(), np.nan)
    steps = {3: cells.reconstruction(cells.truth()), 0: cells.reconstruction(spoiled)}
    found = score_trace(steps, DATASET, SCAN, BARE).assign(**CELL, object="object", method="map")
    return found[list(TRACE.names)]


MADE: dict[str, pd.DataFrame] = {
    "costs.csv": cost_table({"map": {"cpu_seconds_reconstruct": 2.0}, "wide": {"patterns_trained_on": 10}}, **CELL),
    "frc_curves.csv": curves(),
    "trace.csv": trace(),
    "trace_costs.csv": trace().drop(columns="value").assign(cpu_seconds=[0.0, 1.5]),
    "history.csv": pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [1.5, -0.9], "validation_loss": [0.9, 0.8], "learning_rate": [2e-3, 1e-3]}
    ),
}
BY_FILE = {schema.file: schema for schema in TABLES}


def rules(schema: TableSchema, table: pd.DataFrame, folder: Path) -> list[str]:
    path = folder / schema.file
    table.to_csv(path, index=False)
    return [fault.rule for fault in schema.faults(path)]


@pytest.mark.parametrize("file", MADE)
def test_a_table_as_it_is_written_has_no_fault(file: str, tmp_path: Path) -> None:
    assert tuple(MADE[file].columns) == BY_FILE[file].names
    assert rules(BY_FILE[file], MADE[file], tmp_path) == []
    assert rules(BY_FILE[file], MADE[file].iloc[:0], tmp_path) == []


@pytest.mark.parametrize(
    ("schema", "column", "value", "kind"),
    [
        (COSTS, "metric", "money", "range"),
        (COSTS, "value", -1.0, "range"),
        (COSTS, "value", "much", "type"),
        (COSTS, "dose", np.nan, "type"),
        (CURVES, "frequency_cycles_per_px", 0.7, "range"),
        (CURVES, "frc", 1.1, "range"),
        (CURVES, "frc", np.nan, "type"),
        (CURVES, "split", "both", "range"),
        (TRACE, "step", -1, "range"),
        (TRACE, "step", 0.5, "type"),
        (TRACE, "value", 2.0, "range"),
        (TRACE_COSTS, "cpu_seconds", np.nan, "type"),
        (TRACE_COSTS, "cpu_seconds", -1.0, "range"),
        (HISTORY, "epoch", 0, "range"),
        (HISTORY, "train_loss", np.nan, "type"),
        (HISTORY, "validation_loss", np.inf, "range"),
        (HISTORY, "learning_rate", -1.0, "range"),
    ],
)
def test_a_wrong_field_is_a_fault(schema: TableSchema, column: str, value: object, kind: str, tmp_path: Path) -> None:
    table = MADE[schema.file].astype({column: object})
    table.loc[table.index[0], column] = value
    assert rules(schema, table, tmp_path) == [f"{schema.rule}-{kind}"]


@pytest.mark.parametrize("file", MADE)
def test_a_row_twice_and_a_lost_column_are_faults(file: str, tmp_path: Path) -> None:
    schema, table = BY_FILE[file], MADE[file]
    assert rules(schema, pd.concat([table, table.iloc[:1]]), tmp_path) == [f"{schema.rule}-duplicate"]
    for column in schema.names:
        assert rules(schema, table.drop(columns=column), tmp_path) == [f"{schema.rule}-columns"]


def test_several_faults_come_together(tmp_path: Path) -> None:
    table = MADE["history.csv"].astype(object)
    table.loc[0, "train_loss"], table.loc[1, "epoch"] = "low", 0
    assert rules(HISTORY, table.assign(extra=1), tmp_path) == ["history-columns", "history-range", "history-type"]


@pytest.mark.parametrize("schema", TABLES, ids=lambda schema: schema.file)
def test_a_schema_describes_every_column_once(schema: TableSchema) -> None:
    names = [name for name, _, _ in schema.described()]
    assert len(set(names)) == len(names)
    assert set(schema.key) <= set(schema.names) <= set(names)
    assert all(meaning and not meaning.endswith(".") for _, _, meaning in schema.described())


def test_no_table_holds_a_measured_time_beside_scores() -> None:
    assert not any("cpu" in name for schema in (SCORES, CURVES, TRACE, HISTORY) for name in schema.names)
    assert CURVES.names == CURVE_COLUMNS


def test_the_documentation_has_every_table_as_it_is() -> None:
    text = DOCUMENTATION.read_text()
    for schema in TABLES:
        assert schema.markdown() in text, (
            f"{DOCUMENTATION}: replace the section {schema.file} by TableSchema.markdown()"
        )


def test_a_schema_costs_pandera_only_when_it_is_used() -> None:
    modules = "fly64_assets.science.metrics.table, fly64_assets.science.metrics.scoring"
    code = f"import sys, {modules}; print('pandera' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
