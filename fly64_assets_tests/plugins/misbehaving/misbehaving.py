"""Methods that go wrong: one diverges, one fails on views with many patterns."""

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options
from fly64_assets.science.records import Measurement


class DivergingOptions(Options):
    """How far it runs away."""

    factor: float = Field(default=1e6, gt=1, le=1e30, description="By which the object grows at every step.")


class FailingOptions(Options):
    """When it fails."""

    most_patterns: int = Field(default=60, ge=0, le=10**6, description="More patterns than these are refused.")


def diverge(measurement: Measurement, options: DivergingOptions, given: Given) -> Iterator[Estimate]:
    """An object that grows until it is not finite."""
    image = np.ones(measurement.object_shape, np.complex64)
    for step in range(1, 10):
        with np.errstate(over="ignore", invalid="ignore"):
            image = (image * options.factor).astype(np.complex64)
            yield Estimate(image, step, float(np.abs(image).max()))


def fail(measurement: Measurement, options: FailingOptions, given: Given) -> Iterator[Estimate]:
    """The flat object, or an error."""
    if len(measurement.amplitude) > options.most_patterns:
        message = f"{len(measurement.amplitude)} patterns are too many for me, at most {options.most_patterns}"
        raise ValueError(message)
    yield Estimate(np.ones(measurement.object_shape, np.complex64), 1)


DIVERGING = MethodKind(name="diverging", meaning="runs away", options=DivergingOptions, reconstruct=diverge)
FAILING = MethodKind(name="failing", meaning="refuses large views", options=FailingOptions, reconstruct=fail)
