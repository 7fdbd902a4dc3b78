"""What pydantic complains of, in words for the person who must mend the file: found, expected, remedy."""

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from fly64_assets.science.options import Options
from fly64_assets.science.registry import did_you_mean
from fly64_assets.study.fields import records_in, unknown_field
from fly64_assets.study.marks import Mark, Place, shortened

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_FRACTION_NAME = re.compile(r"overlap|s_img|\w+_(fraction|limit|threshold|amplitude)")
_LOOKS_FINE = 1e15
_MOST_NAMES = 4
_LONGEST_NUMBER = 100
"""Longer text is no number that a person wrote, and is not searched for one."""


@dataclass(frozen=True)
class Found:
    """A value that was refused.

    Attributes:
        fault: pydantic's name of the fault.
        context: numbers and names that belong to it.
        message: pydantic's words, or those of the study's own validators.
        place: where it stands.
        value: what stands there.
        mark: how it is written; None if it is not in the file.
        record: the record that it is a field of; None if that is not known.
        annotation: type of that field; None if it is not known.
        content: the whole file.
    """

    fault: str
    context: Mapping[str, Any]
    message: str
    place: Place
    value: Any
    mark: Mark | None
    record: type[Options] | None
    annotation: Any
    content: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The value as it is written, cut to what a message holds."""
        if isinstance(self.value, Mapping):
            return "a mapping"
        if isinstance(self.value, list | tuple):
            return f"a list of {len(self.value)}"
        if self.value is None:
            return "nothing"
        if self.mark is not None and self.mark.text is not None and not isinstance(self.value, str):
            return shortened(self.mark.text)
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return repr(shortened(self.value)) if isinstance(self.value, str) else shortened(str(self.value))

    @property
    def name(self) -> str:
        """The name of the field; for an item of a list that of the list."""
        return next((part for part in reversed(self.place) if isinstance(part, str)), "")


def in_words(found: Found) -> str:
    """The fault in words, without file and place."""
    if found.fault in _WORDS:
        return _WORDS[found.fault](found)
    return found.message.removeprefix("Value error, ")


def _number(found: Found) -> str:
    whole = found.fault.startswith("int")
    expected = "a whole number" if whole else "a number"
    value = found.value
    if isinstance(value, str):
        return _number_in_text(found, value.strip(), expected, whole)
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return f"{found.text} is no whole number to YAML: write {plain_number(value)}"
    return _wrong_sort(found, expected)


def _number_in_text(found: Found, text: str, expected: str, whole: bool) -> str:
    """A number that is text to YAML: in quotes, 1e3, 0,7, 70 %, 5 px."""
    if len(text) > _LONGEST_NUMBER:
        return _wrong_sort(found, expected)
    quoted = found.mark is None or found.mark.quoted
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        value = float(text)
        if whole and not value.is_integer():
            return f"{found.text} is no whole number"
        written = plain_number(value)
        if not quoted and not whole and "e" in text.lower() and "e" not in written:
            written += f" or {_with_exponent(text)}"
        return (
            f"{found.text} in quotes is text: write {written}" if quoted else f"{text} is text to YAML: write {written}"
        )
    if (number := re.fullmatch(r"([-+]?\d+\.?\d*)\s*(%|[A-Za-z]+)", text)) is not None:
        value = float(number[1])
        if number[2] == "%" and _FRACTION_NAME.fullmatch(found.name):
            return f"{found.text} is text, expected a fraction: write {plain_number(value / 100)}"
        return f"{found.text} is text, expected {expected} without a unit: write {plain_number(value)}"
    if isinstance(found.place[-1], int) and re.fullmatch(r"[\d.eE+-]+( [\d.eE+-]+)+", text):
        return f"{found.text} is one text to YAML: write {', '.join(text.split())}"
    meant = _other_notation(text)
    return _wrong_sort(found, expected) if meant is None else f"{found.text} is text to YAML: write {meant}"


def _other_notation(text: str) -> str | None:
    """A number that is written as in 1,000 or 10'000, 0,7, or 64x64."""
    if re.fullmatch(r"\d{1,3}([,' ]\d{3})+", text):
        return re.sub("[^0-9]", "", text)
    if re.fullmatch(r"-?\d+,\d+", text):
        return text.replace(",", ".")
    square = re.fullmatch(r"(\d+) ?[x*] ?\1", text)
    return square[1] if square is not None else None


def plain_number(value: float) -> str:
    """A number as YAML reads it.

    >>> plain_number(1000.0), plain_number(0.7), plain_number(1e-05), plain_number(1e20)
    ('1000', '0.7', '1.0e-05', '1.0e+20')
    """
    if value.is_integer() and abs(value) < _LOOKS_FINE:
        return str(int(value))
    text = repr(value)
    return _with_exponent(text) if "e" in text else text


def _with_exponent(text: str) -> str:
    mantissa, exponent = text.lower().split("e")
    exponent = exponent if exponent[0] in "+-" else f"+{exponent}"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"


def _wrong_sort(found: Found, expected: str) -> str:
    if found.value is None:
        return f"nothing is written here: expected {expected}"
    sort = " (a date)" if isinstance(found.value, datetime.date) else ""
    return f"expected {expected}, found {found.text}{sort}"


def _truth(found: Found) -> str:
    if isinstance(found.value, int | float) and found.value in (0, 1):
        return f"{found.text} is a number: write {'true' if found.value else 'false'}"
    words = ("true", "false", "yes", "no", "on", "off")
    if isinstance(found.value, str) and found.value.lower() in words and (found.mark is None or found.mark.quoted):
        return f"{found.text} in quotes is text: write it without quotes"
    hint = did_you_mean(found.value, ("true", "false")) if isinstance(found.value, str) else ""
    return _wrong_sort(found, "true or false") + hint


def _text(found: Found) -> str:
    sorts: tuple[tuple[type, str], ...] = (
        (bool, "a truth value"),
        (int, "a number"),
        (float, "a number"),
        (datetime.date, "a date"),
    )
    for sort, noun in sorts:
        if isinstance(found.value, sort):
            return f"{found.text} is {noun} to YAML, expected text: put it in quotes"
    return _wrong_sort(found, "text")


def _list(found: Found) -> str:
    value, length = found.value, _fixed_length(found)
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        items = [item for item in re.split(r"[,;\s()x*]+", value) if item]
        fitting = bool(items) and length in (None, len(items))
        if fitting and all(re.fullmatch(r"[-+.\deE]+", item) for item in items):
            return f"expected a list, found text: write [{', '.join(items)}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"expected a list: write [{', '.join([found.text] * (length or 1))}]"
    return _wrong_sort(found, f"a list of {length}" if length else "a list")


def _fixed_length(found: Found) -> int | None:
    """How many values the field holds, if it is a tuple that always has as many."""
    items = get_args(found.annotation)
    return len(items) if get_origin(found.annotation) is tuple and Ellipsis not in items else None


def _mapping(found: Found) -> str:
    inner = records_in(found.annotation)
    known = list(inner[0].model_fields) if inner else []
    if isinstance(found.value, str) and "kind" in known:
        return f"expected a mapping: write {found.place[-1]}: {{kind: {shortened(found.value)}}}"
    if found.place in (("views",), ("methods",)):
        inside = "{overlap: 0.7}" if found.place == ("views",) else "{kind: map}"
        return _wrong_sort(found, f"a mapping of names, as in name: {inside}")
    listed = f" with {', '.join(known[:_MOST_NAMES])}" if known else ""
    listed += ", ..." if len(known) > _MOST_NAMES else ""
    several = f"{found.place[-1]}s"
    hint = f"; did you mean {several!r}?" if found.record is not None and several in found.record.model_fields else ""
    return _wrong_sort(found, f"a mapping{listed}") + hint


def _choice(found: Found) -> str:
    choices = re.findall(r"'([^']*)'|(\d+)", found.context.get("expected", ""))
    known = [text or number for text, number in choices]
    listed = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else "".join(known)
    if isinstance(found.value, bool) and found.mark is not None and found.mark.text in known:
        return f"{found.mark.text} is a truth value to YAML: put it in quotes"
    hint = did_you_mean(found.value, known) if isinstance(found.value, str) else ""
    return f"{_wrong_sort(found, listed)}{hint}"


_BOUND_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def _bound(found: Found) -> str:
    bounds = _bounds(found)
    told = {name: bound for name, bound in bounds.items() if abs(bound) < _LOOKS_FINE or name in found.context}
    expected = " and ".join(f"{_BOUND_WORDS[name]} {plain_number(float(bound))}" for name, bound in told.items())
    too = "small" if found.fault.startswith("greater") else "large"
    if not _FRACTION_NAME.fullmatch(found.name) or max(bounds.values()) > 1:
        return f"{found.text} is too {too}: expected {expected}"
    percent = float(found.value) / 100
    if too == "large" and found.value >= 2 and _within(percent, bounds):
        return f"{found.text} is too large: {found.name} is a fraction, not percent: write {plain_number(percent)}"
    return f"{found.text} is too {too}: {found.name} is a fraction, {expected}"


def _bounds(found: Found) -> dict[str, float]:
    field = found.record.model_fields.get(found.name) if found.record is not None else None
    given = [*(field.metadata if field is not None else ()), found.context]
    bounds: dict[str, float] = {}
    for name in _BOUND_WORDS:
        for each in given:
            value = each.get(name) if isinstance(each, Mapping) else getattr(each, name, None)
            if value is not None:
                bounds[name] = value
    return bounds


def _within(value: float, bounds: Mapping[str, float]) -> bool:
    holds: dict[str, Callable[[float], bool]] = {
        "gt": lambda bound: value > bound,
        "ge": lambda bound: value >= bound,
        "lt": lambda bound: value < bound,
        "le": lambda bound: value <= bound,
    }
    return all(holds[name](bound) for name, bound in bounds.items())


def _multiple(found: Found) -> str:
    step = found.context["multiple_of"]
    if step == 2:
        return f"{found.text} is odd: write {int(found.value) - 1} or {int(found.value) + 1}"
    return f"{found.text} is no multiple of {step}"


def _length(found: Found) -> str:
    if (fixed := _fixed_length(found)) is not None:
        return f"expected a list of {fixed}, found {found.text}"
    least, most = found.context.get("min_length"), found.context.get("max_length")
    count = found.context.get("actual_length")
    if least == 1:
        return "is empty: expected at least one" if found.fault == "too_short" else "is empty: expected text"
    if found.fault.endswith("long"):
        sort = "characters" if found.fault.startswith("string") else "entries"
        return f"too many {sort}: expected at most {most}" + (f", found {count}" if count is not None else "")
    return f"expected at least {least}, found {found.text}"


def _missing(found: Found) -> str:
    if isinstance(found.value, list | tuple):
        return _length(found)
    field = found.record.model_fields.get(found.name) if found.record is not None else None
    meaning = f" ({field.description.rstrip('.')})" if field is not None and field.description else ""
    return f"missing: add it{meaning}"


def _unknown(found: Found) -> str:
    return unknown_field(found.place, found.record, found.content)


def _not_finite(found: Found) -> str:
    return f"{found.text} is no finite number"


_WORDS: Mapping[str, Callable[[Found], str]] = {
    "float_type": _number,
    "int_type": _number,
    "bool_type": _truth,
    "string_type": _text,
    "tuple_type": _list,
    "list_type": _list,
    "dict_type": _mapping,
    "model_type": _mapping,
    "model_attributes_type": _mapping,
    "literal_error": _choice,
    "greater_than": _bound,
    "greater_than_equal": _bound,
    "less_than": _bound,
    "less_than_equal": _bound,
    "multiple_of": _multiple,
    "too_short": _length,
    "too_long": _length,
    "string_too_short": _length,
    "string_too_long": _length,
    "missing": _missing,
    "extra_forbidden": _unknown,
    "finite_number": _not_finite,
}
