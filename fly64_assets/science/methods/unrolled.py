"""The physics-informed network: unrolled passes over the data with learned corrections, trained on counts alone."""

from collections.abc import Iterator

from fly64_assets.science.methods.record import (
    Estimate,
    Given,
    MethodKind,
    TrainingResult,
    TrainingTask,
    needs_gridsize,
)
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.records import Measurement


class UnrolledOptions(TrainingOptions):
    """How the network is built, trained and applied."""


def train(task: TrainingTask, options: UnrolledOptions) -> TrainingResult:
    """Train on the counts of a view; its truth is not read."""
    raise NotImplementedError


def reconstruct(measurement: Measurement, options: UnrolledOptions, given: Given) -> Iterator[Estimate]:
    """Apply the network to the whole scan."""
    raise NotImplementedError


UNROLLED = MethodKind(
    name="unrolled",
    meaning="physics-informed network, trained on counts alone",
    options=UnrolledOptions,
    reconstruct=reconstruct,
    trains="view",
    learns_from="counts",
    train=train,
    skip=needs_gridsize(2),
)
