"""A corpus to learn corrections from: procedural objects scanned by the study's own probe and positions, and their MAP.

Every scan of it is drawn from a stream named by its number: an object, a window of the positions, mirrored, thinned to
some overlap, and a dose. Its counts are reconstructed as those of a measurement will be. Scans are kept as files, so
that a killed training finds those that it had made.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64

from fly64_assets.science.arrays import ComplexObject, PositionsXY, ProbeModes
from fly64_assets.science.networks.correction import Correction, corrected_by
from fly64_assets.science.networks.evidence import Evidence
from fly64_assets.science.networks.procedural import draw_object
from fly64_assets.science.physics.descent import Descent, lower_objective
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.physics.diffraction_torch import canvas_frame
from fly64_assets.science.physics.dose import amplitude_from_counts, counts_scale, draw_counts
from fly64_assets.science.physics.probe import probe_diameter_px
from fly64_assets.science.physics.scan_canvas import ScanCanvas
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Measurement
from fly64_assets.science.views.sampling import select_by_spacing

_WINDOW = (1.2, 2.1)
"""Sides of the window that positions are taken from, in patches."""

_LEAST_POSITIONS = 9


LIT_SHARE = 0.1
"""Pixels with fewer than this share of the median photons are not judged."""


@dataclass(frozen=True)
class CorpusPlan:
    """What is drawn.

    Attributes:
        scans: how many.
        doses: lowest and highest mean photons per pattern; the middle of their logarithm is drawn most often.
        overlaps: lowest and highest overlap that positions are thinned to.
        descent: how every scan is reconstructed.
        seed: of everything.
    """

    scans: int
    doses: tuple[float, float]
    overlaps: tuple[float, float]
    descent: Descent
    seed: int


class Drawn(NamedTuple):
    """A simulated scan.

    Attributes:
        measurement: counts, probe and positions.
        object: truth, on the measurement's grid.
        textures: of the object.
        dose: mean photons per pattern.
        overlap: that the positions were thinned to.
    """

    measurement: Measurement
    object: ComplexObject
    textures: tuple[str, ...]
    dose: float
    overlap: float


def draw_scan(probe: ProbeModes, positions_xy_px: PositionsXY, plan: CorpusPlan, number: int) -> Drawn:
    """Draw a scan of the corpus; it depends on the plan's seed and its number alone."""
    rng = named_rng(plan.seed, "corpus", str(number))
    size = probe.shape[-1]
    overlap = rng.uniform(*plan.overlaps)
    positions = _window(positions_xy_px, size, rng)
    spacing = (1 - overlap) * probe_diameter_px(probe)
    kept = positions[select_by_spacing(positions, spacing, rng)]
    positions = kept if len(kept) >= _LEAST_POSITIONS else positions
    top, left, rows, columns = canvas_frame(positions, size)
    positions = positions - np.array([left, top])
    drawn = draw_object((rows, columns), rng)
    low, high = np.log(plan.doses)
    dose = float(np.exp(low + (high - low) * rng.beta(2, 2)))
    intensity = diffraction_intensity(extract_patches(drawn.object, positions, size), probe)
    scale = counts_scale(dose, float(intensity.sum(axis=(1, 2), dtype=np.float64).mean()))
    counts = draw_counts(intensity, scale, rng)
    measurement = Measurement(
        amplitude=amplitude_from_counts(counts, scale),
        counts_scale=scale,
        probe=probe,
        positions_xy_px=positions,
        object_shape=(rows, columns),
    )
    return Drawn(measurement, drawn.object, drawn.textures, dose, overlap)


def _window(positions_xy_px: PositionsXY, size: int, rng: np.random.Generator) -> Float64[np.ndarray, "inside 2"]:
    """Positions of a random part of the scan, mirrored or not along either axis."""
    low, high = positions_xy_px.min(axis=0), positions_xy_px.max(axis=0)
    side = np.minimum(rng.uniform(*_WINDOW, 2) * size, high - low)
    corner = low + rng.random(2) * (high - low - side)
    inside = ((positions_xy_px >= corner) & (positions_xy_px <= corner + side)).all(axis=1)
    found = positions_xy_px[inside] if inside.sum() >= _LEAST_POSITIONS else positions_xy_px
    mirrored = rng.random(2) < 0.5
    return np.where(mirrored, found.min(axis=0) + found.max(axis=0) - found, found)


class Corpus:
    """The scans of a plan as files of one folder: what a correction sees of each, and the truth.

    Args:
        folder: private; scans that it already holds are kept.
        probe: the study's.
        positions_xy_px: the study's.
        plan: what is drawn.
    """

    def __init__(self, folder: Path, probe: ProbeModes, positions_xy_px: PositionsXY, plan: CorpusPlan) -> None:
        self._folder, self._probe, self._positions, self.plan = folder, probe, positions_xy_px, plan
        self._true_ranges: dict[int, tuple[float, float]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def cpu_seconds(self) -> float:
        """Spent on all files that are there, in whatever process."""
        return sum(json.loads(path.read_text())["cpu_seconds"] for path in self._folder.glob("*.json"))

    def make(self) -> Iterator[int]:
        """Reconstruct every scan that is missing; yields how many are there, after each."""
        for number in range(self.plan.scans):
            if not self._file(0, number).exists():
                self._keep(0, number, self._reconstructed)
            yield number + 1

    def advance(self, rounds: int, stage: Correction, passes: int) -> Iterator[int]:
        """Correct every scan by a trained stage and pass over its data again; yields as :meth:`make`.

        Args:
            rounds: corrections so far, this one included.
            stage: trained on what there was before.
            passes: over the data, from what the stage leaves.
        """

        def advanced(number: int) -> np.ndarray:
            return self._advanced(number, rounds, stage, passes)

        for number in range(self.plan.scans):
            if not self._file(rounds, number).exists():
                self._keep(rounds, number, advanced)
            yield number + 1

    def images(self, rounds: int, number: int) -> Float32[np.ndarray, "9 h w"]:
        """What there is of a scan after so many corrections, memory-mapped.

        Real and imaginary parts of the estimate, the Newton step, the plain step and the truth, and the photons per
        pixel, on the lit part of the scan's canvas.
        """
        return np.load(self._file(rounds, number), mmap_mode="r", allow_pickle=False)

    def true_ranges(self, number: int) -> tuple[float, float]:
        """Largest minus smallest phase (rad) and amplitude of a scan's true object where photons fell."""
        if number not in self._true_ranges:
            images = self.images(0, number)
            lit = images[8] > LIT_SHARE * np.median(images[8])
            truth = (images[6] + 1j * images[7])[lit]
            phase = np.angle(truth * np.conj(truth.mean()))
            self._true_ranges[number] = float(np.ptp(phase)), float(np.ptp(np.abs(truth)))
        return self._true_ranges[number]

    def _reconstructed(self, number: int) -> np.ndarray:
        drawn = draw_scan(self._probe, self._positions, self.plan, number)
        scan = ScanCanvas.of(drawn.measurement)
        canvas = scan.data.flat()
        for lowered in lower_objective(scan.data, canvas, self.plan.descent):
            canvas = lowered.canvas
        return _images(scan, canvas, drawn.object)

    def _advanced(self, number: int, rounds: int, stage: Correction, passes: int) -> np.ndarray:
        drawn = draw_scan(self._probe, self._positions, self.plan, number)
        scan = ScanCanvas.of(drawn.measurement)
        before = torch.as_tensor(self.images(rounds - 1, number).copy())
        margin = scan.data.margin_px
        inner = slice(margin, margin + before.shape[1]), slice(margin, margin + before.shape[2])
        canvas = scan.data.flat()
        canvas[0][inner] = torch.complex(before[0], before[1])
        canvas = corrected_by(stage, canvas, scan.data).canvas
        for lowered in lower_objective(scan.data, canvas, Descent(self.plan.descent.prior, passes, 0, 0.0)):
            canvas = lowered.canvas
        return _images(scan, canvas, drawn.object)

    def _file(self, rounds: int, number: int) -> Path:
        return self._folder / f"{number:05d}_{rounds}.npy"

    def _keep(self, rounds: int, number: int, make: Callable[[int], np.ndarray]) -> None:
        begun = time.process_time()
        images = make(number)
        path = self._file(rounds, number)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            np.save(file, images)
        path.with_suffix(".json").write_text(json.dumps({"cpu_seconds": time.process_time() - begun}))
        temporary.replace(path)


def _images(scan: ScanCanvas, canvas: torch.Tensor, truth: ComplexObject) -> np.ndarray:
    evidence = Evidence.at(canvas, scan.data)
    true_canvas = scan.from_object_grid(truth)[0]
    margin = scan.data.margin_px
    rows, columns = true_canvas.shape
    true_canvas = true_canvas[margin : rows - margin, margin : columns - margin]
    parts = [evidence.canvas[0], evidence.newton[0], evidence.plain[0], true_canvas]
    pairs = [part for z in parts for part in (z.real, z.imag)]
    return torch.stack([*pairs, evidence.photons[0]]).numpy().astype(np.float32)
