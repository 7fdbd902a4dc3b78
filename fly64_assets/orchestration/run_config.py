"""What can be changed for a single run in the launchpad or on the command line. Empty means: as in the study."""

from enum import Enum

import dagster as dg
from pydantic import Field

from fly64_assets.science.options import TrainingOptions
from fly64_assets.study import Study


class Accelerator(Enum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Precision(Enum):
    """Arithmetic of the training; mixed is for GPUs."""

    full = "32-true"
    bf16_mixed = "bf16-mixed"


class HistoryLogger(Enum):
    """Whether history.csv is written."""

    csv = "csv"
    none = "none"


class TrainingOverrides(dg.Config):
    """Overrides of the study's training options for one run; bounds are those of the study file."""

    epochs: int | None = Field(default=None, ge=1, le=100_000, description="Passes over the training groups.")
    batch_size: int | None = Field(default=None, ge=1, le=4096, description="Groups per optimizer step.")
    learning_rate: float | None = Field(default=None, gt=0, le=1, description="Peak learning rate.")
    n_images: int | None = Field(default=None, ge=1, description="Limit of training patterns.")
    accelerator: Accelerator | None = Field(default=None, description="Where to train.")
    precision: Precision | None = Field(default=None, description="bf16_mixed is for GPUs.")
    deterministic: bool | None = Field(
        default=None, description="Same seed, machine and threads: same bundle, bit for bit."
    )
    max_minutes: float | None = Field(default=None, gt=0, description="Time budget; breaks determinism.")
    num_workers: int | None = Field(default=None, ge=0, le=64, description="Data-loading processes.")
    logger: HistoryLogger | None = Field(default=None, description="none: no history.csv.")
    checkpointing: bool | None = Field(default=None, description="Off: a killed training starts again.")

    def applied_to(self, study: Study, view: str) -> Study:
        """The study with this run's overrides in the training options of a view's network."""
        changes = {name: value for name, value in self.model_dump(mode="json").items() if value is not None}
        if not changes:
            return study
        options = TrainingOptions.model_validate({**study.training_of(view).model_dump(), **changes})
        return study.with_training(study.views[view].network, options)
