"""Training corrections on a corpus: crops of it, the loss, and one fit per correction, resumable bit for bit."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Complex64, Float
from torch import nn

from fly64_assets.science.contract.npz_reading import load_array, read_headers
from fly64_assets.science.networks.bundle import TrainedNetwork, write_bundle
from fly64_assets.science.networks.corpus import LIT_SHARE, Corpus, CorpusPlan
from fly64_assets.science.networks.correction import Corrected, Correction
from fly64_assets.science.networks.evidence import Evidence
from fly64_assets.science.networks.lightning_modules import (
    Checkpoint,
    History,
    MovingAverage,
    Reports,
    warm_cosine,
    write_history,
)
from fly64_assets.science.networks.lightning_runtime import bare_trainer, interrupts_kept, quiet_lightning
from fly64_assets.science.networks.record import build_network
from fly64_assets.science.networks.staged import IDENTITY, StagedNetwork, Symmetry
from fly64_assets.science.networks.training import BUNDLE_FILE, HISTORY_FILE, LOG_FILE, weight_verdicts
from fly64_assets.science.networks.training_task import TrainingResult, TrainingTask
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Progress
from fly64_assets.science.torch_runtime import limit_threads, require_torch

require_torch()

from lightning.pytorch import LightningDataModule, LightningModule  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

NETWORK = "map_corrections"
_CORPUS = "corpus"
_LIMIT_BYTES = 1 << 30

_CROP_PX = 112
_CROP_MULTIPLE = 16
_VALIDATION_SHARE = 0.1
_ERROR_WEIGHT = 0.1
_FINE_TUNING_RATE = 0.4
"""Learning rate of later corrections over that of the first, whose weights they start from."""

_CLIP_NORM = 1.0
_SSIM_PX = 7


@dataclass(frozen=True)
class CorrectionPlan:
    """How corrections are trained.

    Attributes:
        corpus: what they learn from.
        rounds: how many corrections.
        passes_between: over the data, between two of them.
        width: base channels.
        epochs: of the first correction; later ones take half as many.
        batches_per_epoch: steps.
        batch_size: crops per step.
        learning_rate: peak.
        accelerator: where to train.
        threads: of the CPU.
    """

    corpus: CorpusPlan
    rounds: int
    passes_between: int
    width: int
    epochs: int
    batches_per_epoch: int
    batch_size: int
    learning_rate: float
    accelerator: str
    threads: int

    def epochs_of(self, rounds: int) -> int:
        """Epochs of a correction, the first one being 0."""
        return self.epochs if rounds == 0 else max(1, self.epochs // 2)


class Crops(NamedTuple):
    """Crops of one step, all seen through one symmetry.

    Attributes:
        evidence: what the correction sees, as real pairs ``(b, 7, h, w)``.
        truth: real and imaginary part, ``(b, 2, h, w)``.
        phase_range: of the truth of each whole scan, ``(b,)``.
        amplitude_range: likewise.
        symmetry: quarter turns, mirrored, conjugated.
    """

    evidence: Float[torch.Tensor, "b 7 h w"]
    truth: Float[torch.Tensor, "b 2 h w"]
    phase_range: Float[torch.Tensor, "b"]
    amplitude_range: Float[torch.Tensor, "b"]
    symmetry: tuple[int, int, int]


class CorpusCrops(Dataset):
    """Batches of an epoch; what they hold depends on the stream alone.

    Args:
        corpus: whole scans.
        rounds: corrections that they have been through.
        scans: numbers to draw from.
        batches: how many, and how large.
        stream: names the random stream.
        symmetric: draw a symmetry per batch.
    """

    def __init__(
        self,
        corpus: Corpus,
        rounds: int,
        scans: np.ndarray,
        batches: tuple[int, int],
        stream: tuple[int, str],
        *,
        symmetric: bool,
    ) -> None:
        self._corpus, self._rounds, self._scans = corpus, rounds, scans
        self._count, self._size = batches
        self._stream, self._symmetric = stream, symmetric
        sides = [min(corpus.images(rounds, int(number)).shape[1:]) for number in scans]
        self._side = max(_CROP_MULTIPLE, min(_CROP_PX, min(sides) // _CROP_MULTIPLE * _CROP_MULTIPLE))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._count

    def __getitem__(self, index: int) -> Crops:
        """One batch."""
        seed, label = self._stream
        rng = named_rng(seed, "crops", label, str(index))
        symmetry = (int(rng.integers(4)), int(rng.integers(2)), int(rng.integers(2))) if self._symmetric else (0, 0, 0)
        crops, phases, amplitudes = [], [], []
        for number in rng.choice(self._scans, self._size):
            images = self._corpus.images(self._rounds, int(number))
            top, left = (int(rng.integers(side - self._side + 1)) for side in images.shape[1:])
            crops.append(images[:, top : top + self._side, left : left + self._side].copy())
            phase, amplitude = self._corpus.true_ranges(int(number))
            phases.append(phase)
            amplitudes.append(amplitude)
        whole = torch.as_tensor(np.stack(crops))
        return Crops(
            evidence=torch.cat([whole[:, :6], whole[:, 8:]], dim=1),
            truth=whole[:, 6:8],
            phase_range=torch.tensor(phases, dtype=torch.float32),
            amplitude_range=torch.tensor(amplitudes, dtype=torch.float32),
            symmetry=symmetry,
        )


def evidence_of(crops: Crops) -> Evidence:
    """The crops as a correction takes them."""
    parts = crops.evidence
    canvas, newton, plain = (torch.complex(parts[:, k], parts[:, k + 1]) for k in (0, 2, 4))
    return Evidence(canvas, newton, plain, parts[:, 6])


def truth_of(crops: Crops) -> Complex64[torch.Tensor, "b h w"]:
    """The true object of each crop."""
    return torch.complex(crops.truth[:, 0], crops.truth[:, 1])


def lit_of(crops: Crops) -> Float[torch.Tensor, "b h w"]:
    """1 where a crop is judged, 0 elsewhere."""
    photons = crops.evidence[:, 6]
    return (photons > LIT_SHARE * photons.flatten(1).median(dim=1).values[:, None, None]).float()


class CorrectionLoss(NamedTuple):
    """What is lowered.

    Attributes:
        image: half the log of the relative L1 error, half the log of 1 - SSIM of the phase, a quarter of that of the
            amplitude; mean over crops.
        error: how badly the predicted error describes the one that is left, nats per pixel.
    """

    image: torch.Tensor
    error: torch.Tensor


def correction_loss(found: Corrected, crops: Crops) -> CorrectionLoss:
    """Compare corrected crops with the truth, where photons fell, up to one global phase."""
    truth, lit = truth_of(crops), lit_of(crops)
    turned = found.canvas * _phase_between(found.canvas, truth, lit)
    distance = (turned - truth).abs()
    absolute = _mean(distance, lit) / crops.phase_range
    reference = (truth * lit).sum(dim=(-2, -1), keepdim=True)
    phases = (_phase(turned, reference), _phase(truth, reference))
    phase = 1 - _mean(_ssim(*phases, crops.phase_range), lit)
    amplitude = 1 - _mean(_ssim(turned.abs(), truth.abs(), crops.amplitude_range), lit)
    image = 0.5 * _log(absolute) + 0.5 * _log(phase) + 0.25 * _log(amplitude)
    squared = distance.detach().square() / found.error.square()
    return CorrectionLoss(image.mean(), _mean(squared + 2 * torch.log(found.error), lit).mean())


def _phase_between(image: torch.Tensor, truth: torch.Tensor, lit: torch.Tensor) -> torch.Tensor:
    product = (truth * image.conj() * lit).sum(dim=(-2, -1), keepdim=True)
    return product / product.abs().clamp(min=1e-12)


def _phase(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Phases relative to the truth's mean; away from zero amplitude, where they have no gradient."""
    turned = image * reference.conj()
    return torch.atan2(turned.imag, torch.where(turned.abs() < 1e-6, 1e-6, turned.real))


def _mean(image: torch.Tensor, lit: torch.Tensor) -> torch.Tensor:
    return (image * lit).sum(dim=(-2, -1)) / lit.sum(dim=(-2, -1)).clamp(min=1)


def _log(value: torch.Tensor) -> torch.Tensor:
    return torch.log(value.clamp(min=1e-4))


def _ssim(image: torch.Tensor, truth: torch.Tensor, data_range: torch.Tensor) -> torch.Tensor:
    """Structural similarity, pixel by pixel, in a square window."""
    stacked = torch.stack([image, truth, image * image, truth * truth, image * truth], dim=1)
    smooth = nn.functional.avg_pool2d(stacked, _SSIM_PX, stride=1, padding=_SSIM_PX // 2, count_include_pad=False)
    a, t, aa, tt, at = smooth.unbind(dim=1)
    c1, c2 = ((k * data_range.clamp(min=1e-3)[:, None, None]) ** 2 for k in (0.01, 0.03))
    similar = (2 * a * t + c1) * (2 * (at - a * t) + c2)
    return similar / ((a * a + t * t + c1) * ((aa - a * a) + (tt - t * t) + c2))


def calibrate(correction: Correction, held_out: Iterable[Crops]) -> None:
    """Let the errors that a trained correction predicts agree with those that it leaves on held-out scans."""
    logs, squares = [], []
    with torch.inference_mode():
        for crops in held_out:
            found = correction.correct(evidence_of(crops))
            truth, lit = truth_of(crops), lit_of(crops)
            turned = found.canvas * _phase_between(found.canvas, truth, lit)
            logs.append(torch.log(found.error)[lit > 0])
            squares.append((turned - truth).abs().square()[lit > 0])
        correction.calibrate(torch.cat(logs), torch.cat(squares))


class CorrectionModule(LightningModule):
    """Trains one correction.

    Args:
        network: the correction.
        learning_rate: peak.
        total_steps: length of the schedule.
    """

    def __init__(self, network: Correction, learning_rate: float, total_steps: int) -> None:
        super().__init__()
        self.network = network
        self._learning_rate, self._total_steps = learning_rate, total_steps

    def training_step(self, batch: Crops, batch_index: int) -> torch.Tensor:
        """Loss of one batch."""
        del batch_index
        turns, mirrored, conjugated = batch.symmetry
        loss = self._loss(batch, Symmetry(turns, bool(mirrored), bool(conjugated)))
        self.log("train_loss", loss.image.detach(), on_step=False, on_epoch=True, batch_size=len(batch.truth))
        return loss.image + _ERROR_WEIGHT * loss.error

    def validation_step(self, batch: Crops, batch_index: int) -> None:
        """Loss of scans that are not trained on."""
        del batch_index
        self.log("validation_loss", self._loss(batch, IDENTITY).image, batch_size=len(batch.truth))

    def held_out_loss(self, batches: Iterable[Crops]) -> float:
        """Mean loss of held-out crops under the weights as they are."""
        with torch.no_grad():
            return float(torch.stack([self._loss(batch, IDENTITY).image for batch in batches]).mean())

    def _loss(self, batch: Crops, symmetry: Symmetry) -> CorrectionLoss:
        return correction_loss(self.network.correct(evidence_of(batch), symmetry), batch)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a short warm-up and a cosine to zero."""
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self._learning_rate, weight_decay=1e-4, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_cosine(self._total_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class CorpusData(LightningDataModule):
    """Crops of a corpus, nine tenths to train on, the others to judge.

    Args:
        corpus: whole scans.
        rounds: corrections that they have been through.
        plan: sizes and seed.
    """

    def __init__(self, corpus: Corpus, rounds: int, plan: CorrectionPlan) -> None:
        super().__init__()
        self._corpus, self._rounds, self._plan = corpus, rounds, plan
        held_out = max(1, round(_VALIDATION_SHARE * plan.corpus.scans))
        numbers = np.arange(plan.corpus.scans)
        self._held_out, self._trained_on = numbers[:held_out], numbers[held_out:]

    def train_dataloader(self) -> DataLoader[Crops]:
        """Crops of the epoch that begins."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        sizes = (self._plan.batches_per_epoch, self._plan.batch_size)
        label = f"round {self._rounds} epoch {epoch}"
        return self._loader(self._trained_on, sizes, label, symmetric=True)

    def val_dataloader(self) -> DataLoader[Crops]:
        """The same crops after every epoch."""
        return self._loader(self._held_out, (2 * len(self._held_out), 4), "held out", symmetric=False)

    def _loader(self, scans: np.ndarray, batches: tuple[int, int], label: str, *, symmetric: bool) -> DataLoader[Crops]:
        stream = (self._plan.corpus.seed, label)
        crops = CorpusCrops(self._corpus, self._rounds, scans, batches, stream, symmetric=symmetric)
        return DataLoader(crops, batch_size=None)


def train_corrections(task: TrainingTask, plan: CorrectionPlan) -> TrainingResult:
    """Make the corpus of a probe, and train one correction after the other on it.

    The same probe, positions, plan and machine give the same bytes, also when the training was killed and resumed.

    Args:
        task: its source is the scan's file of probe and positions; its seed names all streams.
        plan: corpus and training.
    """
    return _Training(task, plan).run()


class _Training:
    def __init__(self, task: TrainingTask, plan: CorrectionPlan) -> None:
        limit_threads(plan.threads)
        self._task, self._plan = task, plan
        headers = read_headers(task.source)
        self._probe, x, y = (
            load_array(task.source, headers[key], _LIMIT_BYTES) for key in ("probeGuess", "xcoords", "ycoords")
        )
        task.work_dir.mkdir(parents=True, exist_ok=True)
        _forget_another(task.work_dir, plan)
        self._corpus = Corpus(task.work_dir / _CORPUS, self._probe, np.stack([x, y], axis=1), plan.corpus)

    def run(self) -> TrainingResult:
        """Train, or go on training, and write the files."""
        torch.manual_seed(int(named_rng(self._plan.corpus.seed, "weights").integers(1 << 62)))
        network = build_network(NETWORK, stages=self._plan.rounds, width=self._plan.width)
        self._tell("corpus", self._corpus.make())
        fits: list[_Fit] = []
        initial = {name: value.clone() for name, value in network.state_dict().items()}
        for rounds, stage in enumerate(_corrections(network)):
            if rounds:
                before = _corrections(network)[rounds - 1]
                stage.load_state_dict(before.state_dict())
                self._tell(
                    f"corpus, {rounds} corrected", self._corpus.advance(rounds, before, self._plan.passes_between)
                )
            fits.append(self._fit(rounds, stage))
        last_stage = _corrections(network)[-1]
        calibrate(last_stage, CorpusData(self._corpus, self._plan.rounds - 1, self._plan).val_dataloader())
        weights = network.state_dict()
        first, last = fits[0], fits[-1]
        verdicts = weight_verdicts(initial, weights) | {
            "learned": {
                "passed": last.loss < first.loss_before,
                "details": {"held_out_loss": last.loss, "held_out_loss_of_map": first.loss_before},
            }
        }
        rows = [{**row, "epoch": epoch} for epoch, row in enumerate((row for fit in fits for row in fit.rows), start=1)]
        bundle = self._write(weights, rows, sum(fit.steps for fit in fits), verdicts)
        cpu_seconds = self._corpus.cpu_seconds + sum(fit.cpu_seconds for fit in fits)
        shutil.rmtree(self._task.work_dir / _CORPUS)
        return TrainingResult(
            bundle_path=bundle,
            history=rows,
            final_loss=last.loss,
            epochs_completed=len(rows),
            cpu_seconds=cpu_seconds,
            patterns_trained_on=0,
            verdicts=verdicts,
        )

    def _tell(self, stage: str, made: Iterator[int]) -> None:
        for count in made:
            self._task.progress(Progress(stage, count, self._plan.corpus.scans))

    def _fit(self, rounds: int, stage: Correction) -> "_Fit":
        """Train a correction, unless it has been trained; its weights are then those with the best validation."""
        kept = self._task.work_dir / f"round_{rounds}.pt"
        if not kept.exists():
            fit = self._trained(rounds, stage)
            temporary = kept.with_suffix(".tmp")
            torch.save(asdict(fit), temporary)
            temporary.replace(kept)
        fit = _Fit(**torch.load(kept, weights_only=True))
        stage.load_state_dict(fit.weights)
        return fit

    def _trained(self, rounds: int, stage: Correction) -> "_Fit":
        plan = self._plan
        epochs = plan.epochs_of(rounds)
        data = CorpusData(self._corpus, rounds, plan)
        rate = plan.learning_rate * (_FINE_TUNING_RATE if rounds else 1.0)
        module = CorrectionModule(stage, rate, epochs * plan.batches_per_epoch)
        before = module.held_out_loss(data.val_dataloader())
        average = MovingAverage()
        history = History(average, patience=epochs)
        checkpoint = self._task.work_dir / f"round_{rounds}.ckpt"
        callbacks = [average, history, Reports(history, epochs, f"train correction {rounds + 1}", self._task.progress)]
        if self._task.execution.checkpointing:
            callbacks.insert(2, Checkpoint(checkpoint))
        with quiet_lightning(), interrupts_kept():
            trainer = bare_trainer(
                self._task.work_dir,
                callbacks,
                epochs=epochs,
                accelerator=plan.accelerator,
                gradient_clip_val=_CLIP_NORM,
                logger=False,
            )
            resumed = checkpoint if checkpoint.exists() else None
            trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
        checkpoint.unlink(missing_ok=True)
        return _Fit(
            history.best_weights, history.rows, before, history.best_loss, history.cpu_seconds, trainer.global_step
        )

    def _write(
        self,
        weights: dict[str, torch.Tensor],
        rows: list[dict[str, float | int]],
        steps: int,
        verdicts: dict[str, dict[str, Any]],
    ) -> Path:
        folder = self._task.work_dir
        write_history(folder / HISTORY_FILE, rows)
        bundle = folder / BUNDLE_FILE
        write_bundle(
            bundle,
            weights=weights,
            probe=self._probe,
            network=TrainedNetwork(
                builder=NETWORK,
                learns_from="truth",
                stages=self._plan.rounds,
                width=self._plan.width,
                gridsize=2,
                neighbor_count=7,
                patch_size_px=self._probe.shape[-1],
                probe_modes=len(self._probe),
                counts_scale=1.0,
                dose=float(np.sqrt(np.prod(self._plan.corpus.doses))),
            ),
            seed=self._plan.corpus.seed,
            epochs_completed=len(rows),
            global_step=steps,
            provenance=self._task.provenance,
        )
        lines = [json.dumps(row) for row in rows] + [f"{name}: {value}" for name, value in verdicts.items()]
        (folder / LOG_FILE).write_text("\n".join(lines) + "\n")
        return bundle


@dataclass(frozen=True)
class _Fit:
    """A trained correction: what a file keeps of it until all are trained."""

    weights: dict[str, torch.Tensor]
    rows: list[dict[str, float | int]]
    loss_before: float
    loss: float
    cpu_seconds: float
    steps: int


def _corrections(network: StagedNetwork) -> list[Correction]:
    return [stage for stage in network.stages if isinstance(stage, Correction)]


def _forget_another(folder: Path, plan: CorrectionPlan) -> None:
    """Delete what a killed training of another plan left."""
    digest = hashlib.sha256(json.dumps(asdict(plan), sort_keys=True).encode()).hexdigest()
    record = folder / "plan.sha256"
    if not record.exists() or record.read_text() != digest:
        shutil.rmtree(folder / _CORPUS, ignore_errors=True)
        for left in folder.glob("round_*"):
            left.unlink()
        record.write_text(digest)
