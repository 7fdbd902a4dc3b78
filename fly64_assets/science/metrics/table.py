"""The metrics table as a contract: fixed columns, known labels, and sanity rows that must hold."""

from pathlib import Path

import pandas as pd

from fly64_assets.science.metrics.scoring import BOUND_METHOD, SANITY_METHODS, TABLE_COLUMNS
from fly64_assets.science.records import METHODS, SPLITS, Fault

PERFECT_PEARSON = 0.999


def table_faults(path: Path) -> list[Fault]:
    """What is wrong with a metrics table; empty if nothing is.

    Args:
        path: a CSV as :func:`fly64_assets.science.metrics.scoring.score_cell` makes it, provenance columns allowed.
    """
    table = pd.read_csv(path)
    missing = [column for column in TABLE_COLUMNS if column not in table.columns]
    if missing:
        return [_fault("metrics-columns", str(path), f"columns {', '.join(TABLE_COLUMNS)}", f"no {', '.join(missing)}")]
    faults = []
    known = {*METHODS, *SANITY_METHODS, BOUND_METHOD}
    unknown = sorted(set(table["method"]) - known)
    if unknown:
        faults.append(_fault("metrics-methods", str(path), f"methods {', '.join(sorted(known))}", ", ".join(unknown)))
    absent = sorted(set(SPLITS) - set(table["split"]))
    if absent:
        faults.append(_fault("metrics-splits", str(path), "rows of both splits", f"none of {', '.join(absent)}"))
    return faults + _sanity_faults(table, path)


def _sanity_faults(table: pd.DataFrame, path: Path) -> list[Fault]:
    pearson = table.loc[(table["metric"] == "pearson") & (table["part"] == "phase")]
    truth = pearson.loc[pearson["method"] == "truth", "value"].to_numpy()
    flat = pearson.loc[pearson["method"] == "flat", "value"].to_numpy()
    faults = []
    if not truth.size or not (truth > PERFECT_PEARSON).all():
        faults.append(_fault("metrics-truth", str(path), "Pearson 1 for the truth itself", str(truth.tolist())))
    if not flat.size or not (flat == 0).all():
        faults.append(_fault("metrics-flat", str(path), "Pearson 0 for a flat object", str(flat.tolist())))
    return faults


def _fault(rule: str, where: str, expected: str, actual: str) -> Fault:
    return Fault(rule, where, expected, actual, "Materialize comparison_metrics of this cell again.")
