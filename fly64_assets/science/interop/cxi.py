"""CXI files (Coherent X-ray Imaging Data Bank): counts, positions, probe and object in one HDF5 file.

Patterns stand in ``/entry_1/data_1/data``, positions in metres about the object's centre in
``/entry_1/data_1/translation`` with x and y growing along columns and rows, the probe in ``image_1`` and the object in
``image_2``, as Ptychodus reads them. What CXI has no place for stands in ``/entry_1/fly64_1``.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fly64_assets.science.contract import read_dataset
from fly64_assets.science.contract.from_counts import CountedScan, write_counted_scan
from fly64_assets.science.interop.hdf5 import (
    JOULE_PER_EV,
    PLANCK_TIMES_LIGHT_EV_M,
    ForeignFileError,
    create_hdf5,
    detector_pixel_m,
    get_array,
    get_dataset,
    holds,
    open_hdf5,
    optional_number,
    optional_text,
    put,
)
from fly64_assets.science.interop.ptychodus import (
    as_product,
    positions_to_metres,
    positions_to_pixels,
    require_no_bad_pixels,
    whole_counts,
)
from fly64_assets.science.interop.record import FileFormat, NoOptions
from fly64_assets.science.physics.probe import unit_intensity
from fly64_assets.science.records import Reconstruction, current_origin

_BLOCK = 64
_CXI_VERSION = 160
_DATA = "/entry_1/data_1/data"
_DETECTOR = "/entry_1/instrument_1/detector_1"
_ENERGY = "/entry_1/instrument_1/source_1/energy"
_ILLUMINATION = "/entry_1/instrument_1/source_1/illumination"
_TRANSLATIONS = ("/entry_1/data_1/translation", "/entry_1/sample_1/geometry_1/translation")
_PROBE, _OBJECT = "/entry_1/image_1/data", "/entry_1/image_2/data"
_OWN = "/entry_1/fly64_1"
_PTYCHODUS = "/entry_1/ptychodus"


def write_reconstruction(path: Path, reconstruction: Reconstruction) -> None:
    """Write a reconstruction as CXI; equal input gives equal bytes."""
    with create_hdf5(path) as file:
        _put_reconstruction(file, reconstruction)


def _put_reconstruction(file: h5py.File, reconstruction: Reconstruction) -> None:
    size, pixel = reconstruction.probe.shape[-1], reconstruction.pixel_size_m
    put(file, "cxi_version", np.array(_CXI_VERSION))
    put(file, "/entry_1/title", reconstruction.method)
    put(file, "/entry_1/experiment_description", reconstruction.comments)
    put(file, _ENERGY, reconstruction.photon_energy_ev * JOULE_PER_EV)
    put(file, f"{_DETECTOR}/distance", reconstruction.detector_distance_m)
    detector = detector_pixel_m(reconstruction.photon_energy_ev, reconstruction.detector_distance_m, size, pixel)
    for axis in "xy":
        put(file, f"{_DETECTOR}/{axis}_pixel_size", detector)
    put(file, f"{_DETECTOR}/mask", np.zeros((size, size), np.uint32))
    metres = positions_to_metres(reconstruction.positions_xy_px, reconstruction.object.shape, pixel)
    put(file, _TRANSLATIONS[0], np.concatenate([metres, np.zeros((len(metres), 1))], axis=1))
    file[_TRANSLATIONS[1]] = h5py.SoftLink(_TRANSLATIONS[0])
    put(file, _PROBE, reconstruction.probe[None])
    file[_ILLUMINATION] = h5py.SoftLink(_PROBE)
    put(file, _OBJECT, reconstruction.object[None])
    for name, array in (("probe", reconstruction.probe), ("object", reconstruction.object)):
        put(
            file,
            f"/entry_1/image_{1 if name == 'probe' else 2}/image_size",
            np.array((*array.shape[:-3:-1], 0)) * pixel,
        )
        put(file, f"{_PTYCHODUS}/{name}_pixel_width_m", pixel)
        put(file, f"{_PTYCHODUS}/{name}_pixel_height_m", pixel)
    put(file, f"{_PTYCHODUS}/object_center_x_m", 0.0)
    put(file, f"{_PTYCHODUS}/object_center_y_m", 0.0)
    put(file, f"{_OWN}/positions_xy_px", reconstruction.positions_xy_px)
    put(file, f"{_OWN}/pixel_size_m", pixel)
    put(file, f"{_OWN}/photon_energy_ev", reconstruction.photon_energy_ev)
    put(file, f"{_OWN}/counts_scale", reconstruction.counts_scale)
    put(file, f"{_OWN}/cpu_seconds", reconstruction.cpu_seconds)
    put(file, f"{_OWN}/loss_epochs", np.array(reconstruction.loss_epochs, np.int64))
    put(file, f"{_OWN}/loss_values", np.array(reconstruction.loss_values, np.float64))


def read_reconstruction(path: Path) -> Reconstruction:
    """Read probe, object and positions of a CXI file.

    Raises:
        ForeignFileError: a key is missing or has the wrong shape.
        FileNotFoundError: no such file.
    """
    with open_hdf5(path) as file:
        obj, probe = _first(get_array(file, _OBJECT), 2), _first(get_array(file, _PROBE, _ILLUMINATION), 3)
        pixel = _object_pixel_m(file, probe.shape[-1])
        losses = [
            get_array(file, f"{_OWN}/{key}") if f"{_OWN}/{key}" in file else np.zeros(0)
            for key in ("loss_epochs", "loss_values")
        ]
        return Reconstruction(
            object=obj.astype(np.complex64),
            probe=probe.astype(np.complex64),
            positions_xy_px=_positions(file, obj.shape, pixel),
            method=optional_text(file, "/entry_1/title"),
            counts_scale=optional_number(file, f"{_OWN}/counts_scale", 1.0),
            loss_epochs=tuple(int(epoch) for epoch in losses[0]),
            loss_values=tuple(float(value) for value in losses[1]),
            cpu_seconds=optional_number(file, f"{_OWN}/cpu_seconds", float("nan")),
            pixel_size_m=pixel,
            photon_energy_ev=_energy_ev(file),
            detector_distance_m=optional_number(file, f"{_DETECTOR}/distance", float("nan")),
            comments=optional_text(file, "/entry_1/experiment_description"),
        )


def _first(array: np.ndarray, rank: int) -> np.ndarray:
    """Drop leading axes (layers, coherent modes) down to a rank, or add one for a single mode."""
    while array.ndim > rank:
        array = array[0]
    return array if array.ndim == rank else array[None]


def _energy_ev(file: h5py.File) -> float:
    return optional_number(file, f"{_OWN}/photon_energy_ev", optional_number(file, _ENERGY, np.nan) / JOULE_PER_EV)


def _object_pixel_m(file: h5py.File, size: int) -> float:
    """Object pixel: our own entry, Ptychodus', or the far field's wavelength * distance / (N * detector pixel)."""
    for key in (f"{_OWN}/pixel_size_m", f"{_PTYCHODUS}/object_pixel_width_m"):
        if key in file:
            return optional_number(file, key, np.nan)
    keys = (_ENERGY, f"{_DETECTOR}/distance", f"{_DETECTOR}/x_pixel_size")
    energy, distance, detector = (float(get_array(file, key)) for key in keys)
    return PLANCK_TIMES_LIGHT_EV_M / (energy / JOULE_PER_EV) * distance / (size * detector)


def _positions(file: h5py.File, shape: tuple[int, ...], pixel: float) -> np.ndarray:
    if f"{_OWN}/positions_xy_px" in file:
        return get_array(file, f"{_OWN}/positions_xy_px", rank=2).astype(np.float64)
    centre = [optional_number(file, f"{_PTYCHODUS}/object_center_{axis}_m", 0.0) for axis in "xy"]
    return positions_to_pixels(get_array(file, *_TRANSLATIONS, rank=2)[:, :2] - centre, shape, pixel)


def export_dataset(dataset_path: Path, path: Path) -> None:
    """Write a DATA-001 file as one CXI file, at flat memory.

    Raises:
        DatasetError: the file breaks DATA-001.
    """
    dataset = read_dataset(dataset_path)
    measurement = dataset.measurement
    with create_hdf5(path) as file:
        _put_reconstruction(file, as_product(dataset))
        data = file.create_dataset(_DATA, measurement.amplitude.shape, np.int32, track_times=False)
        for start in range(0, len(data), _BLOCK):
            rows = slice(start, min(start + _BLOCK, len(data)))
            data[rows] = measurement.counts(rows).astype(np.int32)
        put(file, f"{_OWN}/scan_index", dataset.scan_index)
        put(file, f"{_OWN}/metadata", json.dumps(dict(dataset.metadata), sort_keys=True))


def import_dataset(path: Path, out: Path) -> dict[str, Any]:
    """Write a CXI file as a DATA-001 file.

    Without an object in the file, a flat one stands in its place and positions are moved onto its grid.

    Args:
        path: CXI file with counts, translations and a probe.
        out: DATA-001 file to write.

    Returns:
        The metadata written.

    Raises:
        ForeignFileError: a key is missing, pixels are masked, counts are not whole.
        DatasetError: the result would break DATA-001.
    """
    with open_hdf5(path) as file:
        patterns = get_dataset(file, _DATA, f"{_DETECTOR}/data")
        probe = _first(get_array(file, _PROBE, _ILLUMINATION), 3).astype(np.complex64)
        size = probe.shape[-1]
        if patterns.ndim != 3 or patterns.shape[1:] != (size, size):
            message = f"{path}: data {patterns.shape} do not fit a probe of {size} x {size} px"
            raise ForeignFileError(message)
        if f"{_DETECTOR}/mask" in file:
            require_no_bad_pixels(get_array(file, f"{_DETECTOR}/mask"), path)
        text = optional_text(file, f"{_OWN}/metadata")
        extra = json.loads(text) if text else {"pixel_size_m": _object_pixel_m(file, size)}
        n = len(patterns)
        index = get_array(file, f"{_OWN}/scan_index") if f"{_OWN}/scan_index" in file else np.arange(n)
        obj, positions, probe, origin = _object_and_positions(file, probe)
        if len(positions) != n:
            message = f"{path}: {n} patterns but {len(positions)} translations"
            raise ForeignFileError(message)
        scale = optional_number(file, f"{_OWN}/counts_scale", 0.0) or None
        scan = CountedScan(
            n_patterns=n,
            read_counts=lambda start, stop: whole_counts(patterns[start:stop], path),
            positions_xy_px=positions,
            scan_index=index.astype(np.int64),
            probe=probe,
            object=obj,
            object_origin=current_origin(str(extra.get("object_origin", origin))),
            counts_scale=scale,
            metadata=extra,
        )
        return write_counted_scan(out, scan)


def _object_and_positions(file: h5py.File, probe: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    size = probe.shape[-1]
    pixel = _object_pixel_m(file, size)
    if _OBJECT in file:
        obj = _first(get_array(file, _OBJECT), 2).astype(np.complex64)
        return obj, _positions(file, obj.shape, pixel), probe, "reference"
    steps = get_array(file, *_TRANSLATIONS, rank=2)[:, :2] / pixel
    positions = steps - steps.min(axis=0) + size / 2
    columns, rows = np.ceil(positions.max(axis=0) + size / 2).astype(int).tolist()
    return np.ones((rows, columns), np.complex64), positions, unit_intensity(probe), "unknown"


def _import(source: Path, out: Path, options: NoOptions) -> dict[str, Any]:
    del options
    return import_dataset(source, out)


CXI = FileFormat(
    name="cxi",
    meaning="CXI: counts, positions, probe and object in one HDF5 file",
    endings=(".cxi",),
    recognise=lambda path: holds(path, _PROBE) or holds(path, _DATA),
    import_dataset=_import,
    read_reconstruction=read_reconstruction,
    export_dataset=export_dataset,
    export_reconstruction=write_reconstruction,
)
