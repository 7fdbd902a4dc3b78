"""The study file as frozen records: what is asked, of which data, by which methods.

``FLY64_STUDY`` names a shipped study or a path; ``FLY64_DATA_ROOT`` overrides where results go. What an asset may read
of a study stands in :mod:`fly64_assets.study.parameters`.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from fly64_assets.science.methods.pty_chi_options import PtyChiOptions
from fly64_assets.science.methods.record import Place
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
from fly64_assets.science.records import BOUND_METHOD, SANITY_METHODS, UNBIASED_BOUND_METHOD, MethodRole
from fly64_assets.study.complaints import Complaint, name_complaints, refuse, repetitions, unknown_name
from fly64_assets.study.cron import cron_fault
from fly64_assets.study.keys import dose_key, dose_label
from fly64_assets.study.method_entry import OWN, MethodEntry, start_complaints

SHIPPED_STUDIES = Path(__file__).parents[1] / "studies"
Dose = Annotated[float, Field(gt=0, le=1e12)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
ROWS_BESIDE_METHODS = frozenset({*SANITY_METHODS, BOUND_METHOD, UNBIASED_BOUND_METHOD})


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

    cron: str = Field(default="0 2 * * *", description="Minute, hour, day of the month, month, day of the week.")
    max_failures: int = Field(default=3, ge=1, description="A partition that failed this often is left alone.")

    @field_validator("cron")
    @classmethod
    def _readable(cls, text: str) -> str:
        fault = cron_fault(text)
        if fault is not None:
            raise ValueError(fault)
        return text


class ReportOptions(Options):
    """Words of the report; changing them touches nothing else."""

    title: str = Field(min_length=1, description="Title of the report.")
    question: str = Field(default="", description="What the study asks, in a sentence or two.")


def default_methods() -> dict[str, MethodEntry]:
    """The methods of a study that lists none: the five of the question."""
    return {
        "pinn": _entry(kind="unrolled"),
        "pinn_refined": _entry(kind="map", starts_from="pinn"),
        "baseline": _entry(kind="supervised", trained_on="baseline"),
        "pty_chi": _entry(kind="pty_chi"),
        "map": _entry(kind="map"),
    }


def _entry(**fields: Any) -> MethodEntry:
    return MethodEntry.model_validate(fields)


class Study(Options):
    """Everything that a study fixes. Adding a dose, a view or a method leaves the other partitions as they are."""

    name: str = Field(description="Name of the study and of its data folder: lower-case letters, digits and _.")
    report: ReportOptions = Field(description="Words of the report.")
    doses: tuple[Dose, ...] = Field(
        default=(1e3, 1e4, 1e5), min_length=1, max_length=1000, description="Photons per pattern, a partition each."
    )
    default_doses: tuple[float, ...] | None = Field(
        default=None, min_length=1, description="What `fly64 study` runs unless told otherwise; null: every dose."
    )
    seeds: tuple[Seed, ...] = Field(
        default=(1,),
        min_length=1,
        max_length=1000,
        description="Of noise, thinning and initial weights; a repetition each.",
    )
    scan: StudyScan = Field(default=StudyScan(), description="Object, probe and positions.")
    dose: DoseOptions = Field(default=DoseOptions(), description="How a dose comes about.")
    split: SplitOptions = Field(default=SplitOptions(), description="The cut between train and test.")
    views: dict[str, ViewOptions] = Field(
        min_length=1, max_length=1000, description="Which patterns a view keeps, by the view's name."
    )
    methods: dict[str, MethodEntry] = Field(
        default_factory=default_methods,
        min_length=1,
        max_length=100,
        description="What is compared, by the label that each method gets; left out, the five of the question.",
    )
    scoring: ScoringOptions = Field(default=ScoringOptions(), description="How reconstructions are compared.")
    checks: CheckOptions = Field(default=CheckOptions(), description="Thresholds of the checks.")
    schedule: ScheduleOptions = Field(default=ScheduleOptions(), description="The nightly backfill.")
    execution: ExecutionOptions = Field(default=ExecutionOptions(), description="How runs are executed.")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        refuse(((), text) for _, text in name_complaints([name]))
        return name

    @field_validator("doses")
    @classmethod
    def _distinct_doses(cls, doses: tuple[float, ...]) -> tuple[float, ...]:
        refuse(repetitions([dose_label(dose) for dose in doses], "dose"))
        return doses

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        refuse(repetitions([str(seed) for seed in seeds], "seed"))
        return seeds

    @field_validator("default_doses")
    @classmethod
    def _doses_of_the_study(cls, chosen: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        doses = info.data.get("doses", chosen or ())
        known = ", ".join(dose_key(dose) for dose in doses)
        refuse(
            ((index,), f"{dose_key(dose) if abs(dose) < 1e15 else dose} is not among doses ({known:.200})")
            for index, dose in enumerate(chosen or ())
            if dose not in set(doses)
        )
        return chosen

    @field_validator("views")
    @classmethod
    def _plain_view_names(cls, views: dict[str, ViewOptions]) -> dict[str, ViewOptions]:
        reserved = [((OWN, "[key]"), "own means every view: choose another name")] if OWN in views else []
        refuse([*name_complaints(views), *reserved])
        return views

    @field_validator("methods")
    @classmethod
    def _methods_that_start_somewhere(cls, methods: dict[str, MethodEntry]) -> dict[str, MethodEntry]:
        text = "is the name of a row that stands beside the methods in every table: choose another name"
        taken = [((name, "[key]"), f"{name} {text}") for name in methods if name in ROWS_BESIDE_METHODS]
        refuse([*name_complaints(methods), *taken, *start_complaints(methods)])
        return methods

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        complaints: list[Complaint] = []
        if self.dose.method == "thin" and self.scan.source != "measured":
            text = f"thin needs measured counts, scan.source is {self.scan.source}: write simulate, or source: measured"
            complaints.append((("dose", "method"), text))
        if self.scan.file is not None and self.scan.source == "synthetic":
            text = "a synthetic scan reads no file: write source: base_npz or source: measured, or remove file"
            complaints.append((("scan", "file"), text))
        complaints.extend(self._object_complaints())
        complaints.extend(self._training_complaints())
        refuse(complaints)
        return self

    def _object_complaints(self) -> Iterable[Complaint]:
        for name, entry in self.methods.items():
            for index, view in enumerate(entry.replicates_on or ()):
                if view not in self.views:
                    yield ("methods", name, "replicates_on", index), unknown_name(view, "view", self.views)
        if self.scan.objects is None:
            return
        if "object" in self.scan.model_fields_set:
            yield ("scan", "objects"), "object and objects are both given: keep one of them"
        if self.scan.source != "synthetic":
            yield ("scan", "objects"), f"a scan with source {self.scan.source} has its own object: remove objects"
        shape = self.scan.objects[0].shape_px
        for index, group in enumerate(self.scan.objects):
            if group.shape_px != shape:
                text = f"is {list(group.shape_px)}, the first object {list(shape)}: all lie under the same positions"
                yield ("scan", "objects", index, "shape_px"), text
        if len(self.scan.samples) > 1 and len(self.seeds) > 1:
            text = f"{len(self.scan.samples)} objects go with one noise seed: keep one of the {len(self.seeds)} seeds"
            yield ("seeds",), text

    def _training_complaints(self) -> Iterable[Complaint]:
        for name, entry in self.methods.items():
            if entry.trained_on == OWN:
                continue
            place = ("methods", name, "trained_on")
            if entry.record.trains != "view":
                yield place, f"kind {entry.kind} trains on no view: remove trained_on"
            elif entry.trained_on not in self.views:
                yield place, unknown_name(entry.trained_on, "view", [OWN, *self.views])
            elif all(reasons := [self._unfit(name, view) for view in self.views]):
                yield place, f"{name} would be skipped in every view: {reasons[0]}"
        for name, view in self.views.items():
            if view.trains is None:
                continue
            place = ("views", name, "trains")
            if view.trains not in self.methods:
                yield place, unknown_name(view.trains, "method", self.methods)
            elif (reason := self._why_not_trained(view.trains, name)) is not None:
                yield place, f"{view.trains} is not trained on this view: {reason}"

    def _why_not_trained(self, method: str, view: str) -> str | None:
        entry = self.methods[method]
        if entry.record.trains != "view":
            return f"its kind {entry.kind} trains {'nothing' if entry.record.trains == 'nothing' else 'for the probe'}"
        if entry.trained_on not in (OWN, view):
            return f"its trained_on is {entry.trained_on}"
        return self.skip_reason(method, view)

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
        return [view for view in self.views if self._why_not_trained(method, view) is None]

    def trains(self, view: str) -> str | None:
        """The method whose network ``trained_bundle`` holds for a view: the named one, else the first that fits."""
        named = self.views[view].trains
        if named is not None:
            return named
        fitting = [method for method in self.methods if self._why_not_trained(method, view) is None]
        dedicated = [method for method in fitting if self.methods[method].trained_on != OWN]
        return next(iter([*dedicated, *fitting]), None)

    def skip_reason(self, method: str, view: str) -> str | None:
        """Why a method is not run on a view; None if it is. Follows from the options alone."""
        reason, start = self._unfit(method, view), self.methods[method].starts_from
        if reason is None and start is not None:
            above = self.skip_reason(start, view)
            reason = above and f"{start}, from which it starts, is not run here: {above}"
        return reason

    def _unfit(self, method: str, view: str) -> str | None:
        """Why the method's own kind has no place on a view, whatever it starts from."""
        entry = self.methods[method]
        trained_on = self.training_view(method, view)
        return entry.record.skip(Place(view, self.views[view], trained_on, self.views[trained_on]), entry.options)

    def objects_of(self, method: str, view: str) -> tuple[str, ...]:
        """Names of the objects that a method is run on in a view: all, or the first alone."""
        names = tuple(self.scan.samples)
        chain = [self.methods[each].replicates_on for each in self.chain_of(method)]
        return names if all(views is None or view in views for views in chain) else names[:1]

    def roles(self) -> tuple[MethodRole, ...]:
        """What the comparison knows of each method, in the order of the study."""
        return tuple(self._role(name, entry) for name, entry in self.methods.items())

    def _role(self, name: str, entry: MethodEntry) -> MethodRole:
        kind = entry.record
        options = entry.options.model_dump(mode="json")
        return MethodRole(
            name=name,
            kind=entry.kind,
            meaning=kind.meaning,
            trains=kind.trains,
            learns_from=kind.learns_from,
            trained_on=None if entry.trained_on == OWN else entry.trained_on,
            starts_from=entry.starts_from,
            learned=any(self.methods[each].trainable for each in self.chain_of(name)),
            settings=", ".join(f"{key} {value}" for key, value in options.items() if value is not None),
        )

    def with_changes(self, **fields: Any) -> "Study":
        """The same study with other values in some fields, validated anew; a copy would keep cached values."""
        return Study.model_validate({**{name: getattr(self, name) for name in Study.model_fields}, **fields})
