"""Follows a method to its result: times it, and keeps a few of the estimates that it had on its way."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.records import Measurement, Reconstruction

TRACE_ESTIMATES = 8
"""At most so many estimates are kept of a method's way, the first and the last among them."""


class MethodError(ValueError):
    """A method that broke its contract; the message says which rule."""


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What a method yielded.

    Attributes:
        result: the last estimate, with the loss at every step and the CPU time of all of it.
        trace: estimates on the way, by step, each with the CPU time until then; empty unless it was asked for.
    """

    result: Reconstruction
    trace: dict[int, Reconstruction]


def follow(
    kind: MethodKind,
    measurement: Measurement,
    options: Any,
    given: Given,
    *,
    method: str,
    keep_trace: bool,
) -> Followed:
    """Run a method to its end.

    Args:
        kind: what to run.
        measurement: counts, probe and positions.
        options: of the kind.
        given: seed, start, bundle, listener.
        method: label that the result carries.
        keep_trace: keep at most :data:`TRACE_ESTIMATES` estimates, spread evenly in the logarithm of the step.

    Raises:
        MethodError: it yielded nothing, another grid, or steps that do not increase.
    """
    kept: dict[int, Estimate] = {}
    losses: dict[int, float] = {}
    last: Estimate | None = None
    for estimate in _timed(kind.reconstruct(measurement, options, given)):
        _require_contract(method, estimate, measurement, last)
        if estimate.loss is not None:
            losses[estimate.step] = estimate.loss
        last = estimate
        if keep_trace:
            kept[estimate.step] = estimate
            _thin(kept, 4 * TRACE_ESTIMATES)
    if last is None:
        message = f"{method}: kind {kind.name} yielded no estimate"
        raise MethodError(message)
    _thin(kept, TRACE_ESTIMATES)

    def reconstruction(estimate: Estimate, *, whole: bool = False) -> Reconstruction:
        until = {step: loss for step, loss in losses.items() if step <= estimate.step}
        return Reconstruction(
            object=estimate.object.astype(np.complex64, copy=False),
            probe=measurement.probe if estimate.probe is None else estimate.probe,
            positions_xy_px=measurement.positions_xy_px,
            method=method,
            counts_scale=measurement.counts_scale,
            loss_epochs=tuple(until),
            loss_values=tuple(until.values()),
            cpu_seconds=float("nan") if estimate.cpu_seconds is None else estimate.cpu_seconds,
            comments=f"{kind.name}, step {estimate.step}, seed {given.seed}",
            extended=estimate.extended if whole else None,
            error=estimate.error if whole else None,
        )

    return Followed(
        reconstruction(last, whole=True), {step: reconstruction(estimate) for step, estimate in kept.items()}
    )


def _timed(estimates: Iterator[Estimate]) -> Iterator[Estimate]:
    """The estimates, each with the CPU time until it was there; what the caller does in between counts nowhere."""
    spent = 0.0
    iterator = iter(estimates)
    with contextlib.ExitStack() as stack:
        close = getattr(iterator, "close", None)
        if close is not None:  # a generator that is left early ends its child processes now, not when it is collected
            stack.callback(close)
        while True:
            begun = time.process_time()
            try:
                estimate = next(iterator)
            except StopIteration:
                return
            spent += time.process_time() - begun
            yield estimate if estimate.cpu_seconds is not None else replace(estimate, cpu_seconds=spent)


def _require_contract(method: str, estimate: Estimate, measurement: Measurement, last: Estimate | None) -> None:
    if estimate.object.shape != tuple(measurement.object_shape):
        message = f"{method}: an estimate has shape {estimate.object.shape}, expected {measurement.object_shape}"
        raise MethodError(message)
    if last is not None and estimate.step <= last.step:
        message = f"{method}: step {estimate.step} follows step {last.step}; steps increase"
        raise MethodError(message)


def _thin(kept: dict[int, Estimate], limit: int) -> None:
    """Leave out, one by one, the estimate whose neighbours are nearest to each other in the logarithm of the step.

    What stays depends on the steps alone, so that two runs keep the same.
    """
    while len(kept) > limit:
        steps = list(kept)
        gaps = [math.log((after + 1) / (before + 1)) for before, after in zip(steps, steps[2:], strict=False)]
        del kept[steps[1 + gaps.index(min(gaps))]]
