"""The study file as frozen records: what is asked, of which data, by which methods.

``FLY64_STUDY`` names a shipped study or a path; ``FLY64_DATA_ROOT`` overrides where results go. What an asset may read
of a study stands in :mod:`fly64_assets.study.parameters`.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from fly64_assets.science.methods.pty_chi import PtyChiOptions
from fly64_assets.science.methods.record import METHOD_KINDS, MethodKind, Place
from fly64_assets.science.options import (
    CheckOptions,
    DoseOptions,
    ExecutionOptions,
    Options,
    ScanOptions,
    ScoringOptions,
    SplitOptions,
    ViewOptions,
)
from fly64_assets.science.records import MethodRole
from fly64_assets.study.keys import dose_key

SHIPPED_STUDIES = Path(__file__).parents[1] / "studies"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")
OWN = "own"
"""Value of ``trained_on`` for a method whose network is trained on each view's own patterns."""


class StudyError(ValueError):
    """A study file that cannot be used; the message says where, what was found and what to do."""


class StudyScan(ScanOptions):
    """The scan, and how the object of a measured one is reconstructed."""

    reference: PtyChiOptions = Field(
        default=PtyChiOptions(refine_probe=True, epochs=80, batch_size=64),
        description="measured: how object and probe are reconstructed at full dose.",
    )


class ScheduleOptions(Options):
    """The nightly backfill; off until it is switched on in the UI."""

    cron: str = "0 2 * * *"
    max_failures: int = Field(default=3, ge=1, description="A partition that failed this often is left alone.")


class ReportOptions(Options):
    """Words of the report; changing them touches nothing else."""

    title: str
    question: str = ""


class MethodEntry(Options):
    """One method of the study: a kind with its options.

    ``options`` is the kind's own record; in a file it is a mapping of its fields.
    """

    kind: str = Field(description="Kind of method, as `fly64 methods` lists them.")
    options: SerializeAsAny[Options] = Field(description="Options of the kind.")
    starts_from: str | None = Field(default=None, description="Method of this study whose result it starts from.")
    trained_on: str = Field(default=OWN, description="own: each view's patterns; or the one view that it trains on.")

    @model_validator(mode="before")
    @classmethod
    def _options_of_the_kind(cls, value: Any) -> Any:
        """Turn the options into the kind's record; its faults keep their place."""
        if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
            given = value.get("options")
            if given is None or isinstance(given, Mapping):
                record = METHOD_KINDS.get(value["kind"]).options
                return {**value, "options": record.model_validate(given or {})}
        return value

    @property
    def record(self) -> MethodKind:
        """The kind."""
        return METHOD_KINDS.get(self.kind)

    @property
    def trainable(self) -> bool:
        """Whether it trains a network."""
        return self.record.trains != "nothing"


def default_methods() -> dict[str, MethodEntry]:
    """The methods of a study that lists none: the five of the question."""
    return {
        "pinn": _entry(kind="unrolled"),
        "pinn_refined": _entry(kind="map", starts_from="pinn"),
        "baseline": _entry(kind="supervised", trained_on="baseline"),
        "pty_chi": _entry(kind="pty_chi"),
        "map": _entry(kind="map", options={"passes": 60}),
    }


def _entry(**fields: Any) -> MethodEntry:
    return MethodEntry.model_validate(fields)


class Study(Options):
    """Everything that a study fixes. Adding a dose, a view or a method leaves the other partitions as they are."""

    name: str
    report: ReportOptions
    doses: tuple[Annotated[float, Field(gt=0)], ...] = (1e3, 1e4, 1e5)
    default_doses: tuple[float, ...] | None = Field(
        default=None, description="What `fly64 study` runs unless told otherwise."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (1,)
    scan: StudyScan = StudyScan()
    dose: DoseOptions = DoseOptions()
    split: SplitOptions = SplitOptions()
    views: dict[str, ViewOptions]
    methods: dict[str, MethodEntry] = Field(default_factory=default_methods)
    scoring: ScoringOptions = ScoringOptions()
    checks: CheckOptions = CheckOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    execution: ExecutionOptions = ExecutionOptions()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME_PATTERN.fullmatch(name):
            message = f"name must be lower-case letters, digits and _, starting with a letter; got {name!r}"
            raise ValueError(message)
        return name

    @field_validator("views", "methods")
    @classmethod
    def _plain_names(cls, found: dict[str, Any], info: Any) -> dict[str, Any]:
        if not found:
            message = f"a study needs at least one of {info.field_name}"
            raise ValueError(message)
        for name in found:
            if not NAME_PATTERN.fullmatch(name):
                message = f"names are lower-case letters, digits and _, starting with a letter; got {name!r}"
                raise ValueError(message)
        return found

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for label, values in (("doses", self.doses), ("seeds", self.seeds)):
            if not values or len(set(values)) != len(values):
                message = f"{label} must be a non-empty list without repetition, got {list(values)}"
                raise ValueError(message)
        unknown = set(self.default_doses or ()) - set(self.doses)
        if unknown:
            message = f"default_doses {sorted(unknown)} are not among doses {list(self.doses)}"
            raise ValueError(message)
        if self.dose.method == "thin" and self.scan.source != "measured":
            message = "dose.method 'thin' needs measured counts: scan.source is not 'measured'"
            raise ValueError(message)
        for name, entry in self.methods.items():
            self._consistent_method(name, entry)
        for name, view in self.views.items():
            self._consistent_view(name, view)
        return self

    def _consistent_method(self, name: str, entry: MethodEntry) -> None:
        if entry.starts_from is not None:
            if not entry.record.may_start_from_a_result:
                message = f"methods.{name}: kind {entry.kind} starts flat: remove starts_from"
                raise ValueError(message)
            if entry.starts_from not in self.methods:
                message = f"methods.{name}: starts_from {entry.starts_from!r} is no method of this study"
                raise ValueError(message)
            if name in self.chain_of(entry.starts_from):
                message = (
                    f"methods.{name}: starts from itself by way of {' -> '.join(self.chain_of(entry.starts_from))}"
                )
                raise ValueError(message)
        if entry.trained_on != OWN:
            if entry.record.trains != "view":
                message = f"methods.{name}: kind {entry.kind} trains on no view: remove trained_on"
                raise ValueError(message)
            if entry.trained_on not in self.views:
                message = f"methods.{name}: trained_on {entry.trained_on!r} is no view of this study"
                raise ValueError(message)

    def _consistent_view(self, name: str, view: ViewOptions) -> None:
        if view.trains is None:
            return
        if view.trains not in self.methods:
            message = f"views.{name}: trains {view.trains!r} is no method of this study"
            raise ValueError(message)
        if name not in self.training_views(view.trains):
            message = f"views.{name}: trains {view.trains!r}, which is not trained on this view"
            raise ValueError(message)

    @cached_property
    def _doses_by_key(self) -> dict[str, float]:
        return {dose_key(dose): dose for dose in self.doses}

    @property
    def dose_keys(self) -> list[str]:
        """Partition keys of the doses, in the order of the file."""
        return list(self._doses_by_key)

    def dose_of(self, key: str) -> float:
        """The dose of a partition key."""
        return self._doses_by_key[key]

    def chain_of(self, method: str) -> tuple[str, ...]:
        """A method and what it starts from, and so on: nearest first. A circle ends at its first repetition."""
        chain = [method]
        while (start := self.methods[chain[-1]].starts_from) is not None and start in self.methods:
            if start in chain:
                break
            chain.append(start)
        return tuple(chain)

    def training_view(self, method: str, view: str) -> str:
        """The view on which a method's network for ``view`` is trained."""
        trained_on = self.methods[method].trained_on
        return view if trained_on == OWN else trained_on

    def training_views(self, method: str) -> list[str]:
        """The views on which a method trains a network; empty if it trains on none."""
        entry = self.methods[method]
        if entry.record.trains != "view":
            return []
        candidates = list(self.views) if entry.trained_on == OWN else [entry.trained_on]
        return [view for view in candidates if self.skip_reason(method, view) is None]

    def trains(self, view: str) -> str | None:
        """The method whose network ``trained_bundle`` holds for a view: the named one, else the first that fits."""
        named = self.views[view].trains
        if named is not None:
            return named
        fitting = [method for method in self.methods if view in self.training_views(method)]
        dedicated = [method for method in fitting if self.methods[method].trained_on != OWN]
        return next(iter([*dedicated, *fitting]), None)

    def skip_reason(self, method: str, view: str) -> str | None:
        """Why a method is not run on a view; None if it is. Follows from the options alone."""
        entry = self.methods[method]
        trained_on = self.training_view(method, view)
        place = Place(view, self.views[view], trained_on, self.views[trained_on])
        reason = entry.record.skip(place, entry.options)
        if reason is None and entry.starts_from is not None:
            above = self.skip_reason(entry.starts_from, view)
            reason = above and f"{entry.starts_from}, from which it starts, is not run here: {above}"
        return reason

    def roles(self) -> tuple[MethodRole, ...]:
        """What the comparison knows of each method, in the order of the study."""
        return tuple(self._role(name, entry) for name, entry in self.methods.items())

    def _role(self, name: str, entry: MethodEntry) -> MethodRole:
        kind = entry.record
        return MethodRole(
            name=name,
            kind=entry.kind,
            meaning=kind.meaning,
            trains=kind.trains,
            learns_from=kind.learns_from,
            trained_on=None if entry.trained_on == OWN else entry.trained_on,
            starts_from=entry.starts_from,
            learned=any(self.methods[each].trainable for each in self.chain_of(name)),
            settings=", ".join(f"{key} {value}" for key, value in entry.options.model_dump(mode="json").items()),
        )

    def with_changes(self, **fields: Any) -> "Study":
        """The same study with other values in some fields, validated anew; a copy would keep cached values."""
        return Study.model_validate({**{name: getattr(self, name) for name in Study.model_fields}, **fields})
