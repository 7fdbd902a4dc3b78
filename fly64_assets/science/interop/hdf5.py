"""HDF5 access for files of unknown origin: named errors, no links out of the file, equal bytes for equal input."""

from pathlib import Path

import h5py
import numpy as np

PLANCK_TIMES_LIGHT_EV_M = 1.239841984332e-06
JOULE_PER_EV = 1.602176634e-19
_LIMIT_BYTES = 8 << 30


class ForeignFileError(ValueError):
    """A file of another program that cannot be read here; the message names the key."""


def create_hdf5(path: Path) -> h5py.File:
    """Create a file whose bytes depend on its content only."""
    return h5py.File(path, "w", libver="v110")


def put(file: h5py.Group, key: str, array: np.ndarray | float | str) -> h5py.Dataset:
    """Write a dataset without a time stamp, making parent groups as needed."""
    return file.create_dataset(key, data=array, track_times=False)


def open_hdf5(path: Path) -> h5py.File:
    """Open for reading.

    Raises:
        ForeignFileError: not HDF5.
        FileNotFoundError: no such file.
    """
    if not path.is_file():
        message = f"{path}: no such file"
        raise FileNotFoundError(message)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        message = f"{path}: not a readable HDF5 file ({error})"
        raise ForeignFileError(message) from error


def holds(path: Path, *keys: str) -> bool:
    """Whether a file is HDF5 and has all of these keys; a cheap look that never raises."""
    try:
        with h5py.File(path, "r") as file:
            return all(key in file for key in keys)
    except OSError:
        return False


def get_dataset(file: h5py.File, *keys: str) -> h5py.Dataset:
    """The first of several keys that is a dataset of the file itself.

    Raises:
        ForeignFileError: none is there, or it points into another file.
    """
    for key in keys:
        item = file.get(key)
        if not isinstance(item, h5py.Dataset):
            continue
        if item.file.filename != file.filename or item.external or item.is_virtual:
            message = f"{file.filename}: {key} points into another file, which is not followed"
            raise ForeignFileError(message)
        return item
    message = f"{file.filename}: no {' or '.join(keys)}; it holds {', '.join(sorted(file))}"
    raise ForeignFileError(message)


def get_array(file: h5py.File, *keys: str, rank: int | None = None) -> np.ndarray:
    """Read a dataset whole.

    Raises:
        ForeignFileError: missing, too large, of another rank, or not numeric.
    """
    dataset = get_dataset(file, *keys)
    if rank is not None and dataset.ndim != rank:
        message = f"{file.filename}: {dataset.name} has shape {dataset.shape}; expected {rank} axes"
        raise ForeignFileError(message)
    if dataset.dtype.kind not in "biufc" or dataset.size * dataset.dtype.itemsize > _LIMIT_BYTES:
        message = f"{file.filename}: {dataset.name} is {dataset.dtype} {dataset.shape}, which is not read"
        raise ForeignFileError(message)
    return np.asarray(dataset[()])


def optional_number(file: h5py.File, key: str, default: float) -> float:
    """A scalar dataset, or the default."""
    return float(get_array(file, key)) if key in file else default


def optional_text(file: h5py.File, key: str) -> str:
    """A text dataset, or nothing."""
    if key not in file:
        return ""
    value = get_dataset(file, key)[()]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def detector_pixel_m(energy_ev: float, distance_m: float, patch_size_px: int, pixel_size_m: float) -> float:
    """Detector pixel for an object pixel in the far field: wavelength * distance / (N * object pixel)."""
    return PLANCK_TIMES_LIGHT_EV_M / energy_ev * distance_m / (patch_size_px * pixel_size_m)
