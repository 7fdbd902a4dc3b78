"""The physics-informed network: unrolled passes over the data with learned corrections, trained on counts alone."""

from collections.abc import Iterator

from fly64_assets.science.methods.learned import apply_bundle
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
    from fly64_assets.science.networks.training import train_network

    return train_network(task, options, learns_from="counts")


def reconstruct(measurement: Measurement, options: UnrolledOptions, given: Given) -> Iterator[Estimate]:
    """Apply the network to the whole scan; an estimate after each of its looks at the data."""
    return apply_bundle(measurement, options, given)


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
