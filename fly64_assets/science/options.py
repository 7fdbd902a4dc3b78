"""Everything that a study can choose, with bounds and defaults, one frozen record per concern.

Pydantic only: importing this module costs neither torch nor Dagster. The study composes these records; the science
functions take them as arguments. The options of a kind of method stand in the kind's own module.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from fly64_assets.science.registry import registered

Fraction = Annotated[float, Field(gt=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]


_SCALARS = ("bool", "int", "float", "str")
_NO_SCHEMA = ("default", "metadata", "serialization", "expected")


def _make_scalars_strict(schema: Any) -> None:
    """Let no scalar of a core schema take a value of another type: neither true nor 1.0 for 1."""
    if isinstance(schema, list):
        for inner in schema:
            _make_scalars_strict(inner)
    if not isinstance(schema, dict):
        return
    if schema.get("type") in _SCALARS:
        schema["strict"] = True
    elif schema.get("type") == "literal" and all(type(value) is int for value in schema["expected"]):
        literal = cast("CoreSchema", dict(schema))
        schema.clear()
        schema.update(core_schema.no_info_before_validator_function(_whole_number, literal))
        return
    for key, inner in schema.items():
        if key not in _NO_SCHEMA:
            _make_scalars_strict(inner)


def _whole_number(value: Any) -> Any:
    if type(value) is not int:
        raise PydanticKnownError("int_type")
    return value


class Options(BaseModel):
    """Base of all option records: frozen, unknown fields refused, no NaN or infinity, no scalar of another type.

    ``true`` and ``"1"`` are no numbers and ``1`` is no text; a whole number may stand where any number may.
    A validation context that is a dictionary learns which record read which mapping, by the mapping's id.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of pydantic, its scalars strict; strict throughout, it would refuse a list for a tuple."""
        schema = handler(source)
        _make_scalars_strict(schema)
        return schema

    @model_validator(mode="before")
    @classmethod
    def _note_reader(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(info.context, dict) and isinstance(value, Mapping):
            info.context[id(value)] = cls
        return value


class ProbeOptions(Options):
    """The illumination."""

    kind: Literal["pupil", "zone_plate", "gaussian", "file"] = Field(
        default="pupil", description="pupil: far field of a soft-edged, defocused aperture."
    )
    pupil_radius_cycles_per_px: Annotated[float, Field(gt=0, lt=0.5)] = 0.16
    defocus_rad: float = Field(default=5.53, description="Quadratic phase at the pupil's edge, rad.")
    aberration_rad: float = Field(
        default=0.0, ge=0, description="RMS of a smooth random pupil phase that structures the probe."
    )
    central_stop_fraction: float = Field(default=0.5, ge=0, lt=1, description="zone_plate: stop radius / pupil radius.")
    fwhm_px: PositiveFloat = Field(default=16.0, description="gaussian: full width at half maximum of the intensity.")
    file: str | None = Field(default=None, description="file: NPZ with probeGuess, (N, N) or (modes, N, N).")


class ObjectOptions(Options):
    """The sample."""

    kind: Literal["mixed", "natural_image", "siemens_star", "cells", "file"] = "mixed"
    shape_px: tuple[PositiveInt, PositiveInt] = Field(default=(232, 232), description="Rows, columns.")
    phase_range_rad: PositiveFloat = 1.2
    minimum_amplitude: Fraction = 0.75
    blur_px: float = Field(
        default=1.0,
        ge=0,
        description="Gaussian sigma that keeps the object band-limited, so that interpolations agree.",
    )
    file: str | None = Field(default=None, description="file: an image, or an NPZ with objectGuess.")


class PositionOptions(Options):
    """The scan path."""

    kind: Literal["raster", "spiral"] = "raster"
    step_px: PositiveFloat = 5.0
    n_positions: PositiveInt | None = Field(default=None, description="Exactly this many, the step following from it.")
    margin_px: float = Field(
        default=0.0, ge=0, description="Kept free between the outermost patches and the object's edge."
    )
    jitter_fraction: float = Field(default=0.35, ge=0, le=1, description="Uniform jitter, in steps, peak to peak / 2.")
    whole_pixels: bool = Field(
        default=False, description="Round positions to whole pixels, where every solver's interpolation agrees exactly."
    )


class ScanOptions(Options):
    """Where object, probe and positions come from."""

    source: Literal["synthetic", "base_npz", "measured"] = "synthetic"
    file: str | None = Field(default=None, description="Path, or $NAME of an environment variable that holds it.")
    patch_size_px: int = Field(
        default=64, ge=4, le=4096, multiple_of=2, description="N, even; a measured detector is cropped to it."
    )
    probe: ProbeOptions = ProbeOptions()
    object: ObjectOptions = ObjectOptions()
    positions: PositionOptions = PositionOptions()
    pixel_size_m: PositiveFloat = 1e-8
    photon_energy_ev: PositiveFloat = 8_000.0
    detector_distance_m: PositiveFloat = 1.0
    seed: int = Field(
        default=0, ge=0, description="Seeds object, probe structure and jitter; shared by all study seeds."
    )

    @model_validator(mode="after")
    def _file_when_needed(self) -> "ScanOptions":
        if self.source != "synthetic" and not self.file:
            message = f"scan.source is {self.source!r}: name the input in scan.file (a path or $ENVIRONMENT_VARIABLE)"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _patch_fits(self) -> "ScanOptions":
        if self.source == "synthetic" and self.object.kind != "file":
            needed, shape = self.patch_size_px + 2 * self.positions.margin_px, self.object.shape_px
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
        default=0.05, description="Relative deviation of a measured dose that is allowed beside 5 standard errors."
    )


class ViewOptions(Options):
    """Which positions a view keeps and how a network groups them."""

    overlap: float | None = Field(
        default=None, ge=0, lt=1, description="Keep positions at least (1 - overlap) * D apart."
    )
    s_img: Fraction | None = Field(default=None, description="Keep this fraction of the positions instead.")
    gridsize: Literal[1, 2] = 2
    neighbor_count: PositiveInt = Field(
        default=7, description="K nearest neighbours that groups draw from; > 4 for gridsize 2."
    )
    groups_per_position: PositiveFloat = Field(
        default=1.0, description="> 1 oversamples: groups drawn from the K nearest."
    )
    probe_diameter_px: PositiveFloat | None = Field(default=None, description="D; measured from the probe when absent.")
    min_train_positions: PositiveInt = Field(default=20, description="Fewer kept train positions: a recorded skip.")
    trains: str | None = Field(
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

    epochs: PositiveInt = Field(default=18, le=100_000)
    batch_size: PositiveInt = Field(default=16, le=4096)
    groups_per_epoch: PositiveInt | None = Field(
        default=256, description="Groups drawn per epoch; null: every group once."
    )
    learning_rate: PositiveFloat = Field(default=2e-3, le=1.0)
    network: str = Field(default="unrolled_unet", description="Builder of the network, a registered name.")
    stages: PositiveInt = Field(default=8, le=64, description="Looks at the data.")
    width: PositiveInt = Field(default=16, le=512, description="Base number of channels.")
    n_images: PositiveInt | None = Field(default=None, description="Limit of training patterns.")
    validation_fraction: float = Field(default=0.1, ge=0, lt=0.5)
    patience: PositiveInt = Field(
        default=15, description="Epochs without a better validation loss before training ends."
    )
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    deterministic: bool = True
    max_minutes: PositiveFloat | None = Field(default=None, description="Time budget; breaks determinism.")
    threads: PositiveInt = 1

    @field_validator("network")
    @classmethod
    def _registered_network(cls, name: str) -> str:
        registered("fly64_assets.networks", "network", name)
        return name


class ScoringOptions(Options):
    """How reconstructions are compared with the object."""

    illumination_threshold: Fraction = Field(
        default=0.1, description="Scored region: summed illumination above this fraction of its photon-weighted median."
    )
    max_shift_px: PositiveFloat = Field(
        default=8.0, description="The largest registration shift that is believed, per axis."
    )
    bootstrap_samples: int = Field(default=200, ge=0, description="0: no intervals.")
    bound_patches: int = Field(
        default=4, ge=0, description="Windows of the view on which the Fisher bound is computed; 0: none."
    )
