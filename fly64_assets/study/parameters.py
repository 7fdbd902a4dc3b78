"""What each asset partition may read of a study: one frozen record, and nothing else.

The digest of the record decides freshness. A field that is read is hashed, because there is no other way to read it;
what only judges or executes (thresholds of checks, worker processes, cron lines) is in none of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SerializeAsAny

from fly64_assets.science.input_file import ScanInputError, resolve_input_file
from fly64_assets.science.methods.reference import REFERENCE_KIND
from fly64_assets.science.options import DoseOptions, Options, ScoringOptions, SplitOptions, ViewOptions
from fly64_assets.science.records import SPLITS, MethodRole, Split
from fly64_assets.storage import cached_sha256_of, digest_of
from fly64_assets.study.method_entry import MethodEntry
from fly64_assets.study.schema import ReportOptions, Study, StudyScan


class Parameters(Options):
    """Base of the records."""

    @property
    def digest(self) -> str:
        """What freshness compares."""
        return digest_of(self.model_dump(mode="json"))


class SeededParameters(Parameters):
    """Of a partition that holds a folder per seed of the study."""

    seeds: tuple[int, ...]

    @property
    def first_seed(self) -> int:
        """The seed that pictures and traces are of."""
        return self.seeds[0]

    def folder_of(self, seed: int) -> str:
        """Subfolder of a seed inside the partition: none when there is only one."""
        return "" if len(self.seeds) == 1 else f"seed_{seed}/"


@dataclass(frozen=True, slots=True)
class Repetition:
    """One object with one seed of a partition.

    Attributes:
        object: name of the object.
        seed: study seed.
        key: names it in JSON files: the seed, or the name of an object beyond the first.
        folder: subfolder of its files: none for a first object with the only seed.
        splits: what is made of it: an object beyond the first has no train split.
        first: whether pictures and ways are of it.
    """

    object: str
    seed: int
    key: str
    folder: str
    splits: tuple[Split, ...]
    first: bool


class ReplicatedParameters(SeededParameters):
    """Of a partition that holds a folder per object beyond the first too; one object enters no digest."""

    objects: tuple[str, ...] = Field(exclude_if=lambda names: len(names) < 2)

    @property
    def repetitions(self) -> tuple[Repetition, ...]:
        """Every seed of the first object, then the further objects."""
        first, *others = self.objects
        seeds = [
            Repetition(first, seed, str(seed), self.folder_of(seed), SPLITS, first=seed == self.first_seed)
            for seed in self.seeds
        ]
        further = [Repetition(name, self.first_seed, name, f"{name}/", ("test",), first=False) for name in others]
        return (*seeds, *further)

    @property
    def first_digest(self) -> str:
        """The digest without objects beyond the first, whose files do not change when others are added."""
        return self.model_copy(update={"objects": self.objects[:1]}).digest


class ScanParameters(Parameters):
    """Of ``scan``: the scan, and the content of its input file."""

    scan: StudyScan
    input_sha256: str | None


class DatasetParameters(ReplicatedParameters):
    """Of ``simulated_dataset``."""

    dose: float
    options: DoseOptions
    split: SplitOptions


class ViewParameters(ReplicatedParameters):
    """Of ``overlap_view``."""

    view_name: str
    view: ViewOptions
    selection_seed: int


class MethodParameters(SeededParameters):
    """Of an asset that runs a method, or that trains its network.

    Attributes:
        method: its name in the study; None where nothing is trained.
        kind: kind of method.
        options: of the kind.
        not_here: why nothing is made in this cell, as far as the study's options tell; None if something is.
    """

    method: str | None
    kind: str | None
    options: SerializeAsAny[Options] | None
    not_here: str | None = None

    def with_options(self, changes: dict[str, Any]) -> "MethodParameters":
        """The same with other options, validated by the kind's record."""
        if self.options is None:
            return self
        options = type(self.options).model_validate({**self.options.model_dump(), **changes})
        return self.model_copy(update={"options": options})


class TrainingParameters(MethodParameters):
    """Of ``trained_bundle`` and ``training/<method>``.

    Attributes:
        view_name: the cell's view; None for a network that is trained for the probe, once per study.
        view: its options.
        dose: requested photons per pattern.
    """

    view_name: str | None = None
    view: ViewOptions | None = None
    dose: float | None = None


class ReconstructionParameters(MethodParameters, ReplicatedParameters):
    """Of ``reconstruction/<method>``.

    Attributes:
        view_name: the cell's view.
        view: its options.
        dose: requested photons per pattern.
        trained_on: the view whose network is applied; None for a method that trains on none.
        bundle_sha256: content of the bundle that the options name, trained elsewhere; None: trained here, or nothing.
        starts_from: the method whose result it starts from.
        learned: whether a network has a part in the result.
    """

    view_name: str
    view: ViewOptions
    dose: float
    bundle_sha256: str | None = None
    trained_on: str | None = None
    starts_from: str | None = None
    learned: bool = False


class ComparedMethod(Options):
    """What the comparison needs to know of a method: whose costs it carries, and how its result is judged."""

    name: str
    chain: tuple[str, ...]
    learned: bool
    not_here: str | None
    first_object_alone: bool = Field(default=False, exclude_if=lambda alone: not alone)


class ComparisonParameters(ReplicatedParameters):
    """Of ``comparison_metrics``."""

    dose: float
    view_name: str
    scoring: ScoringOptions
    methods: tuple[ComparedMethod, ...]
    bootstrap_seed: int


class ReportParameters(ReplicatedParameters):
    """Of ``study_report``: everything that its words say of the study.

    ``asked`` is one digest of all other records: it names what was asked, and changes when any of them does.
    """

    asked: str
    study_name: str
    report: ReportOptions
    doses: tuple[float, ...]
    views: dict[str, ViewOptions]
    methods: tuple[MethodRole, ...]
    metrics: tuple[str, ...]
    reference_kind: str
    dose_method: str


def scan_parameters(study: Study) -> ScanParameters:
    """Of ``scan``."""
    return ScanParameters(scan=study.scan, input_sha256=input_digest(study))


def dataset_parameters(study: Study, dose: float) -> DatasetParameters:
    """Of ``simulated_dataset`` at a dose."""
    return DatasetParameters(
        seeds=study.seeds, objects=tuple(study.scan.samples), dose=dose, options=study.dose, split=study.split
    )


def view_parameters(study: Study, view: str) -> ViewParameters:
    """Of ``overlap_view``, at any dose: the same positions are kept at each."""
    options = _without_training(study.views[view])
    return ViewParameters(
        seeds=study.seeds,
        objects=tuple(study.scan.samples),
        view_name=view,
        view=options,
        selection_seed=study.scan.seed,
    )


def training_parameters(study: Study, dose: float, view: str, method: str | None) -> TrainingParameters:
    """Of ``trained_bundle`` (with the method that the view trains) or ``training/<method>`` in a cell."""
    cell = {"view_name": view, "view": _without_training(study.views[view]), "dose": dose, "seeds": study.seeds}
    if method is None:
        reason = f"view {view} trains nothing: no method of this study is trained on it"
        return TrainingParameters(method=None, kind=None, options=None, not_here=reason, **cell)
    entry = study.methods[method]
    reason = study.skip_reason(method, view)
    if reason is None and view not in study.training_views(method):
        reason = f"{method} is not trained on view {view}"
    return TrainingParameters(method=method, kind=entry.kind, options=entry.options, not_here=reason, **cell)


def probe_training_parameters(study: Study, method: str) -> TrainingParameters:
    """Of ``training/<method>`` of a method whose network is trained for the probe: no view, no dose, one seed."""
    entry = study.methods[method]
    return TrainingParameters(method=method, kind=entry.kind, options=entry.options, seeds=study.seeds[:1])


def reconstruction_parameters(study: Study, dose: float, view: str, method: str) -> ReconstructionParameters:
    """Of ``reconstruction/<method>`` in a cell."""
    entry = study.methods[method]
    return ReconstructionParameters(
        method=method,
        kind=entry.kind,
        options=entry.options,
        view_name=view,
        view=_without_training(study.views[view]),
        dose=dose,
        seeds=study.seeds,
        objects=study.objects_of(method, view),
        not_here=study.skip_reason(method, view),
        bundle_sha256=_digest_of_named_bundle(entry),
        trained_on=study.training_view(method, view) if entry.record.trains == "view" else None,
        starts_from=entry.starts_from,
        learned=_learned(study, method),
    )


def comparison_parameters(study: Study, dose: float, view: str) -> ComparisonParameters:
    """Of ``comparison_metrics`` in a cell."""
    methods = tuple(
        ComparedMethod(
            name=name,
            chain=study.chain_of(name),
            learned=_learned(study, name),
            not_here=study.skip_reason(name, view),
            first_object_alone=len(study.objects_of(name, view)) < len(study.scan.samples),
        )
        for name in study.methods
    )
    return ComparisonParameters(
        seeds=study.seeds,
        objects=tuple(study.scan.samples),
        dose=dose,
        view_name=view,
        scoring=study.scoring,
        methods=methods,
        bootstrap_seed=study.scan.seed,
    )


def report_parameters(study: Study) -> ReportParameters:
    """Of ``study_report``."""
    return ReportParameters(
        asked=digest_of([record.digest for record in _all_others(study)]),
        seeds=study.seeds,
        objects=tuple(study.scan.samples),
        study_name=study.name,
        report=study.report,
        doses=study.doses,
        views={name: view.model_copy(update={"trains": study.trains(name)}) for name, view in study.views.items()},
        metrics=study.scoring.metrics,
        reference_kind=REFERENCE_KIND if study.scan.source == "measured" else "",
        methods=study.roles(),
        dose_method=study.dose.method,
    )


def _all_others(study: Study) -> Iterator[Parameters]:
    yield scan_parameters(study)
    for dose in study.doses:
        yield dataset_parameters(study, dose)
        for view in study.views:
            yield view_parameters(study, view)
            yield comparison_parameters(study, dose, view)
            for method in study.methods:
                yield training_parameters(study, dose, view, method)
                yield reconstruction_parameters(study, dose, view, method)


def input_digest(study: Study) -> str | None:
    """SHA256 of the scan's input file; None for a synthetic scan, "absent" if the file is not there."""
    if study.scan.file is None:
        return None
    try:
        return cached_sha256_of(resolve_input_file(study.scan.file))
    except ScanInputError:
        return "absent"


def _digest_of_named_bundle(entry: MethodEntry) -> str | None:
    """SHA256 of a bundle that the options name; "absent" if it is not there."""
    bundle = entry.record.bundle_of(entry.options)
    if bundle is None:
        return None
    return cached_sha256_of(bundle) if bundle.is_file() else "absent"


def _learned(study: Study, method: str) -> bool:
    return any(study.methods[each].trainable for each in study.chain_of(method))


def _without_training(view: ViewOptions) -> ViewOptions:
    """What a view keeps and how it groups; which method it trains is no part of that."""
    return view.model_copy(update={"trains": None})
