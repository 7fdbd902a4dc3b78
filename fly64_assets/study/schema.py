"""The study file: one frozen YAML that says what is asked, of which data, by which methods.

``FLY64_STUDY`` names a shipped study or a path; ``FLY64_DATA_ROOT`` overrides where results go.
:meth:`Study.parameters` lists, per asset and partition, exactly the fields that it reads; their
hash decides (with the code version and the upstream digests) whether a partition is fresh.
"""

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from fly64_assets.science.options import (
    DoseOptions,
    Options,
    PtyChiOptions,
    RefineOptions,
    ScanOptions,
    ScoringOptions,
    SplitOptions,
    TrainingOptions,
    ViewOptions,
)
from fly64_assets.science.scan import ScanInputError, resolve_input_file
from fly64_assets.storage import digest_of, sha256_of
from fly64_assets.study.keys import dose_key, split_partition

BASELINE_VIEW = "baseline"
SHIPPED_STUDIES = Path(__file__).parents[1] / "studies"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")

AssetName = Literal[
    "scan",
    "simulated_dataset",
    "overlap_view",
    "trained_bundle",
    "network_reconstruction",
    "pty_chi_reconstruction",
    "comparison_metrics",
    "study_report",
]
"""All assets, upstream before downstream: the order in which they are walked."""


class StudyError(ValueError):
    """A study file that cannot be used; the message says where, what was found and what to do."""


class ScheduleOptions(Options):
    """The nightly backfill; off until it is switched on in the UI."""

    cron: str = "0 2 * * *"
    max_failures: int = Field(default=3, ge=1, description="A partition that failed this often is left alone.")


class ReportOptions(Options):
    """Words of the report; changing them touches nothing else."""

    title: str
    question: str = ""


class Study(Options):
    """Everything that a study fixes. Adding a dose or a view leaves the other partitions as they are."""

    name: str
    report: ReportOptions
    doses: tuple[Annotated[float, Field(gt=0)], ...] = (1e3, 1e4, 1e5)
    default_doses: tuple[float, ...] | None = Field(
        default=None, description="What `fly64 study` runs unless told otherwise."
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (1,)
    scan: ScanOptions = ScanOptions()
    dose: DoseOptions = DoseOptions()
    split: SplitOptions = SplitOptions()
    views: dict[str, ViewOptions]
    training: dict[str, TrainingOptions] = Field(
        default_factory=dict, description="Training options per kind of network."
    )
    refine: RefineOptions = RefineOptions()
    pty_chi: PtyChiOptions = PtyChiOptions()
    scoring: ScoringOptions = ScoringOptions()
    schedule: ScheduleOptions = ScheduleOptions()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not NAME_PATTERN.fullmatch(name):
            message = f"name must be lower-case letters, digits and _, starting with a letter; got {name!r}"
            raise ValueError(message)
        return name

    @field_validator("views")
    @classmethod
    def _named_views(cls, views: dict[str, ViewOptions]) -> dict[str, ViewOptions]:
        if BASELINE_VIEW not in views:
            message = f"views must contain {BASELINE_VIEW!r}: its bundle is compared in every cell of its dose"
            raise ValueError(message)
        for name in views:
            if not NAME_PATTERN.fullmatch(name):
                message = f"view names are lower-case letters, digits and _, starting with a letter; got {name!r}"
                raise ValueError(message)
        if views[BASELINE_VIEW].gridsize != 1:
            message = "the baseline view has gridsize 1"
            raise ValueError(message)
        return views

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
        return self

    @cached_property
    def _whole(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

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

    def training_of(self, view: str) -> TrainingOptions:
        """Training options of a view's kind of network."""
        return self.training.get(self.views[view].network, TrainingOptions())

    def seed_folder(self, seed: int) -> str:
        """Subfolder of a seed inside a partition: none when there is only one seed."""
        return "" if len(self.seeds) == 1 else f"seed_{seed}/"

    def with_training(self, network: str, options: TrainingOptions) -> "Study":
        """The same study with other training options for one kind of network."""
        return self.with_changes(training={**self.training, network: options})

    def with_changes(self, **fields: Any) -> "Study":
        """The same study with other values in some fields, validated anew; a copy would keep cached hashes."""
        return Study.model_validate({**{name: getattr(self, name) for name in Study.model_fields}, **fields})

    def rng(self, *labels: str) -> np.random.Generator:
        """A generator named by what it is for, independent of the order of runs and of the study's seeds."""
        digest = hashlib.sha256("/".join(labels).encode()).digest()
        return np.random.default_rng([self.scan.seed, int.from_bytes(digest[:8])])

    def study_hash(self) -> str:
        """Hash of the whole study; stands in run tags and in the report only."""
        return digest_of(self.model_dump(mode="json"))

    def parameters(self, asset: AssetName, partition: str | None = None) -> dict[str, Any]:
        """Exactly the fields that one asset partition reads, as JSON-ready data.

        Args:
            asset: name of the asset.
            partition: "dose" for simulated_dataset, "dose|view" for the assets of a cell.
        """
        whole = self._whole
        dose, view = split_partition(partition)
        seeds = {"seeds": whole["seeds"]}
        match asset:
            case "scan":
                return {"scan": whole["scan"], "input_sha256": self.input_digest()}
            case "simulated_dataset":
                return {"dose": self.dose_of(dose), "method": whole["dose"], "split": whole["split"], **seeds}
            case "overlap_view":
                return {"dose": self.dose_of(dose), "view": whole["views"][view], "view_name": view, **seeds}
            case "trained_bundle":
                options = self.views[view]
                training = self.training_of(view).model_dump(mode="json", exclude=set(EXECUTION_FIELDS))
                grouping = options.model_dump(mode="json", include={"network", "gridsize", "neighbor_count"})
                return {"training": training, "view": grouping, **seeds}
            case "network_reconstruction":
                return {"refine": whole["refine"], **seeds}
            case "pty_chi_reconstruction":
                return {"pty_chi": whole["pty_chi"], **seeds}
            case "comparison_metrics":
                return {"scoring": whole["scoring"], **seeds}
            case "study_report":
                return {"report": whole["report"]}

    def parameter_hash(self, asset: AssetName, partition: str | None = None) -> str:
        """Hash of :meth:`parameters`."""
        return digest_of(self.parameters(asset, partition))

    def input_digest(self) -> str | None:
        """SHA256 of the scan's input file; None for a synthetic scan, "absent" if the file is not there."""
        if self.scan.file is None:
            return None
        try:
            return sha256_of(resolve_input_file(self.scan.file))
        except ScanInputError:
            return "absent"


EXECUTION_FIELDS = ("num_workers", "logger", "checkpointing")
"""Training options that change how a run is executed but not its result."""
