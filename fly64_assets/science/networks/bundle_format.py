"""What stands in a wts.h5.zip: member names, the manifest, and the few byte formats that it needs."""

import io
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

MANIFEST = "manifest.json"
WEIGHTS = "weights.h5"
CHECKPOINT = "checkpoint.ckpt"
LEGACY_MANIFEST = "manifest.dill"
MODEL_NAMES = ("autoencoder", "diffraction_to_obj")

MEMBERS = (
    MANIFEST,
    LEGACY_MANIFEST,
    *(f"{model}/{name}" for model in MODEL_NAMES for name in ("model.pth", "params.dill")),
    CHECKPOINT,
    WEIGHTS,
)
"""Every member, in the order in which they stand."""

NETWORK_GROUP = "network"
"""Group of the HDF5 file that holds the weights."""

FORMAT_VERSION = "2.0-pytorch"
_TIMESTAMP = (1980, 1, 1, 0, 0, 0)


def write_zip(members: Mapping[str, bytes]) -> bytes:
    """Members stored without compression, with fixed time stamps: equal contents give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _TIMESTAMP)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as flat, contiguous, uncompressed HDF5 datasets."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v110")) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, track_times=False)
    return buffer.getvalue()


def encode_plain(value: Any) -> bytes:
    """Plain data in pickle protocol 2, for other readers: it can name no class and call nothing.

    Args:
        value: None, bool, int, float, str, list, or dict with str keys.

    Raises:
        TypeError: anything else.

    >>> import pickletools, io
    >>> [op.name for op, _, _ in pickletools.genops(encode_plain([True]))]
    ['PROTO', 'EMPTY_LIST', 'MARK', 'NEWTRUE', 'APPENDS', 'STOP']
    """
    return b"\x80\x02" + _encode(value) + b"."


def _encode(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw
    if isinstance(value, list):
        return b"](" + b"".join(map(_encode, value)) + b"e"
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return b"}(" + b"".join(_encode(key) + _encode(item) for key, item in value.items()) + b"u"
    message = f"only plain data can be encoded, got {type(value).__name__}"
    raise TypeError(message)
