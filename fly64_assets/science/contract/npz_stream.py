"""NPZ files as streams: written row block by row block at flat memory, read by mapping members in place.

Members are stored uncompressed with zip64 records, a fixed date and aligned data, so that the same arrays give the
same bytes and every member can be memory-mapped. Headers are checked against the file before anything is allocated.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

_ALIGNMENT = 64
_DOS_DATE_1980 = 0x0021
_ZIP64 = 0xFFFFFFFF
_MAX_ARRAY_HEADER_BYTES = 10_000
_LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<IHHHHHHIIIHHHHHII")


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
            names = [info.filename for info in infos]
            for name in names:
                if names.count(name) > 1:
                    raise UnreadableNpzError("member-duplicate", name, "each key once", f"{names.count(name)} members")
            return {header.name: header for header in (_read_header(archive, raw, info) for info in infos)}
    except zipfile.BadZipFile as error:
        raise UnreadableNpzError("not-a-zip", str(path), "an NPZ (ZIP) file", str(error)) from error


def _read_header(archive: zipfile.ZipFile, raw: io.BufferedReader, info: zipfile.ZipInfo) -> ArrayHeader:
    name = info.filename
    _check_member(info)
    if info.compress_type == zipfile.ZIP_STORED:
        start = _data_start(raw, info)
        raw.seek(start)
        head = io.BytesIO(raw.read(min(info.file_size, _MAX_ARRAY_HEADER_BYTES + 16)))
    else:
        start = 0
        with archive.open(info) as member:
            head = io.BytesIO(member.read(_MAX_ARRAY_HEADER_BYTES + 16))
    try:
        version = np.lib.format.read_magic(head)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = reader(head, max_header_size=_MAX_ARRAY_HEADER_BYTES)
    except ValueError as error:
        raise UnreadableNpzError("member-not-npy", name, "an array in NPY format", str(error).splitlines()[0]) from error
    if dtype.hasobject:
        raise UnreadableNpzError("object-array", name, "a plain numeric or text array", f"dtype {dtype}, which only unpickling can read")
    header = ArrayHeader(
        name.removesuffix(".npy"), shape, dtype, fortran_order, start + head.tell(), head.tell(), bool(info.compress_type)
    )
    if any(extent < 0 for extent in shape) or header.nbytes + header.header_bytes != info.file_size:
        raise UnreadableNpzError(
            "member-size", name, f"{header.nbytes + header.header_bytes} bytes for {dtype} {shape}", f"{info.file_size} bytes"
        )
    return header


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    if "/" in name or "\\" in name or name.startswith(".") or not name.endswith(".npy"):
        raise UnreadableNpzError("member-name", name, "a plain array name ending in .npy", repr(name))
    if info.flag_bits & 0x1:
        raise UnreadableNpzError("member-encrypted", name, "an unencrypted member", "an encrypted one")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableNpzError("member-compression", name, "stored or deflated", f"ZIP method {info.compress_type}")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise UnreadableNpzError(
            "member-size", name, f"{info.file_size} stored bytes", f"{info.compress_size} bytes in the archive"
        )
    # Deflate cannot exceed about 1032:1, so that more is a forged size.
    if info.file_size > 1032 * info.compress_size + 64:
        raise UnreadableNpzError("zip-bomb", name, f"at most {1032 * info.compress_size} bytes", f"a promise of {info.file_size}")


def _data_start(raw: io.BufferedReader, info: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin, from its local header, which must agree with the directory."""
    raw.seek(0, io.SEEK_END)
    file_size = raw.tell()
    raw.seek(info.header_offset)
    block = raw.read(_LOCAL_HEADER.size)
    fields = _LOCAL_HEADER.unpack(block) if len(block) == _LOCAL_HEADER.size else (0,) * 11
    name = raw.read(fields[9])
    if fields[0] != 0x04034B50 or name != info.orig_filename.encode():
        raise UnreadableNpzError("member-header", info.filename, "a local header of the same name", repr(name[:80]))
    start = info.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
    if start + info.file_size > file_size:
        raise UnreadableNpzError("truncated", info.filename, f"{info.file_size} bytes from offset {start}", f"a file of {file_size} bytes")
    return start


def map_array(path: Path, header: ArrayHeader) -> np.ndarray:
    """Map a stored member read-only; no data are read until used.

    Raises:
        UnreadableNpzError: the member is compressed.
    """
    if header.compressed:
        raise UnreadableNpzError("member-compressed", header.name, "a stored member", "a compressed one, which cannot be mapped")
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
        raise UnreadableNpzError("too-large", header.name, f"at most {limit_bytes} bytes", f"{header.nbytes} bytes")
    if not header.compressed:
        return np.array(map_array(path, header))
    with zipfile.ZipFile(path) as archive, archive.open(f"{header.name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False, max_header_size=_MAX_ARRAY_HEADER_BYTES)


class NpzStream:
    """Writes an NPZ of declared arrays, each filled front to back, several at a time.

    Sizes are declared first, so that every member has its place and rows go straight to it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> with NpzStream(path, {"a": (np.dtype("f4"), (3, 2))}) as stream:
    ...     stream.append("a", np.ones((1, 2), "f4"))
    ...     stream.append("a", np.zeros((2, 2), "f4"))
    >>> np.load(path)["a"].sum()
    np.float32(2.0)
    """

    def __init__(self, path: Path, arrays: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> None:
        """Create the file and lay out its members in the order given."""
        self._file = path.open("wb")
        self._members: dict[str, _Member] = {}
        offset = 0
        for name, (dtype, shape) in arrays.items():
            member = _Member(name, np.dtype(dtype), tuple(shape), offset)
            self._members[name] = member
            self._file.seek(offset + member.local_bytes)
            self._file.write(member.array_header)
            offset = member.end
        self._end = offset

    def append(self, name: str, rows: np.ndarray) -> None:
        """Add rows to an array.

        Raises:
            ValueError: wrong dtype or row shape, or more rows than declared.
        """
        member = self._members[name]
        if rows.dtype != member.dtype or rows.shape[1:] != member.shape[1:] or rows.ndim != len(member.shape):
            message = f"{name}: rows are {rows.dtype} {rows.shape[1:]}, declared {member.dtype} {member.shape[1:]}"
            raise ValueError(message)
        block = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8)) if rows.size else b""
        if member.position + len(block) > member.end:
            message = f"{name}: more rows than the {member.shape} declared"
            raise ValueError(message)
        self._file.seek(member.position)
        self._file.write(block)
        member.crc = zlib.crc32(block, member.crc)
        member.position += len(block)

    def close(self) -> None:
        """Write local headers and the directory.

        Raises:
            ValueError: an array has fewer rows than declared.
        """
        try:
            for member in self._members.values():
                if member.position != member.end:
                    message = f"{member.name}: {member.end - member.position} bytes short of the declared {member.shape}"
                    raise ValueError(message)
                self._file.seek(member.offset)
                self._file.write(member.local_header())
            self._file.seek(self._end)
            directory = b"".join(member.central_header() for member in self._members.values())
            self._file.write(directory + _end_of_directory(len(self._members), self._end, len(directory)))
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is; without a directory, no reader takes it for a whole one. Harmless after close."""
        self._file.close()

    def __enter__(self) -> "NpzStream":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file, or abandon it after an error."""
        if kind is None:
            self.close()
        else:
            self.abandon()


class _Member:
    """Place and checksum of one array in the file."""

    def __init__(self, name: str, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> None:
        self.name, self.dtype, self.shape, self.offset = name, dtype, shape, offset
        self.file_name = f"{name}.npy".encode()
        self.local_bytes = _LOCAL_HEADER.size + len(self.file_name) + 20
        self.array_header = self._array_header()
        self.data_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self.size = len(self.array_header) + self.data_bytes
        self.position = offset + self.local_bytes + len(self.array_header)
        self.end = self.position + self.data_bytes
        self.crc = zlib.crc32(self.array_header)

    def _array_header(self) -> bytes:
        """NPY header padded so that the data start on an aligned byte of the file."""
        fields = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        text = repr(fields).encode()
        start = self.offset + self.local_bytes + 10
        padding = -(start + len(text) + 1) % _ALIGNMENT
        text += b" " * padding + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text

    def local_header(self) -> bytes:
        fields = (0x04034B50, 45, 0, 0, 0, _DOS_DATE_1980, self.crc, _ZIP64, _ZIP64, len(self.file_name), 20)
        return _LOCAL_HEADER.pack(*fields) + self.file_name + struct.pack("<HHQQ", 1, 16, self.size, self.size)

    def central_header(self) -> bytes:
        extra = struct.pack("<HHQQQ", 1, 24, self.size, self.size, self.offset)
        fields = (0x02014B50, 45, 45, 0, 0, 0, _DOS_DATE_1980, self.crc, _ZIP64, _ZIP64)
        tail = (len(self.file_name), len(extra), 0, 0, 0, 0, _ZIP64)
        return _CENTRAL_HEADER.pack(*fields, *tail) + self.file_name + extra


def _end_of_directory(count: int, start: int, size: int) -> bytes:
    zip64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    return zip64 + locator + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, size & _ZIP64, _ZIP64, 0)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write whole arrays; the same arrays give the same bytes."""
    with NpzStream(path, {name: (array.dtype, array.shape) for name, array in arrays.items()}) as stream:
        for name, array in arrays.items():
            stream.append(name, array)
