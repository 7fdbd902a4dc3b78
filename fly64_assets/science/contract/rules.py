"""The rules of DATA-001 by name, each with what to do about its violation."""

from fly64_assets.science.records import Fault

_IMPORT = "Convert the file with `fly64 import RAW OUT`."
_REWRITE = "Write this array again as the contract says, or convert the file with `fly64 import RAW OUT`."
_REBUILD = "Build the partition again, or correct the metadata if you wrote the file yourself."
_COPY = "The file is damaged or incomplete: copy or build it again."

REMEDIES: dict[str, str] = {
    # The file
    "no-file": "Check the path, or build its partition.",
    "not-a-zip": "Give an NPZ file; `fly64 import RAW OUT` reads other formats.",
    "too-many-members": "Keep only the arrays of the contract.",
    "member-name": "Save the arrays with np.savez, by plain names.",
    "member-duplicate": "Keep one array under each name: readers disagree about which one counts.",
    "member-encrypted": "Store the file without a password.",
    "member-compression": "Save with np.savez.",
    "member-compressed": "Save with np.savez instead of np.savez_compressed, or `fly64 import RAW OUT`.",
    "member-size": _COPY,
    "member-header": _COPY,
    "member-crc": _COPY,
    "truncated": _COPY,
    "zip-bomb": "Do not open this file; get it again from its source.",
    "member-not-npy": "Save the arrays with np.savez.",
    "object-array": "Save plain arrays; an object array can hide code and is never unpickled.",
    "too-large": "Check the shape: such an array is not read into memory.",
    # Keys, dtypes, shapes
    "raw-layout": _IMPORT,
    "missing-key": _REWRITE,
    "dtype": _REWRITE,
    "byte-order": "Store little-endian numbers: array.astype(array.dtype.newbyteorder('<')).",
    "integer-diffraction": "Integers are raw counts, an intensity. " + _IMPORT,
    "diffraction-rank": _IMPORT,
    "diffraction-axes": "Move the last axis first: np.moveaxis(array, -1, 0). " + _IMPORT,
    "diffraction-not-square": "Crop or pad the patterns to squares.",
    "diffraction-odd": "Crop the patterns to an even number of pixels.",
    "empty": "Select or simulate at least one pattern.",
    "object-rank": "Give one object layer without extra axes.",
    "object-small": "Give the full object, not one patch.",
    "probe-rank": "Give (N, N), or (modes, N, N) for incoherent modes.",
    "probe-size": "Sample the probe on the patch grid.",
    "Y-four-axes": "Drop the channel axis: Y[..., 0].",
    "Y-shape": "Give one patch per pattern, as large as the pattern.",
    "rank": "Give a 1-D array with one entry per pattern.",
    "length": "Keep all per-pattern arrays in step.",
    # Metadata
    "metadata-type": "Store np.array(json.dumps(metadata)): a 0-d text array.",
    "metadata-json": "Store np.array(json.dumps(metadata)).",
    "metadata-key": _REBUILD,
    "metadata-contract": _REBUILD,
    "metadata-split": _REBUILD,
    "metadata-origin": _REBUILD,
    "metadata-number": _REBUILD,
    "metadata-n-patterns": _REBUILD,
    "patch-size": "Set scan.patch_size_px to the file's, or crop the patterns.",
    "unexpected-metadata": "This is another file than the one asked for: check the path, or build its partition.",
    # Values
    "not-finite": "Repair or drop what is NaN or infinite before saving.",
    "all-zero": _REWRITE,
    "negative": "Amplitudes and photon numbers are >= 0: do not subtract a background below zero.",
    "no-photons": "Check the counts: every pattern is dark.",
    "scan-index-negative": _REWRITE,
    "scan-index-duplicate": "Number the patterns by acquisition, each once.",
    "start-differs": "Copy xcoords and ycoords, or set positions_perturbed to true in the metadata.",
    "patch-outside": "Drop these positions, shift all of them, or enlarge objectGuess.",
    # Counts and dose
    "intensity": "Take the square root and divide by counts_scale. " + _IMPORT,
    "amplitude-unscaled": "Divide by counts_scale, or set counts_scale to 1.",
    "counts-fractional": "Correct counts_scale, or import the counts again.",
    "dose-counts": _REBUILD,
    "dose-requested": _REBUILD,
    "dose-scale": _REBUILD,
    "expected-photons": _REBUILD,
    # Patches, positions and the forward model
    "xy-exchanged": "Exchange xcoords and ycoords: x is the column, y the row.",
    "position-offset": "Positions are patch centres: patch[i, j] = object(y + i - N/2, x + j - N/2).",
    "Y-transposed": "Store patches as rows x columns.",
    "Y-order": "Keep Y in the order of diffraction.",
    "Y-not-from-object": "Cut Y from objectGuess, bilinearly, at xcoords and ycoords.",
    "dc-not-centred": "Apply np.fft.fftshift to each pattern.",
    "diffraction-transposed": "Transpose each pattern: rows are y, as in the object.",
    "diffraction-not-from-object": _REBUILD,
}


def fault(rule: str, where: str, expected: str, actual: str) -> Fault:
    """A fault of a known rule, with its remedy.

    >>> print(fault("Y-order", "Y[3]", "the patch of pattern 3", "that of pattern 4"))
    [Y-order] Y[3]: expected the patch of pattern 3, found that of pattern 4. Keep Y in the order of diffraction.
    """
    return Fault(rule, where, expected, actual, REMEDIES[rule])
