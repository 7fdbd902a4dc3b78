"""Maximum a posteriori reconstruction without a network: quasi-Newton passes over the data, from flat or a result."""

from collections.abc import Iterator

from pydantic import Field

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options, PositiveInt
from fly64_assets.science.records import Measurement, Progress


class MapOptions(Options):
    """The passes over the data."""

    passes: PositiveInt = Field(default=20, le=1_000, description="Looks at the data, rejected steps included.")
    threads: PositiveInt = Field(
        default=1, le=64, description="Results are bit-identical only for equal thread counts."
    )


def reconstruct(measurement: Measurement, options: MapOptions, given: Given) -> Iterator[Estimate]:
    """Lower the Poisson NLL plus a smoothness prior: an estimate after every pass, the first one being the start.

    Raises:
        ValueError: the start does not lie on the measurement's grid.
    """
    from fly64_assets.science.methods.quasi_newton import lower_objective
    from fly64_assets.science.physics.scan_canvas import ScanCanvas
    from fly64_assets.science.torch_runtime import limit_threads

    start = given.start if given.start_extended is None else given.start_extended
    if given.start is not None and given.start.shape != tuple(measurement.object_shape):
        message = (
            f"the start has shape {given.start.shape}, the measurement's grid is {tuple(measurement.object_shape)}"
        )
        raise ValueError(message)
    limit_threads(options.threads)

    def passes() -> Iterator[Estimate]:
        scan = ScanCanvas.of(measurement)
        canvas = scan.data.flat() if start is None else scan.from_object_grid(start)
        for done, found in enumerate(lower_objective(scan.data, canvas, options.passes), start=1):
            given.progress(Progress("reconstruct", done, options.passes, found.value))
            extended = scan.on_object_grid(found.canvas)
            yield Estimate.on_grid(extended, measurement.object_shape, step=done, loss=found.value)

    return passes()


MAP = MethodKind(
    name="map",
    meaning="maximum a posteriori on the counts, a smoothness prior and no network",
    options=MapOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
