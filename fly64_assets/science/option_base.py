"""The base of all option records, which makes them strict."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

_SCALARS = ("bool", "int", "float", "str")
_NO_SCHEMA = ("default", "metadata", "serialization", "expected")


def _make_scalars_strict(schema: Any) -> None:
    """Let no scalar of a core schema take a value of another type: neither true nor 1.0 for 1."""
    if isinstance(schema, list):
        for inner in schema:
            _make_scalars_strict(inner)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in _SCALARS:
        schema["strict"] = True
    elif schema.get("type") == "literal" and all(type(value) is int for value in schema["expected"]):
        literal = cast("CoreSchema", dict(schema))
        schema.clear()
        schema.update(core_schema.no_info_before_validator_function(_whole_number, literal))
        return
    for key, inner in schema.items():
        if key not in _NO_SCHEMA:
            _make_scalars_strict(inner)


def _whole_number(value: Any) -> Any:
    if type(value) is not int:
        raise PydanticKnownError("int_type")
    return value


class Options(BaseModel):
    """Base of all option records: frozen, unknown fields refused, no NaN or infinity, no scalar of another type.

    ``true`` and ``"1"`` are no numbers and ``1`` is no text; a whole number may stand where any number may.
    A validation context that is a dictionary learns which record read which mapping, by the mapping's id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """The schema of pydantic, its scalars strict; strict throughout, it would refuse a list for a tuple."""
        schema = handler(source)
        _make_scalars_strict(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _note_reader(cls, value: Any, info: Any) -> Any:  # beartype cannot check ValidationInfo, a protocol
        if isinstance(info.context, dict) and isinstance(value, Mapping):
            info.context[id(value)] = cls
        return value
