"""DATA-001 rules that headers and metadata alone decide: keys, dtypes, shapes, lengths. No array data are read."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fly64_assets.science.contract.dataset_file import CONTRACT_VERSION, METADATA_KEYS, REQUIRED_KEYS
from fly64_assets.science.contract.npz_stream import ArrayHeader
from fly64_assets.science.records import SPLITS, Fault

IMPORT = "Convert the file with `fly64 import RAW OUT`."
REWRITE = "Write the array again as the contract says, or convert the file with `fly64 import RAW OUT`."
REBUILD = "Rebuild the partition, or correct the metadata if you wrote the file yourself."

ORIGINS = ("simulated", "thinned", "measured")

_DTYPES = {
    "diffraction": "float32",
    "Y": "complex64",
    "objectGuess": "complex64",
    "probeGuess": "complex64",
    "xcoords": "float64",
    "ycoords": "float64",
    "xcoords_start": "float64",
    "ycoords_start": "float64",
    "scan_index": "int64",
    "expected_photons": "float64",
}
_COORDINATES = ("xcoords", "ycoords", "xcoords_start", "ycoords_start")
_PER_PATTERN = (*_COORDINATES, "scan_index", "expected_photons", "Y")
_RAW_KEYS = ("diff3d", "counts", "patterns", "data")

Headers = Mapping[str, ArrayHeader]


def structure_faults(headers: Headers) -> Iterator[Fault]:
    """Faults of keys, dtypes, ranks and lengths.

    Args:
        headers: checked headers of every member.

    Yields:
        One fault per violation.
    """
    yield from _keys(headers)
    for key, dtype in _DTYPES.items():
        if key in headers:
            yield from _dtype(headers[key], dtype)
            if headers[key].compressed:
                yield Fault("member-compressed", key, "a stored member, so that it can be memory-mapped", "a deflated one", "Save with np.savez, not np.savez_compressed, or convert with `fly64 import RAW OUT`.")  # fmt: skip
    yield from _patterns(headers)
    yield from _object_and_probe(headers)
    yield from _lengths(headers)


def _keys(headers: Headers) -> Iterator[Fault]:
    found = ", ".join(sorted(headers)) or "no key at all"
    for key in REQUIRED_KEYS:
        if key in headers:
            continue
        raw = [name for name in _RAW_KEYS if name in headers]
        if key == "diffraction" and raw:
            yield Fault("raw-layout", raw[0], "amplitude under the key diffraction", f"a raw layout with {raw[0]}", IMPORT)
        else:
            yield Fault(f"missing-{key}", key, "this key", found, REWRITE)


def _dtype(header: ArrayHeader, wanted: str) -> Iterator[Fault]:
    if header.dtype == np.dtype(wanted) and header.dtype.isnative:
        return
    actual = header.dtype.str if not header.dtype.isnative else str(header.dtype)
    if header.name == "diffraction" and header.dtype.kind in "iu":
        actual += " (integers are raw counts, an intensity)"
    yield Fault(f"{header.name}-dtype", header.name, wanted, actual, REWRITE)


def _patterns(headers: Headers) -> Iterator[Fault]:
    if "diffraction" not in headers:
        return
    shape = headers["diffraction"].shape
    if len(shape) != 3:
        yield Fault("diffraction-rank", "diffraction", "(n, N, N)", f"{len(shape)} axes {shape}", IMPORT)
    elif 0 in shape:
        yield Fault("empty", "diffraction", "at least one pattern", f"shape {shape}", "Select or simulate at least one pattern.")
    elif shape[1] != shape[2]:
        if shape[0] == shape[1]:
            yield Fault("diffraction-axes", "diffraction", "(n, N, N)", f"{shape}, which looks like (N, N, n)", IMPORT)
        else:
            yield Fault("diffraction-not-square", "diffraction", "square patterns", f"shape {shape}", "Crop the patterns to squares.")
    elif shape[1] % 2 or shape[1] < 4:
        yield Fault("diffraction-odd", "diffraction", "an even N, so that DC is at [N/2, N/2]", f"N = {shape[1]}", "Crop the patterns to an even size.")  # fmt: skip


def _object_and_probe(headers: Headers) -> Iterator[Fault]:
    diffraction = headers.get("diffraction")
    size = diffraction.shape[-1] if diffraction is not None and len(diffraction.shape) == 3 else None
    if "objectGuess" in headers:
        shape = headers["objectGuess"].shape
        if len(shape) != 2:
            yield Fault("objectGuess-rank", "objectGuess", "(H, W)", f"shape {shape}", "Give one object layer without extra axes.")
        elif size is not None and min(shape) < size:
            yield Fault("objectGuess-small", "objectGuess", f"at least {size} x {size} px", f"shape {shape}", "Give the full object, not a patch.")  # fmt: skip
    if "probeGuess" in headers:
        shape = headers["probeGuess"].shape
        if len(shape) not in (2, 3) or 0 in shape:
            yield Fault("probeGuess-rank", "probeGuess", "(N, N) or (modes, N, N)", f"shape {shape}", REWRITE)
        elif size is not None and shape[-2:] != (size, size):
            yield Fault("probeGuess-size", "probeGuess", f"{size} x {size} px like diffraction", f"shape {shape}", "Sample the probe on the patch grid.")  # fmt: skip
    if "Y" in headers and size is not None:
        yield from _patches(headers["Y"].shape, size)


def _patches(shape: tuple[int, ...], size: int) -> Iterator[Fault]:
    if len(shape) == 4:
        yield Fault("Y-rank", "Y", f"3 axes (n, {size}, {size})", f"4 axes {shape}", "Drop the channel axis: Y[..., 0].")
    elif len(shape) != 3 or shape[1:] != (size, size):
        yield Fault("Y-shape", "Y", f"(n, {size}, {size}) like diffraction", f"shape {shape}", REWRITE)


def _lengths(headers: Headers) -> Iterator[Fault]:
    diffraction = headers.get("diffraction")
    n = diffraction.shape[0] if diffraction is not None and len(diffraction.shape) == 3 else None
    for key in _PER_PATTERN:
        if key not in headers:
            continue
        shape = headers[key].shape
        if key != "Y" and len(shape) != 1:
            yield Fault(f"{key}-rank", key, "a 1-D array (n,)", f"shape {shape}", REWRITE)
        elif n is not None and shape[:1] != (n,):
            length = shape[0] if shape else 0
            yield Fault(f"{key}-length", key, f"{n} entries, one per pattern", f"{length}", "Keep all per-pattern arrays in step.")


def metadata_faults(metadata: Mapping[str, Any], n_patterns: int) -> Iterator[Fault]:
    """Faults of the JSON metadata by itself and against the number of patterns.

    Yields:
        One fault per violation.
    """
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        yield Fault("metadata-key", "metadata", f"the keys {', '.join(METADATA_KEYS)}", f"no {', '.join(missing)}", REBUILD)
        return
    contract = (metadata["contract"], metadata["contract_version"])
    if contract != ("DATA-001", CONTRACT_VERSION):
        yield Fault("metadata-contract", "metadata.contract", f"DATA-001 version {CONTRACT_VERSION}", f"{contract[0]} version {contract[1]}", REBUILD)  # fmt: skip
    if metadata["split"] not in (*SPLITS, "all"):
        yield Fault("metadata-split", "metadata.split", "train, test or all", repr(metadata["split"]), REBUILD)
    if metadata["origin"] not in ORIGINS:
        yield Fault("metadata-origin", "metadata.origin", " or ".join(ORIGINS), repr(metadata["origin"]), REBUILD)
    for key in ("counts_scale", "requested_photons_per_pattern", "measured_photons_per_pattern"):
        value = metadata[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
            yield Fault(f"metadata-{key}", f"metadata.{key}", "a positive finite number", repr(value), REBUILD)
    count = metadata.get("n_patterns", n_patterns)
    if count != n_patterns:
        yield Fault("metadata-n_patterns", "metadata.n_patterns", f"{n_patterns}, as in diffraction", repr(count), REBUILD)


def expectation_faults(headers: Headers, metadata: Mapping[str, Any], expectations: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults against what the caller knows: patch size and metadata values.

    Yields:
        One fault per violation.
    """
    for key, wanted in expectations.items():
        if wanted is None:
            continue
        if key == "patch_size_px":
            shape = headers["diffraction"].shape
            if shape[-1] != wanted:
                yield Fault("patch-size", "diffraction", f"N = {wanted}", f"N = {shape[-1]}", "Set scan.patch_size_px, or crop the patterns.")
        elif metadata.get(key) != wanted:
            yield Fault(f"unexpected-{key}", f"metadata.{key}", repr(wanted), repr(metadata.get(key)), REBUILD)
