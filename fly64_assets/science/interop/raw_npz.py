"""Raw NPZ files, as beamlines and other programs hand them over; :mod:`fly64_assets.science.contract` reads them."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fly64_assets.science.contract import UnreadableNpzError, import_raw, read_headers
from fly64_assets.science.contract.raw_import import PATTERN_KEYS, Layout, Values
from fly64_assets.science.interop.record import FileFormat
from fly64_assets.science.options import Options, PositiveFloat


class RawNpzOptions(Options):
    """What a raw file leaves in doubt."""

    layout: Layout = Field(default="auto", description="Order of axes: (n, H, W) or (H, W, n).")
    values: Values = Field(default="auto", description="What the numbers are; auto: what gives whole counts.")
    dc: Literal["centre", "corner"] = Field(default="centre", description="Where the zero frequency is.")
    photons_per_pattern: PositiveFloat | None = Field(
        default=None, le=1e15, description="Scale data in arbitrary units to this dose."
    )
    pixel_size_m: PositiveFloat = Field(default=1e-8, le=1, description="Object pixel, for exported files.")


def _recognise(path: Path) -> bool:
    try:
        return not set(PATTERN_KEYS).isdisjoint(read_headers(path))
    except (UnreadableNpzError, OSError):
        return False


def _import(source: Path, out: Path, options: RawNpzOptions) -> dict[str, Any]:
    return import_raw(source, out, **options.model_dump()).to_dict()


RAW_NPZ = FileFormat(
    name="raw_npz",
    meaning="NPZ with patterns, xcoords, ycoords and probeGuess in a beamline's own layout",
    endings=(".npz",),
    recognise=_recognise,
    import_dataset=_import,
    import_options=RawNpzOptions,
)
