"""Iterative reconstruction by pty-chi (LSQML, rPIE, ePIE, DM, Autodiff) in a child process."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

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
from fly64_assets.science.methods.record import Estimate, Given, MethodKind
from fly64_assets.science.options import Options, PositiveInt
from fly64_assets.science.physics.diffraction import require_inside
from fly64_assets.science.records import Measurement, Progress, ProgressListener, Reconstruction, ignore_progress

_CHILD_MODULE = "fly64_assets.science.methods.pty_chi_child"
_CHUNK_PATTERNS = 256


class PtyChiOptions(Options):
    """Iterative reconstruction by pty-chi. The number of epochs is fixed in advance, never chosen by the truth."""

    algorithm: Literal["LSQML", "rPIE", "ePIE", "DM", "Autodiff"] = "LSQML"
    epochs: PositiveInt = Field(default=120, le=10_000)
    batch_size: PositiveInt = 128
    batching: Literal["compact", "uniform", "random"] = Field(
        default="compact",
        description="How patterns are batched: neighbours, spread evenly, or at random (all seeded). DM: none.",
    )
    momentum: float = Field(default=0.5, ge=0, lt=1, description="LSQML: gain of the momentum acceleration.")
    noise_model: Literal["gaussian", "poisson"] = Field(default="gaussian", description="LSQML and Autodiff only.")
    step_size: float = Field(default=0.01, gt=0, le=1, description="Autodiff: Adam's step, per epoch's batch.")
    refine_probe: bool = Field(default=False, description="False: the probe is known and stays as it is.")
    device: Literal["cpu", "gpu"] = Field(default="cpu", description="gpu: falls back to the CPU where there is none.")
    threads: PositiveInt = Field(default=1, description="Results are bit-identical only for equal thread counts.")

    @model_validator(mode="after")
    def _noise_model_that_is_used(self) -> "PtyChiOptions":
        if self.noise_model == "poisson" and self.algorithm not in ("LSQML", "Autodiff"):
            message = f"{self.algorithm} has no noise model: leave noise_model at gaussian, or use LSQML or Autodiff"
            raise ValueError(message)
        return self


def reconstruct_with_pty_chi(
    measurement: Measurement,
    options: PtyChiOptions,
    *,
    seed: int,
    start_object: ComplexObject | None = None,
    keep_snapshots: bool = False,
    progress: ProgressListener = ignore_progress,
) -> Reconstruction:
    """Reconstruct the object, and the probe if asked, from counts by a fixed number of epochs.

    Same measurement, options, seed and thread count give bit-identical results.

    Args:
        measurement: amplitudes, probe and positions. With ``options.refine_probe`` its probe is a guess,
            whose intensity is first scaled so that a flat object has the measured mean counts.
        options: algorithm and its settings.
        seed: of the batches.
        start_object: object to start from, on the measurement's grid; flat (all ones) if absent.
        keep_snapshots: also keep what there is at the start and after each of :func:`snapshot_epochs`, with the CPU
            time until then (saving apart); the result itself stays the same.
        progress: told the epoch and its loss; if it raises, the child is killed.

    Returns:
        The reconstruction, with the loss of each epoch, the child's CPU seconds without its imports, and
        a probe such that expected counts are ``counts_scale**2 * sum_modes |FT(probe * patch)|**2``.

    Raises:
        ValueError: a patch leaves the object, the start object is missing or has another shape, or the seed is
            out of range.
        MemoryError: the estimated memory exceeds what the machine has.
        ChildProcessFailedError: pty-chi failed; its own error is in the message.
    """
    require_inside(measurement.positions_xy_px, measurement.object_shape, measurement.patch_size_px)
    start = _start_object(measurement, options, start_object)
    if not 0 <= seed < 2**32:
        message = f"seed must be in [0, 2**32), got {seed}"
        raise ValueError(message)
    _require_memory(measurement, options)
    size, scale = measurement.patch_size_px, measurement.counts_scale
    guess = measurement.probe
    if options.refine_probe and start_object is None:
        guess = _scale_to_counts(guess, measurement)

    begun = Reconstruction(start, guess, measurement.positions_xy_px, "pty_chi", scale, cpu_seconds=0.0)
    run = _Run(options, seed, progress)
    kept = snapshot_epochs(options.epochs) if keep_snapshots else ()
    with tempfile.TemporaryDirectory(prefix="fly64_pty_chi_") as name:
        directory = Path(name)
        _write_intensity(directory / INTENSITY_FILE, measurement)
        np.save(directory / OBJECT_FILE, start.astype(np.complex64))
        np.save(directory / PROBE_FILE, (guess * (scale / size)).astype(np.complex64))
        np.save(directory / POSITIONS_FILE, measurement.positions_xy_px)
        request = options.model_dump(mode="json") | {"seed": seed, "keep_epochs": kept}
        run_child(_CHILD_MODULE, request, directory, on_message=run.listen, threads=options.threads)
        steps = [run.result(begun, directory / kept_folder(epoch), epoch, run.reached[epoch]) for epoch in kept]
        found = run.result(begun, directory, options.epochs, run.cpu_seconds)
    return replace(found, snapshots=(begun, *steps) if keep_snapshots else ())


def snapshot_epochs(epochs: int) -> tuple[int, ...]:
    """After which epochs a trace is kept: about two per octave, and the last one.

    >>> snapshot_epochs(20)
    (1, 2, 3, 4, 6, 8, 12, 16, 20)
    """
    steps = {n for power in range(epochs.bit_length()) for n in (2**power, 3 * 2**power)}
    return tuple(sorted({n for n in steps if n < epochs} | {epochs}))


@dataclass
class _Run:
    """A child at work: what it was asked, and what it has said so far."""

    options: PtyChiOptions
    seed: int
    progress: ProgressListener
    losses: list[float] = field(default_factory=list)
    reached: dict[int, float] = field(default_factory=dict)
    cpu_seconds: float = float("nan")

    def listen(self, message: Message) -> None:
        """Take in a message of the child."""
        if "kept" in message:
            self.reached[message["kept"]] = message["cpu_seconds"]
        elif "cpu_seconds" in message:
            self.cpu_seconds = message["cpu_seconds"]
        else:
            epoch, loss = message["epoch"], message["loss"]
            self.losses.append(loss)
            self.progress(Progress(f"pty_chi {self.options.algorithm}", epoch, self.options.epochs, loss))

    def result(self, begun: Reconstruction, folder: Path, epochs: int, cpu_seconds: float) -> Reconstruction:
        """What the child left in a folder after so many epochs."""
        found = np.load(folder / RESULT_OBJECT_FILE, allow_pickle=False)
        probe = begun.probe
        if self.options.refine_probe:
            probe = np.load(folder / RESULT_PROBE_FILE, allow_pickle=False) * (probe.shape[-1] / begun.counts_scale)
        return replace(
            begun,
            object=found.astype(np.complex64),
            probe=probe.astype(np.complex64),
            loss_epochs=tuple(range(1, epochs + 1)),
            loss_values=tuple(self.losses[:epochs]),
            cpu_seconds=cpu_seconds,
            comments=f"pty-chi {self.options.algorithm}, {epochs} epochs, seed {self.seed}",
        )


def _start_object(
    measurement: Measurement, options: PtyChiOptions, start_object: ComplexObject | None
) -> ComplexObject:
    if start_object is None:
        return np.ones(measurement.object_shape, np.complex64)
    if start_object.shape != tuple(measurement.object_shape):
        message = f"start object has shape {start_object.shape}, the measurement's grid is {measurement.object_shape}"
        raise ValueError(message)
    return start_object


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
    working = exit_waves * (2 * n if options.algorithm == "DM" else 24 * min(options.batch_size, n))
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
            "crop the patterns, lower pty_chi.batch_size, or use a machine with more memory."
        )
        raise MemoryError(message)


def reconstruct(measurement: Measurement, options: PtyChiOptions, given: Given) -> Iterator[Estimate]:
    """Run pty-chi in a child process; an estimate at the start and about twice per octave of epochs."""
    raise NotImplementedError


PTY_CHI = MethodKind(
    name="pty_chi",
    meaning="iterative reconstruction by pty-chi",
    options=PtyChiOptions,
    reconstruct=reconstruct,
    may_start_from_a_result=True,
)
