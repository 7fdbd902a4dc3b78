"""What a method is: one frozen record in one file.

A record says what the method's kind is called, what it means, which options it takes, what it trains, what it may
start from, when it skips a view, and how it reconstructs. It stands at the end of the kind's module and is registered
under the entry-point group ``fly64_assets.methods``; nothing else knows the module. A study gives a kind a name and
options: ``methods: {pinn_wide: {kind: unrolled, options: {width: 24}}}``.

Importing a kind's module must be cheap: torch and pty-chi are imported inside its functions.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fly64_assets.science.arrays import ComplexObject, ErrorMap, ExtendedObject, ProbeModes
from fly64_assets.science.networks.training_task import LearnsFrom, TrainingResult, TrainingTask
from fly64_assets.science.options import Options, ViewOptions
from fly64_assets.science.records import Measurement, ProgressListener, ignore_progress
from fly64_assets.science.registry import Registry

Trains = Literal["nothing", "view", "probe"]
"""What a method trains: nothing; a network on a view's patterns; a network for the study's probe, once per study."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """An object estimate on the way to a method's result; the last one that it yields is the result.

    Attributes:
        object: on the measurement's grid.
        step: passes over the data, epochs or looks that it took; increases from estimate to estimate.
        loss: the method's own objective at this step; None if it has none.
        probe: refined probe; None: the measurement's own.
        cpu_seconds: CPU time until here, imports and saving apart; None: the time that the iterator took in this
            process is measured.
        extended: the object with further rows and columns at the end of the grid, which the method estimated too
            because its canvas sticks out there; None if it does not. Nothing lights them, and nothing but a method
            that starts from the result reads them: without them it would start from another canvas.
        error: what the method predicts to be wrong with each pixel; None if it predicts nothing.
    """

    object: ComplexObject
    step: int
    loss: float | None = None
    probe: ProbeModes | None = None
    cpu_seconds: float | None = None
    extended: ExtendedObject | None = None
    error: ErrorMap | None = None

    @classmethod
    def on_grid(
        cls,
        extended: ExtendedObject,
        object_shape: tuple[int, int],
        *,
        step: int,
        loss: float | None = None,
        error: ErrorMap | None = None,
    ) -> "Estimate":
        """An object that may extend beyond the end of the grid, cut to the grid; ``error`` lies on the grid."""
        rows, columns = object_shape
        if extended.shape == (rows, columns):
            return cls(extended, step, loss, error=error)
        return cls(np.ascontiguousarray(extended[:rows, :columns]), step, loss, extended=extended, error=error)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a reconstruction is given beside the measurement and its options.

    Attributes:
        seed: of everything that the method draws.
        start: object to start from, another method's result; None: flat, all ones.
        start_extended: ``extended`` of that result, if it has one.
        bundle: verified wts.h5.zip of the network that the method trained; None if it trains nothing.
        progress: told of every step; may raise to cancel.
    """

    seed: int
    start: ComplexObject | None = None
    start_extended: ExtendedObject | None = None
    bundle: Path | None = None
    progress: ProgressListener = ignore_progress


@dataclass(frozen=True, slots=True)
class Place:
    """Where a method is asked for: a view, and the view that it is trained on.

    Attributes:
        view_name: of the view whose patterns are reconstructed.
        view: its options.
        trained_on_name: name of the view that the method's network is trained on; the same view for ``own``.
        trained_on: its options.
    """

    view_name: str
    view: ViewOptions
    trained_on_name: str
    trained_on: ViewOptions


def never_skips(place: Place, options: Options) -> str | None:
    """The default: the method works on every view."""
    del place, options
    return None


def needs_gridsize(*gridsizes: int) -> Callable[[Place, Options], str | None]:
    """A skip rule: the view that the network is trained on must have one of these gridsizes."""

    def skip(place: Place, options: Options) -> str | None:
        del options
        if place.trained_on.gridsize in gridsizes:
            return None
        needed = " or ".join(map(str, gridsizes))
        return (
            f"its network trains on groups of gridsize {needed}; view {place.trained_on_name} has gridsize "
            f"{place.trained_on.gridsize}"
        )

    return skip


def trains_its_own(options: Options) -> Path | None:
    """The default: a study trains the networks of its methods itself."""
    del options
    return None


@dataclass(frozen=True, kw_only=True)
class MethodKind:
    """A kind of method.

    Attributes:
        name: as studies and the entry point name it.
        meaning: one line for reports and the command line; no full stop.
        options: frozen pydantic record of what can be chosen, every field with bounds and a description.
        reconstruct: ``(measurement, options, given)`` to estimates, at least one; the last one is the result. It sees
            counts, probe and positions, never the object.
        trains: nothing, a network on a view's patterns, or one for the probe.
        learns_from: what its training sees: counts alone, or the true object as well; None if it trains nothing.
        train: ``(task, options)`` to the result of a training; None if it trains nothing.
        may_start_from_a_result: whether ``given.start`` is used.
        bundle_of: the bundle that the options name, trained elsewhere; None: this study trains it.
        skip: why the method is not run at a place; None if it is.
    """

    name: str
    meaning: str
    options: type[Options]
    reconstruct: Callable[[Measurement, Any, Given], Iterator[Estimate]]
    trains: Trains = "nothing"
    learns_from: LearnsFrom | None = None
    train: Callable[[TrainingTask, Any], TrainingResult] | None = None
    may_start_from_a_result: bool = False
    bundle_of: Callable[[Any], Path | None] = trains_its_own
    skip: Callable[[Place, Any], str | None] = never_skips

    def __post_init__(self) -> None:
        """Refuse a record that contradicts itself."""
        trainable = self.trains != "nothing"
        if trainable != (self.train is not None) or trainable != (self.learns_from is not None):
            message = f"kind {self.name!r}: trains, train and learns_from belong together: give all of them or none"
            raise ValueError(message)


METHOD_KINDS = Registry("fly64_assets.methods", "kind of method", MethodKind)
"""Every kind of method that is installed."""
