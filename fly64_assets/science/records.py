"""Frozen records that the science functions exchange.

Truth isolation is a matter of type: solvers (training on counts, network inference, pty-chi) take a
:class:`Measurement`, which holds no object. Only simulation, supervised training and scoring see a
:class:`Dataset` or a :class:`Scan`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from fly64_assets.science.arrays import (
    Amplitude,
    ComplexObject,
    ErrorMap,
    ExtendedObject,
    ObjectPatches,
    PositionsXY,
    ProbeModes,
    ScanIndex,
)

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")

SANITY_METHODS = ("flat", "truth")
"""Rows that stand beside the methods in every score table: an object of ones, and the object itself."""

BOUND_METHOD = "bound"
"""Rows of the cell itself, not of a method: the phase bound, photons per object pixel.

In curves: the best estimate that knows the object's spectrum."""

UNBIASED_BOUND_METHOD = "unbiased_bound"
"""In curves: the best estimate that knows nothing of the object."""

AlignmentName = Literal["scale", "full"]
"""What is removed before an image is compared with the object: one complex scale; or phase ramp, shift and scale."""

ALIGNMENTS: tuple[AlignmentName, ...] = ("scale", "full")

ObjectOrigin = Literal["truth", "reference"]
"""Whether the object of a scan is known exactly, or was itself reconstructed from measured counts (the reference)."""


def current_origin(word: str) -> str:
    """An object's origin in the words of this version; a file may also say "unknown".

    Files of older versions have a longer word for a reference, which ends in it.

    >>> current_origin("solver_reference"), current_origin("truth"), current_origin("unknown")
    ('reference', 'truth', 'unknown')
    """
    return "reference" if word.endswith("reference") else word


@dataclass(frozen=True, slots=True)
class MethodRole:
    """What the comparison and the report know of a method besides its scores.

    Attributes:
        name: its label everywhere, as the study names it.
        kind: name of its kind.
        meaning: one line, what it is.
        trains: "nothing", "view" or "probe".
        learns_from: "counts" or "truth" for a method that trains; None otherwise.
        trained_on: name of the view whose network it uses everywhere; None: each view's own, or it trains nothing.
        starts_from: name of the method whose result it starts from; None: it starts flat.
        learned: whether a network had a part in the result: its own, or that of a method that it starts from.
        settings: what was fixed in the study before anything was scored, in words.
    """

    name: str
    kind: str
    meaning: str
    trains: Literal["nothing", "view", "probe"] = "nothing"
    learns_from: Literal["counts", "truth"] | None = None
    trained_on: str | None = None
    starts_from: str | None = None
    learned: bool = False
    settings: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """Object, probe and positions that every dose shares.

    Attributes:
        object: transmission function, rows x columns.
        probe: incoherent modes; the sum of their intensities is the incident intensity.
        positions_xy_px: patch centres in object pixels; ``patch[i, j] = object(y + i - N/2, x + j - N/2)``.
        scan_index: order of acquisition.
        object_origin: "truth", or "reference" for a measured scan.
        measured_counts: integer counts per pattern, DC centred, of a measured scan; None if simulated.
        pixel_size_m: object-plane pixel size; a study without a physical scale uses 1e-8 m.
        photon_energy_ev: photon energy, for exported files.
        detector_distance_m: sample to detector, for exported files.
        replicates: further objects by name, under the same probe and positions.
    """

    object: ComplexObject
    probe: ProbeModes
    positions_xy_px: PositionsXY
    scan_index: ScanIndex
    object_origin: ObjectOrigin = "truth"
    measured_counts: np.ndarray | None = None
    pixel_size_m: float = 1e-8
    photon_energy_ev: float = 8_000.0
    detector_distance_m: float = 1.0
    replicates: Mapping[str, ComplexObject] = field(default_factory=dict)

    @property
    def patch_size_px(self) -> int:
        """Side N of the square patches."""
        return self.probe.shape[-1]

    def of_object(self, name: str) -> "Scan":
        """The scan of a further object alone; of the scan's own for a name that is not among the replicates."""
        return replace(self, object=self.replicates.get(name, self.object), replicates={})


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """All that a solver may see: amplitudes, their scale, the probe and the positions. No truth.

    Attributes:
        amplitude: measured amplitude / ``counts_scale``, DC centred; may be memory-mapped.
        counts_scale: s, with ``(s * amplitude) ** 2`` the integer counts.
        probe: as in :class:`Scan`; expected counts are ``s**2 * sum_modes |FT(probe * patch)|**2``.
        positions_xy_px: patch centres.
        object_shape: rows and columns of the object grid.
    """

    amplitude: Amplitude
    counts_scale: float
    probe: ProbeModes
    positions_xy_px: PositionsXY
    object_shape: tuple[int, int]

    @property
    def patch_size_px(self) -> int:
        """Side N of the square patches."""
        return self.probe.shape[-1]

    def counts(self, selection: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Integer photon counts of the selected patterns, float32 ``(m, N, N)``."""
        scaled = np.float64(self.counts_scale) * self.amplitude[selection]
        return np.rint(scaled * scaled).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One DATA-001 file in memory (or memory-mapped): a measurement and, beside it, the truth.

    Attributes:
        measurement: what solvers see.
        object: full ground-truth object (a reference for measured scans).
        object_patches: ground-truth patch of each pattern, same order; None if the file has none.
        scan_index: index of each pattern in the whole scan.
        metadata: the file's JSON metadata (see ``contract.METADATA_KEYS``).
    """

    measurement: Measurement
    object: ComplexObject
    object_patches: ObjectPatches | None
    scan_index: ScanIndex
    metadata: dict


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """An object estimate on the whole object grid, with what is needed to judge and to export it.

    Attributes:
        object: the estimate, rows x columns.
        probe: the probe that was used or refined.
        positions_xy_px: patch centres that contributed.
        method: its label in the study (or "reference" for a measured scan's own reconstruction).
        loss_epochs: 1-based epoch numbers of ``loss_values``; empty for a network.
        loss_values: the solver's own loss.
        cpu_seconds: process CPU time of the reconstruction, imports apart.
        counts_scale: s, so that expected counts can be computed from the file alone.
        extended: the object with further rows and columns at the end of the grid, for a method that starts from it;
            None if there are none.
        error: what the method predicts to be wrong with each pixel; None if it predicts nothing.
        snapshots: what an iterative solver had on its way, earliest first, if it was asked to keep it; each with
            the losses and the CPU time until then.
    """

    object: ComplexObject
    probe: ProbeModes
    positions_xy_px: PositionsXY
    method: str
    counts_scale: float
    loss_epochs: tuple[int, ...] = ()
    loss_values: tuple[float, ...] = ()
    cpu_seconds: float = float("nan")
    pixel_size_m: float = 1e-8
    photon_energy_ev: float = 8_000.0
    detector_distance_m: float = 1.0
    comments: str = ""
    extended: ExtendedObject | None = None
    error: ErrorMap | None = None
    snapshots: tuple["Reconstruction", ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of long work.

    Attributes:
        stage: what is running, e.g. "train NAME", "NAME train split" of a method.
        done: units finished.
        total: units in all; 0 if unknown.
        loss: current loss, if there is one.
    """

    stage: str
    done: int
    total: int
    loss: float | None = None


ProgressListener = Callable[[Progress], None]
"""Called from long work; may raise to cancel it."""


def ignore_progress(progress: Progress) -> None:
    """The default listener: says nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One violation of a contract, worded for the person who must mend the file.

    Attributes:
        rule: short stable identifier, e.g. "diffraction-dtype".
        where: file, key or index concerned.
        expected: what the contract asks for.
        actual: what was found.
        remedy: what to do.
    """

    rule: str
    where: str
    expected: str
    actual: str
    remedy: str
    details: dict = field(default_factory=dict)

    def __str__(self) -> str:
        """One line: what, where, expected, actual, remedy."""
        return f"[{self.rule}] {self.where}: expected {self.expected}, found {self.actual}. {self.remedy}"
