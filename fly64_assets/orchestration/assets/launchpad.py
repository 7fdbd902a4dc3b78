"""What can be changed for a single run in the launchpad or on the command line. Empty means: as in the study.

Fields, types, bounds, choices and descriptions are those of the methods' own option records. A value outside them is
refused when the run is asked for, before it exists: Dagster's own numbers know no bounds, and bounds of a
``dg.Config`` class are looked at only inside the step. An override enters the parameter digest, so what it made is
stale for the study as its file stands.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field, ValidationError

from fly64_assets.orchestration.catalog.final_line import repeat_at_the_end
from fly64_assets.orchestration.catalog.gate import GateRefusedError
from fly64_assets.orchestration.dagster_internals import ConfigScalar, ConfigScalarKind, PostProcessingError
from fly64_assets.science.options import Options
from fly64_assets.study.parameters import MethodParameters, Parameters, SeededParameters

SEED = "seed"

_KINDS = {"integer": ConfigScalarKind.INT, "number": ConfigScalarKind.FLOAT}
_LIMITS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("at least", float.__ge__),
    "exclusiveMinimum": ("above", float.__gt__),
    "maximum": ("at most", float.__le__),
    "exclusiveMaximum": ("below", float.__lt__),
}

Given = TypeVar("Given", bound=Parameters)


class SeedOptions(Options):
    """The seed of a study that has one."""

    seed: int = Field(default=1, ge=0, le=2**31 - 1)


class BoundedNumber(ConfigScalar):
    """A number that Dagster checks against its bounds when a run is asked for."""

    def __init__(self, name: str, kind: ConfigScalarKind, limits: Mapping[str, float]) -> None:
        """Name the type; ``limits`` are JSON Schema's minimum, exclusiveMinimum, maximum, exclusiveMaximum."""
        self.limits = dict(limits)
        self.bounds = " and ".join(f"{_LIMITS[key][0]} {_plain(value)}" for key, value in limits.items())
        super().__init__(key=name, given_name=name, scalar_kind=kind, description=self.bounds)

    def post_process(self, value: float) -> float:
        """The value, if it is within bounds.

        Raises:
            PostProcessingError: it is not; the message gives bounds and value.
        """
        if not all(_LIMITS[key][1](float(value), float(limit)) for key, limit in self.limits.items()):
            message = f"expected a number {self.bounds}, got {value!r}"
            repeat_at_the_end(f"{self.given_name} is out of bounds: {message}; nothing was run")
            raise PostProcessingError(message)
        return value


@dataclass(frozen=True)
class Overrides:
    """What a run of an asset may change.

    Attributes:
        schema: Dagster's fields by name.
    """

    schema: dict[str, dg.Field] = field(default_factory=dict)

    def applied(self, parameters: Given, config: Mapping[str, Any]) -> Given:
        """The parameters with a run's overrides.

        Raises:
            GateRefusedError: an option that this partition's kind of method does not have, or that it refuses.
        """
        given = {name: value for name, value in config.items() if value is not None}
        seed = given.pop(SEED, None)
        if seed is not None and isinstance(parameters, SeededParameters):
            parameters = parameters.model_copy(update={"seeds": (seed,)})
        if given and isinstance(parameters, MethodParameters):
            return _with_options(parameters, given)
        return parameters


NO_OVERRIDES = Overrides()
"""Nothing can be changed."""


def _with_options(parameters: Any, given: dict[str, Any]) -> Any:
    known = set() if parameters.options is None else set(type(parameters.options).model_fields)
    unknown = sorted(set(given) - known)
    if unknown:
        message = f"{', '.join(unknown)}: no option of {parameters.method} (kind {parameters.kind}): leave it at null"
        raise GateRefusedError(message)
    try:
        return parameters.with_options(given)
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in error.errors()
        )
        message = f"options of {parameters.method} (kind {parameters.kind}): {faults}"
        raise GateRefusedError(message) from error


def method_overrides(used: Mapping[str, Options], seeds: tuple[int, ...] = (), seed_text: str = "") -> Overrides:
    """A field for every plain option of the methods that an asset runs or trains.

    Args:
        used: method to its options in the study.
        seeds: of the study, if a run may have its own.
        seed_text: what the seed is of.
    """
    fields: dict[str, dg.Field] = {}
    for options in used.values():
        for name, schema in type(options).model_json_schema()["properties"].items():
            if name not in fields and (kind := _plain_kind(schema)) is not None:
                values = {method: getattr(each, name) for method, each in used.items() if hasattr(each, name)}
                fields[name] = _field(type(options), name, kind, _in_study(values))
    return Overrides({**fields, **seed_overrides(seeds, seed_text).schema})


def seed_overrides(seeds: tuple[int, ...], text: str) -> Overrides:
    """The field ``seed``; none for a study of several seeds, whose partitions hold a folder for each."""
    if len(seeds) != 1:
        return NO_OVERRIDES
    kind = SeedOptions.model_json_schema()["properties"][SEED]
    return Overrides({SEED: _field(SeedOptions, SEED, {**kind, "description": text}, str(seeds[0]))})


def _plain_kind(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of a number, a choice, a switch or a text, null aside; None for anything with a structure."""
    kind = {**schema, **next((part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"), {})}
    plain = "enum" in kind or kind.get("type") in (*_KINDS, "boolean", "string")
    return kind if plain else None


def _field(options: type[Options], name: str, kind: Mapping[str, Any], in_study: str) -> dg.Field:
    type_name = f"{options.__name__.removesuffix('Options')}_{name}"
    described = [kind.get("description", f"{name.replace('_', ' ').capitalize()}.")]
    if "enum" in kind:
        described.append(f"One of {', '.join(map(str, kind['enum']))}.")
    if "enum" in kind and kind["type"] == "string":
        inner: Any = dg.Enum(type_name, [dg.EnumValue(value) for value in kind["enum"]])
    elif kind["type"] in _KINDS:
        limits = {key: kind[key] for key in _LIMITS if key in kind}
        inner = BoundedNumber(type_name, _KINDS[kind["type"]], limits) if limits else _UNBOUNDED[kind["type"]]
        described += [f"A number {inner.bounds}."] if limits else []
    else:
        inner = {"boolean": bool, "string": str}[kind["type"]]
    described.append(f"null: as in the study ({in_study}).")
    return dg.Field(dg.Noneable(inner), default_value=None, is_required=False, description=" ".join(described))


_UNBOUNDED = {"integer": int, "number": float}


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _in_study(values: Mapping[str, Any]) -> str:
    if len(set(map(str, values.values()))) == 1:
        return str(next(iter(values.values())))
    return ", ".join(f"{method} {value}" for method, value in values.items())


def options_of(parameters: Iterable[Parameters]) -> dict[str, Options]:
    """The options of the methods that some partitions run or train."""
    return {
        str(each.method): each.options
        for each in parameters
        if isinstance(each, MethodParameters) and each.options is not None
    }
