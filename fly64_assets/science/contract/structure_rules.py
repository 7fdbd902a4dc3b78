"""DATA-001 rules that headers and metadata alone decide: keys, dtypes, shapes, lengths. No array data are read."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fly64_assets.science.contract.npz_reading import ArrayHeader
from fly64_assets.science.contract.rules import fault
from fly64_assets.science.records import SPLITS, Fault

CONTRACT_VERSION = 1

DTYPES = {
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
OPTIONAL_KEYS = ("scan_index", "expected_photons")
REQUIRED_KEYS = (*(key for key in DTYPES if key not in OPTIONAL_KEYS), "metadata")

METADATA_KEYS = (
    "contract",
    "contract_version",
    "requested_photons_per_pattern",
    "measured_photons_per_pattern",
    "counts_scale",
    "seed",
    "split",
    "parameter_hash",
    "origin",
    "units",
    "versions",
)
"""Metadata that every file must carry; more may follow."""

ORIGINS = ("simulated", "thinned", "measured")
RAW_KEYS = ("diff3d", "counts", "patterns", "data")

_VECTORS = ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "scan_index", "expected_photons")
_POSITIVE = ("counts_scale", "requested_photons_per_pattern", "measured_photons_per_pattern")

Headers = Mapping[str, ArrayHeader]


def structure_faults(headers: Headers) -> Iterator[Fault]:
    """Faults of keys, dtypes, ranks and lengths.

    Args:
        headers: checked headers of every member.

    Yields:
        One fault per violation.
    """
    yield from _key_faults(headers)
    for key, dtype in DTYPES.items():
        if key in headers:
            yield from _dtype_faults(headers[key], np.dtype(dtype))
    yield from _pattern_faults(headers)
    yield from _object_faults(headers)
    yield from _length_faults(headers)


def compression_faults(headers: Headers) -> Iterator[Fault]:
    """Members that cannot be memory-mapped.

    Yields:
        One fault per compressed member of the contract.
    """
    for key in DTYPES:
        if key in headers and headers[key].compressed:
            yield fault("member-compressed", key, "a stored member, which can be memory-mapped", "a compressed one")


def _key_faults(headers: Headers) -> Iterator[Fault]:
    found = ", ".join(sorted(headers)) or "no array at all"
    for key in REQUIRED_KEYS:
        raw = [name for name in RAW_KEYS if name in headers] if key == "diffraction" else []
        if key not in headers and raw:
            yield fault("raw-layout", raw[0], "amplitudes under the key diffraction", f"raw data under {raw[0]}")
        elif key not in headers:
            yield fault("missing-key", key, "this key", f"only {found}")


def _dtype_faults(header: ArrayHeader, wanted: np.dtype) -> Iterator[Fault]:
    actual = header.dtype
    if actual == wanted and actual.isnative:
        return
    if header.name == "diffraction" and actual.kind in "iu":
        yield fault("integer-diffraction", "diffraction", f"{wanted} amplitudes", str(actual))
    elif actual.newbyteorder("=") == wanted:
        yield fault("byte-order", header.name, f"native {wanted}", actual.str)
    else:
        yield fault("dtype", header.name, str(wanted), str(actual))


def _patch_size(headers: Headers) -> int | None:
    """N, or None where diffraction itself is at fault, so that nothing else is measured by it."""
    if "diffraction" not in headers or list(_pattern_faults(headers)):
        return None
    return headers["diffraction"].shape[2]


def _pattern_faults(headers: Headers) -> Iterator[Fault]:
    if "diffraction" not in headers:
        return
    shape = headers["diffraction"].shape
    if len(shape) != 3:
        yield fault("diffraction-rank", "diffraction", "three axes (n, N, N)", f"{len(shape)} axes {shape}")
    elif 0 in shape:
        yield fault("empty", "diffraction", "at least one pattern", f"shape {shape}")
    elif shape[1] != shape[2] and shape[0] == shape[1]:
        yield fault("diffraction-axes", "diffraction", "(n, N, N)", f"{shape}, which looks like (N, N, n)")
    elif shape[1] != shape[2]:
        yield fault("diffraction-not-square", "diffraction", "square patterns", f"shape {shape}")
    elif shape[1] % 2 or shape[1] < 4:
        yield fault("diffraction-odd", "diffraction", "even N, with DC at [N/2, N/2]", f"N = {shape[1]}")


def _object_faults(headers: Headers) -> Iterator[Fault]:
    size = _patch_size(headers)
    if "objectGuess" in headers:
        shape = headers["objectGuess"].shape
        if len(shape) != 2:
            yield fault("object-rank", "objectGuess", "two axes (H, W)", f"shape {shape}")
        elif size is not None and min(shape) < size:
            yield fault("object-small", "objectGuess", f"at least {size} x {size} px", f"shape {shape}")
    if "probeGuess" in headers:
        shape = headers["probeGuess"].shape
        if len(shape) not in (2, 3) or 0 in shape:
            yield fault("probe-rank", "probeGuess", "(N, N) or (modes, N, N)", f"shape {shape}")
        elif size is not None and shape[-2:] != (size, size):
            yield fault("probe-size", "probeGuess", f"{size} x {size} px, as in diffraction", f"shape {shape}")
    if "Y" in headers and size is not None:
        shape = headers["Y"].shape
        if len(shape) == 4:
            yield fault("Y-four-axes", "Y", f"three axes (n, {size}, {size})", f"four axes {shape}")
        elif len(shape) != 3 or shape[1:] != (size, size):
            yield fault("Y-shape", "Y", f"(n, {size}, {size}), as in diffraction", f"shape {shape}")


def _length_faults(headers: Headers) -> Iterator[Fault]:
    n = headers["diffraction"].shape[0] if _patch_size(headers) is not None else None
    for key in (*_VECTORS, "Y"):
        if key not in headers:
            continue
        shape = headers[key].shape
        if key != "Y" and len(shape) != 1:
            yield fault("rank", key, "one axis (n,)", f"shape {shape}")
        elif n is not None and len(shape) in (1, 3) and shape[0] != n:
            yield fault("length", key, f"{n} entries, one per pattern", str(shape[0]))


def metadata_faults(metadata: Mapping[str, Any], n_patterns: int) -> Iterator[Fault]:
    """Faults of the JSON metadata by itself and against the number of patterns.

    Yields:
        One fault per violation.
    """
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        yield fault("metadata-key", "metadata", f"the keys {', '.join(METADATA_KEYS)}", f"no {', '.join(missing)}")
        return
    contract = f"{metadata['contract']} version {metadata['contract_version']}"
    wanted = f"DATA-001 version {CONTRACT_VERSION}"
    if contract != wanted:
        yield fault("metadata-contract", "metadata.contract", wanted, contract)
    if metadata["split"] not in (*SPLITS, "all"):
        yield fault("metadata-split", "metadata.split", "train, test or all", repr(metadata["split"]))
    if metadata["origin"] not in ORIGINS:
        yield fault("metadata-origin", "metadata.origin", " or ".join(ORIGINS), repr(metadata["origin"]))
    for key in _POSITIVE:
        if not is_positive_number(metadata[key]):
            yield fault("metadata-number", f"metadata.{key}", "a positive finite number", repr(metadata[key]))
    for key in ("split_measured_photons_per_pattern", "scan_mean_energy", "n_scan"):
        if metadata.get(key) is not None and not is_positive_number(metadata[key]):
            yield fault("metadata-number", f"metadata.{key}", "a positive finite number", repr(metadata[key]))
    count = metadata.get("n_patterns", n_patterns)
    if count != n_patterns:
        yield fault("metadata-n-patterns", "metadata.n_patterns", f"{n_patterns}, as in diffraction", repr(count))


def is_positive_number(value: object) -> bool:
    """Whether a JSON value is a positive finite number (a boolean is not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(0 < value < np.inf)


def expectation_faults(
    headers: Headers, metadata: Mapping[str, Any], expectations: Mapping[str, Any]
) -> Iterator[Fault]:
    """Faults against what the caller knows: patch size and metadata values; None expects nothing.

    Yields:
        One fault per violation.
    """
    for key, wanted in expectations.items():
        if wanted is None:
            continue
        if key == "patch_size_px":
            actual = _patch_size(headers)
            if actual != wanted:
                yield fault("patch-size", "diffraction", f"N = {wanted}", f"N = {actual}")
        elif metadata.get(key) != wanted:
            yield fault("unexpected-metadata", f"metadata.{key}", repr(wanted), repr(metadata.get(key)))
