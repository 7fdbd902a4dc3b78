import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from fly64_assets.science.child_process import ChildProcessFailedError
from fly64_assets.science.methods import pty_chi, pty_chi_child
from fly64_assets.science.methods.pty_chi import estimate_memory_bytes, reconstruct_with_pty_chi, snapshot_epochs
from fly64_assets.science.metrics.alignment import align
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.options import PtyChiOptions
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Measurement, Progress, Reconstruction
from fly64_assets.science.torch_runtime import require_torch
from fly64_assets_tests.science.metrics import cells

TRUTH = cells.truth()
QUICK = PtyChiOptions(epochs=2, batch_size=64)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The child's work without the seconds that its imports take; what it sets globally is put back."""

    def run(module: str, request: dict, directory: Path, *, on_message: Callable, threads: int) -> None:
        assert module == pty_chi_child.__name__
        assert threads == request["threads"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pty_chi_child.reconstruct(json.loads(json.dumps(request)), directory, on_message)

    torch = require_torch()
    threads = torch.get_num_threads()
    monkeypatch.setattr(pty_chi, "run_child", run)
    yield
    torch.set_default_device(None)
    torch.set_num_threads(threads)


def measurement(scale: float = 1000.0, step_px: float = 8.0, probe: np.ndarray | None = None) -> Measurement:
    """Poisson counts of the truth on whole-pixel positions."""
    wave, xy = (cells.probe() if probe is None else probe), cells.positions(step_px)
    expected = scale**2 * diffraction_intensity(extract_patches(TRUTH, xy, cells.PATCH_PX), wave)
    counts = np.random.default_rng(0).poisson(expected)
    return Measurement((np.sqrt(counts) / scale).astype(np.float32), scale, wave, xy, TRUTH.shape)


def phase_correlation(found: Reconstruction) -> float:
    region = illuminated_region(cells.probe(), found.positions_xy_px, TRUTH.shape, 0.1)
    aligned, _ = align(found.object, TRUTH, region, max_shift_px=4.0)
    return float(np.corrcoef(np.angle(aligned[region.mask]), np.angle(TRUTH[region.mask]))[0, 1])


def excess_nll(found: Reconstruction, data: Measurement) -> float:
    truth = Reconstruction(TRUTH, cells.probe(), data.positions_xy_px, "truth", data.counts_scale)
    nll = nll_per_pattern(data, {"found": found, "truth": truth})
    return float(np.mean(nll["found"] - nll["truth"]))


@pytest.mark.parametrize(
    "options",
    [
        PtyChiOptions(epochs=30, batch_size=64),
        PtyChiOptions(epochs=20, batch_size=32, batching="uniform", algorithm="rPIE"),
        PtyChiOptions(epochs=20, batch_size=32, batching="random", algorithm="ePIE"),
        PtyChiOptions(epochs=20, algorithm="DM"),
        PtyChiOptions(epochs=30, batch_size=64, algorithm="Autodiff", batching="uniform", step_size=0.02),
        PtyChiOptions(epochs=20, batch_size=64, batching="uniform", noise_model="poisson"),
    ],
    ids=lambda options: f"{options.algorithm}-{options.noise_model}",
)
@pytest.mark.usefixtures("in_process")
def test_every_algorithm_finds_the_object_at_high_dose(options: PtyChiOptions) -> None:
    data = measurement()
    found = reconstruct_with_pty_chi(data, options, seed=1)
    assert phase_correlation(found) > 0.7
    assert found.object.shape == TRUTH.shape
    assert found.method == "pty_chi"
    assert found.loss_epochs == tuple(range(1, options.epochs + 1))
    assert found.loss_values[-1] < found.loss_values[0]
    assert found.cpu_seconds > 0
    assert np.array_equal(found.probe, data.probe)


@pytest.mark.usefixtures("in_process")
def test_starting_at_the_truth_stays_there() -> None:
    """Probe, scale, positions and orientation all agree: the truth is a fixed point but for the noise."""
    data = measurement()
    start = reconstruct_with_pty_chi(data, QUICK, seed=1, start_object=TRUTH)
    region = illuminated_region(cells.probe(), data.positions_xy_px, TRUTH.shape, 0.1)
    assert np.abs(start.object - TRUTH)[region.mask].mean() < 0.03
    assert abs(excess_nll(start, data)) < 0.02 * abs(excess_nll(cells.reconstruction(np.ones_like(TRUTH)), data))


@pytest.mark.usefixtures("in_process")
def test_same_seed_same_bits_other_seed_other_bits() -> None:
    data = measurement()
    for batching in ("compact", "uniform", "random"):
        options = PtyChiOptions(epochs=3, batch_size=32, batching=batching)
        one, two, three = (reconstruct_with_pty_chi(data, options, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(one.object, two.object), batching
        assert not np.array_equal(one.object, three.object), batching


@pytest.mark.usefixtures("in_process")
def test_snapshots_are_the_same_run_on_its_way() -> None:
    """The last one is the result bit for bit, an earlier one is what fewer epochs give, the first is the start."""
    data, options = measurement(), PtyChiOptions(epochs=5, batch_size=32)
    plain = reconstruct_with_pty_chi(data, options, seed=1)
    traced = reconstruct_with_pty_chi(data, options, seed=1, keep_snapshots=True)
    assert plain.snapshots == ()
    assert [len(step.loss_epochs) for step in traced.snapshots] == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(traced.object, plain.object)
    assert np.array_equal(traced.snapshots[-1].object, traced.object)
    assert traced.snapshots[-1].loss_values == traced.loss_values
    shorter = reconstruct_with_pty_chi(data, options.model_copy(update={"epochs": 3}), seed=1)
    assert np.array_equal(traced.snapshots[3].object, shorter.object)
    assert np.array_equal(traced.snapshots[0].object, np.ones(data.object_shape, np.complex64))
    seconds = [step.cpu_seconds for step in traced.snapshots]
    assert seconds[0] == 0
    assert all(earlier <= later for earlier, later in itertools.pairwise([*seconds, traced.cpu_seconds]))


@pytest.mark.usefixtures("in_process")
def test_snapshots_of_a_refined_probe_hold_the_probe_of_their_time() -> None:
    options = PtyChiOptions(epochs=3, batch_size=32, refine_probe=True)
    found = reconstruct_with_pty_chi(measurement(), options, seed=1, keep_snapshots=True)
    assert np.array_equal(found.snapshots[-1].probe, found.probe)
    assert not np.array_equal(found.snapshots[1].probe, found.probe)


@pytest.mark.parametrize("epochs", [1, 2, 5, 24, 120])
def test_snapshots_are_about_two_per_octave_and_end_with_the_run(epochs: int) -> None:
    kept = snapshot_epochs(epochs)
    assert kept[0] == 1
    assert kept[-1] == epochs
    assert all(1 < later / earlier <= 2 for earlier, later in itertools.pairwise(kept))


@pytest.mark.usefixtures("in_process")
def test_refined_probe_comes_back_in_our_units() -> None:
    """From a guess with the wrong intensity and curvature, expected counts match the measured ones."""
    data = measurement()
    axis = np.arange(cells.PATCH_PX) - cells.PATCH_PX / 2
    guess = 5 * data.probe * np.exp(0.01j * (axis[:, None] ** 2 + axis**2)).astype(np.complex64)
    wrong = Measurement(data.amplitude, data.counts_scale, guess, data.positions_xy_px, data.object_shape)
    found = reconstruct_with_pty_chi(wrong, PtyChiOptions(epochs=40, batch_size=64, refine_probe=True), seed=1)
    patches = extract_patches(found.object, data.positions_xy_px, cells.PATCH_PX)
    expected = data.counts_scale**2 * diffraction_intensity(patches, found.probe)
    assert expected.sum() == pytest.approx(data.counts().sum(), rel=0.03)
    overlap = np.abs(np.vdot(found.probe, data.probe)) / np.linalg.norm(found.probe) / np.linalg.norm(data.probe)
    assert overlap > 0.95
    assert np.linalg.norm(found.probe) == pytest.approx(1.0, rel=0.25)


@pytest.mark.usefixtures("in_process")
def test_incoherent_modes_are_passed_on() -> None:
    data = measurement(probe=cells.probe(2))
    found = reconstruct_with_pty_chi(data, PtyChiOptions(epochs=20, batch_size=64), seed=1)
    assert found.probe.shape == (2, cells.PATCH_PX, cells.PATCH_PX)
    assert phase_correlation(found) > 0.7


def test_the_child_does_the_same_work_and_reports_it(request: pytest.FixtureRequest) -> None:
    reports: list[Progress] = []
    found = reconstruct_with_pty_chi(measurement(), QUICK, seed=1, progress=reports.append)
    assert [(report.done, report.total) for report in reports] == [(1, 2), (2, 2)]
    assert tuple(report.loss for report in reports) == found.loss_values
    request.getfixturevalue("in_process")
    here = reconstruct_with_pty_chi(measurement(), QUICK, seed=1)
    assert here.object == pytest.approx(found.object, abs=1e-4)


def test_a_listener_can_cancel() -> None:

    def cancel(progress: Progress) -> None:
        raise InterruptedError(progress.stage)

    with pytest.raises(InterruptedError, match="LSQML"):
        reconstruct_with_pty_chi(measurement(), PtyChiOptions(epochs=10_000), seed=1, progress=cancel)


def test_too_little_memory_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    data = measurement()
    monkeypatch.setattr(pty_chi, "available_memory_bytes", lambda: 2**20)
    with pytest.raises(MemoryError, match=r"patterns of 32 px needs about .* GiB"):
        reconstruct_with_pty_chi(data, QUICK, seed=1)


def test_memory_estimate_grows_with_the_scan() -> None:
    small, large = (estimate_memory_bytes(measurement(step_px=step), QUICK) for step in (8.0, 4.0))
    assert large > small + 8 * 32**2 * 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: reconstruct_with_pty_chi(data, QUICK, seed=-1), "seed must be in"),
        (lambda data: reconstruct_with_pty_chi(data, QUICK, seed=1, start_object=TRUTH[1:]), "start object has shape"),
        (lambda data: reconstruct_with_pty_chi(data, PtyChiOptions(start="pinn"), seed=1), "no start object was given"),
        (
            lambda data: reconstruct_with_pty_chi(replace(data, object_shape=(64, 64)), QUICK, seed=1),
            "patches leave the object",
        ),
    ],
)
def test_bad_input_is_refused(change: Callable[[Measurement], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change(measurement())


def test_the_childs_own_error_comes_back() -> None:
    unknown = QUICK.model_copy(update={"noise_model": "uniform"})
    with pytest.raises(ChildProcessFailedError, match="'uniform' is not a valid NoiseModels"):
        reconstruct_with_pty_chi(measurement(), unknown, seed=1)


def test_a_noise_model_that_would_be_ignored_is_refused() -> None:
    with pytest.raises(ValidationError, match="rPIE has no noise model"):
        PtyChiOptions(algorithm="rPIE", noise_model="poisson")
