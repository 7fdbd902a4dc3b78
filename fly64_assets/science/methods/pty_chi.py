"""Iterative reconstruction by pty-chi (LSQML, rPIE, ePIE) in a child process."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from fly64_assets.science.arrays import ComplexObject, ProbeModes
from fly64_assets.science.child_process import Message, available_memory_bytes, run_child
from fly64_assets.science.methods.pty_chi_child import (
    INTENSITY_FILE,
    OBJECT_FILE,
    POSITIONS_FILE,
    PROBE_FILE,
    RESULT_OBJECT_FILE,
    RESULT_PROBE_FILE,
    kept_folder,
)
from fly64_assets.science.methods.pty_chi_options import PtyChiOptions
from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.physics.diffraction import require_inside
from fly64_assets.science.physics.probe import illumination_map
from fly64_assets.science.records import Measurement, Progress

_CHILD_MODULE = "fly64_assets.science.methods.pty_chi_child"
_CHUNK_PATTERNS = 256


def reconstruct(measurement: Measurement, options: PtyChiOptions, given: Given) -> Iterator[Estimate]:
    """Reconstruct the object, and the probe if asked, from counts by a fixed number of epochs in a child process.

    Same measurement, options, seed and thread count give bit-identical results. Closing the iterator kills the child.

    Args:
        measurement: amplitudes, probe and positions. With ``options.refine_probe`` its probe is a guess,
            whose intensity is first scaled so that a flat object has the measured mean counts, unless there is a
            start object.
        options: algorithm and its settings.
        given: seed of the batches, the object to start from on the measurement's grid, and whom to tell the epoch
            and its loss; if the listener raises, the child is killed.

    Yields:
        What there is at the start (step 0) and after each of :func:`snapshot_epochs`, the last one being the result,
        each with its epoch's loss and the child's CPU seconds without imports and saving. A refined probe is such
        that expected counts are ``counts_scale**2 * sum_modes |FT(probe * patch)|**2``.

    Raises:
        ValueError: a patch leaves the object, the start object has another shape, or the seed is out of range.
        MemoryError: the estimated memory exceeds what the machine has.
        ChildProcessFailedError: pty-chi failed; its own error is in the message.
    """
    require_inside(measurement.positions_xy_px, measurement.object_shape, measurement.patch_size_px)
    if not 0 <= given.seed < 2**32:
        message = f"seed must be in [0, 2**32), got {given.seed}"
        raise ValueError(message)
    start, options = _start_object(measurement, given.start), options.resolved()
    _require_memory(measurement, options)
    guess = measurement.probe
    if options.refine_probe and given.start is None:
        guess = _scale_to_counts(guess, measurement)
    yield Estimate(start, step=0, probe=guess if options.refine_probe else None, cpu_seconds=0.0)
    with tempfile.TemporaryDirectory(prefix="fly64_pty_chi_") as name:
        request = _write_request(Path(name), measurement, options, seed=given.seed, start=start, guess=guess)
        log = Path(name) / "log.txt"
        with closing(run_child(_CHILD_MODULE, request, log, threads=options.threads)) as messages:
            loss = None
            for message in messages:
                if "loss" in message:
                    loss = message["loss"]
                    given.progress(Progress(f"pty_chi {options.algorithm}", message["epoch"], options.epochs, loss))
                else:
                    yield _kept(Path(name), measurement, message, loss, refine_probe=options.refine_probe)


def snapshot_epochs(epochs: int) -> tuple[int, ...]:
    """After which epochs there is an estimate: about two per octave, and the last one.

    >>> snapshot_epochs(20)
    (1, 2, 3, 4, 6, 8, 12, 16, 20)
    """
    steps = {n for power in range(epochs.bit_length()) for n in (2**power, 3 * 2**power)}
    return tuple(sorted({n for n in steps if n < epochs} | {epochs}))


def safe_step(measurement: Measurement, options: PtyChiOptions) -> float:
    """The factor of a PIE's object update that keeps overlapping updates of a batch from adding up.

    A PIE moves each pixel by the sum of its patches' updates. One patch moves a pixel by the fraction ``g`` of the
    way to what it asks for; where the ``g`` of a batch's patches sum to more than 2, the error grows at each update.

    Args:
        measurement: its probe and positions tell how many patches pile up.
        options: resolved ones of rPIE or ePIE.

    Returns:
        1 / the largest expected sum of ``g`` in a batch; at most 1. A compact batch holds all patches of a pixel, any
        other its share of them.
    """
    assert options.alpha is not None
    assert options.batch_size is not None
    intensity = np.abs(measurement.probe.astype(np.complex128)) ** 2
    brightest = intensity.sum(axis=0).max()
    if options.algorithm == "ePIE":
        gain = options.alpha * intensity / brightest
    else:
        gain = intensity / ((1 - options.alpha) * intensity + options.alpha * brightest)
    modes = np.sqrt(gain).astype(np.complex64)
    piled_up = float(illumination_map(modes, measurement.positions_xy_px, measurement.object_shape).max())
    share = 1.0 if options.batching == "compact" else min(1.0, options.batch_size / len(measurement.amplitude))
    return 1 / max(1.0, share * piled_up)


def _start_object(measurement: Measurement, start: ComplexObject | None) -> ComplexObject:
    if start is None:
        return np.ones(measurement.object_shape, np.complex64)
    if start.shape != tuple(measurement.object_shape):
        message = f"start object has shape {start.shape}, the measurement's grid is {measurement.object_shape}"
        raise ValueError(message)
    return start.astype(np.complex64)


def _write_request(
    folder: Path,
    measurement: Measurement,
    options: PtyChiOptions,
    *,
    seed: int,
    start: ComplexObject,
    guess: ProbeModes,
) -> Message:
    """Leave the arrays for the child, and return what it is asked."""
    _write_intensity(folder / INTENSITY_FILE, measurement)
    np.save(folder / OBJECT_FILE, start)
    np.save(folder / PROBE_FILE, (guess * (measurement.counts_scale / measurement.patch_size_px)).astype(np.complex64))
    np.save(folder / POSITIONS_FILE, measurement.positions_xy_px)
    request = options.model_dump(mode="json")
    if options.algorithm != "LSQML" and options.step_size is None:
        request["step_size"] = safe_step(measurement, options)
    return request | {"folder": str(folder), "seed": seed, "keep_epochs": snapshot_epochs(options.epochs)}


def _kept(
    folder: Path, measurement: Measurement, message: Message, loss: float | None, *, refine_probe: bool
) -> Estimate:
    """What the child left after an epoch; its files are removed."""
    kept = folder / kept_folder(message["kept"])
    found = np.load(kept / RESULT_OBJECT_FILE, allow_pickle=False).astype(np.complex64)
    probe = None
    if refine_probe:
        in_their_units = np.load(kept / RESULT_PROBE_FILE, allow_pickle=False)
        probe = (in_their_units * (measurement.patch_size_px / measurement.counts_scale)).astype(np.complex64)
    shutil.rmtree(kept)
    return Estimate(found, step=message["kept"], loss=loss, probe=probe, cpu_seconds=message["cpu_seconds"])


def _scale_to_counts(probe: ProbeModes, measurement: Measurement) -> ProbeModes:
    """The probe scaled so that a flat object scatters the measured mean counts."""
    n = len(measurement.amplitude)
    mean_intensity = (
        sum(
            float(np.sum(np.square(measurement.amplitude[first : first + _CHUNK_PATTERNS]), dtype=np.float64))
            for first in range(0, n, _CHUNK_PATTERNS)
        )
        / n
    )
    return probe * np.float32(np.sqrt(mean_intensity / np.sum(np.abs(probe) ** 2, dtype=np.float64)))


def _write_intensity(path: Path, measurement: Measurement) -> None:
    shape = measurement.amplitude.shape
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for first in range(0, shape[0], _CHUNK_PATTERNS):
        chunk = slice(first, first + _CHUNK_PATTERNS)
        out[chunk] = measurement.counts(chunk)
    out.flush()


def estimate_memory_bytes(measurement: Measurement, options: PtyChiOptions) -> int:
    """Peak memory of the child, estimated from above: pty-chi holds every pattern, in two copies at first."""
    n, size = len(measurement.amplitude), measurement.patch_size_px
    modes = len(measurement.probe)
    runtime = 700 * 2**20
    patterns = 2 * 4 * n * size**2
    exit_waves = 8 * modes * size**2
    options = options.resolved()
    assert options.batch_size is not None
    working = exit_waves * 24 * min(options.batch_size, n)
    distances = 8 * n**2 if options.batching == "uniform" else 0
    grids = 30 * 8 * int(np.prod(measurement.object_shape))
    return runtime + patterns + working + distances + grids


def _require_memory(measurement: Measurement, options: PtyChiOptions) -> None:
    needed, available = estimate_memory_bytes(measurement, options), available_memory_bytes()
    if available is not None and needed > available:
        message = (
            f"pty-chi {options.algorithm} on {len(measurement.amplitude)} patterns of "
            f"{measurement.patch_size_px} px needs about {needed / 2**30:.1f} GiB, because it holds every pattern "
            f"in memory; this machine has {available / 2**30:.1f} GiB free. Keep fewer positions in the view, "
            "crop the patterns, lower batch_size, or use a machine with more memory."
        )
        raise MemoryError(message)


PTY_CHI = MethodKind(
    name="pty_chi",
    meaning="iterative reconstruction by pty-chi",
    options=PtyChiOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
