"""What methods with a network have in common: their bundle applied to a measurement."""

from collections.abc import Iterator
from pathlib import Path

from fly64_assets.science.methods.record import Estimate, Given
from fly64_assets.science.options import TrainingOptions
from fly64_assets.science.records import Measurement


def bundle_given(given: Given) -> Path:
    """The bundle that a method with a network was given.

    Raises:
        ValueError: there is none.
    """
    if given.bundle is None:
        message = "a method with a network reconstructs with the bundle that it trained, and was given none"
        raise ValueError(message)
    return given.bundle


def apply_bundle(measurement: Measurement, options: TrainingOptions, given: Given) -> Iterator[Estimate]:
    """Estimates by the network of ``given.bundle``; imports and reading are done before the first is asked for.

    Raises:
        BundleError: the file is no intact bundle.
        ValueError: there is no bundle, or it was trained for another patch size.
    """
    from fly64_assets.science.networks.inference import estimate_objects, read_bundle_for
    from fly64_assets.science.torch_runtime import limit_threads

    bundle = read_bundle_for(bundle_given(given), measurement)
    limit_threads(options.threads)
    return (
        Estimate.on_grid(found, measurement.object_shape, step=looks)
        for looks, found in estimate_objects(bundle, measurement, progress=given.progress)
    )
