"""Everything that a study can choose, with bounds and defaults, one frozen record per concern.

Pydantic only: importing this module costs neither torch nor Dagster. The study composes these records; the science
functions take them as arguments. The options of a kind of method stand in the kind's own module. Every field has
bounds and a description: the launchpad and the command line show them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from fly64_assets.science.choices import by_kind
from fly64_assets.science.option_base import Options
from fly64_assets.science.registry import registered

Fraction = Annotated[float, Field(gt=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
SidePx = Annotated[int, Field(ge=1, le=65_536)]
LengthPx = Annotated[float, Field(ge=0, le=65_536)]
PositiveLengthPx = Annotated[float, Field(gt=0, le=65_536)]


class ApertureProbe(Options):
    """What all probes that are the far field of an aperture have in common."""

    pupil_radius_cycles_per_px: PositiveFloat = Field(default=0.16, lt=0.5, description="Radius of the aperture.")
    defocus_rad: float = Field(default=5.53, ge=-1e4, le=1e4, description="Quadratic phase at the pupil's edge, rad.")
    aberration_rad: float = Field(
        default=0.0, ge=0, le=100, description="RMS of a smooth random pupil phase that structures the probe."
    )


class PupilProbe(ApertureProbe):
    """A probe that is structured by defocus and aberration."""

    kind: Literal["pupil"] = Field(default="pupil", description="Far field of a soft-edged, defocused aperture.")


class ZonePlateProbe(ApertureProbe):
    """A pupil probe with a central stop."""

    kind: Literal["zone_plate"] = Field(default="zone_plate", description="A pupil with a central stop.")
    central_stop_fraction: float = Field(default=0.5, ge=0, lt=1, description="Stop radius / pupil radius.")


class GaussianProbe(Options):
    """A probe without structure."""

    kind: Literal["gaussian"] = Field(default="gaussian", description="A Gaussian spot with a flat phase.")
    fwhm_px: PositiveLengthPx = Field(default=16.0, description="Full width at half maximum of the intensity.")


class FileProbe(Options):
    """A probe that was measured or computed elsewhere; its scale is kept."""

    kind: Literal["file"] = Field(default="file", description="Read from a file.")
    file: FilePath = Field(
        description="NPZ with probeGuess, (N, N) or (modes, N, N): a path, or $NAME of an environment variable."
    )


ProbeOptions = Annotated[
    Annotated[PupilProbe | ZonePlateProbe | GaussianProbe | FileProbe, Field(discriminator="kind")],
    by_kind("probe", PupilProbe, ZonePlateProbe, GaussianProbe, FileProbe),
]
"""The illumination; a pupil where no kind is named."""


class ModelObject(Options):
    """What all objects that are made from maps of phase and absorption have in common."""

    shape_px: tuple[SidePx, SidePx] = Field(default=(232, 232), description="Rows, columns.")
    phase_range_rad: PositiveFloat = Field(default=1.2, le=100, description="Largest minus smallest phase before blur.")
    minimum_amplitude: Fraction = Field(default=0.75, description="Amplitude where absorption is strongest.")
    blur_px: LengthPx = Field(
        default=1.0, description="Gaussian sigma that keeps the object band-limited, so that interpolations agree."
    )


class MixedObject(ModelObject):
    """Edges and slopes everywhere, at all scales."""

    kind: Literal["mixed"] = Field(
        default="mixed", description="Overlapping grains of all sizes, smooth swells, fine texture, a spoke target."
    )


class NaturalImageObject(ModelObject):
    """A photograph."""

    kind: Literal["natural_image"] = Field(
        default="natural_image", description="A photograph in phase, a spoke target in amplitude."
    )


class SiemensStarObject(ModelObject):
    """A test target."""

    kind: Literal["siemens_star"] = Field(
        default="siemens_star", description="A spoke target with gaps in phase, a weaker copy over a ramp in amplitude."
    )


class CellsObject(ModelObject):
    """A biological sample."""

    kind: Literal["cells"] = Field(default="cells", description="Rounded bodies with nuclei and granules.")


class FileObject(ModelObject):
    """An object from a file; the model's fields say what becomes of an image."""

    kind: Literal["file"] = Field(default="file", description="Read from a file.")
    file: FilePath = Field(
        description="NPZ with objectGuess, taken as it is, or an image: a path, or $NAME of an environment variable."
    )


ObjectOptions = Annotated[
    Annotated[
        MixedObject | NaturalImageObject | SiemensStarObject | CellsObject | FileObject, Field(discriminator="kind")
    ],
    by_kind("object", MixedObject, NaturalImageObject, SiemensStarObject, CellsObject, FileObject),
]
"""The sample; a mixed one where no kind is named."""


PICTURE_CROPS = 40
"""How many objects there are of kind natural_image: pieces of pictures that do not overlap."""


class Replicates(Options):
    """How many objects of a kind there are."""

    number: int = Field(default=1, ge=1, le=1000, description="Objects of this kind, each one different.")


class MixedObjects(MixedObject, Replicates):
    """Several mixed objects."""


class CellsObjects(CellsObject, Replicates):
    """Several objects of cells."""


class NaturalImageObjects(NaturalImageObject, Replicates):
    """Several photographs."""

    number: int = Field(default=1, ge=1, le=PICTURE_CROPS, description="Pieces of pictures that do not overlap.")


class SiemensStarObjects(SiemensStarObject, Replicates):
    """A spoke target beside other objects; there is only one."""

    number: int = Field(default=1, ge=1, le=1, description="There is one spoke target.")


class FileObjects(FileObject, Replicates):
    """An object from a file beside other objects."""

    number: int = Field(default=1, ge=1, le=1, description="A file holds one object.")


ReplicateOptions = Annotated[
    Annotated[
        MixedObjects | NaturalImageObjects | SiemensStarObjects | CellsObjects | FileObjects,
        Field(discriminator="kind"),
    ],
    by_kind("object", MixedObjects, NaturalImageObjects, SiemensStarObjects, CellsObjects, FileObjects),
]
"""Several samples of one kind."""


class ScanPath(Options):
    """What all scan paths have in common."""

    step_px: PositiveLengthPx = Field(default=5.0, description="Distance of neighbouring positions.")
    n_positions: PositiveInt | None = Field(
        default=None, le=10_000_000, description="Exactly this many, the step following from it."
    )
    margin_px: LengthPx = Field(
        default=0.0, description="Kept free between the outermost patches and the object's edge."
    )
    jitter_fraction: float = Field(default=0.35, ge=0, le=1, description="Uniform jitter, in steps, peak to peak / 2.")
    whole_pixels: bool = Field(
        default=False, description="Round positions to whole pixels, where every solver's interpolation agrees exactly."
    )


class RasterPath(ScanPath):
    """Rows of positions."""

    kind: Literal["raster"] = Field(default="raster", description="Rows, every other one backwards.")


class SpiralPath(ScanPath):
    """A Fermat spiral."""

    kind: Literal["spiral"] = Field(default="spiral", description="Fermat spiral, one position per square step.")


PositionOptions = Annotated[
    Annotated[RasterPath | SpiralPath, Field(discriminator="kind")], by_kind("scan path", RasterPath, SpiralPath)
]
"""The scan path; a raster where no kind is named."""


class ScanOptions(Options):
    """Where object, probe and positions come from."""

    source: Literal["synthetic", "base_npz", "measured"] = Field(
        default="synthetic",
        description="A model; an NPZ with object, probe and positions; or measured counts, whose object is unknown.",
    )
    file: FilePath | None = Field(
        default=None, description="base_npz, measured: path, or $NAME of an environment variable that holds it."
    )
    patch_size_px: int = Field(
        default=64, ge=4, le=4096, multiple_of=2, description="N, even; a measured detector is cropped to it."
    )
    probe: ProbeOptions = Field(default=PupilProbe(), description="The illumination.")
    object: ObjectOptions = Field(default=MixedObject(), description="The sample, where there is one.")
    objects: tuple[ReplicateOptions, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Replicates of the sample by kind, instead of one object; the first is the one trained on.",
    )
    positions: PositionOptions = Field(default=RasterPath(), description="The scan path.")
    pixel_size_m: PositiveFloat = Field(default=1e-8, le=1, description="Object pixel, for exported files.")
    photon_energy_ev: PositiveFloat = Field(default=8_000.0, le=1e9, description="For exported files.")
    detector_distance_m: PositiveFloat = Field(default=1.0, le=1e4, description="For exported files.")
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="Seeds object, probe structure and jitter; shared by all study seeds.",
    )

    @model_serializer(mode="wrap")
    def _one_object_or_several(self, written: Any) -> dict[str, Any]:  # beartype cannot check its handler, a protocol
        """One of the two fields, so that what is written can be read."""
        content = written(self)
        content.pop("objects" if self.objects is None else "object", None)
        return content

    @property
    def samples(self) -> dict[str, ObjectOptions | ReplicateOptions]:
        """The objects of a synthetic scan by name, the kind and a number from 1; of another scan its one object."""
        if self.source != "synthetic":
            return {self.source: self.object}
        found: dict[str, ObjectOptions | ReplicateOptions] = {}
        for group in self.objects or (self.object,):
            first = sum(name.rpartition("_")[0] == group.kind for name in found) + 1
            number = group.number if isinstance(group, Replicates) else 1
            found |= {f"{group.kind}_{index}": group for index in range(first, first + number)}
        return found

    @model_validator(mode="after")
    def _file_when_needed(self) -> "ScanOptions":
        if self.source != "synthetic" and not self.file:
            message = f"scan.source is {self.source!r}: name the input in scan.file (a path or $ENVIRONMENT_VARIABLE)"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _patch_fits(self) -> "ScanOptions":
        for sample in self.objects or (self.object,):
            if self.source != "synthetic" or isinstance(sample, FileObject):
                continue
            needed, shape = self.patch_size_px + 2 * self.positions.margin_px, sample.shape_px
            if needed > min(shape):
                message = (
                    f"an object of {shape[0]} x {shape[1]} px holds no patch of {self.patch_size_px} px with a margin "
                    f"of {self.positions.margin_px} px: enlarge object.shape_px, or lower patch_size_px or margin_px"
                )
                raise ValueError(message)
        return self


class SplitOptions(Options):
    """The cut between train and test at the midpoint of y, with a guard band."""

    shared_illumination_limit: Fraction = Field(
        default=0.01, description="No object pixel lit above this fraction of the probe's peak is in both splits."
    )


class DoseOptions(Options):
    """How a dose comes about; the tolerance of its check stands in ``checks``."""

    method: Literal["simulate", "thin"] = Field(
        default="simulate", description="thin: binomial thinning of measured counts."
    )


class CheckOptions(Options):
    """Thresholds of the checks. They judge what is there and enter no parameter record."""

    dose_tolerance: PositiveFloat = Field(
        default=0.05,
        le=1,
        description="Relative deviation of a measured dose that is allowed beside 5 standard errors.",
    )


class ViewOptions(Options):
    """Which positions a view keeps and how a network groups them."""

    overlap: float | None = Field(
        default=None, ge=0, lt=1, description="A fraction: keep positions at least (1 - overlap) * D apart."
    )
    s_img: Fraction | None = Field(default=None, description="Keep this fraction of the positions instead.")
    gridsize: Literal[1, 2] = Field(default=2, description="Patches of a group: 1, or 2 x 2 neighbours.")
    neighbor_count: PositiveInt = Field(
        default=7, le=1000, description="K nearest neighbours that groups draw from; > 4 for gridsize 2."
    )
    groups_per_position: PositiveFloat = Field(
        default=1.0, le=1000, description="> 1 oversamples: groups drawn from the K nearest."
    )
    probe_diameter_px: PositiveLengthPx | None = Field(
        default=None, description="D; measured from the probe when absent."
    )
    min_train_positions: PositiveInt = Field(
        default=20, le=10_000_000, description="Fewer kept train positions: a recorded skip."
    )
    trains: Name | None = Field(
        default=None,
        description="Method whose network trained_bundle holds for this view; null: the first one that trains here.",
    )

    @model_validator(mode="after")
    def _one_way_to_thin(self) -> "ViewOptions":
        if self.overlap is not None and self.s_img is not None:
            message = "a view thins by overlap or by s_img: give one of them (neither keeps every position)"
            raise ValueError(message)
        if self.gridsize == 2 and self.neighbor_count <= 4:
            message = f"OVERSAMPLING-001: gridsize 2 needs neighbor_count above 4, got {self.neighbor_count}"
            raise ValueError(message)
        if self.gridsize == 1 and self.groups_per_position > 1:
            message = "OVERSAMPLING-001: groups_per_position above 1 needs gridsize 2: one position is one group"
            raise ValueError(message)
        return self


class ExecutionOptions(Options):
    """How runs are executed. These change no result and enter no parameter record."""

    num_workers: int = Field(default=0, ge=0, le=64, description="Data-loading processes of a training.")
    logger: Literal["csv", "none"] = Field(default="csv", description="none: Lightning keeps no log of its own.")
    checkpointing: bool = Field(default=True, description="Off: a killed training starts again.")


class TrainingOptions(Options):
    """How a network is trained."""

    epochs: PositiveInt = Field(default=18, le=100_000, description="Passes over the training groups.")
    batch_size: PositiveInt = Field(default=16, le=4096, description="Groups per optimizer step.")
    groups_per_epoch: PositiveInt | None = Field(
        default=256, le=10_000_000, description="Groups drawn per epoch; null: every group once."
    )
    learning_rate: PositiveFloat = Field(default=2e-3, le=1.0, description="Peak learning rate.")
    network: Name = Field(default="unrolled_unet", description="Builder of the network, a registered name.")
    stages: PositiveInt = Field(default=8, le=64, description="Looks at the data.")
    width: PositiveInt = Field(default=16, le=512, description="Base number of channels.")
    n_images: PositiveInt | None = Field(default=None, le=10_000_000, description="Limit of training patterns.")
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=0.5, description="Share of the training groups that only judges; 0: none."
    )
    patience: PositiveInt = Field(
        default=15, le=100_000, description="Epochs without a better validation loss before training ends."
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="Where to train.")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true", description="Arithmetic; bf16-mixed is for GPUs."
    )
    deterministic: bool = Field(default=True, description="Same seed, machine and threads: same bundle, bit for bit.")
    max_minutes: PositiveFloat | None = Field(default=None, le=100_000, description="Time budget; breaks determinism.")
    threads: PositiveInt = Field(default=1, le=1024, description="CPU threads of the training.")

    @field_validator("network")
    @classmethod
    def _registered_network(cls, name: str) -> str:
        registered("fly64_assets.networks", "network", name)
        return name


class ScoringOptions(Options):
    """How reconstructions are compared with the object."""

    metrics: tuple[Name, ...] = Field(
        default=(),
        max_length=100,
        description="Metrics of other packages, by registered name, beside the shipped ones.",
    )
    illumination_threshold: Fraction = Field(
        default=0.1, description="Scored region: summed illumination above this fraction of its photon-weighted median."
    )
    max_shift_px: PositiveLengthPx = Field(
        default=8.0, description="The largest registration shift that is believed, per axis."
    )
    bootstrap_samples: int = Field(
        default=200, ge=0, le=100_000, description="Resamplings behind an interval; 0: no intervals."
    )
    bound_patches: int = Field(
        default=4, ge=0, le=1000, description="Windows of the view on which the Fisher bound is computed; 0: none."
    )

    @field_validator("metrics")
    @classmethod
    def _registered_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            registered("fly64_assets.metrics", "metric", name)
        return names
