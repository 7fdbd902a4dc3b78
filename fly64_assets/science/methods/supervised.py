"""The supervised network: the same family, trained on true patches of the object."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from fly64_assets.science.methods.learned import apply_bundle
from fly64_assets.science.methods.record import (
    Estimate,
    Given,
    MethodKind,
    Place,
    TrainingResult,
    TrainingTask,
    needs_gridsize,
)
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.records import Measurement


class SupervisedOptions(TrainingOptions):
    """How the network is built, trained and applied."""

    gridsize: Literal[1, 2] | None = Field(
        default=None, description="Trained on views of this gridsize alone, skipped elsewhere; null: on any view."
    )


def train(task: TrainingTask, options: SupervisedOptions) -> TrainingResult:
    """Train on the true patches of a view."""
    from fly64_assets.science.networks.training import train_network

    return train_network(task, options, learns_from="truth")


def reconstruct(measurement: Measurement, options: SupervisedOptions, given: Given) -> Iterator[Estimate]:
    """Apply the network: of gridsize 1 to every pattern by itself, of gridsize 2 to the whole scan."""
    return apply_bundle(measurement, options, given)


def skip(place: Place, options: SupervisedOptions) -> str | None:
    """Where the view that it is trained on has another gridsize than the options ask for."""
    return None if options.gridsize is None else needs_gridsize(options.gridsize)(place, options)


SUPERVISED = MethodKind(
    name="supervised",
    meaning="supervised network, trained on the truth",
    options=SupervisedOptions,
    reconstruct=reconstruct,
    trains="view",
    learns_from="truth",
    train=train,
    skip=skip,
)
