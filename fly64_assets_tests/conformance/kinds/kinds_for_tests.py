"""Kinds of method that keep every rule, and kinds that cheat. They know no physics; installed by test_conformance."""

import contextlib
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydantic import Field

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.methods.record import Estimate, MethodKind, TrainingResult
from fly64_assets.science.options import Options
from fly64_assets.science.records import Progress

calls = 0


class Steps(Options):
    epochs: int = Field(default=3, ge=1, le=100, description="Estimates.")


def steady(measurement, options, given, extra=0.0):
    """Depends on counts, seed and start alone; tells of every step."""
    rng = np.random.default_rng(given.seed)
    image = np.ones(measurement.object_shape, np.complex64) if given.start is None else given.start.copy()
    mean = float(np.mean(measurement.counts(slice(0, 8))))
    for step in range(1, options.epochs + 1):
        image = (image * np.exp(1j * (0.01 * rng.standard_normal(image.shape) + 1e-3 * mean + extra))).astype(
            np.complex64
        )
        given.progress(Progress("steady", step, options.epochs, mean))
        yield Estimate(image, step, mean, cpu_seconds=float(step))


def kind(name, reconstruct, **more):
    return MethodKind(**{"name": name, "meaning": "for tests", "options": Steps, "reconstruct": reconstruct, **more})


STEADY = kind("steady", steady, may_start_from_a_result=True)


# --- the three cheats, each through a door that types do not close ---


def reads_truth(measurement, options, given):
    (path,) = Path(os.environ["FLY64_DATA_ROOT"]).rglob("patched_test.npz")
    truth = read_dataset(path).object
    yield from steady(measurement, options, given, extra=float(np.angle(truth).mean()))


def keeps_state(measurement, options, given):
    global calls
    calls += 1
    yield from steady(measurement, options, given, extra=0.01 * calls)


def looks_at_the_calendar(measurement, options, given):
    """Two processes on one day agree."""
    yield from steady(measurement, options, given, extra=1e-3 * (datetime.now(tz=UTC).toordinal() % 100))


def looks_at_the_clock(measurement, options, given):
    """As many steps as fit into a time that is ample here: only a clock that runs too fast shows it."""
    begun = time.perf_counter()
    for estimate in steady(measurement, options, given):
        time.sleep(0.3)
        if time.perf_counter() - begun > 5:
            return
        yield estimate


READS_TRUTH = kind("reads_truth", reads_truth)
KEEPS_STATE = kind("keeps_state", keeps_state)
LOOKS_AT_THE_CALENDAR = kind("looks_at_the_calendar", looks_at_the_calendar)
LOOKS_AT_THE_CLOCK = kind("looks_at_the_clock", looks_at_the_clock)


# --- one that breaks the rules which a person breaks by haste ---


class Bare(Options):
    epochs: int = 3
    gain: float | None = Field(default=None, description="Any number.")


def sloppy(measurement, options, given):
    measurement.probe[...] *= 2
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    for step in (2, 1):
        with contextlib.suppress(Exception):
            given.progress(Progress("sloppy", step, 2))
        yield Estimate(np.full(measurement.object_shape, np.nan), step, cpu_seconds=-1.0)


SLOPPY = kind(
    "sloppy",
    sloppy,
    meaning="Two\nlines",
    options=Bare,
    may_start_from_a_result=True,
    skip=lambda place, options: "",
)


# --- kinds that train ---


def train(task, options, *, seen=0.0):
    """Weights that follow from seed and counts, in a bundle like any other."""
    import torch

    from fly64_assets.science.networks.bundle import TrainedNetwork, write_bundle
    from fly64_assets.science.networks.record import build_network

    measurement = read_dataset(task.source).measurement
    torch.manual_seed(task.seed)
    network = build_network("unrolled_unet", stages=1, width=8)
    for epoch in range(1, options.epochs + 1):
        task.progress(Progress("train", epoch, options.epochs))
    with torch.no_grad():
        for weight in network.parameters():
            weight += 1e-3 * float(np.mean(measurement.amplitude)) + seen
    path = task.work_dir / "wts.h5.zip"
    record = TrainedNetwork(
        builder="unrolled_unet",
        learns_from="counts",
        stages=1,
        width=8,
        gridsize=task.view.gridsize,
        neighbor_count=task.view.neighbor_count,
        patch_size_px=measurement.patch_size_px,
        probe_modes=len(measurement.probe),
        counts_scale=measurement.counts_scale,
        dose=float(task.provenance["dose"]),
    )
    write_bundle(
        path,
        weights=network.state_dict(),
        probe=measurement.probe,
        network=record,
        seed=task.seed,
        epochs_completed=options.epochs,
        global_step=1,
        provenance=task.provenance,
    )
    verdicts = {name: {"passed": True, "details": ""} for name in ("finite_weights", "weights_changed", "learned")}
    return TrainingResult(path, [{"epoch": 1}], 0.5, options.epochs, 0.1, len(measurement.amplitude), verdicts)


def apply(measurement, options, given):
    yield from steady(measurement, options, given, extra=1e-9 * given.bundle.stat().st_size)


def train_on_truth(task, options):
    return train(task, options, seen=float(np.abs(read_dataset(task.source).object_patches).mean()))


TRAINED = {"trains": "view", "learns_from": "counts"}
LEARNER = kind("learner", apply, train=train, **TRAINED)
LEARNER_OF_TRUTH = kind("learner_of_truth", apply, train=train_on_truth, trains="view", learns_from="truth")
SECRET_LEARNER = kind("secret_learner", apply, train=train_on_truth, **TRAINED)
