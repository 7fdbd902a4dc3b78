"""Scans: synthetic, from a base NPZ, or measured; and the file that keeps one.

A scan is what every dose shares. A measured scan starts without an object: it is reconstructed from the measured
counts by pty-chi, and :func:`with_reference` then makes that reconstruction the scan's object and probe.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import scipy.fft

from fly64_assets.science.arrays import ComplexObject
from fly64_assets.science.contract.dataset_file import read_dataset
from fly64_assets.science.contract.npz_reading import load_array, read_headers
from fly64_assets.science.contract.npz_stream import write_npz
from fly64_assets.science.input_file import ScanInputError, resolve_input_file
from fly64_assets.science.options import FileObject, FileProbe, Options, ScanOptions
from fly64_assets.science.physics.diffraction import require_inside
from fly64_assets.science.physics.object import make_object
from fly64_assets.science.physics.probe import make_probe, require_even, unit_intensity
from fly64_assets.science.physics.scan_positions import make_positions
from fly64_assets.science.randomness import named_rng
from fly64_assets.science.records import Reconstruction, Scan, current_origin

PartOptions = TypeVar("PartOptions", bound=Options)

_LIMIT_BYTES = 16 << 30
_REPLICATE = "object_"
"""A further object's key in the file is this and its name."""


def make_scan(options: ScanOptions) -> Scan:
    """Make a scan from a model or a base NPZ.

    Raises:
        ScanInputError: the base NPZ is absent or lacks a key, or the source is "measured".
        ValueError: options that contradict each other, such as an object too small for a patch.
    """
    require_even(options.patch_size_px)
    if options.source == "measured":
        message = "a measured scan has no object yet: use read_measured_scan, reconstruct, then with_reference"
        raise ScanInputError(message)
    if options.source == "base_npz":
        return _read_base(options)
    size = options.patch_size_px
    probe = make_probe(_with_file(options.probe), size, named_rng(options.seed, "scan", "probe"))
    obj, *others = (_make_sample(options, name, first=not index) for index, name in enumerate(options.samples))
    positions = make_positions(options.positions, obj.shape, size, named_rng(options.seed, "scan", "positions"))
    replicates = dict(zip(list(options.samples)[1:], others, strict=True))
    return Scan(obj, probe, positions, np.arange(len(positions)), replicates=replicates, **_scale_of(options))


def _make_sample(options: ScanOptions, name: str, *, first: bool) -> ComplexObject:
    """One object of a synthetic scan; every one but the first draws from a stream of its own name."""
    sample = _with_file(options.samples[name])
    stream = ("object",) if first else ("object", name)
    return make_object(sample, named_rng(options.seed, "scan", *stream), int(name.rpartition("_")[2]))


def _with_file(options: PartOptions) -> PartOptions:
    """The options with their input file found, if they name one."""
    if not isinstance(options, FileProbe | FileObject):
        return options
    return options.model_copy(update={"file": str(resolve_input_file(options.file))})


def _scale_of(options: ScanOptions) -> dict[str, Any]:
    return {
        "pixel_size_m": options.pixel_size_m,
        "photon_energy_ev": options.photon_energy_ev,
        "detector_distance_m": options.detector_distance_m,
    }


def _read_base(options: ScanOptions) -> Scan:
    """A base NPZ gives object, probe and positions; diffraction in it is ignored."""
    path = resolve_input_file(options.file or "")
    arrays = _load(path, ("objectGuess", "probeGuess", "xcoords", "ycoords"), optional=("scan_index",))
    obj = np.squeeze(arrays["objectGuess"])
    probe = _as_modes(arrays["probeGuess"], path)
    if obj.ndim != 2:
        message = f"{path}: objectGuess has shape {arrays['objectGuess'].shape}; expected (H, W)"
        raise ScanInputError(message)
    if probe.shape[-1] != options.patch_size_px:
        message = f"{path}: probeGuess is {probe.shape[-1]} px wide; scan.patch_size_px says {options.patch_size_px}"
        raise ScanInputError(message)
    positions = _positions(arrays, path)
    _require_inside(positions, obj.shape, options.patch_size_px, path)
    index = arrays.get("scan_index", np.arange(len(positions))).astype(np.int64)
    return Scan(obj.astype(np.complex64), probe, positions, index, **_scale_of(options))


def read_measured_scan(options: ScanOptions) -> Scan:
    """Read measured counts; the object is all ones until a reference is reconstructed.

    A detector larger than ``patch_size_px`` is cropped centrally. A crop to N of N_file pixels makes object pixels
    N_file / N times larger: positions, object grid and probe are scaled to match, and ``pixel_size_m`` (declared for
    the file's own grid) grows alike. The probe is scaled to unit intensity, so that s alone carries the photons.

    Raises:
        ScanInputError: the file is absent, lacks a key, or its counts are not non-negative integers.
    """
    path = resolve_input_file(options.file or "")
    size = options.patch_size_px
    require_even(size)
    arrays = _load(
        path, ("xcoords", "ycoords"), optional=("probeGuess", "scan_index", "object_shape", "diff3d", "counts")
    )
    raw = _counts(arrays, path)
    file_size = raw.shape[1]
    if size > file_size or (file_size - size) % 2:
        message = f"{path}: scan.patch_size_px {size} must be even and at most the detector's {file_size}"
        raise ScanInputError(message)
    edge = (file_size - size) // 2
    counts = raw[:, edge : file_size - edge, edge : file_size - edge]
    zoom = size / file_size
    positions = _positions(arrays, path) * zoom
    if len(positions) != len(counts):
        message = f"{path}: {len(counts)} patterns but {len(positions)} positions"
        raise ScanInputError(message)
    columns, rows = np.ceil(positions.max(axis=0) + size / 2).astype(int).tolist()
    if "object_shape" in arrays:
        declared = np.ceil(arrays["object_shape"] * zoom).astype(int).tolist()
        rows, columns = max(rows, declared[0]), max(columns, declared[1])
    _require_inside(positions, (rows, columns), size, path)
    scale = _scale_of(options) | {"pixel_size_m": options.pixel_size_m / zoom}
    index = arrays.get("scan_index", np.arange(len(positions))).astype(np.int64)
    probe = _measured_probe(options, arrays, size, path)
    unknown = np.ones((rows, columns), np.complex64)
    return Scan(unknown, probe, positions, index, "reference", np.ascontiguousarray(counts), **scale)


def with_reference(scan: Scan, reconstruction: Reconstruction) -> Scan:
    """The measured scan with a reconstruction at full dose as its object and (unit-intensity) probe.

    Raises:
        ValueError: the reconstruction is on another object grid.
    """
    if reconstruction.object.shape != scan.object.shape:
        message = f"the reference is {reconstruction.object.shape} px, the scan's object grid {scan.object.shape} px"
        raise ValueError(message)
    probe = unit_intensity(reconstruction.probe)
    return dataclasses.replace(
        scan, object=reconstruction.object.astype(np.complex64), probe=probe, object_origin="reference"
    )


def write_scan(path: Path, scan: Scan) -> None:
    """Write a scan as an NPZ without pickles; the same scan gives the same bytes."""
    plain = {
        "object_origin": scan.object_origin,
        "pixel_size_m": scan.pixel_size_m,
        "photon_energy_ev": scan.photon_energy_ev,
        "detector_distance_m": scan.detector_distance_m,
    }
    arrays = {
        "objectGuess": scan.object,
        "probeGuess": scan.probe,
        "xcoords": scan.positions_xy_px[:, 0].copy(),
        "ycoords": scan.positions_xy_px[:, 1].copy(),
        "scan_index": scan.scan_index,
        "metadata": np.array(json.dumps(plain, sort_keys=True)),
    }
    if scan.measured_counts is not None:
        arrays["measured_counts"] = scan.measured_counts
    arrays |= {f"{_REPLICATE}{name}": found for name, found in scan.replicates.items()}
    write_npz(path, arrays)


def write_illumination(path: Path, scan: Scan) -> None:
    """Write the probe and the positions of a scan, and nothing of its object; the same bytes for the same ones."""
    arrays = {
        "probeGuess": scan.probe,
        "xcoords": scan.positions_xy_px[:, 0].copy(),
        "ycoords": scan.positions_xy_px[:, 1].copy(),
    }
    write_npz(path, arrays)


def read_scan(path: Path) -> Scan:
    """Read what :func:`write_scan` wrote.

    Raises:
        ScanInputError: a key is missing.
        UnreadableNpzError: not a readable NPZ.
    """
    arrays = _load(
        path, ("objectGuess", "probeGuess", "xcoords", "ycoords", "scan_index", "metadata"), ("measured_counts",)
    )
    plain: dict[str, Any] = json.loads(str(arrays["metadata"][()]))
    plain["object_origin"] = current_origin(plain.get("object_origin", "truth"))
    positions = np.stack([arrays["xcoords"], arrays["ycoords"]], axis=1)
    others = [key for key in read_headers(path) if key.startswith(_REPLICATE)]
    replicates = {key.removeprefix(_REPLICATE): found for key, found in _load(path, tuple(others)).items()}
    return Scan(
        arrays["objectGuess"], arrays["probeGuess"], positions, arrays["scan_index"],
        measured_counts=arrays.get("measured_counts"), replicates=replicates, **plain,
    )  # fmt: skip


def _load(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    headers = read_headers(path)
    missing = [key for key in required if key not in headers]
    if missing:
        message = f"{path}: missing {', '.join(missing)}; it holds {', '.join(sorted(headers))}"
        raise ScanInputError(message)
    return {key: load_array(path, headers[key], _LIMIT_BYTES) for key in (*required, *optional) if key in headers}


def _positions(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    x, y = arrays["xcoords"], arrays["ycoords"]
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        message = f"{path}: xcoords {x.shape} and ycoords {y.shape} must be finite, 1-D and of equal length"
        raise ScanInputError(message)
    return np.stack([x, y], axis=1).astype(np.float64)


def _require_inside(positions: np.ndarray, shape: tuple[int, int], size: int, path: Path) -> None:
    try:
        require_inside(positions, shape, size)
    except ValueError as error:
        message = f"{path}: {error}"
        raise ScanInputError(message) from error


def _as_modes(probe: np.ndarray, path: Path) -> np.ndarray:
    probe = np.squeeze(probe)
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1] != probe.shape[2] or not np.isfinite(probe).all():
        message = f"{path}: probeGuess has shape {probe.shape}; expected finite (N, N) or (modes, N, N)"
        raise ScanInputError(message)
    return probe.astype(np.complex64)


def _counts(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """Whole photon counts: diff3d or counts of a raw file, or what a DATA-001 file's amplitudes stand for."""
    name = next((key for key in ("diff3d", "counts") if key in arrays), None)
    if name is None and "diffraction" in read_headers(path):
        return read_dataset(path).measurement.counts().astype(np.int64)
    if name is None:
        message = (
            f"{path}: no measured counts: expected diff3d (n, H, W), integer photons, DC centred, or a DATA-001 file"
        )
        raise ScanInputError(message)
    raw = arrays[name]
    if raw.ndim != 3 or raw.shape[1] != raw.shape[2]:
        message = f"{path}: {name} has shape {raw.shape}; expected (n, H, H): convert with `fly64 import`"
        raise ScanInputError(message)
    if raw.dtype.kind not in "iu" and not (raw.dtype.kind == "f" and np.array_equal(raw, np.rint(raw))):
        message = f"{path}: {name} is {raw.dtype} with fractions; a measured scan needs integer photon counts"
        raise ScanInputError(message)
    if raw.min(initial=0) < 0:
        message = f"{path}: {name} holds negative counts"
        raise ScanInputError(message)
    return raw if raw.dtype.kind in "iu" else raw.astype(np.int64)


def _measured_probe(options: ScanOptions, arrays: dict[str, np.ndarray], size: int, path: Path) -> np.ndarray:
    """The file's probe on the cropped grid, else the model's as a first guess."""
    if "probeGuess" not in arrays:
        return unit_intensity(make_probe(_with_file(options.probe), size, named_rng(options.seed, "scan", "probe")))
    probe = _as_modes(arrays["probeGuess"], path)
    edge = (probe.shape[-1] - size) // 2
    if edge < 0:
        message = f"{path}: probeGuess is {probe.shape[-1]} px wide, smaller than scan.patch_size_px {size}"
        raise ScanInputError(message)
    if edge == 0:
        return unit_intensity(probe)
    axes = (-2, -1)
    far = scipy.fft.fftshift(scipy.fft.fft2(scipy.fft.ifftshift(probe, axes=axes)), axes=axes)
    far = far[:, edge : edge + size, edge : edge + size]
    near = scipy.fft.fftshift(scipy.fft.ifft2(scipy.fft.ifftshift(far, axes=axes)), axes=axes)
    return unit_intensity(near.astype(np.complex64))
