"""Maximum a posteriori reconstruction without a network: quasi-Newton passes over the data, from flat or a result."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options, PositiveInt
from fly64_assets.science.records import Measurement, Progress

if TYPE_CHECKING:
    from fly64_assets.science.physics.descent import Descent, Prior
    from fly64_assets.science.physics.scan_canvas import ScanCanvas

_EDGE_WEIGHT = 2.0
"""Nats per unit of gradient, for all doses and views; chosen on an object that tables show (docs/adr/0009)."""

_SMOOTHNESS_BESIDE_EDGES = 0.05


class MapOptions(Options):
    """The prior, and the passes over the data."""

    prior: Literal["edges", "smooth"] = Field(
        default="edges",
        description="edges: total variation, which keeps them sharp; smooth: a power-law spectrum, 1 / q**2.",
    )
    passes: PositiveInt = Field(default=240, le=1_000, description="At most so many looks at the data.")
    amplitude_passes: int = Field(
        default=40,
        ge=0,
        le=1_000,
        description="At most so many of these, the first ones, compare amplitudes; the others count photons.",
    )
    tolerance: float = Field(
        default=1e-4,
        ge=0,
        lt=1,
        description="Ends when ten passes lower the objective by less than this fraction; 0: never before the last.",
    )
    threads: PositiveInt = Field(
        default=1, le=64, description="Results are bit-identical only for equal thread counts."
    )

    def prior_weights(self) -> "Prior":
        """Weights of the prior's parts."""
        from fly64_assets.science.physics.descent import Prior

        edges = self.prior == "edges"
        return Prior(_EDGE_WEIGHT, _SMOOTHNESS_BESIDE_EDGES) if edges else Prior(0.0, 1.0)

    def descent(self) -> "Descent":
        """The same for the solver."""
        from fly64_assets.science.physics.descent import Descent

        return Descent(self.prior_weights(), self.passes, self.amplitude_passes, self.tolerance)


def reconstruct(measurement: Measurement, options: MapOptions, given: Given) -> Iterator[Estimate]:
    """Lower the deviance of the counts plus the prior: an estimate after every pass, the first one being the start.

    Given a result to start from, it starts from that or from flat, whichever has the lower objective.

    Raises:
        ValueError: the start does not lie on the measurement's grid.
    """
    from fly64_assets.science.physics.scan_canvas import ScanCanvas
    from fly64_assets.science.torch_runtime import limit_threads

    if given.start is not None and given.start.shape != tuple(measurement.object_shape):
        message = (
            f"the start has shape {given.start.shape}, the measurement's grid is {tuple(measurement.object_shape)}"
        )
        raise ValueError(message)
    limit_threads(options.threads)

    def passes() -> Iterator[Estimate]:
        yield from map_passes(ScanCanvas.of(measurement), options, given)

    return passes()


def map_passes(scan: "ScanCanvas", options: MapOptions, given: Given) -> Iterator[Estimate]:
    """Estimates of the solver on a scan that is laid out already."""
    from fly64_assets.science.physics.descent import lower_objective, lower_start

    start = given.start if given.start_extended is None else given.start_extended
    canvas = scan.data.flat()
    if start is not None:
        canvas = lower_start(scan.data, [canvas, scan.from_object_grid(start)], options.prior_weights())
    for done, found in enumerate(lower_objective(scan.data, canvas, options.descent()), start=1):
        given.progress(Progress("reconstruct", done, options.passes, found.value))
        extended = scan.on_object_grid(found.canvas)
        yield Estimate.on_grid(extended, scan.object_shape, step=done, loss=found.value)


MAP = MethodKind(
    name="map",
    meaning="maximum a posteriori on the counts, an edge-preserving prior and no network",
    options=MapOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
