"""``fly64 import`` and ``fly64 export``: between DATA-001 and every installed format; nothing is overwritten.

Which format a file is of, the registry's records say; no format is named here.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fly64_assets.science.interop.record import FORMATS, FileFormat
from fly64_assets.science.options import Options
from fly64_assets.science.registry import RegistryError
from fly64_assets.storage import new_file


class ConversionError(ValueError):
    """A conversion that does not exist, or an option that it does not know; the message lists what there is."""


def installed_formats() -> tuple[list[FileFormat], list[str]]:
    """Every format that can be imported, and one line about each that cannot."""
    found, skipped = [], []
    for name in FORMATS.names():
        try:
            found.append(FORMATS.get(name))
        except RegistryError as error:
            skipped.append(f"skipped: {error}")
    return found, skipped


def import_dataset(
    source: Path, out: Path, formats: Sequence[FileFormat], given: Mapping[str, Any], *, name: str | None = None
) -> dict[str, Any]:
    """Convert a file of an installed format into a DATA-001 dataset.

    Args:
        source: file to read.
        out: file to write; must not exist.
        formats: what is installed.
        given: options of the importer, by name.
        name: of the format; None: it is recognised.

    Returns:
        What was recognised and written.

    Raises:
        ConversionError: no importer for this file, several, or options that it does not know.
        FileNotFoundError: the source does not exist.
    """
    _require_file(source)
    importers = [found for found in formats if found.import_dataset is not None]
    known = f"import reads {_listed(importers)}"
    chosen = _named(formats, name) if name else _format_of(source, importers, "name it by --format")
    if chosen is None or chosen.import_dataset is None:
        message = f"{source}: {known}"
        raise ConversionError(message)
    options = _options_of(chosen, given)
    with new_file(out) as temporary:
        return dict(chosen.import_dataset(source, temporary, options))


def export_file(source: Path, out: Path, formats: Sequence[FileFormat], *, name: str | None = None) -> list[Path]:
    """Write a dataset or a reconstruction for other programs.

    Args:
        source: DATA-001 dataset, or a file of a format from which reconstructions are read.
        out: file to write; must not exist. Some formats write further files beside it.
        formats: what is installed.
        name: of the format to write; None: by the ending of ``out``.

    Returns:
        The files that were written.

    Raises:
        ConversionError: no exporter, or several.
        FileNotFoundError: the source does not exist.
    """
    _require_file(source)
    readers = [found for found in formats if found.read_reconstruction is not None]
    reader = _format_of(source, readers, "export cannot tell them apart")
    if reader is None or reader.read_reconstruction is None:
        writers = [found for found in formats if found.export_dataset is not None]
        target = _named(formats, name) if name else _format_by_ending(out, writers)
        if target is None or target.export_dataset is None:
            raise _no_export(source, out, "a dataset", writers)
        outs = [out.with_name(f"{out.stem}{suffix}{out.suffix}") for suffix in target.dataset_suffixes]
        with contextlib.ExitStack() as stack:
            target.export_dataset(source, *[stack.enter_context(new_file(path)) for path in outs])
        return outs
    writers = [found for found in formats if found.export_reconstruction is not None and found is not reader]
    target = _named(formats, name) if name else _format_by_ending(out, writers)
    if target is None or target.export_reconstruction is None:
        raise _no_export(source, out, f"a reconstruction in a {reader.name} file", writers)
    with new_file(out) as temporary:
        target.export_reconstruction(temporary, reader.read_reconstruction(source))
    return [out]


def _require_file(path: Path) -> None:
    if not path.is_file():
        message = f"there is no file {path}"
        raise FileNotFoundError(message)


def _named(formats: Sequence[FileFormat], name: str) -> FileFormat:
    for found in formats:
        if found.name == name:
            return found
    message = f"no file format {name!r} is installed; there are {_listed(formats)}"
    raise ConversionError(message)


def _format_of(path: Path, candidates: Sequence[FileFormat], remedy: str) -> FileFormat | None:
    """The format whose record recognises a file and has its ending; else recognises it; else has its ending."""
    recognised = [found for found in candidates if found.recognise(path)]
    ending = [found for found in candidates if path.suffix.lower() in found.endings]
    for fitting in ([found for found in recognised if found in ending], recognised, ending):
        if fitting:
            return _only(path, fitting, remedy)
    return None


def _format_by_ending(path: Path, candidates: Sequence[FileFormat]) -> FileFormat | None:
    fitting = [found for found in candidates if path.suffix.lower() in found.endings]
    return _only(path, fitting, "name one by --format") if fitting else None


def _only(path: Path, fitting: Sequence[FileFormat], remedy: str) -> FileFormat:
    if len(fitting) > 1:
        message = f"{path} fits the formats {', '.join(found.name for found in fitting)}: {remedy}"
        raise ConversionError(message)
    return fitting[0]


def _no_export(source: Path, out: Path, what: str, writers: Sequence[FileFormat]) -> ConversionError:
    return ConversionError(f"no export from {source.name} to {out.name}: {what} goes to {_listed(writers)}")


def _listed(formats: Sequence[FileFormat]) -> str:
    """Names and endings: ``cxi (.cxi), ptychodus (.h5)``."""
    return ", ".join(f"{found.name} ({found.endings[0]})" for found in formats) or "no format: none is installed"


def _options_of(chosen: FileFormat, given: Mapping[str, Any]) -> Options:
    """The options of an importer.

    Raises:
        ConversionError: it does not know one, needs one, or one is out of bounds; one line for all.
    """
    fields = chosen.import_options.model_fields
    unknown = ", ".join(key for key in given if key not in fields)
    if unknown:
        message = f"format {chosen.name} does not know option {unknown}; it takes {', '.join(fields) or 'none'}"
        raise ConversionError(message)
    try:
        return chosen.import_options.model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(_fault(fault, chosen) for fault in error.errors())
        message = f"format {chosen.name}: {faults}"
        raise ConversionError(message) from None


def _fault(fault: Any, chosen: FileFormat) -> str:
    name = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"needs option {name}: {chosen.import_options.model_fields[name].description}"
    return f"option {name}: {fault['msg']}, got {fault['input']!r}"
