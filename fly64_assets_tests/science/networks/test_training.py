"""Training end to end on a small view: it learns, repeats bit for bit, resumes, stops when told, and sees no truth."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.contract.dataset_file import DatasetWriter
from fly64_assets.science.networks.bundle import read_bundle
from fly64_assets.science.networks.lightning_modules import Checkpoint, MovingAverage
from fly64_assets.science.networks.training import CHECKPOINT_FILE, TrainingJob, train_network
from fly64_assets.science.networks.training_task import TrainingTask
from fly64_assets.science.options import ExecutionOptions, TrainingOptions, ViewOptions
from fly64_assets.science.physics.diffraction import extract_patches
from fly64_assets.science.registry import RegistryError
from fly64_assets.science.torch_runtime import require_torch
from fly64_assets_tests.science.networks.measurements import measure, truth

require_torch()

from lightning.pytorch import LightningModule, Trainer  # noqa: E402

CHILD = [sys.executable, "-m", "fly64_assets_tests.science.networks.test_training"]
GROUPS = ViewOptions(gridsize=2)
SINGLES = ViewOptions(gridsize=1)
QUICK = TrainingOptions(epochs=3, groups_per_epoch=16, batch_size=8, width=4)


def write_dataset(path, *, image=None, patches=None):
    """The shared measurement as a DATA-001 file, with any truth beside it."""
    measurement = measure(1e4)
    image = truth() if image is None else image
    positions = measurement.positions_xy_px
    patches = extract_patches(truth(), positions, measurement.patch_size_px) if patches is None else patches
    with DatasetWriter(
        path,
        positions_xy_px=positions,
        scan_index=np.arange(len(positions)),
        object=image,
        probe=measurement.probe,
        with_expected_photons=False,
    ) as writer:
        writer.append(np.asarray(measurement.amplitude), patches)
        writer.finish({"counts_scale": measurement.counts_scale})
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("view") / "train.npz")


def train(dataset, work_dir, *, view=GROUPS, options=QUICK, seed=1, learns_from="counts", **more):
    task = TrainingTask(
        source=dataset, view=view, seed=seed, work_dir=work_dir, provenance={"method": "mine", "dose": 1e4}, **more
    )
    return train_network(task, options, learns_from=learns_from)


def digest(result):
    return hashlib.sha256(result.bundle_path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    return train(dataset, tmp_path_factory.mktemp("trained"))


def test_training_learns_and_says_so(trained):
    assert trained.epochs_completed == 3
    assert [row["epoch"] for row in trained.history] == [1, 2, 3]
    assert all(verdict["passed"] for verdict in trained.verdicts.values()), trained.verdicts
    learned = trained.verdicts["learned"]["details"]
    assert learned["held_out_nll_per_photon"] < learned["flat_object_nll_per_photon"]
    assert set(trained.verdicts) == {"finite_weights", "weights_changed", "learned"}


def test_training_leaves_its_files_and_no_checkpoint(trained):
    folder = trained.bundle_path.parent
    assert {"wts.h5.zip", "history.csv", "train.log"} <= {path.name for path in folder.iterdir()}
    assert not (folder / CHECKPOINT_FILE).exists()
    assert (folder / "history.csv").read_text().startswith("epoch,train_loss,validation_loss")
    assert "learned" in (folder / "train.log").read_text()


def test_the_bundle_holds_probe_scale_and_provenance(trained):
    bundle, measurement = read_bundle(trained.bundle_path), measure(1e4)
    np.testing.assert_array_equal(bundle.probe, measurement.probe)
    assert bundle.manifest.network.counts_scale == measurement.counts_scale
    assert bundle.manifest.provenance == {"method": "mine", "dose": 1e4}


def test_another_process_trains_the_same_bytes_and_another_seed_others(dataset, trained, tmp_path):
    subprocess.run([*CHILD, str(dataset), str(tmp_path / "a"), "0"], check=True, cwd=os.getcwd())
    again = tmp_path / "a" / "wts.h5.zip"
    assert hashlib.sha256(again.read_bytes()).hexdigest() == digest(trained)
    assert digest(train(dataset, tmp_path / "b", seed=2)) != digest(trained)


def test_a_killed_training_resumes_to_the_same_bytes(dataset, trained, tmp_path):
    """SIGKILL after the first epoch's checkpoint; the next run goes on from it."""
    child = subprocess.Popen([*CHILD, str(dataset), str(tmp_path), "0.5"], cwd=os.getcwd())
    deadline = time.monotonic() + 120
    while not (tmp_path / CHECKPOINT_FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (tmp_path / CHECKPOINT_FILE).exists()
    assert not (tmp_path / "wts.h5.zip").exists()
    epochs = []
    resumed = train(dataset, tmp_path, progress=lambda report: epochs.append(report.done))
    assert min(epochs) >= 1  # the first epoch was not repeated
    assert digest(resumed) == digest(trained)
    assert resumed.history == trained.history


def test_a_checkpoint_of_other_parameters_is_not_used(dataset, trained, tmp_path):
    interrupted = pytest.raises(KeyboardInterrupt)
    with interrupted:
        train(dataset, tmp_path, seed=5, progress=_raise_after(1))
    assert (tmp_path / CHECKPOINT_FILE).exists()
    assert digest(train(dataset, tmp_path)) == digest(trained)


def _raise_after(epoch, error=KeyboardInterrupt):
    def listener(report):
        if report.done >= epoch:
            raise error

    return listener


class CancelledError(Exception):
    """What a listener of the orchestration raises."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, CancelledError])
def test_a_listener_that_raises_stops_training_at_once_and_leaves_no_bundle(dataset, tmp_path, error):
    started, handler = time.monotonic(), signal.getsignal(signal.SIGINT)
    with pytest.raises(error):
        train(dataset, tmp_path, options=QUICK.model_copy(update={"epochs": 1000}), progress=_raise_after(1, error))
    assert time.monotonic() - started < 60
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "wts.h5.zip").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_sigterm_stops_within_ten_seconds_and_leaves_no_bundle(dataset, tmp_path):
    child = subprocess.Popen([*CHILD, str(dataset), str(tmp_path), "0.05", "100000"], cwd=os.getcwd())
    deadline = time.monotonic() + 120
    while not (tmp_path / CHECKPOINT_FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGTERM)
    try:
        assert child.wait(timeout=10) == 143
    finally:
        child.kill()
        child.wait()
    assert not (tmp_path / "wts.h5.zip").exists()


def test_the_truth_does_not_reach_a_network_that_learns_from_counts(dataset, trained, tmp_path):
    """Noise in place of objectGuess and Y: weights bit-identical."""
    rng = np.random.default_rng(0)
    source = read_dataset(dataset)
    noise = [
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
        for shape in (source.object.shape, source.object_patches.shape)
    ]
    blinded = write_dataset(tmp_path / "blinded.npz", image=noise[0], patches=noise[1])
    assert blinded.read_bytes() != dataset.read_bytes()
    found = read_bundle(train(blinded, tmp_path / "work").bundle_path).weights
    expected = read_bundle(trained.bundle_path).weights
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("view", [SINGLES, GROUPS])
def test_a_network_that_learns_from_the_truth_depends_on_the_patches(dataset, tmp_path, view):
    found = train(dataset, tmp_path / "a", view=view, learns_from="truth")
    assert found.verdicts["learned"]["passed"]
    described = read_bundle(found.bundle_path).manifest.network
    assert (described.builder, described.learns_from) == ("unrolled_unet", "truth")
    noise = np.random.default_rng(0).standard_normal((len(measure().positions_xy_px), 32, 32)).astype(np.complex64)
    blinded = write_dataset(tmp_path / "other.npz", patches=noise)
    other = train(blinded, tmp_path / "b", view=view, learns_from="truth")
    weights = [
        read_bundle(result.bundle_path).weights["stages.1.correct.enter.0.0.weight"] for result in (found, other)
    ]
    assert not np.array_equal(*weights)


def test_stages_and_width_are_those_of_the_options(dataset, tmp_path):
    options = QUICK.model_copy(update={"epochs": 1, "stages": 3, "width": 6})
    bundle = read_bundle(train(dataset, tmp_path, options=options).bundle_path)
    assert (bundle.manifest.network.stages, bundle.manifest.network.width) == (3, 6)
    assert len(bundle.network().stages) == 3
    assert bundle.weights["stages.0.correct.enter.0.0.weight"].shape[0] == 6


def test_the_average_follows_its_formula_and_validation_sees_it_alone():
    """One weight that goes 1, 2, 3: the average starts at 1 and forgets by min(0.98, n / (n + 10)) at step n."""
    average, module, trainer = MovingAverage(), LightningModule(), mock.create_autospec(Trainer, instance=True)
    module.network = torch.nn.Linear(1, 1, bias=False)
    weight = module.network.weight.requires_grad_(False)
    expected = 1.0
    for step, value in enumerate((1.0, 2.0, 3.0), start=1):
        weight.fill_(value)
        average.on_train_batch_end(trainer, module)
        if step > 1:
            decay = step / (step + 10)
            expected = decay * expected + (1 - decay) * value
    average.on_validation_start(trainer, module)
    assert float(weight) == pytest.approx(expected, rel=1e-6)
    average.on_validation_end(trainer, module)
    assert float(weight) == 3.0
    assert float(average.weights()["weight"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("learns_from", "view"), [("counts", GROUPS), ("truth", SINGLES)])
def test_the_recorded_loss_is_that_of_the_weights_in_the_bundle(dataset, tmp_path, learns_from, view):
    """Those are averages: were the last weights validated instead, the losses would differ."""
    seen = []
    options = QUICK.model_copy(update={"epochs": 2, "learning_rate": 2e-2})
    trained = train(dataset, tmp_path, view=view, options=options, learns_from=learns_from)
    source = read_dataset(dataset)
    task = TrainingTask(source=dataset, view=view, seed=1, work_dir=tmp_path, provenance={})
    job = TrainingJob(source.measurement, source.object_patches if learns_from == "truth" else None, task, options)
    data = job.batches(job.layouts())
    module = job.module(data.batches_per_epoch)
    module.network.load_state_dict(read_bundle(trained.bundle_path).network().state_dict())
    weights = []
    with mock.patch.object(module, "log", lambda _, loss, batch_size: (seen.append(loss), weights.append(batch_size))):
        for index, batch in enumerate(data.val_dataloader()):
            module.validation_step(batch, index)
    assert trained.final_loss == min(row["validation_loss"] for row in trained.history)
    assert np.average(seen, weights=weights) == pytest.approx(trained.final_loss, rel=1e-5)


def test_how_it_is_executed_does_not_change_the_result(dataset, trained, tmp_path):
    execution = ExecutionOptions(num_workers=1, logger="none", checkpointing=False)
    assert digest(train(dataset, tmp_path, execution=execution)) == digest(trained)


def test_the_listener_is_told_the_methods_name(dataset, tmp_path):
    stages = set()
    train(dataset, tmp_path, options=QUICK.model_copy(update={"epochs": 1}), progress=lambda p: stages.add(p.stage))
    assert stages == {"train mine"}


def test_mixed_precision_trains(dataset, tmp_path):
    options = QUICK.model_copy(update={"precision": "bf16-mixed", "epochs": 1})
    assert train(dataset, tmp_path, options=options).verdicts["learned"]["passed"]


def test_a_limit_of_patterns_is_kept(dataset, tmp_path):
    limited = train(dataset, tmp_path, options=QUICK.model_copy(update={"n_images": 12, "epochs": 1}))
    assert limited.patterns_trained_on <= 12


def test_training_ends_on_a_plateau(dataset, tmp_path):
    options = QUICK.model_copy(update={"epochs": 50, "patience": 1, "learning_rate": 1e-9})
    assert train(dataset, tmp_path, options=options).epochs_completed < 50


def test_a_misspelt_network_is_refused(dataset, tmp_path):
    options = QUICK.model_copy(update={"network": "unrolled_unett"})
    with pytest.raises(RegistryError, match=r"unknown network 'unrolled_unett'; did you mean 'unrolled_unet'"):
        train(dataset, tmp_path, options=options)


def test_a_file_without_patches_teaches_no_truth(dataset, tmp_path):
    source, bare = read_dataset(dataset), tmp_path / "bare.npz"
    measurement = source.measurement
    with DatasetWriter(
        bare,
        positions_xy_px=measurement.positions_xy_px,
        scan_index=source.scan_index,
        object=source.object,
        probe=measurement.probe,
        with_object_patches=False,
        with_expected_photons=False,
    ) as writer:
        writer.append(np.asarray(measurement.amplitude))
        writer.finish({"counts_scale": measurement.counts_scale})
    with pytest.raises(ValueError, match=r"bare.npz: a network that learns from the truth needs Y"):
        train(bare, tmp_path / "work", learns_from="truth")


def test_a_checkpoint_is_never_half_written(tmp_path):
    def fail(path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    trainer = mock.create_autospec(Trainer, instance=True)
    trainer.save_checkpoint = fail
    (tmp_path / "checkpoint.ckpt").write_bytes(b"whole")
    with contextlib.suppress(OSError):
        Checkpoint(tmp_path / "checkpoint.ckpt").on_train_epoch_end(trainer, LightningModule())
    assert (tmp_path / "checkpoint.ckpt").read_bytes() == b"whole"


if __name__ == "__main__":
    data, folder, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    chosen = QUICK.model_copy(update={"epochs": int(sys.argv[4])}) if len(sys.argv) > 4 else QUICK
    train(data, folder, options=chosen, progress=lambda _: time.sleep(pause))
