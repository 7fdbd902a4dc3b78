"""What is compared in a cell, and how an image becomes comparable: one region, one grid, one way for all."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from skimage.restoration import unwrap_phase

from fly64_assets.science.metrics.alignment import align, scale_alone
from fly64_assets.science.metrics.cell_scores import ImagePair
from fly64_assets.science.metrics.frc import ring_terms
from fly64_assets.science.metrics.illuminated_region import IlluminatedRegion, illuminated_region
from fly64_assets.science.metrics.image_error import square_blocks
from fly64_assets.science.options import ScoringOptions
from fly64_assets.science.records import AlignmentName, Dataset, Reconstruction, Scan

_BLOCK_PX = 24
_WRAPPING_RANGE_RAD = 0.9 * 2 * np.pi


@dataclass(frozen=True, slots=True, eq=False)
class ScoredCell:
    """What all methods of a cell share.

    Attributes:
        truth: the object that everything is compared with.
        region: illuminated pixels, and their weights.
        options: thresholds and sample numbers.
        blocks: number of the object's block that each pixel of the box lies in.
        block_draws: how often each block is drawn, per bootstrap sample.
        window: apodisation of the box, for the FRC.
        frc_draws: how often each Fourier pixel is drawn, per bootstrap sample.
    """

    truth: np.ndarray
    region: IlluminatedRegion
    options: ScoringOptions
    blocks: np.ndarray
    block_draws: np.ndarray
    window: np.ndarray
    frc_draws: np.ndarray

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the scored crop."""
        return self.region.box

    @property
    def mask(self) -> np.ndarray:
        """Scored pixels of the crop."""
        return self.region.mask[self.box]


def prepare_cell(dataset: Dataset, scan: Scan, options: ScoringOptions, rng: np.random.Generator) -> ScoredCell:
    """Region, blocks and bootstrap draws of a cell, once for all methods.

    Raises:
        ValueError: nothing is illuminated.
    """
    measurement = dataset.measurement
    region = illuminated_region(
        scan.probe, measurement.positions_xy_px, dataset.object.shape, options.illumination_threshold
    )
    mask = region.mask[region.box]
    _, blocks = np.unique(square_blocks(mask.shape, _BLOCK_PX), return_inverse=True)
    blocks = blocks.reshape(mask.shape)
    occupied, count = np.unique(blocks[mask]), int(blocks.max()) + 1
    draws = np.zeros((options.bootstrap_samples, count))
    draws[:, occupied] = rng.multinomial(
        len(occupied), np.full(len(occupied), 1 / len(occupied)), size=options.bootstrap_samples
    )
    window = region.apodisation()
    pixels = len(ring_terms(window, window, window)[0])
    return ScoredCell(
        truth=dataset.object.astype(np.complex128),
        region=region,
        options=options,
        blocks=_read_only(blocks),
        block_draws=draws,
        window=window,
        frc_draws=rng.poisson(1.0, (options.bootstrap_samples, pixels)).astype(np.uint8),
    )


def require_grid(candidates: Mapping[str, Reconstruction], dataset: Dataset) -> None:
    """Refuse reconstructions on another grid than the truth's.

    Raises:
        ValueError: a shape differs.
    """
    for method, reconstruction in candidates.items():
        if reconstruction.object.shape != dataset.object.shape:
            message = (
                f"{method} has an object of {reconstruction.object.shape}, the truth has {dataset.object.shape}: "
                "reconstruct on the dataset's own grid"
            )
            raise ValueError(message)


def alignment_first(reconstruction: Reconstruction, dataset: Dataset) -> AlignmentName:
    """Which alignment stands first: the full one only where the counts leave ramp and shift open.

    That is where the method refined probe or positions, and where the object is a reference, whose own ramp and shift
    were as open when it was reconstructed.
    """
    known, measurement = dataset.metadata.get("object_origin", "truth") == "truth", dataset.measurement
    taken = _same(reconstruction.probe, measurement.probe)
    placed = _same(reconstruction.positions_xy_px, measurement.positions_xy_px)
    return "scale" if known and taken and placed else "full"


def _same(found: np.ndarray, given: np.ndarray) -> bool:
    """Whether a result still has what it was given, up to the rounding of a file."""
    return found.shape == given.shape and np.allclose(found, given, rtol=1e-5, atol=1e-5 * np.abs(given).max(initial=0))


def image_pair(image: np.ndarray, cell: ScoredCell, alignment_name: AlignmentName) -> ImagePair:
    """A reconstruction's object beside the truth, aligned with it and cropped to the scored box."""
    if alignment_name == "scale":
        aligned, alignment = scale_alone(image, cell.truth, cell.region)
    else:
        aligned, alignment = align(image, cell.truth, cell.region, cell.options.max_shift_px)
    reference = np.exp(-1j * np.angle(np.sum(cell.region.weight * cell.truth)))
    image, truth, mask = (aligned * reference)[cell.box], (cell.truth * reference)[cell.box], cell.mask
    truth_phase, phase = np.angle(truth), np.angle(image)
    if np.ptp(truth_phase[mask]) > _WRAPPING_RANGE_RAD:
        # No fixed branch holds such a truth: unwrap it (it has no noise) and follow it by less than half a turn.
        truth_phase = np.asarray(unwrap_phase(truth_phase))
        phase = truth_phase + np.angle(image * truth.conj())
    return ImagePair(
        image=_read_only(image.astype(np.complex64)),
        truth=_read_only(truth.astype(np.complex64)),
        amplitude=_read_only(np.abs(image)),
        phase_rad=_read_only(phase),
        truth_amplitude=_read_only(np.abs(truth)),
        truth_phase_rad=_read_only(truth_phase),
        mask=_read_only(mask),
        corner_xy_px=(cell.box[1].start, cell.box[0].start),
        alignment=alignment,
    )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
