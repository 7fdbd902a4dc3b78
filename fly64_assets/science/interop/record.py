"""What a file format is: one frozen record in one file.

A record says what a format is called, which files are of it, and what can be read from it and written to it. It stands
at the end of the format's module and is registered under the entry-point group ``fly64_assets.formats``; ``fly64
import`` and ``fly64 export`` ask the registry. A module whose library is not installed fails at import: the format is
skipped then, and the commands say so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fly64_assets.science.options import Options
from fly64_assets.science.records import Reconstruction
from fly64_assets.science.registry import Registry


class NoOptions(Options):
    """Options of a format that leaves nothing to choose."""


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A file format.

    Functions that write get a path that does not exist yet, and write it whole; the caller gives it its final name.

    Attributes:
        name: as the entry point and the command line name it.
        meaning: one line for the command line; no full stop.
        endings: of its files' names, lower case with the dot; the first one is shown in messages.
        recognise: a cheap look at an existing file: whether it is of this format. Never raises.
        import_dataset: ``(source, out, options)``: write what the source holds as a DATA-001 file; returns what was
            recognised and written, JSON-ready. None: datasets are not read from it.
        import_options: what an import can be told, every field with a description.
        read_reconstruction: ``(path)`` to object, probe and positions; None if it is not read.
        export_dataset: ``(dataset, *files)``: write a DATA-001 file as as many files as ``dataset_suffixes`` names;
            None if datasets are not written to it.
        dataset_suffixes: what the stem of each file of an exported dataset has after the name that was asked for.
        export_reconstruction: ``(path, reconstruction)``; None if reconstructions are not written to it.
    """

    name: str
    meaning: str
    endings: tuple[str, ...]
    recognise: Callable[[Path], bool]
    import_dataset: Callable[[Path, Path, Any], Mapping[str, Any]] | None = None
    import_options: type[Options] = NoOptions
    read_reconstruction: Callable[[Path], Reconstruction] | None = None
    export_dataset: Callable[..., None] | None = None
    dataset_suffixes: tuple[str, ...] = ("",)
    export_reconstruction: Callable[[Path, Reconstruction], None] | None = None

    def __post_init__(self) -> None:
        """Refuse a record that no file can be of, or that can do nothing."""
        wrong = [ending for ending in self.endings if not ending.startswith(".") or ending != ending.lower()]
        if wrong or not self.endings:
            message = f"format {self.name!r}: endings are lower case with a dot, such as '.h5'; got {self.endings}"
            raise ValueError(message)
        if not any((self.import_dataset, self.read_reconstruction, self.export_dataset, self.export_reconstruction)):
            message = f"format {self.name!r}: it neither reads nor writes anything"
            raise ValueError(message)


FORMATS = Registry("fly64_assets.formats", "file format", FileFormat)
"""Every file format that is installed."""
