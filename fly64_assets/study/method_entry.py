"""One method of a study: a kind of method with its options, and what it starts from and is trained on."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator

from fly64_assets.science.methods.record import METHOD_KINDS, MethodKind
from fly64_assets.science.options import Options
from fly64_assets.study.complaints import Complaint, unknown_name

OWN = "own"
"""Value of ``trained_on`` for a method whose network is trained on each view's own patterns."""


class MethodEntry(Options):
    """One method of the study: a kind with its options.

    ``options`` is the kind's own record; in a file it is a mapping of its fields.
    """

    kind: str = Field(description="Kind of method, as `fly64 methods` lists them.")
    options: SerializeAsAny[Options] = Field(
        default=None, validate_default=True, description="Options of the kind; left out, its defaults."
    )
    starts_from: str | None = Field(default=None, description="Method of this study whose result it starts from.")
    replicates_on: tuple[str, ...] | None = Field(
        default=None,
        description="Views in which it is run on objects beyond the first; null: on every view that it is run on.",
    )
    trained_on: str = Field(default=OWN, description="own: each view's patterns; or the one view that it trains on.")

    @field_validator("kind")
    @classmethod
    def _installed(cls, name: str) -> str:
        METHOD_KINDS.get(name)
        return name

    @field_validator("options", mode="before")
    @classmethod
    def _options_of_the_kind(cls, given: Any, info: ValidationInfo) -> Any:
        """Turn a mapping into the kind's record; its faults keep their place."""
        if "kind" not in info.data:  # refused already, and nobody knows which options it takes
            return Options()
        record = METHOD_KINDS.get(info.data["kind"]).options
        if given is None or isinstance(given, Mapping | record):
            return record.model_validate({} if given is None else given, context=info.context)
        if isinstance(given, Options):
            message = f"options of kind {info.data['kind']} are {record.__name__}, got {type(given).__name__}"
            raise ValueError(message)  # noqa: TRY004 - pydantic turns it into a fault of the field
        return given

    @property
    def record(self) -> MethodKind:
        """The kind."""
        return METHOD_KINDS.get(self.kind)

    @property
    def trainable(self) -> bool:
        """Whether it trains a network."""
        return self.record.trains != "nothing"


def start_complaints(methods: Mapping[str, MethodEntry]) -> Iterable[Complaint]:
    """What is wrong with what methods start from; a circle is told once."""
    told: set[str] = set()
    for name, entry in methods.items():
        if entry.starts_from is None:
            continue
        place = (name, "starts_from")
        if not entry.record.may_start_from_a_result:
            yield place, f"kind {entry.kind} starts flat: remove starts_from"
        elif entry.starts_from not in methods:
            flat = "; without starts_from it starts flat" if entry.starts_from == "flat" else ""
            yield place, unknown_name(entry.starts_from, "method", methods) + flat
        elif name not in told and (circle := _circle_of(name, methods)):
            told.update(circle)
            way = [*circle, name] if len(circle) < 8 else [*circle[:3], "...", circle[-1], name]
            yield place, f"starts from itself: {' -> '.join(way)}: let one of them start flat"


def _circle_of(method: str, methods: Mapping[str, MethodEntry]) -> list[str]:
    """The methods on the way from a method back to it, itself first; empty if the way ends elsewhere."""
    chain: dict[str, None] = {}
    each: str | None = method
    while each is not None and each in methods and each not in chain:
        chain[each] = None
        each = methods[each].starts_from
    return list(chain) if each == method else []
