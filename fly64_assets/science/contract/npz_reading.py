"""Reading NPZ files that may be damaged or hostile: headers first, members mapped in place, nothing unpickled.

Every size is checked against the file before anything is allocated.
"""

import io
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_MAX_ARRAY_HEADER_BYTES = 10_000
_MAX_MEMBERS = 64
_MAX_DEFLATE_RATIO = 1_050
"""Deflate cannot exceed about 1032:1, so that a higher ratio is a forged size."""

_ZIP_ERRORS = (
    zipfile.BadZipFile, NotImplementedError, struct.error, EOFError, ValueError, RuntimeError, zlib.error, OverflowError
)  # fmt: skip
"""What zipfile raises on damaged or forged archives."""

_HEADER_ERRORS = (ValueError, SyntaxError, tokenize.TokenError, TypeError, RecursionError, MemoryError)
"""What numpy raises on damaged or forged array headers."""

_LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")


class UnreadableNpzError(ValueError):
    """An NPZ file that must not, or cannot, be read. ``rule`` names the fault, ``where`` the member."""

    def __init__(self, rule: str, where: str, expected: str, actual: str) -> None:
        """Keep the parts of the message apart for the validator."""
        super().__init__(f"{where}: expected {expected}, found {actual}")
        self.rule, self.where, self.expected, self.actual = rule, where, expected, actual


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What a member declares, checked against the sizes in the archive.

    Attributes:
        name: key, without ``.npy``.
        shape: declared shape.
        dtype: declared dtype, never object.
        fortran_order: whether the first axis varies fastest.
        data_offset: byte offset of the data in the file; meaningful for stored members.
        header_bytes: size of the array header inside the member.
        compressed: whether the member must be inflated, so that it cannot be mapped.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    data_offset: int
    header_bytes: int
    compressed: bool

    @property
    def nbytes(self) -> int:
        """Size of the array in memory."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read and check the header of every member without reading data.

    Raises:
        UnreadableNpzError: not a ZIP, a member that is not a plain array, sizes that contradict each other.
        FileNotFoundError: no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            infos = archive.infolist()
            _check_names([info.filename for info in infos])
            return {header.name: header for header in (_read_header(archive, raw, info) for info in infos)}
    except UnreadableNpzError:
        raise
    except _ZIP_ERRORS as error:
        raise UnreadableNpzError("not-a-zip", str(path), "a readable NPZ (ZIP) file", _first_line(error)) from error


def _check_names(names: list[str]) -> None:
    if len(names) > _MAX_MEMBERS:
        raise UnreadableNpzError("too-many-members", "the archive", f"at most {_MAX_MEMBERS} members", str(len(names)))
    for name in names:
        if names.count(name) > 1:
            raise UnreadableNpzError("member-duplicate", name, "each name once", f"{names.count(name)} members")
        if "/" in name or "\\" in name or name.startswith(".") or not name.endswith(".npy"):
            raise UnreadableNpzError("member-name", name[:80], "a plain array name ending in .npy", repr(name[:80]))


def _read_header(archive: zipfile.ZipFile, raw: io.BufferedReader, info: zipfile.ZipInfo) -> ArrayHeader:
    name = info.filename
    _check_member(info)
    compressed = info.compress_type != zipfile.ZIP_STORED
    start = 0 if compressed else _data_start(raw, info)
    if compressed:
        with archive.open(info) as member:
            head = io.BytesIO(member.read(_MAX_ARRAY_HEADER_BYTES))
    else:
        raw.seek(start)
        head = io.BytesIO(raw.read(min(info.file_size, _MAX_ARRAY_HEADER_BYTES)))
    shape, fortran_order, dtype = _parse_array_header(head, name)
    size = head.tell()
    header = ArrayHeader(name.removesuffix(".npy"), shape, dtype, fortran_order, start + size, size, compressed)
    if header.nbytes + size != info.file_size:
        expected = f"{header.nbytes + size} bytes for {dtype} {shape}"
        raise UnreadableNpzError("member-size", name, expected, f"{info.file_size} bytes")
    return header


def _parse_array_header(head: io.BytesIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    expected = "an array in NPY format"
    try:
        version = np.lib.format.read_magic(head)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = reader(head, max_header_size=_MAX_ARRAY_HEADER_BYTES)
    except _HEADER_ERRORS as error:
        raise UnreadableNpzError("member-not-npy", name, expected, _first_line(error)) from error
    if dtype.hasobject:
        actual = f"dtype {dtype}, which only unpickling could read"
        raise UnreadableNpzError("object-array", name, "plain numbers or text", actual)
    if any(extent < 0 for extent in shape):
        raise UnreadableNpzError("member-not-npy", name, expected, f"shape {shape}")
    return shape, fortran_order, dtype


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _check_member(info: zipfile.ZipInfo) -> None:
    name, stored = info.filename, info.compress_type == zipfile.ZIP_STORED
    if info.flag_bits & 0x1:
        raise UnreadableNpzError("member-encrypted", name, "an unencrypted member", "an encrypted one")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        actual = f"ZIP method {info.compress_type}"
        raise UnreadableNpzError("member-compression", name, "a stored or deflated member", actual)
    if stored and info.file_size != info.compress_size:
        actual = f"{info.compress_size} in the archive"
        raise UnreadableNpzError("member-size", name, f"{info.file_size} stored bytes", actual)
    most = _MAX_DEFLATE_RATIO * info.compress_size
    if info.file_size > most:
        raise UnreadableNpzError("zip-bomb", name, f"at most {most} bytes", f"a promise of {info.file_size}")


def _data_start(raw: io.BufferedReader, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin, from its local header, which must agree with the directory."""
    raw.seek(0, io.SEEK_END)
    file_size = raw.tell()
    if info.header_offset < 0:
        expected = "a directory that points into the file"
        raise UnreadableNpzError("member-header", info.filename, expected, f"offset {info.header_offset}")
    raw.seek(info.header_offset)
    block = raw.read(_LOCAL_HEADER.size)
    fields = _LOCAL_HEADER.unpack(block) if len(block) == _LOCAL_HEADER.size else (0,) * 11
    name = raw.read(fields[9])
    if fields[0] != 0x04034B50 or name != info.orig_filename.encode():
        raise UnreadableNpzError("member-header", info.filename, "a local header of the same name", repr(name[:80]))
    start = info.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
    if start + info.file_size > file_size:
        expected = f"{info.file_size} bytes from offset {start}"
        raise UnreadableNpzError("truncated", info.filename, expected, f"a file of {file_size} bytes")
    return start


def map_array(path: Path, header: ArrayHeader) -> np.ndarray:
    """Map a stored member read-only; no data are read until used.

    Raises:
        UnreadableNpzError: the member is compressed.
    """
    if header.compressed:
        raise UnreadableNpzError(
            "member-compressed", header.name, "a stored member, which can be mapped", "a compressed one"
        )
    if header.nbytes == 0:
        return np.zeros(header.shape, header.dtype)
    order = "F" if header.fortran_order else "C"
    return np.memmap(path, header.dtype, "r", header.data_offset, header.shape, order)


def load_array(path: Path, header: ArrayHeader, limit_bytes: int) -> np.ndarray:
    """Read a member into memory, inflating it if need be.

    Raises:
        UnreadableNpzError: larger than the limit.
    """
    if header.nbytes > limit_bytes:
        raise UnreadableNpzError("too-large", header.name, f"at most {limit_bytes:,} bytes", f"{header.nbytes:,}")
    if not header.compressed:
        return np.array(map_array(path, header))
    with zipfile.ZipFile(path) as archive, archive.open(f"{header.name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False, max_header_size=_MAX_ARRAY_HEADER_BYTES)
