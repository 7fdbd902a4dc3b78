"""Ptychodus 1.7 files: the product (object, probe, positions, losses) and the diffraction file.

Ptychodus keeps positions in metres about the object's centre: its pixel position is
``(x_m - center_x_m) / pixel_width_m + (W - 1) / 2``, which is the patch's first column + (N - 1) / 2, half a pixel
below the patch centre used here. Fields that Ptychodus does not know stand in attributes it ignores, so that a
reconstruction survives a round trip.
"""

from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Int64

from fly64_assets.science.records import Reconstruction

_CREATOR = "fly64_assets"
_HALF_PX = 0.5


class ProductFileError(ValueError):
    """A file that is no readable Ptychodus file; the message names the key."""


def write_product(path: Path, reconstruction: Reconstruction) -> None:
    """Write a reconstruction as a Ptychodus product; equal input gives equal bytes.

    Args:
        path: HDF5 file to write.
        reconstruction: object, probe, positions, losses and scales.
    """
    pixel = reconstruction.pixel_size_m
    with h5py.File(path, "w", libver="v110", track_order=False) as file:
        file.attrs.update(_product_attributes(reconstruction))
        positions_m = _to_metres(reconstruction.positions_xy_px, reconstruction.object.shape, pixel)
        _put(file, "probe_position_indexes", np.arange(len(positions_m), dtype=np.int64))
        _put(file, "probe_position_x_m", positions_m[:, 0])
        _put(file, "probe_position_y_m", positions_m[:, 1])
        probe = _put(file, "probe", reconstruction.probe[None])
        layers = _put(file, "object", reconstruction.object[None])
        for dataset in (probe, layers):
            dataset.attrs.update({"pixel_width_m": pixel, "pixel_height_m": pixel})
        layers.attrs.update({"center_x_m": 0.0, "center_y_m": 0.0})
        _put(file, "object_layer_spacing_m", np.zeros(0))
        _put(file, "loss_epochs", np.array(reconstruction.loss_epochs, np.int64))
        _put(file, "loss_values", np.array(reconstruction.loss_values, np.float64))
        _put(file, "fly64_positions_xy_px", reconstruction.positions_xy_px)


def _product_attributes(reconstruction: Reconstruction) -> dict[str, object]:
    photons = float(reconstruction.counts_scale**2 * np.sum(np.abs(reconstruction.probe.astype(np.complex128)) ** 2))
    return {
        "name": reconstruction.method,
        "comments": reconstruction.comments,
        "detector_object_distance_m": reconstruction.detector_distance_m,
        "photon_energy_eV": reconstruction.photon_energy_ev,
        "probe_energy_eV": reconstruction.photon_energy_ev,
        "probe_photon_count": photons,
        "exposure_time_s": 0.0,
        "mass_attenuation_m2_per_kg": 0.0,
        "mass_attenuation_m2_kg": 0.0,
        "tomography_angle_deg": 0.0,
        "creator": _CREATOR,
        "fly64_counts_scale": reconstruction.counts_scale,
        "fly64_cpu_seconds": reconstruction.cpu_seconds,
    }


def read_product(path: Path) -> Reconstruction:
    """Read a product, from here or from Ptychodus.

    A file without our own attributes takes s from ``probe_photon_count``.

    Raises:
        ProductFileError: a key is missing or has the wrong rank, or the object has several layers.
        FileNotFoundError: no such file.
    """
    with _open(path) as file:
        obj, probe = _get(file, "object", path), _get(file, "probe", path)
        obj_attrs = file["object"].attrs
        pixel = float(obj_attrs.get("pixel_width_m", 1e-8))
        centre = [float(obj_attrs.get(f"center_{axis}_m", 0.0)) for axis in "xy"]
        layers = obj[None] if obj.ndim == 2 else obj
        if layers.ndim != 3 or len(layers) != 1:
            message = f"{path}: object has shape {obj.shape}; expected one layer (1, H, W)"
            raise ProductFileError(message)
        modes = probe[0] if probe.ndim == 4 else probe
        modes = modes[None] if modes.ndim == 2 else modes
        attrs = file.attrs
        if "fly64_positions_xy_px" in file:
            positions = _get(file, "fly64_positions_xy_px", path)
        else:
            metres = np.stack([_get(file, f"probe_position_{axis}_m", path) for axis in "xy"], axis=1)
            positions = _to_pixels(metres, layers.shape[1:], pixel, centre)
        return Reconstruction(
            object=layers[0].astype(np.complex64),
            probe=modes.astype(np.complex64),
            positions_xy_px=positions.astype(np.float64),
            method=str(attrs.get("name", "")),
            counts_scale=_counts_scale(file, modes),
            loss_epochs=tuple(int(epoch) for epoch in file["loss_epochs"][()]) if "loss_epochs" in file else (),
            loss_values=tuple(float(value) for value in file["loss_values"][()]) if "loss_values" in file else (),
            cpu_seconds=float(attrs.get("fly64_cpu_seconds", np.nan)),
            pixel_size_m=pixel,
            photon_energy_ev=float(attrs.get("photon_energy_eV", attrs.get("probe_energy_eV", np.nan))),
            detector_distance_m=float(attrs.get("detector_object_distance_m", np.nan)),
            comments=str(attrs.get("comments", "")),
        )


def write_diffraction(
    path: Path, counts: np.ndarray, indexes: Int64[np.ndarray, "n"], bad_pixels: Bool[np.ndarray, "N N"]
) -> None:
    """Write counts as a Ptychodus diffraction file.

    Args:
        path: HDF5 file to write.
        counts: patterns ``(n, N, N)``, integer photons.
        indexes: index of each pattern, matching ``probe_position_indexes``.
        bad_pixels: true where the detector does not count.
    """
    with h5py.File(path, "w", libver="v110") as file:
        _put(file, "patterns", counts)
        _put(file, "indexes", indexes)
        _put(file, "bad_pixels", bad_pixels)


def read_diffraction(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read patterns, indexes and bad pixels.

    Raises:
        ProductFileError: a key is missing.
    """
    with _open(path) as file:
        return tuple(_get(file, key, path) for key in ("patterns", "indexes", "bad_pixels"))


def _to_metres(positions: np.ndarray, shape: tuple[int, int], pixel: float) -> np.ndarray:
    middle = (np.array([shape[1], shape[0]]) - 1) / 2
    return (positions - _HALF_PX - middle) * pixel


def _to_pixels(metres: np.ndarray, shape: tuple[int, int], pixel: float, centre: list[float]) -> np.ndarray:
    middle = (np.array([shape[1], shape[0]]) - 1) / 2
    return (metres - np.array(centre)) / pixel + middle + _HALF_PX


def _counts_scale(file: h5py.File, probe: np.ndarray) -> float:
    if "fly64_counts_scale" in file.attrs:
        return float(file.attrs["fly64_counts_scale"])
    photons = float(file.attrs.get("probe_photon_count", 0.0))
    power = float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))
    return float(np.sqrt(photons / power)) if photons > 0 and power > 0 else 1.0


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"{path}: not a readable HDF5 file ({error})"
        raise ProductFileError(message) from error


def _get(file: h5py.File, key: str, path: Path) -> np.ndarray:
    if key not in file:
        message = f"{path}: no {key}; it holds {', '.join(sorted(file))}"
        raise ProductFileError(message)
    return file[key][()]


def _put(file: h5py.File, key: str, array: np.ndarray) -> h5py.Dataset:
    return file.create_dataset(key, data=array, track_times=False)
