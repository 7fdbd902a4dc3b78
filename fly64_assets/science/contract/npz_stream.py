"""Writing NPZ files as streams, row block by row block at flat memory.

Members are stored uncompressed with zip64 records, a fixed date and aligned data, so that the same arrays give the
same bytes and every member can be memory-mapped.
"""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

_ALIGNMENT = 64
_DOS_DATE_1980 = 0x0021
_ZIP64 = 0xFFFFFFFF
_LOCAL_HEADER = struct.Struct("<IHHHHHIIIHH")
_CENTRAL_HEADER = struct.Struct("<IHHHHHHIIIHHHHHII")


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
        block = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data if rows.size else b""
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
                    message = (
                        f"{member.name}: {member.end - member.position} bytes short of the declared {member.shape}"
                    )
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
