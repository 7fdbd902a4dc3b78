"""Opening an untrusted bundle: the zip's members and the HDF5 file's arrays, checked before anything is allocated."""

import io
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np

from fly64_assets.science.networks.bundle_format import MEMBERS, NETWORK_GROUP, WEIGHTS

MAX_BUNDLE_BYTES = 1 << 30
_MAX_MANIFEST_BYTES = 1 << 20


class BundleError(ValueError):
    """A file that is no intact bundle; the message says what, where, expected and found."""


def read_members(path: Path) -> dict[str, bytes]:
    """Every member of the archive, in memory; nothing is extracted.

    Raises:
        BundleError: not exactly the known members in their order, as plain stored files.
    """
    size = path.stat().st_size
    if size > MAX_BUNDLE_BYTES:
        message = f"{path}: {size} bytes; a bundle has at most {MAX_BUNDLE_BYTES}"
        raise BundleError(message)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(path, entries, size)
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        message = f"{path}: no intact zip file: {error}"
        raise BundleError(message) from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], file_size: int) -> None:
    names = [entry.filename for entry in entries]
    if entries and min(entry.header_offset for entry in entries) != 0:
        message = f"{path}: no intact zip file: it does not begin with its first member"
        raise BundleError(message)
    _check_names(path, names)
    for entry in entries:
        _check_entry(path, entry)
    if entries[0].file_size > _MAX_MANIFEST_BYTES or sum(entry.file_size for entry in entries) > file_size:
        message = f"{path}: members claim more bytes than the file of {file_size} bytes holds"
        raise BundleError(message)


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            message = f"{path}: member {name!r} points outside the bundle"
            raise BundleError(message)
    duplicates = sorted({name for name in names if names.count(name) > 1})
    missing, extra = sorted(set(MEMBERS) - set(names)), sorted(set(names) - set(MEMBERS))
    for fault, found in (("duplicate", duplicates), ("missing", missing), ("unknown", extra)):
        if found:
            message = f"{path}: {fault} members {found}; a bundle holds exactly {list(MEMBERS)}"
            raise BundleError(message)
    if tuple(names) != MEMBERS:
        message = f"{path}: members stand in the order {names}, expected {list(MEMBERS)}"
        raise BundleError(message)


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    kind = entry.external_attr >> 16 & 0o170000
    if kind not in (0, 0o100000):
        message = f"{path}: member {entry.filename} is no regular file (mode {kind:o}); links are refused"
        raise BundleError(message)
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        message = (
            f"{path}: member {entry.filename} is compressed ({entry.compress_size} to {entry.file_size} bytes); "
            "members are stored"
        )
        raise BundleError(message)
    if entry.flag_bits & 0x1:
        message = f"{path}: member {entry.filename} is encrypted"
        raise BundleError(message)


def read_arrays(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Every array of an HDF5 file in memory, by its path; links, filters, layouts and types beyond need are refused.

    Raises:
        BundleError: no readable HDF5 file, or anything in it but plain float32 and complex64 arrays.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays: dict[str, np.ndarray] = {}
            for name in list(file.keys()):
                _collect(path, file, str(name), arrays, len(content))
            return arrays
    except (OSError, KeyError, RuntimeError) as error:
        message = f"{path}: {WEIGHTS} is no readable HDF5 file: {error}"
        raise BundleError(message) from error


def _collect(path: Path, group: h5py.Group, name: str, arrays: dict[str, np.ndarray], limit: int) -> None:
    where = f"{group.name}/{name}".replace("//", "/").lstrip("/")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        message = f"{path}: {WEIGHTS}: {where} is a link to elsewhere"
        raise BundleError(message)
    item = group[name]
    if isinstance(item, h5py.Group):
        if where != NETWORK_GROUP:
            message = f"{path}: {WEIGHTS}: unknown group {where}"
            raise BundleError(message)
        for inner in list(item.keys()):
            _collect(path, item, str(inner), arrays, limit)
        return
    plain = isinstance(item, h5py.Dataset) and item.dtype in (np.dtype("<f4"), np.dtype("<c8"))
    if not isinstance(item, h5py.Dataset) or not plain or item.chunks is not None or item.is_virtual or item.external:
        message = f"{path}: {WEIGHTS}: {where} is no plain float32 or complex64 array"
        raise BundleError(message)
    if item.nbytes > limit:
        message = f"{path}: {WEIGHTS}: {where} claims {item.nbytes} bytes in a member of {limit}"
        raise BundleError(message)
    arrays[where] = np.asarray(item[()])
