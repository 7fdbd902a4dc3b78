"""Where things stand in a study file, and what a fault there is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LONGEST_TEXT = 700

Place = tuple[str | int, ...]
"""Keys and list indices from the top of the file, as ``("views", "dense", "overlap")``."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How a value is written.

    Attributes:
        line: its line, from 1; of a list or mapping that of its key.
        text: a scalar as it is typed; None for a list or mapping.
        quoted: whether the scalar is in quotes.
    """

    line: int
    text: str | None = None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a study file.

    Attributes:
        line: its line, from 1; None for a value that is not in the file.
        place: where in the study; empty for the file as a whole.
        text: what was found, what is expected, what to do.
    """

    line: int | None
    place: Place
    text: str

    def line_of(self, path: Path) -> str:
        """The fault as one line: file, line, place, text."""
        where = [f"{path}:{self.line}" if self.line is not None else str(path)]
        if self.place:
            where.append(dotted(self.place))
        return printable(": ".join([*where, shortened(self.text, _LONGEST_TEXT)]))


@dataclass(frozen=True)
class StudyFile:
    """A study file that could be parsed.

    Attributes:
        path: of the file.
        content: its fields as plain values.
        marks: how each of them is written.
        faults: what is wrong with it before anybody asks what its fields mean.
    """

    path: Path
    content: Mapping[str, Any]
    marks: Mapping[Place, Mark]
    faults: tuple[Fault, ...] = field(default=())


class UnreadableError(ValueError):
    """A file that cannot be parsed; carries the fault."""

    def __init__(self, line: int | None, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(line, (), text)


def dotted(place: Place) -> str:
    """A place as people write it.

    >>> dotted(("views", "dense", "overlap")), dotted(("doses", 1)), dotted(("views", "my view"))
    ('views.dense.overlap', 'doses[1]', "views.'my view'")
    """
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = shortened(part)
            plain = name.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (name if plain else repr(name))
    return text


def shortened(text: str, longest: int = 60) -> str:
    """A text cut to what a message can hold."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def printable(text: str) -> str:
    """A text in one line that no terminal takes for a command."""
    return "".join(c if c.isprintable() else " " if c.isspace() else f"\\x{ord(c):02x}" for c in text)
