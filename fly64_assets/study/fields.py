"""Which fields a study has, and where: for a field that stands in the wrong place, or no longer anywhere."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from fly64_assets.science.methods.record import METHOD_KINDS
from fly64_assets.science.options import Options
from fly64_assets.science.registry import did_you_mean
from fly64_assets.study.marks import Place, dotted
from fly64_assets.study.method_entry import MethodEntry
from fly64_assets.study.schema import Study

_MOST_HOMES = 3
_ANY = "<name>"
_OPTIONS = ("methods", _ANY, "options")
_MOVED: Mapping[Place, str] = {
    ("training",): "write methods.<name>.options (kind unrolled or supervised)",
    ("refine",): "write methods.<name>.options (kind map)",
    ("views", _ANY, "network"): "write trains: <method>; the network's options stand in methods.<name>.options",
    ("dose", "tolerance"): "write checks.dose_tolerance",
    (*_OPTIONS, "start"): "write methods.<name>.starts_from, beside kind",
}
"""Fields of earlier versions, and what is written instead."""


def unknown_field(place: Place, record: type[Options] | None, content: Mapping[str, Any]) -> str:
    """What to say of a field that does not exist at its place.

    Args:
        place: of the field.
        record: what its neighbours are fields of; None if that is not known.
        content: the whole file.
    """
    name = str(place[-1])
    moved = _MOVED.get(_general(place))
    if moved is None and len(place) == 1 and name in METHOD_KINDS.names():
        moved = f"write methods.<name>: {{kind: {name}, options: ...}}"
    if moved is not None:
        return f"moved: {moved}"
    known = list(record.model_fields) if record is not None else []
    others = _kinds_with(name, content) if _general(place)[:-1] == _OPTIONS else []
    if others:
        return f"an option of kind {' or '.join(others)} (this kind takes {', '.join(known)})"
    near = did_you_mean(name, known, cutoff=0.75)
    homes = [] if near else _homes(place, content)
    if homes:
        return f"no field here: write {' or '.join(homes)}"
    hint = near or did_you_mean(name, known)
    return f"unknown field{hint}" + (f" (known: {', '.join(known)})" if known else ": remove it")


def records_in(annotation: Any) -> list[type[Options]]:
    """The option records that a field may hold, itself or in a mapping of names."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        return [annotation]
    return [record for inner in get_args(annotation) for record in records_in(inner)]


def _general(place: Place) -> Place:
    """A place with the names that a study is free to choose left open."""
    match place:
        case ("views" | "methods" as top, _, *below):
            return (top, _ANY, *below)
        case _:
            return place


def _homes(place: Place, content: Mapping[str, Any]) -> list[str]:
    """Where a field of this name stands; those below its present place alone, if there are any."""
    here, name = _general(place[:-1]), place[-1]
    homes = [home for home in _all_fields(content) if home[-1] == name and home[:2] != ("scan", "reference")]
    below = [home for home in homes if len(here) and home[: len(here)] == here]
    found = [(*place[:-1], *home[len(here) :]) for home in below] or homes
    if len(found) > _MOST_HOMES:
        return []
    return list(dict.fromkeys(dotted(home).replace(f"'{_ANY}'", _ANY) for home in found))


def _all_fields(content: Mapping[str, Any]) -> Iterator[Place]:
    yield from _fields_of(Study, ())
    for kind in _kinds_in_use(content):
        yield from _fields_of(METHOD_KINDS.get(kind).options, _OPTIONS)


@cache
def _fields_of(record: type[Options], place: Place) -> tuple[Place, ...]:
    """Every field of a record and of the records in it; cached, as a file may hold thousands of unknown ones."""
    found: list[Place] = []
    for name, field in record.model_fields.items():
        found.append((*place, name))
        named = (_ANY,) if get_origin(field.annotation) is dict else ()
        for inner in records_in(field.annotation):
            found += _fields_of(inner, (*place, name, *named))
    return tuple(found)


def _kinds_with(name: str, content: Mapping[str, Any]) -> list[str]:
    return [kind for kind in _kinds_in_use(content) if name in METHOD_KINDS.get(kind).options.model_fields]


def _kinds_in_use(content: Mapping[str, Any]) -> list[str]:
    """Kinds of method that the study uses: they are imported already."""
    methods = content.get("methods", Study.model_fields["methods"].get_default(call_default_factory=True))
    entries = methods.values() if isinstance(methods, Mapping) else ()
    kinds = {
        entry.kind if isinstance(entry, MethodEntry) else entry.get("kind") if isinstance(entry, Mapping) else None
        for entry in entries
    }
    return [kind for kind in METHOD_KINDS.names() if kind in kinds]
