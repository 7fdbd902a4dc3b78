"""DATA-001 files: written as a stream, read with the large arrays mapped."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fly64_assets.science.arrays import Amplitude, ComplexObject, ObjectPatches, PositionsXY, ProbeModes, ScanIndex
from fly64_assets.science.contract.npz_reading import (
    ArrayHeader,
    UnreadableNpzError,
    load_array,
    map_array,
    read_headers,
)
from fly64_assets.science.contract.npz_stream import NpzStream
from fly64_assets.science.contract.structure_rules import is_positive_number, metadata_faults, structure_faults
from fly64_assets.science.records import Dataset, Fault, Measurement, current_origin

SMALL_ARRAY_LIMIT_BYTES = 4 << 30
"""Upper bound of what is ever read into memory at once (object, probe, or a compressed member)."""

_METADATA_CHARACTERS = 8192
_METADATA_LIMIT_BYTES = 4 << 20


class DatasetWriter:
    """Writes a DATA-001 file pattern block by pattern block at flat memory.

    Use as a context manager; leaving it by an exception leaves an incomplete file that no reader accepts.
    """

    def __init__(
        self,
        path: Path,
        *,
        positions_xy_px: PositionsXY,
        scan_index: ScanIndex,
        object: ComplexObject,
        probe: ProbeModes,
        with_object_patches: bool = True,
        with_expected_photons: bool = True,
    ) -> None:
        """Lay out the file; the number of patterns is that of the positions."""
        n, size = len(positions_xy_px), probe.shape[-1]
        probe_guess = probe[0] if len(probe) == 1 else probe
        self._small = {
            "objectGuess": object.astype(np.complex64),
            "probeGuess": probe_guess.astype(np.complex64),
            "xcoords": positions_xy_px[:, 0].copy(),
            "ycoords": positions_xy_px[:, 1].copy(),
            "xcoords_start": positions_xy_px[:, 0].copy(),
            "ycoords_start": positions_xy_px[:, 1].copy(),
            "scan_index": scan_index.astype(np.int64),
        }
        self._path = path
        layout: dict[str, tuple[np.dtype, tuple[int, ...]]] = {"diffraction": (np.dtype("<f4"), (n, size, size))}
        if with_object_patches:
            layout["Y"] = (np.dtype("<c8"), (n, size, size))
        if with_expected_photons:
            layout["expected_photons"] = (np.dtype("<f8"), (n,))
        layout |= {name: (array.dtype, array.shape) for name, array in self._small.items()}
        # Text has a fixed place like the rest; blanks fill what the final metadata do not need.
        layout["metadata"] = (np.dtype(f"<U{_METADATA_CHARACTERS}"), ())
        self._stream = NpzStream(path, layout)
        self._names = set(layout)

    def append(
        self,
        amplitude: Amplitude,
        object_patches: ObjectPatches | None = None,
        expected_photons: np.ndarray | None = None,
    ) -> None:
        """Add patterns in the order of the positions."""
        self._stream.append("diffraction", amplitude)
        if object_patches is not None and "Y" in self._names:
            self._stream.append("Y", object_patches)
        if expected_photons is not None and "expected_photons" in self._names:
            self._stream.append("expected_photons", expected_photons)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write everything but the patterns, then close the file.

        Raises:
            ValueError: fewer patterns than positions, or metadata that are too long.
        """
        text = json.dumps(metadata, sort_keys=True, allow_nan=False)
        if len(text) > _METADATA_CHARACTERS:
            message = f"{self._path}: metadata of {len(text)} characters exceed {_METADATA_CHARACTERS}"
            raise ValueError(message)
        for name, array in self._small.items():
            self._stream.append(name, array)
        self._stream.append("metadata", np.array(text, dtype=f"<U{_METADATA_CHARACTERS}"))
        self._stream.close()

    def __enter__(self) -> "DatasetWriter":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, finished or not."""
        self._stream.abandon()


class DatasetError(ValueError):
    """A file that breaks DATA-001 so that it cannot be read; ``faults`` say how."""

    def __init__(self, path: Path, faults: list[Fault]) -> None:
        super().__init__(f"{path} is no DATA-001 dataset:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


def read_dataset(path: Path) -> Dataset:
    """Read a DATA-001 file; diffraction and Y are memory-mapped, and nothing is unpickled.

    Structure is checked, contents are not: ``validate_dataset`` does that. A file without Y, or with compressed
    members (which are then read into memory), is readable though not valid.

    Raises:
        DatasetError: keys, dtypes or shapes break the contract.
        UnreadableNpzError: no readable NPZ.
        FileNotFoundError: no such file.
    """
    headers = read_headers(path)
    faults = [found for found in structure_faults(headers) if (found.rule, found.where) != ("missing-key", "Y")]
    if faults:
        raise DatasetError(path, faults)
    metadata = read_metadata(path, headers)
    if not is_positive_number(metadata.get("counts_scale")):
        raise DatasetError(path, list(metadata_faults(metadata, headers["diffraction"].shape[0])))
    keys = ("xcoords", "ycoords", "objectGuess", "probeGuess")
    x, y, obj, probe = (load_array(path, headers[key], SMALL_ARRAY_LIMIT_BYTES) for key in keys)
    measurement = Measurement(
        amplitude=_large(path, headers["diffraction"]),
        counts_scale=float(metadata["counts_scale"]),
        probe=probe[None] if probe.ndim == 2 else probe,
        positions_xy_px=np.stack([x, y], axis=1),
        object_shape=(obj.shape[0], obj.shape[1]),
    )
    if "scan_index" in headers:
        scan_index = load_array(path, headers["scan_index"], SMALL_ARRAY_LIMIT_BYTES)
    else:
        scan_index = np.arange(len(x))
    patches = _large(path, headers["Y"]) if "Y" in headers else None
    return Dataset(measurement, obj, patches, scan_index, metadata)


def read_expected_photons(path: Path) -> np.ndarray | None:
    """Noise-free expectation of each pattern's photons, if the file carries it."""
    headers = read_headers(path)
    if "expected_photons" not in headers:
        return None
    return load_array(path, headers["expected_photons"], SMALL_ARRAY_LIMIT_BYTES)


def read_metadata(path: Path, headers: Mapping[str, ArrayHeader] | None = None) -> dict[str, Any]:
    """Parse the JSON metadata of a file; ``object_origin`` in the words of this version.

    Raises:
        UnreadableNpzError: not a 0-d text array that holds a JSON object with a ``counts_scale``.
    """
    headers = read_headers(path) if headers is None else headers
    header = headers["metadata"]
    if header.dtype.kind != "U" or header.shape != ():
        actual = f"{header.dtype} {header.shape}"
        raise UnreadableNpzError("metadata-type", "metadata", "a 0-d text array of JSON", actual)
    text = str(load_array(path, header, _METADATA_LIMIT_BYTES)[()])
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableNpzError("metadata-json", "metadata", "JSON", str(error)) from error
    if not isinstance(metadata, dict):
        raise UnreadableNpzError("metadata-json", "metadata", "a JSON object", type(metadata).__name__)
    if isinstance(origin := metadata.get("object_origin"), str):
        metadata["object_origin"] = current_origin(origin)
    return metadata


def _large(path: Path, header: ArrayHeader) -> np.ndarray:
    return load_array(path, header, SMALL_ARRAY_LIMIT_BYTES) if header.compressed else map_array(path, header)
