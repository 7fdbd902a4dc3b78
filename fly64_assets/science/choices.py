"""Fields that hold one of several option records, chosen by their ``kind``.

pydantic's own tagged unions put the tag into the place of every fault and know no default kind; here a fault stands
where it stands in the file, and its message names what could have been meant.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from fly64_assets.science.registry import did_you_mean, shown


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

    def choose(value: Any, info: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        kind = value.get("kind", next(iter(known)))
        if not isinstance(kind, str) or kind not in known:
            message = (
                f"unknown kind of {noun} {shown(str(kind))}{did_you_mean(str(kind), known)} (known: {', '.join(known)})"
            )
            raise _faults(noun, [_fault("unknown_kind", message, ("kind",), kind)])
        try:
            return known[kind].model_validate(value, context=info.context)
        except ValidationError as error:
            raise _faults(noun, [_worded(fault, kind, known) for fault in error.errors(include_url=False)]) from None

    return BeforeValidator(choose)


def _worded(fault: Any, kind: str, known: Mapping[str, type[BaseModel]]) -> InitErrorDetails:
    """A fault as it was, or, of an unknown field, with the kinds that have it or the name that is near."""
    if fault["type"] != "extra_forbidden":
        return InitErrorDetails(
            type=fault["type"], loc=fault["loc"], input=fault["input"], ctx=dict(fault.get("ctx", {}))
        )
    name, fields = fault["loc"][-1], [field for field in known[kind].model_fields if field != "kind"]
    owners = [other for other, record in known.items() if name in record.model_fields]
    if isinstance(fault["input"], str) and fault["input"] in known:
        message = f"no such field; did you mean kind: {fault['input']}?"
        return _fault("unknown_field", message, fault["loc"], fault["input"])
    what = f"a field of kind {' or '.join(owners)}" if owners else f"no such field{did_you_mean(str(name), fields)}"
    message = f"{what} (kind {kind} takes {', '.join(fields)})"
    return _fault("field_of_another_kind" if owners else "unknown_field", message, fault["loc"], fault["input"])


def _fault(name: Any, message: str, place: tuple[int | str, ...], value: Any) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(name, "{message}", {"message": message}), loc=place, input=value, ctx={}
    )


def _faults(noun: str, faults: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data(noun, faults)
