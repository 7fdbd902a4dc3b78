"""What a table holds, said once: its check, the catalog's columns and the documentation come from one schema."""

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from fly64_assets.science.records import Fault

if TYPE_CHECKING:
    import pandera.pandas as pa

Kind = Literal["string", "int", "float", "bool"]

_FIRST_LINE = 2
"""Line of the first row in a CSV: the header is line 1."""
_TYPE_CHECKS = ("coerce_dtype", "not_nullable", "dtype")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: header.
        kind: type of its values; a bool is written True or False.
        meaning: one line for the catalog and the documentation.
        empty: whether a field may be empty.
        required: whether the column must be there.
        values: the only values that it may have; empty: any.
        low: smallest number, up to rounding; None: no bound.
        high: largest number.
    """

    name: str
    kind: Kind
    meaning: str
    empty: bool = False
    required: bool = True
    values: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    @property
    def domain(self) -> str:
        """What a field may hold, in words."""
        words = {"string": "text", "int": "a whole number", "float": "a finite number", "bool": "True or False"}
        allowed = ", ".join(self.values) or words[self.kind]
        if self.low is not None:
            allowed += f" >= {self.low:g}"
        if self.high is not None:
            allowed += f"{' and' if self.low is not None else ''} <= {self.high:g}"
        return allowed + (" or empty" if self.empty else "")

    def holds(self, values: pd.Series) -> pd.Series:
        """Which fields are in the domain; an empty number never gets here."""
        if self.kind in ("int", "float"):
            low = -math.inf if self.low is None else self.low - _ROUNDING
            high = math.inf if self.high is None else self.high + _ROUNDING
            return (values >= low) & (values <= high) & (values.abs() < math.inf)
        allowed = ("True", "False") if self.kind == "bool" else self.values
        known = values.isin(allowed) if allowed else values != ""
        return known | (values == "") if self.empty else known


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """What must hold within each row.

    Attributes:
        name: short stable identifier.
        expected: the rule in words.
        holds: which rows of the table keep it.
    """

    name: str
    expected: str
    holds: Callable[[pd.DataFrame], pd.Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """One CSV: its columns, its key, and what must hold within each row.

    Attributes:
        file: name of the file.
        rule: first word of the identifiers of its faults.
        meaning: one line, what a row is.
        columns: in the order of the file.
        key: columns that no two rows share.
        remedy: what to do about a fault.
        rules: what must hold within each row.
    """

    file: str
    rule: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    remedy: str
    rules: tuple[RowRule, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Headers of the columns that must be there."""
        return tuple(column.name for column in self.columns if column.required)

    def described(self) -> tuple[tuple[str, str, str], ...]:
        """Name, type and meaning of every column, for the catalog."""
        return tuple((column.name, column.kind, column.meaning) for column in self.columns)

    def markdown(self) -> str:
        """The table of the columns for the documentation."""
        lines = [f"### {self.file}", "", f"{self.meaning} No two rows share {', '.join(self.key)}.", ""]
        lines += ["| column | holds | meaning |", "| --- | --- | --- |"]
        for column in self.columns:
            lines.append(f"| {column.name} | {column.domain} | {column.meaning} |")
        return "\n".join(lines) + "\n"

    def fault(self, rule: str, where: str, expected: str, actual: str) -> Fault:
        """A fault of this table; ``rule`` is the second half of its identifier."""
        return Fault(f"{self.rule}-{rule}", where, expected, actual, self.remedy)

    def faults(self, path: Path) -> list[Fault]:
        """What is wrong with a file; empty if nothing is."""
        return self.read(path)[1]

    def read(self, path: Path) -> tuple[pd.DataFrame, list[Fault]]:
        """A file's rows with numbers as numbers, and what is wrong with it.

        Args:
            path: a CSV with one line of headers.

        Returns:
            The table and its faults; what should be a number and is none is NaN.
        """
        import pandera.pandas as pa  # slow to import, and only checks need it

        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:  # every error of the parser is a ValueError
            return pd.DataFrame(), [self.fault("readable", str(path), "a CSV with one line of headers", str(error))]
        numbers = [c.name for c in self.columns if c.kind in ("int", "float") and c.name in table.columns]
        table[numbers] = table[numbers].replace("", None)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of pandas, at how pandera joins failures
                return self.pandera().validate(table, lazy=True), []
        except pa.errors.SchemaErrors as error:
            table[numbers] = table[numbers].apply(pd.to_numeric, errors="coerce")
            return table, list(self._worded(_records(error.failure_cases), str(path)))

    def pandera(self) -> "pa.DataFrameSchema":
        """The same as a pandera schema of the table that was read as text, with empty numbers as None."""
        import pandera.pandas as pa

        types = {"int": "int64", "float": "float64", "string": "str", "bool": "str"}
        columns: dict[str, Any] = {
            column.name: pa.Column(
                types[column.kind],
                pa.Check(column.holds, error="domain"),
                nullable=column.empty and column.kind == "float",
                required=column.required,
                coerce=True,
            )
            for column in self.columns
        }
        checks = [pa.Check(rule.holds, error=rule.name) for rule in self.rules]
        return pa.DataFrameSchema(columns, checks, strict=True, unique=list(self.key))

    def _worded(self, cases: list[dict[str, Any]], path: str) -> Iterator[Fault]:
        """Pandera's failure cases, one fault for each column and check."""
        by_check: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for case in cases:
            check = str(case["check"])
            by_check["type" if check.startswith(_TYPE_CHECKS) else check, str(case["column"])].append(case)
        headers = f"columns {', '.join(self.names)}"
        for check, said in (("column_in_dataframe", "no"), ("column_in_schema", "also")):
            names = sorted(str(case["failure_case"]) for case in cases if case["check"] == check)
            if names:
                yield self.fault("columns", path, headers, f"{said} {', '.join(names)}")
        for column in self.columns:
            for check, rule in (("type", "type"), ("domain", "range")):
                found = by_check.get((check, column.name), [])
                if found and (check == "type" or ("type", column.name) not in by_check):
                    values = dict.fromkeys(_shown(case["failure_case"]) for case in found)
                    where = f"{path}, {column.name}, {_lines(found)}"
                    yield self.fault(rule, where, column.domain, listed(list(values)))
        if any(check in ("type", "column_in_dataframe") for check, _ in by_check):
            return  # what compares columns means nothing yet
        together = {"multiple_fields_uniqueness": ("duplicate", f"each {', '.join(self.key)} once")}
        together |= {rule.name: (rule.name, rule.expected) for rule in self.rules}
        for check, (rule, expected) in together.items():
            found = [case for case in cases if case["check"] == check]
            if found:
                rows = len({case["index"] for case in found})
                yield self.fault(rule, f"{path}, {_lines(found)}", expected, f"{rows} rows that break this")


def _records(cases: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in case.items()} for case in cases.to_dict("records")]


def _lines(cases: list[dict[str, Any]]) -> str:
    """Lines of the file that cases are about."""
    numbers = sorted({int(case["index"]) + _FIRST_LINE for case in cases if not pd.isna(case["index"])})
    return listed([f"line {number}" for number in numbers])


def _shown(value: object) -> str:
    return "an empty field" if value is None or value in ("", "nan", "None") or value != value else str(value)


def listed(items: Sequence[str], shown: int = 3) -> str:
    """The first few items, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
