"""The score table as a contract: its schema, every row that is expected, and sanity rows that must hold."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from fly64_assets.science.metrics.record import Metric, scored_metrics
from fly64_assets.science.metrics.table_schema import listed
from fly64_assets.science.metrics.tables import SCORES
from fly64_assets.science.records import ALIGNMENTS, BOUND_METHOD, SANITY_METHODS, SPLITS, Fault, Split

PERFECT_PEARSON = 0.999
_ONE_OBJECT: Mapping[str, Collection[str]] = MappingProxyType({"object": ()})
_ROUNDING = 1e-9
_BOUND_METRICS = {"photons_per_object_pixel": "", "phase_bound_rms": "phase"}
"""Rows of the cell itself, with their parts; the bound may be switched off."""

_RECOVERED_BOUND = ("phase_bound_recovered", "phase")
"""Row of a method beside its scores, where the bound is computed."""

Key = tuple[str, str, str]
"""Metric, part and alignment."""


def _keys_of(metrics: tuple[Metric, ...]) -> list[Key]:
    """The rows that every method has: images under every alignment, counts without one."""
    return [(*m.key, name) for m in metrics for name in (("",) if m.needs == "counts" else ALIGNMENTS)]


def table_faults(
    path: Path,
    *,
    methods: Collection[str],
    dose: float,
    view: str,
    seeds: Collection[int],
    objects: Mapping[str, Collection[str]] = _ONE_OBJECT,
    skipped: Collection[str] = (),
    splits: Collection[Split] = SPLITS,
    metrics: tuple[Metric, ...] | None = None,
) -> list[Fault]:
    """What is wrong with the score table of one cell; empty if nothing is.

    Args:
        path: a CSV as :func:`fly64_assets.science.metrics.scoring.score_cell` makes it, provenance columns allowed.
        methods: every method of the study, by name.
        dose: of the cell.
        view: of the cell.
        seeds: of the study.
        objects: name of each object to the methods that were not run on it. Those after the first are scored on the
            test split alone.
        skipped: the methods that are skipped in this cell, and must have no rows.
        splits: that were scored.
        metrics: that were scored; None: every metric that is installed.
    """
    table, faults = SCORES.read(path)
    if any(fault.rule in {"metrics-readable", "metrics-columns", "metrics-type"} for fault in faults):
        return faults
    metrics = scored_metrics() if metrics is None else metrics
    expected = (*(name for name in methods if name not in set(skipped)), *SANITY_METHODS)
    judged = _Judged(table, str(path), expected, tuple(seeds), tuple(splits), metrics, objects)
    return [
        *faults,
        *judged.other_cells(dose, view),
        *judged.names("methods", "method", (*expected, BOUND_METHOD)),
        *judged.names("splits", "split", splits),
        *judged.names("seeds", "seed", seeds),
        *judged.names("objects", "object", objects),
        *judged.other_metrics(),
        *judged.missing_rows(),
        *judged.ranges(),
        *judged.sanity(),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A table whose columns are sound, and what it should hold."""

    table: pd.DataFrame
    path: str
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: tuple[Split, ...]
    metrics: tuple[Metric, ...]
    objects: Mapping[str, Collection[str]]

    def other_cells(self, dose: float, view: str) -> list[Fault]:
        """Rows of another dose or view."""
        faults = []
        for column, value in (("dose", float(dose)), ("view", view)):
            others = sorted(set(self.table[column]) - {value})
            if others:
                where = f"{self.path}, {column}"
                faults.append(
                    SCORES.fault(
                        "cell", where, f"{value} alone", listed([str(other) or "an empty field" for other in others])
                    )
                )
        return faults

    def names(self, rule: str, column: str, expected: Collection) -> list[Fault]:
        """Names in a column that nobody expects, and expected ones that it lacks altogether."""
        found, faults = set(self.table[column]), []
        wanted = ", ".join(map(str, expected))
        for actual, names in (("also", found - set(expected)), ("no", set(expected) - found)):
            if names:
                said = f"{actual} {', '.join(sorted(map(str, names)))}"
                faults.append(SCORES.fault(rule, f"{self.path}, {column}", wanted, said))
        return faults

    def other_metrics(self) -> list[Fault]:
        """Metrics that are not known, or stand under another kind of row."""
        of_cell = self.table["method"] == BOUND_METHOD
        of_methods = {*_keys_of(self.metrics), (*_RECOVERED_BOUND, "")}
        of_cells = {(*key, "") for key in _BOUND_METRICS.items()}
        allowed = [key in (of_cells if cell else of_methods) for key, cell in zip(self._keys(), of_cell, strict=True)]
        others = sorted({_said(*key) for key, known in zip(self._keys(), allowed, strict=True) if not known})
        if not others:
            return []
        known = ", ".join(sorted({_said(*metric.key) for metric in self.metrics}))
        return [SCORES.fault("metric", f"{self.path}, metric", f"of methods: {known}", listed(others))]

    def missing_rows(self) -> list[Fault]:
        """Rows that a method, split or seed which the table has should have as well."""
        columns = self.table[["method", "object", "split", "seed"]].itertuples(index=False, name=None)
        found = {(*row, *key) for row, key in zip(columns, self._keys(), strict=True)}
        present = {column: set(self.table[column]) for column in ("method", "object", "split", "seed")}
        first = next(iter(self.objects))
        wanted = [(method, *key) for method in self.methods for key in _keys_of(self.metrics)]
        wanted.append((BOUND_METHOD, "photons_per_object_pixel", "", ""))
        missing = [
            f"{_said(method, *key)} ({'' if name == first else f'{name}, '}{split}, seed {seed})"
            for name, absent in self.objects.items()
            for seed in self.seeds
            for split in (self.splits if name == first else [s for s in self.splits if s == "test"])
            for method, *key in wanted
            if method in present["method"] and split in present["split"] and seed in present["seed"]
            if name in present["object"] and method not in absent
            if (method, name, split, seed, *key) not in found
        ]
        if not missing:
            return []
        return [SCORES.fault("rows", self.path, "a row for every method, split, seed and metric", listed(missing))]

    def ranges(self) -> list[Fault]:
        """Values that their metric cannot have."""
        faults, keys = [], pd.Series(list(self._keys()), index=self.table.index, dtype=object)
        for metric in self.metrics:
            values = self.table.loc[keys.map(lambda key, mine=metric.key: key[:2] == mine), "value"].dropna()
            outside = values[(values < metric.low - _ROUNDING) | (values > metric.high + _ROUNDING)]
            if len(outside):
                where = f"{self.path}, {metric.name}"
                expected = f"values from {metric.low:g} to {metric.high:g}"
                faults.append(SCORES.fault("range", where, expected, listed([f"{v:g}" for v in outside])))
        return faults

    def sanity(self) -> list[Fault]:
        """The truth must score as the truth, a flat object as nothing."""
        if ("pearson", "phase") not in {metric.key for metric in self.metrics}:
            return []
        pearson = self.table[(self.table["metric"] == "pearson") & (self.table["part"] == "phase")]
        truth = pearson.loc[pearson["method"] == "truth", "value"]
        flat = pearson.loc[pearson["method"] == "flat", "value"]
        faults = []
        if not (truth > PERFECT_PEARSON).all():
            faults.append(SCORES.fault("truth", self.path, "Pearson 1 for the truth itself", str(truth.tolist())))
        if not (flat == 0).all():
            faults.append(SCORES.fault("flat", self.path, "Pearson 0 for a flat object", str(flat.tolist())))
        return faults

    def _keys(self) -> list[Key]:
        return list(zip(self.table["metric"], self.table["part"], self.table["alignment"], strict=True))


def _said(*words: str) -> str:
    return " ".join(word for word in words if word)
