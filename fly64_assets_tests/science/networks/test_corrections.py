"""Corrections after MAP: their corpus, their training, which survives a kill, and their use."""

import json

import numpy as np
import pytest
import torch

from fly64_assets.science.contract.npz_stream import write_npz
from fly64_assets.science.methods.learned_map import LearnedOptions, train
from fly64_assets.science.methods.record import METHOD_KINDS, Given
from fly64_assets.science.networks import corpus as corpus_module
from fly64_assets.science.networks.bundle import read_bundle
from fly64_assets.science.networks.corpus import Corpus, CorpusPlan, draw_scan
from fly64_assets.science.networks.correction import Corrected, Correction, apply_corrections
from fly64_assets.science.networks.correction_training import Crops, correction_loss
from fly64_assets.science.networks.evidence import Evidence
from fly64_assets.science.networks.inference import probe_likeness
from fly64_assets.science.networks.record import build_network
from fly64_assets.science.networks.staged import Symmetry
from fly64_assets.science.networks.training_task import TrainingTask
from fly64_assets.science.options import PupilProbe
from fly64_assets.science.physics.descent import Prior
from fly64_assets.science.physics.probe import make_probe
from fly64_assets.science.physics.scan_canvas import ScanCanvas

SIZE = 32
PROBE = make_probe(PupilProbe(pupil_radius_cycles_per_px=0.2, defocus_rad=3.0), SIZE, np.random.default_rng(0))
OPTIONS = LearnedOptions(
    passes=6, amplitude_passes=2, rounds=2, passes_between=2, width=4, scans=10, epochs=2, batches_per_epoch=3,
    batch_size=2, doses=(1e3, 1e5), overlaps=(0.3, 0.7),
)  # fmt: skip


def positions():
    y, x = np.meshgrid(np.arange(0, 60, 5.0), np.arange(0, 60, 5.0), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1) + SIZE / 2


def plan(**changes):
    fields = {"scans": 3, "doses": (1e3, 1e5), "overlaps": (0.0, 0.7), "descent": OPTIONS.descent(), "seed": 1}
    return CorpusPlan(**fields | changes)


@pytest.fixture(scope="module")
def illumination(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "illumination.npz"
    xy = positions()
    write_npz(path, {"probeGuess": PROBE, "xcoords": xy[:, 0].copy(), "ycoords": xy[:, 1].copy()})
    return path


def task(illumination, folder, progress=lambda report: None):
    return TrainingTask(illumination, None, 1, folder, {"method": "learned"}, progress=progress)


@pytest.fixture(scope="module")
def trained(illumination, tmp_path_factory):
    return train(task(illumination, tmp_path_factory.mktemp("whole")), OPTIONS)


def test_a_scan_depends_on_seed_and_number_alone_and_stays_within_its_limits():
    for number in range(6):
        first, again = (draw_scan(PROBE, positions(), plan(), number) for _ in range(2))
        assert np.array_equal(first.measurement.amplitude, again.measurement.amplitude)
        assert np.array_equal(first.object, again.object)
        assert 1e3 <= first.dose <= 1e5
        assert 0 <= first.overlap <= 0.7
        measured = first.measurement.counts().sum(axis=(1, 2)).mean()
        assert measured == pytest.approx(first.dose, rel=6 / np.sqrt(first.dose) + 0.01)
        assert first.object.shape == first.measurement.object_shape
    other = draw_scan(PROBE, positions(), plan(seed=2), 0)
    assert not np.array_equal(other.object, draw_scan(PROBE, positions(), plan(), 0).object)


def test_scans_that_are_there_are_kept_and_the_truth_lies_beside_the_estimate(tmp_path, monkeypatch):
    whole = Corpus(tmp_path, PROBE, positions(), plan())
    assert list(whole.make()) == [1, 2, 3]
    images = whole.images(0, 2)
    estimate, truth = (images[k] + 1j * images[k + 1] for k in (0, 6))
    lit = images[8] > 0.3 * np.median(images[8])
    turned = estimate * np.exp(1j * np.angle(np.vdot(estimate[lit], truth[lit])))
    assert np.abs(turned - truth)[lit].mean() < np.abs(1 - truth)[lit].mean()
    monkeypatch.setattr(corpus_module, "draw_scan", None)
    assert list(Corpus(tmp_path, PROBE, positions(), plan()).make()) == [1, 2, 3]
    assert whole.cpu_seconds > 0


def evidence(seed=0, shape=(24, 40)):
    generator = torch.Generator().manual_seed(seed)
    z = [torch.randn(1, *shape, dtype=torch.complex64, generator=generator) * 0.05 for _ in range(3)]
    return Evidence(1 + z[0], z[1], z[2], torch.rand(1, *shape, generator=generator) * 50)


def random_correction(width=4):
    torch.manual_seed(3)
    correction = Correction(width)
    last = correction.net.leave[-1]
    torch.nn.init.normal_(last.weight, std=0.3)
    return correction


def test_an_untrained_correction_changes_nothing():
    seen = evidence()
    assert torch.equal(Correction(4).correct(seen).canvas, seen.canvas)


@pytest.mark.parametrize(
    "symmetry", [Symmetry(1), Symmetry(0, True), Symmetry(0, False, True), Symmetry(3, True, True)]
)
def test_what_is_seen_through_a_symmetry_is_answered_through_it(symmetry):
    """Correcting turned evidence equals turning the answer that was found through the symmetry."""
    correction, seen = random_correction(), evidence()

    def turn(z):
        pairs = symmetry.apply(torch.stack([z.real, z.imag], dim=1))
        return torch.complex(pairs[:, 0], pairs[:, 1])

    photons = symmetry.apply(torch.stack([seen.photons], dim=1) * torch.ones(1, 1, 1, 1))[:, 0]
    turned = Evidence(1 + turn(seen.canvas - 1), turn(seen.newton), turn(seen.plain), photons)
    through = correction.correct(seen, symmetry)
    direct = correction.correct(turned)
    torch.testing.assert_close(1 + turn(through.canvas - 1), direct.canvas, atol=2e-5, rtol=1e-4)


def crops_of(truth, photons):
    pairs = torch.stack([truth.real, truth.imag], dim=1)
    unknown = torch.zeros(len(truth), 7, *truth.shape[-2:])
    unknown[:, 6] = photons
    return Crops(unknown, pairs, torch.full((len(truth),), 1.2), torch.full((len(truth),), 0.3), (0, 0, 0))


def test_the_loss_forgives_one_phase_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    phase = 0.5 * torch.rand(2, 32, 32, generator=generator)
    truth = torch.polar(0.8 + 0.2 * torch.rand(2, 32, 32, generator=generator), phase)
    crops = crops_of(truth, 50.0)
    error = torch.full(truth.shape, 0.1)
    noisy = truth + 0.05 * torch.randn(truth.shape, dtype=torch.complex64, generator=generator)

    def loss(image):
        return float(correction_loss(Corrected(image, error), crops).image)

    assert loss(noisy * torch.exp(torch.tensor(0.7j))) == pytest.approx(loss(noisy), abs=1e-4)
    assert loss(truth) < loss(noisy) < loss(torch.ones_like(truth))


def test_the_error_that_describes_itself_best_is_the_true_one():
    truth = torch.ones(1, 32, 32, dtype=torch.complex64)
    crops = crops_of(truth, 50.0)
    noisy = truth + 0.1 * torch.randn(truth.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    losses = {
        size: float(correction_loss(Corrected(noisy, torch.full(truth.shape, size)), crops).error)
        for size in (0.05, 0.1, 0.2)
    }
    assert min(losses, key=losses.get) == 0.1


def test_calibrated_errors_agree_with_measured_ones():
    """Predictions that are off by a factor which depends on the prediction itself."""
    generator = torch.Generator().manual_seed(0)
    log_error = torch.empty(40_000).uniform_(-5, -1, generator=generator)
    true = torch.exp(0.7 * log_error - 0.4)
    squared = true.square() * -torch.log(torch.rand(40_000, generator=generator))
    correction = Correction(4)
    correction.calibrate(log_error, squared)
    calibrated = torch.exp(log_error + correction._added(log_error))
    for low, high in ((-4.5, -4), (-3.5, -3), (-2.5, -2), (-2, -1.5)):
        inside = (log_error > low) & (log_error < high)
        assert float(squared[inside].mean().sqrt() / calibrated[inside].square().mean().sqrt()) == pytest.approx(
            1, abs=0.08
        )


def test_training_leaves_a_bundle_that_reads_back_and_a_curve(trained):
    bundle = read_bundle(trained.bundle_path)
    assert bundle.manifest.network.builder == "map_corrections"
    assert bundle.manifest.network.stages == 2
    assert [row["epoch"] for row in trained.history] == [1, 2, 3]
    assert trained.verdicts["finite_weights"]["passed"]
    assert trained.verdicts["weights_changed"]["passed"]
    assert probe_likeness(bundle.probe, PROBE) == pytest.approx(1)


@pytest.mark.parametrize("stage", ["corpus", "train correction 1", "corpus, 1 corrected", "train correction 2"])
def test_a_killed_training_goes_on_to_the_same_bytes(illumination, tmp_path, trained, stage):
    def kill(report):
        if report.stage == stage and report.done >= 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(task(illumination, tmp_path, kill), OPTIONS)
    resumed = train(task(illumination, tmp_path), OPTIONS)
    assert resumed.bundle_path.read_bytes() == trained.bundle_path.read_bytes()


def test_another_plan_begins_anew(illumination, tmp_path):
    def kill(report):
        if report.stage == "train correction 1":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(task(illumination, tmp_path, kill), OPTIONS)
    kept = (tmp_path / "corpus" / "00000_0.npy").stat().st_mtime_ns
    with pytest.raises(InterruptedError):
        train(task(illumination, tmp_path, kill), OPTIONS.model_copy(update={"passes": 5}))
    assert (tmp_path / "corpus" / "00000_0.npy").stat().st_mtime_ns != kept


def test_it_reconstructs_map_and_then_corrects(trained):
    measurement = draw_scan(PROBE, positions(), plan(), 0).measurement
    kind = METHOD_KINDS.get("learned")
    found = list(kind.reconstruct(measurement, OPTIONS, Given(seed=0, bundle=trained.bundle_path)))
    classical = list(METHOD_KINDS.get("map").reconstruct(measurement, map_options(), Given(seed=0)))
    for ours, theirs in zip(found, classical, strict=False):
        assert np.array_equal(ours.object, theirs.object)
    assert len(found) == len(classical) + 1 + OPTIONS.passes_between + 1
    assert found[-1].loss is None
    assert found[-1].error.shape == measurement.object_shape
    assert np.isfinite(found[-1].error).any()
    assert all(estimate.error is None for estimate in found[: len(classical)])
    assert [estimate.step for estimate in found] == list(range(1, len(found) + 1))


def map_options():
    kind = METHOD_KINDS.get("map")
    fields = json.loads(OPTIONS.model_dump_json(include=set(kind.options.model_fields)))
    return kind.options.model_validate(fields)


def test_corrections_stand_at_the_end_and_say_how_far_they_are_off():
    scan = ScanCanvas.of(draw_scan(PROBE, positions(), plan(), 1).measurement)
    network = build_network("map_corrections", stages=2, width=4)
    steps = list(apply_corrections(network, scan.data, scan.data.flat(), Prior(2.0, 0.05), 3))
    assert [step.value is None for step in steps] == [True, False, False, False, True]
    assert steps[-1].error is not None
    assert torch.isfinite(steps[-1].error).any()


def test_a_bundle_of_another_probe_is_refused(trained):
    other = make_probe(PupilProbe(pupil_radius_cycles_per_px=0.2, defocus_rad=9.0), SIZE, np.random.default_rng(0))
    measurement = draw_scan(other, positions(), plan(), 0).measurement
    with pytest.raises(ValueError, match=r"its network was trained for another probe: the two agree to 0\.\d+"):
        METHOD_KINDS.get("learned").reconstruct(measurement, OPTIONS, Given(seed=0, bundle=trained.bundle_path))


def test_without_a_bundle_it_says_so():
    measurement = draw_scan(PROBE, positions(), plan(), 0).measurement
    with pytest.raises(ValueError, match="was given none"):
        METHOD_KINDS.get("learned").reconstruct(measurement, OPTIONS, Given(seed=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doses": (1e4, 1e3)}, "the lowest value stands first"),
        ({"overlaps": (0.5, 0.2)}, "the lowest value stands first"),
        ({"overlaps": (0.0, 1.0)}, "overlaps are fractions"),
    ],
)
def test_limits_in_the_wrong_order_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LearnedOptions(**changes)
