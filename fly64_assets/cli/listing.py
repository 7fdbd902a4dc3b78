"""``fly64 methods``: what is installed, from which package, and with which options.

Everything is read from the records and their JSON schemas; a package of somebody else's is listed like the shipped
ones, and one that cannot be imported is listed with its error.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from fly64_assets.science.interop.record import FORMATS, FileFormat
from fly64_assets.science.methods.record import METHOD_KINDS, MethodKind
from fly64_assets.science.metrics.record import METRICS
from fly64_assets.science.networks.record import NETWORKS
from fly64_assets.science.registry import Registry, RegistryError, origin

_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
}


@dataclass(frozen=True)
class Section:
    """One sort of record that packages register.

    Attributes:
        title: heading.
        registry: where the records are found.
        columns: further columns beside name, meaning and package: heading to the text for a record.
        options: option record of a record; None if it has none.
    """

    title: str
    registry: Registry[Any]
    columns: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)
    options: Callable[[Any], type[BaseModel] | None] = lambda record: None


def _reads_and_writes(found: FileFormat) -> str:
    able = {
        "reads datasets": found.import_dataset,
        "reads reconstructions": found.read_reconstruction,
        "writes datasets": found.export_dataset,
        "writes reconstructions": found.export_reconstruction,
    }
    return ", ".join(text for text, function in able.items() if function is not None)


def _trains(kind: MethodKind) -> str:
    return {"nothing": "nothing", "view": "on a view", "probe": "for the probe"}[kind.trains]


SECTIONS = (
    Section(
        "Kinds of methods",
        METHOD_KINDS,
        {"trains": _trains, "may start from a result": lambda kind: "yes" if kind.may_start_from_a_result else "no"},
        lambda kind: kind.options,
    ),
    Section("Networks", NETWORKS),
    Section(
        "Metrics",
        METRICS,
        {
            "of": lambda metric: metric.part,
            "unit": lambda metric: metric.unit,
            "better": lambda metric: metric.direction,
        },
    ),
    Section(
        "File formats",
        FORMATS,
        {"endings": lambda found: " ".join(found.endings), "can": _reads_and_writes},
        lambda found: found.import_options,
    ),
)
"""Methods first: they alone are listed unless everything is asked for."""


def print_installed(console: Console, *, everything: bool) -> None:
    """List the kinds of methods; ``everything`` adds networks, metrics and file formats."""
    for section in SECTIONS if everything else SECTIONS[:1]:
        if everything:
            console.print(section.title, style="bold", highlight=False)
        headings = ("name", "meaning", *section.columns, "from")
        _print_table(console, headings, [_row(section, name) for name in section.registry.names()])
        if everything:
            console.print()


def _row(section: Section, name: str) -> tuple[str, ...]:
    try:
        source = origin(section.registry.entry_point(name))
    except RegistryError as error:  # registered twice
        return (name, str(error), *[""] * len(section.columns), "")
    try:
        record = section.registry.get(name)
    except RegistryError as error:
        return (name, str(error), *[""] * len(section.columns), source)
    return (name, record.meaning, *(text(record) for text in section.columns.values()), source)


def print_options(name: str, console: Console) -> None:
    """List the options of a kind of method; else of the network, metric or format of that name.

    Raises:
        RegistryError: nobody registered that name, or its package cannot be imported.
    """
    section = next((section for section in SECTIONS if name in section.registry.names()), SECTIONS[0])
    record = section.registry.get(name)
    source = origin(section.registry.entry_point(name))
    console.print(f"{section.registry.noun} {name}: {record.meaning} ({source})", markup=False, highlight=False)
    options = section.options(record)
    rows = [] if options is None else option_rows(options)
    if rows:
        console.print()
        _print_table(console, ("option", "type", "bounds", "default", "description"), rows)
    else:
        console.print("It has no options.")


def option_rows(options: type[BaseModel]) -> list[tuple[str, str, str, str, str]]:
    """Name, type, bounds, default and description of every option, as the record's JSON schema has them."""
    schema = options.model_json_schema()
    required, definitions = schema.get("required", ()), schema.get("$defs", {})
    rows = []
    for name, entry in schema.get("properties", {}).items():
        kind, bounds = _type_and_bounds(entry, definitions)
        default = "required" if name in required else _plain(entry.get("default"))
        rows.append((name, kind, bounds, default, entry.get("description", "")))
    return rows


def _type_and_bounds(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[str, str]:
    if "$ref" in entry:
        return _type_and_bounds(definitions[entry["$ref"].rsplit("/", 1)[-1]], definitions)
    if "discriminator" in entry or entry.get("type") == "object":
        kinds = ", ".join(entry.get("discriminator", {}).get("mapping", ()))
        return "record", f"kind: {kinds}" if kinds else ""
    alternatives = entry.get("anyOf") or entry.get("oneOf")
    if alternatives:
        pairs = [_type_and_bounds(part, definitions) for part in alternatives]
        return " or ".join(_once(kind for kind, _ in pairs)), "; ".join(_once(text for _, text in pairs if text))
    if "enum" in entry or "const" in entry:
        return "choice", ", ".join(map(str, entry.get("enum") or [entry["const"]]))
    if entry.get("type") == "array":
        parts = entry.get("prefixItems") or [entry.get("items", {})]
        inner = [_type_and_bounds(part, definitions) for part in parts]
        return f"list of {' or '.join(_once(kind for kind, _ in inner))}", "; ".join(
            _once(text for _, text in inner if text)
        )
    limits = [text.format(_plain(entry[key])) for key, text in _LIMITS.items() if key in entry]
    if "maxLength" in entry:
        limits.append(f"at most {entry['maxLength']} characters")
    return entry.get("format", entry.get("type", "any")), ", ".join(limits)


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _print_table(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that fits a terminal; elsewhere one line per row, columns aligned, for grep and awk."""
    if console.is_terminal:
        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*row)
        console.print(table, markup=False, highlight=False, soft_wrap=False)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), markup=False, highlight=False)
