"""Carries calls of a kind out in a watched process, one result per call. Arrays are told by their digests."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fly64_assets.conformance.scan import DOSE, read_measurement
from fly64_assets.conformance.watched import falsify_datetime
from fly64_assets.science.child_process import Message, Send, serve
from fly64_assets.science.methods.record import METHOD_KINDS, Estimate, Given, MethodKind, TrainingTask
from fly64_assets.science.options import Options, ViewOptions
from fly64_assets.science.records import Measurement, Progress

_GRACE_S = 2.0
"""How long children of a cancelled call may take to end."""

_HASH = "0" * 64


class CancelledError(Exception):
    """Raised by the progress listener."""


class Listener:
    """Counts what it is told, and raises at the first report if it is to cancel."""

    def __init__(self, *, cancels: bool) -> None:
        self.cancels, self.told, self.raised_at = cancels, 0, float("nan")

    def __call__(self, progress: Progress) -> None:
        """Hear of a step."""
        self.told += 1
        if self.cancels:
            if self.told == 1:
                self.raised_at = time.perf_counter()
            raise CancelledError(progress.stage)


def carry_out(requests: Iterator[Message], send: Send) -> None:
    """Carry one request out, call by call."""
    request = next(requests)
    falsify_datetime()
    kind = METHOD_KINDS.get(request["kind"])
    options = kind.options.model_validate(request["options"])
    for call in request["calls"]:
        send(_carried_out(kind, options, call))


def _carried_out(kind: MethodKind, options: Options, call: Mapping[str, Any]) -> dict[str, Any]:
    listener = Listener(cancels=call.get("end") == "cancel")
    result: dict[str, Any] = {"error": None, "cancelled": False}
    try:
        result |= (_train if call["do"] == "train" else _reconstruct)(kind, options, call, listener)
    except Exception as error:  # noqa: BLE001  # whatever a foreign method raises is what is reported
        result["cancelled"] = _is_cancelled(error)
        result["error"] = f"{type(error).__name__}: {error}"
    result["told"] = listener.told
    result["seconds_to_end"] = time.perf_counter() - listener.raised_at if listener.cancels else None
    result["children_left"] = _children_left() if call.get("end") else []
    return result


def _is_cancelled(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, CancelledError):
        error = error.__cause__ or error.__context__
    return error is not None


def _train(kind: MethodKind, options: Options, call: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
    from fly64_assets.science.networks.bundle import inspect_bundle

    assert kind.train is not None
    work_dir = Path(call["work_dir"])
    work_dir.mkdir(parents=True)
    task = TrainingTask(
        source=Path(call["source"]),
        view=ViewOptions.model_validate(call["view"]),
        seed=call["seed"],
        work_dir=work_dir,
        provenance={
            "method": kind.name,
            "dose": DOSE,
            "view": "dense",
            "dataset_sha256": _HASH,
            "parameter_hash": _HASH,
        },
        progress=listener,
    )
    trained = kind.train(task, options)
    inspect_bundle(trained.bundle_path)
    return {
        "bundle": str(trained.bundle_path),
        "sha256": hashlib.sha256(trained.bundle_path.read_bytes()).hexdigest(),
        "rows": len(trained.history),
        "final_loss": trained.final_loss,
        "cpu_seconds": trained.cpu_seconds,
        "patterns_trained_on": trained.patterns_trained_on,
        "verdicts": trained.verdicts,
    }


def _reconstruct(kind: MethodKind, options: Options, call: Mapping[str, Any], listener: Listener) -> dict[str, Any]:
    measurement = read_measurement(Path(call["measurement"]))
    start = np.load(call["start"]) if call.get("start") else None
    before = _digest_of_input(measurement, start)
    bundle = Path(call["bundle"]) if call.get("bundle") else None
    estimates = kind.reconstruct(
        measurement, options, Given(seed=call["seed"], start=start, bundle=bundle, progress=listener)
    )
    if call.get("end") == "close":
        _ask_once(estimates)
        return {}
    found = [_described(each, measurement) for each in estimates]
    return {"estimates": found, "input_unchanged": _digest_of_input(measurement, start) == before}


def _ask_once(estimates: Iterator[Estimate]) -> None:
    next(estimates)
    getattr(estimates, "close", lambda: None)()


def _described(estimate: Estimate, measurement: Measurement) -> dict[str, Any]:
    faults = _faults("object", estimate.object, measurement.object_shape)
    if estimate.probe is not None:
        faults += _faults("probe", estimate.probe, measurement.probe.shape)
    if estimate.error is not None and estimate.error.shape != tuple(measurement.object_shape):
        faults.append(f"error has shape {estimate.error.shape}, expected {tuple(measurement.object_shape)}")
    return {
        "step": estimate.step,
        "loss": None if estimate.loss is None else repr(float(estimate.loss)),
        "cpu_seconds": estimate.cpu_seconds,
        "object": _digest(estimate.object),
        "probe": None if estimate.probe is None else _digest(estimate.probe),
        "error": None if estimate.error is None else _digest(estimate.error),
        "extended": None if estimate.extended is None else _digest(estimate.extended),
        "faults": faults,
    }


def _faults(name: str, array: object, shape: tuple[int, ...]) -> list[str]:
    if not isinstance(array, np.ndarray):
        return [f"{name} is a {type(array).__name__}, expected a NumPy array"]
    faults = []
    if array.dtype != np.complex64:
        faults.append(f"{name} is {array.dtype}, expected complex64")
    if array.shape != tuple(shape):
        faults.append(f"{name} has shape {array.shape}, expected {tuple(shape)}")
    if not np.isfinite(array).all():
        faults.append(f"{name} has values that are not finite")
    return faults


def _digest(array: object) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _digest_of_input(measurement: Measurement, start: np.ndarray | None) -> list[str]:
    given = (measurement.amplitude, measurement.probe, measurement.positions_xy_px, start)
    return [_digest(each) for each in given if each is not None]


def _children_left() -> list[str]:
    """Command lines of child processes that do not end; they are killed once they are told."""
    until = time.perf_counter() + _GRACE_S
    while (left := _living_children()) and time.perf_counter() < until:
        time.sleep(0.05)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return sorted(left.values())


def _living_children() -> dict[psutil.Process, str]:
    """Child processes with their command lines; Python's own tracker of shared memory may stay."""
    found = {}
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            line = " ".join(child.cmdline())
            if child.status() != psutil.STATUS_ZOMBIE and "multiprocessing.resource_tracker" not in line:
                found[child] = line[:200]
    return found


if __name__ == "__main__":
    serve(carry_out)
