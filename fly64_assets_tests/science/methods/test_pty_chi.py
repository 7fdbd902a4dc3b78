import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from fly64_assets.science.child_process import ChildProcessFailedError, Message
from fly64_assets.science.methods import pty_chi, pty_chi_child
from fly64_assets.science.methods.pty_chi import PTY_CHI, PtyChiOptions, estimate_memory_bytes, safe_step
from fly64_assets.science.methods.pty_chi import snapshot_epochs as kept_epochs
from fly64_assets.science.methods.pty_chi_options import DEFAULTS
from fly64_assets.science.methods.record import METHOD_KINDS, Estimate, Given
from fly64_assets.science.methods.reference import reconstruct_reference
from fly64_assets.science.metrics.alignment import align
from fly64_assets.science.metrics.illuminated_region import illuminated_region
from fly64_assets.science.metrics.likelihood import nll_per_pattern
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Dataset, Measurement, Progress, Reconstruction, Scan
from fly64_assets.science.torch_runtime import require_torch
from fly64_assets_tests.science.methods.quick_cell import phase_ssim, quick_cell
from fly64_assets_tests.science.metrics import cells

TRUTH = cells.truth()
QUICK = PtyChiOptions(epochs=2, batch_size=64)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The child's work without the seconds that its imports take; what it sets globally is put back."""

    def run(module: str, request: dict, log: Path, *, threads: int) -> Iterator[Message]:
        assert module == pty_chi_child.__name__
        assert threads == request["threads"]
        assert log.parent == Path(request["folder"])
        messages: list[Message] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pty_chi_child.reconstruct(iter([json.loads(json.dumps(request))]), messages.append)
        yield from messages

    torch = require_torch()
    threads = torch.get_num_threads()
    monkeypatch.setattr(pty_chi, "run_child", run)
    yield
    torch.set_default_device(None)
    torch.set_num_threads(threads)


def estimates(data: Measurement, options: PtyChiOptions, *, seed: int = 1, **given: object) -> list[Estimate]:
    return list(PTY_CHI.reconstruct(data, options, Given(seed, **given)))


def result(data: Measurement, options: PtyChiOptions, *, seed: int = 1, **given: object) -> Estimate:
    return estimates(data, options, seed=seed, **given)[-1]


def measurement(scale: float = 1000.0, step_px: float = 8.0, probe: np.ndarray | None = None) -> Measurement:
    """Poisson counts of the truth on whole-pixel positions."""
    wave, xy = (cells.probe() if probe is None else probe), cells.positions(step_px)
    expected = scale**2 * diffraction_intensity(extract_patches(TRUTH, xy, cells.PATCH_PX), wave)
    counts = np.random.default_rng(0).poisson(expected)
    return Measurement((np.sqrt(counts) / scale).astype(np.float32), scale, wave, xy, TRUTH.shape)


def phase_correlation(found: Estimate, data: Measurement) -> float:
    region = illuminated_region(cells.probe(), data.positions_xy_px, TRUTH.shape, 0.1)
    aligned, _ = align(found.object, TRUTH, region, max_shift_px=4.0)
    return float(np.corrcoef(np.angle(aligned[region.mask]), np.angle(TRUTH[region.mask]))[0, 1])


def excess_nll(image: np.ndarray, data: Measurement) -> float:
    def reconstruction(of: np.ndarray) -> Reconstruction:
        return Reconstruction(of, cells.probe(), data.positions_xy_px, "any", data.counts_scale)

    nll = nll_per_pattern(data, {"found": reconstruction(image), "truth": reconstruction(TRUTH)})
    return float(np.mean(nll["found"] - nll["truth"]))


@pytest.mark.parametrize(
    "options",
    [
        PtyChiOptions(epochs=30, batch_size=64),
        PtyChiOptions(epochs=20, algorithm="rPIE"),
        PtyChiOptions(epochs=20, batch_size=32, batching="random", algorithm="ePIE"),
        PtyChiOptions(epochs=20, batch_size=64, batching="uniform", noise_model="poisson"),
    ],
    ids=lambda options: f"{options.algorithm}-{options.noise_model}",
)
@pytest.mark.usefixtures("in_process")
def test_every_algorithm_finds_the_object_at_high_dose(options: PtyChiOptions) -> None:
    data = measurement()
    reports: list[Progress] = []
    found = result(data, options, progress=reports.append)
    assert phase_correlation(found, data) > 0.7
    assert found.object.shape == TRUTH.shape
    assert found.step == options.epochs
    assert [report.done for report in reports] == list(range(1, options.epochs + 1))
    assert reports[-1].loss == found.loss
    assert found.loss < reports[0].loss
    assert found.cpu_seconds > 0
    assert found.probe is None


def test_it_is_a_registered_kind() -> None:
    assert METHOD_KINDS.get("pty_chi") is PTY_CHI
    assert PTY_CHI.may_start_from_a_result


@pytest.mark.usefixtures("in_process")
def test_starting_at_the_truth_stays_there() -> None:
    """Probe, scale, positions and orientation all agree: the truth is a fixed point but for the noise."""
    data = measurement()
    start, *_, found = estimates(data, QUICK, start=TRUTH)
    assert np.array_equal(start.object, TRUTH)
    region = illuminated_region(cells.probe(), data.positions_xy_px, TRUTH.shape, 0.1)
    assert np.abs(found.object - TRUTH)[region.mask].mean() < 0.03
    assert abs(excess_nll(found.object, data)) < 0.02 * abs(excess_nll(np.ones_like(TRUTH), data))


@pytest.mark.usefixtures("in_process")
def test_same_seed_same_bits_other_seed_other_bits() -> None:
    data = measurement()
    for batching in ("compact", "uniform", "random"):
        options = PtyChiOptions(epochs=3, batch_size=32, batching=batching)
        one, two, three = (result(data, options, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(one.object, two.object), batching
        assert not np.array_equal(one.object, three.object), batching


@pytest.mark.usefixtures("in_process")
def test_estimates_are_the_same_run_on_its_way() -> None:
    """An earlier one is what fewer epochs give, the first is the start."""
    data, options = measurement(), PtyChiOptions(epochs=5, batch_size=32)
    found = estimates(data, options)
    assert [each.step for each in found] == [0, 1, 2, 3, 4, 5]
    shorter = result(data, options.model_copy(update={"epochs": 3}))
    assert np.array_equal(found[3].object, shorter.object)
    assert found[3].loss == shorter.loss
    assert np.array_equal(found[0].object, np.ones(data.object_shape, np.complex64))
    assert found[0].loss is None
    seconds = [each.cpu_seconds for each in found]
    assert seconds[0] == 0
    assert all(earlier < later for earlier, later in itertools.pairwise(seconds))


@pytest.mark.usefixtures("in_process")
def test_time_for_saving_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    save = pty_chi_child.save_result

    def slow(task: object, folder: Path) -> None:
        save(task, folder)
        end = pty_chi_child.time.process_time() + 1.0
        while pty_chi_child.time.process_time() < end:
            pass

    plain = result(measurement(), PtyChiOptions(epochs=3)).cpu_seconds
    monkeypatch.setattr(pty_chi_child, "save_result", slow)
    assert result(measurement(), PtyChiOptions(epochs=3)).cpu_seconds < plain + 1.0


@pytest.mark.usefixtures("in_process")
def test_estimates_of_a_refined_probe_hold_the_probe_of_their_time() -> None:
    data = measurement()
    found = estimates(data, PtyChiOptions(epochs=3, batch_size=32, refine_probe=True))
    mean = data.counts().sum(axis=(1, 2)).mean() / data.counts_scale**2
    assert np.sum(np.abs(found[0].probe) ** 2) == pytest.approx(mean, rel=1e-4)
    assert not np.array_equal(found[1].probe, found[0].probe)
    assert not np.array_equal(found[1].probe, found[-1].probe)
    started = estimates(data, PtyChiOptions(epochs=1, refine_probe=True), start=TRUTH)
    assert np.array_equal(started[0].probe, data.probe)


@pytest.mark.parametrize("epochs", [1, 2, 5, 24, 120])
def test_estimates_are_about_two_per_octave_and_end_with_the_run(epochs: int) -> None:
    kept = kept_epochs(epochs)
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
    found = result(wrong, PtyChiOptions(epochs=40, batch_size=64, refine_probe=True))
    patches = extract_patches(found.object, data.positions_xy_px, cells.PATCH_PX)
    expected = data.counts_scale**2 * diffraction_intensity(patches, found.probe)
    assert expected.sum() == pytest.approx(data.counts().sum(), rel=0.03)
    overlap = np.abs(np.vdot(found.probe, data.probe)) / np.linalg.norm(found.probe) / np.linalg.norm(data.probe)
    assert overlap > 0.95
    assert np.linalg.norm(found.probe) == pytest.approx(1.0, rel=0.25)


@pytest.mark.usefixtures("in_process")
def test_a_reference_keeps_the_loss_of_every_epoch() -> None:
    data = measurement()
    scan = Scan(
        np.ones_like(TRUTH),
        data.probe,
        data.positions_xy_px,
        np.arange(len(data.amplitude)),
        measured_counts=data.counts().astype(np.int64),
    )
    reports: list[Progress] = []
    options = PtyChiOptions(epochs=7, batch_size=64, refine_probe=True)
    found = reconstruct_reference(scan, options, seed=3, progress=reports.append)
    assert (found.method, found.counts_scale) == ("reference", 1.0)
    assert found.loss_epochs == (1, 2, 3, 4, 5, 6, 7)
    assert found.loss_values == tuple(report.loss for report in reports)
    patches = extract_patches(found.object, data.positions_xy_px, cells.PATCH_PX)
    assert diffraction_intensity(patches, found.probe).sum() == pytest.approx(data.counts().sum(), rel=0.1)


@pytest.mark.usefixtures("in_process")
def test_incoherent_modes_are_passed_on() -> None:
    data = measurement(probe=cells.probe(2))
    found = result(data, PtyChiOptions(epochs=20, batch_size=64, refine_probe=True))
    assert found.probe.shape == (2, cells.PATCH_PX, cells.PATCH_PX)
    assert phase_correlation(result(data, PtyChiOptions(epochs=20, batch_size=64)), data) > 0.7


def test_the_child_does_the_same_work_and_reports_it(request: pytest.FixtureRequest) -> None:
    reports: list[Progress] = []
    found = result(measurement(), QUICK, progress=reports.append)
    assert [(report.done, report.total) for report in reports] == [(1, 2), (2, 2)]
    assert reports[-1].loss == found.loss
    request.getfixturevalue("in_process")
    here = result(measurement(), QUICK)
    assert here.object == pytest.approx(found.object, abs=1e-4)


def test_a_listener_can_cancel() -> None:

    def cancel(progress: Progress) -> None:
        raise InterruptedError(progress.stage)

    with pytest.raises(InterruptedError, match="LSQML"):
        result(measurement(), PtyChiOptions(epochs=10_000), progress=cancel)


def test_closing_the_iterator_ends_the_work_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pty_chi.tempfile, "tempdir", str(tmp_path))
    running = PTY_CHI.reconstruct(measurement(), PtyChiOptions(epochs=10_000), Given(1))
    assert [next(running).step, next(running).step] == [0, 1]
    (folder,) = tmp_path.iterdir()
    assert working_in(folder)
    running.close()
    assert list(tmp_path.iterdir()) == []
    assert not working_in(folder)


def working_in(folder: Path) -> list[str]:
    """Processes that hold a file of this folder open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/2"):
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(link.parts[2])
    return found


def test_too_little_memory_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pty_chi, "available_memory_bytes", lambda: 2**20)
    with pytest.raises(MemoryError, match=r"patterns of 32 px needs about .* GiB"):
        result(measurement(), QUICK)


def test_memory_estimate_grows_with_the_scan() -> None:
    small, large = (estimate_memory_bytes(measurement(step_px=step), QUICK) for step in (8.0, 4.0))
    assert large > small + 8 * 32**2 * 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: result(data, QUICK, seed=-1), "seed must be in"),
        (lambda data: result(data, QUICK, start=TRUTH[1:]), "start object has shape"),
        (lambda data: result(replace(data, object_shape=(64, 64)), QUICK), "patches leave the object"),
    ],
)
def test_bad_input_is_refused(change: Callable[[Measurement], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change(measurement())


def test_the_childs_own_error_comes_back() -> None:
    unknown = QUICK.model_copy(update={"noise_model": "uniform"})
    with pytest.raises(ChildProcessFailedError, match="'uniform' is not a valid NoiseModels"):
        result(measurement(), unknown)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"algorithm": "rPIE", "noise_model": "poisson"}, "rPIE has no noise model"),
        ({"algorithm": "ePIE", "momentum": 0.5}, "ePIE has no momentum: leave it out, it belongs to LSQML"),
        ({"alpha": 0.5}, "LSQML has no alpha: leave it out, it belongs to rPIE and ePIE"),
        ({"step_size": 0.5}, "LSQML has no step_size"),
        ({"algorithm": "DM"}, "DM and Autodiff are not offered: .* use LSQML, rPIE or ePIE"),
        ({"algorithm": "Autodiff"}, "DM and Autodiff are not offered: .* use LSQML, rPIE or ePIE"),
        ({"algorithm": "lsqml"}, "Input should be 'LSQML', 'rPIE' or 'ePIE'"),
    ],
)
def test_options_that_would_be_ignored_or_are_not_offered_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PtyChiOptions.model_validate(fields)


def test_every_option_has_a_description_and_numbers_have_bounds() -> None:
    for name, field in PtyChiOptions.model_json_schema()["properties"].items():
        assert field.get("description"), name
        for kind in field.get("anyOf", [field]):
            if kind.get("type") in ("integer", "number"):
                assert {"minimum", "exclusiveMinimum"} & set(kind), name
                assert {"maximum", "exclusiveMaximum"} & set(kind), name


@pytest.mark.parametrize("algorithm", DEFAULTS)
def test_what_is_left_open_is_the_algorithms_own_and_what_is_said_stays(algorithm: str) -> None:
    resolved = PtyChiOptions(algorithm=algorithm, batching="random").resolved()
    assert (resolved.batching, resolved.batch_size) == ("random", DEFAULTS[algorithm].batch_size)
    assert (resolved.momentum is None) == (algorithm != "LSQML")
    assert (resolved.alpha is None) == (algorithm == "LSQML")
    PtyChiOptions.model_validate(resolved.model_dump())  # filled with nothing that would be refused


def piled_up(measurement: Measurement, gain: np.ndarray) -> float:
    """Largest sum of a map over all patches, patch by patch (whole-pixel positions)."""
    canvas, half = np.zeros(measurement.object_shape), measurement.patch_size_px // 2
    for x, y in measurement.positions_xy_px.astype(int):
        canvas[y - half : y + half, x - half : x + half] += gain
    return float(canvas.max())


def test_the_step_of_a_pie_shrinks_as_patches_of_a_batch_pile_up() -> None:
    data = measurement(step_px=4.0)
    intensity = np.abs(data.probe[0]) ** 2 / np.max(np.abs(data.probe[0]) ** 2)
    compact = PtyChiOptions(algorithm="rPIE", alpha=0.2, batching="compact").resolved()
    total = piled_up(data, intensity / (0.8 * intensity + 0.2))
    assert total > 4
    assert safe_step(data, compact) == pytest.approx(1 / total, rel=1e-3)
    spread = compact.model_copy(update={"batching": "uniform", "batch_size": len(data.amplitude) // 2})
    share = spread.batch_size / len(data.amplitude)
    assert safe_step(data, spread) == pytest.approx(1 / (share * total), rel=1e-3)
    assert safe_step(data, spread.model_copy(update={"batch_size": 1})) == 1
    plain = PtyChiOptions(algorithm="ePIE", alpha=0.8, batching="compact").resolved()
    assert safe_step(data, plain) == pytest.approx(1 / piled_up(data, 0.8 * intensity), rel=1e-3)


@pytest.fixture(scope="module")
def dense_cell(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Where compact batches of a PIE overshoot most."""
    return quick_cell(tmp_path_factory.mktemp("quick"), 1e4, "dense")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", DEFAULTS)
@pytest.mark.usefixtures("in_process")
def test_the_defaults_of_every_algorithm_are_safe(algorithm: str, dense_cell: Dataset) -> None:
    """Finite, above flat, and not below its own half-time value; the whole table is bench_pty_chi's."""
    flat, *_, half, _, end = estimates(dense_cell.measurement, PtyChiOptions(algorithm=algorithm, epochs=16))
    assert (half.step, end.step) == (8, 16)
    at_start, at_half, at_end = (phase_ssim(each.object, dense_cell) for each in (flat, half, end))
    assert at_end > at_start + 0.2
    assert at_end > at_half - 0.02


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_pie_diverges_without_the_safe_step_and_not_with_it(dense_cell: Dataset) -> None:
    compact = {"algorithm": "rPIE", "epochs": 6, "batching": "compact", "batch_size": 128, "alpha": 0.1}
    data = dense_cell.measurement
    unsafe, safe = (result(data, PtyChiOptions.model_validate({**compact, **step})) for step in ({"step_size": 1}, {}))
    assert unsafe.loss > 100 * safe.loss
    assert phase_ssim(safe.object, dense_cell) > 0.2
