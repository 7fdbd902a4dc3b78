"""The files that a study names, found without reading them, so that a study is judged at once."""

import os
from pathlib import Path

PUBLIC_DATA = (
    "https://github.com/AdvancedPhotonSource/tike (tests/data/siemens-star-small.npz.bz2) holds a public scan; "
    "`fly64 import RAW OUT` turns other raw layouts into a readable file"
)


class ScanInputError(ValueError):
    """An input file of a scan is absent or unusable; the message says what to do."""


def named_path(text: str) -> Path | None:
    """The path that a study names, itself or by ``$NAME`` of an environment variable; None if that is not set."""
    if not text.startswith("$"):
        return Path(text).expanduser()
    path = os.environ.get(variable_of(text), "")
    return Path(path).expanduser() if path else None


def variable_of(text: str) -> str:
    """The environment variable that ``$NAME`` or ``${NAME}`` means."""
    return text[1:].strip("{}")


def resolve_input_file(text: str) -> Path:
    """The file that a study names: a path, or ``$NAME`` of an environment variable that holds one.

    Raises:
        ScanInputError: the variable is not set, or there is no such file.
    """
    resolved = named_path(text)
    if resolved is None:
        message = f"the environment variable {variable_of(text)} is not set: set it to the file's path. {PUBLIC_DATA}"
        raise ScanInputError(message)
    if not resolved.is_file():
        message = f"there is no file {resolved.absolute()}. {PUBLIC_DATA}"
        raise ScanInputError(message)
    return resolved
