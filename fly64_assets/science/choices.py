"""Fields that hold one of several option records, chosen by their ``kind``.

pydantic's own tagged unions put the tag into the place of every fault and know no default kind; here a fault stands
where it stands in the file, and its message names what could have been meant.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema


def by_kind(noun: str, *records: type[BaseModel]) -> BeforeValidator:
    """A validator that turns a mapping into the record of its kind.

    Args:
        noun: what the records describe, for messages, for example "probe".
        records: one per kind, each with a literal field ``kind`` that has its kind as default; the first one is meant
            where ``kind`` is left out.

    Returns:
        To be annotated on the union of the records.
    """
    known = {record.model_fields["kind"].default: record for record in records}

    def choose(value: Any, info: Any) -> Any:  # pydantic's ValidationInfo, a protocol that cannot be checked
        if not isinstance(value, Mapping):
            return value
        kind = value.get("kind", next(iter(known)))
        if not isinstance(kind, str) or kind not in known:
            message = f"unknown kind of {noun} {kind!r}{_did_you_mean(kind, known)} (known: {', '.join(known)})"
            raise _faults(noun, [_fault("unknown_kind", message, ("kind",), kind)])
        try:
            return known[kind].model_validate(value, context=info.context)
        except ValidationError as error:
            raise _faults(noun, [_worded(fault, kind, known) for fault in error.errors(include_url=False)]) from None

    return BeforeValidator(choose)


def _worded(fault: Any, kind: str, known: Mapping[str, type[BaseModel]]) -> InitErrorDetails:
    """A fault as it was, or, of an unknown field, with the kinds that have it or the name that is near."""
    if fault["type"] != "extra_forbidden":
        if fault["type"] not in get_args(core_schema.ErrorType):  # a validator's own
            return _fault(fault["type"], fault["msg"], fault["loc"], fault["input"])
        return InitErrorDetails(
            type=fault["type"], loc=fault["loc"], input=fault["input"], ctx=dict(fault.get("ctx", {}))
        )
    name, fields = fault["loc"][-1], [field for field in known[kind].model_fields if field != "kind"]
    owners = [other for other, record in known.items() if name in record.model_fields]
    what = f"a field of kind {' or '.join(owners)}" if owners else f"no such field{_did_you_mean(name, fields)}"
    message = f"{what} (kind {kind} takes {', '.join(fields)})"
    return _fault("field_of_another_kind" if owners else "unknown_field", message, fault["loc"], fault["input"])


def _did_you_mean(word: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _fault(name: Any, message: str, place: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(name, "{message}", {"message": message}), loc=place, input=value, ctx={}
    )


def _faults(noun: str, faults: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data(noun, faults)
