"""Faults that validation finds, each with its place and line in the file."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fly64_assets.science.options import Options
from fly64_assets.science.registry import did_you_mean
from fly64_assets.study.marks import Fault, Mark, Place, StudyFile
from fly64_assets.study.wording import Found, in_words

_WORDED = 100
"""Faults that are put into words; nobody reads more, and near names take time."""

Readers = Mapping[int, type[Options]]
"""Which record read a mapping, by the mapping's id."""


def faults_of(error: ValidationError, file: StudyFile, overrides: Mapping[str, Any], readers: Readers) -> list[Fault]:
    """Faults of a study in the order of the file.

    Args:
        error: what validation raised.
        file: the file, its content as it was validated.
        overrides: the part of the content that is not from the file.
        readers: the records that read the content's mappings.
    """
    errors = error.errors(include_url=False)
    told = {fault.place for fault in file.faults}
    unknown: dict[Place, list[str]] = {}
    for each in errors:
        if each["type"] in ("extra_forbidden", "unknown_field"):
            *parent, name = _place_of(each, file.content)
            unknown.setdefault(tuple(parent), []).append(str(name))
    parents = {tuple(each["loc"][:depth]) for each in errors for depth in range(len(each["loc"]))}
    placed = []
    for each in errors:
        if each["type"] == "too_short" and tuple(each["loc"]) in parents:  # its items are refused one by one
            continue
        place = _place_of(each, file.content)
        if place in told or _is_misspelt(each, place, unknown):
            continue
        placed.append((line_of(place, file.marks, overrides), place, each))
    placed.sort(key=lambda item: item[0] or 0)
    return [
        Fault(line, place, _worded(each, place, file, line, readers) if index < _WORDED else "")
        for index, (line, place, each) in enumerate(placed)
    ]


def _is_misspelt(error: ErrorDetails, place: Place, unknown: Mapping[Place, list[str]]) -> bool:
    """Whether a field is missing because it stands there under a name that is near: that is told already."""
    if error["type"] != "missing" or not place:
        return False
    near = unknown.get(place[:-1], [])[:_WORDED]
    return any(did_you_mean(name, [str(place[-1])]) for name in near)


def line_of(place: Place, marks: Mapping[Place, Mark], overrides: Mapping[str, Any]) -> int | None:
    """The line of a place, or of what it is missing from; None if it is not from the file."""
    given: Any = overrides
    for part in place:
        if not isinstance(given, Mapping) or part not in given:
            break
        given = given[part]
    else:
        return None if place else 1
    if not isinstance(given, Mapping):
        return None
    known = next((place[:depth] for depth in range(len(place), 0, -1) if place[:depth] in marks), ())
    return marks[known].line if known else 1


def _place_of(error: ErrorDetails, content: Any) -> Place:
    """Where a fault is in the file: pydantic also names the members of unions, which no file does."""
    loc = [part for part in error["loc"] if part != "[key]"]
    place: list[str | int] = []
    value: Any = content
    for index, part in enumerate(loc):
        if _holds(value, part):
            value = value[part]
        elif isinstance(value, Mapping):
            following = loc[index + 1] if index + 1 < len(loc) else None
            missing = error["type"] == "missing" and following is None
            tag = not missing and part in [each for each in value.values() if isinstance(each, str)]
            if tag or _holds(value, following):
                continue
            value = None
        elif isinstance(part, int) and isinstance(value, list | tuple):  # an item that is missing
            break
        place.append(part)
    return tuple(place)


def _holds(value: Any, part: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(part, str) and part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and 0 <= part < len(value)


def _at(content: Any, place: Place) -> Any:
    for part in place:
        if not _holds(content, part):
            return None
        content = content[part]
    return content


def _worded(error: ErrorDetails, place: Place, file: StudyFile, line: int | None, readers: Readers) -> str:
    value = _at(file.content, place)
    owner = next(
        (depth for depth in range(len(place) - 1, -1, -1) if id(_at(file.content, place[:depth])) in readers), 0
    )
    record = readers.get(id(_at(file.content, place[:owner])))
    field = record.model_fields.get(str(place[owner])) if record is not None and len(place) > owner else None
    found = Found(
        fault=error["type"],
        context=error.get("ctx", {}),
        message=error["msg"],
        place=place,
        value=value,
        mark=file.marks.get(place) if line is not None else None,
        record=record,
        annotation=field.annotation if field is not None else None,
        content=file.content,
    )
    text = in_words(found)
    if place[:1] == ("methods",) and "methods" not in file.content:
        text += "; the file lists no methods, so the default ones are meant: list those that it needs"
    return text
