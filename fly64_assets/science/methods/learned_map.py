"""MAP, then a network that was trained once for the probe, on procedural objects alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from fly64_assets.science.input_file import named_path
from fly64_assets.science.methods.learned import bundle_given
from fly64_assets.science.methods.map import MapOptions, map_passes
from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.networks.training_task import TrainingResult, TrainingTask
from fly64_assets.science.options import FilePath, PositiveFloat, PositiveInt
from fly64_assets.science.records import Measurement, Progress

_SHIPPED = "shipped"
SHIPPED_BUNDLE = Path(__file__).parents[1] / "networks" / "shipped" / "wts.h5.zip"
"""Trained by the study ``reference`` for its probe, which ``quick`` has too."""


class LearnedOptions(MapOptions):
    """The classical passes, the corrections after them, and what these learn from."""

    rounds: int = Field(default=2, ge=1, le=4, description="Corrections, each after passes over the data.")
    passes_between: PositiveInt = Field(default=12, le=1_000, description="Passes between two corrections.")
    width: PositiveInt = Field(default=32, le=256, description="Base number of channels of a correction.")
    scans: int = Field(default=400, ge=10, le=100_000, description="Simulated scans in the corpus.")
    doses: tuple[PositiveFloat, PositiveFloat] = Field(
        default=(1e2, 1e6), description="Lowest and highest photons per pattern in the corpus."
    )
    overlaps: tuple[float, float] = Field(default=(0.0, 0.8), description="Lowest and highest overlap in the corpus.")
    epochs: PositiveInt = Field(default=24, le=100_000, description="Of the first correction; later ones take half.")
    batches_per_epoch: PositiveInt = Field(default=100, le=1_000_000, description="Steps of an epoch.")
    batch_size: PositiveInt = Field(default=8, le=4096, description="Crops per step.")
    learning_rate: PositiveFloat = Field(default=3e-3, le=1.0, description="Peak learning rate.")
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="Where to train.")
    bundle: FilePath | None = Field(
        default=None,
        description="wts.h5.zip trained elsewhere for the same probe: a path, $NAME of an environment variable, or "
        "shipped, the one for the probe of the shipped synthetic studies; nothing is trained then.",
    )

    @field_validator("doses", "overlaps")
    @classmethod
    def _ascending(cls, limits: tuple[float, float]) -> tuple[float, float]:
        low, high = limits
        if not low < high:
            message = f"the lowest value stands first and lies below the highest, got {low} and {high}"
            raise ValueError(message)
        return limits

    @field_validator("overlaps")
    @classmethod
    def _fractions(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if min(limits) < 0 or max(limits) >= 1:
            message = f"overlaps are fractions in [0, 1), got {limits}"
            raise ValueError(message)
        return limits


def train(task: TrainingTask, options: LearnedOptions) -> TrainingResult:
    """Simulate procedural objects through the probe, reconstruct them, and learn what is still wrong with them."""
    from fly64_assets.science.networks.corpus import CorpusPlan
    from fly64_assets.science.networks.correction_training import CorrectionPlan, train_corrections

    corpus = CorpusPlan(options.scans, options.doses, options.overlaps, options.descent(), task.seed)
    plan = CorrectionPlan(
        corpus=corpus,
        rounds=options.rounds,
        passes_between=options.passes_between,
        width=options.width,
        epochs=options.epochs,
        batches_per_epoch=options.batches_per_epoch,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        accelerator=options.accelerator,
        threads=options.threads,
    )
    return train_corrections(task, plan)


def reconstruct(measurement: Measurement, options: LearnedOptions, given: Given) -> Iterator[Estimate]:
    """The passes of MAP, then the corrections; the last estimate is the last correction's.

    Raises:
        BundleError: the file is no intact bundle.
        ValueError: there is no bundle, or it was trained for another probe.
    """
    from fly64_assets.science.networks.correction import apply_corrections
    from fly64_assets.science.networks.inference import read_bundle_for_probe
    from fly64_assets.science.physics.scan_canvas import ScanCanvas
    from fly64_assets.science.torch_runtime import limit_threads

    network = read_bundle_for_probe(bundle_given(given), measurement).network()
    limit_threads(options.threads)

    def passes() -> Iterator[Estimate]:
        scan = ScanCanvas.of(measurement)
        estimate: Estimate | None = None
        for estimate in map_passes(scan, options, given):
            yield estimate
        assert estimate is not None
        canvas = scan.from_object_grid(estimate.object if estimate.extended is None else estimate.extended)
        prior = options.prior_weights()
        found = apply_corrections(network, scan.data, canvas, prior, options.passes_between)
        for done, step in enumerate(found, start=estimate.step + 1):
            given.progress(Progress("correct", done, options.passes))
            extended = scan.on_object_grid(step.canvas)
            error = None if step.error is None else scan.error_on_object_grid(step.error)
            yield Estimate.on_grid(extended, measurement.object_shape, step=done, loss=step.value, error=error)

    return passes()


def bundle_of(options: LearnedOptions) -> Path | None:
    """The bundle that was trained elsewhere; it need not be there."""
    if options.bundle is None:
        return None
    if options.bundle == _SHIPPED:
        return SHIPPED_BUNDLE
    return named_path(options.bundle) or Path(options.bundle)


LEARNED = MethodKind(
    name="learned",
    meaning="maximum a posteriori, then a network trained for the probe on procedural objects",
    options=LearnedOptions,
    reconstruct=reconstruct,
    trains="probe",
    learns_from="truth",
    train=train,
    bundle_of=bundle_of,
)
