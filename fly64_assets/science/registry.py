"""Records that packages register: kinds of methods, networks, metrics, file formats.

Each sort has an entry-point group. The records that this package ships are registered in its own ``pyproject.toml``,
the same way as those of anybody else's package; nothing in the code lists them. A record is imported when it is asked
for by name, and not before.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

Record = TypeVar("Record")


class RegistryError(ValueError):
    """A name that nobody registered, that two packages registered, or whose package cannot be imported."""


@dataclass(frozen=True)
class Registry(Generic[Record]):
    """The records of one entry-point group.

    Attributes:
        group: entry-point group, for example ``fly64_assets.methods``.
        noun: what one of them is called in messages, for example "kind of method".
        record: type that every entry point must name; it has a ``name``.
    """

    group: str
    noun: str
    record: type[Record]

    def names(self) -> tuple[str, ...]:
        """All registered names, sorted; nothing is imported."""
        return tuple(sorted(_entries(self.group)))

    def get(self, name: str) -> Record:
        """The record of a name.

        Raises:
            RegistryError: unknown (the message names the nearest), registered twice, not importable, or something
                else than a record of this name.
        """
        found = self.entry_point(name)
        try:
            record = found.load()
        except Exception as error:
            message = f"{self.noun} {name!r} of {origin(found)} cannot be imported: {type(error).__name__}: {error}"
            raise RegistryError(message) from error
        if not isinstance(record, self.record) or getattr(record, "name", None) != name:
            message = (
                f"{self.noun} {name!r} of {origin(found)}: {found.value} is {record!r:.80}, "
                f"expected a {self.record.__name__} of that name"
            )
            raise RegistryError(message)
        return record

    def shipped(self, name: str) -> bool:
        """Whether this package itself registers a name."""
        found = self.entry_point(name).dist
        return found is not None and found.name == _DISTRIBUTION

    def entry_point(self, name: str) -> EntryPoint:
        """Where a name comes from.

        Raises:
            RegistryError: unknown, or registered twice.
        """
        return registered(self.group, self.noun, name)


def registered(group: str, noun: str, name: str) -> EntryPoint:
    """Where a name of a group comes from; nothing is imported.

    Args:
        group: entry-point group.
        noun: what one of its records is called in messages.
        name: as a study names it.

    Raises:
        RegistryError: unknown (the message names the nearest), or registered twice.
    """
    entries = _entries(group)
    if name not in entries:
        message = (
            f"unknown {noun} {shown(name)}{did_you_mean(name, entries)} (known: {', '.join(sorted(entries)) or 'none'})"
        )
        raise RegistryError(message)
    first, *others = entries[name]
    if others:
        packages = ", ".join(origin(entry) for entry in entries[name])
        message = f"{noun} {name!r} is registered by {packages}: uninstall one of them"
        raise RegistryError(message)
    return first


_LONGEST_NAME = 60


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The nearest known name as the end of a message; empty if none is near, or the name is no name.

    >>> did_you_mean("Overlp", ["overlap", "s_img"])
    "; did you mean 'overlap'?"
    """
    if len(name) > _LONGEST_NAME:  # the comparison costs the product of both lengths
        return ""
    names = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=cutoff)
    near = near or [each for each in names if len(name) > 1 and each.startswith(name.lower())]
    return f"; did you mean {names[near[0]]!r}?" if near else ""


def shown(name: str) -> str:
    """A name in quotes for a message, cut if it is long.

    >>> shown("gradient")
    "'gradient'"
    """
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}...")


def origin(entry: EntryPoint) -> str:
    """The distribution that an entry point belongs to, with its version."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


_DISTRIBUTION = "fly64_assets"


@cache
def _entries(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=group):  # one distribution may be found twice on the path
        found.setdefault(entry.name, {}).setdefault(origin(entry) + entry.value, entry)
    return {name: tuple(entries.values()) for name, entries in found.items()}
