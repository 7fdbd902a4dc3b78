"""DATA-001 rules that need the data: values, counts against metadata, patches against object and positions.

Large arrays are read block by block through their mapping, so that memory stays flat.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fly64_assets.science.contract.structure_rules import IMPORT, REBUILD, REWRITE
from fly64_assets.science.physics.diffraction import diffraction_intensity, extract_patches
from fly64_assets.science.records import Fault

Arrays = Mapping[str, np.ndarray]

_BLOCK = 64
_COUNT_TOLERANCE = 0.02
"""How far a float32 amplitude may put ``(s * amplitude)^2`` from an integer, relative to 1 + counts * 1e-6."""

_PATCH_TOLERANCE = 1e-4
_DOSE_STANDARD_ERRORS = 6.0
_MODEL_SAMPLE = 256


def small_array_faults(arrays: Arrays, metadata: Mapping[str, Any], size: int) -> Iterator[Fault]:
    """Faults of positions, object, probe and indices.

    Args:
        arrays: all arrays but the patterns and patches, in memory.
        metadata: parsed metadata.
        size: N.

    Yields:
        One fault per violation.
    """
    for key in ("xcoords", "ycoords", "xcoords_start", "ycoords_start", "objectGuess", "probeGuess", "expected_photons"):
        if key in arrays and not np.isfinite(arrays[key]).all():
            bad = np.argwhere(~np.isfinite(arrays[key]))[0].tolist()
            yield Fault(f"{key}-finite", f"{key}{bad}", "finite numbers", str(arrays[key][tuple(bad)]), REWRITE)
    for key in ("objectGuess", "probeGuess"):
        if not np.any(arrays[key]):
            yield Fault(f"{key}-zero", key, "some non-zero values", "zeros only", REWRITE)
    if "expected_photons" in arrays and np.any(arrays["expected_photons"] < 0):
        yield Fault("expected_photons-negative", "expected_photons", "numbers >= 0", "negative numbers", REBUILD)
    if "scan_index" in arrays:
        index = arrays["scan_index"]
        if index.min() < 0:
            yield Fault("scan_index-negative", "scan_index", "indices >= 0", str(index.min()), REWRITE)
        if len(np.unique(index)) != len(index):
            yield Fault("scan_index-duplicate", "scan_index", "each index once", f"{len(index) - len(np.unique(index))} repeated", REWRITE)
    if not metadata.get("positions_perturbed", False):
        for key in ("xcoords", "ycoords"):
            if not np.array_equal(arrays[key], arrays[f"{key}_start"], equal_nan=True):
                yield Fault("start-differs", f"{key}_start", f"equal to {key}", "other values", "Copy them, or set positions_perturbed in the metadata.")  # fmt: skip
    yield from _inside(arrays, size)


def _inside(arrays: Arrays, size: int) -> Iterator[Fault]:
    positions = positions_of(arrays)
    if not np.isfinite(positions).all():
        return
    rows, columns = arrays["objectGuess"].shape
    outside = _outside(positions, rows, columns, size)
    if not outside.any():
        return
    k = int(np.flatnonzero(outside)[0])
    if not _outside(positions[:, ::-1], rows, columns, size).any():
        yield Fault("xy-exchanged", "xcoords, ycoords", f"x is the column, y the row of an object of {rows} x {columns} px", f"{outside.sum()} patches outside, none with x and y exchanged", "Exchange xcoords and ycoords.")  # fmt: skip
        return
    half = size / 2
    yield Fault("patch-outside", f"position {k}", f"x in [{half}, {columns - half}] and y in [{half}, {rows - half}]", f"x, y = {positions[k].tolist()} ({outside.sum()} patches outside)", "Move or drop these positions, or enlarge objectGuess.")  # fmt: skip


def _outside(positions: np.ndarray, rows: int, columns: int, size: int) -> np.ndarray:
    half = size / 2
    return np.any((positions < half) | (positions > np.array([columns, rows]) - half), axis=1)


def positions_of(arrays: Arrays) -> np.ndarray:
    """Positions ``(n, 2)``, x first."""
    return np.stack([arrays["xcoords"], arrays["ycoords"]], axis=1)


def pattern_faults(diffraction: np.ndarray, metadata: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults of the amplitudes: finite, non-negative, counts that are integers and that the metadata confirm.

    Yields:
        One fault per violation.
    """
    scale = float(metadata["counts_scale"])
    total, unscaled_total, fractional, intensity_like, unscaled = 0.0, 0.0, 0, 0, 0
    pixels = 0
    for start in range(0, len(diffraction), _BLOCK):
        block = np.asarray(diffraction[start : start + _BLOCK], dtype=np.float64)
        if not np.isfinite(block).all():
            k, row, column = np.argwhere(~np.isfinite(block))[0]
            yield Fault("diffraction-finite", f"diffraction[{start + k}, {row}, {column}]", "finite amplitudes", str(block[k, row, column]), "Mask or repair dead pixels before import.")  # fmt: skip
            return
        if block.min() < 0:
            k, row, column = np.argwhere(block < 0)[0]
            yield Fault("diffraction-negative", f"diffraction[{start + k}, {row}, {column}]", "amplitudes >= 0", str(block[k, row, column]), "Subtract no background below zero.")  # fmt: skip
            return
        counts = (scale * block) ** 2
        total += float(np.rint(counts).sum())
        unscaled_total += float((scale**2 * block).sum())
        fractional += _fractional(counts)
        intensity_like += _fractional(scale**2 * block)
        unscaled += _fractional(block**2)
        pixels += block.size
    if total == 0:
        yield Fault("diffraction-dark", "diffraction", "some photons", "zero in every pattern", REBUILD)
        return
    mean, as_intensity = total / len(diffraction), unscaled_total / len(diffraction)
    declared = metadata.get("split_measured_photons_per_pattern", metadata["measured_photons_per_pattern"])
    is_near = np.isclose(as_intensity, declared, rtol=1e-4) and not np.isclose(mean, declared, rtol=1e-4)
    if fractional:
        if intensity_like == 0 or is_near:
            yield Fault("intensity", "diffraction", "amplitude (square root of intensity)", "an intensity: the values themselves, times s^2, are whole counts", IMPORT)  # fmt: skip
        elif unscaled == 0:
            yield Fault("amplitude-unscaled", "diffraction", "sqrt(counts) / counts_scale", "sqrt(counts), not divided by s", "Divide by counts_scale, or set counts_scale to 1.")  # fmt: skip
        else:
            yield Fault("counts-fractional", "diffraction", "(counts_scale * amplitude)^2 to be whole counts", f"fractions in {fractional} of {pixels} pixels", "Correct counts_scale, or import the counts again.")  # fmt: skip
    elif is_near:
        yield Fault("intensity", "diffraction", "amplitude (square root of intensity)", "an intensity: its sum, not that of its square, is the declared dose", IMPORT)  # fmt: skip
    yield from _dose(mean, len(diffraction), metadata)


def _fractional(values: np.ndarray) -> int:
    """How many values are no whole numbers, float32 rounding allowed for."""
    return int(np.sum(np.abs(values - np.rint(values)) > _COUNT_TOLERANCE * (1 + values * 1e-4)))


def _dose(mean: float, n: int, metadata: Mapping[str, Any]) -> Iterator[Fault]:
    where = "metadata.split_measured_photons_per_pattern"
    own = metadata.get("split_measured_photons_per_pattern")
    whole, wanted = float(metadata["measured_photons_per_pattern"]), float(metadata["requested_photons_per_pattern"])
    if own is not None and not np.isclose(mean, own, rtol=1e-4):
        yield Fault("dose-counts", where, f"{mean:.6g}, the mean counts of this file", f"{own:.6g}", REBUILD)
    elif own is None and abs(mean / whole - 1) > 0.5:
        yield Fault("dose-counts", "metadata.measured_photons_per_pattern", f"about {mean:.6g}, the mean counts of this file", f"{whole:.6g}", REBUILD)  # fmt: skip
    n_scan = int(metadata.get("n_scan", n))
    error = _DOSE_STANDARD_ERRORS * np.sqrt(wanted / n_scan) + 1e-6 * wanted
    if abs(whole - wanted) > error:
        yield Fault("dose-requested", "metadata.requested_photons_per_pattern", f"{whole:.6g} +- {error:.2g}, what was measured over the scan", f"{wanted:.6g}", REBUILD)  # fmt: skip
    energy = metadata.get("scan_mean_energy")
    if energy is not None and not np.isclose(float(metadata["counts_scale"]) ** 2 * energy, wanted, rtol=1e-5):
        yield Fault("dose-scale", "metadata.counts_scale", f"{np.sqrt(wanted / energy):.8g}, which gives the requested dose", f"{metadata['counts_scale']:.8g}", REBUILD)  # fmt: skip


def patch_faults(patches: np.ndarray, arrays: Arrays) -> Iterator[Fault]:
    """Faults of Y: finite, and cut from objectGuess at each pattern's position.

    Yields:
        At most one fault.
    """
    positions, obj, size = positions_of(arrays), arrays["objectGuess"], patches.shape[-1]
    for start in range(0, len(patches), _BLOCK):
        block = np.asarray(patches[start : start + _BLOCK])
        if not np.isfinite(block).all():
            k, row, column = np.argwhere(~np.isfinite(block))[0]
            yield Fault("Y-finite", f"Y[{start + k}, {row}, {column}]", "finite numbers", str(block[k, row, column]), REWRITE)
            return
        where = positions[start : start + _BLOCK]
        wrong = _misfit(block, extract_patches(obj, where, size)) > _PATCH_TOLERANCE
        if wrong.any():
            k = start + int(np.flatnonzero(wrong)[0])
            yield _explain_patch(np.asarray(patches[k : k + 1]), k, positions, obj)
            return


def _misfit(patches: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Relative RMS difference of each patch."""
    norm = np.sum(np.abs(wanted) ** 2, axis=(1, 2)) + np.finfo(np.float32).tiny
    return np.sqrt(np.sum(np.abs(patches - wanted) ** 2, axis=(1, 2)) / norm)


def _explain_patch(patch: np.ndarray, k: int, positions: np.ndarray, obj: np.ndarray) -> Fault:
    """What is wrong with a patch: exchanged axes, an offset, another pattern's patch, or nothing known."""
    size = patch.shape[-1]
    x, y = positions[k]
    where = f"Y[{k}] at x, y = {x:g}, {y:g}"
    expected = "the patch of objectGuess at its position"

    def fits(candidates: np.ndarray) -> np.ndarray:
        inside = ~_outside(candidates, *obj.shape, size)
        close = np.zeros(len(candidates), bool)
        for start in range(0, len(candidates), _BLOCK):
            part = slice(start, start + _BLOCK)
            usable = np.flatnonzero(inside[part]) + start
            if len(usable):
                close[usable] = _misfit(patch, extract_patches(obj, candidates[usable], size)) <= _PATCH_TOLERANCE
        return close

    if fits(np.array([[y, x]]))[0]:
        return Fault("xy-exchanged", where, expected, "the patch with x and y exchanged", "Exchange xcoords and ycoords.")
    shifts = np.array([(dx, dy) for dx in (-1, -0.5, 0, 0.5, 1) for dy in (-1, -0.5, 0, 0.5, 1)])
    close = fits(positions[k] + shifts)
    if close.any():
        dx, dy = shifts[close][0]
        return Fault("position-offset", where, expected, f"the patch {dx:+g}, {dy:+g} px away in x, y", "Positions are patch centres: patch[i, j] = object(y + i - N/2, x + j - N/2).")  # fmt: skip
    if np.allclose(extract_patches(obj, positions[k : k + 1], size).transpose(0, 2, 1), patch, atol=1e-3):
        return Fault("Y-transposed", where, expected, "its transpose", "Store patches as rows x columns.")
    others = np.flatnonzero(fits(positions))
    if len(others):
        return Fault("Y-order", where, expected, f"the patch of pattern {others[0]}", "Keep Y in the order of diffraction.")
    return Fault("Y-not-from-object", where, expected, "another patch", "Cut Y from objectGuess bilinearly at xcoords, ycoords.")


def model_faults(diffraction: np.ndarray, arrays: Arrays, metadata: Mapping[str, Any]) -> Iterator[Fault]:
    """Faults that only the forward model shows: DC not centred, axes exchanged, patterns of other positions.

    Compares sampled patterns with what objectGuess and probeGuess predict. Only for simulated data must the
    prediction be exact; for the others it must merely be better than the faulty alternatives.

    Yields:
        At most one fault.
    """
    n, size = len(diffraction), diffraction.shape[-1]
    rows = np.unique(np.linspace(0, n - 1, min(n, _MODEL_SAMPLE)).astype(int))
    counts = np.rint((float(metadata["counts_scale"]) * np.asarray(diffraction[rows], dtype=np.float64)) ** 2)
    positions, obj = positions_of(arrays)[rows], arrays["objectGuess"]
    probe = arrays["probeGuess"] if arrays["probeGuess"].ndim == 3 else arrays["probeGuess"][None]
    expected = diffraction_intensity(extract_patches(obj, positions, size), probe).astype(np.float64)
    expected *= float(metadata["counts_scale"]) ** 2
    given = _agreement(counts, expected)
    shifted = np.fft.ifftshift(counts, axes=(1, 2))
    if _agreement(shifted, expected) > given:
        yield Fault("dc-not-centred", "diffraction", f"DC at [{size // 2}, {size // 2}]", "DC at the corner [0, 0]", "Apply np.fft.fftshift to each pattern.")  # fmt: skip
        return
    if _agreement(counts.transpose(0, 2, 1), expected) > given + 1e-9 and metadata["origin"] == "simulated" and _z_misfit(counts, expected) > 20:
        yield Fault("diffraction-transposed", "diffraction", "rows x columns, like the object", "transposed patterns", "Transpose each pattern.")
        return
    if metadata["origin"] == "simulated" and abs(_z_misfit(counts, expected)) > 8:
        yield Fault("diffraction-not-from-object", "diffraction", "Poisson counts of objectGuess and probeGuess at the positions", f"a misfit of {_z_misfit(counts, expected):.0f} standard errors", REBUILD)  # fmt: skip


def _agreement(counts: np.ndarray, expected: np.ndarray) -> float:
    """Poisson log-likelihood of the counts, but for a constant that rearranging pixels does not change."""
    floor = 1e-6 * expected.mean()
    return float(np.sum(counts * np.log(expected + floor) - expected))


def _z_misfit(counts: np.ndarray, expected: np.ndarray) -> float:
    """Excess of squared residuals over Poisson's, in its own standard errors."""
    excess = np.sum((counts - expected) ** 2 - expected)
    return float(excess / np.sqrt(np.sum(expected + 2 * expected**2)))
