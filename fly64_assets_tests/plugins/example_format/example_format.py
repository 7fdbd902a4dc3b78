"""The object of a reconstruction as a plain NumPy array."""

from pathlib import Path

import numpy as np

from fly64_assets.science.interop.record import FileFormat
from fly64_assets.science.records import Reconstruction


def is_npy(path: Path) -> bool:
    """Whether a file begins as NumPy's do."""
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def write_object(path: Path, reconstruction: Reconstruction) -> None:
    """The complex object, rows by columns; an open file, because NumPy would add an ending to the name."""
    with path.open("wb") as file:
        np.save(file, reconstruction.object)


EXAMPLE_FORMAT = FileFormat(
    name="example_format",
    meaning="the object alone, as a NumPy array",
    endings=(".npy",),
    recognise=is_npy,
    export_reconstruction=write_object,
)
