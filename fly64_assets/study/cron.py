"""Cron expressions as the schedule takes them: judged at load, where Dagster is not imported.

Whatever is accepted here is accepted by Dagster too. Of what Dagster accepts, a field of seconds, hashes ("h"), "the
last Friday" and a day or month 0 are refused.
"""

import re
from typing import NamedTuple

_ALIASES = ("@midnight", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<low>\*|\w+)(-(?P<high>\w+))?(/(?P<step>\d+))?(#(?P<week>[1-5]))?", re.ASCII)
_EXAMPLE = "for example '0 2 * * *', every night at 2"
_LONGEST = 200


class _Field(NamedTuple):
    noun: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31, words=("?", "l")),
    _Field("month", 1, 12, names=_MONTHS, first=1),
    _Field("day of the week", 0, 7, names=_WEEKDAYS, words=("?",)),
)


class _CronError(ValueError):
    """A field that cannot be read."""


def cron_fault(text: str) -> str | None:
    """What is wrong with a cron expression, with an example of a right one; None if nothing is.

    >>> cron_fault("30 2 * * mon-fri")
    >>> cron_fault("0 25 * * *")
    "hour '25' is not in 0-23; for example '0 2 * * *', every night at 2"
    """
    if text.lower() in _ALIASES:
        return None
    parts = text.lower().split()
    if len(parts) != len(_FIELDS) or len(text) > _LONGEST:
        found = f"found {len(parts)}" if len(text) <= _LONGEST else "found a long text"
        return f"expected five fields (minute, hour, day, month, weekday), {found}; {_EXAMPLE}"
    try:
        _require_dates(parts, [_values(part, field) for part, field in zip(parts, _FIELDS, strict=True)])
    except _CronError as error:
        return f"{error}; {_EXAMPLE}"
    return None


def _require_dates(parts: list[str], values: list[set[int]]) -> None:
    """Refuse what every field allows and no calendar has."""
    if any("#" in part for part in parts[:4]) or ("#" in parts[4] and not re.fullmatch(r"\w+#\d", parts[4], re.ASCII)):
        raise _CronError("# stands with one day of the week alone, for example 5#2, the second Friday")
    if values[3] == {2} and values[2] in ({30}, {31}):
        raise _CronError(f"there is no {parts[2]} February")


def _values(text: str, field: _Field) -> set[int]:
    """The numbers that a field stands for; for a word such as l, none."""
    if text in field.words:
        return set()
    return {value for part in text.split(",") for value in _values_of_part(part, field)}


def _values_of_part(part: str, field: _Field) -> range | list[int]:
    found = _PART.fullmatch(part)
    if found is None or (found["low"] == "*" and found["high"]):
        raise _CronError(f"{field.noun} {part!r} is no number, range or step")
    step = int(found["step"] or 1)
    if step == 0:
        raise _CronError(f"{field.noun} {part!r} has a step of 0")
    if found["low"] == "*":
        return range(field.low, field.high + 1, step)
    low = _number(found["low"], field)
    if found["high"] is None:
        return range(low, field.high + 1, step) if found["step"] else [low]
    high = _number(found["high"], field)
    if low < high:
        return range(low, high + 1, step)
    return [*range(low, field.high + 1, step), *range(field.low, high + 1, step)]  # over midnight, or the new year


def _number(text: str, field: _Field) -> int:
    number = int(text) if text.isdigit() else -1
    if text in field.names:
        number = field.first + field.names.index(text)
    if not field.low <= number <= field.high:
        known = f" or {', '.join(field.names)}" if field.names else ""
        raise _CronError(f"{field.noun} {text!r} is not in {field.low}-{field.high}{known}")
    return number
