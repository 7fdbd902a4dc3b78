"""Metadata for the catalog: small pictures and tables."""

import base64
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

from fly64_assets.science.figures import loss_curve
from fly64_assets.science.records import Reconstruction

Metadata = dict[str, Any]
"""What the catalog shows of a partition."""


def picture(png: bytes, alternative_text: str) -> dg.MarkdownMetadataValue:
    """A picture that the catalog shows inline."""
    encoded = base64.b64encode(png).decode("ascii")
    return dg.MetadataValue.md(f"![{alternative_text}](data:image/png;base64,{encoded})")


def optional_picture(log: dg.DagsterLogManager, draw: Callable[[], bytes], name: str) -> dict[str, Any]:
    """A picture under ``name``; a failure to draw is said in its place and never fails the asset."""
    try:
        return {name: picture(draw(), name)}
    except Exception as error:  # noqa: BLE001 - a preview must not cost the result that it shows
        log.warning(f"{name} could not be drawn: {type(error).__name__}: {error}")
        return {name: f"could not be drawn: {type(error).__name__}: {error}"}


def loss_metadata(log: dg.DagsterLogManager, iterative: Reconstruction) -> dict[str, Any]:
    """The loss over the epochs of an iterative reconstruction, as a picture, and the last one as a number."""
    if not iterative.loss_values:
        return {}
    epochs = zip(iterative.loss_epochs, iterative.loss_values, strict=True)
    history = [{"epoch": epoch, "loss": loss} for epoch, loss in epochs]
    return {
        **optional_picture(log, lambda: loss_curve(history), "loss"),
        "final_loss": float(iterative.loss_values[-1]),
    }


def table(rows: Iterable[Mapping[str, Any]], meanings: Mapping[str, str] | None = None) -> dg.TableMetadataValue:
    """Rows as a table; numbers stay numbers, everything else becomes text.

    Args:
        rows: with equal keys.
        meanings: what a column means, shown beside its name; columns without an entry have none.
    """
    records = [{key: plain(value) for key, value in row.items()} for row in rows]
    if not records:
        return dg.MetadataValue.table([dg.TableRecord({"": "no rows"})])
    columns = [
        dg.TableColumn(key, _column_type(row[key] for row in records), (meanings or {}).get(key)) for key in records[0]
    ]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in records], dg.TableSchema(columns))


def _column_type(values: Iterable[Any]) -> str:
    """The catalog's name of the type that all values have; text if they differ.

    >>> _column_type([1, None]), _column_type([1, 2.5]), _column_type([None]), _column_type([True])
    ('int', 'float', 'string', 'bool')
    """
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return "float"
    return {bool: "bool", int: "int", float: "float"}.get(kinds.pop(), "string") if len(kinds) == 1 else "string"


def plain(value: Any) -> str | int | float | bool | None:
    """A value as the plain Python scalar that the catalog accepts: no numpy scalar, and no NaN, which no browser reads.

    >>> plain(1.5), plain(float("nan")), plain((2, 3))
    (1.5, None, '(2, 3)')
    """
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def scalars(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numeric and text entries of a mapping as metadata; the catalog plots numbers over partitions."""
    flat = {f"{prefix}{key}": plain(value) for key, value in values.items() if not isinstance(value, dict | list)}
    return {key: value for key, value in flat.items() if value is not None}
