"""Ptychodus 1.7 files: the product (object, probe, positions, losses) and the diffraction file.

Ptychodus keeps positions in metres about the object's centre: its pixel position is
``(x_m - center_x_m) / pixel_width_m + (W - 1) / 2``, which is the patch's first column + (N - 1) / 2, half a pixel
below the patch centre used here. What Ptychodus does not know stands under names with the prefix ``fly64_``, which it
ignores, so that round trips are exact.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import Field

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.contract.from_counts import CountedScan, write_counted_scan
from fly64_assets.science.interop.hdf5 import (
    ForeignFileError,
    create_hdf5,
    detector_pixel_m,
    get_array,
    get_dataset,
    holds,
    open_hdf5,
    put,
)
from fly64_assets.science.interop.record import FileFormat
from fly64_assets.science.options import Options
from fly64_assets.science.records import Dataset, Reconstruction, current_origin

_BLOCK = 64
_HALF_PX = 0.5


def write_product(path: Path, reconstruction: Reconstruction) -> None:
    """Write a reconstruction as a Ptychodus product; equal input gives equal bytes.

    Args:
        path: HDF5 file to write.
        reconstruction: object, probe, positions, losses and scales.
    """
    pixel = reconstruction.pixel_size_m
    with create_hdf5(path) as file:
        file.attrs.update(_product_attributes(reconstruction))
        metres = positions_to_metres(reconstruction.positions_xy_px, reconstruction.object.shape, pixel)
        put(file, "probe_position_indexes", np.arange(len(metres), dtype=np.int64))
        put(file, "probe_position_x_m", metres[:, 0])
        put(file, "probe_position_y_m", metres[:, 1])
        probe = put(file, "probe", reconstruction.probe[None])
        layers = put(file, "object", reconstruction.object[None])
        for dataset in (probe, layers):
            dataset.attrs.update({"pixel_width_m": pixel, "pixel_height_m": pixel})
        layers.attrs.update({"center_x_m": 0.0, "center_y_m": 0.0})
        put(file, "object_layer_spacing_m", np.zeros(0))
        put(file, "loss_epochs", np.array(reconstruction.loss_epochs, np.int64))
        put(file, "loss_values", np.array(reconstruction.loss_values, np.float64))
        put(file, "fly64_positions_xy_px", reconstruction.positions_xy_px)
        if reconstruction.error is not None:
            put(file, "fly64_object_error", reconstruction.error)
        if reconstruction.extended is not None:
            rows, columns = reconstruction.object.shape
            put(file, "fly64_rows_beyond", reconstruction.extended[rows:])
            put(file, "fly64_columns_beyond", reconstruction.extended[:rows, columns:])


def _product_attributes(reconstruction: Reconstruction) -> dict[str, str | float]:
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
        "creator": "fly64_assets",
        "fly64_counts_scale": reconstruction.counts_scale,
        "fly64_cpu_seconds": reconstruction.cpu_seconds,
    }


def read_product(path: Path) -> Reconstruction:
    """Read a product, from here or from Ptychodus.

    Of several coherent (OPR) probes the first is taken. A file without our own entries takes s from
    ``probe_photon_count``.

    Raises:
        ForeignFileError: a key is missing or has the wrong rank, or the object has several layers.
        FileNotFoundError: no such file.
    """
    with open_hdf5(path) as file:
        attrs = file.attrs
        obj, probe = _object(file), _probe(file)
        pixel = float(file["object"].attrs.get("pixel_width_m", 1e-8))
        losses = [get_array(file, key) if key in file else np.zeros(0) for key in ("loss_epochs", "loss_values")]
        return Reconstruction(
            object=obj,
            probe=probe,
            positions_xy_px=_positions(file, obj.shape, pixel),
            method=str(attrs.get("name", "")),
            counts_scale=_counts_scale(attrs, probe),
            loss_epochs=tuple(int(epoch) for epoch in losses[0]),
            loss_values=tuple(float(value) for value in losses[1]),
            cpu_seconds=float(attrs.get("fly64_cpu_seconds", np.nan)),
            pixel_size_m=pixel,
            photon_energy_ev=float(attrs.get("photon_energy_eV", attrs.get("probe_energy_eV", np.nan))),
            detector_distance_m=float(attrs.get("detector_object_distance_m", np.nan)),
            comments=str(attrs.get("comments", "")),
            extended=_extended(file, obj),
            error=_error(file, obj),
        )


def _extended(file: h5py.File, object: np.ndarray) -> np.ndarray | None:
    """The object with what lies beyond the end of its grid, if the file says."""
    if "fly64_rows_beyond" not in file:
        return None
    rows, columns = (get_array(file, f"fly64_{axis}_beyond", rank=2) for axis in ("rows", "columns"))
    if columns.shape[0] != object.shape[0] or rows.shape[1] != object.shape[1] + columns.shape[1]:
        message = f"{file.filename}: fly64_rows_beyond and fly64_columns_beyond do not fit the object {object.shape}"
        raise ForeignFileError(message)
    return np.vstack([np.hstack([object, columns]), rows]).astype(np.complex64)


def _error(file: h5py.File, object: np.ndarray) -> np.ndarray | None:
    """The predicted error of each pixel, if the file says."""
    if "fly64_object_error" not in file:
        return None
    error = get_array(file, "fly64_object_error", rank=2).astype(np.float32)
    if error.shape != object.shape:
        message = f"{file.filename}: fly64_object_error has shape {error.shape}, the object {object.shape}"
        raise ForeignFileError(message)
    return error


def _object(file: h5py.File) -> np.ndarray:
    array = get_array(file, "object")
    layers = array[None] if array.ndim == 2 else array
    if layers.ndim != 3 or len(layers) != 1:
        message = f"{file.filename}: object has shape {array.shape}; expected one layer (1, H, W)"
        raise ForeignFileError(message)
    return layers[0].astype(np.complex64)


def _probe(file: h5py.File) -> np.ndarray:
    array = get_array(file, "probe")
    modes = array[0] if array.ndim == 4 else array
    modes = modes[None] if modes.ndim == 2 else modes
    if modes.ndim != 3 or modes.shape[1] != modes.shape[2]:
        message = f"{file.filename}: probe has shape {array.shape}; expected (opr, modes, N, N)"
        raise ForeignFileError(message)
    return modes.astype(np.complex64)


def _positions(file: h5py.File, shape: tuple[int, int], pixel: float) -> np.ndarray:
    if "fly64_positions_xy_px" in file:
        return get_array(file, "fly64_positions_xy_px", rank=2).astype(np.float64)
    attrs = file["object"].attrs
    centre = np.array([float(attrs.get(f"center_{axis}_m", 0.0)) for axis in "xy"])
    metres = np.stack([get_array(file, f"probe_position_{axis}_m", rank=1) for axis in "xy"], axis=1)
    return positions_to_pixels(metres - centre, shape, pixel)


def positions_to_metres(positions_xy_px: np.ndarray, shape: tuple[int, ...], pixel_size_m: float) -> np.ndarray:
    """Patch centres in object pixels as metres about the object's centre, by Ptychodus' rule."""
    return (positions_xy_px - _HALF_PX - _middle(shape)) * pixel_size_m


def positions_to_pixels(metres: np.ndarray, shape: tuple[int, ...], pixel_size_m: float) -> np.ndarray:
    """Inverse of :func:`positions_to_metres`."""
    return metres / pixel_size_m + _middle(shape) + _HALF_PX


def _middle(shape: tuple[int, ...]) -> np.ndarray:
    return (np.array([shape[1], shape[0]]) - 1) / 2


def _counts_scale(attrs: Mapping[str, Any], probe: np.ndarray) -> float:
    if "fly64_counts_scale" in attrs:
        return float(attrs["fly64_counts_scale"])
    photons = float(attrs.get("probe_photon_count", 0.0))
    power = float(np.sum(np.abs(probe.astype(np.complex128)) ** 2))
    return float(np.sqrt(photons / power)) if photons > 0 and power > 0 else 1.0


def as_product(dataset: Dataset) -> Reconstruction:
    """A dataset's object, probe and positions in the form of a reconstruction, for export."""
    measurement, metadata = dataset.measurement, dataset.metadata
    return Reconstruction(
        object=dataset.object,
        probe=measurement.probe,
        positions_xy_px=measurement.positions_xy_px,
        method="dataset",
        counts_scale=measurement.counts_scale,
        pixel_size_m=float(metadata.get("pixel_size_m", 1e-8)),
        photon_energy_ev=float(metadata.get("photon_energy_ev", 8_000.0)),
        detector_distance_m=float(metadata.get("detector_distance_m", 1.0)),
        comments=f"object: {metadata.get('object_origin', 'unknown')}",
    )


def export_dataset(dataset_path: Path, product_path: Path, diffraction_path: Path) -> None:
    """Write a DATA-001 file as a Ptychodus product and diffraction file, at flat memory.

    Raises:
        DatasetError: the file breaks DATA-001.
    """
    dataset = read_dataset(dataset_path)
    product = as_product(dataset)
    write_product(product_path, product)
    measurement, size = dataset.measurement, dataset.measurement.patch_size_px
    pixel = detector_pixel_m(product.photon_energy_ev, product.detector_distance_m, size, product.pixel_size_m)
    with create_hdf5(diffraction_path) as file:
        shape = measurement.amplitude.shape
        patterns = file.create_dataset("patterns", shape, np.int32, track_times=False)
        patterns.attrs.update({"detector_pixel_width_m": pixel, "detector_pixel_height_m": pixel})
        for start in range(0, len(measurement.amplitude), _BLOCK):
            rows = slice(start, min(start + _BLOCK, shape[0]))
            patterns[rows] = measurement.counts(rows).astype(np.int32)
        put(file, "indexes", np.arange(shape[0], dtype=np.int64))
        put(file, "bad_pixels", np.zeros((size, size), bool))
        put(file, "fly64_scan_index", dataset.scan_index)
        file.attrs["fly64_metadata"] = json.dumps(dict(dataset.metadata), sort_keys=True)


def import_dataset(product_path: Path, diffraction_path: Path, out: Path) -> dict[str, Any]:
    """Write a Ptychodus product and its diffraction file as a DATA-001 file.

    Patterns and positions are paired by index; patterns without a position are left out.

    Args:
        product_path: product with object, probe and positions.
        diffraction_path: file with patterns, indexes and bad pixels.
        out: DATA-001 file to write.

    Returns:
        The metadata written.

    Raises:
        ForeignFileError: a key is missing, pixels are bad, counts are not whole, nothing pairs.
        DatasetError: the result would break DATA-001.
    """
    product = read_product(product_path)
    with open_hdf5(product_path) as file:
        product_indexes = get_array(file, "probe_position_indexes", rank=1)
    with open_hdf5(diffraction_path) as file:
        indexes = get_array(file, "indexes", rank=1)
        require_no_bad_pixels(get_array(file, "bad_pixels", rank=2), diffraction_path)
        _, rows, partners = np.intersect1d(indexes, product_indexes, return_indices=True)
        if not len(rows):
            message = f"{diffraction_path}: none of its indexes is a probe_position_index of {product_path}"
            raise ForeignFileError(message)
        order = np.argsort(rows)
        rows, partners = rows[order], partners[order]
        patterns = get_dataset(file, "patterns")
        text = file.attrs.get("fly64_metadata")
        index = get_array(file, "fly64_scan_index") if "fly64_scan_index" in file else indexes
        extra = json.loads(str(text)) if text is not None else {"pixel_size_m": product.pixel_size_m}
        scan = CountedScan(
            n_patterns=len(rows),
            read_counts=lambda start, stop: whole_counts(patterns[rows[start:stop]], diffraction_path),
            positions_xy_px=product.positions_xy_px[partners],
            scan_index=index[rows].astype(np.int64),
            probe=product.probe,
            object=product.object,
            object_origin=current_origin(str(extra.get("object_origin", "reference"))),
            counts_scale=product.counts_scale,
            metadata=extra,
        )
        return write_counted_scan(out, scan)


def require_no_bad_pixels(bad_pixels: np.ndarray, path: Path) -> None:
    """Refuse masks, which DATA-001 has no place for.

    Raises:
        ForeignFileError: some pixels are bad.
    """
    count = int(np.count_nonzero(bad_pixels))
    if count:
        message = f"{path}: {count} bad pixels, but DATA-001 has no mask: fill or crop them before import"
        raise ForeignFileError(message)


def whole_counts(values: np.ndarray, path: Path) -> np.ndarray:
    """Patterns as whole counts.

    Raises:
        ForeignFileError: negative, not finite or fractional values.
    """
    counts = np.rint(values)
    if not np.isfinite(values).all() or values.min(initial=0) < 0 or np.abs(values - counts).max(initial=0) > 1e-3:
        message = f"{path}: patterns must hold whole photon counts >= 0; rescale them before import"
        raise ForeignFileError(message)
    return counts.astype(np.int64)


class PtychodusOptions(Options):
    """What belongs to a product."""

    diffraction: Path = Field(description="Ptychodus diffraction file of the product.")


def _import(source: Path, out: Path, options: PtychodusOptions) -> dict[str, Any]:
    return import_dataset(source, options.diffraction, out)


PTYCHODUS = FileFormat(
    name="ptychodus",
    meaning="Ptychodus product, for a dataset with its diffraction file beside it",
    endings=(".h5", ".hdf5"),
    recognise=lambda path: holds(path, "object", "probe", "probe_position_x_m"),
    import_dataset=_import,
    import_options=PtychodusOptions,
    read_reconstruction=read_product,
    export_dataset=export_dataset,
    dataset_suffixes=("", "_diffraction"),
    export_reconstruction=write_product,
)
