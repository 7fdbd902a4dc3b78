"""Maximum a posteriori reconstruction without a network: quasi-Newton passes over the data, from flat or a result."""

from collections.abc import Iterator

from pydantic import Field

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options, PositiveInt
from fly64_assets.science.records import Measurement


class MapOptions(Options):
    """The passes over the data."""

    passes: PositiveInt = Field(default=20, le=1_000, description="Looks at the data, rejected steps included.")
    threads: PositiveInt = Field(
        default=1, le=64, description="Results are bit-identical only for equal thread counts."
    )


def reconstruct(measurement: Measurement, options: MapOptions, given: Given) -> Iterator[Estimate]:
    """Lower the Poisson NLL plus a smoothness prior, one estimate per pass."""
    raise NotImplementedError


MAP = MethodKind(
    name="map",
    meaning="maximum a posteriori on the counts, a smoothness prior and no network",
    options=MapOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
