"""Importing raw NPZ layouts: what beamlines and other programs hand over becomes a DATA-001 file.

What the arrays mean is recognised where the file leaves no doubt and must be declared where it does: guessing between
intensity and amplitude would silently spoil every photon count.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fly64_assets.science.contract.from_counts import CountedScan, write_counted_scan
from fly64_assets.science.contract.npz_reading import ArrayHeader, load_array, map_array, read_headers
from fly64_assets.science.contract.structure_rules import RAW_KEYS
from fly64_assets.science.physics.probe import unit_intensity

Layout = Literal["auto", "nhw", "hwn"]
Values = Literal["auto", "intensity", "amplitude"]

PATTERN_KEYS = ("diffraction", *RAW_KEYS)
"""Names under which a raw file may hold its patterns, the first one that is there."""

_LIMIT_BYTES = 8 << 30
_BLOCK = 64
_WHOLE_TOLERANCE = 1e-3


class RawImportError(ValueError):
    """A raw file that cannot be imported; the message says what to declare or to mend."""


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What was recognised and written.

    Attributes:
        source: raw file.
        key: array that held the patterns.
        layout: nhw or hwn.
        values: intensity or amplitude.
        n_patterns: patterns written.
        patch_size_px: N.
        object_shape: rows and columns.
        object_origin: "truth" if the file had an object, else "unknown".
        photons_per_pattern: mean counts.
        counts_scale: s.
        notes: assumptions made.
    """

    source: str
    key: str
    layout: str
    values: str
    n_patterns: int
    patch_size_px: int
    object_shape: tuple[int, int]
    object_origin: str
    photons_per_pattern: float
    counts_scale: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)


def import_raw(
    raw: Path,
    out: Path,
    *,
    layout: Layout = "auto",
    values: Values = "auto",
    dc: Literal["centre", "corner"] = "centre",
    photons_per_pattern: float | None = None,
    pixel_size_m: float = 1e-8,
) -> ImportSummary:
    """Convert a raw NPZ into a DATA-001 file.

    Args:
        raw: file with patterns (``diffraction``, ``diff3d``, ``counts``, ``patterns`` or ``data``), ``xcoords``,
            ``ycoords`` and ``probeGuess``; ``objectGuess``, ``scan_index``, ``object_shape`` are used if there.
        out: file to write; must not exist.
        layout: ``(n, H, W)`` or ``(H, W, n)``; recognised by the number of positions.
        values: intensity or amplitude; recognised if integer, or if only one reading gives whole counts.
        dc: where the zero frequency is.
        photons_per_pattern: for data in arbitrary units, the mean photons to scale to before rounding to counts.
        pixel_size_m: object pixel, recorded for exports.

    Returns:
        The summary.

    Raises:
        RawImportError: something is missing, ambiguous or contradictory.
        DatasetError: the result would break DATA-001.
        FileExistsError: ``out`` exists, be it the input or another file.
    """
    if out.exists():
        message = f"{out} exists and is not overwritten: name another output"
        raise FileExistsError(message)
    headers = read_headers(raw)
    key = next((name for name in PATTERN_KEYS if name in headers), None)
    missing = [name for name in ("xcoords", "ycoords", "probeGuess") if name not in headers]
    if key is None or missing:
        wanted = f"patterns under one of {', '.join(PATTERN_KEYS)}" if key is None else ", ".join(missing)
        message = f"{raw}: no {wanted}; it holds {', '.join(sorted(headers))}"
        raise RawImportError(message)
    small = {
        name: load_array(raw, headers[name], _LIMIT_BYTES)
        for name in ("xcoords", "ycoords", "probeGuess", "objectGuess", "scan_index", "object_shape")
        if name in headers
    }
    patterns = _Patterns(_array(raw, headers[key]), key, _layout(headers[key], layout, len(small["xcoords"])), dc)
    patterns.recognise_values(values, photons_per_pattern)
    scan, notes = _counted_scan(patterns, small, raw, pixel_size_m)
    metadata = write_counted_scan(out, scan)
    return ImportSummary(
        source=str(raw),
        key=key,
        layout=patterns.layout,
        values=patterns.values,
        n_patterns=scan.n_patterns,
        patch_size_px=scan.probe.shape[-1],
        object_shape=(scan.object.shape[0], scan.object.shape[1]),
        object_origin=scan.object_origin,
        photons_per_pattern=metadata["measured_photons_per_pattern"],
        counts_scale=metadata["counts_scale"],
        notes=(*patterns.notes, *notes),
    )


def _array(path: Path, header: ArrayHeader) -> np.ndarray:
    return load_array(path, header, _LIMIT_BYTES) if header.compressed else map_array(path, header)


def _layout(header: ArrayHeader, declared: Layout, n: int) -> str:
    shape = header.shape
    if len(shape) != 3:
        message = f"{header.name} has {len(shape)} axes {shape}; expected (n, H, W) or (H, W, n)"
        raise RawImportError(message)
    fits = {"nhw": shape[0] == n and shape[1] == shape[2], "hwn": shape[2] == n and shape[0] == shape[1]}
    possible = [name for name, fit in fits.items() if fit and declared in ("auto", name)]
    if len(possible) == 1:
        return possible[0]
    if possible:
        message = f"{header.name} {shape} with {n} positions may be (n, H, W) or (H, W, n): declare the layout"
    else:
        message = f"{header.name} {shape} does not fit {n} positions as square patterns in layout {declared}"
    raise RawImportError(message)


class _Patterns:
    """Raw patterns read as whole counts, a block at a time."""

    def __init__(self, array: np.ndarray, key: str, layout: str, dc: str) -> None:
        self.array, self.key, self.layout, self.dc = array, key, layout, dc
        self.values, self.gain = "", 1.0
        self.notes: list[str] = []
        self.n = array.shape[0] if layout == "nhw" else array.shape[2]
        self.size = array.shape[1]

    def _block(self, start: int, stop: int) -> np.ndarray:
        part = self.array[start:stop] if self.layout == "nhw" else np.moveaxis(self.array[:, :, start:stop], -1, 0)
        block = np.ascontiguousarray(part)
        if block.dtype.kind not in "iuf":
            message = f"{self.key} is {block.dtype}; expected real numbers"
            raise RawImportError(message)
        block = np.fft.fftshift(block, axes=(1, 2)) if self.dc == "corner" else block
        if not np.isfinite(block).all() or (block < 0).any():
            message = f"{self.key} holds NaN, infinite or negative values in patterns {start} to {stop - 1}"
            raise RawImportError(message)
        return block

    def _blocks(self) -> list[tuple[int, int]]:
        return [(start, min(start + _BLOCK, self.n)) for start in range(0, self.n, _BLOCK)]

    def recognise_values(self, declared: Values, photons_per_pattern: float | None) -> None:
        """Decide between intensity and amplitude, and how values become counts."""
        whole, whole_squares, total = True, True, {"intensity": 0.0, "amplitude": 0.0}
        for start, stop in self._blocks():
            block = self._block(start, stop).astype(np.float64)
            whole = whole and _is_whole(block)
            whole_squares = whole_squares and _is_whole(block**2)
            total["intensity"] += float(block.sum())
            total["amplitude"] += float((block**2).sum())
        self.values = declared if declared != "auto" else self._recognised(whole, whole_squares)
        is_counts = whole if self.values == "intensity" else whole_squares
        if photons_per_pattern is not None:
            if total[self.values] <= 0:
                message = f"{self.key} is zero everywhere"
                raise RawImportError(message)
            self.gain = photons_per_pattern * self.n / total[self.values]
            self.notes.append(f"scaled to {photons_per_pattern:g} photons per pattern and rounded to whole counts")
        elif not is_counts:
            message = (
                f"{self.key} read as {self.values} gives no whole photon counts: it is in arbitrary units. "
                "Declare photons_per_pattern, the mean photons of a pattern"
            )
            raise RawImportError(message)

    def _recognised(self, whole: bool, whole_squares: bool) -> Values:
        if self.array.dtype.kind in "iu" or whole:
            self.notes.append("whole numbers: read as photon counts, an intensity")
            return "intensity"
        if whole_squares:
            self.notes.append("squares are whole numbers: read as amplitude, the square root of counts")
            return "amplitude"
        message = f"{self.key}: neither values nor squares are whole numbers: declare values as intensity or amplitude"
        raise RawImportError(message)

    def read_counts(self, start: int, stop: int) -> np.ndarray:
        """Whole counts of patterns start to stop."""
        block = self._block(start, stop).astype(np.float64)
        intensity = block if self.values == "intensity" else block**2
        return np.rint(intensity * self.gain).astype(np.int64)


def _is_whole(values: np.ndarray) -> bool:
    return bool(np.all(np.abs(values - np.rint(values)) <= _WHOLE_TOLERANCE + 1e-6 * np.abs(values)))


def _counted_scan(
    patterns: _Patterns, small: dict[str, np.ndarray], raw: Path, pixel_size_m: float
) -> tuple[CountedScan, list[str]]:
    """Positions, probe and object in the contract's form, and the assumptions that took."""
    notes = []
    positions = np.stack([small["xcoords"], small["ycoords"]], axis=1).astype(np.float64)
    probe = np.squeeze(small["probeGuess"])
    probe = probe[None] if probe.ndim == 2 else probe
    if probe.ndim != 3 or probe.shape[1:] != (patterns.size, patterns.size):
        message = f"{raw}: probeGuess {small['probeGuess'].shape} does not fit patterns of {patterns.size} px"
        raise RawImportError(message)
    if "objectGuess" in small:
        obj, origin = np.squeeze(small["objectGuess"]).astype(np.complex64), "truth"
        probe = probe.astype(np.complex64)
    else:
        obj, positions, moved = _flat_object(positions, patterns.size, small.get("object_shape"))
        probe, origin = unit_intensity(probe.astype(np.complex64)), "unknown"
        notes.append(
            "no objectGuess: the object is unknown, a flat one stands in its place; probe scaled to unit intensity"
        )
        notes += (
            [f"all positions moved by {moved.tolist()} px so that patches lie on the object grid"]
            if moved.any()
            else []
        )
    index = small["scan_index"] if "scan_index" in small else np.arange(patterns.n)
    metadata = {"imported_from": raw.name, "imported_key": patterns.key, "imported_values": patterns.values}
    scan = CountedScan(
        patterns.n, patterns.read_counts, positions, index.astype(np.int64), probe, obj, origin, None,
        metadata | {"pixel_size_m": pixel_size_m, "notes": [*patterns.notes, *notes]},
    )  # fmt: skip
    return scan, notes


def _flat_object(
    positions: np.ndarray, size: int, declared: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A flat object that holds every patch; positions that lie off its low edge are moved."""
    half = size / 2
    moved = np.ceil(np.maximum(half - positions.min(axis=0), 0.0))
    positions = positions + moved
    needed = np.ceil(positions.max(axis=0)[::-1] + half).astype(int)
    shape = needed if declared is None else np.maximum(needed, np.asarray(declared, dtype=int))
    return np.ones(tuple(shape), np.complex64), positions, moved
