"""The one judge of DATA-001 files: asset checks, importer and command line all ask it. It judges and never repairs."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fly64_assets.science.contract.content_rules import (
    model_faults,
    patch_faults,
    pattern_faults,
    small_array_faults,
)
from fly64_assets.science.contract.dataset_file import SMALL_ARRAY_LIMIT_BYTES, read_metadata
from fly64_assets.science.contract.npz_stream import (
    ArrayHeader,
    UnreadableNpzError,
    load_array,
    map_array,
    read_headers,
)
from fly64_assets.science.contract.structure_rules import (
    IMPORT,
    REWRITE,
    expectation_faults,
    metadata_faults,
    structure_faults,
)
from fly64_assets.science.records import Fault

_FILE_REMEDIES = {
    "object-array": "Save plain arrays; an object array can hide code and is never unpickled.",
    "metadata-type": "Store metadata as np.array(json.dumps(metadata)).",
    "zip-bomb": "Do not open this file; get it again from its source.",
    "truncated": "The file is incomplete: copy or build it again.",
    "member-crc": "The file is damaged: copy or build it again.",
    "not-a-zip": "Give an NPZ file; convert other formats with `fly64 import RAW OUT`.",
}
_SMALL = ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "objectGuess", "probeGuess", "scan_index", "expected_photons")


def validate_dataset(path: Path, **expectations: Any) -> list[Fault]:  # noqa: ANN401 - metadata values of any type
    """Judge a file by DATA-001.

    Headers and sizes come first: a forged header costs neither time nor memory, and nothing is unpickled. Contents
    are judged only where the structure allows it.

    Args:
        path: NPZ file.
        **expectations: ``patch_size_px``, or values that the metadata must have (``split``, ``parameter_hash``,
            ``requested_photons_per_pattern``, ...); None means no expectation.

    Returns:
        All faults found; empty for a valid file.
    """
    path = Path(path)
    if not path.is_file():
        return [Fault("no-file", str(path), "an NPZ file", "no such file", "Check the path, or build its partition.")]
    try:
        headers = read_headers(path)
        faults = list(structure_faults(headers))
        metadata = read_metadata(path, headers) if "metadata" in headers else None
    except UnreadableNpzError as error:
        return [_from_error(error)]
    if metadata is None or faults:
        return faults
    faults = list(metadata_faults(metadata, headers["diffraction"].shape[0]))
    faults += expectation_faults(headers, metadata, expectations)
    if any(fault.rule.startswith("metadata-") for fault in faults):
        return faults
    try:
        return faults + _content_faults(path, headers, metadata)
    except UnreadableNpzError as error:
        return [*faults, _from_error(error)]


def _from_error(error: UnreadableNpzError) -> Fault:
    remedy = _FILE_REMEDIES.get(error.rule, REWRITE if error.rule.startswith("metadata") else IMPORT)
    return Fault(error.rule, error.where, error.expected, error.actual, remedy)


def _content_faults(path: Path, headers: dict[str, ArrayHeader], metadata: dict[str, Any]) -> list[Fault]:
    damaged = _damaged_members(path)
    if damaged:
        return [
            Fault("member-crc", name, "data that match their checksum", "other data", _FILE_REMEDIES["member-crc"])
            for name in damaged
        ]
    size = headers["diffraction"].shape[-1]
    arrays = {key: load_array(path, headers[key], SMALL_ARRAY_LIMIT_BYTES) for key in _SMALL if key in headers}
    diffraction, patches = map_array(path, headers["diffraction"]), map_array(path, headers["Y"])
    small = list(small_array_faults(arrays, metadata, size))
    faults = small + list(pattern_faults(diffraction, metadata))
    if small:
        return faults
    faults += patch_faults(patches, arrays)
    return faults if faults else list(model_faults(diffraction, arrays, metadata))


def _damaged_members(path: Path) -> list[str]:
    """Members whose data do not match their checksum, read in pieces."""
    damaged = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            try:
                with archive.open(info) as member:
                    while member.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, zlib.error, EOFError):
                damaged.append(info.filename)
    return damaged
